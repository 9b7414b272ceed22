//! Keeps a flood of one kind of event from drowning the others: so many lines a second, then a count (attacks N09).

use crate::clock::Timestamp;
use crate::telemetry::event::Kind;

/// Lines of one limited kind in one second.
pub(crate) const LINES_A_SECOND: u32 = 100;

/// What each kind did in its current second.
#[derive(Debug)]
pub(crate) struct Floods([Window; Kind::ALL.len()]);

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    second: u64,
    written: u32,
    held_back: u64,
}

impl Floods {
    /// Nothing seen yet.
    pub(crate) fn new() -> Self {
        Self([Window::default(); Kind::ALL.len()])
    }

    /// Whether an event of `kind` may be written at `now`; if not, it is counted.
    pub(crate) fn admit(&mut self, kind: Kind, now: Timestamp) -> bool {
        let Some(window) = self.0.get_mut(kind as usize) else {
            return true;
        };
        if !kind.is_limited() {
            return true;
        }
        if window.second != now.as_secs() {
            window.second = now.as_secs();
            window.written = 0;
        }
        let fits = window.written < LINES_A_SECOND;
        if fits {
            window.written += 1;
        } else {
            window.held_back += 1;
        }
        fits
    }

    /// The counts of events held back in seconds that are over, each told once.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Vec<(Kind, u64)> {
        self.0
            .iter_mut()
            .zip(Kind::ALL)
            .filter(|(window, _)| window.held_back > 0 && window.second != now.as_secs())
            .map(|(window, kind)| (kind, std::mem::take(&mut window.held_back)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);
    const LATER: Timestamp = Timestamp::from_millis(1_001_000);

    #[test]
    fn a_limited_kind_is_held_back_after_its_share_and_starts_afresh_next_second() {
        let mut floods = Floods::new();
        let written = (0..1000).filter(|_| floods.admit(Kind::InputRejected, START)).count();
        assert_eq!(written, 100);
        assert_eq!(floods.settle(START), [], "the second is not over");
        assert!(floods.admit(Kind::AuthzFail, START), "another kind has its own share");
        assert_eq!(floods.settle(LATER), [(Kind::InputRejected, 900)]);
        assert_eq!(floods.settle(LATER), [], "told once");
        assert!(floods.admit(Kind::InputRejected, LATER));
    }

    #[test]
    fn logins_and_lives_of_sessions_are_never_held_back() {
        let mut floods = Floods::new();
        for kind in [
            Kind::SessionCreated,
            Kind::SessionExpired,
            Kind::SessionLogout,
            Kind::LoginSuccess,
            Kind::LoginFail,
            Kind::LoginFailMax,
            Kind::LoginLocked,
            Kind::PasswordChange,
            Kind::PasswordChangeFail,
        ] {
            assert!((0..1000).all(|_| floods.admit(kind, START)), "{kind:?}");
        }
    }
}
