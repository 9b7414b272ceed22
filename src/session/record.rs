//! What is settled at login and does not change while the session lives.

use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::identity::user::User;
use crate::net::ClientAddr;
use crate::session::agent::Family;
use crate::session::lifetime::Lifetime;

/// What is settled at login and does not change while the session lives. There may be millions: what many sessions
/// have in common is shared, what few have is behind a pointer.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose session it is.
    pub user: Arc<User>,
    /// Where the login came from.
    pub client: Client,
    /// The browser, if it said what it is.
    pub user_agent: Option<Box<UserAgent>>,
    /// When the login was.
    pub began: Timestamp,
    /// The limits as they were then.
    pub lifetime: Lifetime,
}

impl Record {
    /// Which kind of browser it was.
    pub fn family(&self) -> Family {
        self.user_agent.as_ref().map_or(Family::UNKNOWN, |agent| agent.family)
    }
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

impl Client {
    /// Whether both are in one network as providers hand them out: 24 bits of IPv4, 48 of IPv6 (BIND-1).
    pub fn is_near(self, other: Self) -> bool {
        let bits = if self.0.to_ipv4_mapped().is_some() { 96 + 24 } else { 48 };
        (self.0.to_bits() ^ other.0.to_bits()).leading_zeros() >= bits
    }
}

/// How a browser describes itself: printable ASCII, short enough to be kept with every session; and its family, which
/// what is left off may have told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent {
    text: Box<str>,
    family: Family,
}

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
        (!kept.is_empty()).then(|| Self { text: kept.into(), family: Family::of(text) })
    }

    /// What a store has kept; nothing if it is nothing that would be kept.
    pub(super) fn kept(text: &str, family: Family) -> Option<Self> {
        Self::clean(text).map(|agent| Self { family, ..agent })
    }

    /// The description as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_address_survives_being_packed() {
        for text in ["192.0.2.7", "2001:db8::1", "::1", "127.0.0.1"] {
            let client = ClientAddr(text.parse().unwrap());
            assert_eq!(ClientAddr::from(Client::from(client)), client);
        }
    }

    #[test]
    fn neighbours_are_near_and_others_are_not() {
        let client = |text: &str| Client::from(ClientAddr(text.parse().unwrap()));
        let near = |one, other| client(one).is_near(client(other));
        assert!(near("192.0.2.7", "192.0.2.200") && near("2001:db8:1::1", "2001:db8:1:ffff::1"));
        assert!(!near("192.0.2.7", "192.0.3.7") && !near("2001:db8:1::1", "2001:db8:2::1"));
        assert!(!near("192.0.2.7", "2001:db8::1"));
    }

    #[test]
    fn only_what_is_fit_to_be_shown_is_kept_of_a_user_agent() {
        let clean = |text: &str| UserAgent::clean(text).map(|agent| agent.as_str().to_owned());
        assert_eq!(clean(" Mozilla/5.0 (X11)\r\n\u{202e}é\u{1b}[0m ").unwrap(), "Mozilla/5.0 (X11)[0m");
        assert_eq!(clean(&"x".repeat(1 << 20)).unwrap().len(), UserAgent::MAX_CHARS);
        assert!(clean(" \t\0").is_none());
    }
}
