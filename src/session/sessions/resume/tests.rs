//! What goes over to the next login, to whose, and how long it waits; over each kind of store.

use std::time::Duration;

use super::*;
use crate::session::AtLimit;
use crate::session::Finding;
use crate::session::SameSite;
use crate::session::Settings;
use crate::session::sessions::Begun;
use crate::session::sessions::tests::Ends;
use crate::session::sessions::tests::at;
use crate::session::sessions::tests::find;
use crate::session::sessions::tests::host;
use crate::session::sessions::tests::limits;
use crate::session::sessions::tests::listened_to;
use crate::session::sessions::tests::login;
use crate::session::sessions::vault::tests::keep;
use crate::session::sessions::vault::tests::keys;
use crate::session::sessions::vault::tests::owner;
use crate::session::sessions::vault::tests::sessions as with_vaults;
use crate::session::store::conformance::Copies;
use crate::session::store::disk::Disk;
use crate::session::store::disk::tests::folder;
use crate::session::store::memory::Memory;
use crate::session::store::row::Rows;
use crate::session::vault::VaultKeys;

/// Idle after ten seconds, over after a hundred, to be resumed for twenty.
fn times() -> Lifetime {
    limits(10, 100).resumable_for(Duration::from_secs(20))
}

fn back(user: &str, token: &Token) -> NewLogin {
    let token = Token::parse(token.encode().expose().as_bytes()).unwrap();
    NewLogin { brought: Some(Arc::new(token)), ..login(user, "app", times()) }
}

/// Sessions of which one, ada's with a cookie of the app, has idled out at 10 and was swept at 12.
async fn idled<S: Store>(store: S) -> (Arc<Sessions<S>>, Ends, Begun) {
    let (sessions, ends) = listened_to(with_vaults(store, &keys(1, &[])));
    let begun = sessions.begin(login("ada", "app", times()), None, at(0)).await.unwrap();
    keep(&sessions, &begun.session, "sid=7", at(0)).await;
    assert_eq!(sessions.sweep(at(12)).await.unwrap(), 1);
    (sessions, ends, begun)
}

async fn what_is_locked_counts_as_over(store: impl Store) {
    let (sessions, ends, old) = idled(store).await;
    assert_eq!((old.session.why_ended(), sessions.live()), (Some(Why::Idle), 1));
    assert!(matches!(find(&sessions, &old.token, 13).await, Finding::Ended(Why::Idle)));
    assert!(sessions.of_user(&old.session.user().name, at(13)).await.unwrap().is_empty());
    assert!(sessions.list(None, 9, at(13)).await.unwrap().sessions.is_empty());
    assert!(sessions.get(old.session.id(), at(13)).await.unwrap().is_none());
    sessions.touch(&old.session, at(13));
    assert!(matches!(find(&sessions, &old.token, 14).await, Finding::Ended(Why::Idle)));
    assert_eq!((sessions.sweep(at(29)).await.unwrap(), sessions.live()), (0, 1));
    assert_eq!((sessions.sweep(at(30)).await.unwrap(), sessions.live()), (0, 0));
    assert_eq!(ends.lock().unwrap()[..], [("ada".to_owned(), Why::Idle)], "it ended once");
}

async fn the_same_user_takes_it_over_once(store: impl Store) {
    let (sessions, ends, old) = idled(store).await;
    let new = sessions.begin(back("ada", &old.token), None, at(29)).await.unwrap();
    assert!(new.resumed && new.session.id() != old.session.id());
    assert_eq!((owner(&new.session), new.session.times().began), (7, at(29)));
    assert!(matches!(find(&sessions, &old.token, 29).await, Finding::Ended(Why::Idle)));
    let Finding::Active(found) = find(&sessions, &new.token, 29).await else { panic!("it lives") };
    assert_eq!(owner(found.session()), 7);
    let again = sessions.begin(back("ada", &old.token), None, at(29)).await.unwrap();
    assert!(!again.resumed && sessions.live() == 2);
    assert_eq!(ends.lock().unwrap().len(), 1);
}

async fn nobody_else_and_nothing_later(store: impl AsyncFn() -> Memory) {
    for (who, agent, secs) in [("bob", true, 20), ("ada", false, 20), ("ada", true, 30)] {
        let (sessions, _, old) = idled(store().await).await;
        let mut login = back(who, &old.token);
        login.user_agent = login.user_agent.filter(|_| agent);
        assert!(!sessions.begin(login, None, at(secs)).await.unwrap().resumed, "{who} at {secs}");
        // It is gone for its owner too.
        assert!(!sessions.begin(back("ada", &old.token), None, at(20)).await.unwrap().resumed);
    }
}

