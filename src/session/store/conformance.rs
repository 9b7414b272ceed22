//! The suite that every store passes, and a store that keeps copies.
//!
//! [`run`] says what a [`Store`] is in code. [`Copies`] is the smallest store of the other kind than the one in memory:
//! like a disk or another machine it keeps what it was told, and makes a session anew each time it is asked.

mod held;
mod realms;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::identity::user::Profile;
use crate::identity::user::User;
use crate::identity::user::UserName;
use crate::net::ClientAddr;
use crate::net::Host;
use crate::session::id::SessionId;
use crate::session::lifetime::Lifetime;
use crate::session::live::Session;
use crate::session::record::Record;
use crate::session::record::UserAgent;
use crate::session::store::Created;
use crate::session::store::Cursor;
use crate::session::store::Held;
use crate::session::store::HeldKey;
use crate::session::store::Page;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::store::held::Shelf;
use crate::session::token::Token;
use crate::session::token::TokenHash;
use crate::session::tokens::Next;
use crate::session::tokens::Tokens;
use crate::session::vault::Vault;

/// Runs the whole suite; each part on an empty store of its own.
pub(crate) async fn run<S: Store>(new_store: impl AsyncFn() -> S) {
    what_was_created_is_found(&new_store().await).await;
    create_never_overwrites(&new_store().await).await;
    create_keeps_to_the_capacity(&new_store().await).await;
    replace_needs_the_version_it_read(&new_store().await).await;
    replace_never_creates(&new_store().await).await;
    replace_takes_no_token_of_another_session(&new_store().await).await;
    every_token_leads_to_its_session_as_long_as_it_is_named(&new_store().await).await;
    a_token_that_waits_on_another_host_is_found_until_it_is_collected(&new_store().await).await;
    touch_keeps_the_later_time_and_never_creates(&new_store().await).await;
    remove_is_idempotent(&new_store().await).await;
    what_is_over_is_listed_until_removed(&new_store().await).await;
    the_user_index_is_a_set(&new_store().await).await;
    realms::a_user_of_one_realm_is_none_of_another(&new_store().await).await;
    many_are_listed_completely(&new_store().await).await;
    held::a_form_is_taken_once(&new_store().await).await;
    held::forms_have_a_time_and_no_more_room_than_that(&new_store().await).await;
    held::what_is_locked_is_due_at_the_end_of_its_window(&new_store().await).await;
}

async fn what_was_created_is_found(store: &impl Store) {
    let session = ada();
    assert!(find(store, &session).await.is_none() && load(store, &session).await.is_none());
    create(store, &session).await;
    for found in [find(store, &session).await.unwrap(), load(store, &session).await.unwrap()] {
        assert_eq!((found.id(), found.version()), (session.id(), session.version()));
        assert_eq!((found.times(), found.tokens()), (session.times(), session.tokens()));
        let (found, expected) = (found.record(), session.record());
        assert_eq!(
            (&found.user, found.client, found.family()),
            (&expected.user, expected.client, expected.family())
        );
        assert_eq!((&found.user_agent, found.lifetime), (&expected.user_agent, expected.lifetime));
    }
    assert!(find(store, &ada()).await.is_none() && load(store, &ada()).await.is_none());
}

async fn create_never_overwrites(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    let same_id = twin(&session, "eve", session.id());
    let same_token = twin(&session, "eve", SessionId::generate());
    for thief in [same_id, same_token] {
        assert_eq!(store.create(&thief, 9).await.unwrap(), Created::Exists);
        assert_eq!(find(store, &session).await.unwrap().user(), session.user());
        assert!(store.of_user(&name("eve")).await.unwrap().is_empty());
    }
}

async fn create_keeps_to_the_capacity(store: &impl Store) {
    let (first, second) = (ada(), ada());
    assert_eq!(store.create(&first, 1).await.unwrap(), Created::Done);
    assert_eq!(store.create(&second, 1).await.unwrap(), Created::Full);
    assert!(find(store, &second).await.is_none());
    assert!(store.remove(&first).await.unwrap());
    assert_eq!(store.create(&second, 1).await.unwrap(), Created::Done);
    assert_eq!(store.count(), 1);
}

async fn replace_needs_the_version_it_read(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    let read = session.version();
    let (early, late) = (offering(&session), offering(&session));
    assert!(store.replace(&session, read, &early).await.unwrap());
    assert!(!store.replace(&session, read, &late).await.unwrap());
    let kept = find(store, &session).await.unwrap();
    assert_eq!((kept.tokens(), kept.version()), (early, read.wrapping_add(1)));
    assert!(store.replace(&session, kept.version(), &late).await.unwrap());
    assert_eq!(find(store, &session).await.unwrap().tokens(), late);
    assert_eq!(store.of_user(&name("ada")).await.unwrap().len(), 1);
}

