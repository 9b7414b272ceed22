//! One timer for a whole connection. It is set again only when it fires or must fire earlier, so that a request on a
//! busy connection costs a comparison and a look at the clock, and never a turn of the timer wheel.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep_until;

use crate::server::pulse::Wait;

/// See the module.
#[derive(Debug)]
pub(super) struct Deadline {
    wait: (Wait, u64),
    since: Instant,
    timer: Pin<Box<Sleep>>,
    watched: bool,
}

impl Deadline {
    /// Waits for nothing yet.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { wait: (Wait::Nothing, 0), since: now, timer: Box::pin(sleep_until(now)), watched: false }
    }

    /// Whether `wait` has lasted `limit`. A wait is the same as long as it compares equal. Wakes the task when it is
    /// time to ask again.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wait: (Wait, u64),
        limit: Option<Duration>,
    ) -> Poll<()> {
        let Some(limit) = limit else {
            self.wait = wait;
            return Poll::Pending;
        };
        if self.wait != wait {
            self.wait = wait;
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
            deadline.poll(cx, (Wait::Idle, mark), LIMIT)
        })
        .await;
        assert_eq!((start.elapsed().as_secs(), turns), (20, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_limit_comes_into_force_at_once() {
        let mut deadline = Deadline::new();
        let start = Instant::now();
        let first =
            poll_fn(|cx| Poll::Ready(deadline.poll(cx, (Wait::Idle, 0), Some(Duration::from_secs(75)))));
        assert!(first.await.is_pending());
        poll_fn(|cx| deadline.poll(cx, (Wait::Head, 0), LIMIT)).await;
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_nothing_never_fires() {
        let mut deadline = Deadline::new();
        let wait = poll_fn(|cx| deadline.poll(cx, (Wait::Nothing, 0), None));
        assert!(tokio::time::timeout(Duration::from_hours(1), wait).await.is_err());
    }
}
