//! One session, as everybody who serves it shares it: its record, when it was last seen, and whether it is over.

use std::borrow::Borrow;
use std::cmp::Ordering as Order;
use std::fmt;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::identity::user::User;
use crate::net::ClientAddr;
use crate::net::Host;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Times;
use crate::session::lifetime::Verdict;
use crate::session::lifetime::Why;
use crate::session::lifetime::verdict;
use crate::session::record::Record;
use crate::session::record::ReferenceText;
use crate::session::striped::Striped;
use crate::session::token::TokenHash;

/// Rung when a session of the group ends. Those who wait are few and sessions are many: a bell of its own would cost
/// every session more memory than its user's name, and an end that wakes a 256th of all waiters costs little.
static BELLS: Striped<Notify> = Striped([const { Notify::const_new() }; 256]);

/// A session. Connections, tunnels and streams that serve it hold the same one, so that its end reaches all of them
/// at once.
pub struct Session {
    hash: TokenHash,
    /// Which version of the store's this is: counted by the store.
    version: AtomicU32,
    state: State,
    record: Record,
}

impl Session {
    /// A session as it was read from a store or is to be put into one. It is alive until it is
    /// ended; its times are not looked at here.
    pub fn new(hash: TokenHash, record: Record, last_seen: Timestamp, version: u32) -> Self {
        Self { hash, version: AtomicU32::new(version), state: State::active(last_seen), record }
    }

    /// Whose session it is.
    pub fn user(&self) -> &Arc<User> {
        &self.record.user
    }

    /// The one host it is good on.
    pub fn host(&self) -> &Host {
        &self.record.host
    }

    /// Where the login came from.
    pub fn client(&self) -> ClientAddr {
        self.record.client.into()
    }

    /// The limits of the site it was begun on, as they were then.
    pub fn lifetime(&self) -> &Lifetime {
        &self.record.lifetime
    }

    /// What logs call it: 16 hexadecimal digits.
    pub fn reference(&self) -> ReferenceText {
        self.record.reference.text()
    }

    /// What was settled at login.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The hash of its token: what stores know it by.
    pub fn hash(&self) -> &TokenHash {
        &self.hash
    }

    /// The store's version that this is.
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// For stores alone: the version is now `version`.
    pub fn set_version(&self, version: u32) {
        self.version.store(version, Ordering::Release);
    }

    /// When it began and when it was last seen.
    pub fn times(&self) -> Times {
        Times { began: self.record.began, last_seen: self.state.last_seen() }
    }

    /// Notes a request of the person at `now`. An earlier time than the one known changes nothing, and neither does a
    /// touch of a session that is over, noticed or not: nothing brings it back.
    pub fn touch(&self, now: Timestamp) {
        self.state.update(|seen| {
            let times = Times { began: self.record.began, last_seen: seen };
            let alive = verdict(&times, &self.record.lifetime, now) == Verdict::Active;
            (alive && now > seen).then_some((now, None))
        });
    }

    /// Why it is over, if it is known to be: one atomic load. What the clock says about it comes to light when it
    /// is found, checked or swept.
    pub fn why_ended(&self) -> Option<Why> {
        self.state.why()
    }

    /// Resolves when the session ends: for whoever serves it longer than a request.
    pub fn ended(self: &Arc<Self>) -> impl Future<Output = Why> + Send + use<> {
        let session = Arc::clone(self);
        async move {
            loop {
                // Before the flag is looked at: a bell that rings in between is then heard below.
                let bell = BELLS.at(&session.hash).notified();
                if let Some(why) = session.why_ended() {
                    return why;
                }
                bell.await;
            }
        }
    }

    /// Ends it. Only the first end counts: the answer is whether this was it.
    pub(super) fn end(&self, why: Why) -> bool {
        let first = self.state.update(|seen| Some((seen, Some(why))));
        if first {
            BELLS.at(&self.hash).notify_waiters();
        }
        first
    }

    /// Ends it if it has reached a limit of its own or of `lifetime`. Judged and ended in one step: a touch in
    /// between is seen.
    pub(super) fn expire(&self, lifetime: Lifetime, now: Timestamp) -> Option<Why> {
        let lifetime = self.record.lifetime.shorter(&lifetime);
        let ended = self.state.update(|seen| {
            let times = Times { began: self.record.began, last_seen: seen };
            match verdict(&times, &lifetime, now) {
                Verdict::Active => None,
                Verdict::Ended(why) => Some((seen, Some(why))),
            }
        });
        if ended {
            BELLS.at(&self.hash).notify_waiters();
        }
        self.why_ended()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("reference", &self.reference().as_str())
            .field("times", &self.times())
            .field("ended", &self.why_ended())
            .finish_non_exhaustive()
    }
}

/// When the session was last seen (upper 61 bits, milliseconds) and why it is over (lower 3 bits, 0 while it is not),
/// in one word: so a touch cannot slip past an end, nor an idle end past a touch.
struct State(AtomicU64);

impl State {
    const WHY_BITS: u32 = 3;
    const WHY_MASK: u64 = (1 << Self::WHY_BITS) - 1;

    fn active(last_seen: Timestamp) -> Self {
        Self(AtomicU64::new(Self::pack(last_seen, None)))
    }

