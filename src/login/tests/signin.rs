//! Signing in and being led back.

use std::time::Duration;

use http::Method;
use http::StatusCode;

use crate::login::DEVICE_COOKIE;
use crate::login::PRE_COOKIE;
use crate::login::PREFIX;
use crate::login::tests::support::Browser;
use crate::login::tests::support::Gateway;
use crate::login::tests::support::SECRET;
use crate::login::tests::support::encoded;
use crate::login::tests::support::hidden;
use crate::login::tests::support::html;
use crate::login::tests::support::location;
use crate::session::Presence;
use crate::session::lifetime::Why;

#[tokio::test]
async fn a_right_password_leads_back_to_where_one_was() {
    let gateway = Gateway::alice();
    let mut browser = Browser::new("192.0.2.1");
    let answer = browser.log_in(&gateway, " alice", SECRET).await;
    assert_eq!(location(&answer), "/reports?id=7&u=//x");
    assert_eq!(browser.user(&gateway).await.as_deref(), Some("alice"));
    assert!(!browser.cookies.contains_key(PRE_COOKIE) && browser.cookies.contains_key(DEVICE_COOKIE));
    let again = browser.get(&gateway, &format!("login?{}", gateway.entrance("/elsewhere"))).await;
    assert_eq!(location(&again), "/elsewhere");
}

#[tokio::test]
async fn a_made_up_way_back_leads_home() {
    let gateway = Gateway::alice();
    for evil in ["//evil.test", "/%5cevil.test", "https://evil.test", "/.vestibule/logout", "AAAA"] {
        let mut browser = Browser::new("192.0.2.1");
        let page = browser.get(&gateway, &format!("login?return_to={evil}")).await;
        let token = hidden(&page, "form_token");
        let fields =
            [("form_token", &*token), ("return_to", evil), ("username", "alice"), ("password", SECRET)];
        let answer = browser.post(&gateway, "login", &fields).await;
        assert_eq!(location(&answer), "/");
    }
}

#[tokio::test]
async fn several_tabs_can_log_in_at_once() {
    let gateway = Gateway::alice();
    let mut browser = Browser::new("192.0.2.1");
    let first = browser.get(&gateway, &format!("login?{}", gateway.entrance("/one"))).await;
    let second = browser.get(&gateway, &format!("login?{}", gateway.entrance("/two"))).await;
    assert_eq!(location(&browser.fill_in(&gateway, &first, "alice", SECRET).await), "/one");
    assert_eq!(location(&browser.fill_in(&gateway, &second, "alice", SECRET).await), "/two");
    assert_eq!(gateway.sessions.live(), 1);
}

#[tokio::test]
async fn an_old_form_comes_back_with_the_name_and_without_blame() {
    let gateway = Gateway::alice();
    let mut browser = Browser::new("192.0.2.1");
    let page = browser.get(&gateway, &format!("login?{}", gateway.entrance("/one"))).await;
    gateway.clock.advance(Duration::from_mins(11));
    let again = browser.fill_in(&gateway, &page, "alice", SECRET).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert!(html(&again).contains("value=\"alice\"") && html(&again).contains("more than ten minutes"));
    assert_eq!(location(&browser.fill_in(&gateway, &again, "alice", SECRET).await), "/one");
}

#[tokio::test]
async fn a_login_that_another_site_sends_is_refused() {
    let gateway = Gateway::alice();
    let mut victim = Browser::new("192.0.2.1");
    let mut attacker = Browser::new("192.0.2.2");
    let page = attacker.get(&gateway, "login").await;
    let token = hidden(&page, "form_token");
    let body = encoded(&[("form_token", &token), ("username", "bob"), ("password", SECRET)]);
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.test")],
        &[("origin", "null")],
        &[("origin", "http://app.example")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "iframe")],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
        &[],
    ] {
        let answer = victim.send(&gateway, Method::POST, "login", headers, &body).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{headers:?}");
        assert_eq!(victim.user(&gateway).await, None);
    }
    let text = [("sec-fetch-site", "same-origin"), ("content-type", "text/plain")];
    let answer = victim.send(&gateway, Method::POST, "login", &text, &body).await;
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn logging_in_as_somebody_else_ends_the_first_session() {
    let gateway = Gateway::alice();
    let mut browser = Browser::new("192.0.2.1");
    location(&browser.log_in(&gateway, "alice", SECRET).await);
    let before = browser.clone();
    gateway.clock.advance(Duration::from_secs(1));
    let entrance = gateway.login.fresh_entrance("/admin", &gateway.authority, gateway.clock.now());
    let path = entrance.strip_prefix(PREFIX).unwrap();
    let page = browser.get(&gateway, path).await;
    assert!(html(&page).contains("You are signed in as alice"), "{}", html(&page));
    assert_eq!(browser.user(&gateway).await.as_deref(), Some("alice"));
    assert_eq!(location(&browser.fill_in(&gateway, &page, "bob", SECRET).await), "/admin");
    assert_eq!(browser.user(&gateway).await.as_deref(), Some("bob"));
    assert!(matches!(gateway.presence(&before).await, Presence::Ended(Why::Replaced)));
    assert_eq!(location(&browser.get(&gateway, path).await), "/admin");
}
