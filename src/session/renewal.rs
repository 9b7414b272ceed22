//! When a token is renewed, how long the old one still works, and what its late use means: pure functions of `now`
//! (RENEW-3 to 5).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::session::tokens::Next;
use crate::session::tokens::Role;

/// The pace of renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A token is renewed when it is this old.
    pub renew_after: Duration,
    /// So long a token works on once the one after it was seen.
    pub overlap: Duration,
    /// A retired token that comes this long after it was retired, or later, is in the wrong hands.
    pub theft_after: Duration,
}

impl Default for Pace {
    /// A quarter of an hour, a minute, ten minutes.
    fn default() -> Self {
        Self {
            renew_after: Duration::from_mins(15),
            overlap: Duration::from_mins(1),
            theft_after: Duration::from_mins(10),
        }
    }
}

/// Whether a token comes from where its session was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// As far as can be told.
    Same,
    /// Another kind of browser, or another network.
    Different,
}

/// What is to be done with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It is good until it is due for renewal, at that time.
    Good {
        /// When to ask again.
        until: Timestamp,
    },
    /// It is good, and old enough to be followed by another.
    Due,
    /// It is good, and this one is to be offered in its place.
    Offer(&'a Next),
    /// It is the one that was offered: from now on it is in force.
    Arrived,
    /// It was replaced a moment ago and is good until then.
    Lingering {
        /// When it will be no more.
        until: Timestamp,
    },
    /// It was replaced and is no longer good.
    Refused,
    /// Its host is closed to the login.
    Closed,
    /// It was replaced so long ago, or comes from somebody so different, that two people hold this session.
    Stolen,
}

/// Judges a token by its role.
pub fn judge<'a>(role: Role<'a>, sender: Sender, pace: &Pace, now: Timestamp) -> Standing<'a> {
    match role {
        Role::Closed => Standing::Closed,
        Role::Next => Standing::Arrived,
        Role::Current { next: Some(next), .. } => Standing::Offer(next),
        Role::Current { issued, next: None } => {
            let until = issued.after(pace.renew_after);
            if now < until { Standing::Good { until } } else { Standing::Due }
        }
        Role::Retired(at) => {
            let until = at.after(pace.overlap);
            if now < until {
                Standing::Lingering { until }
            } else if sender == Sender::Different || now >= at.after(pace.theft_after) {
                Standing::Stolen
            } else {
                Standing::Refused
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        renew_after: Duration::from_mins(15),
        overlap: Duration::from_mins(1),
        theft_after: Duration::from_mins(10),
    };

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn a_token_is_due_at_its_second() {
        let current = Role::Current { issued: at(100), next: None };
        let standing = |secs| judge(current, Sender::Different, &PACE, at(secs));
        assert_eq!(standing(999), Standing::Good { until: at(1000) });
        assert_eq!(standing(1000), Standing::Due);
    }

    #[test]
    fn a_retired_token_lingers_then_is_refused_then_betrays_a_thief() {
        let standing = |sender, secs| judge(Role::Retired(at(100)), sender, &PACE, at(secs));
        for sender in [Sender::Same, Sender::Different] {
            assert_eq!(standing(sender, 159), Standing::Lingering { until: at(160) });
            assert_eq!(standing(sender, 700), Standing::Stolen);
        }
        assert_eq!(standing(Sender::Same, 160), Standing::Refused);
        assert_eq!(standing(Sender::Same, 699), Standing::Refused);
        assert_eq!(standing(Sender::Different, 160), Standing::Stolen);
    }
}
