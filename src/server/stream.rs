//! One HTTP/2 stream: the task that answers a request and sends the answer on, ended when its client takes nothing of it.
//!
//! hyper drives a stream in a task of its own, takes a piece of the answer, and asks for the next once the client has given
//! room for that one and a byte more. Whether it waits for the client or for the app is seen by [`Piece`], which the answer
//! leaves behind for the stream around it. Each stream waits for itself: what moves on another one says nothing about it.
//! With the last piece the task is over, so the answer keeps the end of a large one back until there is room for it
//! (`exchange.rs`): of what no client takes, nothing but a kilobyte a stream outlives its patience.

use std::cell::Cell;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::server::deadline::Deadline;

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
        pieces: u64,
        waits: bool,
        // Most answers are taken at once, and need none.
        deadline: Option<Deadline<u64>>,
    }
}

impl<F> Stream<F> {
    /// For `work`, which drives one stream.
    pub(super) fn new(work: F, patience: Duration) -> Self {
        Self { work, patience, pieces: 0, waits: false, deadline: None }
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
            }
            Piece::Awaited => *this.waits = false,
        }
        let limit = this.waits.then_some(*this.patience);
        match this.deadline {
            None if limit.is_none() => Poll::Pending,
            deadline => deadline.get_or_insert_with(Deadline::new).poll(cx, *this.pieces, limit),
        }
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
        let (mut ticks, mut left) = (interval(Duration::from_secs(4)), left.iter().copied());
        let work = poll_fn(move |cx| {
            while ticks.poll_tick(cx).is_ready() {
                left.next().unwrap_or(Piece::NotAsked).leave();
            }
            Poll::<()>::Pending
        });
        let begun = Instant::now();
        let ended = tokio::time::timeout(Duration::from_mins(10), Stream::new(work, PATIENCE)).await;
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
}
