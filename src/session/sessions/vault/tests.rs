//! The vault over each kind of store: renewed, handed over, restarted, rotated, and closed to whoever has no token.

use std::time::Duration;

use super::*;
use crate::crypto::Key;
use crate::crypto::Keys;
use crate::net::Host;
use crate::session::Finding;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Why;
use crate::session::sessions::Request;
use crate::session::sessions::tests::at;
use crate::session::sessions::tests::host;
use crate::session::sessions::tests::limits;
use crate::session::sessions::tests::login;
use crate::session::sessions::tests::request;
use crate::session::sessions::tests::sessions as without_vault;
use crate::session::store::conformance::Copies;
use crate::session::store::disk::Disk;
use crate::session::store::disk::tests::folder;
use crate::session::store::memory::Memory;
use crate::session::store::row::Rows;
use crate::vault::Cookie;
use crate::vault::Place;

pub(in crate::session::sessions) fn keys(newest: u8, older: &[u8]) -> Keys {
    let key = |byte: u8| Key::from_bytes([byte; 32]);
    Keys::new(key(newest), older.iter().copied().map(key).collect())
}

pub(in crate::session::sessions) fn sessions<S: Store>(store: S, keys: &Keys) -> Arc<Sessions<S>> {
    let plain = Arc::into_inner(without_vault(9, store)).unwrap();
    Arc::new(plain.keeping_cookies(VaultKeys::new(keys)))
}

fn day() -> Lifetime {
    limits(10_000, 86_400)
}

async fn find<S: Store>(sessions: &Arc<Sessions<S>>, token: &Token, app: &str, secs: u64) -> Finding {
    let host = host(app);
    let lifetime = day();
    let request: Request<'_> = request(&host, &lifetime, secs);
    sessions.find(token, &request).await.unwrap()
}

async fn session<S: Store>(
    sessions: &Arc<Sessions<S>>,
    token: &Token,
    app: &str,
    secs: u64,
) -> (Arc<Session>, Arc<Open>) {
    let found = find(sessions, token, app, secs).await;
    let Finding::Active(grant) = found else { panic!("{found:?} is not active") };
    let open = grant.session().vault().expect("it is open");
    (Arc::clone(grant.session()), open)
}

fn site() -> Arc<str> {
    "app/".into()
}

fn set(line: &str, now: Timestamp) -> Vec<Change> {
    let host = Host::parse("app").unwrap();
    let place = Place { host: &host, path: "/", cross_site: false };
    vec![Change::Set(Cookie::parse(line.as_bytes(), &place, now).unwrap())]
}

fn sent(open: &Open, secs: u64) -> String {
    let host = Host::parse("app").unwrap();
    let line = open.line(&site(), &Place { host: &host, path: "/", cross_site: false }, |_| false, at(secs));
    line.map(|line| line.to_str().unwrap().to_owned()).unwrap_or_default()
}

pub(in crate::session::sessions) async fn keep<S: Store>(
    sessions: &Arc<Sessions<S>>,
    session: &Arc<Session>,
    line: &str,
    now: Timestamp,
) {
    let open = session.vault().unwrap();
    let (applied, told) = sessions.keep(session, &open, (&site(), set(line, now)), now).await;
    assert!(told.is_ok() && applied.refused.is_empty());
}

/// The number that the app's cookie in this session was set with.
pub(in crate::session::sessions) fn owner(session: &Session) -> usize {
    let line = sent(&session.vault().expect("it is open"), 1_000_000);
    line.strip_prefix("sid=").expect("it keeps one cookie").parse().unwrap()
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// The tests' pace of renewal makes a token due at 100.
async fn it_is_moved_on_renewal(store: impl Store) {
    let sessions = sessions(store, &keys(1, &[]));
    let begun = sessions.begin(login("ada", "app", day()), None, at(0)).await.unwrap();
    keep(&sessions, &begun.session, "sid=1", at(1)).await;
    drop(find(&sessions, &begun.token, "app", 100).await);
    settle().await;
    let Finding::Active(grant) = find(&sessions, &begun.token, "app", 101).await else { panic!("it lives") };
    let next = Arc::clone(grant.next().expect("a token is offered"));
    let (session, open) = session(&sessions, &next, "app", 102).await;
    assert_eq!(sent(&open, 102), "sid=1");
    let tokens = session.tokens();
    let vault = tokens.vault().unwrap();
    assert!(vault.keys().iter().any(|key| key.token == next.hash()));
    assert_eq!(vault.keys().len(), 2, "the one before lingers");
}

#[tokio::test]
async fn the_vault_is_moved_on_renewal() {
    it_is_moved_on_renewal(Memory::new()).await;
    it_is_moved_on_renewal(Copies::default()).await;
}

async fn it_goes_along_to_other_hosts(store: impl Store) {
    let sessions = sessions(store, &keys(1, &[]));
    let begun = sessions.begin(login("ada", "login", day()), None, at(0)).await.unwrap();
    let code = sessions.hand_over(&begun.session, &host("app"), at(1)).await.unwrap().unwrap();
    let (app, lifetime) = (host("app"), day());
    let there = sessions.collect(&code, &request(&app, &lifetime, 2)).await.unwrap().unwrap();
    keep(&sessions, &there.session, "sid=1", at(3)).await;
    let (_, open) = session(&sessions, &there.token, "app", 4).await;
    assert_eq!(sent(&open, 4), "sid=1");
    let tokens = there.session.tokens();
    let keys = tokens.vault().unwrap().keys();
    assert!(keys.iter().all(|key| key.token != code.hash()), "the code opens nothing any more");
    assert_eq!(keys.len(), 2);
}

#[tokio::test]
async fn the_vault_goes_along_to_other_hosts() {
    it_goes_along_to_other_hosts(Memory::new()).await;
    it_goes_along_to_other_hosts(Copies::default()).await;
}

#[tokio::test]
async fn a_restart_and_a_change_of_keys_lose_nothing() {
    let folder = folder();
    let file = folder.path().join("sessions.redb");
    let disk = |keys: &Keys| Disk::open(&file, Rows::new(keys)).unwrap();
    let first = sessions(disk(&keys(1, &[])), &keys(1, &[]));
    let begun = first.begin(login("ada", "app", day()), None, at(0)).await.unwrap();
    keep(&first, &begun.session, "sid=canary", at(1)).await;
    drop((first, begun.session));
    let second = sessions(disk(&keys(2, &[1])), &keys(2, &[1]));
    let (there, open) = session(&second, &begun.token, "app", 2).await;
    assert_eq!(sent(&open, 2), "sid=canary");
    // Without a token nothing is open, whoever looks at it.
    let listed = second.get(there.id(), at(3)).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&listed, &there));
    drop((second, there, listed, open));
    let third = sessions(disk(&keys(2, &[1])), &keys(2, &[1]));
    let [listed] = &third.of_user(&begun_user(), at(4)).await.unwrap()[..] else { panic!("one session") };
    assert!(listed.vault().is_none() && listed.tokens().vault().is_some());
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
}