async fn replace_never_creates(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    store.remove(&session).await.unwrap();
    let tokens = offering(&session);
    assert!(!store.replace(&session, session.version(), &tokens).await.unwrap());
    for hash in tokens.hashes() {
        assert!(store.find(hash).await.unwrap().is_none());
    }
    assert!(store.of_user(&name("ada")).await.unwrap().is_empty());
    assert_eq!(store.count(), 0);
}

async fn replace_takes_no_token_of_another_session(store: &impl Store) {
    let (session, other) = (ada(), session_of("eve", lifetime(), at(100)));
    create(store, &session).await;
    create(store, &other).await;
    let taken = Next { hash: first_hash(&other), sealed: "x".into() };
    let tokens = session.tokens().offering(&first_hash(&session), taken);
    assert!(!store.replace(&session, session.version(), &tokens).await.unwrap());
    assert_eq!(find(store, &other).await.unwrap().id(), other.id());
    assert_eq!(find(store, &session).await.unwrap().version(), session.version());
}

async fn every_token_leads_to_its_session_as_long_as_it_is_named(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    let mut all: Vec<TokenHash> = session.tokens().hashes().copied().collect();
    let mut tokens = session.tokens();
    for version in 0..7 {
        let next = Token::generate().hash();
        all.push(next);
        let current = tokens.hosts()[0].current;
        tokens = tokens.offering(&current, Next { hash: next, sealed: "x".into() });
        assert!(store.replace(&session, version * 2, &tokens).await.unwrap());
        tokens = tokens.promoted(&next, at(101 + u64::from(version)));
        assert!(store.replace(&session, version * 2 + 1, &tokens).await.unwrap());
    }
    for hash in &all {
        let found = store.find(hash).await.unwrap();
        assert_eq!(found.is_some(), tokens.host_of(hash).is_some());
        assert!(found.is_none_or(|found| found.id() == session.id() && found.tokens() == tokens));
    }
    assert!(store.remove(&session).await.unwrap());
    for hash in &all {
        assert!(store.find(hash).await.unwrap().is_none());
    }
}

async fn a_token_that_waits_on_another_host_is_found_until_it_is_collected(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    let other = Arc::new(Host::parse("other.example").unwrap());
    let [code, token] = [(); 2].map(|()| Token::generate().hash());
    let waiting = session.tokens().handing_over(Arc::clone(&other), code, at(101));
    assert!(store.replace(&session, 0, &waiting).await.unwrap());
    assert_eq!(store.find(&code).await.unwrap().unwrap().tokens(), waiting);
    let collected = waiting.collected(&code, &other, token, at(102)).unwrap();
    assert!(store.replace(&session, 1, &collected).await.unwrap());
    assert!(!store.replace(&session, 1, &collected).await.unwrap());
    assert!(store.find(&code).await.unwrap().is_none());
    for hash in [&first_hash(&session), &token] {
        assert_eq!(store.find(hash).await.unwrap().unwrap().tokens(), collected);
    }
    assert!(store.remove(&session).await.unwrap());
    assert!(store.find(&token).await.unwrap().is_none());
}

async fn touch_keeps_the_later_time_and_never_creates(store: &impl Store) {
    let (session, gone) = (ada(), ada());
    create(store, &session).await;
    let seen = |secs| {
        let kept = Session::new(session.id(), session.record().clone(), session.tokens(), at(secs), 0);
        Arc::new(kept)
    };
    session.touch(at(105), Duration::ZERO);
    store.touch(&[seen(105), Arc::clone(&gone)]).await.unwrap();
    store.touch(&[seen(103)]).await.unwrap();
    assert_eq!(find(store, &session).await.unwrap().times().last_seen, at(105));
    assert!(find(store, &gone).await.is_none());
    assert!(store.overdue(at(114), 9).await.unwrap().is_empty());
    assert_eq!(store.overdue(at(115), 9).await.unwrap().len(), 1);
    assert_eq!(store.count(), 1);
}

async fn remove_is_idempotent(store: &impl Store) {
    let session = ada();
    assert!(!store.remove(&session).await.unwrap());
    create(store, &session).await;
    assert!(store.remove(&session).await.unwrap());
    assert!(!store.remove(&session).await.unwrap());
    assert!(find(store, &session).await.is_none() && load(store, &session).await.is_none());
    assert_eq!(store.count(), 0);
}

