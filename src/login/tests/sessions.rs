//! One's own sessions, seen and ended.

use std::time::Duration;

use http::Method;
use http::Response;
use http::StatusCode;

use bytes::Bytes;

use crate::login::PREFIX;
use crate::login::tests::support::Browser;
use crate::login::tests::support::Gateway;
use crate::login::tests::support::SECRET;
use crate::login::tests::support::SESSION;
use crate::login::tests::support::encoded;
use crate::login::tests::support::hidden;
use crate::login::tests::support::html;
use crate::login::tests::support::location;
use crate::session::Presence;
use crate::session::lifetime::Why;

async fn entered(gateway: &Gateway, address: &str, user: &str) -> Browser {
    let mut browser = Browser::new(address);
    location(&browser.log_in(gateway, user, SECRET).await);
    browser
}

async fn id(gateway: &Gateway, browser: &Browser) -> String {
    let Presence::Active(session) = gateway.presence(browser).await else { panic!("nobody is in") };
    session.reference().to_string()
}

async fn end(browser: &mut Browser, gateway: &Gateway, which: &str) -> Response<Bytes> {
    let page = browser.get(gateway, "sessions").await;
    let token = hidden(&page, "form_token");
    browser.post(gateway, "sessions", &[("form_token", &token), ("end", which)]).await
}

