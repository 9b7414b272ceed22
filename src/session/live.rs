//! One session, as everybody who serves it shares it: what was settled at login, its tokens, when it was last seen, and
//! whether it is over.

mod state;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::identity::user::User;
use crate::net::ClientAddr;
use crate::session::id::SessionId;
use crate::session::id::SessionIdText;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Times;
use crate::session::lifetime::Verdict;
use crate::session::lifetime::Why;
use crate::session::lifetime::is_resumable;
use crate::session::lifetime::locked_until;
use crate::session::lifetime::verdict;
use crate::session::live::state::State;
use crate::session::record::Record;
use crate::session::striped::Striped;
use crate::session::tokens::Tokens;
use crate::session::vault::open::Open;

/// Rung when a session of the group ends. Those who wait are few and sessions are many: a bell of its own would cost
/// every session more memory than its user's name, and an end that wakes a 256th of all waiters costs little.
static BELLS: Striped<Notify> = Striped([const { Notify::const_new() }; 256]);

/// A store hears of a use when it is so much of the idle limit later than the last it heard of.
const TELL_STORE: u32 = 30;

/// A store that others use too hears of it when it is this much later at the latest: they judge by it.
const TELL_OTHERS: Duration = Duration::from_secs(30);

/// So much longer it may take until such a store has heard of it, since several uses are told together.
const ON_THE_WAY: Duration = Duration::from_secs(3);

/// Set beside the reason of an end of which nobody knows whether it was carried out.
const IN_DOUBT: u8 = 0x80;

/// How much later a use must be than the last that the store has heard of, for it to hear of it: `idle` is the shortest
/// limit that anybody judges the session by, `shared` whether others use the store too.
pub(super) fn tell_after(idle: Duration, shared: bool) -> Duration {
    let step = idle / TELL_STORE;
    if shared { step.min(TELL_OTHERS) } else { step }
}

/// How long after a use all who share its store know of it, at the latest: so much longer than its idle limit a session
/// may live, since nobody may end it who does not know.
pub(super) fn unheard(idle: Duration) -> Duration {
    Duration::from_secs(tell_after(idle, true).as_secs()) + ON_THE_WAY
}

/// The longest that [`unheard`] can be.
pub(super) const LONGEST_UNHEARD: Duration = TELL_OTHERS.saturating_add(ON_THE_WAY);

/// A session. Connections, tunnels and streams that serve it hold the same one, so that its end reaches all of them
/// at once.
pub struct Session {
    id: SessionId,
    /// Which version of the store's this is; a change of tokens is a new one.
    version: AtomicU32,
    /// The use the store knows of, in seconds after the login.
    told: AtomicU32,
    state: State,
    /// A short critical section, never held across an await, and never needed by a request on a connection that knows
    /// the session already.
    tokens: Mutex<Tokens>,
    renewing: AtomicBool,
    /// Why somebody here is about to end it, as in [`State`], and whether that is in doubt.
    ending: AtomicU8,
    /// Whether the store is known to have had it.
    kept: AtomicBool,
    record: Record,
}

impl Session {
    /// A session as it was read from a store or is to be put into one. It is alive until it is
    /// ended, unless it is locked; its times are not looked at here.
    pub fn new(id: SessionId, record: Record, tokens: Tokens, last_seen: Timestamp, version: u32) -> Self {
        let told = secs(last_seen.since(record.began));
        let state = State::active(last_seen);
        if tokens.is_locked() {
            state.update(|seen| Some((seen, Some(Why::Idle))));
        }
        Self {
            id,
            version: AtomicU32::new(version),
            told: AtomicU32::new(told),
            state,
            tokens: Mutex::new(tokens),
            renewing: AtomicBool::new(false),
            ending: AtomicU8::new(0),
            kept: AtomicBool::new(true),
            record,
        }
    }

    /// What stores, lists and logs know it by.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What logs call it: 16 hexadecimal digits.
    pub fn reference(&self) -> SessionIdText {
        self.id.text()
    }

    /// Whose session it is.
    pub fn user(&self) -> &Arc<User> {
        &self.record.user
    }

