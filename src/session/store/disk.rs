//! Sessions in a file of this machine: they survive a restart, and a `kill -9`.
//!
//! The file is a redb database, and one process has it open. One thread makes all changes: it takes those that wait
//! into one transaction, writes it, and answers them when it is on the disk, so that many logins at once cost little
//! more than one. Two more threads look sessions up. What they need is nearly always in memory, but now and then it is
//! not, and a worker that waits for a disk keeps all its other connections waiting; so no worker touches the file.
//!
//! # What is on the disk when
//!
//! [`create`](Store::create), [`replace`](Store::replace), [`remove`](Store::remove) and [`touch`](Store::touch) are
//! answered after the commit of the transaction they were in. The byte that acknowledges is the first of the file, which
//! says which of two commit slots holds: the new state and its slot are written and flushed (`fdatasync`), then that
//! byte is turned and flushed, then the answer is given. A crash before it leaves the state before, one after it the
//! state after, never a mixture. Whoever is answered "yes" can pull the plug.
//!
//! The two flushes where one would do are deliberate. With one, a slot whose checksum is wrong is taken for a commit
//! that was under way, and the state before it comes back: on a disk that loses bits it could bring back a session that
//! had ended. With two it is what it is, damage, and the file is refused.
//!
//! # What stays in the file
//!
//! A removed session's entry is taken out of all tables at once, but the page it stood on keeps its bytes until it is
//! used again or the file is compacted: names, addresses, and hashes that open nothing.

mod copy;
mod file;
mod health;
mod reader;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use redb::Database;
use thiserror::Error;
use tokio::sync::oneshot;

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
use crate::session::store::disk::reader::Found;
use crate::session::store::disk::reader::Read;
use crate::session::store::disk::reader::Unreadable;
use crate::session::store::disk::tables::Change;
use crate::session::store::disk::tables::Entry;
use crate::session::store::disk::tables::Outcome;
use crate::session::store::disk::tables::Query;
use crate::session::store::disk::tables::Use;
use crate::session::store::disk::writer::Write;
use crate::session::store::row::Rows;
use crate::session::token::TokenHash;
use crate::session::tokens::Tokens;

pub use crate::session::store::disk::copy::CopyError;
pub use crate::session::store::disk::copy::backup;
pub use crate::session::store::disk::copy::compact;
pub use crate::session::store::disk::file::OpenError;

/// So many threads look sessions up: one may be busy with a long list.
const READERS: usize = 2;

/// So many tokens may be cached: about 100 MiB, and a look-up beyond costs some ten microseconds.
const CACHED: u64 = 200_000;

/// So many last-seen times are one change, between which others get their turn.
const TOUCH_STEP: usize = 1024;

/// A disk that takes longer than this to answer counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a store on disk was not opened.
#[derive(Debug, Error)]
pub enum DiskError {
    /// Its file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system gives no threads.
    #[error("cannot start a thread: {0}")]
    Threads(#[source] io::Error),
}

/// A store in a file.
pub struct Disk {
    inner: Arc<Inner>,
    writes: Option<mpsc::Sender<Write>>,
    reads: Option<mpsc::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share.
struct Inner {
    path: PathBuf,
    rows: Rows,
    /// Locked for writing only to put another in its place; nothing while that has failed.
    database: RwLock<Option<Database>>,
    count: AtomicUsize,
    unreadable: Unreadable,
    /// Whether somebody has met with a failure since the disk was last tried out.
    failed: AtomicBool,
}

impl Disk {
    /// Opens the store in the file `path`, or makes it. Everything in it is checked first, which takes some
    /// seconds for a million sessions.
    ///
    /// # Errors
    /// If another process has it, others may read it, it is damaged or of a later version, or it cannot be had.
    pub fn open(path: &Path, rows: Rows) -> Result<Self, DiskError> {
        let database = file::open(path)?;
        let count = writer::count(&database).map_err(|error| file::refused(path, error))?;
        let inner = Arc::new(Inner {
            path: path.to_owned(),
            rows,
            database: RwLock::new(Some(database)),
            count: AtomicUsize::new(count),
            unreadable: Unreadable::default(),
            failed: AtomicBool::new(false),
        });
        let (writes, waiting) = mpsc::channel();
        let shared = Arc::clone(&inner);
        let mut threads = vec![spawn("store", move || writer::run(&shared, &waiting))?];
        let (reads, asked) = mpsc::channel();
        let asked = Arc::new(std::sync::Mutex::new(asked));
        for _ in 0..READERS {
            let (shared, asked, writes) = (Arc::clone(&inner), Arc::clone(&asked), writes.clone());
            threads.push(spawn("store-reader", move || reader::run(&shared, &asked, &writes))?);
        }
        Ok(Self { inner, writes: Some(writes), reads: Some(reads), threads })
    }

