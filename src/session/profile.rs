//! Profiles: how much is at stake, as a name that sets the clocks and bounds them (standards LIFE-5).

use std::time::Duration;

/// What a site asks of its sessions, in one word. A profile can be tightened, never loosened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Authentication assurance level 2 of NIST SP 800-63B-4.
    Aal2,
    /// Its level 3.
    Aal3,
    /// What nobody may find open on somebody's desk: "high-value applications" of OWASP's Session Management Cheat Sheet.
    Critical,
}

/// An idle and an absolute limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Since the last use.
    pub idle: Duration,
    /// Since the login.
    pub absolute: Duration,
}

impl Clocks {
    const fn minutes(idle: u64, absolute: u64) -> Self {
        Self { idle: Duration::from_mins(idle), absolute: Duration::from_mins(absolute) }
    }
}

impl Profile {
    /// The clocks where nothing else is written.
    pub const fn clocks(self) -> Clocks {
        match self {
            Self::Aal2 => Clocks::minutes(30, 24 * 60),
            Self::Aal3 => Clocks::minutes(15, 8 * 60),
            Self::Critical => Clocks::minutes(5, 8 * 60),
        }
    }

    /// The longest that may be written.
    pub const fn longest(self) -> Clocks {
        match self {
            Self::Aal2 => Clocks::minutes(60, 24 * 60),
            Self::Aal3 => Clocks::minutes(15, 12 * 60),
            Self::Critical => Clocks::minutes(5, 8 * 60),
        }
    }

    /// Whether what a session kept may outlive its idle end: where most is at stake it is gone at once (ASVS 14.3.1).
    pub const fn resumes(self) -> bool {
        match self {
            Self::Aal2 => true,
            Self::Aal3 | Self::Critical => false,
        }
    }

    /// Where the limits are written.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Aal2 => "NIST SP 800-63B-4 §2.2.3",
            Self::Aal3 => "NIST SP 800-63B-4 §2.3.3",
            Self::Critical => "OWASP Session Management Cheat Sheet, Session Expiration",
        }
    }

    /// Which clause asks for a second factor at the login; nothing where one is enough. A session never ranks above its
    /// login.
    pub const fn second_factor(self) -> Option<&'static str> {
        match self {
            Self::Aal2 => Some("NIST SP 800-63B-4 §2.2.1"),
            Self::Aal3 => Some("NIST SP 800-63B-4 §2.3.1"),
            Self::Critical => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_profile_sets_clocks_that_it_would_refuse() {
        for profile in [Profile::Aal2, Profile::Aal3, Profile::Critical] {
            let (sets, longest) = (profile.clocks(), profile.longest());
            assert!(sets.idle <= longest.idle && sets.absolute <= longest.absolute, "{profile:?}");
            // People can go on ten times before the absolute limit (WCAG 2.2.1).
            assert!(sets.absolute >= sets.idle * 11, "{profile:?}");
        }
    }
}
