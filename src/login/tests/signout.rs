//! Signing out.

use http::Method;
use http::StatusCode;

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

#[tokio::test]
async fn signing_out_asks_first_and_is_real() {
    let gateway = Gateway::alice();
    let mut browser = Browser::new("192.0.2.1");
    location(&browser.log_in(&gateway, "alice", SECRET).await);
    let page = browser.get(&gateway, "logout").await;
    assert!(html(&page).contains("alice") && browser.user(&gateway).await.is_some());
    let cross = [("sec-fetch-site", "cross-site")];
    let refused = browser.send(&gateway, Method::POST, "logout", &cross, "").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let silent = browser.send(&gateway, Method::POST, "logout", &[], "").await;
    assert!(silent.status() == StatusCode::OK && browser.user(&gateway).await.is_some());
    let before = browser.clone();
    let token = encoded(&[("form_token", &hidden(&page, "form_token"))]);
    let done = browser.send(&gateway, Method::POST, "logout", &[], &token).await;
    assert_eq!(location(&done), "/.vestibule/logout");
    assert!(!browser.cookies.contains_key(SESSION));
    assert!(matches!(gateway.presence(&before).await, Presence::Ended(Why::LoggedOut)));
    let page = browser.get(&gateway, "logout").await;
    assert!(html(&page).contains("You are signed out") && html(&page).contains("/.vestibule/login"));
}

#[tokio::test]
async fn an_apps_own_form_may_sign_out() {
    let gateway = Gateway::alice();
    let mut browser = Browser::new("192.0.2.1");
    location(&browser.log_in(&gateway, "alice", SECRET).await);
    let own = [("origin", "https://app.example"), ("content-type", "multipart/form-data")];
    location(&browser.send(&gateway, Method::POST, "logout", &own, "").await);
    assert_eq!(browser.user(&gateway).await, None);
}

#[tokio::test]
async fn a_foreign_logout_without_our_cookie_deletes_nothing() {
    let gateway = Gateway::alice();
    let mut browser = Browser::new("192.0.2.1");
    browser.cookies.insert(SESSION.to_owned(), "kept".to_owned());
    location(&browser.send(&gateway, Method::POST, "logout", &[], "").await);
    assert!(browser.cookies.contains_key(SESSION));
}