    /// Where the login came from.
    pub fn client(&self) -> ClientAddr {
        self.record.client.into()
    }

    /// The limits of the site it was begun on, as they were then.
    pub fn lifetime(&self) -> &Lifetime {
        &self.record.lifetime
    }

    /// What was settled at login.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its tokens, as of now.
    pub fn tokens(&self) -> Tokens {
        self.lock().clone()
    }

    /// The store's version that this is.
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// Takes over what the store has: these tokens are its version `version`. An older version than the one known
    /// changes nothing. Where the store has locked it, it is over here too.
    pub fn adopt(&self, tokens: Tokens, version: u32) {
        let mut own = self.lock();
        // Versions are counted on: the distance tells which is newer, even where the count begins anew.
        if version.wrapping_sub(self.version()) < u32::MAX / 2 {
            let locked = tokens.is_locked();
            *own = tokens.succeeding(self.id, &own);
            self.version.store(version, Ordering::Release);
            drop(own);
            if locked {
                self.end(Why::Idle);
            }
        }
    }

    /// Whether it has idled out and stays locked.
    pub fn is_locked(&self) -> bool {
        self.with_tokens(Tokens::is_locked)
    }

    /// Whether it has idled out at `now`, by its own limits and no more than `lifetime`'s, and may be resumed.
    pub(super) fn is_resumable(&self, lifetime: Lifetime, now: Timestamp) -> bool {
        is_resumable(&self.times(), &self.record.lifetime.shorter(&lifetime), now)
    }

