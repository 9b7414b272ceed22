//! Whether a server is well, by what its health check has said lately. Pure.

use std::time::Duration;

use http::uri::PathAndQuery;

use crate::net::Host;

/// How servers are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for: any answer below 400 means well.
    pub path: PathAndQuery,
    /// The host it is asked of: one that the app answers to.
    pub host: Host,
    /// How often.
    pub interval: Duration,
    /// How long the head of the answer may take, from the first attempt to connect.
    pub timeout: Duration,
    /// So many answers in a row make an ill server well.
    pub healthy_after: u32,
    /// So many failures in a row make it ill.
    pub unhealthy_after: u32,
}

/// What is thought of one server. It is well until its checks have failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    ill: bool,
    /// Checks in a row that spoke against what is thought.
    against: u32,
}

impl Health {
    /// What is thought after a check, and whether that is a change.
    #[must_use]
    pub(crate) fn after(self, well: bool, check: &HealthCheck) -> (Self, bool) {
        if well != self.ill {
            return (Self { against: 0, ..self }, false);
        }
        let against = self.against.saturating_add(1);
        let enough = if self.ill { check.healthy_after } else { check.unhealthy_after };
        if against < enough {
            return (Self { against, ..self }, false);
        }
        (Self { ill: !self.ill, against: 0 }, true)
    }

    pub(crate) const fn is_ill(self) -> bool {
        self.ill
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_row_of_the_same_answers_changes_what_is_thought() {
        let check = HealthCheck {
            path: PathAndQuery::from_static("/"),
            host: Host::parse("app.example").unwrap(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            healthy_after: 2,
            unhealthy_after: 3,
        };
        let mut health = Health::default();
        let mut thought = Vec::new();
        for well in [false, false, true, false, false, false, true, false, true, true, true] {
            let changed;
            (health, changed) = health.after(well, &check);
            thought.push((health.is_ill(), changed));
        }
        let calm = (false, false);
        assert_eq!(thought[..5], [calm; 5]);
        assert_eq!(thought[5..9], [(true, true), (true, false), (true, false), (true, false)]);
        assert_eq!(thought[9..], [(false, true), calm]);
    }
}
