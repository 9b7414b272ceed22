//! What several gateways promise together that share a store.

mod model;

use tokio::task::JoinHandle;

use super::tests::ada;
use super::tests::assert_active;
use super::tests::assert_ended;
use super::tests::begin;
use super::tests::find;
use super::tests::limits;
use super::tests::sessions;
use super::*;
use crate::clock::Clock;
use crate::session::store::redis::Redis;
use crate::session::store::redis::server::Server;
use crate::session::token::Token;

/// Sessions of one gateway, which follow what others do.
struct Gateway {
    sessions: Arc<Sessions<Redis>>,
    following: JoinHandle<()>,
}

impl Gateway {
    fn start(server: &Server, clock: &Clock) -> Self {
        let sessions = sessions(9, server.store_by(clock.clone(), "v:", 1));
        Self::following(Arc::into_inner(sessions).unwrap(), clock)
    }

    fn following(sessions: Sessions<Redis>, clock: &Clock) -> Self {
        let sessions = Arc::new(sessions);
        let (followed, time) = (Arc::clone(&sessions), clock.clone());
        let following = tokio::spawn(async move { followed.follow(|| time.now(), |_state| {}).await });
        Self { sessions, following }
    }

    /// Waits until it believes what it has cached, as of `secs`.
    async fn believes(&self, secs: u64) {
        while !self.sessions.believes(at(secs)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The session with this token, in this gateway's cache from now on.
    async fn known(&self, token: &Token, secs: u64) -> Arc<Session> {
        let found = find(&self.sessions, token, secs).await;
        let Finding::Active(grant) = found else { panic!("the session is alive, not {found:?}") };
        Arc::clone(grant.session())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.following.abort();
    }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

#[tokio::test]
async fn what_one_ends_is_over_at_the_other_and_told_once() {
    let (server, clock) = (Server::start(), Clock::manual(at(0)));
    let (one, other) = (Gateway::start(&server, &clock), Gateway::start(&server, &clock));
    let (token, session) = begin(&one.sessions, ada(), 0).await;
    let there = other.known(&token, 1).await;
    one.sessions.end(&session, Why::LoggedOut).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(1), there.ended());
    assert_eq!(heard.await.unwrap(), Why::LoggedOut);
    assert_eq!(session.why_ended(), Some(Why::LoggedOut));
    assert_ended(&find(&other.sessions, &token, 1).await, Why::LoggedOut);
    assert_ended(&find(&one.sessions, &token, 1).await, Why::LoggedOut);
}

#[tokio::test]
async fn nothing_cached_is_believed_for_long_once_nothing_is_heard() {
    let (mut server, clock) = (Server::start(), Clock::manual(at(0)));
    let gateway = Gateway::start(&server, &clock);
    let (token, session) = begin(&gateway.sessions, ada(), 0).await;
    gateway.believes(1).await;
    server.stop();
    // Two seconds until silence is noticed, and none for serving what is cached.
    assert_active(&find(&gateway.sessions, &token, 1).await, &session);
    let host = Host::parse("app").unwrap();
    let (policy, lifetime) = (Policy::default(), limits(10, 25));
    let request = |secs| Request {
        host: &host,
        lifetime: &lifetime,
        policy: &policy,
        client: ClientAddr([192, 0, 2, 7].into()),
        user_agent: "",
        now: at(secs),
    };
    let Finding::Active(grant) = find(&gateway.sessions, &token, 1).await else { panic!("it is alive") };
    assert_eq!(gateway.sessions.check(&grant, &request(1)).await.unwrap(), Checked::Holds);
    assert_eq!(gateway.sessions.check(&grant, &request(3)).await.unwrap(), Checked::Stale);
    assert!(gateway.sessions.find(&token, &request(3)).await.is_err());
    assert!(gateway.sessions.find(&Token::generate(), &request(1)).await.is_err());
    // What waits for its end waits no longer; it was not told that it is over.
    assert_eq!(session.why_ended(), None);
    clock.advance(Duration::from_secs(3));
    assert_eq!(session.ended().await, Why::NotHeard);
    assert_eq!(gateway.sessions.check(&grant, &request(3)).await.unwrap(), Checked::Stale);
    server.start_again();
    gateway.believes(3).await;
    assert!(matches!(gateway.sessions.find(&token, &request(3)).await.unwrap(), Finding::Nobody));
}

#[tokio::test]
async fn what_waits_for_its_end_does_not_take_it_for_idle() {
    let (server, clock) = (Server::start(), Clock::manual(at(0)));
    let (one, other) = (Gateway::start(&server, &clock), Gateway::start(&server, &clock));
    let (token, session) = begin(&one.sessions, ada(), 0).await;
    let there = other.known(&token, 1).await;
    one.sessions.touch(&session, at(8));
    one.sessions.flush().await.unwrap();
    other.sessions.sweep(at(9)).await.unwrap();
    assert_eq!(there.times().last_seen, at(8));
}

#[tokio::test]
async fn how_long_it_has_is_told_with_what_others_know() {
    let (server, clock) = (Server::start(), Clock::manual(at(0)));
    let (one, other) = (Gateway::start(&server, &clock), Gateway::start(&server, &clock));
    let (token, session) = begin(&one.sessions, ada(), 0).await;
    let there = other.known(&token, 1).await;
    one.sessions.touch(&session, at(5));
    one.sessions.flush().await.unwrap();
    assert_eq!(there.times().last_seen, at(0));
    other.sessions.ask_last_seen(&there).await.unwrap();
    assert_eq!(there.times().last_seen, at(5));
}

#[tokio::test]
async fn a_session_that_was_used_elsewhere_is_not_idle() {
    let (server, clock) = (Server::start(), Clock::manual(at(0)));
    let (one, other) = (Gateway::start(&server, &clock), Gateway::start(&server, &clock));
    let (token, session) = begin(&one.sessions, ada(), 0).await;
    let there = other.known(&token, 1).await;
    one.sessions.touch(&session, at(9));
    one.sessions.flush().await.unwrap();
    assert_eq!(there.times().last_seen, at(0));
    assert_active(&find(&other.sessions, &token, 11).await, &there);
    assert_eq!(there.times().last_seen, at(9));
    // The other has nothing to tell of it and does not end it before all can have told.
    assert_eq!(other.sessions.sweep(at(19)).await.unwrap(), 0);
    assert_active(&find(&other.sessions, &token, 19).await, &there);
    assert_ended(&find(&other.sessions, &token, 22).await, Why::Idle);
    assert_eq!(one.sessions.sweep(at(100)).await.unwrap(), 0);
}

#[tokio::test]
async fn sweeps_of_two_end_a_session_once() {
    let (server, clock) = (Server::start(), Clock::manual(at(0)));
    let (one, other) = (Gateway::start(&server, &clock), Gateway::start(&server, &clock));
    for _ in 0..5 {
        begin(&one.sessions, ada(), 0).await;
    }
    let swept = tokio::join!(one.sessions.sweep(at(60)), other.sessions.sweep(at(60)));
    assert_eq!(swept.0.unwrap() + swept.1.unwrap(), 5);
    assert_eq!((one.sessions.live(), other.sessions.live()), (0, 0));
}