    fn last_seen(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Acquire) >> Self::WHY_BITS)
    }

    fn why(&self) -> Option<Why> {
        Self::unpack_why(self.0.load(Ordering::Acquire))
    }

    /// Puts what `change` makes of the last-seen time in its place, unless the session is over or `change` has
    /// nothing to say. Whether anything changed.
    fn update(&self, change: impl Fn(Timestamp) -> Option<(Timestamp, Option<Why>)>) -> bool {
        let step = |state: u64| {
            if Self::unpack_why(state).is_some() {
                return None;
            }
            let (seen, why) = change(Timestamp::from_millis(state >> Self::WHY_BITS))?;
            Some(Self::pack(seen, why))
        };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    fn pack(last_seen: Timestamp, why: Option<Why>) -> u64 {
        let millis = last_seen.as_millis().min(u64::MAX >> Self::WHY_BITS);
        let why = match why {
            None => 0,
            Some(Why::Idle) => 1,
            Some(Why::Absolute) => 2,
            Some(Why::LoggedOut) => 3,
            Some(Why::Replaced) => 4,
            Some(Why::UserRemoved) => 5,
            Some(Why::Administrator) => 6,
        };
        millis << Self::WHY_BITS | why
    }

    fn unpack_why(state: u64) -> Option<Why> {
        match state & Self::WHY_MASK {
            0 => None,
            1 => Some(Why::Idle),
            2 => Some(Why::Absolute),
            3 => Some(Why::LoggedOut),
            4 => Some(Why::Replaced),
            5 => Some(Why::UserRemoved),
            _ => Some(Why::Administrator),
        }
    }
}

/// A shared session that is found by its token hash in sets and maps, which so need no copy of the hash.
pub(super) struct ByHash(pub(super) Arc<Session>);

impl Borrow<TokenHash> for ByHash {
    fn borrow(&self) -> &TokenHash {
        &self.0.hash
    }
}

impl Hash for ByHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash.hash(state);
    }
}

impl PartialEq for ByHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
    }
}

impl Eq for ByHash {}

impl PartialOrd for ByHash {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl Ord for ByHash {
    fn cmp(&self, other: &Self) -> Order {
        self.0.hash.cmp(&other.0.hash)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::session::store::conformance::session_of;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn session() -> Arc<Session> {
        let lifetime = Lifetime::new(Duration::from_secs(10), Duration::from_secs(25)).unwrap();
        session_of("ada", lifetime, at(100))
    }

    #[test]
    fn a_touch_only_ever_moves_forward() {
        let session = session();
        session.touch(at(105));
        session.touch(at(103));
        assert_eq!(session.times().last_seen, at(105));
    }

    #[test]
    fn a_touch_after_the_end_changes_nothing() {
        let logged_out = session();
        assert!(logged_out.end(Why::LoggedOut));
        logged_out.touch(at(105));
        let idle = session();
        idle.touch(at(110));
        for session in [logged_out, idle] {
            assert_eq!(session.times().last_seen, at(100));
        }
    }

    #[test]
    fn no_touch_moves_the_absolute_end() {
        let session = session();
        for second in 100..140 {
            session.touch(at(second));
        }
        assert_eq!(session.times().last_seen, at(124));
        assert_eq!(session.expire(*session.lifetime(), at(125)), Some(Why::Absolute));
    }

    #[test]
    fn the_first_end_is_the_reason() {
        let session = session();
        assert!(session.end(Why::LoggedOut));
        assert!(!session.end(Why::Administrator));
        assert_eq!(session.expire(*session.lifetime(), at(999)), Some(Why::LoggedOut));
        assert_eq!(session.why_ended(), Some(Why::LoggedOut));
    }

    #[test]
    fn every_reason_survives_being_packed() {
        for why in
            [Why::Idle, Why::Absolute, Why::LoggedOut, Why::Replaced, Why::UserRemoved, Why::Administrator]
        {
            let session = session();
            assert!(session.end(why));
            assert_eq!((session.why_ended(), session.times().last_seen), (Some(why), at(100)));
        }
    }

    #[test]
    fn the_shorter_limits_hold() {
        let shorter = Lifetime::new(Duration::from_secs(3), Duration::from_secs(20)).unwrap();
        let longer = Lifetime::new(Duration::from_mins(1), Duration::from_mins(1)).unwrap();
        assert_eq!(session().expire(shorter, at(103)), Some(Why::Idle));
        assert_eq!(session().expire(longer, at(103)), None);
        assert_eq!(session().expire(longer, at(110)), Some(Why::Idle));
    }

    #[tokio::test]
    async fn an_end_wakes_those_who_wait_for_it_and_nobody_else() {
        let (session, other) = (session(), session());
        let early = tokio::spawn(session.ended());
        let mut others = Box::pin(other.ended());
        tokio::task::yield_now().await;
        assert!((&mut others).now_or_never().is_none());
        session.end(Why::Administrator);
        assert_eq!(early.await.unwrap(), Why::Administrator);
        assert_eq!(session.ended().now_or_never(), Some(Why::Administrator));
        assert!(others.now_or_never().is_none());
    }

    #[test]
    fn a_session_takes_no_more_memory_than_planned() {
        // With the two counts of an `Arc` it fills one block of 128 bytes; a byte more takes the next size, 160.
        assert!(size_of::<Session>() <= 112, "{}", size_of::<Session>());
    }
}
