//! Which of an app's servers is asked next. The choice is a pure function; the state are a counter and a few figures for
//! each server, shared by all workers.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Timestamp;

/// How long a server that refused a connection is left out while others are there to ask.
const REST: Duration = Duration::from_secs(2);

/// How requests are spread over the servers of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// In turn.
    RoundRobin,
    /// To the one that has the fewest requests under way; in turn among equals.
    LeastConnections,
}

/// The servers of one app.
#[derive(Debug)]
pub(crate) struct Balance {
    how: Balancing,
    turn: AtomicUsize,
    servers: Vec<Server>,
}

#[derive(Debug, Default)]
struct Server {
    resting_until: AtomicU64,
    ill: AtomicBool,
    busy: Arc<AtomicUsize>,
}

/// What is known of a server when it is chosen or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    server: usize,
    /// By its health check.
    ill: bool,
    /// Could not be reached a moment ago.
    resting: bool,
    /// Requests under way.
    busy: usize,
}

/// Counts as a request under way at a server for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Balance {
    pub(crate) fn new(how: Balancing, servers: usize) -> Self {
        let servers = (0..servers).map(|_| Server::default()).collect();
        Self { how, turn: AtomicUsize::new(0), servers }
    }

    /// The server to ask, other than those `tried` already. Ill and resting ones are asked when there is no other:
    /// what is thought of them may be out of date.
    pub(crate) fn pick(&self, tried: &[usize], now: Timestamp) -> Option<usize> {
        if self.servers.len() <= 1 {
            return (tried.is_empty() && !self.servers.is_empty()).then_some(0);
        }
        let turn = if tried.is_empty() {
            self.turn.fetch_add(1, Ordering::Relaxed)
        } else {
            self.turn.load(Ordering::Relaxed)
        };
        let untried = self.servers.iter().enumerate().filter(|(server, _)| !tried.contains(server));
        let candidates = untried.map(|(server, known)| Candidate {
            server,
            ill: known.ill.load(Ordering::Relaxed),
            resting: known.resting_until.load(Ordering::Relaxed) > now.as_millis(),
            busy: known.busy.load(Ordering::Relaxed),
        });
        choose(self.how, candidates, turn % self.servers.len())
    }

    /// Notes a request to `server`.
    pub(crate) fn begin(&self, server: usize) -> Option<Busy> {
        // With one server there is nothing to compare.
        let known = self.servers.get(server).filter(|_| self.servers.len() > 1)?;
        known.busy.fetch_add(1, Ordering::Relaxed);
        Some(Busy(Arc::clone(&known.busy)))
    }

    /// Notes that `server` could not be reached.
    pub(crate) fn rest(&self, server: usize, now: Timestamp) {
        if let Some(known) = self.servers.get(server) {
            known.resting_until.store(now.after(REST).as_millis(), Ordering::Relaxed);
        }
    }

    /// Notes what the health check says of `server`.
    pub(crate) fn set_ill(&self, server: usize, ill: bool) {
        if let Some(known) = self.servers.get(server) {
            known.ill.store(ill, Ordering::Relaxed);
        }
    }

    /// Whether the health check has nothing against `server`.
    pub(crate) fn is_well(&self, server: usize) -> bool {
        self.servers.get(server).is_some_and(|known| !known.ill.load(Ordering::Relaxed))
    }
}

/// The best of the servers: well before resting before ill, then by load where that counts, then the first from
/// `turn` on.
fn choose(how: Balancing, servers: impl Iterator<Item = Candidate>, turn: usize) -> Option<usize> {
    let load = |candidate: &Candidate| match how {
        Balancing::RoundRobin => 0,
        Balancing::LeastConnections => candidate.busy,
    };
    let order = |one: &Candidate| (one.ill, one.resting, load(one), one.server < turn, one.server);
    servers.min_by_key(order).map(|candidate| candidate.server)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn firsts(balance: &Balance, now: Timestamp) -> Vec<usize> {
        (0..4).map(|_| balance.pick(&[], now).unwrap()).collect()
    }

    #[test]
    fn servers_take_turns() {
        assert_eq!(firsts(&Balance::new(Balancing::RoundRobin, 3), NOW), [0, 1, 2, 0]);
        assert_eq!(firsts(&Balance::new(Balancing::LeastConnections, 3), NOW), [0, 1, 2, 0]);
    }

    #[test]
    fn every_server_is_tried_once() {
        for servers in [1, 3] {
            let balance = Balance::new(Balancing::RoundRobin, servers);
            let mut tried = Vec::new();
            while let Some(server) = balance.pick(&tried, NOW) {
                tried.push(server);
            }
            tried.sort_unstable();
            assert_eq!(tried, (0..servers).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_server_that_failed_comes_last_until_it_has_rested() {
        let balance = Balance::new(Balancing::RoundRobin, 2);
        balance.rest(0, NOW);
        assert_eq!(firsts(&balance, NOW), [1, 1, 1, 1]);
        assert_eq!(balance.pick(&[1], NOW), Some(0));
        assert_eq!(firsts(&balance, NOW.after(REST)), [0, 1, 0, 1]);
    }

    #[test]
    fn an_ill_server_is_the_last_resort() {
        let balance = Balance::new(Balancing::RoundRobin, 2);
        balance.set_ill(0, true);
        balance.rest(1, NOW);
        assert_eq!(firsts(&balance, NOW), [1, 1, 1, 1]);
        balance.set_ill(1, true);
        assert_eq!(balance.pick(&[], NOW.after(REST)), Some(0));
        balance.set_ill(1, false);
        assert_eq!((balance.is_well(0), balance.is_well(1)), (false, true));
    }

    #[test]
    fn the_least_busy_server_is_asked_where_that_counts() {
        let balance = Balance::new(Balancing::LeastConnections, 2);
        let long = balance.begin(0);
        assert_eq!(firsts(&balance, NOW), [1, 1, 1, 1]);
        drop(long);
        assert_eq!(firsts(&balance, NOW), [0, 1, 0, 1]);
        let turns = Balance::new(Balancing::RoundRobin, 2);
        let _long = turns.begin(0);
        assert_eq!(firsts(&turns, NOW), [0, 1, 0, 1]);
    }
}
