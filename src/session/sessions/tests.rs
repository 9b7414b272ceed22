//! What sessions promise, one sentence at a time.

use futures_util::FutureExt;

use super::*;
use crate::identity::user::User;
use crate::net::ClientAddr;
use crate::session::SameSite;
use crate::session::store::conformance::Copies;

pub(super) fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

pub(super) fn limits(idle: u64, absolute: u64) -> Lifetime {
    Lifetime::new(Duration::from_secs(idle), Duration::from_secs(absolute)).unwrap()
}

pub(super) fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

pub(super) fn sessions<S: Store>(max_sessions: usize, store: S) -> Sessions<S> {
    let settings = Settings {
        cookie_name: "__Host-Http-session".to_owned(),
        same_site: SameSite::Lax,
        lifetime: limits(10, 25),
        max_sessions,
    };
    Sessions::new(&settings, &Key::from_bytes([7; 32]), store)
}

pub(super) fn login(user: &str, on: &str, lifetime: Lifetime) -> NewLogin {
    NewLogin {
        user: Arc::new(User {
            name: UserName::parse(user).unwrap(),
            email: None,
            display_name: None,
            groups: Vec::new(),
        }),
        host: host(on),
        client: ClientAddr([192, 0, 2, 7].into()),
        user_agent: Some("Browser/1".to_owned()),
        lifetime,
    }
}

pub(super) fn ada() -> NewLogin {
    login("ada", "app", limits(10, 25))
}

pub(super) async fn find<S: Store>(sessions: &Sessions<S>, token: &Token, secs: u64) -> Presence {
    ask(sessions, token, "app", limits(10, 25), secs).await.unwrap()
}

pub(super) async fn ask<S: Store>(
    sessions: &Sessions<S>,
    token: &Token,
    on: &str,
    lifetime: Lifetime,
    secs: u64,
) -> Result<Presence, StoreError> {
    sessions.find(token, &host(on), &lifetime, at(secs)).await
}

#[track_caller]
pub(super) fn assert_active(presence: &Presence, expected: &Arc<Session>) {
    let Presence::Active(session) = presence else {
        panic!("{presence:?} is not active");
    };
    assert!(Arc::ptr_eq(session, expected), "not the shared session");
}

#[track_caller]
pub(super) fn assert_ended(presence: &Presence, expected: Why) {
    assert!(matches!(presence, Presence::Ended(why) if *why == expected), "{presence:?} is not {expected:?}");
}

#[track_caller]
fn assert_anonymous(presence: &Presence) {
    assert!(matches!(presence, Presence::Anonymous), "{presence:?} is not anonymous");
}

#[tokio::test]
async fn a_login_is_found_on_its_own_host_alone() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = sessions.begin(ada(), None, at(0)).await.unwrap();
    assert_active(&find(&sessions, &token, 1).await, &session);
    for elsewhere in ["other", "app.other"] {
        let presence = ask(&sessions, &token, elsewhere, limits(10, 25), 1);
        assert_anonymous(&presence.await.unwrap());
    }
    sessions.end(&session, Why::LoggedOut).await.unwrap();
    let elsewhere = ask(&sessions, &token, "other", limits(10, 25), 1);
    assert_anonymous(&elsewhere.await.unwrap());
}

#[tokio::test]
async fn an_id_of_somebody_elses_making_is_nobody_and_leaves_no_trace() {
    let sessions = sessions(9, Memory::new());
    for _ in 0..1000 {
        assert_anonymous(&find(&sessions, &Token::generate(), 0).await);
    }
    sessions.ended.run_pending_tasks();
    assert_eq!((sessions.cache.count(), sessions.ended.entry_count()), (0, 0));
    assert_eq!(sessions.live(), 0);
}

#[tokio::test]
async fn a_new_login_kills_the_old_session_of_the_browser() {
    let sessions = sessions(1, Memory::new());
    let (old_token, old) = sessions.begin(ada(), None, at(0)).await.unwrap();
    let (token, session) = sessions.begin(ada(), Some(&old), at(1)).await.unwrap();
    assert_eq!(old.why_ended(), Some(Why::Replaced));
    assert_ended(&find(&sessions, &old_token, 1).await, Why::Replaced);
    assert_active(&find(&sessions, &token, 1).await, &session);
    assert_eq!(sessions.live(), 1);
}