async fn what_is_over_is_listed_until_removed(store: &impl Store) {
    let session = ada();
    create(store, &session).await;
    assert!(store.overdue(at(109), 9).await.unwrap().is_empty());
    let overdue = store.overdue(at(110), 9).await.unwrap();
    assert_eq!(overdue.iter().map(|over| over.id()).collect::<Vec<_>>(), [session.id()]);
    assert!(find(store, &session).await.is_some());
    assert!(store.remove(&session).await.unwrap());
    assert!(store.overdue(at(110), 9).await.unwrap().is_empty());
}

async fn the_user_index_is_a_set(store: &impl Store) {
    let sessions = [ada(), ada(), ada()];
    for session in &sessions {
        create(store, session).await;
    }
    // Names that begin alike are next to each other in any order.
    for other in ["ad", "ada2", "Ada", "a:d:a", "a*"] {
        create(store, &session_of(other, lifetime(), at(100))).await;
    }
    let ids = async || {
        let mut ids: Vec<SessionId> =
            store.of_user(&name("ada")).await.unwrap().iter().map(|session| session.id()).collect();
        ids.sort();
        ids
    };
    let mut expected = sessions.each_ref().map(|session| session.id()).to_vec();
    expected.sort();
    assert_eq!(ids().await, expected);
    let gone = expected.remove(1);
    let gone = sessions.iter().find(|session| session.id() == gone).unwrap();
    store.remove(gone).await.unwrap();
    assert_eq!(ids().await, expected);
}

async fn many_are_listed_completely(store: &impl Store) {
    for _ in 0..2500 {
        create(store, &ada()).await;
    }
    create(store, &session_of("ada", lifetime(), at(150))).await;
    assert_eq!(store.overdue(at(150), 3000).await.unwrap().len(), 2500);
    assert_eq!(store.overdue(at(150), 1000).await.unwrap().len(), 1000);
    assert_eq!(store.of_user(&name("ada")).await.unwrap().len(), 2501);
    assert_eq!(store.count(), 2501);
    let (mut listed, mut from) = (Vec::new(), None);
    loop {
        let Page { sessions, next } = store.list(from.as_ref(), 100).await.unwrap();
        listed.extend(sessions.iter().map(|session| session.id()));
        from = next;
        if from.is_none() {
            break;
        }
    }
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), 2501);
}

async fn create(store: &impl Store, session: &Arc<Session>) {
    assert_eq!(store.create(session, 10_000).await.unwrap(), Created::Done);
}

async fn find(store: &impl Store, session: &Session) -> Option<Arc<Session>> {
    store.find(&first_hash(session)).await.unwrap()
}

async fn load(store: &impl Store, session: &Session) -> Option<Arc<Session>> {
    store.load(session.id()).await.unwrap()
}

fn ada() -> Arc<Session> {
    session_of("ada", lifetime(), at(100))
}

fn name(text: &str) -> UserName {
    UserName::from_key(text).unwrap()
}

