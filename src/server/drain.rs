//! A running server, and how it ends: first nobody new, then an end for everybody who is here, then the cut.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::server::figures::Figures;
use crate::server::worker::Team;

/// Whether the server is being drained, for its connections to see.
#[derive(Debug, Default)]
pub(super) struct Drain {
    begun: AtomicBool,
    notify: Notify,
}

impl Drain {
    fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Resolves when draining begins, and stays resolved. Costs one load for each poll after the first, which is what
    /// puts the task on the list of those to wake.
    pub(super) async fn begun(&self) {
        let mut notified = pin!(self.notify.notified());
        let mut listed = false;
        std::future::poll_fn(|cx| {
            if !listed {
                listed = true;
                let _pending_or_seen_below = notified.as_mut().poll(cx);
            }
            if self.begun.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// What became of the connections that were open when the listeners closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Ended by themselves.
    pub finished: usize,
    /// Cut when the grace was over.
    pub cut: usize,
}

/// A server at work. Dropping it stops the listeners and cuts all connections; [`Running::drain`] is the kind way.
#[derive(Debug)]
pub struct Running {
    pub(super) shared: Arc<crate::server::connection::Shared>,
    pub(super) room: Arc<Semaphore>,
    pub(super) most: u32,
    pub(super) accepting: CancellationToken,
    pub(super) accepted_all: Option<oneshot::Receiver<()>>,
    pub(super) team: Option<Arc<Team>>,
    pub(super) threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// What is counted.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.shared.figures
    }

    // Not from the room that is left: whoever waits for all of it, as `drain` does, holds what is free already.
    fn open(&self) -> usize {
        self.shared.figures.open.load(Ordering::Relaxed)
    }

    /// Ends the server: connections that wait in the kernel's queue are still taken, then the listening sockets close;
    /// resting connections end at once, requests under way get their answer and connections their goodbye, then `rest` is
    /// waited for, which is what the workers do beside their connections; and what is left after `grace` is cut.
    pub async fn drain(mut self, grace: Duration, rest: impl Future<Output = ()>) -> Drained {
        self.accepting.cancel();
        if let Some(done) = self.accepted_all.take() {
            // The sender's end says no more than that the acceptor is gone, however it went.
            drop(done.await);
        }
        let open = self.open();
        self.shared.drain.begin();
        let all_gone = async {
            let _all = self.room.acquire_many(self.most).await;
            rest.await;
        };
        let cut = match timeout(grace, all_gone).await {
            Ok(()) => 0,
            Err(_elapsed) => self.open(),
        };
        self.team = None;
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count()
        });
        if joined.await.is_ok_and(|failed| failed > 0) {
            tracing::error!("a worker ended in a panic");
        }
        Drained { finished: open.saturating_sub(cut), cut }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.cancel();
    }
}
