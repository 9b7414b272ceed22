//! All sessions: begun at login, found by their tokens, renewed, ended exactly once.

mod administer;
mod begin;
mod end;
mod follow;
#[cfg(test)]
mod gateways;
mod handover;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod model;
mod renew;
mod resume;
mod sites;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trouble;
mod vault;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use moka::policy::EvictionPolicy;
use moka::sync;

use crate::clock::Timestamp;
use crate::identity::user::UserName;
use crate::net::ClientAddr;
use crate::net::Host;
use crate::session::Bind;
use crate::session::Policy;
use crate::session::Settings;
use crate::session::agent::Family;
use crate::session::cache::Cache;
use crate::session::grant::Checked;
use crate::session::grant::Finding;
use crate::session::grant::Grant;
use crate::session::id::SessionId;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Verdict;
use crate::session::lifetime::Why;
use crate::session::live;
use crate::session::live::Session;
use crate::session::sessions::sites::Sites;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::store::Stores;
use crate::session::token::TokenHash;
use crate::session::vault::VaultKeys;

pub use crate::session::sessions::begin::BeginError;
pub use crate::session::sessions::begin::Begun;
pub use crate::session::sessions::end::NotAllEnded;
pub use crate::session::sessions::follow::StoreState;

/// So long an ended session's token still tells why it ended, for the login page to say it.
const TELLS_WHY_FOR: Duration = Duration::from_hours(1);

/// So many ended sessions tell it at most; the ones asked for longest ago fall silent first.
const TELL_WHY: u64 = 16_384;

/// A sweep ends so many at once, which a store that writes to a disk or a network does as fast as one, before it lets
/// others have the thread.
const SWEEP_STEP: usize = 64;

/// A sweep asks the store for so many at a time.
const SWEEP_PAGE: usize = 1024;

/// All sessions over one store.
pub struct Sessions<S = Stores> {
    store: S,
    cache: Cache,
    ended: sync::Cache<TokenHash, Ended>,
    hosts: Mutex<BTreeSet<Arc<Host>>>,
    /// Those whose last use the store has not heard of yet.
    seen: Mutex<BTreeMap<SessionId, Arc<Session>>>,
    limits: begin::Limits,
    sites: Sites,
    /// The gateway's part in what apps' cookies are sealed with; nothing where none are kept.
    vault_keys: Option<VaultKeys>,
    /// Those whose apps' cookies the store could not be told of.
    behind: Mutex<Vec<Arc<Session>>>,
    told: Box<Told>,
    /// Until when, in milliseconds, what is cached here is believed without asking the store.
    believed_until: AtomicU64,
    serve_cached: Duration,
}

/// Who hears of ends: which session it was, and why it is over.
type Told = dyn Fn(&Session, Why) + Send + Sync;

/// What is remembered of a session that is over.
#[derive(Clone)]
struct Ended {
    why: Why,
    host: Arc<Host>,
}

/// Where, when and by whom a token was sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The host it was sent to.
    pub host: &'a Host,
    /// The limits that hold there.
    pub lifetime: &'a Lifetime,
    /// What the site asks of sessions.
    pub policy: &'a Policy,
    /// Who sent it.
    pub client: ClientAddr,
    /// What the sender says it is; of no account to [`Sessions::check`] where the policy binds to nothing.
    pub user_agent: &'a str,
    /// When.
    pub now: Timestamp,
}

impl<S: Store> Sessions<S> {
    /// Sessions kept in `store`.
    pub fn new(settings: &Settings, store: S) -> Self {
        // What nobody else can change is always as it is here.
        let believed_until = if store.is_shared() { 0 } else { Timestamp::END.as_millis() };
        Self {
            cache: Cache::new(store.cache_bound(), !store.hands_out_originals()),
            store,
            ended: sync::Cache::builder()
                .max_capacity(TELL_WHY)
                .time_to_live(TELLS_WHY_FOR)
                // The default policy prefers what is asked for often, and would turn fresh ends away.
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            hosts: Mutex::default(),
            seen: Mutex::default(),
            limits: begin::Limits::of(settings),
            sites: Sites::default(),
            vault_keys: None,
            behind: Mutex::default(),
            told: Box::new(|_session, _why| {}),
            believed_until: AtomicU64::new(believed_until),
            serve_cached: settings.serve_cached,
        }
    }

    /// Tells `told` of every session's end, once, when its record is gone: whoever noticed, and on whichever of the
    /// gateways that share the store.
    #[must_use]
    pub fn tell_ends(mut self, told: impl Fn(&Session, Why) + Send + Sync + 'static) -> Self {
        self.told = Box::new(told);
        self
    }

