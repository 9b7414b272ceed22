//! Renewal as browsers, lost answers, laggards and thieves see it.

use super::*;
use crate::net::ClientAddr;
use crate::session::grant::Checked;
use crate::session::lifetime::Lifetime;
use crate::session::sessions::tests::ada;
use crate::session::sessions::tests::assert_active;
use crate::session::sessions::tests::assert_ended;
use crate::session::sessions::tests::at;
use crate::session::sessions::tests::begin;
use crate::session::sessions::tests::host;
use crate::session::sessions::tests::limits;
use crate::session::sessions::tests::login;
use crate::session::sessions::tests::request;
use crate::session::sessions::tests::sessions;
use crate::session::store::conformance::Copies;
use crate::session::store::memory::Memory;

fn day() -> Lifetime {
    limits(10_000, 86_400)
}

async fn ask<S: Store>(sessions: &Arc<Sessions<S>>, token: &Token, secs: u64) -> Finding {
    sessions.find(token, &request(&host("app"), &day(), secs)).await.unwrap()
}

/// The token that is offered to whoever sends `token`.
async fn offered<S: Store>(sessions: &Arc<Sessions<S>>, token: &Token, secs: u64) -> Option<Arc<Token>> {
    let finding = ask(sessions, token, secs).await;
    let Finding::Active(grant) = finding else { panic!("{finding:?} is not active") };
    grant.next().cloned()
}

/// Lets the renewal that was begun come to its end.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// A session whose token is due at 100, and the token offered in its place.
async fn renewed<S: Store>(store: S) -> (Arc<Sessions<S>>, Token, Arc<Token>, Arc<Session>) {
    let sessions = sessions(9, store);
    let (token, session) = begin(&sessions, login("ada", "app", day()), 0).await;
    assert!(offered(&sessions, &token, 99).await.is_none());
    assert!(offered(&sessions, &token, 100).await.is_none(), "offered before it was in the store");
    settle().await;
    let next = offered(&sessions, &token, 101).await.unwrap();
    (sessions, token, next, session)
}

async fn every_offer_is_the_same_until_it_is_seen(store: impl Store) {
    let (sessions, token, next, session) = renewed(store).await;
    for secs in [102, 500, 9_000] {
        let again = offered(&sessions, &token, secs).await.unwrap();
        assert_eq!(again.hash(), next.hash());
    }
    assert_active(&ask(&sessions, &next, 9_001).await, &session);
    // Now it was seen: the one before it lingers, and is then no more.
    assert_active(&ask(&sessions, &token, 9_005).await, &session);
    assert!(offered(&sessions, &token, 9_005).await.is_none());
    assert!(matches!(ask(&sessions, &token, 9_006).await, Finding::Retired));
    assert_active(&ask(&sessions, &next, 9_007).await, &session);
}

#[tokio::test]
async fn a_lost_answer_logs_nobody_out() {
    every_offer_is_the_same_until_it_is_seen(Memory::new()).await;
    every_offer_is_the_same_until_it_is_seen(Copies::default()).await;
}

#[tokio::test]
async fn a_retired_token_that_comes_late_ends_the_session_for_both() {
    let (sessions, token, next, session) = renewed(Copies::default()).await;
    assert_active(&ask(&sessions, &next, 110).await, &session);
    assert!(matches!(ask(&sessions, &token, 159).await, Finding::Retired));
    assert_active(&ask(&sessions, &next, 159).await, &session);
    assert_ended(&ask(&sessions, &token, 160).await, Why::Stolen);
    assert_ended(&ask(&sessions, &next, 160).await, Why::Stolen);
    assert_eq!(sessions.live(), 0);
}

#[tokio::test]
async fn a_retired_token_from_somebody_else_ends_the_session_at_once() {
    let strangers: [fn(&mut Request<'_>); 2] = [
        |request| request.client = ClientAddr([203, 0, 113, 9].into()),
        |request| request.user_agent = "curl/8.0",
    ];
    for estrange in strangers {
        let (sessions, token, next, session) = renewed(Memory::new()).await;
        assert_active(&ask(&sessions, &next, 110).await, &session);
        let (app, lifetime) = (host("app"), day());
        let mut stranger = request(&app, &lifetime, 114);
        estrange(&mut stranger);
        assert_active(&sessions.find(&token, &stranger).await.unwrap(), &session);
        stranger.now = at(115);
        assert_ended(&sessions.find(&token, &stranger).await.unwrap(), Why::Stolen);
        assert_ended(&ask(&sessions, &next, 115).await, Why::Stolen);
    }
}

#[tokio::test]
async fn a_connection_is_told_when_its_token_was_renewed_or_has_lingered_enough() {
    let (sessions, token, next, session) = renewed(Memory::new()).await;
    let (app, lifetime) = (host("app"), day());
    let check =
        async |grant: &Grant, secs| sessions.check(grant, &request(&app, &lifetime, secs)).await.unwrap();
    let Finding::Active(offering) = ask(&sessions, &token, 102).await else { panic!("it is alive") };
    assert!(check(&offering, 103).await == Checked::Holds);
    assert_active(&ask(&sessions, &next, 104).await, &session);
    assert!(check(&offering, 104).await == Checked::Stale);
    let Finding::Active(lingering) = ask(&sessions, &token, 105).await else { panic!("it is alive") };
    assert!(check(&lingering, 108).await == Checked::Holds);
    assert!(check(&lingering, 109).await == Checked::Stale);
}

#[tokio::test]
async fn requests_at_once_are_offered_one_token() {
    let sessions = sessions(9, Copies::default());
    let (token, _) = begin(&sessions, login("ada", "app", day()), 0).await;
    let asked = (0..50).map(|_| ask(&sessions, &token, 100));
    futures_util::future::join_all(asked).await;
    settle().await;
    let offers = (0..50).map(|_| offered(&sessions, &token, 101));
    let offers = futures_util::future::join_all(offers).await;
    let first = offers[0].as_ref().unwrap().hash();
    assert!(offers.iter().all(|offer| offer.as_ref().unwrap().hash() == first));
}

#[tokio::test]
async fn a_renewal_that_comes_late_takes_nothing_back_that_was_offered() {
    late_renewal(Memory::new()).await;
    late_renewal(Copies::default()).await;
}

/// A request that found the token due is overtaken by another, whose renewal is done and offered before its own begins.
async fn late_renewal(store: impl Store) {
    let (sessions, token, next, session) = renewed(store).await;
    let app = Arc::clone(session.tokens().host_of(&token.hash()).unwrap());
    sessions.begin_renewal(&session, &app, &token);
    settle().await;
    assert_active(&ask(&sessions, &next, 102).await, &session);
    // Nor one of a token that is no longer in force.
    sessions.begin_renewal(&session, &app, &token);
    settle().await;
    assert_active(&ask(&sessions, &next, 103).await, &session);
    assert!(offered(&sessions, &next, 103).await.is_none());
}

#[tokio::test]
async fn renewing_moves_no_limit_and_survives_no_end() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = begin(&sessions, ada(), 0).await;
    let times = session.times();
    let (app, lifetime) = (host("app"), limits(10, 25));
    assert_ended(&sessions.find(&token, &request(&app, &lifetime, 100)).await.unwrap(), Why::Idle);
    assert_eq!(session.times(), times);
    let (sessions, token, next, session) = renewed(Memory::new()).await;
    sessions.end(&session, Why::LoggedOut).await.unwrap();
    assert_ended(&ask(&sessions, &token, 102).await, Why::LoggedOut);
    assert_ended(&ask(&sessions, &next, 102).await, Why::LoggedOut);
}
