//! All sessions: begun at login, found by their tokens, ended exactly once.

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trouble;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync;
use thiserror::Error;

use crate::clock::Timestamp;
use crate::crypto::Key;
use crate::crypto::Mac;
use crate::identity::user::UserName;
use crate::net::Host;
use crate::session::NewLogin;
use crate::session::Presence;
use crate::session::Settings;
use crate::session::cache::Cache;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::record::Record;
use crate::session::record::Reference;
use crate::session::record::UserAgent;
use crate::session::store::Created;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::store::memory::Memory;
use crate::session::token::Token;
use crate::session::token::TokenHash;

/// So long an ended session's token still tells why it ended, for the login page to say it.
const TELLS_WHY_FOR: Duration = Duration::from_hours(1);

/// So many ended sessions tell it at most; the ones asked for longest ago fall silent first.
const TELL_WHY: u64 = 16_384;

/// A sweep lets others have the thread after so many ends.
const SWEEP_STEP: usize = 64;

/// All sessions over one store.
pub struct Sessions<S = Memory> {
    store: S,
    cache: Cache,
    ended: sync::Cache<TokenHash, Ended>,
    hosts: Mutex<BTreeSet<Arc<Host>>>,
    references: Mac,
    capacity: usize,
    told: Box<Told>,
}

/// Who hears of ends: which session it was, and why it is over.
type Told = dyn Fn(&Session, Why) + Send + Sync;

/// What is remembered of a session that is over.
#[derive(Clone)]
struct Ended {
    why: Why,
    host: Arc<Host>,
}

