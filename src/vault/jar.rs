//! The jar: what the app set, merged cookie by cookie, and the `Cookie` line for each request.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::clock::Timestamp;
use crate::vault::Cookie;
use crate::vault::Place;
use crate::vault::Refused;
use crate::vault::Room;
use crate::vault::cookie::Difference;

/// A change of nothing but a signature is told so often at most, where no end of the cookie says how often.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// What came of storing a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Whether others must hear of it. A cookie that is only kept a little longer, as apps do with every answer, is kept
    /// longer here alone until it has moved by a thirtieth of its life.
    pub changed: bool,
    /// So many others had to make room.
    pub evicted: usize,
}

/// An app's cookies for one person.
#[derive(Clone, Default)]
pub struct Jar {
    /// In the order they were first set, at most [`Room::MOST_COOKIES`].
    entries: Vec<Entry>,
    /// The line that was last made, and which entries are in it.
    line: Option<(u64, HeaderValue)>,
}

#[derive(Clone)]
struct Entry {
    cookie: Cookie,
    /// The end that others were told of, and when.
    told: (Option<Timestamp>, Timestamp),
}

impl Jar {
    /// Takes a cookie in, in place of the one with the same name, domain and path (RFC 6265bis §5.7 steps 23 to 25). One
    /// that is over only takes that one out.
    pub fn store(&mut self, cookie: Cookie, room: Room, now: Timestamp) -> Result<Stored, Refused> {
        let over = cookie.is_over(now);
        if !over && cookie.size() > room.bytes {
            return Err(Refused::NoRoom);
        }
        // What is over is forgotten first: a cookie that comes after it is a new one, and the youngest.
        self.entries.retain(|entry| !entry.cookie.is_over(now));
        let same = self.entries.iter().position(|entry| entry.cookie.id() == cookie.id());
        let mut stored = Stored::default();
        match same.and_then(|place| self.entries.get_mut(place)) {
            Some(entry) if !over => {
                stored.changed = match cookie.differs_from(&entry.cookie, entry.told, now) {
                    Difference::None => false,
                    Difference::Later => cookie.expires.is_none() && now.since(entry.told.1) >= TELL_EVERY,
                    Difference::Change => true,
                };
                if stored.changed {
                    entry.told = (cookie.expires, now);
                }
                entry.cookie = cookie;
            }
            Some(_) => {
                stored.changed = true;
                same.map(|place| self.entries.remove(place));
            }
            None if over => {}
            None => {
                stored.changed = true;
                self.entries.push(Entry { told: (cookie.expires, now), cookie });
            }
        }
        self.line = None;
        let last = self.entries.len().saturating_sub(1);
        stored.evicted = self.make_room(room, same.unwrap_or(last));
        Ok(stored)
    }

    /// Puts out the least recently used, until the rest fits; never the one at `newest`.
    fn make_room(&mut self, room: Room, newest: usize) -> usize {
        let most = room.cookies.min(Room::MOST_COOKIES);
        if self.entries.len() <= most && self.size() <= room.bytes {
            return 0;
        }
        let newest = self.entries.get(newest).map(|entry| entry.cookie.id().clone());
        let mut evicted = 0;
        while self.entries.len() > most || self.size() > room.bytes {
            let others = self.entries.iter().enumerate();
            let others = others.filter(|(_, entry)| Some(entry.cookie.id()) != newest.as_ref());
            let Some((oldest, _)) = others.min_by_key(|(_, entry)| entry.cookie.used) else { break };
            self.entries.remove(oldest);
            evicted += 1;
        }
        evicted
    }

    /// The `Cookie` line of a request to `place`: longest path first, then oldest first (RFC 6265bis §5.8.3); nothing if
    /// no cookie goes there. Cookies whose name is `known` from elsewhere are left out.
    pub fn line(
        &mut self,
        place: &Place<'_>,
        known: impl Fn(&[u8]) -> bool,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let mut chosen = 0_u64;
        for (bit, entry) in (0..).zip(&mut self.entries) {
            if entry.cookie.goes_to(place, now) && !known(entry.cookie.name()) {
                entry.cookie.used = now;
                chosen |= 1_u64.checked_shl(bit).unwrap_or(0);
            }
        }
        if chosen == 0 {
            return None;
        }
        match &self.line {
            Some((entries, line)) if *entries == chosen => Some(line.clone()),
            Some(_) | None => {
                let line = self.write(chosen)?;
                self.line = Some((chosen, line.clone()));
                Some(line)
            }
        }
    }

    fn write(&self, chosen: u64) -> Option<HeaderValue> {
        let bits = (0..).map(|bit| 1_u64.checked_shl(bit).unwrap_or(0));
        let chosen = self.entries.iter().zip(bits).filter(|(_, bit)| chosen & bit != 0);
        let mut cookies: Vec<&Cookie> = chosen.map(|(entry, _)| &entry.cookie).collect();
        // Stable: those of one length stay in the order they were set.
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.id().path.len()));
        let mut line = Vec::new();
        for cookie in cookies {
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            if !cookie.name().is_empty() {
                line.extend_from_slice(cookie.name());
                line.push(b'=');
            }
            line.extend_from_slice(cookie.value.expose());
        }
        let mut line = HeaderValue::from_maybe_shared(Bytes::from(line)).ok()?;
        line.set_sensitive(true);
        Some(line)
    }

    /// Of the cookies of one name that a request to `place` carries, the one that comes first.
    pub fn find(&self, name: &[u8], place: &Place<'_>, now: Timestamp) -> Option<&Cookie> {
        let sent = self.cookies().filter(|cookie| cookie.name() == name && cookie.goes_to(place, now));
        // The first of the longest, as in the line.
        sent.min_by_key(|cookie| std::cmp::Reverse(cookie.id().path.len()))
    }

    /// The same without the cookies of one name.
    #[must_use]
    pub fn without(&self, name: &[u8]) -> Self {
        let entries = self.entries.iter().filter(|entry| entry.cookie.name() != name);
        Self { entries: entries.cloned().collect(), line: None }
    }

    /// Puts everything out.
    pub fn clear(&mut self) -> Stored {
        let changed = !self.is_empty();
        *self = Self::default();
        Stored { changed, evicted: 0 }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Roughly the bytes it takes.
    pub fn size(&self) -> usize {
        self.cookies().map(Cookie::size).sum()
    }

    /// The cookies in it, in the order they were first set.
    pub fn cookies(&self) -> impl Iterator<Item = &Cookie> {
        self.entries.iter().map(|entry| &entry.cookie)
    }

    /// A jar with these cookies, of which others know.
    pub(super) fn of(cookies: impl Iterator<Item = Cookie>) -> Self {
        let entries = cookies.take(Room::MOST_COOKIES).map(|cookie| {
            let told = (cookie.expires, cookie.used);
            Entry { cookie, told }
        });
        Self { entries: entries.collect(), line: None }
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.cookies()).finish()
    }
}
