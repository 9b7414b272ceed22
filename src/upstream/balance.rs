//! Which of an app's servers is asked next: in turn, leaving out those that could not be reached a moment ago. Pure:
//! the state is a counter and a time for each server.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Timestamp;

/// How long a server that refused a connection is left out while others are there to ask.
const REST: Duration = Duration::from_secs(2);

/// The turn-taking of one app's servers, shared by all workers.
#[derive(Debug)]
pub(crate) struct Balance {
    turn: AtomicUsize,
    resting_until: Vec<AtomicU64>,
}

impl Balance {
    pub(crate) fn new(servers: usize) -> Self {
        Self { turn: AtomicUsize::new(0), resting_until: (0..servers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Every server once, in the order to try them: this turn's first, resting ones last.
    pub(crate) fn order(&self, now: Timestamp) -> Vec<usize> {
        let count = self.resting_until.len();
        let first = if count > 1 { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let mut order: Vec<usize> = (0..count).map(|step| (first.wrapping_add(step)) % count).collect();
        order.sort_by_key(|&server| self.is_resting(server, now));
        order
    }

    /// Notes that `server` could not be reached.
    pub(crate) fn rest(&self, server: usize, now: Timestamp) {
        if let Some(until) = self.resting_until.get(server) {
            until.store(now.after(REST).as_millis(), Ordering::Relaxed);
        }
    }

    fn is_resting(&self, server: usize, now: Timestamp) -> bool {
        self.resting_until.get(server).is_some_and(|until| until.load(Ordering::Relaxed) > now.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_take_turns() {
        let balance = Balance::new(3);
        let now = Timestamp::from_millis(0);
        let firsts: Vec<_> = (0..4).map(|_| balance.order(now)[0]).collect();
        assert_eq!(firsts, [0, 1, 2, 0]);
    }

    #[test]
    fn a_server_that_failed_comes_last_until_it_has_rested() {
        let balance = Balance::new(2);
        let now = Timestamp::from_millis(0);
        balance.rest(0, now);
        assert_eq!(balance.order(now), [1, 0]);
        assert_eq!(balance.order(now), [1, 0]);
        assert_eq!(balance.order(now.after(REST)), [0, 1]);
    }
}
