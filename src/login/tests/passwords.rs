//! Passwords and accounts that change.

use std::fs;

use http::StatusCode;

use crate::login::tests::support::Browser;
use crate::login::tests::support::Gateway;
use crate::login::tests::support::NEXT;
use crate::login::tests::support::SECRET;
use crate::login::tests::support::SESSION;
use crate::login::tests::support::hidden;
use crate::login::tests::support::html;
use crate::login::tests::support::location;
use crate::session::Presence;
use crate::session::lifetime::Why;

#[tokio::test]
async fn a_password_is_changed_with_the_current_one_and_ends_other_sessions() {
    let gateway = Gateway::alice();
    let (mut browser, mut other) = (Browser::new("192.0.2.1"), Browser::new("192.0.2.2"));
    location(&browser.log_in(&gateway, "alice", SECRET).await);
    location(&other.log_in(&gateway, "alice", SECRET).await);
    let before = browser.clone();
    let page = browser.get(&gateway, "password").await;
    let token = hidden(&page, "form_token");
    let change = |current: &str, new: &str| {
        [
            ("form_token", token.clone()),
            ("current", current.to_owned()),
            ("new", new.to_owned()),
            ("others", "end".to_owned()),
        ]
    };
    for (current, new, status) in [
        ("wrong", NEXT, StatusCode::FORBIDDEN),
        (SECRET, "short", StatusCode::UNPROCESSABLE_ENTITY),
        (SECRET, "passwordpassword", StatusCode::UNPROCESSABLE_ENTITY),
        (SECRET, SECRET, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let fields = change(current, new);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(browser.post(&gateway, "password", &fields).await.status(), status, "{new}");
    }
    let fields = change(SECRET, NEXT);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
    let done = browser.post(&gateway, "password", &fields).await;
    assert!(html(&done).contains("Password changed"), "{}", html(&done));
    assert_eq!(browser.user(&gateway).await.as_deref(), Some("alice"));
    assert_ne!(browser.cookies[SESSION], before.cookies[SESSION]);
    for gone in [&before, &other] {
        assert!(matches!(gateway.presence(gone).await, Presence::Ended(_)));
    }
    let mut fresh = Browser::new("192.0.2.3");
    assert_eq!(fresh.log_in(&gateway, "alice", SECRET).await.status(), StatusCode::FORBIDDEN);
    location(&fresh.log_in(&gateway, "alice", NEXT).await);
}

#[tokio::test]
async fn a_one_time_password_gives_a_session_only_for_a_new_one() {
    let gateway = Gateway::start("users:\n  admin: { password: HASH, must_change: true }\n");
    let mut browser = Browser::new("192.0.2.1");
    let page = browser.log_in(&gateway, "admin", SECRET).await;
    assert!(html(&page).contains("Change password"), "{}", html(&page));
    assert_eq!((browser.user(&gateway).await, gateway.sessions.live()), (None, 0));
    let (token, ticket) = (hidden(&page, "form_token"), hidden(&page, "ticket"));
    let mut thief = Browser::new("192.0.2.9");
    let fields = [("form_token", &*token), ("ticket", &*ticket), ("new", NEXT)];
    assert!(html(&thief.post(&gateway, "password", &fields).await).contains("Please sign in"));
    let answer = browser.post(&gateway, "password", &fields).await;
    assert_eq!(location(&answer), "/reports?id=7&u=//x");
    assert_eq!(browser.user(&gateway).await.as_deref(), Some("admin"));
    let again = browser.post(&gateway, "password", &fields).await;
    assert!(html(&again).contains("Please sign in"), "{}", html(&again));
    let mut other = Browser::new("192.0.2.2");
    assert_eq!(other.log_in(&gateway, "admin", SECRET).await.status(), StatusCode::FORBIDDEN);
    location(&other.log_in(&gateway, "admin", NEXT).await);
}

#[tokio::test]
async fn an_imported_hash_is_replaced_at_the_first_login() {
    let bcrypt = bcrypt::hash("imported", 4).unwrap();
    let gateway =
        Gateway::start(&format!("users:\n  # from htpasswd\n  alice: {{ password: '{bcrypt}' }}\n"));
    let mut browser = Browser::new("192.0.2.1");
    location(&browser.log_in(&gateway, "alice", "imported").await);
    let text = fs::read_to_string(&gateway.users).unwrap();
    assert!(text.contains("$argon2id$") && text.contains("# from htpasswd"), "{text}");
    assert_eq!(browser.user(&gateway).await.as_deref(), Some("alice"));
    location(&Browser::new("192.0.2.2").log_in(&gateway, "alice", "imported").await);
}

#[tokio::test]
async fn removed_users_are_out_within_seconds_and_a_broken_file_changes_nothing() {
    let gateway = Gateway::alice();
    let (mut alice, mut bob) = (Browser::new("192.0.2.1"), Browser::new("192.0.2.2"));
    location(&alice.log_in(&gateway, "alice", SECRET).await);
    location(&bob.log_in(&gateway, "bob", SECRET).await);
    let text = fs::read_to_string(&gateway.users).unwrap();
    let mut told = None;
    fs::write(&gateway.users, "users: [").unwrap();
    gateway.login.look_at_users(&mut told).await;
    assert!(told.is_some() && alice.user(&gateway).await.is_some());
    let without_alice: String =
        text.lines().filter(|line| !line.contains("alice")).flat_map(|line| [line, "\n"]).collect();
    fs::write(&gateway.users, without_alice).unwrap();
    gateway.login.look_at_users(&mut told).await;
    assert!(matches!(gateway.presence(&alice).await, Presence::Ended(Why::UserRemoved)));
    assert_eq!(bob.user(&gateway).await.as_deref(), Some("bob"));
    assert_eq!(alice.log_in(&gateway, "alice", SECRET).await.status(), StatusCode::FORBIDDEN);
}