fn host() -> Host {
    Host::parse("app.example").unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

fn lifetime() -> Lifetime {
    Lifetime::new(Duration::from_secs(10), Duration::from_mins(1)).unwrap()
}

fn first_hash(session: &Session) -> TokenHash {
    session.tokens().hosts()[0].current
}

/// The session's tokens with another on offer.
fn offering(session: &Session) -> Tokens {
    let next = Next { hash: Token::generate().hash(), sealed: "sealed".into() };
    session.tokens().offering(&first_hash(session), next)
}

/// A new session of somebody, as a login would make it.
pub(crate) fn session_of(user: &str, lifetime: Lifetime, now: Timestamp) -> Arc<Session> {
    let profile = Profile {
        email: Some("ada@example.com".into()),
        display_name: None,
        groups: vec!["staff".into(), "größe".into()],
    };
    let record = Record {
        user: Arc::new(User::new(name(user), profile).known_by(0x00c0_ffee)),
        client: ClientAddr([192, 0, 2, 7].into()).into(),
        user_agent: UserAgent::clean("Mozilla/5.0 (X11; Linux) Firefox/140.0").map(Box::new),
        began: now,
        lifetime,
    };
    let tokens = Tokens::first(Arc::new(host()), Token::generate().hash(), now);
    Arc::new(Session::new(SessionId::generate(), record, tokens, now, 0))
}

/// A session with the same tokens and another user: what must not get into its place.
fn twin(session: &Session, user: &str, id: SessionId) -> Arc<Session> {
    let record = session_of(user, *session.lifetime(), session.times().began).record().clone();
    Arc::new(Session::new(id, record, session.tokens(), session.times().last_seen, session.version()))
}

/// A store that keeps copies. A clone of it is the same store, for gateways that share one.
#[derive(Clone, Default)]
pub(crate) struct Copies(Arc<Mutex<BTreeMap<SessionId, Kept>>>, Arc<Shelf>);

struct Kept {
    record: Record,
    tokens: Tokens,
    last_seen: Timestamp,
    version: u32,
}

impl Kept {
    fn session(&self, id: SessionId) -> Arc<Session> {
        let (record, tokens) = (self.record.clone(), self.tokens.clone());
        // Nothing that is open lies in a store.
        let vault = tokens.vault().map(|vault| {
            let copy = Vault::of(vault.keys().to_vec(), vault.jars().to_vec());
            if vault.is_locked() { copy.locked() } else { copy }
        });
        let tokens = tokens.with_vault(vault);
        Arc::new(Session::new(id, record, tokens, self.last_seen, self.version))
    }

    fn has(&self, hash: &TokenHash) -> bool {
        self.tokens.host_of(hash).is_some()
    }
}

impl Copies {
    fn all(&self, keep: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let copies = self.0.lock().unwrap();
        let sessions = copies.iter().map(|(id, copy)| copy.session(*id));
        sessions.filter(|session| keep(session)).collect()
    }
}

impl Store for Copies {
    async fn create(&self, session: &Arc<Session>, capacity: usize) -> Result<Created, StoreError> {
        let mut copies = self.0.lock().unwrap();
        let tokens = session.tokens();
        let taken = tokens.hashes().any(|hash| copies.values().any(|copy| copy.has(hash)));
        if taken || copies.contains_key(&session.id()) {
            return Ok(Created::Exists);
        }
        if copies.len() >= capacity {
            return Ok(Created::Full);
        }
        let record = session.record().clone();
        let (last_seen, version) = (session.times().last_seen, session.version());
        copies.insert(session.id(), Kept { record, tokens, last_seen, version });
        Ok(Created::Done)
    }

    async fn find(&self, token: &TokenHash) -> Result<Option<Arc<Session>>, StoreError> {
        let copies = self.0.lock().unwrap();
        let found = copies.iter().find(|(_, copy)| copy.has(token));
        Ok(found.map(|(id, copy)| copy.session(*id)))
    }

    async fn load(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        Ok(self.0.lock().unwrap().get(&id).map(|copy| copy.session(id)))
    }

    async fn replace(
        &self,
        session: &Arc<Session>,
        version: u32,
        tokens: &Tokens,
    ) -> Result<bool, StoreError> {
        let mut copies = self.0.lock().unwrap();
        let foreign = |hash| copies.iter().any(|(id, copy)| *id != session.id() && copy.has(hash));
        if tokens.hashes().any(foreign) {
            return Ok(false);
        }
        let Some(copy) = copies.get_mut(&session.id()).filter(|copy| copy.version == version) else {
            return Ok(false);
        };
        copy.version += 1;
        copy.tokens = tokens.clone();
        Ok(true)
    }

    async fn touch(&self, sessions: &[Arc<Session>]) -> Result<(), StoreError> {
        let mut copies = self.0.lock().unwrap();
        for session in sessions {
            if let Some(copy) = copies.get_mut(&session.id()) {
                copy.last_seen = copy.last_seen.max(session.times().last_seen);
            }
        }
        Ok(())
    }

    async fn remove(&self, session: &Session) -> Result<bool, StoreError> {
        Ok(self.0.lock().unwrap().remove(&session.id()).is_some())
    }

    async fn of_user(&self, user: &UserName) -> Result<Vec<Arc<Session>>, StoreError> {
        Ok(self.all(|session| session.user().name == *user))
    }

    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<Session>>, StoreError> {
        let mut overdue = self.all(|session| session.is_overdue(now));
        overdue.truncate(limit);
        Ok(overdue)
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let from = from.map(|from| SessionId::from_bytes(from.place().try_into().unwrap()));
        let mut sessions = self.all(|session| from.is_none_or(|from| session.id() > from));
        sessions.truncate(limit);
        let next = sessions.last().map(|last| Cursor::new(&last.id().to_bytes()));
        Ok(Page { sessions, next })
    }

    async fn hold(
        &self,
        key: HeldKey,
        held: &Held,
        now: Timestamp,
        room: usize,
    ) -> Result<Created, StoreError> {
        self.1.hold(key, held, now, room)
    }

    async fn held(&self, key: HeldKey) -> Result<Option<Held>, StoreError> {
        self.1.held(key)
    }

    async fn take_held(&self, key: HeldKey, held: &Held) -> Result<bool, StoreError> {
        self.1.take(key, held)
    }

    async fn sweep_held(&self, now: Timestamp) -> Result<(), StoreError> {
        self.1.sweep(now)
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn cache_bound(&self) -> u64 {
        1000
    }
}

#[tokio::test]
async fn copies_are_a_store() {
    run(async || Copies::default()).await;
}