/// Why no session was begun.
#[derive(Debug, Error)]
pub enum BeginError {
    /// There are as many live sessions as there may be.
    #[error("there are as many sessions as `max_sessions` allows")]
    Full,
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Sessions<S> {
    /// Sessions kept in `store`. `key` is what logs' references are made with.
    pub fn new(settings: &Settings, key: &Key, store: S) -> Self {
        Self {
            store,
            cache: Cache::new(),
            ended: sync::Cache::builder()
                .max_capacity(TELL_WHY)
                .time_to_live(TELLS_WHY_FOR)
                // The default policy prefers what is asked for often, and would turn fresh ends away.
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            hosts: Mutex::default(),
            references: key.mac("session reference in logs"),
            capacity: settings.max_sessions,
            told: Box::new(|_session, _why| {}),
        }
    }

    /// Tells `told` of every session's end, once, when its record is gone: whoever noticed, and on whichever of the
    /// gateways that share the store.
    #[must_use]
    pub fn tell_ends(mut self, told: impl Fn(&Session, Why) + Send + Sync + 'static) -> Self {
        self.told = Box::new(told);
        self
    }

    /// Whose token this is on `host`, where `lifetime` holds. A session that has reached a limit is ended. A token
    /// that is not ours, or not good on this host, is nobody's; nothing is kept about it.
    pub async fn find(
        &self,
        token: &Token,
        host: &Host,
        lifetime: &Lifetime,
        now: Timestamp,
    ) -> Result<Presence, StoreError> {
        let hash = token.hash();
        match self.session(&hash, now).await? {
            Some(session) => self.check(&session, host, lifetime, now).await,
            None => Ok(self.farewell(&hash, host)),
        }
    }

    /// [`Sessions::find`] for a connection that still holds the session its last request's token was found to be:
    /// no hash, no look-up.
    pub async fn check(
        &self,
        session: &Arc<Session>,
        host: &Host,
        lifetime: &Lifetime,
        now: Timestamp,
    ) -> Result<Presence, StoreError> {
        if session.host() != host {
            return Ok(Presence::Anonymous);
        }
        if let Some(why) = session.why_ended() {
            return Ok(Presence::Ended(why));
        }
        let Some(why) = session.expire(*lifetime, now) else {
            return Ok(Presence::Active(Arc::clone(session)));
        };
        let removed = self.store.remove(session.hash()).await?;
        self.bury(session, why, removed);
        Ok(Presence::Ended(why))
    }

    /// Begins a session and gives its token, which exists nowhere else. The session it `replaces` in this browser is
    /// dead before that (ASVS 7.2.4), and stays so if there is no room for the new one.
    pub async fn begin(
        &self,
        login: NewLogin,
        replaces: Option<&Arc<Session>>,
        now: Timestamp,
    ) -> Result<(Token, Arc<Session>), BeginError> {
        if let Some(old) = replaces {
            self.end(old, Why::Replaced).await?;
        }
        let token = Token::generate();
        let session = Arc::new(self.session_of(login, token.hash(), now));
        // Into the cache first: whoever finds it in the store to end it must find there the one that is used here.
        let added = self.cache.add(&session);
        let created = if added { self.create(&session, now).await } else { Ok(Created::Exists) };
        if added && !matches!(created, Ok(Created::Done)) {
            self.cache.take(session.hash());
        }
        match created? {
            Created::Done => Ok((token, session)),
            Created::Full => Err(BeginError::Full),
            Created::Exists => Err(StoreError::new("a new session id is already in use").into()),
        }
    }

    /// Ends a session: its record is gone, and everybody who holds it knows, before this returns. If the store cannot
    /// answer, nothing has happened. Run it to completion: dropped half-way it may be done in the store alone.
    pub async fn end(&self, session: &Arc<Session>, why: Why) -> Result<(), StoreError> {
        let removed = self.store.remove(session.hash()).await?;
        if session.end(why) || removed {
            self.bury(session, why, removed);
        }
        Ok(())
    }

    /// Ends all sessions of a user, and tells how many there were. A login of the same user that is under way may
    /// begin one afterwards: let it look at the user again when it is done.
    pub async fn end_user(&self, user: &UserName, why: Why) -> Result<usize, StoreError> {
        let sessions = self.store.of_user(user).await?;
        for session in &sessions {
            self.end(session, why).await?;
        }
        Ok(sessions.len())
    }

    /// Ends what has reached a limit of its own, and tells how many that were. To be called at least once a minute
    /// (ASVS 14.2.7). A session that was used here since the store last heard of it lives on, and the store is told.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut ended = 0;
        for (done, stored) in self.store.overdue(now).await?.into_iter().enumerate() {
            let session = self.cache.get(stored.hash()).unwrap_or(stored);
            if let Some(why) = session.expire(*session.lifetime(), now) {
                let removed = self.store.remove(session.hash()).await?;
                ended += usize::from(removed);
                self.bury(&session, why, removed);
            } else {
                self.store.replace(&session).await?;
            }
            if done % SWEEP_STEP == SWEEP_STEP - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.cache.tidy();
        self.ended.run_pending_tasks();
        Ok(ended)
    }

    /// How many sessions are kept, those included whose end nobody has noticed yet.
    pub fn live(&self) -> usize {
        self.store.count()
    }

    /// The shared session with this hash, out of the cache or the store.
    async fn session(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Arc<Session>>, StoreError> {
        if let Some(session) = self.cache.get(hash) {
            return Ok(Some(session));
        }
        loop {
            let ticket = self.cache.ticket(hash);
            let Some(stored) = self.store.load(hash, now).await? else {
                return Ok(None);
            };
            if let Some(session) = self.cache.fill(&ticket, stored) {
                return Ok(Some(session));
            }
        }
    }

    /// What is left to say to a token that has no session.
    fn farewell(&self, hash: &TokenHash, host: &Host) -> Presence {
        match self.ended.get(hash) {
            Some(ended) if *ended.host == *host => Presence::Ended(ended.why),
            Some(_) | None => Presence::Anonymous,
        }
    }

    /// What is left to do here once the store has lost a session; `removed` if it was for us to remove it.
    fn bury(&self, session: &Arc<Session>, why: Why, removed: bool) {
        session.end(why);
        let ended =
            Ended { why: session.why_ended().unwrap_or(why), host: Arc::clone(&session.record().host) };
        if removed {
            (self.told)(session, ended.why);
        }
        // Before it leaves the cache, so that there is no moment in which its token is merely unknown.
        self.ended.insert(*session.hash(), ended);
        if let Some(shared) = self.cache.take(session.hash()) {
            shared.end(why);
        }
    }

    async fn create(&self, session: &Arc<Session>, now: Timestamp) -> Result<Created, StoreError> {
        let created = self.store.create(session, self.capacity).await?;
        if created != Created::Full {
            return Ok(created);
        }
        self.sweep(now).await?;
        self.store.create(session, self.capacity).await
    }

    fn session_of(&self, login: NewLogin, hash: TokenHash, now: Timestamp) -> Session {
        let record = Record {
            user: login.user,
            host: self.shared(login.host),
            client: login.client.into(),
            user_agent: login.user_agent.as_deref().and_then(UserAgent::clean).map(Box::new),
            began: now,
            lifetime: login.lifetime,
            reference: Reference::new(&self.references, &hash),
        };
        Session::new(hash, record, now, 0)
    }

    /// The one copy of a host's name that its sessions share. There are only as many as hosts with a login.
    fn shared(&self, host: Host) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(&host) {
            return Arc::clone(known);
        }
        let host = Arc::new(host);
        hosts.insert(Arc::clone(&host));
        host
    }
}
