//! What the figures are counted with: a histogram of durations and a table of counts by name.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Upper bounds in microseconds: from a proxied page of a fast app to one that a person gives up on.
const BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// How long things took. Counting is two relaxed additions.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One for each bound, and one for what is above them all.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub(crate) fn add(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// What histograms add up to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durations {
    counts: [u64; BOUNDS.len() + 1],
    micros: u64,
}

impl Durations {
    /// Adds what `histogram` holds now.
    pub(crate) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.counts.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        self.micros = self.micros.wrapping_add(histogram.micros.load(Ordering::Relaxed));
    }

    /// How many there were. The buckets' sum, so that the two can never differ in one reading.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they took together, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        Duration::from_micros(self.micros).as_secs_f64()
    }

    /// Upper bounds in seconds, each with the number of those that fit below it and not below the one before.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64());
        bounds.chain([f64::INFINITY]).zip(self.counts.iter().copied()).collect()
    }
}

/// Counts by name, for what is too rare to matter to anybody's speed. Names come from the code, never from a request.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Vec<(&'static str, u64)>>);

/// At most so many names in one table: every name is a time series in somebody's database.
const NAMES: usize = 64;

impl Tally {
    /// Counts one `name`.
    pub(crate) fn add(&self, name: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts.len() >= NAMES;
        if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == name) {
            *count += 1;
        } else if !full {
            counts.push((name, 1));
        } else if let Some((last, count)) = counts.last_mut() {
            *last = "other";
            *count += 1;
        }
    }

    /// Adds what is counted to `sums`.
    pub(crate) fn add_to(&self, sums: &mut BTreeMap<&'static str, u64>) {
        for (name, count) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            *sums.entry(name).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_below_the_first_bound_that_holds_them() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.add(Duration::ZERO);
        one.add(Duration::from_micros(500));
        one.add(Duration::from_micros(501));
        other.add(Duration::from_secs(10));
        other.add(Duration::from_secs(11));
        let mut sum = Durations::default();
        sum.add(&one);
        sum.add(&other);
        let filled: Vec<(f64, u64)> = sum.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0005, 2), (0.001, 1), (10.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(sum.count(), 5);
        assert!((sum.seconds() - 21.001_001).abs() < 1e-9);
    }

    #[test]
    fn a_tally_counts_by_name_and_never_grows_beyond_its_bound() {
        let tally = Tally::default();
        let names: Vec<&'static str> =
            (0..NAMES + 5).map(|number| &*Box::leak(number.to_string().into_boxed_str())).collect();
        for name in &names {
            tally.add(name);
            tally.add(name);
        }
        let mut sums = BTreeMap::new();
        tally.add_to(&mut sums);
        assert_eq!(sums.len(), NAMES);
        assert_eq!(sums["0"], 2);
        assert_eq!(sums["other"], 12, "the last one's and those of five that found no room");
        assert_eq!(sums.values().sum::<u64>(), names.len() as u64 * 2);
    }
}
