//! What sessions promise, one sentence at a time.

use futures_util::FutureExt;

use super::*;
use crate::identity::user::User;
use crate::net::ClientAddr;
use crate::session::Activity;
use crate::session::AtLimit;
use crate::session::NewLogin;
use crate::session::SameSite;
use crate::session::renewal::Pace;
use crate::session::sessions::begin::BeginError;
use crate::session::store::conformance::Copies;
use crate::session::store::memory::Memory;
use crate::session::token::Token;

pub(super) const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0";

pub(super) fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

pub(super) fn limits(idle: u64, absolute: u64) -> Lifetime {
    Lifetime::new(Duration::from_secs(idle), Duration::from_secs(absolute)).unwrap()
}

pub(super) fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

pub(super) fn sessions<S: Store>(max_sessions: usize, store: S) -> Arc<Sessions<S>> {
    with_limit(max_sessions, (99, AtLimit::EndOldest), store)
}

pub(super) fn with_limit<S: Store>(
    max_sessions: usize,
    (max_per_user, at_limit): (usize, AtLimit),
    store: S,
) -> Arc<Sessions<S>> {
    let settings = Settings {
        cookie_name: "__Host-Http-session".to_owned(),
        same_site: SameSite::Lax,
        lifetime: limits(10, 25),
        max_sessions,
        max_per_user,
        at_limit,
        serve_cached: Duration::ZERO,
    };
    Arc::new(Sessions::new(&settings, store))
}

/// Who ended, and why.
pub(super) type Ends = Arc<Mutex<Vec<(String, Why)>>>;

/// The sessions, with a list of all ends that are told.
pub(super) fn listened_to<S: Store>(sessions: Arc<Sessions<S>>) -> (Arc<Sessions<S>>, Ends) {
    let told = Ends::default();
    let list = Arc::clone(&told);
    let sessions = Arc::into_inner(sessions).unwrap().tell_ends(move |session, why| {
        list.lock().unwrap().push((session.user().name.to_string(), why));
    });
    (Arc::new(sessions), told)
}

pub(super) async fn begin<S: Store>(
    sessions: &Sessions<S>,
    login: NewLogin,
    secs: u64,
) -> (Token, Arc<Session>) {
    let begun = sessions.begin(login, None, at(secs)).await.unwrap();
    (begun.token, begun.session)
}

pub(super) fn login(user: &str, on: &str, lifetime: Lifetime) -> NewLogin {
    NewLogin {
        user: Arc::new(User::named(UserName::parse(user).unwrap())),
        host: host(on),
        client: ClientAddr([192, 0, 2, 7].into()),
        user_agent: Some(BROWSER.to_owned()),
        lifetime,
        brought: None,
    }
}

pub(super) fn ada() -> NewLogin {
    login("ada", "app", limits(10, 25))
}

pub(super) async fn find<S: Store>(sessions: &Arc<Sessions<S>>, token: &Token, secs: u64) -> Finding {
    ask(sessions, token, "app", limits(10, 25), secs).await.unwrap()
}

pub(super) async fn ask<S: Store>(
    sessions: &Arc<Sessions<S>>,
    token: &Token,
    on: &str,
    lifetime: Lifetime,
    secs: u64,
) -> Result<Finding, StoreError> {
    sessions.find(token, &request(&host(on), &lifetime, secs)).await
}

pub(super) fn request<'a>(host: &'a Host, lifetime: &'a Lifetime, secs: u64) -> Request<'a> {
    const POLICY: Policy = Policy {
        pace: Pace {
            renew_after: Duration::from_secs(100),
            overlap: Duration::from_secs(5),
            theft_after: Duration::from_secs(50),
        },
        activity: Activity::Requests,
        bind: Bind::Nothing,
    };
    let client = ClientAddr([192, 0, 2, 7].into());
    Request { host, lifetime, policy: &POLICY, client, user_agent: BROWSER, now: at(secs) }
}