#[tokio::test]
async fn a_logout_is_known_to_all_who_hold_the_session_before_it_returns() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = sessions.begin(ada(), None, at(0)).await.unwrap();
    let stream = session.ended();
    sessions.end(&session, Why::LoggedOut).await.unwrap();
    sessions.end(&session, Why::Administrator).await.unwrap();
    assert_eq!(stream.now_or_never(), Some(Why::LoggedOut));
    assert_ended(&find(&sessions, &token, 1).await, Why::LoggedOut);
    let (app, lifetime) = (host("app"), limits(10, 25));
    let held = sessions.check(&session, &app, &lifetime, at(1)).await.unwrap();
    assert_ended(&held, Why::LoggedOut);
    assert_eq!(sessions.live(), 0);
}

#[tokio::test]
async fn requests_keep_a_session_alive_up_to_its_absolute_end() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = sessions.begin(ada(), None, at(0)).await.unwrap();
    for secs in (5..25).step_by(5) {
        assert_active(&find(&sessions, &token, secs).await, &session);
        session.touch(at(secs));
    }
    assert_ended(&find(&sessions, &token, 25).await, Why::Absolute);
    assert_eq!(sessions.live(), 0);
}

#[tokio::test]
async fn an_idle_session_is_ended_when_it_is_found_not_just_refused() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = sessions.begin(ada(), None, at(0)).await.unwrap();
    assert_ended(&find(&sessions, &token, 10).await, Why::Idle);
    assert_eq!((sessions.live(), session.why_ended()), (0, Some(Why::Idle)));
    // No setting back of a clock, and no longer limit, brings it back.
    assert_ended(&find(&sessions, &token, 1).await, Why::Idle);
    let longer = ask(&sessions, &token, "app", limits(99, 99), 1);
    assert_ended(&longer.await.unwrap(), Why::Idle);
}

#[tokio::test]
async fn a_sites_limits_are_judged_as_they_are_now_if_that_is_shorter() {
    let sessions = sessions(9, Memory::new());
    let (token, _) = sessions.begin(ada(), None, at(0)).await.unwrap();
    let shortened = ask(&sessions, &token, "app", limits(3, 25), 3);
    assert_ended(&shortened.await.unwrap(), Why::Idle);
}

#[tokio::test]
async fn a_sweep_ends_what_is_over_and_nothing_else() {
    let sessions = sessions(9, Memory::new());
    let (token, gone) = sessions.begin(ada(), None, at(0)).await.unwrap();
    let waiting = gone.ended();
    let (other_token, used) = sessions.begin(ada(), None, at(0)).await.unwrap();
    used.touch(at(5));
    assert_eq!(sessions.sweep(at(9)).await.unwrap(), 0);
    assert_eq!(sessions.sweep(at(10)).await.unwrap(), 1);
    assert_eq!(waiting.now_or_never(), Some(Why::Idle));
    assert_ended(&find(&sessions, &token, 10).await, Why::Idle);
    assert_active(&find(&sessions, &other_token, 10).await, &used);
    assert_eq!(sessions.live(), 1);
}

#[tokio::test]
async fn a_store_that_knows_old_times_is_told_the_new_ones() {
    let sessions = sessions(9, Copies::default());
    let (token, session) = sessions.begin(ada(), None, at(0)).await.unwrap();
    session.touch(at(9));
    assert_eq!(sessions.store.overdue(at(12)).await.unwrap().len(), 1);
    assert_eq!(sessions.sweep(at(12)).await.unwrap(), 0);
    assert!(sessions.store.overdue(at(12)).await.unwrap().is_empty());
    session.touch(at(14));
    assert_eq!(sessions.sweep(at(20)).await.unwrap(), 0);
    assert_active(&find(&sessions, &token, 20).await, &session);
    assert_eq!(sessions.sweep(at(24)).await.unwrap(), 1);
    assert_ended(&find(&sessions, &token, 24).await, Why::Idle);
}

