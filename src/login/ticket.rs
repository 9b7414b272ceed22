//! What stands between a right password that must be changed and a session: a sealed note for the change page.
//!
//! No session exists until the new password is stored. The note names the account and the very hash that was right, so
//! it works once: with the new password in place it fits nothing any more. It is bound to the browser by the pre-login
//! cookie and lasts ten minutes.

use crate::clock::Timestamp;
use crate::crypto::Keys;
use crate::crypto::Sealer;
use crate::crypto::sha256;
use crate::identity::user::UserName;
use crate::login::form::Tokens;
use crate::login::hash::Hash;
use crate::login::way::Way;
use crate::net::Host;

/// Somebody whose password was right a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Who.
    pub(crate) name: UserName,
    /// Where to go afterwards.
    pub(crate) way: Way,
    /// When the password was right.
    pub(crate) issued: Timestamp,
    hash: [u8; 32],
}

impl Ticket {
    /// For the account of this name and hash.
    pub(crate) fn new(name: UserName, hash: &Hash, way: Way, issued: Timestamp) -> Self {
        Self { name, way, issued, hash: sha256(hash.text().as_bytes()) }
    }

    /// Whether the stored hash is still the one that was right.
    pub(crate) fn fits(&self, hash: &Hash) -> bool {
        self.hash == sha256(hash.text().as_bytes())
    }
}

/// Seals and opens tickets.
#[derive(Debug)]
pub(crate) struct Tickets(Sealer);

impl Tickets {
    /// With a key derived from the gateway's.
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(keys.sealer("password change"))
    }

    /// The sealed form, for the browser with this pre-login cookie on this host.
    pub(crate) fn seal(&self, ticket: &Ticket, pre: &str, host: &Host) -> String {
        let mut plain = ticket.issued.as_millis().to_be_bytes().to_vec();
        plain.extend_from_slice(&ticket.hash);
        // Neither part can contain a NUL: both refuse control characters.
        plain.extend_from_slice(ticket.name.as_str().as_bytes());
        plain.push(0);
        plain.extend_from_slice(ticket.way.to_text().as_bytes());
        self.0.seal(&plain, &bound_to(pre, host))
    }

    /// What was sealed, if it was for this browser and host and not too long ago.
    pub(crate) fn open(&self, sealed: &str, pre: &str, host: &Host, now: Timestamp) -> Option<Ticket> {
        let plain = self.0.open(sealed.as_bytes(), &bound_to(pre, host))?;
        let (issued, rest) = plain.split_first_chunk::<8>()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let (name, way) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
        let issued = Timestamp::from_millis(u64::from_be_bytes(*issued));
        (now.since(issued) <= Tokens::GOOD_FOR).then_some(Ticket {
            name: UserName::parse(name)?,
            way: Way::parse(way)?,
            issued,
            hash: *hash,
        })
    }
}

fn bound_to(pre: &str, host: &Host) -> Vec<u8> {
    // A pre-login cookie is base64url and a host has no spaces, so the two cannot be shifted against each other.
    format!("{pre} {host}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;
    use crate::login::hash::Cost;
    use std::time::Duration;

    #[test]
    fn a_ticket_is_for_one_browser_one_host_one_hash_and_ten_minutes() {
        let tickets = Tickets::new(&Key::generate().into());
        let (app, other) = (Host::parse("app.example").unwrap(), Host::parse("other.example").unwrap());
        let now = Timestamp::from_millis(1_000);
        let (hash, next) = (Hash::of_nobody(Cost::OURS).unwrap(), Hash::of_nobody(Cost::OURS).unwrap());
        let name = UserName::parse("alice").unwrap();
        let ticket = Ticket::new(name, &hash, Way::parse("/x").unwrap(), now);
        let sealed = tickets.seal(&ticket, "pre", &app);
        let late = now.after(Tokens::GOOD_FOR);
        assert_eq!(tickets.open(&sealed, "pre", &app, late), Some(ticket.clone()));
        assert_eq!(tickets.open(&sealed, "own", &app, now), None);
        assert_eq!(tickets.open(&sealed, "pre", &other, now), None);
        assert_eq!(tickets.open(&sealed, "pre", &app, late.after(Duration::from_millis(1))), None);
        assert!(ticket.fits(&hash) && !ticket.fits(&next));
    }
}
