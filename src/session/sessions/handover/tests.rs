//! Handing over, as tabs, thieves and two gateways see it.

use super::*;
use crate::session::Checked;
use crate::session::Finding;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Why;
use crate::session::sessions::tests::ask;
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

async fn collect<S: Store>(sessions: &Sessions<S>, code: &Token, on: &str, secs: u64) -> Option<Begun> {
    sessions.collect(code, &request(&host(on), &day(), secs)).await.unwrap()
}

async fn is_active<S: Store>(sessions: &Arc<Sessions<S>>, token: &Token, on: &str, session: &Arc<Session>) {
    assert_active(&ask(sessions, token, on, day(), 3).await.unwrap(), session);
}

async fn one_login_has_a_token_of_each_host(store: impl Store) {
    let sessions = sessions(9, store);
    let (first, session) = begin(&sessions, login("ada", "login", day()), 0).await;
    let code = sessions.hand_over(&session, &host("app"), at(1)).await.unwrap().unwrap();
    let found = ask(&sessions, &code, "app", day(), 1).await.unwrap();
    assert!(matches!(found, Finding::Nobody), "a code was taken for a session: {found:?}");
    assert!(collect(&sessions, &code, "other", 2).await.is_none());
    let begun = collect(&sessions, &code, "app", 2).await.unwrap();
    assert!(collect(&sessions, &code, "app", 2).await.is_none(), "a code was good twice");
    assert!(Arc::ptr_eq(&begun.session, &session));
    is_active(&sessions, &begun.token, "app", &session).await;
    is_active(&sessions, &first, "login", &session).await;
    assert_eq!(sessions.live(), 1);
    sessions.end(&session, Why::LoggedOut).await.unwrap();
    for (token, on) in [(&first, "login"), (&begun.token, "app")] {
        assert_ended(&ask(&sessions, token, on, day(), 4).await.unwrap(), Why::LoggedOut);
    }
}

#[tokio::test]
async fn a_login_is_handed_over_once_and_ends_everywhere() {
    one_login_has_a_token_of_each_host(Memory::new()).await;
    one_login_has_a_token_of_each_host(Copies::default()).await;
}

