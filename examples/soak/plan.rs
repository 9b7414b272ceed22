//! What each request of the soak is: decided by its number alone, so that a run can be repeated.

use crate::pattern::mix;

/// How long a body is.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    /// Whether the length is told beforehand.
    pub(crate) told: bool,
}

/// One request.
pub(crate) struct Plan {
    /// Which session asks.
    pub(crate) session: usize,
    /// The upload; nothing is a GET.
    pub(crate) up: Option<Size>,
    /// The answer.
    pub(crate) down: Size,
    /// Whether the client goes away in the middle of the answer: what is left over must reach nobody else.
    pub(crate) leaves: bool,
}

impl Plan {
    pub(crate) fn new(number: u64, sessions: usize) -> Self {
        let dice = |side: u64| mix(mix(number).wrapping_add(side));
        Self {
            session: usize::try_from(dice(0) % sessions as u64).unwrap_or_default(),
            up: dice(1).is_multiple_of(2).then(|| size(dice(2), dice(4))),
            down: size(dice(3), dice(5)),
            leaves: dice(6).is_multiple_of(40),
        }
    }
}

/// Mostly small, now and then large, and exactly nothing or 1 MiB often enough.
fn size(dice: u64, telling: u64) -> Size {
    let spread = mix(dice);
    let bytes = match dice % 1000 {
        0..100 => 0,
        100..700 => spread % 1024,
        700..950 => spread % (16 * 1024),
        950..995 => spread % (128 * 1024),
        995..999 => spread % (1024 * 1024),
        _ => 1024 * 1024,
    };
    Size { bytes, told: !telling.is_multiple_of(4) }
}
