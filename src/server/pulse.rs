//! What one connection is doing, told by its socket, guard and exchanges to the future that drives it, and what that
//! future waits for because of it. The numbers are read for decisions about time alone, so their order among each other
//! does not matter: all accesses are relaxed.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::server::Limits;
use crate::server::refusal::Refusal;
use crate::server::scanner::Place;

// A peer that moves less than this within `idle_timeout` is not slow but holding the connection (a byte a minute keeps
// a gigabyte upload open for ever).
const READ_STEP: u64 = 512;
const WRITE_STEP: u64 = 1024;

/// How long an ended connection is read on for the sake of its last answer.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// What the driving future wants of the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The head took too long: refuse it.
    EndHead,
    /// The body stopped: let it fail.
    EndBody,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Its first request.
    First,
    /// The rest of a head.
    Head,
    /// Its next request.
    Idle,
    /// More of a body that somebody wants to read.
    Body,
    /// Room to write.
    Write,
    /// The peer's goodbye, behind the last answer.
    Linger,
    /// The end of a conversation that was told to end.
    Closing,
    /// Us: a handler works.
    Nothing,
}

impl Wait {
    /// How long that may last; nothing means for ever.
    pub(super) fn limit(self, limits: &Limits) -> Option<Duration> {
        match self {
            Self::First | Self::Head | Self::Closing => Some(limits.header_timeout),
            Self::Idle | Self::Body | Self::Write => Some(limits.idle_timeout),
            Self::Linger => Some(LINGER),
            Self::Nothing => None,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    read: AtomicU64,
    written: AtomicU64,
    blocked: AtomicBool,
    hungry: AtomicBool,
    place: AtomicU8,
    lingering: AtomicBool,
    order: AtomicU8,
    calls: AtomicU32,
    busy: AtomicU32,
    abandoned: AtomicU32,
    opaque_at: AtomicU32,
    refusal: OnceLock<(u32, Refusal)>,
}

impl Pulse {
    /// The socket read so many bytes.
    pub(super) fn on_read(&self, bytes: usize) {
        self.read.store(self.read.load(Relaxed).wrapping_add(bytes as u64), Relaxed);
    }

    /// The socket took so many bytes.
    pub(super) fn on_write(&self, bytes: usize) {
        self.written.store(self.written.load(Relaxed).wrapping_add(bytes as u64), Relaxed);
        self.blocked.store(false, Relaxed);
    }

    /// The socket took nothing.
    pub(super) fn on_blocked(&self) {
        self.blocked.store(true, Relaxed);
    }

    /// Whether HTTP asked for bytes that are not there.
    pub(super) fn set_hungry(&self, hungry: bool) {
        self.hungry.store(hungry, Relaxed);
    }

    /// The guard stands there now.
    pub(super) fn set_place(&self, place: Place) {
        self.place.store(place as u8, Relaxed);
    }

    /// The last answer is out.
    pub(super) fn on_linger(&self) {
        self.lingering.store(true, Relaxed);
    }

    /// Leaves an order for the guard.
    pub(super) fn order(&self, order: Order) {
        self.order.store(order as u8 + 1, Relaxed);
    }

    /// Takes the order, if there is one.
    pub(super) fn take_order(&self) -> Option<Order> {
        let left = self.order.load(Relaxed);
        if left == 0 {
            return None;
        }
        self.order.store(0, Relaxed);
        Some(if left == Order::EndHead as u8 + 1 { Order::EndHead } else { Order::EndBody })
    }

    /// The `ordinal`th head of this connection is a stand-in for one that was refused.
    pub(super) fn refuse(&self, ordinal: u32, refusal: Refusal) {
        self.refusal.get_or_init(|| (ordinal, refusal));
    }

    /// Behind the `ordinal`th head nothing is looked at any more.
    pub(super) fn opaque_after(&self, ordinal: u32) {
        self.opaque_at.store(ordinal, Relaxed);
    }

    /// Whether the `ordinal`th request was refused, and why.
    // By number, since a bad request can stand right behind a good one that is still being answered.
    pub(super) fn refusal(&self, ordinal: u32) -> Option<Refusal> {
        let (refused, refusal) = self.refusal.get()?;
        (*refused == ordinal).then_some(*refusal)
    }

    /// Whether the connection may turn into a WebSocket after the `ordinal`th request.
    pub(super) fn is_opaque(&self, ordinal: u32) -> bool {
        self.opaque_at.load(Relaxed) == ordinal
    }

    /// A request begins; gives its number, from 1 on.
    pub(super) fn begin(&self) -> u32 {
        self.busy.fetch_add(1, Relaxed);
        self.calls.fetch_add(1, Relaxed).wrapping_add(1)
    }

    /// A request is over.
    pub(super) fn finish(&self) {
        self.busy.fetch_sub(1, Relaxed);
    }

    /// A request was taken back before its answer began.
    pub(super) fn on_abandoned(&self) {
        self.abandoned.fetch_add(1, Relaxed);
    }

    /// How many were.
    pub(super) fn abandoned(&self) -> u32 {
        self.abandoned.load(Relaxed)
    }

    /// How many bytes the socket has taken in all.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Whether the socket takes nothing more for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// How many requests are being answered.
    pub(super) fn busy(&self) -> u32 {
        self.busy.load(Relaxed)
    }

    /// Whether a handler works.
    pub(super) fn is_busy(&self) -> bool {
        self.busy() > 0
    }

    /// Whether a request has come, or is coming.
    pub(super) fn is_between_requests(&self) -> bool {
        self.calls.load(Relaxed) > 0 && !self.is_busy() && self.place.load(Relaxed) == Place::Between as u8
    }

    /// What an HTTP/1 connection waits for, with a number that changes when the wait begins anew.
    pub(super) fn http1(&self, closing: bool) -> (Wait, u64) {
        let calls = u64::from(self.calls.load(Relaxed));
        let is = |place: Place| self.place.load(Relaxed) == place as u8;
        let body = (Wait::Body, self.read.load(Relaxed) / READ_STEP);
        if self.blocked.load(Relaxed) {
            (Wait::Write, self.written.load(Relaxed) / WRITE_STEP)
        } else if self.lingering.load(Relaxed) {
            (Wait::Linger, 0)
        } else if self.is_busy() {
            // A body that nobody asks for may rest: then it is the app that is slow.
            if is(Place::Body) && self.hungry.load(Relaxed) { body } else { (Wait::Nothing, 0) }
        } else if is(Place::Opaque) {
            (Wait::Nothing, 0)
        } else if closing || is(Place::Ended) {
            (Wait::Closing, 0)
        } else if is(Place::Head) {
            (Wait::Head, calls)
        } else if is(Place::Body) {
            body
        } else {
            (if calls == 0 { Wait::First } else { Wait::Idle }, calls)
        }
    }

    /// What an HTTP/2 connection waits for.
    pub(super) fn http2(&self, closing: bool) -> (Wait, u64) {
        let calls = u64::from(self.calls.load(Relaxed));
        if self.blocked.load(Relaxed) {
            (Wait::Write, self.written.load(Relaxed) / WRITE_STEP)
        } else if self.is_busy() {
            // Each stream waits for itself.
            (Wait::Nothing, 0)
        } else if closing {
            // The last answers may be on their way yet.
            (Wait::Closing, self.written.load(Relaxed) / WRITE_STEP)
        } else {
            (if calls == 0 { Wait::First } else { Wait::Idle }, calls)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: Place) -> Pulse {
        let pulse = Pulse::default();
        pulse.set_place(place);
        pulse
    }

    #[test]
    fn a_new_connection_owes_a_request_and_an_old_one_may_rest() {
        let pulse = at(Place::Between);
        assert_eq!(pulse.http1(false).0, Wait::First);
        pulse.begin();
        assert_eq!(pulse.http1(false).0, Wait::Nothing);
        pulse.finish();
        assert_eq!(pulse.http1(false).0, Wait::Idle);
    }

    #[test]
    fn a_head_is_timed_from_its_first_byte_and_not_again_by_later_ones() {
        let pulse = at(Place::Head);
        let begun = pulse.http1(false);
        pulse.on_read(600);
        assert_eq!((begun.0, pulse.http1(false)), (Wait::Head, begun));
    }

    #[test]
    fn a_body_is_timed_only_while_somebody_wants_it_and_single_bytes_do_not_count() {
        let pulse = at(Place::Body);
        pulse.begin();
        assert_eq!(pulse.http1(false).0, Wait::Nothing);
        pulse.set_hungry(true);
        let begun = pulse.http1(false);
        pulse.on_read(1);
        assert_eq!((begun.0, pulse.http1(false)), (Wait::Body, begun));
        pulse.on_read(512);
        assert_ne!(pulse.http1(false), begun);
    }

    #[test]
    fn a_peer_that_does_not_read_is_seen_whatever_else_happens() {
        let pulse = at(Place::Between);
        pulse.begin();
        pulse.on_blocked();
        assert_eq!(pulse.http1(false).0, Wait::Write);
        assert_eq!(pulse.http2(false).0, Wait::Write);
        pulse.on_write(1);
        assert_eq!(pulse.http1(false).0, Wait::Nothing);
    }

    #[test]
    fn orders_are_taken_once() {
        let pulse = Pulse::default();
        for order in [Order::EndHead, Order::EndBody] {
            pulse.order(order);
            assert_eq!((pulse.take_order(), pulse.take_order()), (Some(order), None));
        }
    }

    #[test]
    fn a_refusal_belongs_to_one_request() {
        let pulse = Pulse::default();
        pulse.refuse(2, Refusal::HeadTooLarge);
        assert_eq!((pulse.refusal(1), pulse.refusal(2)), (None, Some(Refusal::HeadTooLarge)));
    }
}
