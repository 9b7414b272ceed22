//! The store that was chosen: a closed set, so that no call goes through a table of functions.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::identity::user::UserName;
use crate::session::id::SessionId;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::store::Created;
use crate::session::store::Cursor;
use crate::session::store::Held;
use crate::session::store::HeldKey;
use crate::session::store::News;
use crate::session::store::Page;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::store::disk::Disk;
use crate::session::store::memory::Memory;
use crate::session::store::redis;
use crate::session::store::redis::Redis;
use crate::session::token::TokenHash;
use crate::session::tokens::Tokens;

/// Where sessions are kept.
#[derive(Clone, Debug)]
pub enum Place {
    /// In this process's memory: they end with it.
    Memory,
    /// In this file.
    Disk(PathBuf),
    /// On a server that several gateways share.
    Redis(Box<redis::Settings>),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => formatter.write_str("memory"),
            Self::Disk(path) => write!(formatter, "disk: {}", path.display()),
            Self::Redis(settings) => write!(formatter, "redis: {settings}"),
        }
    }
}

/// One of the stores there are.
pub enum Stores {
    /// In this process's memory.
    Memory(Memory),
    /// In a file.
    Disk(Disk),
    /// On a server that several gateways share.
    Redis(Box<Redis>),
}

impl From<Memory> for Stores {
    fn from(store: Memory) -> Self {
        Self::Memory(store)
    }
}

impl From<Disk> for Stores {
    fn from(store: Disk) -> Self {
        Self::Disk(store)
    }
}

impl From<Redis> for Stores {
    fn from(store: Redis) -> Self {
        Self::Redis(Box::new(store))
    }
}

impl Stores {
    /// The store on disk, if it is that.
    pub fn disk(&self) -> Option<&Disk> {
        match self {
            Self::Disk(disk) => Some(disk),
            Self::Memory(_) | Self::Redis(_) => None,
        }
    }
}

/// Does the same with whichever store it is.
macro_rules! with {
    ($stores:ident, $store:ident => $does:expr) => {
        match $stores {
            Stores::Memory($store) => $does,
            Stores::Redis($store) => $does,
            Stores::Disk($store) => $does,
        }
    };
}

impl Store for Stores {
    async fn create(&self, session: &Arc<Session>, capacity: usize) -> Result<Created, StoreError> {
        with!(self, store => store.create(session, capacity).await)
    }

    async fn find(&self, token: &TokenHash) -> Result<Option<Arc<Session>>, StoreError> {
        with!(self, store => store.find(token).await)
    }

    async fn load(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        with!(self, store => store.load(id).await)
    }

    async fn replace(
        &self,
        session: &Arc<Session>,
        version: u32,
        tokens: &Tokens,
    ) -> Result<bool, StoreError> {
        with!(self, store => store.replace(session, version, tokens).await)
    }

    async fn touch(&self, sessions: &[Arc<Session>]) -> Result<(), StoreError> {
        with!(self, store => store.touch(sessions).await)
    }

    async fn remove(&self, session: &Session) -> Result<bool, StoreError> {
        with!(self, store => store.remove(session).await)
    }

    async fn of_user(&self, user: &UserName) -> Result<Vec<Arc<Session>>, StoreError> {
        with!(self, store => store.of_user(user).await)
    }

    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<Session>>, StoreError> {
        with!(self, store => store.overdue(now, limit).await)
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        with!(self, store => store.list(from, limit).await)
    }

    async fn hold(
        &self,
        key: HeldKey,
        held: &Held,
        now: Timestamp,
        room: usize,
    ) -> Result<Created, StoreError> {
        with!(self, store => store.hold(key, held, now, room).await)
    }

    async fn held(&self, key: HeldKey) -> Result<Option<Held>, StoreError> {
        with!(self, store => store.held(key).await)
    }

    async fn take_held(&self, key: HeldKey, held: &Held) -> Result<bool, StoreError> {
        with!(self, store => store.take_held(key, held).await)
    }

    async fn sweep_held(&self, now: Timestamp) -> Result<(), StoreError> {
        with!(self, store => store.sweep_held(now).await)
    }

    fn count(&self) -> usize {
        with!(self, store => store.count())
    }

    fn cache_bound(&self) -> u64 {
        with!(self, store => store.cache_bound())
    }

    fn hands_out_originals(&self) -> bool {
        with!(self, store => store.hands_out_originals())
    }

    fn is_shared(&self) -> bool {
        with!(self, store => store.is_shared())
    }

    async fn last_seen(&self, session: &Session) -> Result<Option<Timestamp>, StoreError> {
        with!(self, store => store.last_seen(session).await)
    }

    async fn farewell(&self, gone: SessionId) -> Option<Why> {
        with!(self, store => store.farewell(gone).await)
    }

    async fn news(&self) -> News {
        with!(self, store => store.news().await)
    }
}
