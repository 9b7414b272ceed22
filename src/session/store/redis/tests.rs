//! The suite of all stores, and what is particular to this one, against a real server.

use super::server::Server;
use super::*;
use crate::session::lifetime::Lifetime;
use crate::session::store::conformance;
use crate::session::store::conformance::session_of;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

fn ada() -> Arc<Session> {
    let lifetime = Lifetime::new(Duration::from_secs(10), Duration::from_mins(1)).unwrap();
    session_of("ada", lifetime, at(100))
}

#[tokio::test]
async fn redis_is_a_store() {
    let server = Server::start();
    let parts = std::cell::Cell::new(0);
    Box::pin(conformance::run(async || {
        parts.set(parts.get() + 1);
        server.store(&format!("part-{}:", parts.get()), 1)
    }))
    .await;
}

#[tokio::test]
async fn every_key_has_an_end_and_goes_with_its_session() {
    let server = Server::start();
    let (store, session) = (server.store("v:", 1), ada());
    store.create(&session, 9).await.unwrap();
    let keys = server.keys().await;
    assert_eq!(keys.len(), 5);
    for key in keys.iter().filter(|key| !key.starts_with("v:t:")) {
        let ttl: i64 = server.say(&["PTTL", key]).await;
        assert!(ttl > 60_000 && ttl <= 660_000, "{key} has {ttl} ms");
    }
    store.touch(&[Arc::clone(&session)]).await.unwrap();
    assert!(store.remove(&session).await.unwrap());
    assert_eq!(server.keys().await, [""; 0]);
}

#[tokio::test]
async fn what_is_left_of_a_lost_session_is_in_nobodys_way() {
    let server = Server::start();
    let (store, lost, kept) = (server.store("v:", 1), ada(), ada());
    store.create(&lost, 9).await.unwrap();
    store.create(&kept, 9).await.unwrap();
    let _: i64 = server.say(&["DEL", &store.shared.keys.session(lost.id())]).await;
    assert!(store.find(&lost.tokens().hosts()[0].current).await.unwrap().is_none());
    assert_eq!(store.of_user(&lost.user().name).await.unwrap().len(), 1);
    assert_eq!(store.overdue(at(200), 9).await.unwrap().len(), 1);
    store.touch(&[Arc::clone(&lost)]).await.unwrap();
    assert!(!store.remove(&lost).await.unwrap());
    assert!(store.remove(&kept).await.unwrap());
    assert_eq!(store.count(), 0);
}

