//! The apps' cookies of one login, as a store keeps them: sealed, and of no use to whoever has the store alone.
//!
//! A login has a data key of its own. It is kept under each of its live tokens *and* the gateway's key, one inside the
//! other, so that neither the store, nor the store and the gateway's keys, nor a token that was stolen opens anything
//! without the rest (promise 1 of the contract; REST-2). Each site's jar is sealed with the data key, bound to the session
//! and the site. What is open of it is in [`open`]; nothing is open that no token came for.

mod key;
pub mod open;

use std::fmt;
use std::sync::Arc;

use crate::session::id::SessionId;
use crate::session::token::Token;
use crate::session::token::TokenHash;
use crate::session::vault::open::Open;
use crate::vault::Jar;

pub use crate::session::vault::key::DataKey;
pub use crate::session::vault::key::VaultKeys;

/// What a store keeps of the apps' cookies. A value that is replaced as a whole, like the tokens it goes with.
#[derive(Clone)]
pub struct Vault {
    keys: Vec<WrappedKey>,
    jars: Vec<SealedJar>,
    locked: bool,
    /// The same for all versions of one session in this process.
    open: Arc<Open>,
}

/// The data key under one token.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// What the token is known by.
    pub token: TokenHash,
    /// The key, sealed.
    pub sealed: Box<[u8]>,
}

/// The cookies of one site.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedJar {
    /// What the site is known by.
    pub site: Arc<str>,
    /// The jar, sealed.
    pub sealed: Arc<[u8]>,
}

impl Vault {
    /// One with these jars under a new data key, which opens with `token`.
    pub fn new(id: SessionId, token: &Token, keys: &VaultKeys, jars: Vec<(Arc<str>, Jar)>) -> Self {
        let key = DataKey::generate();
        let first = WrappedKey { token: token.hash(), sealed: key.wrap(id, token, keys) };
        let jars = jars.into_iter().map(|(site, jar)| open::seal(&key, id, site, &jar));
        let vault = Self::of(vec![first], jars.collect());
        vault.open.unlock(key, id, &vault.jars);
        vault
    }

    /// One that a store has kept.
    pub fn of(keys: Vec<WrappedKey>, jars: Vec<SealedJar>) -> Self {
        Self { keys, jars, locked: false, open: Arc::default() }
    }

    /// The same of a session that is over and stays for its vault's sake.
    #[must_use]
    pub fn locked(&self) -> Self {
        Self { locked: true, ..self.clone() }
    }

    /// Whether it waits for a new login alone.
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// The data key under each token.
    pub fn keys(&self) -> &[WrappedKey] {
        &self.keys
    }

    /// The cookies of each site.
    pub fn jars(&self) -> &[SealedJar] {
        &self.jars
    }

    /// What is open of it.
    pub fn open(&self) -> &Arc<Open> {
        &self.open
    }

    /// Opens it with a token of the session, unless it is open. Whether it is open now.
    pub fn unlock(&self, id: SessionId, token: &Token, keys: &VaultKeys) -> bool {
        if self.open.is_unlocked() {
            return true;
        }
        let hash = token.hash();
        let wrapped = self.keys.iter().find(|key| key.token == hash);
        match wrapped.and_then(|key| DataKey::unwrap(&key.sealed, id, token, keys)) {
            Some(key) => {
                self.open.unlock(key, id, &self.jars);
                true
            }
            None => false,
        }
    }

    /// The data key under one more token; nothing while it is not open.
    pub fn key_for(&self, id: SessionId, token: &Token, keys: &VaultKeys) -> Option<WrappedKey> {
        let sealed = self.open.wrap(id, token, keys)?;
        Some(WrappedKey { token: token.hash(), sealed })
    }

    /// With one more token that opens it.
    #[must_use]
    pub fn opened_by(&self, key: WrappedKey) -> Self {
        let mut vault = self.clone();
        vault.keys.push(key);
        vault
    }

    /// Without the tokens that are not `live`.
    #[must_use]
    pub fn opened_only_by(&self, live: impl Fn(&TokenHash) -> bool) -> Self {
        let mut vault = self.clone();
        vault.keys.retain(|key| live(&key.token));
        vault
    }

    /// With these in the place of the same sites' jars.
    #[must_use]
    pub fn keeping(&self, jars: Vec<SealedJar>) -> Self {
        let mut vault = self.clone();
        vault.jars.retain(|old| jars.iter().all(|new| new.site != old.site));
        vault.jars.extend(jars);
        vault
    }

    /// What is here, as the next version after `older` in this process: what was open stays so, and what others changed
    /// is seen.
    #[must_use]
    pub fn succeeding(&self, id: SessionId, older: &Self) -> Self {
        let open = Arc::clone(&older.open);
        open.take_over(id, &self.jars);
        Self { open, ..self.clone() }
    }
}

impl PartialEq for Vault {
    /// What a store would keep is the same.
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys && self.jars == other.jars && self.locked == other.locked
    }
}

impl Eq for Vault {}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sites: Vec<&str> = self.jars.iter().map(|jar| &*jar.site).collect();
        formatter
            .debug_struct("Vault")
            .field("keys", &self.keys.len())
            .field("sites", &sites)
            .finish_non_exhaustive()
    }
}
