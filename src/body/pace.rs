//! The least pace of an upload. Without one, a byte now and then would hold a connection to the app for as long as its
//! sender likes. Over HTTP/1 the server sees to that too; over HTTP/2 only the reader of a body knows it is waited for.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep_until;

/// Less than this within the patience is no progress.
const STEP: usize = 512;

/// How long bytes were waited for since the last progress. An app that does not ask for them costs the sender nothing.
#[derive(Debug)]
pub(super) struct Pace {
    patience: Duration,
    gained: usize,
    waited: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// At least [`STEP`] bytes within `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, gained: 0, waited: Duration::ZERO, since: None, timer: None }
    }

    /// So many bytes came.
    pub(super) fn on_data(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.gained += bytes;
        if self.gained >= STEP {
            (self.gained, self.waited) = (0, Duration::ZERO);
        }
    }

    /// None are there. Ready when that has lasted too long.
    pub(super) fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let due = since + self.patience.saturating_sub(self.waited);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            // The moment only ever moves away: a timer that fires for an earlier one is set again, and not before.
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if timer.deadline() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::advance;

    use super::*;

    async fn lasts(pace: &mut Pace) -> u64 {
        let start = Instant::now();
        poll_fn(|context| pace.poll_patience(context)).await;
        start.elapsed().as_secs()
    }

    async fn waits(pace: &mut Pace, seconds: u64) {
        assert!(poll_fn(|context| Poll::Ready(pace.poll_patience(context))).await.is_pending());
        advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn single_bytes_are_no_progress_and_many_are() {
        let mut pace = Pace::new(Duration::from_secs(10));
        waits(&mut pace, 6).await;
        pace.on_data(1);
        assert_eq!(lasts(&mut pace).await, 4);
        let mut pace = Pace::new(Duration::from_secs(10));
        waits(&mut pace, 6).await;
        pace.on_data(STEP);
        assert_eq!(lasts(&mut pace).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_asks_does_not_count() {
        let mut pace = Pace::new(Duration::from_secs(10));
        waits(&mut pace, 6).await;
        pace.on_data(1);
        advance(Duration::from_mins(5)).await;
        assert_eq!(lasts(&mut pace).await, 4);
    }
}
