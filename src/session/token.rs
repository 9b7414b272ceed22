//! The session id: what the browser's cookie holds, and the hash that everything else knows it by.

use std::fmt;

use crate::crypto;
use crate::crypto::Key;
use crate::crypto::Sealer;
use crate::crypto::Secret;

/// 256 bits from the operating system's generator that mean nothing (ASVS 7.2.3, 11.5.1). Who holds them holds the
/// session: they go into the cookie and are found again by their hash, and no store, log or error text sees them.
pub struct Token(Secret<[u8; 32]>);

impl Token {
    /// The length of a token in a cookie: 256 bits in base64url without padding.
    pub const TEXT_LENGTH: usize = 43;

    /// A new token.
    ///
    /// # Panics
    /// If the system has no randomness to give.
    pub fn generate() -> Self {
        Self(Secret::new(crypto::random()))
    }

    /// Reads a token from a cookie. Exactly 43 characters of base64url in the canonical spelling are one; all else is
    /// refused before it is looked up anywhere, so that one session has one spelling.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != Self::TEXT_LENGTH {
            return None;
        }
        let bytes = Secret::new(crypto::from_base64url(text)?);
        let bytes: [u8; 32] = bytes.expose().as_slice().try_into().ok()?;
        Some(Self(Secret::new(bytes)))
    }

    /// The token as the cookie holds it.
    pub fn encode(&self) -> Secret<String> {
        Secret::new(crypto::base64url(self.0.expose()))
    }

    /// This token sealed under `holder`, so that only who brings `holder` can be given it.
    pub fn sealed_under(&self, holder: &Self) -> Box<str> {
        holder.sealer().seal(self.0.expose(), b"").into()
    }

    /// The token that was sealed under this one.
    pub fn unseal(&self, sealed: &str) -> Option<Self> {
        let bytes = Secret::new(self.sealer().open(sealed.as_bytes(), b"")?);
        let bytes: [u8; 32] = bytes.expose().as_slice().try_into().ok()?;
        Some(Self(Secret::new(bytes)))
    }

    fn sealer(&self) -> Sealer {
        self.sealer_for("the token that follows")
    }

    /// A sealer for values of one purpose that whoever brings this token can open.
    pub(super) fn sealer_for(&self, label: &'static str) -> Sealer {
        Key::from_bytes(*self.0.expose()).sealer(label)
    }

    /// What the session is known by everywhere but in the cookie.
    pub fn hash(&self) -> TokenHash {
        TokenHash(crypto::sha256(self.0.expose()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// The SHA-256 of a token. A plain hash is enough, since 256 random bits cannot be guessed, and a copy of it opens
/// nothing (ASVS 6.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A hash that a store has kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What indexes in memory are kept by.
    pub(super) const fn key(&self) -> TokenKey {
        match self.0.first_chunk() {
            Some(first) => TokenKey(u64::from_be_bytes(*first)),
            None => TokenKey(0),
        }
    }
}

/// 64 bits of a [`TokenHash`]: enough to find a session by in memory, where a whole hash for each index would cost more
/// than the session's user. The whole hash is then compared with the session's own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TokenKey(u64);

impl TokenKey {
    /// One of 256 groups that tokens fall into evenly.
    pub(super) const fn stripe(self) -> u8 {
        let [first, ..] = self.0.to_be_bytes();
        first
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_token_survives_the_cookie() {
        let token = Token::generate();
        let text = token.encode();
        assert_eq!(Token::parse(text.expose().as_bytes()).unwrap().hash(), token.hash());
    }

    #[test]
    fn a_token_is_unsealed_by_its_holder_alone() {
        let [holder, thief, next] = [(); 3].map(|()| Token::generate());
        let sealed = next.sealed_under(&holder);
        assert_eq!(holder.unseal(&sealed).unwrap().hash(), next.hash());
        assert!(thief.unseal(&sealed).is_none());
    }

    #[test]
    fn ten_thousand_tokens_have_one_form_and_nothing_in_common() {
        let texts: BTreeSet<String> =
            (0..10_000).map(|_| Token::generate().encode().expose().clone()).collect();
        let first_letters: BTreeSet<u8> = texts.iter().map(|text| text.as_bytes()[0]).collect();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        assert_eq!(texts.len(), 10_000);
        assert_eq!(first_letters.len(), 64);
        assert!(texts.iter().all(|text| text.len() == 43 && text.bytes().all(legal)));
    }

    #[test]
    fn hostile_ids_are_refused_before_any_look_up() {
        let with = |end: &str| format!("{}{end}", "A".repeat(43 - end.len()));
        assert!(Token::parse(with("A").as_bytes()).is_some());
        // The last character of 43 carries two bits that no byte has room for.
        for bad in [
            "",
            "A",
            &"A".repeat(42),
            &"A".repeat(44),
            &"A".repeat(1 << 20),
            &with("B"),
            &with("="),
            &format!("{}=", with("A")),
            &with("+A"),
            &with("\r\nFLUSHALL"),
            &with("\0A"),
            &with("éA"),
            "../../../../../../../../../../../etc/passwd",
            "*******************************************",
        ] {
            assert!(Token::parse(bad.as_bytes()).is_none(), "{bad:.60} was taken for a token");
        }
    }

    #[test]
    fn neither_token_nor_hash_can_be_printed() {
        let token = Token::generate();
        assert_eq!(format!("{token:?} {:?}", token.hash()), "Token(…) TokenHash(…)");
    }
}
