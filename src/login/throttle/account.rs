//! The failures of one account, by how its name was spelt: bounded, whatever spellings are made up.

use crate::clock::Timestamp;

/// So many spellings of an account's name are told apart, the ones that failed last. What more there were is taken back by
/// no success.
const MOST_SPELLINGS: usize = 4;

/// Failures in a row, and when the last one was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) failures: u32,
    pub(super) last: Timestamp,
}

impl Run {
    fn and(self, other: Self) -> Self {
        Self { failures: self.failures.saturating_add(other.failures), last: self.last.max(other.last) }
    }
}

/// The failures of an account: at least one.
#[derive(Debug, Default)]
pub(super) struct AccountCount {
    /// By spelling, the one that failed last at the end; at most [`MOST_SPELLINGS`].
    spelt: Vec<([u8; 32], Run)>,
    /// Those of further spellings.
    others: Option<Run>,
}

impl AccountCount {
    /// All of them; nothing if there are none.
    pub(super) fn run(&self) -> Option<Run> {
        self.spelt.iter().map(|(_, run)| *run).chain(self.others).reduce(Run::and)
    }

    /// Counts a failure.
    pub(super) fn fail(&mut self, spelling: [u8; 32], now: Timestamp) {
        let failed = Run { failures: 1, last: now };
        let run = self.take(spelling).map_or(failed, |run| run.and(failed));
        if self.spelt.len() >= MOST_SPELLINGS {
            let (_, oldest) = self.spelt.remove(0);
            self.others = Some(self.others.map_or(oldest, |others| others.and(oldest)));
        }
        self.spelt.push((spelling, run));
    }

    /// Takes one failure of a spelling back.
    pub(super) fn give_back(&mut self, spelling: [u8; 32]) {
        if let Some(at) = self.spelt.iter().position(|(known, _)| *known == spelling)
            && let Some((_, run)) = self.spelt.get_mut(at)
        {
            run.failures = run.failures.saturating_sub(1);
            if run.failures == 0 {
                self.spelt.remove(at);
            }
        }
    }

    /// Takes all failures of a spelling back.
    pub(super) fn forgive(&mut self, spelling: [u8; 32]) {
        self.spelt.retain(|(known, _)| *known != spelling);
    }

    fn take(&mut self, spelling: [u8; 32]) -> Option<Run> {
        let at = self.spelt.iter().position(|(known, _)| *known == spelling)?;
        Some(self.spelt.remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn made_up_spellings_take_no_more_room_and_count_all_the_same() {
        let mut count = AccountCount::default();
        for n in 0..20 {
            count.fail([n; 32], at(n.into()));
        }
        let all = |count: &AccountCount| count.run().map(|run| (run.failures, run.last));
        assert_eq!((count.spelt.len(), all(&count)), (MOST_SPELLINGS, Some((20, at(19)))));
        for n in 0..20 {
            count.forgive([n; 32]);
        }
        assert_eq!(all(&count), Some((16, at(15))));
    }

    #[test]
    fn what_is_given_back_is_of_its_own_spelling() {
        let mut count = AccountCount::default();
        for spelling in [[1; 32], [2; 32], [1; 32]] {
            count.fail(spelling, at(1));
        }
        for _ in 0..3 {
            count.give_back([1; 32]);
        }
        assert_eq!(count.run().map(|run| run.failures), Some(1));
        count.give_back([2; 32]);
        assert!(count.run().is_none());
    }
}
