//! How many connections to an app may be open over all workers, tunnels included.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::upstream::pool::Pool;

/// See the module. Without a limit nothing is counted.
#[derive(Debug)]
pub(crate) struct Capacity {
    permits: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
    /// Where unused connections lie, of all workers.
    pools: Mutex<Vec<Weak<Pool>>>,
}

/// Every place is taken.
#[derive(Debug)]
pub(crate) struct Full;

impl Capacity {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        let permits = limit.map(|limit| Arc::new(Semaphore::new(limit)));
        Self { permits, waiting: AtomicUsize::new(0), pools: Mutex::default() }
    }

    /// Waits at most `patience` for a place; `Err` when none became free. An unused connection gives up its own,
    /// whichever worker's it is.
    pub(crate) async fn take(&self, patience: Duration) -> Result<Option<OwnedSemaphorePermit>, Full> {
        let Some(permits) = &self.permits else {
            return Ok(None);
        };
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Ok(Some(permit));
        }
        let _waiter = Waiter::new(&self.waiting);
        self.close_one();
        match tokio::time::timeout(patience, Arc::clone(permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// Whether somebody waits for a place: then a spent connection is closed, not kept, and its place passed on.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Remembers a worker's pool, to ask it for a place later.
    pub(crate) fn watch(&self, pool: &Arc<Pool>) {
        if self.permits.is_some() {
            self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(pool));
        }
    }

    fn close_one(&self) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        let _closed = pools.iter().filter_map(Weak::upgrade).any(|pool| pool.close_one());
    }
}

struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
