//! Whether the disk works: noticed by whoever needs it and fails, and tried out until it works again.

use std::sync::atomic::Ordering;

use crate::session::store::StoreError;
use crate::session::store::disk::Disk;
use crate::session::store::disk::tables::Change;

/// More than all logins of one commit take: where there is room for it, there is room for them.
const TRIAL: usize = 1 << 20;

impl Disk {
    /// Whether the disk works, as far as is known: nothing is tried as long as nobody has met with a failure.
    ///
    /// # Errors
    /// If something failed, and a trial fails too.
    pub async fn works(&self) -> Result<(), StoreError> {
        if !self.inner.failed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        for bytes in [TRIAL, 0] {
            self.write(Change::Try(bytes)).await?;
        }
        Ok(())
    }

    /// Notes a failure, whoever met with it.
    pub(super) fn noting<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if done.is_err() {
            self.inner.failed.store(true, Ordering::Release);
        }
        done
    }
}