#[tokio::test]
async fn all_of_ones_sessions_are_listed_and_nobody_elses() {
    let gateway = Gateway::alice();
    let mut here = entered(&gateway, "192.0.2.1", "alice").await;
    let there = entered(&gateway, "192.0.2.2", "alice").await;
    let other = entered(&gateway, "192.0.2.3", "bob").await;
    gateway.clock.advance(Duration::from_mins(3));
    let page = here.get(&gateway, "sessions").await;
    let text = html(&page);
    for part in ["192.0.2.1", "192.0.2.2", "app.example", "14 Nov 2023, 22:13 UTC", "3 minutes ago"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(text.matches("this browser").count(), 1);
    assert!(!text.contains("192.0.2.3") && !text.contains("bob"));
    for browser in [&here, &there, &other] {
        assert!(!text.contains(&browser.cookies[SESSION]), "a token in the page");
    }
}

#[tokio::test]
async fn another_of_ones_sessions_is_ended_and_told_why() {
    let gateway = Gateway::alice();
    let mut here = entered(&gateway, "192.0.2.1", "alice").await;
    let mut there = entered(&gateway, "192.0.2.2", "alice").await;
    let target = id(&gateway, &there).await;
    let done = end(&mut here, &gateway, &target).await;
    assert_eq!(done.status(), StatusCode::OK);
    assert!(html(&done).contains("role=\"status\"") && !html(&done).contains("192.0.2.2"), "{}", html(&done));
    assert!(matches!(gateway.presence(&there).await, Presence::Ended(Why::EndedElsewhere)));
    let led = location(&there.get(&gateway, "sessions").await).to_owned();
    let login = there.get(&gateway, led.strip_prefix(PREFIX).unwrap()).await;
    assert!(html(&login).contains("from another browser"), "{}", html(&login));
    assert_eq!(here.user(&gateway).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn all_others_are_ended_and_this_one_goes_on() {
    let gateway = Gateway::alice();
    let mut here = entered(&gateway, "192.0.2.1", "alice").await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(entered(&gateway, "192.0.2.2", "alice").await);
    }
    let bob = entered(&gateway, "192.0.2.3", "bob").await;
    let done = end(&mut here, &gateway, "others").await;
    assert!(html(&done).contains("3 other sessions ended"), "{}", html(&done));
    for other in &others {
        assert!(matches!(gateway.presence(other).await, Presence::Ended(Why::EndedElsewhere)));
    }
    assert!(here.user(&gateway).await.is_some() && bob.user(&gateway).await.is_some());
}

#[tokio::test]
async fn ending_this_one_is_signing_out() {
    let gateway = Gateway::alice();
    let mut here = entered(&gateway, "192.0.2.1", "alice").await;
    // Not even a recent login is asked for: nobody is kept from signing out.
    gateway.clock.advance(Duration::from_mins(20));
    let before = here.clone();
    let own = id(&gateway, &here).await;
    assert_eq!(location(&end(&mut here, &gateway, &own).await), "/.vestibule/logout");
    assert!(!here.cookies.contains_key(SESSION));
    assert!(matches!(gateway.presence(&before).await, Presence::Ended(Why::LoggedOut)));
}

#[tokio::test]
async fn somebody_elses_session_is_as_unknown_as_none() {
    let gateway = Gateway::alice();
    let mut here = entered(&gateway, "192.0.2.1", "alice").await;
    let bob = entered(&gateway, "192.0.2.3", "bob").await;
    let foreign = end(&mut here, &gateway, &id(&gateway, &bob).await).await;
    let unknown = end(&mut here, &gateway, "00112233aabbccdd").await;
    for answer in [&foreign, &unknown] {
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    let bare = |page: &Response<Bytes>| html(page).replace(&hidden(page, "form_token"), "");
    assert_eq!(bare(&foreign), bare(&unknown));
    assert!(bob.user(&gateway).await.is_some());
}

#[tokio::test]
async fn an_old_login_is_confirmed_first_and_leads_back() {
    let gateway = Gateway::alice();
    let mut here = entered(&gateway, "192.0.2.1", "alice").await;
    let there = entered(&gateway, "192.0.2.2", "alice").await;
    gateway.clock.advance(Duration::from_mins(5));
    let target = id(&gateway, &there).await;
    for wanted in [&*target, "others"] {
        let led = location(&end(&mut here, &gateway, wanted).await).to_owned();
        let login = here.get(&gateway, led.strip_prefix(PREFIX).unwrap()).await;
        assert!(html(&login).contains("confirm that it is you"), "{}", html(&login));
        assert!(there.user(&gateway).await.is_some());
    }
    let led = location(&end(&mut here, &gateway, &target).await).to_owned();
    let login = here.get(&gateway, led.strip_prefix(PREFIX).unwrap()).await;
    let back = here.fill_in(&gateway, &login, "alice", SECRET).await;
    assert_eq!(location(&back), "/.vestibule/sessions");
    assert_eq!(end(&mut here, &gateway, &target).await.status(), StatusCode::OK);
    assert_eq!(there.user(&gateway).await, None);
}

#[tokio::test]
async fn only_our_own_page_ends_anything() {
    let gateway = Gateway::alice();
    let mut here = entered(&gateway, "192.0.2.1", "alice").await;
    let there = entered(&gateway, "192.0.2.2", "alice").await;
    let mut bob = entered(&gateway, "192.0.2.3", "bob").await;
    let target = id(&gateway, &there).await;
    let own = hidden(&here.get(&gateway, "sessions").await, "form_token");
    let bobs = hidden(&bob.get(&gateway, "sessions").await, "form_token");
    let logout = hidden(&here.get(&gateway, "logout").await, "form_token");
    let document = ("sec-fetch-dest", "document");
    for (headers, token) in [
        (&[("sec-fetch-site", "cross-site"), document][..], &own),
        (&[("sec-fetch-site", "same-site"), document], &own),
        (&[("origin", "https://evil.test")], &own),
        (&[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "empty")], &own),
        (&[("sec-fetch-site", "same-origin"), document], &bobs),
        (&[("sec-fetch-site", "same-origin"), document], &logout),
        (&[("sec-fetch-site", "same-origin"), document], &String::new()),
        (&[], &bobs),
    ] {
        let body = encoded(&[("form_token", token), ("end", &target)]);
        let answer = here.send(&gateway, Method::POST, "sessions", headers, &body).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{headers:?}");
        let get = format!("sessions?{body}");
        here.send(&gateway, Method::GET, &get, headers, "").await;
        assert!(there.user(&gateway).await.is_some(), "{headers:?}");
    }
    gateway.clock.advance(Duration::from_mins(11));
    let fields = [("form_token", &*own), ("end", &*target)];
    let late = here.post(&gateway, "sessions", &fields).await;
    assert!(html(&late).contains("more than ten minutes") && there.user(&gateway).await.is_some());
}