#[tokio::test]
async fn a_code_is_good_for_a_minute_and_not_after_the_end() {
    let sessions = sessions(9, Copies::default());
    let (_, session) = begin(&sessions, login("ada", "login", day()), 0).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(sessions.hand_over(&session, &host("app"), at(0)).await.unwrap().unwrap());
    }
    assert!(collect(&sessions, &codes[0], "app", 59).await.is_some());
    assert!(collect(&sessions, &codes[1], "app", 60).await.is_none());
    sessions.end(&session, Why::LoggedOut).await.unwrap();
    assert!(collect(&sessions, &codes[2], "app", 1).await.is_none());
    assert!(sessions.hand_over(&session, &host("app"), at(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_code_comes_too_late_for_a_site_whose_limits_are_over() {
    let sessions = sessions(9, Memory::new());
    let (_, session) = begin(&sessions, login("ada", "login", day()), 0).await;
    let code = sessions.hand_over(&session, &host("app"), at(30)).await.unwrap().unwrap();
    let (app, strict) = (host("app"), limits(5, 25));
    assert!(sessions.collect(&code, &request(&app, &strict, 31)).await.unwrap().is_none());
}

/// A login known on two sites, one of which lets it rest for 5 s.
async fn on_a_quick_and_a_slow_site<S: Store>(store: S) -> (Arc<Sessions<S>>, Arc<Session>, Token, Token) {
    let limits = [(host("quick"), limits(5, 86_400)), (host("slow"), limits(100, 200))];
    let sessions = Arc::into_inner(sessions(9, store)).unwrap().shared_by(&limits.into_iter().collect());
    let sessions = Arc::new(sessions);
    let (_, session) = begin(&sessions, login("ada", "login", limits_of("login")), 0).await;
    let mut tokens = Vec::new();
    for site in ["quick", "slow"] {
        let code = sessions.hand_over(&session, &host(site), at(1)).await.unwrap().unwrap();
        let (here, limits) = (host(site), limits_of(site));
        tokens.push(sessions.collect(&code, &request(&here, &limits, 1)).await.unwrap().unwrap().token);
    }
    let [quick, slow] = tokens.try_into().unwrap();
    (sessions, session, quick, slow)
}

fn limits_of(site: &str) -> Lifetime {
    if site == "quick" { limits(5, 86_400) } else { limits(100, 86_400) }
}

async fn visit<S: Store>(sessions: &Arc<Sessions<S>>, token: &Token, site: &str, secs: u64) -> Finding {
    let found = ask(sessions, token, site, limits_of(site), secs).await.unwrap();
    if let Finding::Active(grant) = &found {
        sessions.touch(grant.session(), at(secs));
    }
    found
}

#[tokio::test]
async fn each_site_judges_by_its_own_limits_and_no_use_of_another_brings_it_back() {
    let (sessions, session, quick, slow) = on_a_quick_and_a_slow_site(Memory::new()).await;
    assert_active(&visit(&sessions, &quick, "quick", 5).await, &session);
    // Any use is use.
    assert_active(&visit(&sessions, &slow, "slow", 9).await, &session);
    assert_active(&visit(&sessions, &quick, "quick", 13).await, &session);
    // Too long for the one, which is only found out at the other.
    assert_active(&visit(&sessions, &slow, "slow", 18).await, &session);
    assert_ended(&visit(&sessions, &quick, "quick", 19).await, Why::Idle);
    assert!(sessions.hand_over(&session, &host("quick"), at(19)).await.unwrap().is_none());
    assert!(sessions.hand_over(&session, &host("slow"), at(19)).await.unwrap().is_some());
    assert_active(&visit(&sessions, &slow, "slow", 20).await, &session);
    assert_eq!((sessions.live(), session.why_ended()), (1, None));
    // Its own longest limits end it for all.
    assert_ended(&visit(&sessions, &slow, "slow", 121).await, Why::Idle);
    assert_eq!(sessions.live(), 0);
}

#[tokio::test]
async fn a_site_that_finds_its_limit_over_leaves_the_others_alone() {
    let (sessions, session, quick, slow) = on_a_quick_and_a_slow_site(Copies::default()).await;
    let found = visit(&sessions, &quick, "quick", 2).await;
    let Finding::Active(grant) = &found else { panic!("{found:?}") };
    let (here, limits) = (host("quick"), limits_of("quick"));
    let checked = sessions.check(grant, &request(&here, &limits, 7)).await.unwrap();
    assert_eq!(checked, Checked::Ended(Why::Idle));
    assert_active(&visit(&sessions, &slow, "slow", 8).await, &session);
    assert_ended(&visit(&sessions, &quick, "quick", 8).await, Why::Idle);
}

#[tokio::test]
async fn two_gateways_exchange_a_code_once_between_them() {
    let store = Copies::default();
    let (one, other) = (sessions(9, store.clone()), sessions(9, store));
    let (first, session) = begin(&one, login("ada", "login", day()), 0).await;
    // Both know the session, the second by a copy of its own that grows old.
    assert!(matches!(ask(&other, &first, "login", day(), 1).await, Ok(Finding::Active(_))));
    for round in 0..20 {
        let code = one.hand_over(&session, &host("app"), at(round)).await.unwrap().unwrap();
        let (here, there) =
            tokio::join!(collect(&one, &code, "app", round), collect(&other, &code, "app", round));
        assert_eq!(usize::from(here.is_some()) + usize::from(there.is_some()), 1);
    }
}

#[tokio::test]
async fn many_tabs_at_once_all_arrive() {
    let sessions = sessions(9, Copies::default());
    let (_, session) = begin(&sessions, login("ada", "login", day()), 0).await;
    let sites = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let tabs = sites.iter().flat_map(|site| [site; 4]);
    let arrive = tabs.map(async |site| {
        let code = sessions.hand_over(&session, &host(site), at(1)).await.unwrap().unwrap();
        tokio::task::yield_now().await;
        (*site, collect(&sessions, &code, site, 2).await.unwrap())
    });
    for (site, begun) in futures_util::future::join_all(arrive).await {
        is_active(&sessions, &begun.token, site, &session).await;
    }
}