#[tokio::test]
async fn a_full_house_turns_new_logins_away_and_nobody_out() {
    let sessions = sessions(2, Memory::new());
    let (first, kept) = sessions.begin(ada(), None, at(0)).await.unwrap();
    let (second, idle) = sessions.begin(ada(), None, at(0)).await.unwrap();
    kept.touch(at(5));
    let refused = sessions.begin(ada(), None, at(9)).await;
    assert!(matches!(refused, Err(BeginError::Full)));
    assert_active(&find(&sessions, &second, 9).await, &idle);
    // The one that is over makes room, and only that one.
    let (third, new) = sessions.begin(ada(), None, at(10)).await.unwrap();
    assert!(matches!(sessions.begin(ada(), None, at(10)).await, Err(BeginError::Full)));
    assert_active(&find(&sessions, &first, 10).await, &kept);
    assert_ended(&find(&sessions, &second, 10).await, Why::Idle);
    assert_active(&find(&sessions, &third, 10).await, &new);
    // Nothing of those who were turned away is left.
    assert_eq!((sessions.cache.count(), sessions.live()), (2, 2));
}

#[tokio::test]
async fn all_sessions_of_a_user_end_together_and_only_theirs() {
    let sessions = sessions(9, Memory::new());
    let (one, _) = sessions.begin(ada(), None, at(0)).await.unwrap();
    let (two, _) = sessions.begin(ada(), None, at(0)).await.unwrap();
    let eve = login("eve", "app", limits(10, 25));
    let (other, others) = sessions.begin(eve, None, at(0)).await.unwrap();
    let name = UserName::parse("ada").unwrap();
    assert_eq!(sessions.end_user(&name, Why::UserRemoved).await.unwrap(), 2);
    assert_eq!(sessions.end_user(&name, Why::UserRemoved).await.unwrap(), 0);
    for token in [one, two] {
        assert_ended(&find(&sessions, &token, 1).await, Why::UserRemoved);
    }
    assert_active(&find(&sessions, &other, 1).await, &others);
}

#[tokio::test]
async fn every_end_is_told_once_whoever_notices_it() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    let sessions = sessions(9, Memory::new())
        .tell_ends(move |session, why| list.lock().unwrap().push((session.user().name.to_string(), why)));
    let on = |user| login(user, "app", limits(10, 25));
    let (token, ada) = sessions.begin(on("ada"), None, at(0)).await.unwrap();
    let (_, swept) = sessions.begin(on("bob"), None, at(0)).await.unwrap();
    let (_, replaced) = sessions.begin(on("eve"), None, at(9)).await.unwrap();
    // Two requests at once, and the sweep behind them.
    let (app, limits) = (host("app"), limits(10, 25));
    let (first, second) =
        futures_util::join!(sessions.check(&ada, &app, &limits, at(10)), find(&sessions, &token, 10));
    assert_ended(&first.unwrap(), Why::Idle);
    assert_ended(&second, Why::Idle);
    assert_eq!(sessions.sweep(at(10)).await.unwrap(), 1);
    sessions.end(&swept, Why::LoggedOut).await.unwrap();
    let (_, fresh) = sessions.begin(on("eve"), Some(&replaced), at(11)).await.unwrap();
    sessions.end(&fresh, Why::LoggedOut).await.unwrap();
    let expected = [("ada", Why::Idle), ("bob", Why::Idle), ("eve", Why::Replaced), ("eve", Why::LoggedOut)];
    assert_eq!(*told.lock().unwrap(), expected.map(|(name, why)| (name.to_owned(), why)));
}

#[tokio::test]
async fn a_copy_of_the_store_gives_no_usable_cookie() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = sessions.begin(ada(), None, at(0)).await.unwrap();
    let stored = crate::crypto::base64url(session.hash().as_bytes());
    assert_ne!(stored, *token.encode().expose());
    let forged = Token::parse(stored.as_bytes()).unwrap();
    assert_anonymous(&find(&sessions, &forged, 1).await);
}
