//! Where sessions are kept: the contract that every store fulfils, and the suite that proves it.

#[cfg(test)]
pub(crate) mod conformance;
pub mod memory;

use std::error::Error;
use std::sync::Arc;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::identity::user::UserName;
use crate::session::live::Session;
use crate::session::token::TokenHash;

/// A store of sessions, by the hashes of their tokens; it never sees a token.
///
/// Held to by every store, and run as one suite (`conformance`) against each:
///
/// - **Broken is not absent.** What is absent, expired, or cannot be understood is `Ok` and nothing. `Err` means that
///   the system failed and nothing is known: the caller answers 503, and never "anonymous".
/// - **An end is final.** [`create`](Store::create) never overwrites, [`replace`](Store::replace) never creates: a
///   request that was on its way when its session ended cannot bring it back.
/// - **A change is done when it is answered**, as durably as the store can. A call that is dropped half-way may have
///   happened or not, but nothing in between.
/// - Every session is in the index of its user: any number a user, each once, and none that is gone.
///
/// A store may hand out the very session it was given or one it made anew from what it wrote; the cache before it
/// sees to it that only one is in use.
pub trait Store: Send + Sync + 'static {
    /// Keeps a new session, unless there is one with its hash or there are `capacity` already. Counted and kept in
    /// one step, so that logins at the same time cannot exceed it together.
    fn create(
        &self,
        session: &Arc<Session>,
        capacity: usize,
    ) -> impl Future<Output = Result<Created, StoreError>> + Send;

    /// The session with this hash, if there is one and it is not over at `now` by what the store knows of it.
    fn load(
        &self,
        hash: &TokenHash,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Arc<Session>>, StoreError>> + Send;

    /// Writes the session as it is now (times included) over its own version. Nothing happens, and the answer is
    /// `false`, if the store has another version or none. When written, the session's version is the new one.
    fn replace(&self, session: &Arc<Session>) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Removes the session with this hash, expired or not. Removing nothing is fine; the answer is whether there was
    /// something, so that of several who end a session one is the one who did.
    fn remove(&self, hash: &TokenHash) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The sessions of a user, in no order, expired ones included.
    fn of_user(&self, user: &UserName) -> impl Future<Output = Result<Vec<Arc<Session>>, StoreError>> + Send;

    /// The sessions that are over at `now` by what the store knows of them. They stay until they are removed; a
    /// store that lets go of them by itself need not list them.
    fn overdue(&self, now: Timestamp) -> impl Future<Output = Result<Vec<Arc<Session>>, StoreError>> + Send;

    /// How many sessions are kept, as far as is known without asking another machine.
    fn count(&self) -> usize;
}

/// What came of [`Store::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is kept.
    Done,
    /// There is one with this hash, and it was left alone.
    Exists,
    /// There are as many as there may be.
    Full,
}

/// The store cannot answer; nothing is known about the session that was asked for.
#[derive(Debug, Error)]
#[error("the session store cannot answer")]
pub struct StoreError(#[source] Box<dyn Error + Send + Sync>);

impl StoreError {
    /// A failure with its cause.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}
