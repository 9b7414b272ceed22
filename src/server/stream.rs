//! One HTTP/2 stream: the task that answers a request and sends the answer on, ended when its client takes nothing of it.
//!
//! hyper drives a stream in a task of its own: it takes a piece of the answer, waits until its client has room for a byte of
//! it, hands it on, and asks for the next. Whether it waits for the client or for the app is seen by [`Piece`], which the
//! answer leaves behind for the stream around it. What was handed on may lie there unsent, and with the last piece the task
//! is over; so the answer gives the last byte of each large piece by itself (`exchange.rs`), and that waits for the rest. Of
//! what no client takes, nothing but a kilobyte a stream outlives its patience.
//!
//! Each stream waits for itself: what moves on another one says nothing about it,
//! unless the link is full, so that all of them wait for each other.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::server::deadline::Deadline;
use crate::server::http2::SEND_BUFFER;
use crate::server::pulse::Pulse;

/// What the answer of the stream that is being driven was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Nothing: hyper has something to send yet, or no answer.
    NotAsked,
    /// It gave a piece, which is to be sent now.
    Given,
    /// It has none yet, or no more.
    Awaited,
}

thread_local! {
    static LAST: Cell<Piece> = const { Cell::new(Piece::NotAsked) };
}

impl Piece {
    /// Leaves this for the stream around the answer.
    pub(super) fn leave(self) {
        LAST.set(self);
    }
}

pin_project! {
    /// A stream's work, given up when nothing of its answer is taken for as long as `patience`. hyper resets the stream then,
    /// as it does with all that are dropped (RFC 9113 §5.4.2).
    #[derive(Debug)]
    pub(super) struct Stream<F> {
        #[pin]
        work: F,
        patience: Duration,
        pulse: Arc<Pulse>,
        pieces: u64,
        waits: bool,
        share: Share,
        // Most answers are taken at once, and need none.
        deadline: Option<Deadline<(u64, u64)>>,
    }
}

impl<F> Stream<F> {
    /// For `work`, which drives one stream of the connection with this `pulse`.
    pub(super) fn new(work: F, patience: Duration, pulse: Arc<Pulse>) -> Self {
        Self { work, patience, pulse, pieces: 0, waits: false, share: Share::default(), deadline: None }
    }
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        Piece::NotAsked.leave();
        if this.work.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match LAST.get() {
            Piece::NotAsked => {}
            Piece::Given => {
                *this.pieces = this.pieces.wrapping_add(1);
                *this.waits = true;
                *this.share = Share { from: this.pulse.written(), streams: this.pulse.busy(), waited: 0 };
            }
            Piece::Awaited => *this.waits = false,
        }
        let limit = this.waits.then_some(*this.patience);
        if limit.is_none() && this.deadline.is_none() {
            return Poll::Pending;
        }
        let deadline = this.deadline.get_or_insert_with(Deadline::new);
        while deadline.poll(cx, (*this.pieces, this.share.waited), limit).is_ready() {
            this.share.waited += 1;
            if !this.share.is_to_come(this.pulse) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// A stream's share of a full link: its turn may be long in coming, though its client takes all it can.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// What the connection had written when the piece was given.
    from: u64,
    /// Among how many streams that was.
    streams: u32,
    /// How many times the patience has passed since then.
    waited: u64,
}

impl Share {
    /// Whether the link is what the piece waits for: it is full, it moves, and has not yet carried twice what all streams
    /// together may have waiting. After that it is this stream that its client does not read.
    fn is_to_come(self, pulse: &Pulse) -> bool {
        const PIECE: u64 = SEND_BUFFER as u64;
        let moved = pulse.written().wrapping_sub(self.from);
        let streams = self.streams.max(pulse.busy());
        pulse.is_blocked() && moved >= self.waited * PIECE && moved < 2 * PIECE * u64::from(streams)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::Instant;
    use tokio::time::interval;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// How many seconds a stream lasts whose work leaves these, one each four seconds, and the last of them for ever.
    async fn lasts(left: &[Piece]) -> Option<u64> {
        lasts_on(Arc::default(), left, |_| ()).await
    }

    /// Likewise on a connection to which `moves` happens each time.
    async fn lasts_on(pulse: Arc<Pulse>, left: &[Piece], moves: impl Fn(&Pulse)) -> Option<u64> {
        let on = Arc::clone(&pulse);
        let (mut ticks, mut left) = (interval(Duration::from_secs(4)), left.iter().copied());
        let work = poll_fn(move |cx| {
            while ticks.poll_tick(cx).is_ready() {
                left.next().unwrap_or(Piece::NotAsked).leave();
                moves(&on);
            }
            Poll::<()>::Pending
        });
        let begun = Instant::now();
        let ended = tokio::time::timeout(Duration::from_mins(10), Stream::new(work, PATIENCE, pulse)).await;
        ended.ok().map(|()| begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_piece_in_time_is_waited_for_and_not_for_longer() {
        assert_eq!(lasts(&[Piece::Given]).await, Some(10));
        assert_eq!(lasts(&[Piece::Given; 5]).await, Some(26));
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_is_waited_for() {
        assert_eq!(lasts(&[Piece::NotAsked, Piece::Awaited]).await, None);
        assert_eq!(lasts(&[Piece::Given, Piece::Awaited]).await, None);
        assert_eq!(lasts(&[Piece::Given, Piece::Awaited, Piece::Given]).await, Some(18));
    }

    #[tokio::test(start_paused = true)]
    async fn over_a_full_link_a_streams_turn_is_waited_for() {
        let busy = || {
            let pulse = Arc::new(Pulse::default());
            for _ in 0..90 {
                pulse.begin();
            }
            pulse
        };
        let taken = |bytes: usize| {
            move |pulse: &Pulse| {
                pulse.on_write(bytes);
                pulse.on_blocked();
            }
        };
        // 90 streams have 5,760 KiB waiting at most: at 25 KiB a second each gets twice its turn in 460 s.
        assert_eq!(lasts_on(busy(), &[Piece::Given], taken(100 * 1024)).await, Some(470));
        // A link on which next to nothing moves.
        assert_eq!(lasts_on(busy(), &[Piece::Given], taken(1024)).await, Some(10));
        // One that has room, so that it is this stream that is not read.
        assert_eq!(lasts_on(busy(), &[Piece::Given], |pulse| pulse.on_write(100 * 1024)).await, Some(10));
        // The only stream.
        let alone = Arc::new(Pulse::default());
        alone.begin();
        assert_eq!(lasts_on(alone, &[Piece::Given], taken(100 * 1024)).await, Some(10));
    }
}
