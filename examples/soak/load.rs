//! The load: connections that change their session with each request, opened anew now and then.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::client::conn::http2;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::exchange::Ending;
use crate::exchange::Sender;
use crate::exchange::Session;
use crate::exchange::exchange;
use crate::pattern::PatternBody;
use crate::plan::Plan;
use crate::tally::Fault;
use crate::tally::Tally;
use crate::tls::Target;

/// Requests on a connection before it is opened anew, so that handshakes and closes are part of the load.
const PER_CONNECTION: usize = 400;
/// Streams at a time on an HTTP/2 connection, each of another session.
const STREAMS: usize = 8;
/// An answer that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);
/// More faults than this say nothing new.
const ENOUGH_FAULTS: u64 = 1000;

/// Everything the tasks share.
pub(crate) struct Load {
    pub(crate) sessions: Vec<Session>,
    pub(crate) tally: Tally,
    pub(crate) http1: Target,
    pub(crate) http2: Target,
    pub(crate) authority: String,
    /// Numbers of requests go from 0 to here.
    pub(crate) requests: u64,
    /// No request begins after it.
    pub(crate) deadline: Option<Instant>,
    pub(crate) next: AtomicU64,
    /// Numbers that were taken and not sent.
    pub(crate) unsent: Mutex<Vec<u64>>,
}

impl Load {
    /// Runs until all requests are answered, the time is up, or too much went wrong.
    pub(crate) async fn run(self: &Arc<Self>, connections: usize) {
        let mut lanes = JoinSet::new();
        for lane in 0..connections {
            let load = Arc::clone(self);
            lanes.spawn(async move {
                if lane.is_multiple_of(2) { load.http1_lane().await } else { load.http2_lane().await }
            });
        }
        while let Some(ended) = lanes.join_next().await {
            if let Err(panic) = ended {
                self.tally.fault(None, &Fault::Failed(format!("a task of the client: {panic}")));
            }
        }
    }

    async fn http1_lane(&self) {
        while !self.is_over() {
            match Sender::open_http1(&self.http1).await {
                Ok(sender) => {
                    self.tally.connections.fetch_add(1, Relaxed);
                    self.requests(sender, PER_CONNECTION).await;
                }
                Err(error) => self.did_not_open(&error).await,
            }
        }
    }

    async fn http2_lane(self: &Arc<Self>) {
        while !self.is_over() {
            match Sender::open_http2(&self.http2).await {
                Ok(sender) => {
                    self.tally.connections.fetch_add(1, Relaxed);
                    self.streams(&sender).await;
                }
                Err(error) => self.did_not_open(&error).await,
            }
        }
    }

    async fn streams(self: &Arc<Self>, sender: &http2::SendRequest<PatternBody>) {
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            let (load, sender) = (Arc::clone(self), Sender::Two(sender.clone()));
            streams.spawn(async move { load.requests(sender, PER_CONNECTION / STREAMS).await });
        }
        while streams.join_next().await.is_some() {}
    }

    async fn did_not_open(&self, error: &anyhow::Error) {
        self.tally.fault(None, &Fault::Failed(format!("{error:#}")));
        sleep(Duration::from_millis(100)).await;
    }

    /// So many requests one after another, or fewer if the connection ends.
    async fn requests(&self, mut sender: Sender, quota: usize) {
        for _ in 0..quota {
            if !sender.is_ready().await {
                return;
            }
            let Some(number) = self.take() else {
                return;
            };
            let usable = self.request(&mut sender, number).await;
            if !usable {
                return;
            }
        }
    }

    /// One request; says whether the connection can be used again.
    async fn request(&self, sender: &mut Sender, number: u64) -> bool {
        let plan = Plan::new(number, self.sessions.len());
        let Some(session) = self.sessions.get(plan.session) else {
            return false;
        };
        let exchanged = timeout(PATIENCE, exchange(sender, &self.authority, number, &plan, session)).await;
        let hung = |_elapsed| Err(Fault::Failed(format!("no end within {} s", PATIENCE.as_secs())));
        match exchanged.unwrap_or_else(hung) {
            Ok(Ending::Whole) => {
                self.tally.whole.fetch_add(1, Relaxed);
                self.tally.up.fetch_add(plan.up.map_or(0, |up| up.bytes), Relaxed);
                self.tally.down.fetch_add(plan.down.bytes, Relaxed);
                true
            }
            Ok(Ending::Left) => {
                self.tally.left.fetch_add(1, Relaxed);
                !sender.is_alone()
            }
            Ok(Ending::Unsent) => {
                self.unsent.lock().unwrap_or_else(PoisonError::into_inner).push(number);
                false
            }
            Err(fault) => {
                self.tally.fault(Some(number), &fault);
                !sender.is_alone()
            }
        }
    }

    fn take(&self) -> Option<u64> {
        if self.is_stopped() {
            return None;
        }
        let again = self.unsent.lock().unwrap_or_else(PoisonError::into_inner).pop();
        again.or_else(|| Some(self.next.fetch_add(1, Relaxed)).filter(|number| *number < self.requests))
    }

    fn is_over(&self) -> bool {
        let nothing_left = self.unsent.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        self.is_stopped() || (nothing_left && self.next.load(Relaxed) >= self.requests)
    }

    fn is_stopped(&self) -> bool {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        late || self.tally.faults() >= ENOUGH_FAULTS
    }
}
