//! One timer for a whole connection or stream. It is set again only when it fires or must fire earlier, so that a request on a
//! busy connection costs a comparison and a look at the clock, and never a turn of the timer wheel.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep_until;

/// See the module. `W` says what is waited for.
#[derive(Debug)]
pub(super) struct Deadline<W> {
    wait: Option<W>,
    since: Instant,
    timer: Pin<Box<Sleep>>,
    watched: bool,
}

impl<W: PartialEq> Deadline<W> {
    /// Waits for nothing yet.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { wait: None, since: now, timer: Box::pin(sleep_until(now)), watched: false }
    }

    /// Whether `wait` has lasted `limit`. A wait is the same as long as it compares equal. Wakes the task when it is
    /// time to ask again.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, wait: W, limit: Option<Duration>) -> Poll<()> {
        let Some(limit) = limit else {
            self.wait = Some(wait);
            return Poll::Pending;
        };
        if self.wait.as_ref() != Some(&wait) {
            self.wait = Some(wait);
            self.since = Instant::now();
        }
        let due = self.since + limit;
        loop {
            let fired = self.timer.is_elapsed();
            if fired && self.timer.deadline() >= due {
                return Poll::Ready(());
            }
            if fired || self.timer.deadline() > due {
                self.timer.as_mut().reset(due);
                self.watched = false;
            }
            // The task's waker stays in the timer: polling it again would tell nothing new.
            if self.watched || self.timer.as_mut().poll(cx).is_pending() {
                self.watched = true;
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(10));

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_lasts_fires_and_one_that_changes_begins_anew() {
        let mut deadline = Deadline::new();
        let start = Instant::now();
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            // The wait changes once, when the first timer fires.
            let mark = u64::from(start.elapsed() >= Duration::from_secs(10));
            deadline.poll(cx, mark, LIMIT)
        })
        .await;
        assert_eq!((start.elapsed().as_secs(), turns), (20, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_limit_comes_into_force_at_once() {
        let mut deadline = Deadline::new();
        let start = Instant::now();
        let first = poll_fn(|cx| Poll::Ready(deadline.poll(cx, 0, Some(Duration::from_secs(75)))));
        assert!(first.await.is_pending());
        poll_fn(|cx| deadline.poll(cx, 1, LIMIT)).await;
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_nothing_never_fires() {
        let mut deadline = Deadline::new();
        let wait = poll_fn(|cx| deadline.poll(cx, (), None));
        assert!(tokio::time::timeout(Duration::from_hours(1), wait).await.is_err());
    }
}
