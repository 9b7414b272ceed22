//! Where finished lines leave the process: a bounded buffer in memory and a thread that writes it out.
//!
//! Whoever logs appends to a buffer and goes on; only the outlet's own thread ever waits for a disk or a pipe. A
//! buffer that is full loses the line and counts it. With several shards each worker thread appends to its own, so
//! that no lock is shared by workers: the writing thread takes a shard's lock only to swap its buffer for an empty
//! one.

use std::cell::Cell;
use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::Thread;
use std::time::Duration;

/// How long [`Outlet::flush`] waits for a sink that does not take its lines.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Before a sink that is full for the moment (`WouldBlock`, a shared terminal) is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// The measures of an outlet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The thread's name.
    pub(crate) name: &'static str,
    /// How many buffers; one keeps the order of all lines, more keep that of each thread's.
    pub(crate) shards: usize,
    /// Bytes a buffer holds before lines are lost.
    pub(crate) capacity: usize,
    /// How long lines may gather before they are written together, while lines keep coming.
    pub(crate) gather: Option<Duration>,
}

/// The way out for lines; dropping it writes what is left.
#[derive(Debug)]
pub(crate) struct Outlet {
    shared: Arc<Shared>,
    writer: Thread,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    shards: Box<[Shard]>,
    asleep: AtomicBool,
    closing: AtomicBool,
    lost: AtomicU64,
    flushes: Mutex<Flushes>,
    flushed: Condvar,
}

/// Alone on its cache lines: two workers' buffers must not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Vec<u8>>);

#[derive(Debug, Default)]
struct Flushes {
    asked: u64,
    done: u64,
    /// Somebody waited in vain, and nothing was written since.
    stuck: bool,
}

impl Outlet {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(plan: Plan, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            plan,
            shards: (0..plan.shards.max(1)).map(|_| Shard::default()).collect(),
            asleep: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            flushes: Mutex::default(),
            flushed: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        let handle = thread::Builder::new()
            .name(plan.name.to_owned())
            .spawn(move || for_thread.run(Sink::new(sink)))?;
        let writer = handle.thread().clone();
        Ok(Self { shared, writer })
    }

    /// Lets `write` append one line, or loses it if the buffer is full. Says whether it was taken.
    pub(crate) fn line(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut pending = self.shared.own_shard().lock();
        if pending.len() >= self.shared.plan.capacity {
            drop(pending);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        write(&mut pending);
        drop(pending);
        // Seen by the shard's lock: the thread looks into each shard once more after it set the flag.
        if self.shared.asleep.load(Ordering::Relaxed) {
            self.writer.unpark();
        }
        true
    }

    /// How many lines were lost since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Waits until everything appended before is written, at most two seconds, and not again for a sink that has let
    /// somebody wait in vain: one that is stuck must not hold up the process's end.
    pub(crate) fn flush(&self) {
        let mut flushes = lock(&self.shared.flushes);
        if flushes.stuck {
            return;
        }
        flushes.asked += 1;
        let mine = flushes.asked;
        self.writer.unpark();
        let unwritten = |flushes: &mut Flushes| flushes.done < mine;
        let waited = self.shared.flushed.wait_timeout_while(flushes, FLUSH_PATIENCE, unwritten);
        let (mut flushes, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        flushes.stuck = waited.timed_out();
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.flush();
        self.shared.closing.store(true, Ordering::SeqCst);
        self.writer.unpark();
    }
}

impl Shared {
    fn own_shard(&self) -> &Shard {
        // The slice has at least one element, so the fall-back is never taken.
        self.shards.get(thread_number() % self.shards.len()).unwrap_or(&EMPTY)
    }

    fn run<W: Write>(&self, mut sink: Sink<W>) {
        let mut batch = Vec::new();
        loop {
            let closing = self.closing.load(Ordering::SeqCst);
            let asked = lock(&self.flushes).asked;
            let mut wrote = false;
            for shard in &self.shards {
                batch.clear();
                std::mem::swap(&mut *shard.lock(), &mut batch);
                if !batch.is_empty() {
                    wrote = true;
                    self.lost.fetch_add(sink.write_lines(&batch, self.plan.name), Ordering::Relaxed);
                }
            }
            let mut flushes = lock(&self.flushes);
            (flushes.done, flushes.stuck) = (asked, false);
            drop(flushes);
            self.flushed.notify_all();
            if closing {
                return;
            }
            match self.plan.gather {
                Some(gather) if wrote => thread::park_timeout(gather),
                Some(_) | None if !wrote => self.sleep(),
                Some(_) | None => {}
            }
        }
    }

    fn sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        // A line appended before its shard was looked at here is found; one appended after sees the flag.
        if self.shards.iter().all(|shard| shard.lock().is_empty()) {
            thread::park();
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}

static EMPTY: Shard = Shard(Mutex::new(Vec::new()));

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        lock(&self.0)
    }
}

/// The far end, and whether a line broke off there.
struct Sink<W> {
    to: W,
    torn: bool,
    failing: bool,
}

impl<W: Write> Sink<W> {
    fn new(to: W) -> Self {
        Self { to, torn: false, failing: false }
    }

    /// Writes whole lines and says how many did not make it.
    fn write_lines(&mut self, lines: &[u8], name: &str) -> u64 {
        // A line that broke off must not swallow the next one.
        if self.torn && self.write_all(b"\n").is_ok() {
            self.torn = false;
        }
        match self.write_all(lines) {
            Ok(()) => {
                self.failing = false;
                0
            }
            Err(Unwritten { rest, error }) => {
                let written = lines.len() - rest.len();
                self.torn |= written > 0 && lines.get(written - 1) != Some(&b'\n');
                if !self.failing {
                    tracing::error!(log = name, %error, "log lines are being lost");
                }
                self.failing = true;
                rest.split(|byte| *byte == b'\n').skip(1).count() as u64
            }
        }
    }

    fn write_all<'a>(&mut self, bytes: &'a [u8]) -> Result<(), Unwritten<'a>> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.to.write(rest) {
                Ok(0) => return Err(unwritten(rest, io::ErrorKind::WriteZero.into())),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(RETRY),
                Err(error) => return Err(unwritten(rest, error)),
            }
        }
        self.to.flush().map_err(|error| unwritten(rest, error))
    }
}

struct Unwritten<'a> {
    rest: &'a [u8],
    error: io::Error,
}

fn unwritten(rest: &[u8], error: io::Error) -> Unwritten<'_> {
    Unwritten { rest, error }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a line was written leaves at worst a broken line, never a state that lies.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number of its own for each thread, in the order in which threads first log.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static NUMBER: Cell<Option<usize>> = const { Cell::new(None) } }
    NUMBER.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    })
}

#[cfg(test)]
pub(crate) mod tests;
