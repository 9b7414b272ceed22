//! One HTTP/2 stream: the task that answers a request and sends the answer on, ended when its client takes nothing of it.
//!
//! hyper drives a stream in a task of its own, takes a piece of the answer, and asks for the next once the client gives room
//! for that one. Whether it waits for the client or for the app is seen by [`Piece`], which the answer leaves behind for the
//! stream around it. Each stream waits for itself: what moves on another one says nothing about it.

use std::cell::Cell;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::server::deadline::Deadline;
use crate::server::pulse::Wait;

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
        deadline: Option<Deadline>,
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
        let (wait, limit) =
            if *this.waits { (Wait::Stalled, Some(*this.patience)) } else { (Wait::Nothing, None) };
        match this.deadline {
            None if !*this.waits => Poll::Pending,
            deadline => deadline.get_or_insert_with(Deadline::new).poll(cx, (wait, *this.pieces), limit),
        }
    }
}
