//! Ending sessions: one, all of a user's, several at once.

use std::sync::Arc;

use futures_util::future::join_all;
use thiserror::Error;

use crate::identity::user::User;
use crate::identity::user::UserName;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::sessions::Sessions;
use crate::session::store::Store;
use crate::session::store::StoreError;

/// So many are ended at once where all of somebody's are, or everybody's.
const END_STEP: usize = 1024;

/// The store could not answer for some of several sessions, which go on.
#[derive(Debug, Error)]
#[error("not all sessions could be ended")]
pub struct NotAllEnded {
    /// So many were ended all the same.
    pub ended: usize,
    /// Why the others were not.
    pub source: StoreError,
}

impl From<NotAllEnded> for StoreError {
    fn from(error: NotAllEnded) -> Self {
        error.source
    }
}

impl<S: Store> Sessions<S> {
    /// Ends a session: its record is gone, and everybody who holds it knows, before this returns. If the store cannot
    /// answer, it may be done all the same: from then on the store is asked whenever the session is. Run it to
    /// completion: dropped half-way it may be done in the store alone.
    pub async fn end(&self, session: &Arc<Session>, why: Why) -> Result<(), StoreError> {
        session.begin_end(why);
        // That one was told of when it was locked.
        let was_locked = session.is_locked();
        let removed = self.store.remove(session).await.inspect_err(|_failed| {
            // Of what happens in a store that others use too everybody hears anyway.
            if !self.store.is_shared() {
                session.doubt_end();
            }
        })?;
        if session.end(why) || removed {
            self.bury(session, why, removed && !was_locked);
        }
        Ok(())
    }

    /// Ends all sessions of a user, and tells how many there were. A login of the same user that is under way may
    /// begin one afterwards: let it look at the user again when it is done.
    pub async fn end_user(&self, user: &UserName, why: Why) -> Result<usize, NotAllEnded> {
        self.end_user_where(user, why, |_user| true).await
    }

    /// Likewise those sessions of the name that began for a user who `is_meant`.
    pub async fn end_user_where(
        &self,
        user: &UserName,
        why: Why,
        is_meant: impl Fn(&User) -> bool,
    ) -> Result<usize, NotAllEnded> {
        let found = self.store.of_user(user).await.map_err(|source| NotAllEnded { ended: 0, source })?;
        let meant = found.into_iter().filter(|stored| is_meant(stored.user()));
        let sessions: Vec<_> = meant.map(|stored| self.cache.shared(stored)).collect();
        self.end_each(&sessions, why).await
    }

    /// Ends all sessions of the user of `own` but that one, those included that are over and wait, locked, to be gone on
    /// with.
    pub async fn end_others(&self, own: &Session, why: Why) -> Result<usize, NotAllEnded> {
        let found = self.store.of_user(&own.user().name).await;
        let mut found = found.map_err(|source| NotAllEnded { ended: 0, source })?;
        found.retain(|other| other.id() != own.id());
        let sessions: Vec<_> = found.into_iter().map(|stored| self.cache.shared(stored)).collect();
        self.end_each(&sessions, why).await
    }

    /// Ends each of these, and tells how many were alive. Many at once: a store that writes to a disk or a network ends
    /// them in a few steps.
    pub async fn end_each(&self, sessions: &[Arc<Session>], why: Why) -> Result<usize, NotAllEnded> {
        let mut ended = 0;
        for some in sessions.chunks(END_STEP) {
            let alive: Vec<bool> = some.iter().map(|session| !session.is_locked()).collect();
            let done = join_all(some.iter().map(|session| self.end(session, why))).await;
            ended += done.iter().zip(&alive).filter(|(done, alive)| done.is_ok() && **alive).count();
            done.into_iter()
                .collect::<Result<(), StoreError>>()
                .map_err(|source| NotAllEnded { ended, source })?;
        }
        Ok(ended)
    }
}
