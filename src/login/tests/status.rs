//! The session as JSON, and what every place of ours refuses.

use std::time::Duration;

use http::Method;
use http::StatusCode;

use crate::login::Action;
use crate::login::tests::support::Browser;
use crate::login::tests::support::Gateway;
use crate::login::tests::support::SECRET;
use crate::login::tests::support::html;
use crate::login::tests::support::json;
use crate::login::tests::support::location;
use crate::net::Scheme;

#[tokio::test]
async fn pages_answer_navigations_alone_and_methods_are_told() {
    let gateway = Gateway::alice();
    let mut browser = Browser::new("192.0.2.1");
    for place in ["login", "logout", "password", "sessions"] {
        for dest in ["empty", "iframe", "image", "script"] {
            let answer = browser.send(&gateway, Method::GET, place, &[("sec-fetch-dest", dest)], "").await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{place} as {dest}");
        }
        let answer = browser.send(&gateway, Method::PUT, place, &[], "").await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], "GET, HEAD, POST");
    }
    let answer = browser.send(&gateway, Method::GET, "session/extend", &[], "").await;
    assert_eq!(answer.headers()["allow"], "POST");
    let query = browser.get(&gateway, "login?username=alice&password=x").await;
    assert_eq!(query.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn looking_at_the_session_moves_nothing_and_extending_does() {
    let gateway = Gateway::alice();
    let mut browser = Browser::new("192.0.2.1");
    let nobody = browser.send(&gateway, Method::GET, "session", &[], "").await;
    assert_eq!(json(&nobody)["authenticated"], false);
    location(&browser.log_in(&gateway, "alice", SECRET).await);
    gateway.clock.advance(Duration::from_mins(10));
    for _ in 0..2 {
        let status = json(&browser.send(&gateway, Method::GET, "session", &[], "").await);
        assert_eq!(status["user"], "alice");
        assert_eq!(status["groups"][0], "staff");
        assert_eq!(status["idle_seconds_left"], 20 * 60);
        assert_eq!(status["began"], "2023-11-14T22:13:20.000Z");
    }
    for site in ["cross-site", "same-site"] {
        let headers = [("sec-fetch-site", site)];
        for (method, place) in [(Method::GET, "session"), (Method::POST, "session/extend")] {
            let answer = browser.send(&gateway, method, place, &headers, "").await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        }
    }
    let silent = browser.send(&gateway, Method::POST, "session/extend", &[], "").await;
    assert_eq!(silent.status(), StatusCode::FORBIDDEN);
    let own = [("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "empty")];
    let status = json(&browser.send(&gateway, Method::POST, "session/extend", &own, "").await);
    assert_eq!(status["idle_seconds_left"], 30 * 60);
    gateway.clock.advance(Duration::from_mins(31));
    let over = browser.send(&gateway, Method::POST, "session/extend", &own, "").await;
    assert_eq!(
        (over.status(), json(&over)["error"].as_str()),
        (StatusCode::UNAUTHORIZED, Some("login_required"))
    );
    let page = browser.get(&gateway, "login").await;
    assert!(html(&page).contains("nothing happened for a while"));
}

#[tokio::test]
async fn plain_http_has_no_form() {
    let mut gateway = Gateway::alice();
    let mut browser = Browser::new("192.0.2.1");
    gateway.scheme = Scheme::Http;
    let refused = browser.get(&gateway, "login").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(browser.cookies.is_empty() && html(&refused).contains("https://"));
}

#[test]
fn places_are_matched_byte_by_byte() {
    assert_eq!(Action::of("session/extend"), Some(Action::SessionExtend));
    for other in ["", "Login", "login/", "sessions/", "session/", "/login", "callback"] {
        assert_eq!(Action::of(other), None, "{other:?}");
    }
}
