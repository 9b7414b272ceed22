//! The threads that look sessions up.

use std::iter;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use redb::ReadTransaction;
use redb::ReadableDatabase;
use tokio::sync::oneshot;

use crate::session::id::SessionId;
use crate::session::live::Session;
use crate::session::store::StoreError;
use crate::session::store::disk::Inner;
use crate::session::store::disk::tables;
use crate::session::store::disk::tables::Change;
use crate::session::store::disk::tables::Entry;
use crate::session::store::disk::tables::Query;
use crate::session::store::disk::writer::Write;

/// So many questions are answered out of one transaction at most.
const BATCH: usize = 64;

/// A question, and who asks it.
pub(super) struct Read {
    pub(super) query: Query,
    pub(super) answer: oneshot::Sender<Result<Found, StoreError>>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sessions: Vec<Arc<Session>>,
    /// The last one that was looked at, whether it could be read or not.
    pub(super) last: Option<SessionId>,
}

/// Answers until nobody can ask any more.
pub(super) fn run(inner: &Inner, asked: &Mutex<mpsc::Receiver<Read>>, writes: &mpsc::Sender<Write>) {
    while let Some(batch) = next(asked) {
        // Begun after all of them were asked: each sees what was answered before it was.
        let database = inner.database();
        let transaction = match database.as_ref() {
            Some(database) => database.begin_read().map_err(redb::Error::from),
            None => Err(redb::Error::DatabaseClosed),
        };
        for Read { query, answer } in batch {
            let found = transaction.as_ref().map_err(|error| StoreError::new(error.to_string()));
            let found = found.and_then(|transaction| look_up(inner, transaction, &query, writes));
            if found.is_err() {
                wake(writes);
            }
            // Whoever asked may have gone.
            drop(answer.send(found));
        }
    }
}

/// What is asked by now, at least one thing; nothing when nobody can ask any more.
fn next(asked: &Mutex<mpsc::Receiver<Read>>) -> Option<Vec<Read>> {
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let first = asked.recv().ok()?;
    Some(iter::once(first).chain(asked.try_iter()).take(BATCH).collect())
}

fn look_up(
    inner: &Inner,
    transaction: &ReadTransaction,
    query: &Query,
    writes: &mpsc::Sender<Write>,
) -> Result<Found, StoreError> {
    let entries = tables::answer(transaction, query).map_err(|error| StoreError::new(error.to_string()))?;
    let (mut found, mut unreadable) = (Found::default(), Vec::new());
    for (id, Entry { row, seen, .. }) in entries {
        found.last = Some(id);
        match inner.rows.read(id, &row, &seen) {
            Some(session) => found.sessions.push(Arc::new(session)),
            None => unreadable.push(id),
        }
    }
    inner.unreadable.tell(unreadable.len());
    if let Query::Overdue(now, _) = query {
        found.sessions.retain(|session| session.is_overdue(*now));
        if !unreadable.is_empty() {
            // Whoever sweeps cannot remove what nobody can read.
            change(writes, Change::Remove(unreadable));
        }
    }
    Ok(found)
}

/// Has the writer find out whether the file must be opened anew.
fn wake(writes: &mpsc::Sender<Write>) {
    change(writes, Change::Remove(Vec::new()));
}

/// Asks for a change that nobody waits for.
fn change(writes: &mpsc::Sender<Write>, change: Change) {
    drop(writes.send(Write { change, answer: None }));
}

/// Counts the sessions that cannot be read, and tells of them now and then: there may be a million after a key was lost.
#[derive(Debug, Default)]
pub(super) struct Unreadable(AtomicU64);

impl Unreadable {
    fn tell(&self, more: usize) {
        let Some(more) = u64::try_from(more).ok().filter(|more| *more > 0) else { return };
        let before = self.0.fetch_add(more, Ordering::Relaxed);
        // The first, the second, the fourth, the eighth.
        if (before + more).checked_ilog2() > before.checked_ilog2() {
            tracing::warn!(
                so_far = before + more,
                "a stored session cannot be read: its key is gone from `keys`, or somebody changed the file"
            );
        }
    }
}
