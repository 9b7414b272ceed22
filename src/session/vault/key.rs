//! The data key of a login, and the two keys it lies under.

use std::fmt;

use crate::crypto;
use crate::crypto::Key;
use crate::crypto::Keys;
use crate::crypto::Sealer;
use crate::crypto::Secret;
use crate::session::id::SessionId;
use crate::session::token::Token;

/// What a token seals.
const UNDER_TOKEN: &str = "vault key under a token";

/// What the gateway's key seals around that.
const UNDER_GATEWAY: &str = "vault key under the gateway";

/// What the data key seals.
const JAR: &str = "vault jar";

/// The gateway's part in every data key.
#[derive(Debug)]
pub struct VaultKeys(Sealer);

impl VaultKeys {
    /// With keys derived from the gateway's.
    pub fn new(keys: &Keys) -> Self {
        Self(keys.sealer(UNDER_GATEWAY))
    }
}

/// A login's data key.
pub struct DataKey(Secret<[u8; 32]>);

impl DataKey {
    /// A new one.
    ///
    /// # Panics
    /// If the system has no randomness to give.
    pub fn generate() -> Self {
        Self(Secret::new(crypto::random()))
    }

    /// This key under `token` and the gateway's newest key.
    pub fn wrap(&self, id: SessionId, token: &Token, keys: &VaultKeys) -> Box<[u8]> {
        let inner = token.sealer_for(UNDER_TOKEN).seal_bytes(self.0.expose(), &id.to_bytes());
        keys.0.seal_bytes(&inner, &id.to_bytes()).into()
    }

    /// The key that was wrapped for this session under `token` and one of the gateway's keys.
    pub fn unwrap(sealed: &[u8], id: SessionId, token: &Token, keys: &VaultKeys) -> Option<Self> {
        let inner = keys.0.open_bytes(sealed, &id.to_bytes())?;
        let bytes = Secret::new(token.sealer_for(UNDER_TOKEN).open_bytes(&inner, &id.to_bytes())?);
        let bytes: [u8; 32] = bytes.expose().as_slice().try_into().ok()?;
        Some(Self(Secret::new(bytes)))
    }

    /// What seals this login's jars.
    pub(super) fn sealer(&self) -> Sealer {
        Key::from_bytes(*self.0.expose()).sealer(JAR)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DataKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(newest: u8, older: &[u8]) -> VaultKeys {
        let key = |byte: u8| Key::from_bytes([byte; 32]);
        VaultKeys::new(&Keys::new(key(newest), older.iter().copied().map(key).collect()))
    }

    #[test]
    fn a_data_key_takes_the_token_and_the_gateways_key_and_its_session() {
        let (id, token, other) = (SessionId::generate(), Token::generate(), Token::generate());
        let key = DataKey::generate();
        let wrapped = key.wrap(id, &token, &keys(1, &[]));
        let opened = |id, token, keys: VaultKeys| DataKey::unwrap(&wrapped, id, token, &keys);
        assert_eq!(opened(id, &token, keys(1, &[])).unwrap().0.expose(), key.0.expose());
        assert!(opened(id, &token, keys(2, &[1])).is_some(), "a new key beside the old one");
        assert!(opened(id, &token, keys(2, &[])).is_none(), "the token without the gateway's key");
        assert!(opened(id, &other, keys(1, &[])).is_none(), "the gateway's key without the token");
        assert!(opened(SessionId::generate(), &token, keys(1, &[])).is_none(), "another session's");
        assert!(!format!("{key:?}").contains(&format!("{:?}", key.0.expose())));
    }
}
