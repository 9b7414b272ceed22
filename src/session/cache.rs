//! The live sessions of this process: the TTL cache in front of every store.
//!
//! It sees to it that there is one [`Session`] a token, shared by all who serve it, and that a session which was
//! ended does not come back through a look-up that began before. It is no authority: what it has not, the store may
//! have; and what it has is judged by its own times on every use.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use moka::Expiry;
use moka::sync;

use crate::session::live::ByHash;
use crate::session::live::Session;
use crate::session::striped::Striped;
use crate::session::token::TokenHash;

/// So much longer than the session itself its entry stays. Whoever ends it must still find it here, since the one
/// held by open connections is this one; the sweep, which comes around more often than this, ends it on time.
const MARGIN: Duration = Duration::from_mins(10);

/// Unbounded: `max_sessions` is enforced at login, and a live session is never pushed out by another.
pub(super) struct Cache {
    live: sync::Cache<ByHash, Arc<Session>>,
    /// How many sessions of each group were ended: what tells a look-up that it may have been overtaken. Held while
    /// the cache is changed.
    ends: Striped<Mutex<u64>>,
}

/// When a look-up began.
pub(super) struct Ticket(u64);

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            live: sync::Cache::builder().expire_after(UntilItsEnd).build(),
            ends: Striped([const { Mutex::new(0) }; 256]),
        }
    }

    pub(super) fn get(&self, hash: &TokenHash) -> Option<Arc<Session>> {
        self.live.get(hash)
    }

    /// To be drawn before the store is asked.
    pub(super) fn ticket(&self, hash: &TokenHash) -> Ticket {
        Ticket(*self.lock(hash))
    }

    /// Takes in what the store had, and gives back the session to use: the one that is already here, if another
    /// look-up was faster. Nothing if a session has ended since the ticket was drawn: it may have been this one, and
    /// the store must be asked again.
    pub(super) fn fill(&self, ticket: &Ticket, stored: Arc<Session>) -> Option<Arc<Session>> {
        let ends = self.lock(stored.hash());
        if *ends != ticket.0 {
            return None;
        }
        let here = self.live.get(stored.hash());
        Some(here.unwrap_or_else(|| {
            self.live.insert(ByHash(Arc::clone(&stored)), Arc::clone(&stored));
            stored
        }))
    }

    /// Takes in a new session, before anybody can know its token. Whether there was none with this token.
    pub(super) fn add(&self, session: &Arc<Session>) -> bool {
        let _ends = self.lock(session.hash());
        let new = !self.live.contains_key(session.hash());
        if new {
            self.live.insert(ByHash(Arc::clone(session)), Arc::clone(session));
        }
        new
    }

    /// Takes out a session that the store no longer has. Look-ups that began before come to nothing.
    pub(super) fn take(&self, hash: &TokenHash) -> Option<Arc<Session>> {
        let mut ends = self.lock(hash);
        *ends = ends.wrapping_add(1);
        self.live.remove(hash)
    }

    /// The housekeeping that would otherwise be done inside somebody's request.
    pub(super) fn tidy(&self) {
        self.live.run_pending_tasks();
    }

    /// How many entries there are, for tests.
    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.tidy();
        self.live.entry_count()
    }

    fn lock(&self, hash: &TokenHash) -> MutexGuard<'_, u64> {
        // A count is as right after a panic as before.
        self.ends.at(hash).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry's life: until the absolute end of its session, and [`MARGIN`]. The idle end is no use here, because most
/// requests reach the session without asking the cache.
struct UntilItsEnd;

impl Expiry<ByHash, Arc<Session>> for UntilItsEnd {
    fn expire_after_create(&self, _: &ByHash, session: &Arc<Session>, _: Instant) -> Option<Duration> {
        // Counted from when it was last seen: not later than now, so what remains is never taken too short.
        let times = session.times();
        let end = times.began.after(session.lifetime().absolute());
        Some(end.since(times.last_seen).saturating_add(MARGIN))
    }
}
