//! Handing over, as tabs, thieves and two gateways see it.

use super::*;
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
    assert!(matches!(found, crate::session::Finding::Nobody), "a code was taken for a session: {found:?}");
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

#[tokio::test]
async fn two_gateways_exchange_a_code_once_between_them() {
    let store = Copies::default();
    let (one, other) = (sessions(9, store.clone()), sessions(9, store));
    let (first, session) = begin(&one, login("ada", "login", day()), 0).await;
    // Both know the session, the second by a copy of its own that grows old.
    assert!(matches!(ask(&other, &first, "login", day(), 1).await, Ok(crate::session::Finding::Active(_))));
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