    /// Writes what is in the store now into the new file `to`. Everything else goes on meanwhile.
    ///
    /// # Errors
    /// If `to` is there already or cannot be written, or the store cannot be read.
    pub async fn backup(&self, to: PathBuf) -> Result<(), CopyError> {
        let inner = Arc::clone(&self.inner);
        let copied = tokio::task::spawn_blocking(move || match inner.database().as_ref() {
            Some(database) => copy::write(database, &to),
            None => Err(CopyError::Write { file: to, source: io::Error::other("the store cannot be read") }),
        });
        copied.await.unwrap_or_else(|panicked| {
            Err(CopyError::Write { file: self.inner.path.clone(), source: panicked.into() })
        })
    }

    async fn write(&self, change: Change) -> Result<Outcome, StoreError> {
        let (answer, answered) = oneshot::channel();
        send(self.writes.as_ref(), Write { change, answer: Some(answer) })?;
        self.noting(patiently(answered).await)
    }

    async fn read(&self, query: Query) -> Result<Found, StoreError> {
        let (answer, answered) = oneshot::channel();
        send(self.reads.as_ref(), Read { query, answer })?;
        self.noting(patiently(answered).await)
    }

    /// Rare enough to need no thread of its own.
    async fn look_at_held<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        let looked = tokio::task::spawn_blocking(move || {
            let database = inner.database();
            let found = database.as_ref().ok_or(redb::Error::DatabaseClosed).and_then(look);
            found.map_err(|error| StoreError::new(error.to_string()))
        });
        looked.await.map_err(StoreError::new)?
    }

    fn one_use(&self, session: &Session) -> Use {
        let (id, at) = (session.id(), session.times().last_seen);
        Use {
            id,
            at,
            seen: self.inner.rows.write_seen(id, at).to_vec(),
            end: end(session, &session.tokens(), at),
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, DiskError> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(DiskError::Threads)
}

fn send<T>(to: Option<&mpsc::Sender<T>>, what: T) -> Result<(), StoreError> {
    let sent = to.and_then(|to| to.send(what).ok());
    sent.ok_or_else(|| StoreError::new("the store's thread has ended"))
}

async fn patiently<T>(answered: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_gone)) => Err(StoreError::new("the store's thread has ended")),
        Err(_late) => Err(StoreError::new("the disk does not answer")),
    }
}

/// When the session with these tokens is over if it is not used after `seen`, in milliseconds.
fn end(session: &Session, tokens: &Tokens, seen: Timestamp) -> u64 {
    session.due(tokens, seen).as_millis()
}

fn hashes(tokens: &Tokens) -> Vec<[u8; 32]> {
    tokens.hashes().map(|hash| *hash.as_bytes()).collect()
}

impl Inner {
    fn database(&self) -> RwLockReadGuard<'_, Option<Database>> {
        // It is replaced as a whole.
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file anew: after a failure redb takes part in nothing more. Not with the check of everything in it,
    /// since everybody waits; and it must be there, since one that is gone is no reason to begin anew.
    fn reopen(&self) -> Result<(), OpenError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Closed before it is opened again, or it would be in its own way.
        drop(database.take());
        *database = Some(file::open_again(&self.path)?);
        Ok(())
    }
}

impl Store for Disk {
    async fn create(&self, session: &Arc<Session>, capacity: usize) -> Result<Created, StoreError> {
        let (id, tokens, seen) = (session.id(), session.tokens(), session.times().last_seen);
        let rows = &self.inner.rows;
        let entry = Entry {
            end: end(session, &tokens, seen),
            seen: rows.write_seen(id, seen).to_vec(),
            user: session.user().name.key().to_owned(),
            hashes: hashes(&tokens),
            row: rows.write(session, &tokens, session.version()),
        };
        let capacity = u64::try_from(capacity).unwrap_or(u64::MAX);
        Ok(match self.write(Change::Create { id, entry, capacity }).await? {
            Outcome::Changed => Created::Done,
            Outcome::Unchanged => Created::Exists,
            Outcome::Full => Created::Full,
        })
    }