async fn whatever_ends_sessions_destroys_it(store: impl AsyncFn() -> Memory) {
    for way in 0..3 {
        let (sessions, ends, old) = idled(store().await).await;
        match way {
            0 => sessions.end(&old.session, Why::Administrator).await.unwrap(),
            1 => {
                let user = &old.session.user().name;
                assert_eq!(sessions.end_user(user, Why::UserRemoved).await.unwrap(), 0, "none was alive");
            }
            _ => sessions.discard(&old.token, &host("app")).await.unwrap(),
        }
        assert_eq!((sessions.live(), ends.lock().unwrap().len()), (0, 1));
        assert!(!sessions.begin(back("ada", &old.token), None, at(20)).await.unwrap().resumed);
    }
}

async fn the_absolute_limit_is_not_moved(store: impl Store) {
    let sessions = with_vaults(store, &keys(1, &[]));
    let old = sessions.begin(login("ada", "app", times()), None, at(0)).await.unwrap();
    keep(&sessions, &old.session, "sid=7", at(0)).await;
    for secs in (5..=85).step_by(5) {
        sessions.touch(&old.session, at(secs));
    }
    sessions.sweep(at(96)).await.unwrap();
    assert!(old.session.is_locked());
    assert!(!sessions.begin(back("ada", &old.token), None, at(100)).await.unwrap().resumed);
}

async fn it_keeps_nobody_out(store: impl Store) {
    let (sessions, _, _old) = idled(store).await;
    for user in 0..9 {
        sessions.begin(login(&format!("user{user}"), "app", times()), None, at(13)).await.unwrap();
    }
    assert_eq!(sessions.live(), 9);
}

/// Whoever proves anew who they are while logged in goes on with the app as it was.
async fn a_login_over_a_live_session_takes_over_too(store: impl Store) {
    let sessions = with_vaults(store, &keys(1, &[]));
    let old = sessions.begin(login("ada", "app", times()), None, at(0)).await.unwrap();
    keep(&sessions, &old.session, "sid=7", at(0)).await;
    let new = sessions.begin(login("ada", "app", times()), Some(&old.session), at(5)).await.unwrap();
    assert_eq!((owner(&new.session), new.resumed), (7, false));
    let bobs = sessions.begin(login("bob", "app", times()), Some(&new.session), at(6)).await.unwrap();
    assert!(bobs.session.vault().unwrap().jars().is_empty());
}

macro_rules! over_both {
    ($($name:ident),+) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn in_memory() {
                super::$name(Memory::new()).await;
            }

            #[tokio::test]
            async fn in_copies() {
                super::$name(Copies::default()).await;
            }
        }
    )+};
}

over_both!(
    what_is_locked_counts_as_over,
    the_same_user_takes_it_over_once,
    the_absolute_limit_is_not_moved,
    it_keeps_nobody_out,
    a_login_over_a_live_session_takes_over_too
);

#[tokio::test]
async fn nobody_else_takes_it_over_and_nothing_ended_stays() {
    nobody_else_and_nothing_later(async || Memory::new()).await;
    whatever_ends_sessions_destroys_it(async || Memory::new()).await;
}

#[tokio::test]
async fn it_is_there_after_a_restart() {
    let folder = folder();
    let file = folder.path().join("sessions.redb");
    let (sessions, _, old) = idled(Disk::open(&file, Rows::new(&keys(1, &[]))).unwrap()).await;
    let old = (old.token, old.session.id());
    drop(sessions);
    let store = Disk::open(&file, Rows::new(&keys(1, &[]))).unwrap();
    let sessions = with_vaults(store, &keys(1, &[]));
    assert!(matches!(find(&sessions, &old.0, 13).await, Finding::Ended(Why::Idle)));
    let new = sessions.begin(back("ada", &old.0), None, at(20)).await.unwrap();
    assert_eq!((owner(&new.session), new.resumed, sessions.live()), (7, true, 1));
}

#[tokio::test]
async fn many_that_are_locked_do_not_keep_a_sweep_busy() {
    let sessions =
        Sessions::new(&settings(), Copies::default()).keeping_cookies(VaultKeys::new(&keys(1, &[])));
    let sessions = Arc::new(sessions);
    for _ in 0..1100 {
        sessions.begin(login("ada", "app", times()), None, at(0)).await.unwrap();
    }
    assert_eq!(sessions.sweep(at(12)).await.unwrap(), 1100);
    assert_eq!(sessions.sweep(at(13)).await.unwrap(), 0);
    assert_eq!((sessions.sweep(at(30)).await.unwrap(), sessions.live()), (0, 0));
}

fn settings() -> Settings {
    Settings {
        cookie_name: "__Host-Http-session".to_owned(),
        same_site: SameSite::Lax,
        lifetime: times(),
        max_sessions: 2000,
        max_per_user: 2000,
        at_limit: AtLimit::EndOldest,
        serve_cached: Duration::ZERO,
    }
}
