//! The gateway's resident memory over time, and whether it grows.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;

/// Growth over the last half that is called none.
const LIMIT_PERCENT: f64 = 2.0;
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
    /// Growth along the line of best fit through the last half, in percent of where that line begins.
    pub(crate) percent: f64,
    /// Whether the last half was long enough to judge.
    pub(crate) judged: bool,
}

impl Trend {
    pub(crate) fn is_fine(&self) -> bool {
        !self.judged || self.percent < LIMIT_PERCENT
    }
}

impl Samples {
    pub(crate) fn add(&mut self, at: Duration, resident: u64) {
        self.taken.push((at, resident));
    }

    pub(crate) fn trend(&self) -> Option<Trend> {
        let (_, half) = self.taken.split_at_checked(self.taken.len() / 2)?;
        let (&(began, _), &(ended, last)) = (half.first()?, half.last()?);
        let spans: Vec<(f64, f64)> = half.iter().map(|&(at, kib)| (at.as_secs_f64(), figure(kib))).collect();
        let length = ended.saturating_sub(began);
        Some(Trend {
            first: self.taken.first()?.1,
            last,
            most: self.taken.iter().map(|&(_, kib)| kib).max()?,
            percent: growth(&spans, began.as_secs_f64(), length.as_secs_f64()),
            judged: length >= LONG_ENOUGH,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "kibibytes of one process are far below 2^52")]
fn figure(kib: u64) -> f64 {
    kib as f64
}

/// Least squares: the rise over `length` seconds, as a percentage of the line's value at `start`.
fn growth(points: &[(f64, f64)], start: f64, length: f64) -> f64 {
    let count = figure(points.len() as u64);
    let (times, values) = points.iter().fold((0.0, 0.0), |(t, v), (time, value)| (t + time, v + value));
    let (time, value) = (times / count, values / count);
    let (upper, lower) = points.iter().fold((0.0, 0.0), |(upper, lower), point| {
        let ahead = point.0 - time;
        (upper + ahead * (point.1 - value), lower + ahead * ahead)
    });
    if lower == 0.0 {
        return 0.0;
    }
    let slope = upper / lower;
    100.0 * slope * length / (value + slope * (start - time))
}
