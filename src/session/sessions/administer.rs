//! Looking at all sessions, for those who run the gateway.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::session::id::SessionId;
use crate::session::lifetime::Verdict;
use crate::session::lifetime::verdict;
use crate::session::live::Session;
use crate::session::sessions::Sessions;
use crate::session::store::Cursor;
use crate::session::store::Page;
use crate::session::store::Store;
use crate::session::store::StoreError;

impl<S: Store> Sessions<S> {
    /// The live session with this id.
    pub async fn get(&self, id: SessionId, now: Timestamp) -> Result<Option<Arc<Session>>, StoreError> {
        let Some(stored) = self.store.load(id).await? else { return Ok(None) };
        let session = self.cache.shared(stored);
        let over = self.expire(&session, session.lifetime(), now).await?;
        Ok(over.is_none().then_some(session))
    }

    /// Some of all live sessions, about `limit`: those behind `from`, or the first ones. A page may be short, or even
    /// empty, and not the last.
    pub async fn list(
        &self,
        from: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, StoreError> {
        let Page { mut sessions, next } = self.list_stored(from, limit).await?;
        // Those that are over and were not noticed yet are the sweep's.
        let live = |session: &Arc<Session>| {
            session.why_ended().is_none()
                && verdict(&session.times(), session.lifetime(), now) == Verdict::Active
        };
        sessions.retain(live);
        Ok(Page { sessions, next })
    }

    /// Some of all sessions in the store, about `limit`: live ones, those that are over and were not noticed yet, and those
    /// that wait, locked, to be gone on with. Whoever ends all ends these too.
    pub async fn list_stored(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let Page { sessions, next } = self.store.list(from, limit).await?;
        Ok(Page { sessions: sessions.into_iter().map(|stored| self.cache.shared(stored)).collect(), next })
    }
}
