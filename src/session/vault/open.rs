//! What is open of a vault while somebody who holds one of its tokens is served: the data key and the jars, shared by
//! all who serve the session here. A change is seen at once by whoever comes next on this gateway, and lies beside as a
//! change until the store has it: when others were quicker, it is made once more on top of theirs.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;

use http::HeaderValue;

use crate::clock::Timestamp;
use crate::session::id::SessionId;
use crate::session::token::Token;
use crate::session::vault::DataKey;
use crate::session::vault::SealedJar;
use crate::session::vault::VaultKeys;
use crate::vault::Cookie;
use crate::vault::Jar;
use crate::vault::Place;
use crate::vault::Refused;
use crate::vault::Room;
use crate::vault::Stored;

/// A site has so many bytes at least, however much the others of the same login hold.
const LEAST_BYTES: usize = 8 * 1024;

/// What is open of one login's vault.
#[derive(Default)]
pub struct Open {
    /// Not what is made of it for sealing: that takes much more room, and is needed when something changes.
    key: OnceLock<DataKey>,
    /// A short critical section, never held across an await; none of another session's waits for it.
    shelf: Mutex<Shelf>,
    /// Whose turn it is to tell the store.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Shelf {
    jars: Vec<OpenJar>,
    /// How many changes there were.
    changes: u64,
}

/// One site's cookies.
struct OpenJar {
    site: Arc<str>,
    jar: Jar,
    /// As the store has it.
    kept: Option<Arc<[u8]>>,
    /// As it was last sealed for the store, and up to which change.
    sent: Option<(u64, Arc<[u8]>)>,
    /// What the store has not, with its number.
    pending: Vec<(u64, Change)>,
}

/// What an answer of the app does to its cookies.
#[derive(Clone, Debug)]
pub enum Change {
    /// Sets or deletes one.
    Set(Cookie),
    /// Deletes all of them (`Clear-Site-Data`).
    Clear,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The number of the last change that the store must hear of.
    pub number: Option<u64>,
    /// So many other cookies had to make room.
    pub evicted: usize,
    /// What was not taken.
    pub refused: Vec<(Box<[u8]>, Refused)>,
}

impl Open {
    /// Whether a token has opened it.
    pub fn is_unlocked(&self) -> bool {
        self.key.get().is_some()
    }

    /// Puts the key in, and the jars that it opens.
    pub(super) fn unlock(&self, key: DataKey, id: SessionId, jars: &[SealedJar]) {
        // Of two at once the second brings the same.
        self.key.get_or_init(|| key);
        self.take_over(id, jars);
    }

    /// The data key under `token`; nothing while it is not open.
    pub(super) fn wrap(&self, id: SessionId, token: &Token, keys: &VaultKeys) -> Option<Box<[u8]>> {
        self.key.get().map(|key| key.wrap(id, token, keys))
    }

    /// Takes over what the store has. What others changed is opened; what the store has not heard of yet goes on top.
    pub(super) fn take_over(&self, id: SessionId, jars: &[SealedJar]) {
        let Some(key) = self.key.get() else { return };
        let mut inside = self.lock();
        for SealedJar { site, sealed } in jars {
            let room = inside.room_beside(site);
            inside.jar(site).take_over(sealed, room, || {
                let bytes = key.sealer().open_bytes(sealed, &bound_to(id, site))?;
                Jar::from_bytes(&bytes)
            });
        }
    }

    /// The `Cookie` line for a request to the site, as [`Jar::line`].
    pub fn line(
        &self,
        site: &str,
        place: &Place<'_>,
        known: impl Fn(&[u8]) -> bool,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let mut inside = self.lock();
        let open = inside.jars.iter_mut().find(|open| *open.site == *site)?;
        open.jar.line(place, known, now)
    }

    /// The site's cookies, in the order they were first set.
    pub fn cookies(&self, site: &str) -> Vec<Cookie> {
        let inside = self.lock();
        let of_site = inside.jars.iter().filter(|open| *open.site == *site);
        of_site.flat_map(|open| open.jar.cookies()).cloned().collect()
    }

    /// The cookies of each site that has any.
    pub(in crate::session) fn jars(&self) -> Vec<(Arc<str>, Jar)> {
        let inside = self.lock();
        let full = inside.jars.iter().filter(|open| !open.jar.is_empty());
        full.map(|open| (Arc::clone(&open.site), open.jar.clone())).collect()
    }

