//! How long a session lives: pure functions of its times, its limits and `now`.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;

/// A session's limits: ended after `idle` without a request, and `absolute` after the login whatever happens. For
/// `resume` after its idle end it stays locked: it opens nothing, and the same person's next login takes over what it kept.
///
/// Whole seconds, all three in one word, since every session carries its own: 26 bits for each limit, which is two years, and
/// 12 for the window, which is an hour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(u64);

const LIMIT_BITS: u32 = 26;
const WINDOW_BITS: u32 = 12;
const LONGEST_LIMIT: u64 = (1 << LIMIT_BITS) - 1;
const LONGEST_WINDOW: u64 = (1 << WINDOW_BITS) - 1;

impl Lifetime {
    /// The longest that a session may stay locked.
    pub const MAX_RESUME: Duration = Duration::from_hours(1);

    /// Limits that make sense together: both at least a second, idle no longer than absolute. Parts of a second are
    /// left off. Nothing stays locked.
    pub fn new(idle: Duration, absolute: Duration) -> Option<Self> {
        (idle >= Duration::from_secs(1) && idle <= absolute).then(|| Self::of(idle, absolute, Duration::ZERO))
    }

    fn of(idle: Duration, absolute: Duration, resume: Duration) -> Self {
        let [idle, absolute] = [idle, absolute].map(|limit| limit.as_secs().min(LONGEST_LIMIT));
        let resume = resume.as_secs().min(LONGEST_WINDOW);
        Self((idle << LIMIT_BITS | absolute) << WINDOW_BITS | resume)
    }

    /// The same, locked for so long after the idle end.
    #[must_use]
    pub fn resumable_for(self, window: Duration) -> Self {
        Self::of(self.idle(), self.absolute(), window.min(Self::MAX_RESUME))
    }

    /// The idle limit.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.0 >> (LIMIT_BITS + WINDOW_BITS))
    }

    /// The absolute limit.
    pub fn absolute(&self) -> Duration {
        Duration::from_secs(self.0 >> WINDOW_BITS & LONGEST_LIMIT)
    }

    /// How long a session stays locked after its idle end.
    pub fn resume(&self) -> Duration {
        Duration::from_secs(self.0 & LONGEST_WINDOW)
    }

    /// The shorter of both for each limit: what holds when two have a say.
    #[must_use]
    pub fn shorter(&self, other: &Self) -> Self {
        Self::of(
            self.idle().min(other.idle()),
            self.absolute().min(other.absolute()),
            self.resume().min(other.resume()),
        )
    }

    /// The longer of both for each limit: what bounds what two judge for themselves.
    #[must_use]
    pub fn longer(&self, other: &Self) -> Self {
        Self::of(
            self.idle().max(other.idle()),
            self.absolute().max(other.absolute()),
            self.resume().max(other.resume()),
        )
    }

    /// The same with a longer idle limit.
    #[must_use]
    pub fn idle_longer(&self, by: Duration) -> Self {
        Self::of(self.idle() + by, self.absolute(), self.resume())
    }
}

impl fmt::Debug for Lifetime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (idle, absolute, resume) = (self.idle(), self.absolute(), self.resume());
        write!(formatter, "Lifetime {{ idle: {idle:?}, absolute: {absolute:?}, resume: {resume:?} }}")
    }
}

/// The moments a session is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The login. Nothing moves it.
    pub began: Timestamp,
    /// The last request of the person.
    pub last_seen: Timestamp,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nobody used it for too long.
    Idle,
    /// The login is too long ago.
    Absolute,
    /// The person logged out.
    LoggedOut,
    /// Somebody logged in anew in the same browser.
    Replaced,
    /// The account is gone or disabled, or its password has changed.
    UserRemoved,
    /// An administrator ended it.
    Administrator,
    /// The same user logged in so often elsewhere that the oldest session had to go.
    TooMany,
    /// Two people held it.
    Stolen,
    /// Its user ended it from another browser.
    EndedElsewhere,
    /// Another gateway ended it, and told the reason itself.
    OtherGateway,
    /// What it kept of the apps cannot be opened.
    VaultLost,
    /// Perhaps not over at all: this gateway does not hear from the others whether it is, and has let its copy go.
    NotHeard,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Idle,
        Self::Absolute,
        Self::LoggedOut,
        Self::Replaced,
        Self::UserRemoved,
        Self::Administrator,
        Self::TooMany,
        Self::Stolen,
        Self::EndedElsewhere,
        Self::OtherGateway,
        Self::NotHeard,
        Self::VaultLost,
    ];

    /// The reason that this word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == word)
    }

    /// The reason as one word of a log line or an address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Absolute => "absolute",
            Self::LoggedOut => "logged_out",
            Self::Replaced => "replaced",
            Self::UserRemoved => "user_removed",
            Self::Administrator => "administrator",
            Self::TooMany => "too_many",
            Self::Stolen => "stolen",
            Self::EndedElsewhere => "ended_elsewhere",
            Self::OtherGateway => "other_gateway",
            Self::VaultLost => "vault_lost",
            Self::NotHeard => "not_heard",
        }
    }
}

