//! What a store keeps of a session: everything that is settled at login.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use crate::clock::Timestamp;
use crate::crypto::Mac;
use crate::identity::user::User;
use crate::net::ClientAddr;
use crate::net::Host;
use crate::session::lifetime::Lifetime;
use crate::session::token::TokenHash;

/// What is settled at login and does not change while the session lives. There may be millions: what many sessions
/// have in common is shared, what few have is behind a pointer.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose session it is.
    pub user: Arc<User>,
    /// The one host it is good on.
    pub host: Arc<Host>,
    /// Where the login came from.
    pub client: Client,
    /// The browser, if it said what it is.
    pub user_agent: Option<Box<UserAgent>>,
    /// When the login was.
    pub began: Timestamp,
    /// The limits as they were then.
    pub lifetime: Lifetime,
    /// What logs call the session.
    pub reference: Reference,
}

/// A client's address in 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(Ipv6Addr);

impl From<ClientAddr> for Client {
    fn from(client: ClientAddr) -> Self {
        Self(match client.0 {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        })
    }
}

impl From<Client> for ClientAddr {
    fn from(client: Client) -> Self {
        Self(IpAddr::V6(client.0).to_canonical())
    }
}

/// How a browser describes itself: printable ASCII, short enough to be kept with every session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(Box<str>);

impl UserAgent {
    /// At most so many characters are kept.
    pub const MAX_CHARS: usize = 160;

    /// What is fit to be shown of a `User-Agent` field; nothing if there is nothing.
    pub fn clean(text: &str) -> Option<Self> {
        let kept: String = text
            .chars()
            .filter(|char| char.is_ascii_graphic() || *char == ' ')
            .take(Self::MAX_CHARS)
            .collect();
        let kept = kept.trim();
        (!kept.is_empty()).then(|| Self(kept.into()))
    }

    /// The description as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What logs call a session: a keyed hash of its token hash, so that lines about one session can be found together
/// and nobody without the key can tell which token they are about (ASVS 16.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference(u64);

impl Reference {
    /// The reference of the session with this token hash.
    pub fn new(mac: &Mac, hash: &TokenHash) -> Self {
        let tag = mac.sign(&[hash.as_bytes()]);
        let bytes = tag.iter().take(size_of::<u64>());
        Self(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Its 16 hexadecimal digits.
    pub fn text(self) -> ReferenceText {
        let mut digits = [b'0'; 16];
        HEXLOWER.encode_mut(&self.0.to_be_bytes(), &mut digits);
        ReferenceText(digits)
    }
}

/// A [`Reference`] as it stands in a log line, without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceText([u8; 16]);

impl ReferenceText {
    /// 16 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ReferenceText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;
    use crate::session::token::Token;

    #[test]
    fn a_client_address_survives_being_packed() {
        for text in ["192.0.2.7", "2001:db8::1", "::1", "127.0.0.1"] {
            let client = ClientAddr(text.parse().unwrap());
            assert_eq!(ClientAddr::from(Client::from(client)), client);
        }
    }

    #[test]
    fn only_what_is_fit_to_be_shown_is_kept_of_a_user_agent() {
        let clean = |text: &str| UserAgent::clean(text).map(|agent| agent.as_str().to_owned());
        assert_eq!(clean(" Mozilla/5.0 (X11)\r\n\u{202e}é\u{1b}[0m ").unwrap(), "Mozilla/5.0 (X11)[0m");
        assert_eq!(clean(&"x".repeat(1 << 20)).unwrap().len(), UserAgent::MAX_CHARS);
        assert!(clean(" \t\0").is_none());
    }

    #[test]
    fn a_reference_is_the_same_for_a_session_and_tells_nothing_without_the_key() {
        let (key, other) = (Key::generate(), Key::generate());
        let hash = Token::generate().hash();
        let reference =
            |key: &Key, hash: &TokenHash| Reference::new(&key.mac("logs"), hash).text().to_string();
        let text = reference(&key, &hash);
        assert_eq!(text, reference(&key, &hash));
        assert_ne!(text, reference(&other, &hash));
        assert_ne!(text, reference(&key, &Token::generate().hash()));
        assert!(text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
