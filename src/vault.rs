//! The app's own cookies, kept here instead of in the browser: a user agent's jar (RFC 6265bis §5), as pure functions of
//! what the app says and `now`.
//!
//! Towards the app the gateway is the user agent (RFC 9110 §3.7), so it follows a browser's algorithm and not a
//! server's: what is stored, for whom, for how long, and what is sent back where, in which order (COOKIE-18). Who owns a
//! jar, and where it lies, is not known here.
//!
//! The jar is our own since the `cookie_store` crate fails the vectors in `vault/tests`: it sends cookies in no order,
//! knows neither name prefixes nor `SameSite` nor the limits of 4,096 bytes, 400 days and 50 cookies, takes a host-only
//! cookie and its twin for one, reads a clock of its own, and keeps values as text where apps send bytes.

mod bytes;
mod cookie;
mod date;
mod jar;
mod set_cookie;
#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

use crate::net::Host;

pub use crate::vault::cookie::Cookie;
pub use crate::vault::cookie::CookieId;
pub use crate::vault::cookie::Reach;
pub use crate::vault::jar::Jar;
pub use crate::vault::jar::Stored;
pub use crate::vault::set_cookie::cookie_name;

/// No cookie lives longer (RFC 6265bis §5.5; COOKIE-24).
pub const LONGEST: Duration = Duration::from_hours(400 * 24);

/// Name and value of a cookie together at most (RFC 6265bis §5.6).
const MOST_BYTES: usize = 4096;

/// Where a request goes, as its cookies are chosen by. It came over https: the gateway serves nothing else, so `Secure`
/// holds back no cookie.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The host, as the browser wrote it.
    pub host: &'a Host,
    /// The path, as the browser wrote it.
    pub path: &'a str,
    /// Whether a page of another site started it: `SameSite=Strict` cookies stay at home then.
    pub cross_site: bool,
}

/// How much a jar may hold; beyond it the least recently used cookies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Cookies; never more than [`Room::MOST_COOKIES`] count.
    pub cookies: usize,
    /// Bytes, by [`Jar::size`].
    pub bytes: usize,
}

impl Room {
    /// As many as a browser has to keep for a domain (RFC 6265bis §6.1; COOKIE-21).
    pub const MOST_COOKIES: usize = 50;

    /// The room of a session.
    pub const OF_SESSION: Self = Self { cookies: Self::MOST_COOKIES, bytes: 64 * 1024 };
}

/// Why a cookie is not taken. A browser would not take it either, and say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// It has neither name nor value, or a control character.
    #[error("it is malformed")]
    Malformed,
    /// Name and value together are longer than any browser keeps.
    #[error("its name and value together are longer than 4096 bytes")]
    TooLong,
    /// It is for a domain that this host is not in.
    #[error("its Domain is not that of the host")]
    ForeignDomain,
    /// Its name promises attributes that it has not.
    #[error("its name has a prefix such as __Host-, but not the attributes which that demands")]
    Prefix,
    /// It alone is larger than the room there is.
    #[error("it alone is larger than the room there is for it")]
    NoRoom,
}