#[tokio::test]
async fn a_gateway_with_other_keys_finds_nothing_and_is_not_stopped_by_it() {
    let server = Server::start();
    let (ours, theirs) = (server.store("v:", 1), server.store("v:", 2));
    let sessions = [ada(), ada()];
    ours.create(&sessions[0], 9).await.unwrap();
    theirs.create(&sessions[1], 9).await.unwrap();
    assert!(ours.find(&sessions[1].tokens().hosts()[0].current).await.unwrap().is_none());
    assert!(ours.load(sessions[1].id()).await.unwrap().is_none());
    assert_eq!(ours.of_user(&sessions[0].user().name).await.unwrap().len(), 1);
    assert_eq!(ours.overdue(at(200), 9).await.unwrap().len(), 1);
    // What is over and nobody can read is gone.
    assert!(theirs.load(sessions[1].id()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_token_that_was_led_to_another_session_leads_nowhere() {
    let server = Server::start();
    let (store, session, other) = (server.store("v:", 1), ada(), ada());
    store.create(&session, 9).await.unwrap();
    store.create(&other, 9).await.unwrap();
    let hash = other.tokens().hosts()[0].current;
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let set = ::redis::Cmd::set(store.shared.keys.token(&hash), session.id().text().as_str());
    let _: () = set.query_async(&mut connection).await.unwrap();
    assert!(store.find(&hash).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_no_session_is_absent_and_breaks_nothing() {
    let server = Server::start();
    let (store, session, other) = (server.store("v:", 1), ada(), ada());
    let hash = session.tokens().hosts()[0].current;
    let keys = &store.shared.keys;
    let (row, seen) = (keys.session(session.id()), keys.seen(session.id()));
    store.create(&other, 99).await.unwrap();
    let large = "x".repeat(2 << 20);
    for value in ["", "x", "\u{7f}", "\u{1}garbage", &large] {
        store.create(&session, 99).await.unwrap();
        let _: () = server.say(&["SET", &row, value, "KEEPTTL"]).await;
        let _: () = server.say(&["SET", &seen, value, "KEEPTTL"]).await;
        assert!(
            store.find(&hash).await.unwrap().is_none() && store.load(session.id()).await.unwrap().is_none()
        );
        store.touch(&[Arc::clone(&session), Arc::clone(&other)]).await.unwrap();
        assert!(!store.replace(&session, 0, &session.tokens()).await.unwrap());
        assert_eq!(store.of_user(&session.user().name).await.unwrap().len(), 1);
        store.remove(&session).await.unwrap();
        let tokens: Vec<Vec<u8>> = server.say(&["KEYS", "v:t:*"]).await;
        for key in tokens.iter().filter(|key| key.ends_with(hash.as_bytes())) {
            server.delete(key).await;
        }
    }
    store.create(&session, 99).await.unwrap();
    for key in [&row, &seen] {
        let _: i64 = server.say(&["DEL", key]).await;
        let _: i64 = server.say(&["RPUSH", key, "x"]).await;
    }
    assert!(store.find(&hash).await.unwrap().is_none());
    store.touch(&[Arc::clone(&session), Arc::clone(&other)]).await.unwrap();
    store.remove(&session).await.unwrap();
    assert_eq!(store.count(), 1);
}

#[tokio::test]
async fn a_session_that_a_server_brings_back_is_not_found_and_ends_again() {
    let server = Server::start();
    let (store, session) = (server.store("v:", 1), ada());
    store.create(&session, 9).await.unwrap();
    let key = store.shared.keys.session(session.id());
    let copy: Vec<u8> = server.say(&["DUMP", &key]).await;
    let hash = session.tokens().hosts()[0].current;
    assert!(store.remove(&session).await.unwrap());
    // As a replica would that was made the master before it heard of the end.
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: () =
        ::redis::cmd("RESTORE").arg(&key).arg(60_000).arg(copy).query_async(&mut connection).await.unwrap();
    let _: () = ::redis::Cmd::set(store.shared.keys.token(&hash), session.id().text().as_str())
        .query_async(&mut connection)
        .await
        .unwrap();
    let seen = store.rows.write_seen(session.id(), at(100));
    let _: () = ::redis::Cmd::set(store.shared.keys.seen(session.id()), &seen[..])
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(store.find(&hash).await.unwrap().is_none());
    // A new connection is where it could come back; before it is used the session is ended again.
    let _killed: i64 = server.say(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    while !matches!(store.news().await, News::Down { .. }) {}
    while store.news().await != News::Up {}
    assert!(store.find(&hash).await.unwrap().is_none());
    assert_eq!(server.keys().await, [""; 0]);
}

#[tokio::test]
async fn what_others_do_is_heard_and_what_is_only_used_is_not() {
    let server = Server::start();
    let (ours, theirs, session) = (server.store("v:", 1), server.store("v:", 1), ada());
    while !matches!(ours.news().await, News::Sound(_)) {}
    let changes = async || loop {
        if let News::Changed(id) = ours.news().await {
            return id;
        }
    };
    theirs.create(&session, 9).await.unwrap();
    assert_eq!(changes().await, session.id());
    theirs.touch(&[Arc::clone(&session)]).await.unwrap();
    let current = session.tokens().hosts()[0].current;
    let next = crate::session::tokens::Next { hash: TokenHash::from_bytes([7; 32]), sealed: "x".into() };
    assert!(theirs.replace(&session, 0, &session.tokens().offering(&current, next)).await.unwrap());
    assert_eq!(changes().await, session.id());
    theirs.remove(&session).await.unwrap();
    assert_eq!(changes().await, session.id());
    assert!(ours.load(session.id()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_full_server_takes_no_session_but_ends_them_and_hears_of_their_use() {
    let server = Server::start();
    let (store, session) = (server.store("v:", 1), ada());
    store.create(&session, 9).await.unwrap();
    let _: () = server.say(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(store.create(&ada(), 9).await.is_err());
    session.touch(at(105), Duration::ZERO);
    store.touch(&[Arc::clone(&session)]).await.unwrap();
    assert_eq!(store.last_seen(&session).await.unwrap(), Some(at(105)));
    assert!(store.remove(&session).await.unwrap());
}

#[tokio::test]
async fn a_replica_is_no_store_and_a_server_that_is_gone_is_an_error_at_once() {
    let mut server = Server::start();
    let (store, session) = (server.store_by(Clock::system(), "v:", 1), ada());
    store.create(&session, 9).await.unwrap();
    let _: () = server.say(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let reason = loop {
        if let News::Down { reason } = store.news().await {
            break reason;
        }
    };
    assert!(reason.contains("replica"), "{reason}");
    let _: () = server.say(&["REPLICAOF", "NO", "ONE"]).await;
    assert!(store.load(session.id()).await.unwrap().is_some());
    server.stop();
    let mut link = store.link.clone();
    link.wait_for(|link| matches!(link, Link::Down(_))).await.unwrap();
    assert!(store.load(session.id()).await.is_err());
}