/// What the clock says about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is within its limits.
    Active,
    /// It has reached one.
    Ended(Why),
}

/// So much later than the present a session's moments may be: the clocks of gateways that share it differ a little.
const SKEW: Duration = Duration::from_mins(1);

/// Judges a session. Where both limits are passed, the one that was reached first is the reason. A session of the future
/// began under a clock that was wrong: nobody knows how old it is, and it must not outlive its limits by that.
pub fn verdict(times: &Times, lifetime: &Lifetime, now: Timestamp) -> Verdict {
    let latest = now.after(SKEW);
    if times.began > latest {
        return Verdict::Ended(Why::Absolute);
    }
    if times.last_seen > latest {
        return Verdict::Ended(Why::Idle);
    }
    let idle_end = times.last_seen.after(lifetime.idle());
    let absolute_end = times.began.after(lifetime.absolute());
    if now < idle_end.min(absolute_end) {
        Verdict::Active
    } else if absolute_end <= idle_end {
        Verdict::Ended(Why::Absolute)
    } else {
        Verdict::Ended(Why::Idle)
    }
}

/// Until when a session that has idled out stays locked. Its absolute limit is not moved by that.
pub fn locked_until(times: &Times, lifetime: &Lifetime) -> Timestamp {
    let window_end = times.last_seen.after(lifetime.idle()).after(lifetime.resume());
    window_end.min(times.began.after(lifetime.absolute()))
}

/// Whether what an idle session keeps may go over to the same person's next login at `now`. A session that lives needs
/// no such thing, and one of the future is over for good.
pub fn is_resumable(times: &Times, lifetime: &Lifetime, now: Timestamp) -> bool {
    verdict(times, lifetime, now) == Verdict::Ended(Why::Idle)
        && times.last_seen <= now.after(SKEW)
        && now < locked_until(times, lifetime)
}

/// How long a session still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// If nobody uses it; never more than `absolute`.
    pub idle: Duration,
    /// Whatever happens.
    pub absolute: Duration,
}

