//! The thread that changes the file: what waits is done in one transaction, and answered when that is on the disk.

use std::iter;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use redb::Database;
use redb::ReadableDatabase;
use redb::ReadableTableMetadata;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::session::store::StoreError;
use crate::session::store::disk::Inner;
use crate::session::store::disk::tables::Change;
use crate::session::store::disk::tables::Outcome;
use crate::session::store::disk::tables::SESSIONS;
use crate::session::store::disk::tables::Tables;

/// So many changes go into one transaction at most: what nobody may have to wait for.
const BATCH: usize = 1024;

/// After a failure nothing is written for so long, and looking up goes on: where the disk is full every attempt would
/// have the file opened anew, and nobody can look anything up meanwhile.
const REST: Duration = Duration::from_secs(2);

/// A change, and who waits for it, if anybody does.
pub(super) struct Write {
    pub(super) change: Change,
    pub(super) answer: Option<oneshot::Sender<Result<Outcome, StoreError>>>,
}

impl Write {
    /// Whether nobody has given up waiting for it: who has was told that it failed.
    fn is_wanted(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| !answer.is_closed())
    }
}

/// When a change last failed, and why.
struct Failed {
    at: Timestamp,
    reason: String,
}

/// Makes changes until nobody can ask for one any more.
pub(super) fn run(inner: &Inner, waiting: &mpsc::Receiver<Write>) {
    let clock = Clock::system();
    let mut failed: Option<Failed> = None;
    while let Ok(first) = waiting.recv() {
        let mut batch: Vec<Write> = iter::once(first).chain(waiting.try_iter()).take(BATCH).collect();
        batch.retain(Write::is_wanted);
        failed = failed.filter(|failed| clock.now().since(failed.at) < REST);
        let done = match &failed {
            Some(failed) => Err(failed.reason.clone()),
            None => change(inner, &batch),
        };
        if let (None, Err(reason)) = (&failed, &done) {
            failed = Some(Failed { at: clock.now(), reason: reason.clone() });
        }
        let mut outcomes = done.map(Vec::into_iter);
        for Write { answer, .. } in batch {
            let outcome = match &mut outcomes {
                Ok(outcomes) => outcomes.next().ok_or_else(|| StoreError::new("a change was forgotten")),
                Err(reason) => Err(StoreError::new(reason.as_str())),
            };
            // Whoever asked may have gone.
            drop(answer.map(|answer| answer.send(outcome)));
        }
    }
}

/// Makes these changes, or none of them.
fn change(inner: &Inner, batch: &[Write]) -> Result<Vec<Outcome>, String> {
    if inner.database().is_none() {
        inner.reopen().map_err(|error| error.to_string())?;
    }
    commit(inner, batch.iter().map(|write| &write.change)).map_err(|error| {
        tracing::warn!(%error, "the session store could not be changed, and is opened anew");
        if let Err(error) = inner.reopen() {
            tracing::warn!(%error, "the session store cannot be used for now");
        }
        error.to_string()
    })
}

fn commit<'a>(inner: &Inner, changes: impl Iterator<Item = &'a Change>) -> Result<Vec<Outcome>, redb::Error> {
    let database = inner.database();
    let database = database.as_ref().ok_or(redb::Error::DatabaseClosed)?;
    let mut transaction = database.begin_write()?;
    // See the head of `disk`: a damaged file must not pass for one that was being written.
    transaction.set_two_phase_commit(true);
    let mut tables = Tables::open(&transaction)?;
    let outcomes: Result<Vec<_>, _> = changes.map(|change| tables.apply(change, &inner.rows)).collect();
    let (outcomes, count) = (outcomes?, tables.count()?);
    drop(tables);
    if outcomes.contains(&Outcome::Changed) {
        transaction.commit()?;
        inner.count.store(usize::try_from(count).unwrap_or(usize::MAX), Ordering::Relaxed);
    } else {
        transaction.abort()?;
    }
    Ok(outcomes)
}

/// How many sessions there are.
pub(super) fn count(database: &Database) -> Result<usize, redb::Error> {
    let sessions = database.begin_read()?.open_table(SESSIONS)?;
    Ok(usize::try_from(sessions.len()?).unwrap_or(usize::MAX))
}
