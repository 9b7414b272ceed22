//! How long a session lives: pure functions of its times, its limits and `now`.

use std::time::Duration;

/// A session's limits: ended after `idle` without a request, and `absolute` after the login whatever happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    idle: Duration,
    absolute: Duration,
}

impl Lifetime {
    /// Limits that make sense together: both at least a second, idle no longer than absolute.
    pub fn new(idle: Duration, absolute: Duration) -> Option<Self> {
        (idle >= Duration::from_secs(1) && idle <= absolute).then_some(Self { idle, absolute })
    }

    /// The idle limit.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// The absolute limit.
    pub fn absolute(&self) -> Duration {
        self.absolute
    }
}