/// How long a session still has; zero for one that is over.
pub fn remaining(times: &Times, lifetime: &Lifetime, now: Timestamp) -> Remaining {
    let absolute = times.began.after(lifetime.absolute()).since(now);
    let idle = times.last_seen.after(lifetime.idle()).since(now);
    Remaining { idle: idle.min(absolute), absolute }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;

    fn minutes(idle: u64, absolute: u64) -> Lifetime {
        Lifetime::new(Duration::from_mins(idle), Duration::from_mins(absolute)).unwrap()
    }

    fn check(began: u64, last_seen: u64, now: u64, expected: Verdict) {
        let times =
            Times { began: Timestamp::from_millis(began), last_seen: Timestamp::from_millis(last_seen) };
        let found = verdict(&times, &minutes(30, 8 * 60), Timestamp::from_millis(now));
        assert_eq!(found, expected, "began {began}, seen {last_seen}, now {now}");
    }

    #[test]
    fn each_limit_ends_a_session_at_its_millisecond() {
        check(0, 0, 30 * MINUTE - 1, Verdict::Active);
        check(0, 0, 30 * MINUTE, Verdict::Ended(Why::Idle));
        check(0, 8 * HOUR - 1, 8 * HOUR - 1, Verdict::Active);
        check(0, 8 * HOUR - 1, 8 * HOUR, Verdict::Ended(Why::Absolute));
    }

    #[test]
    fn a_session_of_the_future_is_over() {
        check(HOUR + MINUTE, HOUR + MINUTE, HOUR, Verdict::Active);
        check(HOUR + MINUTE + 1, HOUR + MINUTE + 1, HOUR, Verdict::Ended(Why::Absolute));
        check(HOUR, HOUR + MINUTE + 1, HOUR, Verdict::Ended(Why::Idle));
    }

    #[test]
    fn the_limit_that_came_first_is_the_reason() {
        check(0, 0, 9 * HOUR, Verdict::Ended(Why::Idle));
        check(0, 8 * HOUR - 10 * MINUTE, 9 * HOUR, Verdict::Ended(Why::Absolute));
        check(0, 8 * HOUR - 30 * MINUTE, 8 * HOUR, Verdict::Ended(Why::Absolute));
    }

    #[test]
    fn no_clock_makes_a_verdict_wrap_around() {
        check(u64::MAX, u64::MAX, 0, Verdict::Ended(Why::Absolute));
        check(0, 0, u64::MAX, Verdict::Ended(Why::Idle));
        check(u64::MAX - 1, u64::MAX - 1, u64::MAX, Verdict::Ended(Why::Absolute));
        // Beyond 2038 (32-bit seconds) and a session that was seen before it began.
        check(1 << 42, 1 << 42, (1 << 42) + MINUTE, Verdict::Active);
        check(HOUR, 0, HOUR, Verdict::Ended(Why::Idle));
    }

    #[test]
    fn what_remains_is_bounded_by_the_absolute_end_and_never_negative() {
        let at =
            |millis| Times { began: Timestamp::from_millis(0), last_seen: Timestamp::from_millis(millis) };
        let left = |seen, now| remaining(&at(seen), &minutes(30, 60), Timestamp::from_millis(now));
        let expected = |idle, absolute| Remaining {
            idle: Duration::from_mins(idle),
            absolute: Duration::from_mins(absolute),
        };
        assert_eq!(left(0, 0), expected(30, 60));
        assert_eq!(left(50 * MINUTE, 50 * MINUTE), expected(10, 10));
        assert_eq!(left(0, 2 * HOUR), expected(0, 0));
    }

    #[test]
    fn an_idle_session_can_be_resumed_for_its_window_and_never_beyond_its_absolute_end() {
        let resumable = |began, last_seen, now| {
            let at = Timestamp::from_millis;
            let times = Times { began: at(began), last_seen: at(last_seen) };
            is_resumable(&times, &minutes(30, 8 * 60).resumable_for(Duration::from_mins(10)), at(now))
        };
        assert!(!resumable(0, 0, 30 * MINUTE - 1), "it lives");
        assert!(resumable(0, 0, 30 * MINUTE) && resumable(0, 0, 40 * MINUTE - 1));
        assert!(!resumable(0, 0, 40 * MINUTE), "the window is over");
        let late = 8 * HOUR - 35 * MINUTE;
        assert!(
            resumable(0, late, 8 * HOUR - 1) && !resumable(0, late, 8 * HOUR),
            "the absolute end is passed"
        );
        assert!(!resumable(HOUR, 0, 0), "it is of the future");
        assert!(!resumable(0, 2 * HOUR, HOUR), "it was seen in the future");
        let none = Times { began: Timestamp::from_millis(0), last_seen: Timestamp::from_millis(0) };
        assert!(!is_resumable(&none, &minutes(30, 60), Timestamp::from_millis(30 * MINUTE)));
    }

    #[test]
    fn limits_that_contradict_each_other_do_not_exist() {
        let lifetime =
            |idle, absolute| Lifetime::new(Duration::from_millis(idle), Duration::from_millis(absolute));
        assert!(lifetime(999, 2000).is_none());
        assert!(lifetime(2000, 1999).is_none());
        assert_eq!(lifetime(1999, 1999).unwrap().idle(), Duration::from_secs(1));
        assert!(Lifetime::new(Duration::MAX, Duration::MAX).is_some());
        assert_eq!(minutes(10, 90).shorter(&minutes(20, 60)), minutes(10, 60));
        assert_eq!(minutes(10, 90).longer(&minutes(20, 60)), minutes(20, 90));
    }
}
