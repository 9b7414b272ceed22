//! Sessions in this process's memory: gone when it ends.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;

use crate::clock::Timestamp;
use crate::identity::user::UserName;
use crate::session::id::SessionId;
use crate::session::live::Session;
use crate::session::store::Created;
use crate::session::store::Cursor;
use crate::session::store::Held;
use crate::session::store::HeldKey;
use crate::session::store::Page;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::store::held::Shelf;
use crate::session::token::TokenHash;
use crate::session::token::TokenKey;
use crate::session::tokens::Tokens;

/// So many sessions are looked at in one go, before others get their turn at the lock and the thread.
const PAGE: usize = 1024;

/// So many tokens may be cached: about 60 MiB. A look-up beyond takes some microseconds, once for a connection; an entry for
/// each of a million sessions would take as much memory as the rest of them.
const CACHED: u64 = 200_000;

/// A store in memory. It keeps the shared sessions themselves, so their last-seen times need no writing back.
#[derive(Default)]
pub struct Memory {
    shelves: RwLock<Shelves>,
    held: Shelf,
}

/// Both orders grow without ever moving all they hold at once, as a hash table would: that would stop every login for
/// as long as it takes.
#[derive(Default)]
struct Shelves {
    by_token: BTreeMap<TokenKey, Arc<Session>>,
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

    /// The first session, in the order of users and ids, that `is_it`; the lock is given up now and then.
    async fn first(
        &self,
        is_it: impl Fn(&Session) -> bool + Send,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let mut last: Option<Arc<Session>> = None;
        loop {
            let page = self.page_behind(last.as_deref())?;
            if let Some(found) = page.iter().find(|session| is_it(session)) {
                return Ok(Some(Arc::clone(found)));
            }
            last = page.last().cloned();
            if last.is_none() {
                return Ok(None);
            }
            tokio::task::yield_now().await;
        }
    }

    fn page_behind(&self, last: Option<&Session>) -> Result<Vec<Arc<Session>>, StoreError> {
        let shelves = self.read()?;
        let from: Bound<&dyn Place> = match last {
            None => Bound::Unbounded,
            Some(last) => Bound::Excluded(last),
        };
        let behind = shelves.by_user.range::<dyn Place, _>((from, Bound::Unbounded));
        Ok(behind.take(PAGE).map(|ByUser(session)| Arc::clone(session)).collect())
    }
}

impl Store for Memory {
    async fn create(&self, session: &Arc<Session>, capacity: usize) -> Result<Created, StoreError> {
        let mut shelves = self.write()?;
        let tokens = session.tokens();
        let taken = tokens.hashes().any(|hash| shelves.by_token.contains_key(&hash.key()));
        if taken || shelves.by_user.contains::<dyn Place>(&**session) {
            return Ok(Created::Exists);
        }
        if shelves.by_user.len() >= capacity {
            return Ok(Created::Full);
        }
        shelves.by_token.extend(tokens.hashes().map(|hash| (hash.key(), Arc::clone(session))));
        shelves.by_user.insert(ByUser(Arc::clone(session)));
        Ok(Created::Done)
    }

    async fn find(&self, token: &TokenHash) -> Result<Option<Arc<Session>>, StoreError> {
        let found = self.read()?.by_token.get(&token.key()).cloned();
        Ok(found.filter(|session| session.with_tokens(|tokens| tokens.host_of(token).is_some())))
    }

    async fn load(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        self.first(|session| session.id() == id).await
    }

    async fn replace(
        &self,
        session: &Arc<Session>,
        version: u32,
        tokens: &Tokens,
    ) -> Result<bool, StoreError> {
        let mut shelves = self.write()?;
        let Some(ByUser(kept)) = shelves.by_user.get::<dyn Place>(&**session) else { return Ok(false) };
        let kept = Arc::clone(kept);
        let foreign = |hash: &TokenHash| {
            shelves.by_token.get(&hash.key()).is_some_and(|other| !Arc::ptr_eq(other, &kept))
        };
        if kept.version() != version || tokens.hashes().any(foreign) {
            return Ok(false);
        }
        for hash in kept.tokens().hashes() {
            shelves.by_token.remove(&hash.key());
        }
        shelves.by_token.extend(tokens.hashes().map(|hash| (hash.key(), Arc::clone(&kept))));
        kept.adopt(tokens.clone(), version.wrapping_add(1));
        Ok(true)
    }