#[track_caller]
pub(super) fn assert_active(finding: &Finding, expected: &Arc<Session>) {
    let Finding::Active(grant) = finding else {
        panic!("{finding:?} is not active");
    };
    assert!(Arc::ptr_eq(grant.session(), expected), "not the shared session");
}

#[track_caller]
pub(super) fn assert_ended(finding: &Finding, expected: Why) {
    assert!(matches!(finding, Finding::Ended(why) if *why == expected), "{finding:?} is not {expected:?}");
}

#[track_caller]
fn assert_nobody(finding: &Finding) {
    assert!(matches!(finding, Finding::Nobody), "{finding:?} is not nobody");
}

#[tokio::test]
async fn a_login_is_found_on_its_own_host_alone() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = begin(&sessions, ada(), 0).await;
    assert_active(&find(&sessions, &token, 1).await, &session);
    for elsewhere in ["other", "app.other"] {
        let presence = ask(&sessions, &token, elsewhere, limits(10, 25), 1);
        assert_nobody(&presence.await.unwrap());
    }
    sessions.end(&session, Why::LoggedOut).await.unwrap();
    let elsewhere = ask(&sessions, &token, "other", limits(10, 25), 1);
    assert_nobody(&elsewhere.await.unwrap());
}

#[tokio::test]
async fn an_id_of_somebody_elses_making_is_nobody_and_leaves_no_trace() {
    let sessions = sessions(9, Memory::new());
    for _ in 0..1000 {
        assert_nobody(&find(&sessions, &Token::generate(), 0).await);
    }
    sessions.ended.run_pending_tasks();
    assert_eq!((sessions.cache.count(), sessions.ended.entry_count()), (0, 0));
    assert_eq!(sessions.live(), 0);
}

#[tokio::test]
async fn a_new_login_kills_the_old_session_of_the_browser() {
    let sessions = sessions(1, Memory::new());
    let (old_token, old) = begin(&sessions, ada(), 0).await;
    let Begun { token, session, .. } = sessions.begin(ada(), Some(&old), at(1)).await.unwrap();
    assert_eq!(old.why_ended(), Some(Why::Replaced));
    assert_ended(&find(&sessions, &old_token, 1).await, Why::Replaced);
    assert_active(&find(&sessions, &token, 1).await, &session);
    assert_eq!(sessions.live(), 1);
}

#[tokio::test]
async fn a_logout_is_known_to_all_who_hold_the_session_before_it_returns() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = begin(&sessions, ada(), 0).await;
    let stream = session.ended();
    let Finding::Active(held) = find(&sessions, &token, 1).await else { panic!("it is alive") };
    sessions.end(&session, Why::LoggedOut).await.unwrap();
    sessions.end(&session, Why::Administrator).await.unwrap();
    assert_eq!(stream.now_or_never(), Some(Why::LoggedOut));
    assert_ended(&find(&sessions, &token, 1).await, Why::LoggedOut);
    let (app, lifetime) = (host("app"), limits(10, 25));
    let held = sessions.check(&held, &request(&app, &lifetime, 1)).await.unwrap();
    assert_eq!(held, Checked::Ended(Why::LoggedOut));
    assert_eq!(sessions.live(), 0);
}

#[tokio::test]
async fn requests_keep_a_session_alive_up_to_its_absolute_end() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = begin(&sessions, ada(), 0).await;
    for secs in (5..25).step_by(5) {
        assert_active(&find(&sessions, &token, secs).await, &session);
        session.touch(at(secs), Duration::ZERO);
    }
    assert_ended(&find(&sessions, &token, 25).await, Why::Absolute);
    assert_eq!(sessions.live(), 0);
}

#[tokio::test]
async fn an_idle_session_is_ended_when_it_is_found_not_just_refused() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = begin(&sessions, ada(), 0).await;
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
    let (token, _) = begin(&sessions, ada(), 0).await;
    let shortened = ask(&sessions, &token, "app", limits(3, 25), 3);
    assert_ended(&shortened.await.unwrap(), Why::Idle);
}

