//! One timer for a connection's whole life. It is set again only when it fires or must fire earlier, so that a request
//! on a busy connection costs a comparison and never a turn of the timer wheel.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep_until;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// Whether `due` has come. Wakes the task when it has, and at times before.
    pub(crate) fn poll(&mut self, due: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            if timer.is_elapsed() || timer.deadline() > due {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= due {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_fires_when_due_and_not_when_an_earlier_wait_was() {
        let start = Instant::now();
        let mut patience = Patience::default();
        for (due, waited) in [(10, 10), (60, 60), (30, 60), (90, 90)] {
            let due = start + Duration::from_secs(due);
            poll_fn(|context| patience.poll(due, context)).await;
            assert_eq!(start.elapsed().as_secs(), waited);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_wait_after_a_longer_one_fires_in_time() {
        let start = Instant::now();
        let mut patience = Patience::default();
        let long = start + Duration::from_mins(1);
        let first = poll_fn(|context| Poll::Ready(patience.poll(long, context))).await;
        assert!(first.is_pending());
        poll_fn(|context| patience.poll(start + Duration::from_secs(10), context)).await;
        assert_eq!(start.elapsed().as_secs(), 10);
    }
}
