//! Forms that wait for their person to log in again, as a store keeps them: sealed, under a key that means nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use data_encoding::HEXLOWER;

use crate::clock::Timestamp;
use crate::session::store::Created;
use crate::session::store::StoreError;

/// What a held form is known by: 128 bits that mean nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldKey([u8; 16]);

impl HeldKey {
    /// The length of a key as text.
    pub const TEXT_LENGTH: usize = 32;

    /// A key of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for HeldKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for HeldKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HeldKey({self})")
    }
}

/// A form that is held. No two are the same, since each is sealed with randomness of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Held {
    /// It is held until then.
    pub until: Timestamp,
    /// The form, sealed.
    pub sealed: Arc<[u8]>,
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Held").field("until", &self.until).finish_non_exhaustive()
    }
}

/// Held forms in memory.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<BTreeMap<HeldKey, Held>>);

impl Shelf {
    pub(super) fn hold(
        &self,
        key: HeldKey,
        held: &Held,
        now: Timestamp,
        room: usize,
    ) -> Result<Created, StoreError> {
        let mut all = self.lock()?;
        if all.get(&key).is_some_and(|there| there.until > now) {
            return Ok(Created::Exists);
        }
        if all.len() >= room {
            all.retain(|_, held| held.until > now);
        }
        if all.len() >= room {
            return Ok(Created::Full);
        }
        all.insert(key, held.clone());
        Ok(Created::Done)
    }

    pub(super) fn held(&self, key: HeldKey) -> Result<Option<Held>, StoreError> {
        Ok(self.lock()?.get(&key).cloned())
    }

    pub(super) fn take(&self, key: HeldKey, held: &Held) -> Result<bool, StoreError> {
        let mut all = self.lock()?;
        let there = all.get(&key) == Some(held);
        if there {
            all.remove(&key);
        }
        Ok(there)
    }

    pub(super) fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        self.lock()?.retain(|_, held| held.until > now);
        Ok(())
    }

    fn lock(&self) -> Result<MutexGuard<'_, BTreeMap<HeldKey, Held>>, StoreError> {
        self.0.lock().map_err(|poisoned| StoreError::new(poisoned.to_string()))
    }
}
