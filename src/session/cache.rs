//! The live sessions of this process: the TTL cache in front of every store.
//!
//! It sees to it that there is one [`Session`] shared by all who serve it, however many tokens lead to it, and that a
//! session which was ended does not come back through a look-up that began before. It is no authority: what it has
//! not, the store may have; and what it has is judged by its own times on every use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync;

use crate::session::id::SessionId;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::striped::Striped;
use crate::session::token::TokenHash;
use crate::session::token::TokenKey;

/// So much longer than the session itself its entry stays. Whoever ends it must still find it here, since the one
/// held by open connections is this one; the sweep, which comes around more often than this, ends it on time.
const MARGIN: Duration = Duration::from_mins(10);

/// The cache, by tokens; and where a store hands out copies, the one session of each id.
pub(super) struct Cache {
    live: sync::Cache<TokenKey, Arc<Session>>,
    /// How many sessions with a token of this group were ended: what tells a look-up that it may have been overtaken.
    /// Held while the cache is changed.
    ends: Striped<Mutex<u64>>,
    homes: Option<Striped<Mutex<Home>>>,
    /// How many changes by others were heard of.
    changes: AtomicU64,
}

/// Where the one session of each id of a group is found.
#[derive(Default)]
struct Home {
    sessions: BTreeMap<SessionId, Weak<Session>>,
    /// Which change was the last to one of the group.
    changed: u64,
}

/// When a look-up began.
pub(super) struct Ticket {
    ends: u64,
    changes: u64,
}

impl Cache {
    /// At most `bound` entries, of which the longest unused makes room (moka's default policy would turn new sessions
    /// away); in front of a store that hands out `copies`, or the shared sessions themselves.
    pub(super) fn new(bound: u64, copies: bool) -> Self {
        let live = sync::Cache::builder()
            .expire_after(UntilItsEnd)
            .max_capacity(bound)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self {
            live,
            ends: Striped([const { Mutex::new(0) }; 256]),
            homes: copies.then(|| {
                Striped([const { Mutex::new(Home { sessions: BTreeMap::new(), changed: 0 }) }; 256])
            }),
            changes: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, hash: &TokenHash) -> Option<Arc<Session>> {
        self.live.get(&hash.key())
    }

    /// To be drawn before the store is asked.
    pub(super) fn ticket(&self, hash: &TokenHash) -> Ticket {
        let changes = self.changes.load(Ordering::SeqCst);
        Ticket { ends: *self.lock(hash), changes }
    }

    /// Takes in what the store had for this token, and gives back the session to use: the one that is already here, if
    /// there is one. Nothing if a session has ended, or was changed by others, since the ticket was drawn: it may have
    /// been this one, and the store must be asked again.
    pub(super) fn fill(
        &self,
        ticket: &Ticket,
        hash: &TokenHash,
        stored: Arc<Session>,
    ) -> Option<Arc<Session>> {
        let ends = self.lock(hash);
        if *ends != ticket.ends {
            return None;
        }
        let session = self.shared(stored);
        // Looked at once it can be found here: a change that comes now finds it.
        if self.changed_since(ticket, session.id()) {
            return None;
        }
        self.live.insert(hash.key(), Arc::clone(&session));
        Some(session)
    }

    /// Takes in a token of a session, before anybody can know it. Whether there was none like it.
    pub(super) fn add(&self, hash: &TokenHash, session: &Arc<Session>) -> bool {
        let _ends = self.lock(hash);
        let new = !self.live.contains_key(&hash.key());
        if new {
            let session = self.shared(Arc::clone(session));
            self.live.insert(hash.key(), session);
        }
        new
    }

    /// Takes out one token that leads nowhere any more.
    pub(super) fn forget(&self, hash: &TokenHash) {
        let mut ends = self.lock(hash);
        *ends = ends.wrapping_add(1);
        self.live.invalidate(&hash.key());
    }

    /// Takes out a session that the store no longer has. Look-ups that began before come to nothing.
    pub(super) fn remove(&self, session: &Session) {
        for hash in session.tokens().hashes() {
            self.forget(hash);
        }
        if let Some(homes) = &self.homes {
            lock(homes.at(session.id().stripe())).sessions.remove(&session.id());
        }
    }

    /// The one session of this id that is in use here: `stored`, if there is none.
    pub(super) fn shared(&self, stored: Arc<Session>) -> Arc<Session> {
        let Some(homes) = &self.homes else { return stored };
        let mut home = lock(homes.at(stored.id().stripe()));
        let here = home.sessions.get(&stored.id()).and_then(Weak::upgrade);
        // One that was let go is of no more use to anybody.
        let Some(here) = here.filter(|here| here.why_ended() != Some(Why::NotHeard)) else {
            home.sessions.insert(stored.id(), Arc::downgrade(&stored));
            return stored;
        };
        if !Arc::ptr_eq(&here, &stored) {
            here.adopt(stored.tokens(), stored.version());
            here.seen_elsewhere(stored.times().last_seen);
        }
        here
    }

    /// Others changed the session of this id: the one that is in use here, if any, to be compared with the store's.
    /// Look-ups that began before come to nothing.
    pub(super) fn changed(&self, id: SessionId) -> Option<Arc<Session>> {
        let mut home = lock(self.homes.as_ref()?.at(id.stripe()));
        home.changed = self.next_change();
        home.sessions.get(&id).and_then(Weak::upgrade)
    }

    /// Others may have changed any: those that are in use here.
    pub(super) fn all_changed(&self) -> Vec<Arc<Session>> {
        let mut here = Vec::new();
        for home in self.homes.iter().flat_map(|homes| &homes.0) {
            let mut home = lock(home);
            home.changed = self.next_change();
            here.extend(home.sessions.values().filter_map(Weak::upgrade));
        }
        here
    }

    /// Those that are in use here.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        let homes = self.homes.iter().flat_map(|homes| &homes.0);
        homes
            .flat_map(|home| lock(home).sessions.values().filter_map(Weak::upgrade).collect::<Vec<_>>())
            .collect()
    }

    fn next_change(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::SeqCst).wrapping_add(1)
    }

    /// Whether others changed one of the group of `id` since.
    fn changed_since(&self, ticket: &Ticket, id: SessionId) -> bool {
        let home = self.homes.as_ref().map(|homes| lock(homes.at(id.stripe())));
        home.is_some_and(|home| home.changed > ticket.changes)
    }

    /// The housekeeping that would otherwise be done inside somebody's request.
    pub(super) fn tidy(&self) {
        self.live.run_pending_tasks();
        for home in self.homes.iter().flat_map(|homes| &homes.0) {
            lock(home).sessions.retain(|_, session| session.strong_count() > 0);
        }
    }

    /// How many entries there are, for tests.
    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.tidy();
        self.live.entry_count()
    }

    fn lock(&self, hash: &TokenHash) -> MutexGuard<'_, u64> {
        lock(self.ends.at(hash.key().stripe()))
    }
}

/// What the locks guard is as right after a panic as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry's life: until the absolute end of its session, and [`MARGIN`]. The idle end is no use here, because most
/// requests reach the session without asking the cache.
struct UntilItsEnd;

impl Expiry<TokenKey, Arc<Session>> for UntilItsEnd {
    fn expire_after_create(&self, _: &TokenKey, session: &Arc<Session>, _: Instant) -> Option<Duration> {
        // Counted from when it was last seen: not later than now, so what remains is never taken too short.
        let times = session.times();
        let end = times.began.after(session.lifetime().absolute());
        Some(end.since(times.last_seen).saturating_add(MARGIN))
    }
}
