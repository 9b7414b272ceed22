//! Sessions in this process's memory: gone when it ends.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;

use crate::clock::Timestamp;
use crate::identity::user::UserName;
use crate::session::lifetime::Verdict;
use crate::session::lifetime::verdict;
use crate::session::live::ByHash;
use crate::session::live::Session;
use crate::session::store::Created;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::token::TokenHash;

/// So many sessions are looked at in one go, before others get their turn at the lock and the thread.
const PAGE: usize = 1024;

/// A store in memory. It keeps the shared sessions themselves, so their last-seen times need no writing back.
#[derive(Default)]
pub struct Memory {
    shelves: RwLock<Shelves>,
}

/// Both orders hold nothing but pointers, and grow without ever moving all they hold at once, as a hash table would:
/// that would stop every login for as long as it takes.
#[derive(Default)]
struct Shelves {
    by_hash: BTreeSet<ByHash>,
    by_user: BTreeSet<ByUser>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, Shelves>, StoreError> {
        // Fails closed: after a panic in the middle of a change the two orders may disagree.
        self.shelves.read().map_err(|poisoned| StoreError::new(poisoned.to_string()))
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Shelves>, StoreError> {
        self.shelves.write().map_err(|poisoned| StoreError::new(poisoned.to_string()))
    }

    /// Adds the overdue ones of the page behind `start`, and tells where that page ends.
    fn overdue_page(
        &self,
        start: Bound<TokenHash>,
        now: Timestamp,
        overdue: &mut Vec<Arc<Session>>,
    ) -> Result<Option<TokenHash>, StoreError> {
        let shelves = self.read()?;
        let range = (start.as_ref(), Bound::Unbounded);
        let mut last = None;
        for ByHash(session) in shelves.by_hash.range::<TokenHash, _>(range).take(PAGE) {
            if is_over(session, now) {
                overdue.push(Arc::clone(session));
            }
            last = Some(*session.hash());
        }
        Ok(last)
    }
}

impl Store for Memory {
    async fn create(&self, session: &Arc<Session>, capacity: usize) -> Result<Created, StoreError> {
        let mut shelves = self.write()?;
        if shelves.by_hash.contains(session.hash()) {
            return Ok(Created::Exists);
        }
        if shelves.by_hash.len() >= capacity {
            return Ok(Created::Full);
        }
        shelves.put(session);
        Ok(Created::Done)
    }

    async fn load(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Arc<Session>>, StoreError> {
        let found = self.read()?.by_hash.get(hash).map(|ByHash(session)| Arc::clone(session));
        Ok(found.filter(|session| !is_over(session, now)))
    }

    async fn replace(&self, session: &Arc<Session>) -> Result<bool, StoreError> {
        let mut shelves = self.write()?;
        let kept = shelves.by_hash.get(session.hash());
        let same = kept.is_some_and(|ByHash(kept)| kept.version() == session.version());
        if same {
            shelves.take(session.hash());
            session.set_version(session.version().wrapping_add(1));
            shelves.put(session);
        }
        Ok(same)
    }

    async fn remove(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        Ok(self.write()?.take(hash))
    }

    async fn of_user(&self, user: &UserName) -> Result<Vec<Arc<Session>>, StoreError> {
        let from = (Bound::Included(user as &dyn Place), Bound::Unbounded);
        let shelves = self.read()?;
        let behind = shelves.by_user.range::<dyn Place, _>(from);
        Ok(behind
            .map(|ByUser(session)| session)
            .take_while(|session| session.user().name == *user)
            .cloned()
            .collect())
    }

    async fn overdue(&self, now: Timestamp) -> Result<Vec<Arc<Session>>, StoreError> {
        let mut overdue = Vec::new();
        let mut start = Bound::Unbounded;
        while let Some(last) = self.overdue_page(start, now, &mut overdue)? {
            start = Bound::Excluded(last);
            tokio::task::yield_now().await;
        }
        Ok(overdue)
    }

    fn count(&self) -> usize {
        self.read().map_or(0, |shelves| shelves.by_hash.len())
    }
}

fn is_over(session: &Session, now: Timestamp) -> bool {
    session.why_ended().is_some() || verdict(&session.times(), session.lifetime(), now) != Verdict::Active
}

impl Shelves {
    fn put(&mut self, session: &Arc<Session>) {
        self.by_hash.insert(ByHash(Arc::clone(session)));
        self.by_user.insert(ByUser(Arc::clone(session)));
    }

    fn take(&mut self, hash: &TokenHash) -> bool {
        let Some(ByHash(session)) = self.by_hash.take(hash) else {
            return false;
        };
        self.by_user.remove(&ByUser(session));
        true
    }
}

/// A session in the order of users' names, and of token hashes within one name.
struct ByUser(Arc<Session>);

/// A place in that order: a session's, or the one before all sessions of a name.
trait Place {
    fn place(&self) -> (&UserName, Option<&TokenHash>);
}

impl Place for ByUser {
    fn place(&self) -> (&UserName, Option<&TokenHash>) {
        (&self.0.user().name, Some(self.0.hash()))
    }
}

impl Place for UserName {
    fn place(&self) -> (&UserName, Option<&TokenHash>) {
        (self, None)
    }
}

impl<'a> Borrow<dyn Place + 'a> for ByUser {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for dyn Place + '_ {}

impl Ord for ByUser {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for ByUser {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByUser {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for ByUser {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::store::conformance;

    #[tokio::test]
    async fn memory_is_a_store() {
        conformance::run(Memory::new).await;
    }
}
