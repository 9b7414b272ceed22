//! The gateway's resident memory over time, and whether it grows.

#![expect(
    clippy::cast_precision_loss,
    reason = "kibibytes of one process, and places in a list, are far below 2^52"
)]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;

/// Growth over the last half that is called none.
pub(crate) const LIMIT_PERCENT: f64 = 2.0;
/// So many pieces of the last half are compared. Within a piece memory goes up and down as an allocator gives parts back and
/// takes them again, so that neighbouring samples say the same thing; pieces are long enough to be independent of each other.
const PIECES: usize = 10;
/// Student's t for 95 % on both sides and two degrees of freedom less than there are pieces.
const STUDENT: f64 = 2.306;
/// A last half shorter than this is still warming up and proves nothing.
const LONG_ENOUGH: Duration = Duration::from_mins(2);

/// Resident bytes of a process, KiB.
pub(crate) fn resident(process: u32) -> Result<u64> {
    let path = PathBuf::from(format!("/proc/{process}/status"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS: has it ended?")?;
    let figure = line.split_whitespace().next().context("no figure after VmRSS")?;
    figure.parse().context("VmRSS is no number")
}

/// Samples in order, equally far apart.
#[derive(Default)]
pub(crate) struct Samples {
    taken: Vec<(Duration, u64)>,
}

/// What the samples say.
pub(crate) struct Trend {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) most: u64,
    /// Growth over the last half, in percent.
    pub(crate) percent: f64,
    /// How far off that may be, in 19 of 20 runs.
    pub(crate) error: f64,
    /// Whether the last half was long enough to judge.
    judged: bool,
}

/// What a trend says about growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The run was too short to judge.
    TooShort,
    /// There is none to speak of.
    Steady,
    /// There is some.
    Grows,
    /// There may be some: the error is larger than what would be told apart. A longer run says more.
    Unclear,
}

impl Trend {
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.percent - self.error, self.percent + self.error) {
            _ if !self.judged => Verdict::TooShort,
            (_, most) if most < LIMIT_PERCENT => Verdict::Steady,
            (least, _) if least >= LIMIT_PERCENT => Verdict::Grows,
            _ => Verdict::Unclear,
        }
    }
}

impl Samples {
    pub(crate) fn add(&mut self, at: Duration, resident: u64) {
        self.taken.push((at, resident));
    }

    pub(crate) fn trend(&self) -> Option<Trend> {
        let (_, half) = self.taken.split_at_checked(self.taken.len() / 2)?;
        let (&(began, _), &(ended, last)) = (half.first()?, half.last()?);
        // Of a run of seconds nothing can be said.
        let (percent, error) = growth(half).unwrap_or((0.0, f64::INFINITY));
        Some(Trend {
            first: self.taken.first()?.1,
            last,
            most: self.taken.iter().map(|&(_, kib)| kib).max()?,
            percent,
            error,
            judged: ended.saturating_sub(began) >= LONG_ENOUGH,
        })
    }
}

/// How much memory grows over these samples, and how far off that may be, both in percent: a line of best fit through the
/// medians of its pieces, and the error of its slope.
fn growth(samples: &[(Duration, u64)]) -> Option<(f64, f64)> {
    let pieces: Vec<f64> = (0..PIECES)
        .map(|place| samples.get(place * samples.len() / PIECES..(place + 1) * samples.len() / PIECES))
        .map(|piece| median(piece?.iter().map(|&(_, kib)| figure(kib)).collect()))
        .collect::<Option<_>>()?;
    let count = pieces.len() as f64;
    let level = pieces.iter().sum::<f64>() / count;
    let middle = (count - 1.0) / 2.0;
    let at = |place: usize| place as f64 - middle;
    let spread: f64 = (0..pieces.len()).map(|place| at(place).powi(2)).sum();
    let slope = pieces.iter().enumerate().map(|(place, kib)| at(place) * (kib - level)).sum::<f64>() / spread;
    let left = |(place, kib): (usize, &f64)| (kib - level - slope * at(place)).powi(2);
    let left: f64 = pieces.iter().enumerate().map(left).sum();
    let error = STUDENT * (left / (count - 2.0) / spread).sqrt();
    let percent = |slope: f64| 100.0 * slope * count / level;
    Some((percent(slope), percent(error))).filter(|(percent, error)| percent.is_finite() && error.is_finite())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn figure(kib: u64) -> f64 {
    kib as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The trend of a run of so many seconds whose memory at each of them is given.
    fn trend(seconds: u64, resident: impl Fn(u64) -> u64) -> Trend {
        let mut samples = Samples::default();
        (0..seconds).for_each(|at| samples.add(Duration::from_secs(at), resident(at)));
        samples.trend().unwrap()
    }

    /// Up and down, without a direction.
    fn wobble(at: u64, by: u64) -> u64 {
        (at * 7919) % (2 * by + 1)
    }

    #[test]
    fn what_stays_is_steady_and_what_rises_grows() {
        let steady = trend(1000, |at| 40_000 + wobble(at, 200));
        assert_eq!(steady.verdict(), Verdict::Steady, "{} ± {}", steady.percent, steady.error);
        let falls = trend(1000, |at| 40_000 - 4 * at);
        assert_eq!(falls.verdict(), Verdict::Steady);
        let rises = trend(1000, |at| 40_000 + 4 * at + wobble(at, 200));
        assert_eq!(rises.verdict(), Verdict::Grows);
        assert!((rises.percent - 4.9).abs() < 0.5, "2,000 of 41,000 KiB: {}", rises.percent);
    }

    #[test]
    fn what_comes_before_the_last_half_does_not_count() {
        assert_eq!(trend(1000, |at| 10_000 + 100 * at.min(400)).verdict(), Verdict::Steady);
    }

    #[test]
    fn what_cannot_be_told_is_not_called_steady() {
        let leaps = trend(1000, |at| if (at / 100) % 2 == 0 { 40_000 } else { 48_000 });
        assert_eq!(leaps.verdict(), Verdict::Unclear, "{} ± {}", leaps.percent, leaps.error);
        assert_eq!(trend(60, |_| 40_000).verdict(), Verdict::TooShort);
    }

    #[test]
    fn any_number_of_samples_is_ten_pieces_or_no_figure() {
        for count in 0..200_u64 {
            let samples: Vec<_> = (0..count).map(|at| (Duration::from_secs(at), 100 + at)).collect();
            assert_eq!(growth(&samples).is_some(), count >= PIECES as u64, "{count} samples");
        }
    }
}
