//! What moves in a session, in one word.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::clock::Timestamp;
use crate::session::lifetime::Why;

/// When the session was last seen (upper 60 bits, milliseconds) and why it is over (lower 4 bits, 0 while it is not),
/// in one word: so a touch cannot slip past an end, nor an idle end past a touch.
pub(super) struct State(AtomicU64);

impl State {
    const WHY_BITS: u32 = 4;
    const WHY_MASK: u64 = (1 << Self::WHY_BITS) - 1;

    pub(super) fn active(last_seen: Timestamp) -> Self {
        Self(AtomicU64::new(Self::pack(last_seen, None)))
    }

    pub(super) fn last_seen(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Acquire) >> Self::WHY_BITS)
    }

    pub(super) fn why(&self) -> Option<Why> {
        Self::unpack_why(self.0.load(Ordering::Acquire))
    }

    /// Puts what `change` makes of the last-seen time in its place, unless the session is over or `change` has
    /// nothing to say. Whether anything changed.
    pub(super) fn update(&self, change: impl Fn(Timestamp) -> Option<(Timestamp, Option<Why>)>) -> bool {
        let step = |state: u64| {
            if Self::unpack_why(state).is_some() {
                return None;
            }
            let (seen, why) = change(Timestamp::from_millis(state >> Self::WHY_BITS))?;
            Some(Self::pack(seen, why))
        };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    fn pack(last_seen: Timestamp, why: Option<Why>) -> u64 {
        let millis = last_seen.as_millis().min(u64::MAX >> Self::WHY_BITS);
        millis << Self::WHY_BITS | u64::from(Self::place(why))
    }

    pub(super) fn place(why: Option<Why>) -> u8 {
        let place = why.and_then(|why| Why::ALL.iter().position(|one| *one == why));
        place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0)
    }

    fn unpack_why(state: u64) -> Option<Why> {
        Self::why_at(state & Self::WHY_MASK)
    }

    pub(super) fn why_at(place: u64) -> Option<Why> {
        Why::ALL.get(usize::try_from(place).ok()?.checked_sub(1)?).copied()
    }
}
