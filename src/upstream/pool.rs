//! A worker's unused connections to one app.
//!
//! A connection is used by one request at a time, goes back when the answer's last byte has passed, and is taken out
//! again only if the kernel says that the other side is still there and has sent nothing. The last one in is the
//! first one out, so that the surplus of a busy moment ages and is closed.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::capacity::Capacity;
use crate::upstream::http1::exchange::Connection;
use crate::upstream::scratch::Scratch;

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<Vec<(Connection, Instant)>>,
    keep: Duration,
    capacity: Arc<Capacity>,
    scratch: Scratch,
}

impl Pool {
    /// A pool that keeps connections for `keep`, and a task on the present runtime that closes those kept longer.
    pub(crate) fn start(keep: Duration, capacity: Arc<Capacity>) -> Arc<Self> {
        let pool = Arc::new(Self { idle: Mutex::default(), keep, capacity, scratch: Scratch::default() });
        pool.capacity.watch(&pool);
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

    /// The buffers of this worker's connections.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// A connection to `server` that can be used at once, if there is one.
    pub(crate) fn take(&self, server: usize) -> Option<Connection> {
        loop {
            let mut idle = self.lock();
            let place = idle.iter().rposition(|(connection, _)| connection.server == server)?;
            let (mut connection, since) = idle.remove(place);
            drop(idle);
            let rested = since.elapsed();
            if rested < self.keep && connection.stream.is_quiet(rested) {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose exchange is complete.
    pub(crate) fn put(&self, mut connection: Connection) {
        connection.busy = None;
        if self.keep.is_zero() {
            return;
        }
        // Asked under the lock: who begins to wait after this finds the connection here.
        let mut idle = self.lock();
        if !self.capacity.is_wanted() {
            idle.push((connection, Instant::now()));
        }
    }

    /// Closes the connection that has rested longest; tells whether there was one.
    pub(crate) fn close_one(&self) -> bool {
        let mut idle = self.lock();
        if idle.is_empty() {
            return false;
        }
        drop(idle.remove(0));
        true
    }

    fn close_aged(&self) {
        let mut idle = self.lock();
        idle.retain(|(_, since)| since.elapsed() < self.keep);
        if idle.is_empty() {
            self.scratch.release();
        }
    }

    /// The lock is never held across an await, and wanted by other workers only when the app's connections are all in
    /// use.
    fn lock(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
