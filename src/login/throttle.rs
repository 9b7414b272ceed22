//! How guessing passwords is slowed down: pure state, with `now` as an argument.
//!
//! Two counts are kept. An *account* has a few failures free, then a wait that doubles, then a stop until an
//! administrator resets it (SP 800-63B §3.2.2: no more than 100 in a row). A *network* has so many failures in a span of
//! time, over all accounts. Each attempt counts as a failure from the moment it begins until it proves otherwise, so
//! that a hundred guesses sent at once are a hundred guesses. Names nobody has are counted like all others.
//!
//! Where several spellings of a name count as one account, a success takes back the failures of its own spelling and no
//! other: to an app that tells them apart the others are another person, and may be the one whose password is guessed.

mod account;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::crypto::sha256;
use crate::login::Attempts;
use crate::login::cookies::Device;
use crate::login::throttle::account::AccountCount;
use crate::net::ClientAddr;

/// Failures in a row after which nothing but a reset helps (SP 800-63B §3.2.2).
pub(crate) const HARD_STOP: u32 = 100;

/// The longest wait.
const LONGEST: Duration = Duration::from_hours(1);

/// So many accounts, and so many networks, are remembered. When more fail, those whose last failure is longest ago are
/// forgotten: to erase one account's count an attacker must fail this often elsewhere.
const CAPACITY: usize = 65_536;

/// Whose failures are counted together: an account, on a device its owner used before or on all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    account: [u8; 32],
    device: Option<Device>,
}

/// Whose attempt it is, and how they have spelt their name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    key: Key,
    spelling: [u8; 32],
}

impl Subject {
    /// The account of this name, whether there is one or not. Hashed, so that long names cost no more than short ones.
    pub(crate) fn new(name: &str, device: Option<Device>) -> Self {
        Self::spelt(name, name, device)
    }

    /// An account whose name has other spellings beside this one.
    pub(crate) fn spelt(account: &str, spelling: &str, device: Option<Device>) -> Self {
        let key = Key { account: sha256(account.as_bytes()), device };
        Self { key, spelling: sha256(spelling.as_bytes()) }
    }
}

/// Why an attempt may not even begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The account waits for so long.
    Account(Duration),
    /// The account is stopped until it is reset.
    Stopped,
    /// The network waits for so long.
    Network(Duration),
}

/// An attempt that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// Nothing: nobody knows whose account it was for.
    subject: Option<Subject>,
    network: Option<IpAddr>,
    /// Failures in a row, this one included should it fail.
    pub(crate) failures: u32,
}

#[derive(Clone, Copy, Debug)]
struct NetworkCount {
    failures: u32,
    since: Timestamp,
}

/// All counts.
#[derive(Debug)]
pub(crate) struct Throttle {
    limits: Attempts,
    accounts: BTreeMap<Key, AccountCount>,
    networks: BTreeMap<IpAddr, NetworkCount>,
}

impl Throttle {
    /// Nothing has failed yet.
    pub(crate) fn new(limits: Attempts) -> Self {
        Self { limits, accounts: BTreeMap::new(), networks: BTreeMap::new() }
    }

    /// Begins an attempt. A known device is not held up by its network: its own count is strict enough, and the
    /// owner must get in although somebody beside them is guessing.
    pub(crate) fn begin(
        &mut self,
        subject: Subject,
        client: ClientAddr,
        now: Timestamp,
    ) -> Result<Attempt, Refused> {
        let network = subject.key.device.is_none().then(|| client.network());
        if let Some(wait) = network.and_then(|network| self.network_wait(network, now)) {
            return Err(Refused::Network(wait));
        }
        let failures = match self.accounts.get(&subject.key).and_then(AccountCount::run) {
            Some(run) if run.failures >= HARD_STOP => return Err(Refused::Stopped),
            Some(run) => {
                let wait = self.delay(run.failures).saturating_sub(now.since(run.last));
                if !wait.is_zero() {
                    return Err(Refused::Account(wait));
                }
                run.failures + 1
            }
            None => 1,
        };
        self.accounts.entry(subject.key).or_default().fail(subject.spelling, now);
        if let Some(network) = network {
            self.count_network(network, now);
        }
        self.forget_the_oldest();
        Ok(Attempt { subject: Some(subject), network, failures })
    }

    /// Begins an attempt that names no account: it counts for its network alone.
    pub(crate) fn begin_unnamed(&mut self, client: ClientAddr, now: Timestamp) -> Result<Attempt, Refused> {
        let network = client.network();
        if let Some(wait) = self.network_wait(network, now) {
            return Err(Refused::Network(wait));
        }
        self.count_network(network, now);
        self.forget_the_oldest();
        Ok(Attempt { subject: None, network: Some(network), failures: 1 })
    }

