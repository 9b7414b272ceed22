//! A worker's unused connections to one app.
//!
//! A connection is used by one request at a time, goes back when the answer's last byte has passed, and is taken out
//! again only if the kernel says that the other side is still there and has sent nothing. The last one in is the
//! first one out, so that the surplus of a busy moment ages and is closed.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::body::RequestBody;
use crate::upstream::socket::Socket;

/// A connection that was in use within this time needs no second look.
const A_MOMENT: Duration = Duration::from_millis(1);

/// An open connection to one server of the app.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<RequestBody>,
    pub(crate) socket: Socket,
    /// Over TLS, unread bytes may be session tickets: there only a close tells that the connection is spent.
    pub(crate) encrypted: bool,
    /// Counts against the app's limit as long as the connection is open.
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Whether another request may be sent. A connection that has rested is looked at once more: the runtime learns of
    /// a close only when it next waits for events, and a moment ago it has.
    fn is_usable(&self, rested: Duration) -> bool {
        self.sender.is_ready() && (self.encrypted || rested < A_MOMENT || self.socket.is_quiet())
    }
}

/// How many connections to an app may be open over all workers.
#[derive(Debug)]
pub(crate) struct Capacity {
    permits: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
}

impl Capacity {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { permits: limit.map(|limit| Arc::new(Semaphore::new(limit))), waiting: AtomicUsize::new(0) }
    }

    /// Waits at most `patience` for a place; `Err` when none became free.
    pub(crate) async fn take(&self, patience: Duration) -> Result<Option<OwnedSemaphorePermit>, Full> {
        let Some(permits) = &self.permits else {
            return Ok(None);
        };
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Ok(Some(permit));
        }
        let _waiter = Waiter::new(&self.waiting);
        match tokio::time::timeout(patience, Arc::clone(permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// Whether somebody waits for a place: then a spent connection is closed, not kept, and its place passed on.
    fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// Every place is taken.
#[derive(Debug)]
pub(crate) struct Full;

struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The unused connections of one worker to one app.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<Vec<(Connection, Instant)>>,
    keep: Duration,
    capacity: Arc<Capacity>,
}

impl Pool {
    /// A pool that keeps connections for `keep`, and a task on the present runtime that closes those kept longer.
    pub(crate) fn start(keep: Duration, capacity: Arc<Capacity>) -> Arc<Self> {
        let pool = Arc::new(Self { idle: Mutex::default(), keep, capacity });
        let watched = Arc::downgrade(&pool);
        tokio::spawn(async move {
            let mut beat = tokio::time::interval((keep / 2).max(Duration::from_millis(50)));
            loop {
                beat.tick().await;
                let Some(pool) = watched.upgrade() else { return };
                pool.close_aged();
            }
        });
        pool
    }

    /// A connection that can be used at once, if there is one.
    pub(crate) fn take(&self) -> Option<Connection> {
        loop {
            let (connection, since) = self.lock().pop()?;
            let rested = since.elapsed();
            if rested < self.keep && connection.is_usable(rested) {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose exchange is complete; one that is not ready for another is closed.
    pub(crate) fn put(&self, connection: Connection) {
        if connection.sender.is_ready() && !self.keep.is_zero() && !self.capacity.is_wanted() {
            self.lock().push((connection, Instant::now()));
        }
    }

    fn close_aged(&self) {
        self.lock()
            .retain(|(connection, since)| since.elapsed() < self.keep && !connection.sender.is_closed());
    }

    /// The lock is this worker's own and never held across an await: it is free whenever it is asked for.
    fn lock(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