fn begun_user() -> crate::identity::user::UserName {
    crate::identity::user::UserName::parse("ada").unwrap()
}

#[tokio::test]
async fn two_gateways_merge_what_both_change() {
    let store = Copies::default();
    let gateways = [(); 2].map(|()| sessions(store.clone(), &keys(1, &[])));
    let begun = gateways[0].begin(login("ada", "app", day()), None, at(0)).await.unwrap();
    let (other, _) = session(&gateways[1], &begun.token, "app", 1).await;
    assert!(!Arc::ptr_eq(&other, &begun.session), "each has its own copy");
    // Neither hears of the other; the store tells whoever comes second.
    for number in 0..10 {
        keep(&gateways[0], &begun.session, &format!("a{number}=1"), at(2)).await;
        keep(&gateways[1], &other, &format!("b{number}=1"), at(2)).await;
        keep(&gateways[number % 2], if number % 2 == 0 { &begun.session } else { &other }, "last=x", at(3))
            .await;
    }
    keep(&gateways[0], &begun.session, "end=1", at(4)).await;
    let all = sent(&begun.session.vault().unwrap(), 4);
    assert_eq!(all.split("; ").count(), 22, "{all}");
}

#[tokio::test]
async fn answers_at_once_are_told_together() {
    let sessions = sessions(Copies::default(), &keys(1, &[]));
    let begun = sessions.begin(login("ada", "app", day()), None, at(0)).await.unwrap();
    let before = begun.session.version();
    let all = (0..50).map(|number| {
        let (sessions, session) = (Arc::clone(&sessions), Arc::clone(&begun.session));
        tokio::spawn(async move { keep(&sessions, &session, &format!("c{number}=1"), at(1)).await })
    });
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert!(begun.session.version() - before < 50, "fifty answers, fifty writes");
    let stored = sessions.store().load(begun.session.id()).await.unwrap().unwrap();
    assert_eq!(stored.tokens(), begun.session.tokens());
    assert!(!begun.session.vault().unwrap().is_behind());
    assert_eq!(sent(&begun.session.vault().unwrap(), 1).split("; ").count(), 50);
}

#[tokio::test]
async fn a_session_from_before_there_was_a_vault_is_given_one() {
    let store = Copies::default();
    let old = without_vault(9, store.clone());
    let begun = old.begin(login("ada", "app", day()), None, at(0)).await.unwrap();
    assert!(begun.session.tokens().vault().is_none());
    let new = sessions(store, &keys(1, &[]));
    let (session, open) = session(&new, &begun.token, "app", 1).await;
    keep(&new, &session, "sid=1", at(2)).await;
    assert_eq!(sent(&open, 2), "sid=1");
}

#[tokio::test]
async fn a_vault_that_its_token_does_not_open_is_the_end_of_the_session() {
    let store = Copies::default();
    let one = sessions(store.clone(), &keys(1, &[]));
    let begun = one.begin(login("ada", "app", day()), None, at(0)).await.unwrap();
    let other = sessions(store, &keys(9, &[]));
    let found = find(&other, &begun.token, "app", 1).await;
    assert!(matches!(found, Finding::Ended(Why::VaultLost)), "{found:?}");
    let gone = tokio::time::timeout(Duration::from_secs(1), one.store().load(begun.session.id())).await;
    assert!(gone.unwrap().unwrap().is_none());
}