    /// The password was right: the account's counts begin anew for this spelling, the network gets its attempt back. Not
    /// more than that, or an attacker with an account of their own would wash their network clean with it, or an account
    /// whose name differs in letters alone.
    pub(crate) fn succeeded(&mut self, attempt: &Attempt) {
        if let Some(Subject { key, spelling }) = attempt.subject {
            for key in [key, Key { device: None, ..key }] {
                self.update(key, |count| count.forgive(spelling));
            }
        }
        self.give_back_network(attempt);
    }

    /// The attempt was never judged (no free hasher, say), so it counts for nothing.
    pub(crate) fn give_back(&mut self, attempt: &Attempt) {
        if let Some(Subject { key, spelling }) = attempt.subject {
            self.update(key, |count| count.give_back(spelling));
        }
        self.give_back_network(attempt);
    }

    /// An administrator gave the account a new password: all its counts begin anew.
    pub(crate) fn reset(&mut self, name: &str) {
        let account = Subject::new(name, None).key.account;
        self.accounts.retain(|key, _| key.account != account);
    }

    /// How long after the last of `failures` in a row the next attempt may begin.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.limits.per_account) {
            None => Duration::ZERO,
            Some(more) => Duration::from_secs(1_u64.checked_shl(more).unwrap_or(u64::MAX)).min(LONGEST),
        }
    }

    fn update(&mut self, key: Key, change: impl FnOnce(&mut AccountCount)) {
        if let Entry::Occupied(mut entry) = self.accounts.entry(key) {
            change(entry.get_mut());
            if entry.get().run().is_none() {
                entry.remove();
            }
        }
    }

    fn network_wait(&mut self, network: IpAddr, now: Timestamp) -> Option<Duration> {
        let count = self.networks.get(&network)?;
        let left = self.limits.per_address_window.saturating_sub(now.since(count.since));
        if left.is_zero() {
            self.networks.remove(&network);
            return None;
        }
        (count.failures >= self.limits.per_address).then_some(left)
    }

    fn count_network(&mut self, network: IpAddr, now: Timestamp) {
        let fresh = NetworkCount { failures: 0, since: now };
        self.networks.entry(network).or_insert(fresh).failures += 1;
    }

    fn give_back_network(&mut self, attempt: &Attempt) {
        let count = attempt.network.and_then(|network| self.networks.get_mut(&network));
        if let Some(count) = count {
            count.failures = count.failures.saturating_sub(1);
        }
    }

    fn forget_the_oldest(&mut self) {
        // An eighth at a time, so that a flood of names pays for the sorting only now and then.
        if self.accounts.len() > CAPACITY {
            let last = |count: &AccountCount| count.run().map(|run| run.last);
            let oldest = eighth_oldest(self.accounts.values().filter_map(last));
            self.accounts.retain(|_, count| last(count) > Some(oldest));
        }
        if self.networks.len() > CAPACITY {
            let oldest = eighth_oldest(self.networks.values().map(|count| count.since));
            self.networks.retain(|_, count| count.since > oldest);
        }
    }
}

