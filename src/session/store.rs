//! Where sessions are kept: the contract that every store fulfils, and the suite that proves it.

#[cfg(test)]
pub(crate) mod conformance;
pub mod disk;
mod held;
pub mod memory;
pub mod redis;
pub mod row;
mod stores;

use std::error::Error;
use std::sync::Arc;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::identity::user::UserName;
use crate::session::id::SessionId;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::token::TokenHash;
use crate::session::tokens::Tokens;

pub use crate::session::store::held::Held;
pub use crate::session::store::held::HeldKey;
pub use crate::session::store::stores::Place;
pub use crate::session::store::stores::Stores;

/// A store of sessions, by their ids and by the hashes of their tokens; it never sees a token.
///
/// Held to by every store, and run as one suite (`conformance`) against each:
///
/// - **Broken is not absent.** What is absent, or cannot be understood, is `Ok` and nothing. `Err` means that
///   the system failed and nothing is known: the caller answers 503, and never "anonymous".
/// - **An end is final.** [`create`](Store::create) never overwrites, [`replace`](Store::replace) and
///   [`touch`](Store::touch) never create: a request that was on its way when its session ended cannot bring it back.
/// - **A change is done when it is answered**, as durably as the store can; [`touch`](Store::touch) alone may take its
///   time. A call that is dropped half-way may have happened or not, but nothing in between.
/// - Every session is in the index of its user: any number a user, each once, and none that is gone. It is found by
///   every hash its tokens name, the retired ones included, and by no other.
/// - **A held form is taken out once.** [`take_held`](Store::take_held) takes out the very one that was looked at, and tells
///   one of all who do; what is held is lost sooner than it is there twice.
/// - **It judges no clock.** A session that is over is handed out like any other until it is removed; whoever asked
///   judges it. A store may let go by itself of sessions that are past their absolute limit.
///
/// A store may hand out the very session it was given or one it made anew from what it wrote; the cache before it
/// sees to it that only one is in use.
pub trait Store: Send + Sync + 'static {
    /// Keeps a new session, unless there is one with its id or with one of its hashes, or there are `capacity` already.
    /// Counted and kept in one step, so that logins at the same time cannot exceed it together.
    fn create(
        &self,
        session: &Arc<Session>,
        capacity: usize,
    ) -> impl Future<Output = Result<Created, StoreError>> + Send;

    /// The session that has this token, whatever its role.
    fn find(
        &self,
        token: &TokenHash,
    ) -> impl Future<Output = Result<Option<Arc<Session>>, StoreError>> + Send;

    /// The session with this id.
    fn load(&self, id: SessionId) -> impl Future<Output = Result<Option<Arc<Session>>, StoreError>> + Send;

    /// Puts `tokens` in the place of the session's own, if the store still has its version `version`: the next version
    /// is one more. The answer is `false`, and nothing happens, if the store has another version or none, or a hash
    /// belongs to another session.
    fn replace(
        &self,
        session: &Arc<Session>,
        version: u32,
        tokens: &Tokens,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Notes when each of these was last seen. The later time stands; those that are gone stay gone.
    fn touch(&self, sessions: &[Arc<Session>]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the session with this one's id. Removing nothing is fine; the answer is whether there was
    /// something, so that of several who end a session one is the one who did.
    fn remove(&self, session: &Session) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The sessions of a user, in no order.
    fn of_user(&self, user: &UserName) -> impl Future<Output = Result<Vec<Arc<Session>>, StoreError>> + Send;

    /// At most `limit` sessions that are over at `now` by what the store knows of them; all of them, if fewer are told.
    /// They stay until they are removed.
    fn overdue(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Arc<Session>>, StoreError>> + Send;

    /// All sessions, about `limit` at a time: those behind `from`, or the first ones. A session that lives all the
    /// while is told of at least once; one that begins or ends meanwhile may be.
    fn list(
        &self,
        from: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// Keeps a form under `key`, unless one is there that is held beyond `now`, or there are `room` of them already.
    fn hold(
        &self,
        key: HeldKey,
        held: &Held,
        now: Timestamp,
        room: usize,
    ) -> impl Future<Output = Result<Created, StoreError>> + Send;

    /// The form that is held under `key`, its time over or not.
    fn held(&self, key: HeldKey) -> impl Future<Output = Result<Option<Held>, StoreError>> + Send;

    /// Takes this very form out. Whether it was there: of several who ask, one is told so.
    fn take_held(&self, key: HeldKey, held: &Held) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Removes the forms whose time is over at `now`.
    fn sweep_held(&self, now: Timestamp) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// How many sessions are kept, as far as is known without asking another machine.
    fn count(&self) -> usize;

    /// How many tokens may be cached in front of it.
    fn cache_bound(&self) -> u64;

    /// Whether what it hands out are the shared sessions themselves, and no copies.
    fn hands_out_originals(&self) -> bool {
        false
    }

    /// Whether other processes use it too. Then what was read from it holds only as long as nothing else is heard in
    /// its [`news`](Store::news), and its last-seen times are those that all have told so far.
    fn is_shared(&self) -> bool {
        false
    }

    /// When the session was last seen by what all who use the store have told; nothing if it is gone.
    fn last_seen(
        &self,
        session: &Session,
    ) -> impl Future<Output = Result<Option<Timestamp>, StoreError>> + Send {
        let seen = session.times().last_seen;
        std::future::ready(Ok(Some(seen)))
    }

    /// Why a session that is gone was ended, if whoever removed it has left word.
    fn farewell(&self, _gone: SessionId) -> impl Future<Output = Option<Why>> + Send {
        std::future::ready(None)
    }

    /// Waits for the next that is heard of a store that others use too. To be asked by one alone, again and again.
    fn news(&self) -> impl Future<Output = News> + Send {
        std::future::pending()
    }
}

/// What is heard of a store that others use too, in the order it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This session was created, changed or removed, by whomever.
    Changed(SessionId),
    /// Any session may have been, since it could not be heard.
    Everything,
    /// Whatever had happened until then was told before this.
    Sound(Timestamp),
    /// The store cannot be asked, and nothing is heard.
    Down {
        /// Why.
        reason: String,
    },
    /// It can be asked again.
    Up,
}

/// What came of [`Store::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is kept.
    Done,
    /// There is one with this id or hash, and it was left alone.
    Exists,
    /// There are as many as there may be.
    Full,
}

/// Some of all sessions.
#[derive(Debug)]
pub struct Page {
    /// The sessions.
    pub sessions: Vec<Arc<Session>>,
    /// Where to go on; nothing at the end.
    pub next: Option<Cursor>,
}

/// A place in a store's own order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Box<[u8]>);

impl Cursor {
    /// A place, in whatever form the store likes.
    pub fn new(place: &[u8]) -> Self {
        Self(place.into())
    }

    /// The place.
    pub fn place(&self) -> &[u8] {
        &self.0
    }
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