#[tokio::test]
async fn a_sweep_ends_what_is_over_and_nothing_else() {
    let sessions = sessions(9, Memory::new());
    let (token, gone) = begin(&sessions, ada(), 0).await;
    let waiting = gone.ended();
    let (other_token, used) = begin(&sessions, ada(), 0).await;
    used.touch(at(5), Duration::ZERO);
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
    let (token, session) = begin(&sessions, ada(), 0).await;
    session.touch(at(9), Duration::ZERO);
    assert_eq!(sessions.store.overdue(at(12), 9).await.unwrap().len(), 1);
    assert_eq!(sessions.sweep(at(12)).await.unwrap(), 0);
    assert!(sessions.store.overdue(at(12), 9).await.unwrap().is_empty());
    session.touch(at(14), Duration::ZERO);
    assert_eq!(sessions.sweep(at(20)).await.unwrap(), 0);
    assert_active(&find(&sessions, &token, 20).await, &session);
    assert_eq!(sessions.sweep(at(24)).await.unwrap(), 1);
    assert_ended(&find(&sessions, &token, 24).await, Why::Idle);
}

#[tokio::test]
async fn a_store_hears_often_enough_for_the_site_with_the_shortest_limit() {
    let (long, short) = (limits(28_800, 86_400), limits(300, 86_400));
    let sites = [(host("long"), long), (host("short"), short)].into();
    let sessions = Arc::into_inner(sessions(9, Copies::default())).unwrap().shared_by(&sites);
    let (_, session) = begin(&sessions, login("ada", "long", long), 0).await;
    let known = async || sessions.store.load(session.id()).await.unwrap().unwrap().times().last_seen;
    sessions.touch(&session, at(10));
    sessions.flush().await.unwrap();
    assert_eq!(known().await, at(0));
    sessions.touch(&session, at(11));
    sessions.flush().await.unwrap();
    assert_eq!(known().await, at(11));
    // Whoever opens the store after the end is to know all.
    sessions.touch(&session, at(15));
    sessions.flush_all().await.unwrap();
    assert_eq!(known().await, at(15));
}

#[tokio::test]
async fn a_full_house_turns_new_logins_away_and_nobody_out() {
    let sessions = sessions(2, Memory::new());
    let (first, kept) = begin(&sessions, ada(), 0).await;
    let (second, idle) = begin(&sessions, ada(), 0).await;
    kept.touch(at(5), Duration::ZERO);
    let refused = sessions.begin(ada(), None, at(9)).await;
    assert!(matches!(refused, Err(BeginError::Full)));
    assert_active(&find(&sessions, &second, 9).await, &idle);
    // The one that is over makes room, and only that one.
    let (third, new) = begin(&sessions, ada(), 10).await;
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
    let (one, _) = begin(&sessions, ada(), 0).await;
    let (two, _) = begin(&sessions, ada(), 0).await;
    let eve = login("eve", "app", limits(10, 25));
    let (other, others) = begin(&sessions, eve, 0).await;
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
    let (sessions, told) = listened_to(sessions(9, Memory::new()));
    let on = |user| login(user, "app", limits(10, 25));
    let (token, _) = begin(&sessions, on("ada"), 0).await;
    let Finding::Active(held) = find(&sessions, &token, 1).await else { panic!("it is alive") };
    let (_, swept) = begin(&sessions, on("bob"), 0).await;
    let (_, replaced) = begin(&sessions, on("eve"), 9).await;
    // Two requests at once, and the sweep behind them.
    let (app, limits) = (host("app"), limits(10, 25));
    let late = request(&app, &limits, 10);
    let (first, second) = futures_util::join!(sessions.check(&held, &late), find(&sessions, &token, 10));
    assert_eq!(first.unwrap(), Checked::Ended(Why::Idle));
    assert_ended(&second, Why::Idle);
    assert_eq!(sessions.sweep(at(10)).await.unwrap(), 1);
    sessions.end(&swept, Why::LoggedOut).await.unwrap();
    let fresh = sessions.begin(on("eve"), Some(&replaced), at(11)).await.unwrap();
    sessions.end(&fresh.session, Why::LoggedOut).await.unwrap();
    let expected = [("ada", Why::Idle), ("bob", Why::Idle), ("eve", Why::Replaced), ("eve", Why::LoggedOut)];
    assert_eq!(*told.lock().unwrap(), expected.map(|(name, why)| (name.to_owned(), why)));
}