    /// What became of a session that a connection found its last request's token to be: no hash, no look-up.
    pub async fn check(&self, grant: &Grant, request: &Request<'_>) -> Result<Checked, StoreError> {
        let session = grant.session();
        match session.why_ended() {
            None => {}
            Some(Why::NotHeard) => return Ok(Checked::Stale),
            Some(why) => return Ok(Checked::Ended(why)),
        }
        let good = grant.holds(request.host, request.now) && self.believes(request.now);
        if !good || session.is_in_doubt() || is_elsewhere(session, request) {
            return Ok(Checked::Stale);
        }
        let over = self.over(session, request).await?;
        Ok(over.map_or(Checked::Holds, Checked::Ended))
    }

    /// Notes that the person used the session at `now`.
    pub fn touch(&self, session: &Arc<Session>, now: Timestamp) {
        if session.touch(now, self.grace(session)) {
            self.note_seen(session, live::tell_after(self.shortest_idle(session), self.store.is_shared()));
        }
    }

    fn note_seen(&self, session: &Arc<Session>, step: Duration) {
        if session.begin_telling(step) {
            lock(&self.seen).insert(session.id(), Arc::clone(session));
        }
    }

    /// Tells the store when sessions were last seen, where it must know. To be called about once a second.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.catch_up_vaults().await?;
        let mut seen = std::mem::take(&mut *lock(&self.seen));
        seen.retain(|_, session| matches!(session.why_ended(), None | Some(Why::NotHeard)));
        if seen.is_empty() {
            return Ok(());
        }
        let sessions: Vec<_> = seen.values().cloned().collect();
        let told = self.store.touch(&sessions).await;
        if told.is_err() {
            // Those that were used meanwhile are the same ones.
            lock(&self.seen).append(&mut seen);
        }
        told
    }

    /// Tells the store of each use that it has not heard of, however short ago the last one was that it has: what comes
    /// after this process is to judge by them. To be called at the end.
    pub async fn flush_all(&self) -> Result<(), StoreError> {
        for session in self.cache.all() {
            self.note_seen(&session, Duration::ZERO);
        }
        self.flush().await
    }

    /// The live sessions of a user, the latest login first.
    pub async fn of_user(&self, user: &UserName, now: Timestamp) -> Result<Vec<Arc<Session>>, StoreError> {
        let mut live = Vec::new();
        for session in self.store.of_user(user).await? {
            let session = self.cache.shared(session);
            if self.expire(&session, session.lifetime(), now).await?.is_none() {
                live.push(session);
            }
        }
        live.sort_by_key(|session| std::cmp::Reverse((session.times().began, session.id())));
        Ok(live)
    }

    /// Ends what has reached a limit of its own, and tells what that was. To be called at least once a minute
    /// (ASVS 14.2.7). A session that was used here since the store last heard of it lives on, and the store is told.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut ended = 0;
        self.store.sweep_held(now).await?;
        if self.store.is_shared() {
            self.ask_before_idle(now).await?;
        }
        let due = if self.store.is_shared() { now.before(live::LONGEST_UNHEARD) } else { now };
        loop {
            let overdue = self.store.overdue(due, SWEEP_PAGE).await?;
            let shared = overdue.iter().map(|stored| self.cache.shared(Arc::clone(stored)));
            // The store has just told when they were last seen.
            let is_over = |session: &Arc<Session>| {
                session.expire(*session.lifetime(), self.grace(session), now).is_some()
            };
            let (over, alive): (Vec<_>, Vec<_>) = shared.partition(is_over);
            // Others may have locked them this moment: they come around again.
            let waits = |session: &&Arc<Session>| {
                session.is_locked() && session.is_resumable(*session.lifetime(), now)
            };
            let waiting = over.iter().filter(waits).count();
            for some in over.chunks(SWEEP_STEP) {
                for removed in join_all(some.iter().map(|session| self.retire(session, now))).await {
                    ended += usize::from(removed?);
                }
                tokio::task::yield_now().await;
            }
            self.store.touch(&alive).await?;
            if overdue.len() < SWEEP_PAGE || waiting == overdue.len() {
                break;
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

    /// Whether other gateways use the store too.
    pub fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    /// The store itself, for what is about it and not about sessions.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// How many sessions of one user there may be.
    pub fn max_per_user(&self) -> usize {
        self.limits.per_user()
    }

    /// The shared session with this token, out of the cache or the store.
    async fn session(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Arc<Session>>, StoreError> {
        // One that was let go is not over: the store knows what it is.
        let cached = self.cache.get(hash).filter(|session| session.why_ended() != Some(Why::NotHeard));
        if cached.as_ref().is_some_and(|session| !session.is_in_doubt()) && self.believes(now) {
            return Ok(cached);
        }
        loop {
            let ticket = self.cache.ticket(hash);
            let Some(stored) = self.store.find(hash).await? else {
                if let Some(gone) = cached {
                    self.lose(&gone).await;
                }
                return Ok(None);
            };
            if stored.is_locked() {
                // Over, and nothing to be kept at hand.
                return Ok(Some(self.cache.shared(stored)));
            }
            if let Some(session) = self.cache.fill(&ticket, hash, stored) {
                session.still_there();
                return Ok(Some(session));
            }
        }
    }

    /// Why the session is over, if it is; where the clock says so, its record is gone when this returns.
    async fn expire(
        &self,
        session: &Arc<Session>,
        lifetime: &Lifetime,
        now: Timestamp,
    ) -> Result<Option<Why>, StoreError> {
        match session.why_ended() {
            None => {}
            Some(Why::NotHeard) => return Err(StoreError::new("nothing is heard of the store")),
            Some(why) => return Ok(Some(why)),
        }
        match session.verdict(*lifetime, now) {
            Verdict::Active => Ok(None),
            // Boxed: what happens once in a session's life takes no room in the future of every request.
            Verdict::Ended(why) => Box::pin(self.end_if_over(session, (lifetime, why), now)).await,
        }
    }

    /// Ends a session that is over for `why` as far as is known here.
    async fn end_if_over(
        &self,
        session: &Arc<Session>,
        (lifetime, why): (&Lifetime, Why),
        now: Timestamp,
    ) -> Result<Option<Why>, StoreError> {
        let grace = if why == Why::Idle { self.grace(session) } else { Duration::ZERO };
        if !grace.is_zero() {
            // Somebody may have used it elsewhere.
            match self.store.last_seen(session).await? {
                Some(seen) => session.seen_elsewhere(seen),
                None => self.lose(session).await,
            }
        }
        let Some(why) = session.expire(*lifetime, grace, now) else { return Ok(None) };
        self.retire(session, now).await?;
        Ok(Some(why))
    }

    /// Whether what is cached here is believed at `now` without asking the store: one atomic load.
    pub fn believes(&self, now: Timestamp) -> bool {
        now.as_millis() < self.believed_until.load(Ordering::Acquire)
    }

    /// What is added to a session's idle limit: the time in which others may have used it and not told yet.
    fn grace(&self, session: &Session) -> Duration {
        if self.store.is_shared() { live::unheard(self.shortest_idle(session)) } else { Duration::ZERO }
    }

    /// The limits by which something that serves the session for long finds out by itself that it is over, where a site
    /// has `lifetime`.
    pub fn limits_of(&self, session: &Session, lifetime: &Lifetime) -> Lifetime {
        lifetime.idle_longer(self.grace(session))
    }

    /// What is left to say to a token that has no session.
    fn farewell(&self, hash: &TokenHash, host: &Host) -> Finding {
        match self.ended.get(hash) {
            Some(ended) if *ended.host == *host => Finding::Ended(ended.why),
            Some(_) | None => Finding::Nobody,
        }
    }

    /// What is left to do here once the store has lost a session; `removed` if it was for us to remove it.
    fn bury(&self, session: &Arc<Session>, why: Why, removed: bool) {
        session.end(why);
        let why = session.why_ended().filter(|why| *why != Why::NotHeard).unwrap_or(why);
        if removed {
            (self.told)(session, why);
        }
        // Before it leaves the cache, so that there is no moment in which its tokens are merely unknown.
        for token in session.tokens().hosts() {
            let next = token.renewal().and_then(|renewal| renewal.next.as_ref());
            for hash in std::iter::once(token.current).chain(next.map(|next| next.hash)) {
                self.ended.insert(hash, Ended { why, host: Arc::clone(&token.host) });
            }
        }
        self.cache.remove(session);
    }

    /// The store has lost a session that is in use here.
    async fn lose(&self, session: &Arc<Session>) {
        // Who removed it has told why; that may be somebody here, who has only heard of it later.
        let why = match session.ending() {
            Some(why) => why,
            None => self.store.farewell(session.id()).await.unwrap_or(Why::OtherGateway),
        };
        // An end of ours that was carried out without an answer was told to nobody.
        self.bury(session, why, session.is_in_doubt());
    }

    /// The one copy of a host's name that its sessions share. There are only as many as hosts with a login.
    fn shared_host(&self, host: &Host) -> Arc<Host> {
        let mut hosts = lock(&self.hosts);
        if let Some(known) = hosts.get(host) {
            return Arc::clone(known);
        }
        let host = Arc::new(host.clone());
        hosts.insert(Arc::clone(&host));
        host
    }
}

/// Whether a session that is tied to one kind of browser is asked for by another.
fn is_elsewhere(session: &Session, request: &Request<'_>) -> bool {
    match request.policy.bind {
        Bind::Nothing => false,
        Bind::UserAgent => session.record().family() != Family::of(request.user_agent),
    }
}

/// What these locks guard is as right after a panic as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
