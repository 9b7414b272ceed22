//! The suite that every store passes, and a store that keeps copies.
//!
//! [`run`] says what a [`Store`] is in code. [`Copies`] is the smallest store of the other kind than the one in memory:
//! like a disk or another machine it keeps what it was told, and makes a session anew each time it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::crypto::Key;
use crate::identity::user::User;
use crate::identity::user::UserName;
use crate::net::ClientAddr;
use crate::net::Host;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Verdict;
use crate::session::lifetime::verdict;
use crate::session::live::Session;
use crate::session::record::Record;
use crate::session::record::Reference;
use crate::session::store::Created;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::token::Token;
use crate::session::token::TokenHash;

/// Runs the whole suite; each part on a store of its own.
pub(crate) async fn run<S: Store>(new_store: impl Fn() -> S) {
    what_was_created_is_found(&new_store()).await;
    create_never_overwrites(&new_store()).await;
    create_keeps_to_the_capacity(&new_store()).await;
    replace_needs_the_version_it_read(&new_store()).await;
    replace_never_creates(&new_store()).await;
    replace_writes_the_times(&new_store()).await;
    remove_is_idempotent(&new_store()).await;
    what_is_over_is_absent_but_listed_until_removed(&new_store()).await;
    the_user_index_is_a_set(&new_store()).await;
    many_are_listed_completely(&new_store()).await;
}

async fn what_was_created_is_found(store: &impl Store) {
    let session = ada();
    assert!(load(store, &session).await.is_none());
    create(store, &session).await;
    let found = load(store, &session).await.unwrap();
    assert_eq!(found.hash(), session.hash());
    assert_eq!(found.times(), session.times());
    assert_eq!(found.user(), session.user());
    assert_eq!(found.host(), session.host());
    assert_eq!(found.client(), session.client());
    assert_eq!(found.lifetime(), session.lifetime());
    assert_eq!(found.reference(), session.reference());
    assert!(load(store, &ada()).await.is_none());
}

async fn create_never_overwrites(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    let thief = twin(&session, "eve", session.version());
    assert_eq!(store.create(&thief, 9).await.unwrap(), Created::Exists);
    assert_eq!(load(store, &session).await.unwrap().user(), session.user());
    assert!(store.of_user(&name("eve")).await.unwrap().is_empty());
}

async fn create_keeps_to_the_capacity(store: &impl Store) {
    let (first, second) = (ada(), ada());
    assert_eq!(store.create(&first, 1).await.unwrap(), Created::Done);
    assert_eq!(store.create(&second, 1).await.unwrap(), Created::Full);
    assert!(load(store, &second).await.is_none());
    assert!(store.remove(first.hash()).await.unwrap());
    assert_eq!(store.create(&second, 1).await.unwrap(), Created::Done);
    assert_eq!(store.count(), 1);
}

async fn replace_needs_the_version_it_read(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    let read = session.version();
    let early = twin(&session, "early", read);
    assert!(store.replace(&early).await.unwrap());
    assert_ne!(early.version(), read);
    let late = twin(&session, "late", read);
    assert!(!store.replace(&late).await.unwrap());
    assert_eq!(load(store, &session).await.unwrap().user().name, name("early"));
    assert_eq!(load(store, &session).await.unwrap().version(), early.version());
    assert_eq!(store.of_user(&name("early")).await.unwrap().len(), 1);
    for gone in ["ada", "late"] {
        assert!(store.of_user(&name(gone)).await.unwrap().is_empty(), "{gone} is indexed");
    }
}

async fn replace_never_creates(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    store.remove(session.hash()).await.unwrap();
    assert!(!store.replace(&session).await.unwrap());
    assert!(load(store, &session).await.is_none());
    assert!(store.of_user(&name("ada")).await.unwrap().is_empty());
    assert_eq!(store.count(), 0);
}

async fn replace_writes_the_times(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    session.touch(at(105));
    assert!(store.replace(&session).await.unwrap());
    assert!(store.overdue(at(114)).await.unwrap().is_empty());
    let found = store.load(session.hash(), at(114)).await.unwrap().unwrap();
    assert_eq!(found.times(), session.times());
}

async fn remove_is_idempotent(store: &impl Store) {
    let session = ada();
    assert!(!store.remove(session.hash()).await.unwrap());
    create(store, &session).await;
    assert!(store.remove(session.hash()).await.unwrap());
    assert!(!store.remove(session.hash()).await.unwrap());
    assert!(load(store, &session).await.is_none());
    assert_eq!(store.count(), 0);
}

async fn what_is_over_is_absent_but_listed_until_removed(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    assert!(store.overdue(at(109)).await.unwrap().is_empty());
    assert!(store.load(session.hash(), at(110)).await.unwrap().is_none());
    let overdue = store.overdue(at(110)).await.unwrap();
    assert_eq!(overdue.len(), 1);
    assert!(store.remove(session.hash()).await.unwrap());
    assert!(store.overdue(at(110)).await.unwrap().is_empty());
}

