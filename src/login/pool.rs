//! Threads for slow work (password hashes, the users file), so that no worker's event loop ever waits for it.
//!
//! Few threads, of low priority, behind a short queue: a storm of logins can use up neither the processor nor the
//! memory that proxied traffic needs. Whoever finds the queue full, or waits too long in it, is told to come again.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// There is more slow work than can be done soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much slow work is waiting")]
pub(crate) struct Busy;

/// The threads and their queue. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct Pool {
    jobs: mpsc::SyncSender<Job>,
    patience: Duration,
}

impl Pool {
    /// So many jobs wait at most.
    const QUEUE: usize = 64;

    /// So long a job may wait in the queue. Once begun it is waited for: what it did must not be told wrong.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// How much less important than other threads these are (`nice`).
    const NICENESS: i32 = 10;

    /// Half as many threads as processors, at least one.
    pub(crate) fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self::with((processors / 2).max(1), Self::QUEUE, Self::PATIENCE)
    }

    fn with(threads: usize, queue: usize, patience: Duration) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel::<Job>(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new().name(format!("slow-{number}")).spawn(move || work(&receiver))?;
        }
        Ok(Self { jobs: sender, patience })
    }

    /// Runs `job` on one of the threads. It is begun soon or not at all: [`Busy`] says that nothing was done, or that
    /// the job panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (start, mut begun) = oneshot::channel();
        let (finish, finished) = oneshot::channel();
        let job = move || {
            // Fails where nobody waits any more: then it is not begun.
            if start.send(()).is_ok() {
                drop(finish.send(job()));
            }
        };
        self.jobs.try_send(Box::new(job)).map_err(|_full| Busy)?;
        if tokio::time::timeout(self.patience, &mut begun).await.is_err() {
            begun.close();
            // It may have begun in this very moment.
            begun.try_recv().map_err(|_not_begun| Busy)?;
        }
        finished.await.map_err(|_panicked| Busy)
    }
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    // On Linux a thread has its own niceness. Without it the work is done all the same.
    if let Err(error) = rustix::process::nice(Pool::NICENESS) {
        tracing::debug!(%error, "the threads for slow work run at normal priority");
    }
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else {
            return;
        };
        // One job's panic must not take the thread with it: its asker sees the channel close.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            tracing::error!("a piece of slow work panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_runs_on_a_thread_of_its_own() {
        let pool = Pool::start().unwrap();
        let name = pool.run(|| thread::current().name().map(String::from)).await.unwrap();
        assert!(name.unwrap().starts_with("slow-"));
    }

    #[tokio::test]
    async fn a_full_queue_says_so_at_once_and_a_panic_ends_only_its_job() {
        let pool = Arc::new(Pool::with(1, 1, Pool::PATIENCE).unwrap());
        let (release, blocked) = mpsc::channel::<()>();
        let (begun, running) = oneshot::channel();
        let hold = move || {
            begun.send(()).unwrap();
            blocked.recv().unwrap();
        };
        let busy = Arc::clone(&pool);
        let first = tokio::spawn(async move { busy.run(hold).await });
        running.await.unwrap();
        let second = pool.run(|| panic!("on purpose"));
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(pool.run(|| ()).await, Err(Busy));
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(()));
        assert_eq!(second.await, Err(Busy));
        assert_eq!(pool.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn only_the_wait_in_the_queue_is_limited() {
        let pool = Arc::new(Pool::with(1, 2, Duration::from_millis(20)).unwrap());
        let (release, blocked) = mpsc::channel::<()>();
        let (begun, running) = oneshot::channel();
        let hold = move || {
            begun.send(()).unwrap();
            blocked.recv().unwrap();
        };
        let long = pool.run(hold);
        tokio::pin!(long);
        assert!(futures_util::poll!(&mut long).is_pending());
        running.await.unwrap();
        assert!(futures_util::poll!(&mut long).is_pending());
        let (done, never) = mpsc::channel::<()>();
        assert_eq!(pool.run(move || done.send(()).is_ok()).await, Err(Busy));
        release.send(()).unwrap();
        assert_eq!(long.await, Ok(()), "it ran longer than a job may wait");
        assert_eq!(pool.run(|| 7).await, Ok(7));
        assert!(never.try_recv().is_err(), "a job that was given up was begun");
    }
}
