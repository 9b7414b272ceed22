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
    let size = samples.len().div_ceil(PIECES).max(1);
    let pieces: Vec<f64> = samples
        .chunks(size)
        .map(|piece| median(piece.iter().map(|&(_, kib)| figure(kib)).collect()))
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