/// The point up to which an eighth of `times` lies.
fn eighth_oldest(times: impl Iterator<Item = Timestamp>) -> Timestamp {
    let mut times: Vec<Timestamp> = times.collect();
    let eighth = times.len() / 8;
    if times.is_empty() {
        return Timestamp::from_millis(0);
    }
    *times.select_nth_unstable(eighth).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Attempts =
        Attempts { per_account: 5, per_address: 30, per_address_window: Duration::from_mins(15) };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn client(number: u32) -> ClientAddr {
        ClientAddr(IpAddr::V4(number.into()))
    }

    fn device(headers: &str) -> Device {
        use crate::crypto::Key;
        use crate::identity::user::UserName;
        use crate::login::cookies::Devices;
        let devices = Devices::new(&Key::from_bytes([1; 32]).into());
        let name = UserName::parse(headers).unwrap();
        let set = devices.remember(&name).unwrap();
        let mut map = http::HeaderMap::new();
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        map.insert("cookie", pair.parse().unwrap());
        devices.known(&map, &name).unwrap()
    }

    #[test]
    fn five_failures_are_free_then_the_wait_doubles_to_an_hour() {
        let throttle = Throttle::new(LIMITS);
        let table = [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (16, 2048), (17, 3600), (99, 3600)];
        for (failures, seconds) in table {
            assert_eq!(throttle.delay(failures), Duration::from_secs(seconds), "after {failures}");
        }
    }

    #[test]
    fn an_account_waits_after_its_fifth_failure_and_not_longer() {
        let mut throttle = Throttle::new(LIMITS);
        let subject = Subject::new("alice", None);
        for n in 0..5 {
            assert!(throttle.begin(subject, client(n), at(10)).is_ok());
        }
        let refused = throttle.begin(subject, client(9), at(10)).unwrap_err();
        assert_eq!(refused, Refused::Account(Duration::from_secs(1)));
        assert_eq!(throttle.begin(subject, client(9), at(11)).unwrap().failures, 6);
        let refused = throttle.begin(subject, client(9), at(12)).unwrap_err();
        assert_eq!(refused, Refused::Account(Duration::from_secs(1)));
        assert!(throttle.begin(Subject::new("bob", None), client(9), at(12)).is_ok());
    }

    #[test]
    fn guesses_sent_at_once_count_before_any_is_judged() {
        let mut throttle = Throttle::new(LIMITS);
        let subject = Subject::new("alice", None);
        let begun = (0..100).filter(|n| throttle.begin(subject, client(*n), at(0)).is_ok()).count();
        assert_eq!(begun, 5);
    }

    #[test]
    fn the_hundred_and_first_attempt_is_refused_until_a_reset() {
        let mut throttle = Throttle::new(LIMITS);
        let subject = Subject::new("alice", None);
        for n in 0..100_u32 {
            let now = at(u64::from(n) * 3601);
            assert!(throttle.begin(subject, client(n), now).is_ok(), "attempt {n}");
        }
        let year = at(365 * 24 * 3600);
        assert_eq!(throttle.begin(subject, client(7), year).unwrap_err(), Refused::Stopped);
        throttle.reset("alice");
        assert_eq!(throttle.begin(subject, client(7), year).unwrap().failures, 1);
    }

    #[test]
    fn success_clears_the_account_and_gives_the_network_one_back() {
        let mut throttle = Throttle::new(Attempts { per_address: 3, ..LIMITS });
        let subject = Subject::new("alice", None);
        assert!(throttle.begin(subject, client(1), at(0)).is_ok());
        assert!(throttle.begin(subject, client(1), at(0)).is_ok());
        let third = throttle.begin(subject, client(1), at(0)).unwrap();
        throttle.succeeded(&third);
        let fourth = throttle.begin(subject, client(1), at(0)).unwrap();
        assert_eq!(fourth.failures, 1);
        assert!(matches!(throttle.begin(subject, client(1), at(0)), Err(Refused::Network(_))));
    }

    fn spelt(spelling: &str) -> Subject {
        Subject::spelt("alice", spelling, None)
    }

    #[test]
    fn a_success_takes_back_the_failures_of_its_own_spelling_alone() {
        let mut throttle = Throttle::new(LIMITS);
        for spelling in ["alice", "Alice", "alice"] {
            throttle.begin(spelt(spelling), client(1), at(10)).unwrap();
        }
        let own = throttle.begin(spelt("Alice"), client(1), at(20)).unwrap();
        assert_eq!(own.failures, 4);
        throttle.succeeded(&own);
        assert_eq!(throttle.begin(spelt("alice"), client(1), at(30)).unwrap().failures, 3);
        for n in 4..=6 {
            let own = throttle.begin(spelt("Alice"), client(1), at(30 + n)).unwrap();
            assert_eq!(own.failures, 4);
            throttle.succeeded(&own);
        }
        let theirs = throttle.begin(spelt("alice"), client(1), at(40)).unwrap();
        throttle.succeeded(&theirs);
        assert!(throttle.accounts.is_empty());
    }

    #[test]
    fn a_success_leaves_no_wait_behind_but_that_of_the_last_failure() {
        let mut throttle = Throttle::new(LIMITS);
        for _ in 0..5 {
            throttle.begin(spelt("ALICE"), client(1), at(10)).unwrap();
        }
        let own = throttle.begin(spelt("alice"), client(2), at(11)).unwrap();
        throttle.succeeded(&own);
        assert_eq!(throttle.begin(spelt("alice"), client(2), at(11)).unwrap().failures, 6);
    }

    #[test]
    fn with_an_account_of_ones_own_nobody_guesses_more_at_another() {
        let mut throttle = Throttle::new(LIMITS);
        let mut guesses = 0;
        for n in 0..1000 {
            guesses += usize::from(throttle.begin(spelt("alice"), client(n), at(10)).is_ok());
            if let Ok(own) = throttle.begin(spelt("Alice"), client(n), at(10)) {
                throttle.succeeded(&own);
            }
        }
        assert_eq!(guesses, 5);
    }

    #[test]
    fn spellings_beyond_the_most_are_counted_and_taken_back_by_nobody() {
        let mut throttle = Throttle::new(Attempts { per_account: 1000, per_address: 1000, ..LIMITS });
        for n in 0..20 {
            throttle.begin(spelt(&format!("spelling {n}")), client(1), at(n)).unwrap();
        }
        for n in 0..20 {
            let own = throttle.begin(spelt(&format!("spelling {n}")), client(1), at(20)).unwrap();
            throttle.succeeded(&own);
        }
        let left = throttle.begin(spelt("alice"), client(1), at(21)).unwrap();
        assert!(left.failures > 16, "{}", left.failures);
        throttle.reset("alice");
        assert!(throttle.accounts.is_empty());
    }

    #[test]
    fn a_success_on_a_known_device_takes_back_what_was_spelt_so_elsewhere() {
        let mut throttle = Throttle::new(LIMITS);
        for n in 0..100_u32 {
            throttle.begin(spelt("alice"), client(1), at(u64::from(n) * 3601)).unwrap();
        }
        let owner = Subject::spelt("alice", "alice", Some(device("alice")));
        let attempt = throttle.begin(owner, client(1), at(400_000)).unwrap();
        throttle.succeeded(&attempt);
        assert!(throttle.accounts.is_empty());
    }

    #[test]
    fn an_unjudged_attempt_counts_for_nothing() {
        let mut throttle = Throttle::new(LIMITS);
        let subject = Subject::new("alice", None);
        for _ in 0..200 {
            let attempt = throttle.begin(subject, client(1), at(0)).unwrap();
            throttle.give_back(&attempt);
        }
        assert_eq!(throttle.begin(subject, client(1), at(0)).unwrap().failures, 1);
    }

    #[test]
    fn a_network_is_stopped_over_all_accounts_for_the_rest_of_its_window() {
        let mut throttle = Throttle::new(LIMITS);
        for n in 0..30 {
            let subject = Subject::new(&format!("user{n}"), None);
            assert!(throttle.begin(subject, client(1), at(60)).is_ok());
        }
        let next = Subject::new("next", None);
        assert_eq!(
            throttle.begin(next, client(1), at(120)).unwrap_err(),
            Refused::Network(Duration::from_mins(14))
        );
        assert!(throttle.begin(next, client(2), at(120)).is_ok());
        assert!(throttle.begin(next, client(1), at(60 + 15 * 60)).is_ok());
    }

    #[test]
    fn an_attempt_without_a_name_counts_for_its_network_alone() {
        let mut throttle = Throttle::new(Attempts { per_address: 3, ..LIMITS });
        for _ in 0..3 {
            let unnamed = throttle.begin_unnamed(client(1), at(0)).unwrap();
            throttle.give_back(&unnamed);
            throttle.begin_unnamed(client(1), at(0)).unwrap();
        }
        assert!(throttle.accounts.is_empty());
        assert!(matches!(throttle.begin_unnamed(client(1), at(0)), Err(Refused::Network(_))));
        assert!(matches!(
            throttle.begin(Subject::new("ada", None), client(1), at(0)),
            Err(Refused::Network(_))
        ));
        assert!(throttle.begin_unnamed(client(2), at(0)).is_ok());
    }

    #[test]
    fn the_owner_gets_in_on_a_known_device_whatever_others_do() {
        let mut throttle = Throttle::new(LIMITS);
        let attacker = Subject::new("alice", None);
        for n in 0..100_u32 {
            let now = at(u64::from(n) * 3601);
            assert!(throttle.begin(attacker, client(1), now).is_ok());
        }
        let owner = Subject::new("alice", Some(device("alice")));
        let attempt = throttle.begin(owner, client(1), at(400_000)).unwrap();
        assert_eq!(attempt.failures, 1);
    }

    #[test]
    fn memory_is_bounded_and_the_freshest_counts_survive() {
        let mut throttle = Throttle::new(LIMITS);
        let total = CAPACITY + 10;
        for n in 0..total {
            let client = client(u32::try_from(n).unwrap());
            let subject = Subject::new(&n.to_string(), None);
            assert!(throttle.begin(subject, client, at(n as u64)).is_ok());
        }
        assert!(throttle.accounts.len() <= CAPACITY && throttle.networks.len() <= CAPACITY);
        let last = Subject::new(&(total - 1).to_string(), None);
        assert!(throttle.accounts.contains_key(&last.key));
        assert!(!throttle.accounts.contains_key(&Subject::new("0", None).key));
    }
}