async fn the_user_index_is_a_set(store: &impl Store) {
    let sessions = [ada(), ada(), ada()];
    for session in &sessions {
        create(store, session).await;
    }
    // Names that begin alike are next to each other in any order.
    for other in ["ad", "ada2", "Ada"] {
        create(store, &session_of(other, lifetime(), at(100))).await;
    }
    let hashes = async || {
        let mut hashes: Vec<TokenHash> =
            store.of_user(&name("ada")).await.unwrap().iter().map(|session| *session.hash()).collect();
        hashes.sort();
        hashes
    };
    let mut expected = sessions.each_ref().map(|session| *session.hash()).to_vec();
    expected.sort();
    assert_eq!(hashes().await, expected);
    let gone = expected.remove(1);
    store.remove(&gone).await.unwrap();
    assert_eq!(hashes().await, expected);
}

async fn many_are_listed_completely(store: &impl Store) {
    for _ in 0..3000 {
        create(store, &ada()).await;
    }
    create(store, &session_of("ada", lifetime(), at(150))).await;
    assert_eq!(store.overdue(at(150)).await.unwrap().len(), 3000);
    assert_eq!(store.of_user(&name("ada")).await.unwrap().len(), 3001);
    assert_eq!(store.count(), 3001);
}

async fn create(store: &impl Store, session: &Arc<Session>) {
    assert_eq!(store.create(session, 10_000).await.unwrap(), Created::Done);
}

async fn load(store: &impl Store, session: &Session) -> Option<Arc<Session>> {
    store.load(session.hash(), at(100)).await.unwrap()
}

fn ada() -> Arc<Session> {
    session_of("ada", lifetime(), at(100))
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

fn lifetime() -> Lifetime {
    Lifetime::new(Duration::from_secs(10), Duration::from_mins(1)).unwrap()
}

/// A new session of somebody, as a login would make it.
pub(crate) fn session_of(user: &str, lifetime: Lifetime, now: Timestamp) -> Arc<Session> {
    let hash = Token::generate().hash();
    let record = Record {
        user: Arc::new(User { name: name(user), email: None, display_name: None, groups: Vec::new() }),
        host: Arc::new(Host::parse("app.example").unwrap()),
        client: ClientAddr([192, 0, 2, 7].into()).into(),
        user_agent: None,
        began: now,
        lifetime,
        reference: Reference::new(&Key::from_bytes([7; 32]).mac("test"), &hash),
    };
    Arc::new(Session::new(hash, record, now, 0))
}

/// A session with the same hash and another user: what must not get into its place.
fn twin(session: &Session, user: &str, version: u32) -> Arc<Session> {
    let record = session_of(user, *session.lifetime(), session.times().began).record().clone();
    Arc::new(Session::new(*session.hash(), record, session.times().last_seen, version))
}

/// A store that keeps copies.
#[derive(Default)]
pub(crate) struct Copies(Mutex<BTreeMap<TokenHash, Kept>>);

struct Kept {
    record: Record,
    last_seen: Timestamp,
    version: u32,
}

impl Kept {
    fn of(session: &Session, version: u32) -> Self {
        Self { record: session.record().clone(), last_seen: session.times().last_seen, version }
    }

    fn session(&self, hash: &TokenHash) -> Arc<Session> {
        Arc::new(Session::new(*hash, self.record.clone(), self.last_seen, self.version))
    }
}

impl Copies {
    fn all(&self, keep: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let copies = self.0.lock().unwrap();
        let sessions = copies.iter().map(|(hash, copy)| copy.session(hash));
        sessions.filter(|session| keep(session)).collect()
    }
}

fn is_over(session: &Session, now: Timestamp) -> bool {
    verdict(&session.times(), session.lifetime(), now) != Verdict::Active
}

impl Store for Copies {
    async fn create(&self, session: &Arc<Session>, capacity: usize) -> Result<Created, StoreError> {
        let mut copies = self.0.lock().unwrap();
        if copies.contains_key(session.hash()) {
            return Ok(Created::Exists);
        }
        if copies.len() >= capacity {
            return Ok(Created::Full);
        }
        copies.insert(*session.hash(), Kept::of(session, session.version()));
        Ok(Created::Done)
    }

    async fn load(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Arc<Session>>, StoreError> {
        let found = self.0.lock().unwrap().get(hash).map(|copy| copy.session(hash));
        Ok(found.filter(|session| !is_over(session, now)))
    }

    async fn replace(&self, session: &Arc<Session>) -> Result<bool, StoreError> {
        let mut copies = self.0.lock().unwrap();
        let Some(copy) = copies.get_mut(session.hash()) else {
            return Ok(false);
        };
        if copy.version != session.version() {
            return Ok(false);
        }
        session.set_version(copy.version + 1);
        *copy = Kept::of(session, session.version());
        Ok(true)
    }

    async fn remove(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        Ok(self.0.lock().unwrap().remove(hash).is_some())
    }

    async fn of_user(&self, user: &UserName) -> Result<Vec<Arc<Session>>, StoreError> {
        Ok(self.all(|session| session.user().name == *user))
    }

    async fn overdue(&self, now: Timestamp) -> Result<Vec<Arc<Session>>, StoreError> {
        Ok(self.all(|session| is_over(session, now)))
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[tokio::test]
async fn copies_are_a_store() {
    run(Copies::default).await;
}