    async fn touch(&self, _: &[Arc<Session>]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove(&self, session: &Session) -> Result<bool, StoreError> {
        let mut shelves = self.write()?;
        let Some(ByUser(session)) = shelves.by_user.take::<dyn Place>(session) else { return Ok(false) };
        for hash in session.tokens().hashes() {
            shelves.by_token.remove(&hash.key());
        }
        Ok(true)
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

    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<Session>>, StoreError> {
        let mut overdue = Vec::new();
        let mut last: Option<Arc<Session>> = None;
        loop {
            let page = self.page_behind(last.as_deref())?;
            overdue.extend(page.iter().filter(|session| session.is_overdue(now)).cloned());
            last = page.last().cloned();
            if last.is_none() || overdue.len() >= limit {
                overdue.truncate(limit);
                return Ok(overdue);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let last = from.and_then(Mark::read);
        let shelves = self.read()?;
        let from: Bound<&dyn Place> = match &last {
            None => Bound::Unbounded,
            Some(mark) => Bound::Excluded(mark),
        };
        let behind = shelves.by_user.range::<dyn Place, _>((from, Bound::Unbounded));
        let limit = limit.min(PAGE);
        let sessions: Vec<_> = behind.take(limit).map(|ByUser(session)| Arc::clone(session)).collect();
        let next = sessions.last().filter(|_| sessions.len() == limit).map(|last| Mark::of(last).write());
        Ok(Page { sessions, next })
    }

    async fn hold(
        &self,
        key: HeldKey,
        held: &Held,
        now: Timestamp,
        room: usize,
    ) -> Result<Created, StoreError> {
        self.held.hold(key, held, now, room)
    }

    async fn held(&self, key: HeldKey) -> Result<Option<Held>, StoreError> {
        self.held.held(key)
    }

    async fn take_held(&self, key: HeldKey, held: &Held) -> Result<bool, StoreError> {
        self.held.take(key, held)
    }

    async fn sweep_held(&self, now: Timestamp) -> Result<(), StoreError> {
        self.held.sweep(now)
    }

    fn count(&self) -> usize {
        self.read().map_or(0, |shelves| shelves.by_user.len())
    }

    fn cache_bound(&self) -> u64 {
        CACHED
    }

    fn hands_out_originals(&self) -> bool {
        true
    }
}

/// A session in the order of users' names, and of ids within one name.
struct ByUser(Arc<Session>);

/// A place in that order: a session's, or the one before all sessions of a name.
trait Place {
    fn place(&self) -> (&UserName, Option<SessionId>);
}

impl Place for ByUser {
    fn place(&self) -> (&UserName, Option<SessionId>) {
        self.0.place()
    }
}

impl Place for Session {
    fn place(&self) -> (&UserName, Option<SessionId>) {
        (&self.user().name, Some(self.id()))
    }
}

impl Place for UserName {
    fn place(&self) -> (&UserName, Option<SessionId>) {
        (self, None)
    }
}

/// The place of a session that may be gone: where a list goes on.
struct Mark {
    id: SessionId,
    user: UserName,
}

impl Mark {
    fn of(session: &Session) -> Self {
        Self { id: session.id(), user: session.user().name.clone() }
    }

    fn write(&self) -> Cursor {
        Cursor::new(&[&self.id.to_bytes(), self.user.key().as_bytes()].concat())
    }

    fn read(cursor: &Cursor) -> Option<Self> {
        let (id, user) = cursor.place().split_first_chunk()?;
        let user = UserName::from_key(str::from_utf8(user).ok()?)?;
        Some(Self { id: SessionId::from_bytes(*id), user })
    }
}

impl Place for Mark {
    fn place(&self) -> (&UserName, Option<SessionId>) {
        (&self.user, Some(self.id))
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
        conformance::run(async || Memory::new()).await;
    }
}