#[tokio::test]
async fn a_copy_of_the_store_gives_no_usable_cookie() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = begin(&sessions, ada(), 0).await;
    let stored = crate::crypto::base64url(session.tokens().hosts()[0].current.as_bytes());
    assert_ne!(stored, *token.encode().expose());
    let forged = Token::parse(stored.as_bytes()).unwrap();
    assert_nobody(&find(&sessions, &forged, 1).await);
}

#[tokio::test]
async fn beyond_the_limit_the_users_oldest_session_ends_and_nobody_elses() {
    let sessions = with_limit(99, (2, AtLimit::EndOldest), Copies::default());
    let (first, oldest) = begin(&sessions, ada(), 0).await;
    let (other, others) = begin(&sessions, login("eve", "app", limits(10, 25)), 0).await;
    let (second, kept) = begin(&sessions, ada(), 1).await;
    sessions.touch(&oldest, at(2));
    let begun = sessions.begin(ada(), None, at(3)).await.unwrap();
    assert_eq!(oldest.why_ended(), Some(Why::TooMany));
    assert_ended(&find(&sessions, &first, 3).await, Why::TooMany);
    assert_active(&find(&sessions, &second, 3).await, &kept);
    assert_active(&find(&sessions, &other, 3).await, &others);
    // One that is over by itself makes room, and nobody has to go.
    sessions.touch(&begun.session, at(9));
    assert!(sessions.begin(ada(), None, at(11)).await.is_ok());
    assert_eq!(begun.session.why_ended(), None);
}

#[tokio::test]
async fn or_the_new_login_is_refused() {
    let sessions = with_limit(99, (1, AtLimit::Refuse), Memory::new());
    let (token, session) = begin(&sessions, ada(), 0).await;
    assert!(matches!(sessions.begin(ada(), None, at(1)).await, Err(BeginError::TooMany)));
    assert_active(&find(&sessions, &token, 1).await, &session);
    assert_eq!((sessions.cache.count(), sessions.live()), (1, 1));
    // In the same browser the new login takes the place of the old one.
    assert!(sessions.begin(ada(), Some(&session), at(2)).await.is_ok());
}

#[tokio::test]
async fn a_session_tied_to_its_browser_is_not_good_in_another() {
    let sessions = sessions(9, Memory::new());
    let (token, session) = begin(&sessions, ada(), 0).await;
    let (app, lifetime) = (host("app"), limits(10, 25));
    let tied = Policy { bind: Bind::UserAgent, ..*request(&app, &lifetime, 1).policy };
    let own = Request { policy: &tied, ..request(&app, &lifetime, 1) };
    let updated = Request { user_agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/999.0", ..own };
    let other = Request { user_agent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537.36", ..own };
    let Finding::Active(grant) = sessions.find(&token, &own).await.unwrap() else { panic!("it is alive") };
    assert!(sessions.check(&grant, &updated).await.unwrap() == Checked::Holds);
    assert!(sessions.check(&grant, &other).await.unwrap() == Checked::Stale);
    assert!(matches!(sessions.find(&token, &other).await.unwrap(), Finding::Elsewhere));
    assert_active(&sessions.find(&token, &updated).await.unwrap(), &session);
}

#[tokio::test]
async fn the_store_hears_of_uses_in_time_and_keeps_them() {
    let sessions = sessions(9, Copies::default());
    let (_, session) = begin(&sessions, ada(), 0).await;
    sessions.touch(&session, at(9));
    sessions.flush().await.unwrap();
    assert!(sessions.store.overdue(at(18), 9).await.unwrap().is_empty());
    sessions.end(&session, Why::LoggedOut).await.unwrap();
    sessions.touch(&session, at(10));
    sessions.flush().await.unwrap();
    assert_eq!(sessions.live(), 0);
}
