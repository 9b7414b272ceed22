//! How long a session lives: pure functions of its times, its limits and `now`.

use std::time::Duration;

use crate::clock::Timestamp;

/// A session's limits: ended after `idle` without a request, and `absolute` after the login whatever happens.
///
/// Kept in whole seconds, since every session carries its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    idle_secs: u32,
    absolute_secs: u32,
}

impl Lifetime {
    /// Limits that make sense together: both at least a second, idle no longer than absolute. Parts of a second are
    /// left off.
    pub fn new(idle: Duration, absolute: Duration) -> Option<Self> {
        (idle >= Duration::from_secs(1) && idle <= absolute)
            .then(|| Self { idle_secs: whole_secs(idle), absolute_secs: whole_secs(absolute) })
    }

    /// The idle limit.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_secs.into())
    }

    /// The absolute limit.
    pub fn absolute(&self) -> Duration {
        Duration::from_secs(self.absolute_secs.into())
    }

    /// The shorter of both for each limit: what holds when two have a say.
    #[must_use]
    pub fn shorter(&self, other: &Self) -> Self {
        Self {
            idle_secs: self.idle_secs.min(other.idle_secs),
            absolute_secs: self.absolute_secs.min(other.absolute_secs),
        }
    }

    /// The longer of both for each limit: what bounds what two judge for themselves.
    #[must_use]
    pub fn longer(&self, other: &Self) -> Self {
        Self {
            idle_secs: self.idle_secs.max(other.idle_secs),
            absolute_secs: self.absolute_secs.max(other.absolute_secs),
        }
    }

    /// The same with a longer idle limit.
    #[must_use]
    pub fn idle_longer(&self, by: Duration) -> Self {
        Self { idle_secs: self.idle_secs.saturating_add(whole_secs(by)), ..*self }
    }
}

fn whole_secs(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
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