    /// Whether a store has kept it long enough at `now`: it is over by its own limits, or was locked until then.
    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        if self.is_locked() {
            return !self.is_resumable(self.record.lifetime, now);
        }
        self.why_ended().is_some() || verdict(&self.times(), &self.record.lifetime, now) != Verdict::Active
    }

    /// The moment at which a store has kept it long enough with these tokens, if it is not used after `seen`.
    pub(super) fn due(&self, tokens: &Tokens, seen: Timestamp) -> Timestamp {
        let times = Times { began: self.record.began, last_seen: seen };
        let lifetime = &self.record.lifetime;
        if tokens.is_locked() {
            return locked_until(&times, lifetime);
        }
        seen.after(lifetime.idle()).min(times.began.after(lifetime.absolute()))
    }

    /// What is open of the apps' cookies; nothing if none are kept, or no token has opened them.
    pub fn vault(&self) -> Option<Arc<Open>> {
        self.with_tokens(|tokens| tokens.vault().map(|vault| Arc::clone(vault.open())))
            .filter(|open| open.is_unlocked())
    }

    /// Looks at the tokens without copying them.
    pub(super) fn with_tokens<R>(&self, look: impl FnOnce(&Tokens) -> R) -> R {
        look(&self.lock())
    }

    /// When it began and when it was last seen.
    pub fn times(&self) -> Times {
        Times { began: self.record.began, last_seen: self.state.last_seen() }
    }

    /// Notes a request of the person at `now`, and tells whether it is the latest so far. An earlier time than the
    /// one known changes nothing, and neither does a touch of a session that is over, noticed or not: nothing brings
    /// it back. `grace` is what is added to its idle limit where others may have used it too.
    pub(super) fn touch(&self, now: Timestamp, grace: Duration) -> bool {
        let lifetime = self.record.lifetime.idle_longer(grace);
        self.state.update(|seen| {
            let times = Times { began: self.record.began, last_seen: seen };
            let alive = verdict(&times, &lifetime, now) == Verdict::Active;
            (alive && now > seen).then_some((now, None))
        })
    }

    /// Whether it is up to the caller to tell the store when it was last seen: what the store knows is older than that
    /// by more than `step`.
    pub(super) fn begin_telling(&self, step: Duration) -> bool {
        let seen = secs(self.state.last_seen().since(self.record.began));
        let told = self.told.load(Ordering::Relaxed);
        // Of many requests at once, one tells.
        seen.saturating_sub(told) > secs(step)
            && self.told.compare_exchange(told, seen, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Notes that it was seen at `then` by what a store knows.
    pub(super) fn seen_elsewhere(&self, then: Timestamp) {
        self.state.update(|seen| (then > seen).then_some((then, None)));
    }

    /// Whether it is up to the caller to renew its token: one does it at a time. [`Session::renewed`] ends it.
    pub(super) fn begin_renewal(&self) -> bool {
        !self.renewing.swap(true, Ordering::Acquire)
    }

    /// A renewal is done, or has failed.
    pub(super) fn renewed(&self) {
        self.renewing.store(false, Ordering::Release);
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
                let bell = BELLS.at(session.id.stripe()).notified();
                if let Some(why) = session.why_ended() {
                    return why;
                }
                bell.await;
            }
        }
    }

    /// It is on its way into the store: that the store does not have it does not mean that it is over.
    pub(super) fn begin_keeping(&self) {
        self.kept.store(false, Ordering::SeqCst);
    }

    /// The store has it, or had.
    pub(super) fn kept(&self) {
        self.kept.store(true, Ordering::SeqCst);
    }

    /// Whether the store is known to have had it.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::SeqCst)
    }

    /// Somebody here is about to end it for this reason: the store is asked first, and others may hear of it before.
    pub(super) fn begin_end(&self, why: Why) {
        self.ending.store(State::place(Some(why)), Ordering::Release);
    }

    /// Why somebody here is about to end it.
    pub(super) fn ending(&self) -> Option<Why> {
        State::why_at((self.ending.load(Ordering::Acquire) & !IN_DOUBT).into())
    }

    /// The store has not said whether it carried the end out: it alone knows whether the session is still there.
    pub(super) fn doubt_end(&self) {
        self.ending.fetch_or(IN_DOUBT, Ordering::AcqRel);
    }

    /// Whether an end was begun of which nobody knows whether it was carried out.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.ending.load(Ordering::Acquire) & IN_DOUBT != 0
    }

    /// The store still has it: an end that was in doubt has not happened.
    pub(super) fn still_there(&self) {
        let ending = self.ending.load(Ordering::Acquire);
        if ending & IN_DOUBT != 0 {
            // Unless somebody begins another at this moment.
            let _begun = self.ending.compare_exchange(ending, 0, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Ends it. Only the first end counts: the answer is whether this was it.
    pub(super) fn end(&self, why: Why) -> bool {
        let first = self.state.update(|seen| Some((seen, Some(why))));
        if first {
            BELLS.at(self.id.stripe()).notify_waiters();
        }
        first
    }

    /// What its own limits and `lifetime` say about it at `now`.
    pub(super) fn verdict(&self, lifetime: Lifetime, now: Timestamp) -> Verdict {
        verdict(&self.times(), &self.record.lifetime.shorter(&lifetime), now)
    }

    /// Ends it if it has reached a limit of its own or of `lifetime`, the idle one longer by `grace`. Judged and ended
    /// in one step: a touch in between is seen.
    pub(super) fn expire(&self, lifetime: Lifetime, grace: Duration, now: Timestamp) -> Option<Why> {
        let lifetime = self.record.lifetime.shorter(&lifetime).idle_longer(grace);
        let ended = self.state.update(|seen| {
            let times = Times { began: self.record.began, last_seen: seen };
            match verdict(&times, &lifetime, now) {
                Verdict::Active => None,
                Verdict::Ended(why) => Some((seen, Some(why))),
            }
        });
        if ended {
            BELLS.at(self.id.stripe()).notify_waiters();
        }
        // What was only let go has reached no limit.
        self.why_ended().filter(|why| *why != Why::NotHeard)
    }

    fn lock(&self) -> MutexGuard<'_, Tokens> {
        // Tokens are replaced as a whole: they are as right after a panic as before.
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn secs(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("id", &self.id)
            .field("times", &self.times())
            .field("ended", &self.why_ended())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
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
        session.touch(at(105), Duration::ZERO);
        session.touch(at(103), Duration::ZERO);
        assert_eq!(session.times().last_seen, at(105));
    }

    #[test]
    fn a_touch_after_the_end_changes_nothing() {
        let logged_out = session();
        assert!(logged_out.end(Why::LoggedOut));
        logged_out.touch(at(105), Duration::ZERO);
        let idle = session();
        idle.touch(at(110), Duration::ZERO);
        for session in [logged_out, idle] {
            assert_eq!(session.times().last_seen, at(100));
        }
    }

    #[test]
    fn the_store_hears_of_a_thirtieth_of_the_idle_limit_once() {
        let lifetime = Lifetime::new(Duration::from_mins(30), Duration::from_hours(24)).unwrap();
        let session = session_of("ada", lifetime, at(0));
        let step = tell_after(session.lifetime().idle(), false);
        let tells = |secs| session.touch(at(secs), Duration::ZERO) && session.begin_telling(step);
        assert_eq!([60, 61, 62, 122].map(tells), [false, true, false, true]);
        // At the end whatever it has not heard of counts.
        assert!(!tells(123) && session.begin_telling(Duration::ZERO));
        assert!(!session.begin_telling(Duration::ZERO));
    }

    #[test]
    fn a_store_that_others_use_hears_of_it_sooner_and_ends_it_later() {
        let lifetime = Lifetime::new(Duration::from_hours(4), Duration::from_hours(24)).unwrap();
        let session = session_of("ada", lifetime, at(0));
        let (step, grace) = (tell_after(lifetime.idle(), true), unheard(lifetime.idle()));
        assert_eq!((step, grace), (TELL_OTHERS, TELL_OTHERS + ON_THE_WAY));
        let tells = |secs| session.touch(at(secs), grace) && session.begin_telling(step);
        assert!(!tells(30) && tells(31));
        let idle_end = 31 + 4 * 3600;
        assert_eq!(session.expire(*session.lifetime(), grace, at(idle_end + grace.as_secs() - 1)), None);
        assert!(session.touch(at(idle_end + 1), grace));
        let idle_end = idle_end + 1 + 4 * 3600;
        assert!(!session.touch(at(idle_end + grace.as_secs()), grace));
        assert_eq!(
            session.expire(*session.lifetime(), grace, at(idle_end + grace.as_secs())),
            Some(Why::Idle)
        );
    }

    #[test]
    fn no_touch_moves_the_absolute_end() {
        let session = session();
        for second in 100..140 {
            session.touch(at(second), Duration::ZERO);
        }
        assert_eq!(session.times().last_seen, at(124));
        assert_eq!(session.expire(*session.lifetime(), Duration::ZERO, at(125)), Some(Why::Absolute));
    }

    #[test]
    fn the_first_end_is_the_reason() {
        let session = session();
        assert!(session.end(Why::LoggedOut));
        assert!(!session.end(Why::Administrator));
        assert_eq!(session.expire(*session.lifetime(), Duration::ZERO, at(999)), Some(Why::LoggedOut));
        assert_eq!(session.why_ended(), Some(Why::LoggedOut));
    }

    #[test]
    fn every_reason_survives_being_packed() {
        for why in Why::ALL {
            let session = session();
            assert!(session.end(why));
            assert_eq!((session.why_ended(), session.times().last_seen), (Some(why), at(100)));
        }
    }

    #[test]
    fn the_shorter_limits_hold() {
        let shorter = Lifetime::new(Duration::from_secs(3), Duration::from_secs(20)).unwrap();
        let longer = Lifetime::new(Duration::from_mins(1), Duration::from_mins(1)).unwrap();
        assert_eq!(session().expire(shorter, Duration::ZERO, at(103)), Some(Why::Idle));
        assert_eq!(session().expire(longer, Duration::ZERO, at(103)), None);
        assert_eq!(session().expire(longer, Duration::ZERO, at(110)), Some(Why::Idle));
    }

    #[test]
    fn an_older_version_is_not_taken_over() {
        let (session, other, older) = (session(), session(), session());
        session.adopt(other.tokens(), 5);
        session.adopt(older.tokens(), 4);
        assert_eq!((session.tokens(), session.version()), (other.tokens(), 5));
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
