//! One cookie of an app, and when it is sent.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::vault::Place;
use crate::vault::set_cookie::domain_matches;
use crate::vault::set_cookie::path_matches;

/// A jar hears of a change that is nothing but a later end when that moved by such a part of the cookie's life.
const MEANINGFUL: u32 = 30;

/// What a jar knows a cookie by: a later one with the same takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieId {
    /// The name; a cookie may have none.
    pub name: Box<[u8]>,
    /// The domain, in lower case.
    pub domain: Box<str>,
    /// The path it is sent to, and to what is below.
    pub path: Box<[u8]>,
    /// Whether to the one host, or to those below it too.
    pub reach: Reach,
}

/// Which hosts a cookie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The one that set it.
    Host,
    /// All of its domain.
    Domain,
}

/// A cookie.
pub struct Cookie {
    pub(super) id: CookieId,
    pub(super) value: Secret<Vec<u8>>,
    /// `SameSite=Strict`. What other requests from elsewhere carry, browsers decide for our own cookie.
    pub(super) strict: bool,
    /// When it is over; nothing: with the jar.
    pub(super) expires: Option<Timestamp>,
    /// When it was last set or sent.
    pub(super) used: Timestamp,
}

/// What a newer cookie is to the one in whose place it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Nothing that the app would notice.
    None,
    /// The same for a little longer.
    Later,
    /// Something else.
    Change,
}

impl Cookie {
    /// What the jar knows it by.
    pub fn id(&self) -> &CookieId {
        &self.id
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        &self.id.name
    }

    /// The value.
    pub fn value(&self) -> &Secret<Vec<u8>> {
        &self.value
    }

    /// When it was set; when it was last sent, if it has been in a jar.
    pub fn set_at(&self) -> Timestamp {
        self.used
    }

    /// Whether its time has passed: a browser that is told to set one forgets what it has of it.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Whether a request to `place` carries it (RFC 6265bis §5.8.3).
    pub(super) fn goes_to(&self, place: &Place<'_>, now: Timestamp) -> bool {
        let host = place.host.as_str();
        let at_home = match self.id.reach {
            Reach::Host => *self.id.domain == *host,
            Reach::Domain => domain_matches(host, &self.id.domain),
        };
        let fits = !(self.strict && place.cross_site);
        at_home && fits && path_matches(place.path.as_bytes(), &self.id.path) && !self.is_over(now)
    }

    /// Roughly the memory it takes.
    pub(super) fn size(&self) -> usize {
        const BESIDE: usize = 32;
        let CookieId { name, domain, path, reach: _ } = &self.id;
        name.len() + self.value.expose().len() + domain.len() + path.len() + BESIDE
    }

    /// What this one is to `old`, of which others were told `then` that it ends at `told`.
    pub(super) fn differs_from(
        &self,
        old: &Self,
        (told, then): (Option<Timestamp>, Timestamp),
        now: Timestamp,
    ) -> Difference {
        let (value, before) = (self.value.expose(), old.value.expose());
        if self.strict != old.strict || !(value == before || is_signed_anew(before, value, now)) {
            return Difference::Change;
        }
        match (self.expires, told) {
            (None, None) if value == before => Difference::None,
            (None, None) => Difference::Later,
            (Some(end), Some(told)) => {
                let moved = end.since(told).max(told.since(end));
                let share = told.since(then) / MEANINGFUL;
                match moved {
                    Duration::ZERO if value == before => Difference::None,
                    moved if moved <= share => Difference::Later,
                    _ => Difference::Change,
                }
            }
            (Some(_), None) | (None, Some(_)) => Difference::Change,
        }
    }
}

/// Whether both values are the same but for the time of a signature: `payload.time.signature`, as Flask and Starlette
/// write it (itsdangerous), who sign a session that nobody changed anew with every answer. The app takes the older as
/// well, until that is too old; so it can wait for the next that is told.
fn is_signed_anew(old: &[u8], new: &[u8], now: Timestamp) -> bool {
    let (Some(old), Some(new)) = (Signed::read(old), Signed::read(new)) else { return false };
    // A year of grace for apps whose clock is off: it only tells a time from other short texts.
    let plausible = |secs: u64| secs.abs_diff(now.as_secs()) < 366 * 86_400;
    let same_shape = old.signature.len() == new.signature.len();
    old.payload == new.payload && same_shape && plausible(old.time) && plausible(new.time)
}

struct Signed<'a> {
    payload: &'a [u8],
    time: u64,
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn read(value: &'a [u8]) -> Option<Self> {
        let mut parts = value.rsplitn(3, |byte| *byte == b'.');
        let (signature, time, payload) = (parts.next()?, parts.next()?, parts.next()?);
        let time = crate::crypto::from_base64url(time).filter(|bytes| (4..=8).contains(&bytes.len()))?;
        let time = time.iter().fold(0, |time, byte| time << 8 | u64::from(*byte));
        (signature.len() >= 20).then_some(Self { payload, time, signature })
    }
}

impl Clone for Cookie {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), value: Secret::new(self.value.expose().clone()), ..*self }
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cookie").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_only_signed_anew_is_known() {
        // As itsdangerous 2.2 writes them; the times are seconds of 2026.
        let now = Timestamp::from_millis(1_790_000_000_000);
        let signed = |payload: &str, secs: u64, signature: &str| {
            let time = crate::crypto::base64url(&secs.to_be_bytes()[4..]);
            format!("{payload}.{time}.{signature}").into_bytes()
        };
        let (one, other) = ("q".repeat(27), "Z".repeat(27));
        let flask = signed("eyJ1IjoiYW5uIn0", 1_790_000_000, &one);
        assert!(is_signed_anew(&flask, &signed("eyJ1IjoiYW5uIn0", 1_790_000_009, &other), now));
        assert!(is_signed_anew(
            &signed(".eJw", 1_790_000_000, &one),
            &signed(".eJw", 1_790_000_001, &other),
            now
        ));
        assert!(!is_signed_anew(&flask, &signed("eyJ1IjoiYm9iIn0", 1_790_000_009, &other), now));
        assert!(!is_signed_anew(&flask, &signed("eyJ1IjoiYW5uIn0", 90_000_009, &other), now));
        let token = |payload: &str| format!("eyJhbGciOiJIUzI1NiJ9.{payload}.{one}").into_bytes();
        assert!(!is_signed_anew(&token("eyJzdWIiOiJhIn0"), &token("eyJzdWIiOiJiIn0"), now));
        assert!(!is_signed_anew(b"1.2.3", b"1.3.4", now));
    }

    #[test]
    fn a_cookie_does_not_show_its_value() {
        let host = crate::net::Host::parse("app.test").unwrap();
        let place = Place { host: &host, path: "/", cross_site: false };
        let cookie = Cookie::parse(b"sid=hunter2", &place, Timestamp::from_millis(0)).unwrap();
        assert!(!format!("{cookie:?}").contains("hunter2"));
    }
}