    /// Applies what an answer of the site does to its cookies: the next request from here sees it.
    pub fn apply(&self, site: &Arc<str>, changes: Vec<Change>, now: Timestamp) -> Applied {
        let mut inside = self.lock();
        let room = inside.room_beside(site);
        let mut applied = Applied::default();
        for change in changes {
            let number = inside.changes + 1;
            let open = inside.jar(site);
            match open.apply(change.clone(), room, now) {
                Ok(stored) => {
                    applied.evicted += stored.evicted;
                    if stored.changed {
                        open.pending.push((number, change));
                        applied.number = Some(number);
                        inside.changes = number;
                    }
                }
                Err(refused) => applied.refused.push((change.name().into(), refused)),
            }
        }
        applied
    }

    /// Whether the store has the change of this number, and all before it.
    pub fn has_kept(&self, number: u64) -> bool {
        let inside = self.lock();
        let mut pending = inside.jars.iter().flat_map(|open| &open.pending);
        pending.all(|(other, _)| *other > number)
    }

    /// Whether there is anything that the store has not.
    pub fn is_behind(&self) -> bool {
        !self.has_kept(u64::MAX)
    }

    /// Waits for the turn to tell the store: of many answers at once one tells for all.
    pub(in crate::session) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The jars that the store has not as they are, sealed.
    pub(in crate::session) fn seal(&self, id: SessionId) -> Vec<SealedJar> {
        let Some(key) = self.key.get() else { return Vec::new() };
        let cipher = key.sealer();
        let mut inside = self.lock();
        let number = inside.changes;
        let behind = inside.jars.iter_mut().filter(|open| !open.pending.is_empty());
        behind
            .map(|open| {
                let bytes = open.jar.to_bytes();
                let whole: Arc<[u8]> = cipher.seal_bytes(&bytes, &bound_to(id, &open.site)).into();
                open.sent = Some((number, Arc::clone(&whole)));
                SealedJar { site: Arc::clone(&open.site), sealed: whole }
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // A panic in the middle of a change leaves a jar that is older or newer, never a mixture of two people's.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// The jar of a site; an empty one, if there was none.
    fn jar(&mut self, site: &Arc<str>) -> &mut OpenJar {
        let place = self.jars.iter().position(|open| open.site == *site).unwrap_or_else(|| {
            self.jars.push(OpenJar::new(Arc::clone(site)));
            self.jars.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the place was just found, or made")]
        &mut self.jars[place]
    }

    /// What the other sites of the login leave of its room.
    fn room_beside(&self, site: &str) -> Room {
        let others = self.jars.iter().filter(|open| *open.site != *site);
        let taken: usize = others.map(|open| open.jar.size()).sum();
        let bytes = Room::OF_SESSION.bytes.saturating_sub(taken).max(LEAST_BYTES);
        Room { bytes, ..Room::OF_SESSION }
    }
}

impl OpenJar {
    fn new(site: Arc<str>) -> Self {
        Self { site, jar: Jar::default(), kept: None, sent: None, pending: Vec::new() }
    }

    fn apply(&mut self, change: Change, room: Room, now: Timestamp) -> Result<Stored, Refused> {
        match change {
            Change::Set(cookie) => self.jar.store(cookie, room, now),
            Change::Clear => Ok(self.jar.clear()),
        }
    }

    fn take_over(&mut self, sealed: &Arc<[u8]>, room: Room, open: impl FnOnce() -> Option<Jar>) {
        if self.kept.as_ref() == Some(sealed) {
            return;
        }
        if let Some((number, _)) = self.sent.take_if(|(_, sent)| sent == sealed) {
            self.pending.retain(|(other, _)| *other > number);
        } else if let Some(jar) = open() {
            self.jar = jar;
            for (_, change) in self.pending.clone() {
                let now = change.when();
                // It was taken before, so it is now; what had to make room then was told of.
                let _taken = self.apply(change, room, now);
            }
        }
        self.kept = Some(Arc::clone(sealed));
    }
}

impl Change {
    fn name(&self) -> &[u8] {
        match self {
            Self::Set(cookie) => cookie.name(),
            Self::Clear => b"",
        }
    }

    fn when(&self) -> Timestamp {
        match self {
            Self::Set(cookie) => cookie.set_at(),
            Self::Clear => Timestamp::from_millis(0),
        }
    }
}

/// A site's jar under a data key.
pub(super) fn seal(key: &DataKey, id: SessionId, site: Arc<str>, jar: &Jar) -> SealedJar {
    let sealed = key.sealer().seal_bytes(&jar.to_bytes(), &bound_to(id, &site)).into();
    SealedJar { site, sealed }
}

/// What a site's jar is sealed for.
fn bound_to(id: SessionId, site: &str) -> Vec<u8> {
    [&id.to_bytes(), site.as_bytes()].concat()
}

impl fmt::Debug for Open {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Open").field("unlocked", &self.is_unlocked()).finish_non_exhaustive()
    }
}
