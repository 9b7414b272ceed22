//! What a session is called everywhere but in its cookie.

use std::fmt;

use data_encoding::HEXLOWER;

use crate::crypto;

/// 64 random bits that name a session in stores, lists and logs. They open nothing: whoever knows them still needs a
/// token, so they may be shown (ASVS 16.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

impl SessionId {
    /// A new one. Two may be alike once in a great while: a store refuses the second.
    pub fn generate() -> Self {
        Self(u64::from_be_bytes(crypto::random()))
    }

    /// The id as a store keeps it.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// An id that a store has kept.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// Reads the 16 hexadecimal digits of [`SessionId::text`].
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self::from_bytes(bytes.try_into().ok()?))
    }

    /// Its 16 hexadecimal digits, without an allocation.
    pub fn text(self) -> SessionIdText {
        let mut digits = [b'0'; 16];
        HEXLOWER.encode_mut(&self.to_bytes(), &mut digits);
        SessionIdText(digits)
    }

    /// One of 256 groups that sessions fall into evenly.
    pub(super) const fn stripe(self) -> u8 {
        let [first, ..] = self.to_bytes();
        first
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text().as_str())
    }
}

/// A [`SessionId`] as it stands in a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionIdText([u8; 16]);

impl SessionIdText {
    /// 16 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for SessionIdText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_sixteen_digits_of_its_own() {
        let ids = [SessionId::generate(), SessionId::generate()].map(|id| id.to_string());
        assert_ne!(ids[0], ids[1]);
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
        assert_eq!(SessionId(0xab).to_string(), "00000000000000ab");
        assert_eq!(SessionId::parse("00000000000000ab"), Some(SessionId(0xab)));
        for bad in ["", "ab", "00000000000000AB", "00000000000000abc", "0x000000000000ab"] {
            assert_eq!(SessionId::parse(bad), None, "{bad}");
        }
    }
}
