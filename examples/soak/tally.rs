//! What was seen, counted by all tasks at once.

use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// So many failures are told in words; the others are only counted.
const TOLD: usize = 10;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No answer, or not the status that was due.
    Failed(String),
    /// The answer, or a part of it, belongs to somebody else or to another request.
    MixedUp(String),
    /// Bytes are missing, on the way up or down.
    Lost(String),
}

/// The counters.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) whole: AtomicU64,
    pub(crate) left: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) up: AtomicU64,
    pub(crate) down: AtomicU64,
    failed: AtomicU64,
    mixed_up: AtomicU64,
    lost: AtomicU64,
    told: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn fault(&self, number: Option<u64>, fault: &Fault) {
        let (counter, kind, text) = match fault {
            Fault::Failed(text) => (&self.failed, "failed", text),
            Fault::MixedUp(text) => (&self.mixed_up, "mixed up", text),
            Fault::Lost(text) => (&self.lost, "bytes lost", text),
        };
        counter.fetch_add(1, Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD {
            let subject =
                number.map_or_else(|| "connection".to_owned(), |number| format!("request {number}"));
            told.push(format!("{subject} {kind}: {text}"));
        }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.whole.load(Relaxed) + self.left.load(Relaxed)
    }

    pub(crate) fn faults(&self) -> u64 {
        self.failed.load(Relaxed) + self.mixed_up.load(Relaxed) + self.lost.load(Relaxed)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let mib = |counter: &AtomicU64| counter.load(Relaxed) >> 20;
        writeln!(formatter, "whole answers    {:>12}", count(&self.whole))?;
        writeln!(formatter, "left on purpose  {:>12}", count(&self.left))?;
        writeln!(formatter, "connections      {:>12}", count(&self.connections))?;
        writeln!(formatter, "MiB up           {:>12}", mib(&self.up))?;
        writeln!(formatter, "MiB down         {:>12}", mib(&self.down))?;
        writeln!(formatter, "failed           {:>12}", count(&self.failed))?;
        writeln!(formatter, "mixed up         {:>12}", count(&self.mixed_up))?;
        write!(formatter, "bytes lost       {:>12}", count(&self.lost))?;
        for line in self.told.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            write!(formatter, "\n  {line}")?;
        }
        Ok(())
    }
}