    async fn find(&self, token: &TokenHash) -> Result<Option<Arc<Session>>, StoreError> {
        let found = self.read(Query::Hash(*token)).await?.sessions.pop();
        // The index is not what says so.
        Ok(found.filter(|session| session.with_tokens(|tokens| tokens.host_of(token).is_some())))
    }

    async fn load(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        Ok(self.read(Query::Id(id)).await?.sessions.pop())
    }

    async fn replace(
        &self,
        session: &Arc<Session>,
        version: u32,
        tokens: &Tokens,
    ) -> Result<bool, StoreError> {
        let row = self.inner.rows.write(session, tokens, version.wrapping_add(1));
        let end = tokens.is_locked().then(|| end(session, tokens, session.times().last_seen));
        let change = Change::Replace { id: session.id(), version, hashes: hashes(tokens), row, end };
        Ok(self.write(change).await? == Outcome::Changed)
    }

    async fn touch(&self, sessions: &[Arc<Session>]) -> Result<(), StoreError> {
        for some in sessions.chunks(TOUCH_STEP) {
            let uses = some.iter().map(|session| self.one_use(session)).collect();
            self.write(Change::Touch(uses)).await?;
        }
        Ok(())
    }

    async fn remove(&self, session: &Session) -> Result<bool, StoreError> {
        Ok(self.write(Change::Remove(vec![session.id()])).await? == Outcome::Changed)
    }

    async fn of_user(&self, user: &UserName) -> Result<Vec<Arc<Session>>, StoreError> {
        let mut found = self.read(Query::User(user.key().to_owned())).await?.sessions;
        found.retain(|session| session.user().name == *user);
        Ok(found)
    }

    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<Session>>, StoreError> {
        Ok(self.read(Query::Overdue(now, limit)).await?.sessions)
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let from = from.and_then(|from| from.place().try_into().ok()).map(SessionId::from_bytes);
        let Found { sessions, last } = self.read(Query::Behind(from, limit)).await?;
        Ok(Page { sessions, next: last.map(|last| Cursor::new(&last.to_bytes())) })
    }

    async fn hold(
        &self,
        key: HeldKey,
        held: &Held,
        now: Timestamp,
        room: usize,
    ) -> Result<Created, StoreError> {
        let (key, until, sealed) = (key.to_bytes(), held.until.as_millis(), held.sealed.to_vec());
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        let change = Change::Hold { key, until, sealed, now: now.as_millis(), room };
        Ok(match self.write(change).await? {
            Outcome::Changed => Created::Done,
            Outcome::Unchanged => Created::Exists,
            Outcome::Full => Created::Full,
        })
    }

    async fn held(&self, key: HeldKey) -> Result<Option<Held>, StoreError> {
        self.look_at_held(move |database| tables::held(database, key.to_bytes())).await
    }

    async fn take_held(&self, key: HeldKey, held: &Held) -> Result<bool, StoreError> {
        let change = Change::TakeHeld { key: key.to_bytes(), sealed: held.sealed.to_vec() };
        Ok(self.write(change).await? == Outcome::Changed)
    }

    async fn sweep_held(&self, now: Timestamp) -> Result<(), StoreError> {
        // Looked at first: mostly there are none, and nobody need wait for a turn to write.
        if self.look_at_held(tables::holds_any).await? {
            self.write(Change::SweepHeld(now.as_millis())).await?;
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.inner.count.load(Ordering::Relaxed)
    }

    fn cache_bound(&self) -> u64 {
        CACHED
    }
}

impl Drop for Disk {
    /// Whatever was asked for before is done, and the file closed, when this returns.
    fn drop(&mut self) {
        (self.writes, self.reads) = (None, None);
        for thread in self.threads.drain(..) {
            // A thread that panicked has told so itself.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Disk").field("path", &self.inner.path).finish_non_exhaustive()
    }
}
