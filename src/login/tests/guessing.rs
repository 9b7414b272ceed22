//! Guessing passwords, and learning nothing by it.

use http::StatusCode;

use crate::login::tests::support::Browser;
use crate::login::tests::support::Gateway;
use crate::login::tests::support::SECRET;
use crate::login::tests::support::SESSION;
use crate::login::tests::support::hidden;
use crate::login::tests::support::html;
use crate::login::tests::support::location;

#[tokio::test]
async fn nobody_learns_who_exists() {
    let gateway =
        Gateway::start("users:\n  alice: { password: HASH }\n  dave: { password: HASH, disabled: true }\n");
    let mut answers = Vec::new();
    for (user, password) in [("alice", "wrong"), ("nobody", "wrong"), ("dave", SECRET), ("\u{7}", "x")] {
        let mut browser = Browser::new("192.0.2.1");
        let answer = browser.log_in(&gateway, user, password).await;
        let typed = format!("value=\"{user}\"");
        let tokens = [hidden(&answer, "form_token"), hidden(&answer, "return_to")];
        let mut body = html(&answer).replace(&typed, "value=\"USER\"");
        for token in tokens {
            body = body.replace(&token, "TOKEN");
        }
        let headers = answer.headers().clone();
        answers.push((answer.status(), headers, body, browser.cookies.len()));
        assert_eq!(browser.user(&gateway).await, None);
    }
    assert_eq!(answers[0].0, StatusCode::FORBIDDEN);
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_owner_still_gets_in() {
    let gateway = Gateway::alice();
    let mut owner = Browser::new("192.0.2.1");
    location(&owner.log_in(&gateway, "alice", SECRET).await);
    owner.cookies.remove(SESSION);
    for user in ["alice", "nobody"] {
        for number in 0..5 {
            let mut attacker = Browser::new(&format!("198.51.100.{number}"));
            let answer = attacker.log_in(&gateway, user, "wrong").await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        }
        let mut attacker = Browser::new("198.51.100.9");
        let answer = attacker.log_in(&gateway, user, SECRET).await;
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert!(html(&answer).contains("Wait 1 second"));
    }
    location(&owner.log_in(&gateway, "alice", SECRET).await);
    let mut elsewhere = Browser::new("192.0.2.50");
    location(&elsewhere.log_in(&gateway, "alice", SECRET).await);
}

#[tokio::test]
async fn a_network_that_sprays_is_stopped() {
    let gateway = Gateway::alice();
    for number in 0..30 {
        let mut attacker = Browser::new("198.51.100.1");
        attacker.log_in(&gateway, &format!("user{number}"), "wrong").await;
    }
    let mut attacker = Browser::new("198.51.100.1");
    let answer = attacker.log_in(&gateway, "alice", SECRET).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()["retry-after"], "900");
    location(&Browser::new("192.0.2.1").log_in(&gateway, "alice", SECRET).await);
}
