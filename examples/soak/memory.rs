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
    /// Growth over the last half, in percent.
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
        Some(Trend {
            first: self.taken.first()?.1,
            last,
            most: self.taken.iter().map(|&(_, kib)| kib).max()?,
            percent: growth(half)?,
            judged: ended.saturating_sub(began) >= LONG_ENOUGH,
        })
    }
}

/// How much memory grows over these samples, in percent: twice the median step from a sample to its partner half a span
/// later. A median, because an allocator gives a large part back now and then and takes it again, and a line of best
/// fit would follow such a dip.
fn growth(samples: &[(Duration, u64)]) -> Option<f64> {
    let (early, late) = samples.split_at_checked(samples.len() / 2)?;
    let step = |(one, other): (&(Duration, u64), &(Duration, u64))| figure(other.1) - figure(one.1);
    let level = median(early.iter().map(|&(_, kib)| figure(kib)).collect())?;
    let step = median(early.iter().zip(late).map(step).collect())?;
    Some(100.0 * 2.0 * step / level)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[expect(clippy::cast_precision_loss, reason = "kibibytes of one process are far below 2^52")]
fn figure(kib: u64) -> f64 {
    kib as f64
}
