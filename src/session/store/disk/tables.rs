//! What stands where in the file: the sessions, and the indexes they are found by.
//!
//! A session's entry has beside its row all that is needed to take it out of every index again, so that a session can
//! be removed whether its row is understood or not. What the indexes say is not trusted: it is the row, which cannot be
//! forged, that says whose session it is and which hashes lead to it.

use redb::Database;
use redb::ReadOnlyTable;
use redb::ReadTransaction;
use redb::ReadableDatabase;
use redb::ReadableTable;
use redb::ReadableTableMetadata;
use redb::Table;
use redb::TableDefinition;
use redb::TableError;
use redb::WriteTransaction;

use crate::clock::Timestamp;
use crate::session::id::SessionId;
use crate::session::store::Held;
use crate::session::store::row::Rows;
use crate::session::store::row::version_of;
use crate::session::token::TokenHash;

/// An entry: when the session is over if nobody uses it, its last-seen time, its user, its hashes one behind the other,
/// its row.
type Stored<'a> = (u64, &'a [u8], &'a str, &'a [u8], &'a [u8]);

/// Numbers about the file itself.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The sessions by id.
pub(super) const SESSIONS: TableDefinition<'_, u64, Stored<'static>> = TableDefinition::new("sessions");
/// Which session a hash leads to.
pub(super) const HASHES: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("hashes");
/// The sessions of each user.
pub(super) const USERS: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("users");
/// The sessions in the order of the moments they are over if nobody uses them: idle or absolute, whichever is earlier.
pub(super) const ENDS: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("ends");

/// Forms that are held, by their keys: until when, and sealed. No backup has them: their time is short.
const HELD: TableDefinition<'_, &[u8; 16], (u64, &[u8])> = TableDefinition::new("held");

/// Bytes of no meaning, written to see whether the disk works.
const TRIAL: TableDefinition<'_, (), &[u8]> = TableDefinition::new("trial");

/// What is kept of a session.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The earliest moment it can be over, in milliseconds.
    pub(super) end: u64,
    pub(super) seen: Vec<u8>,
    pub(super) user: String,
    pub(super) hashes: Vec<[u8; 32]>,
    pub(super) row: Vec<u8>,
}

impl Entry {
    fn of((end, seen, user, hashes, row): Stored<'_>) -> Self {
        let (hashes, _) = hashes.as_chunks();
        Self { end, seen: seen.to_vec(), user: user.to_owned(), hashes: hashes.to_vec(), row: row.to_vec() }
    }
}

/// That a session was used.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) id: SessionId,
    pub(super) at: Timestamp,
    /// The same time as the row's companion.
    pub(super) seen: Vec<u8>,
    /// When the session is over if nobody uses it again.
    pub(super) end: u64,
}

/// What is to be changed.
#[derive(Debug)]
pub(super) enum Change {
    Create {
        id: SessionId,
        entry: Entry,
        capacity: u64,
    },
    Replace {
        id: SessionId,
        version: u32,
        hashes: Vec<[u8; 32]>,
        row: Vec<u8>,
        /// When it is over from now on, if that changes.
        end: Option<u64>,
    },
    Touch(Vec<Use>),
    Remove(Vec<SessionId>),
    Hold {
        key: [u8; 16],
        until: u64,
        sealed: Vec<u8>,
        now: u64,
        room: u64,
    },
    /// Removes a form, if it is this one.
    TakeHeld {
        key: [u8; 16],
        sealed: Vec<u8>,
    },
    /// Removes those whose time is over at this moment.
    SweepHeld(u64),
    /// Writes so many bytes of no meaning in the place of those before.
    Try(usize),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Changed,
    /// There was nothing to change, or something in its place.
    Unchanged,
    /// There are as many sessions as there may be.
    Full,
}

impl Outcome {
    fn changed(changed: bool) -> Self {
        if changed { Self::Changed } else { Self::Unchanged }
    }
}

/// All tables, to be changed within one transaction.
pub(super) struct Tables<'txn> {
    sessions: Table<'txn, u64, Stored<'static>>,
    hashes: Table<'txn, &'static [u8; 32], u64>,
    users: Table<'txn, (&'static str, u64), ()>,
    ends: Table<'txn, (u64, u64), ()>,
    held: Table<'txn, &'static [u8; 16], (u64, &'static [u8])>,
    trial: Table<'txn, (), &'static [u8]>,
}

impl<'txn> Tables<'txn> {
    /// Opens the tables; makes those that are not there.
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            sessions: transaction.open_table(SESSIONS)?,
            hashes: transaction.open_table(HASHES)?,
            users: transaction.open_table(USERS)?,
            ends: transaction.open_table(ENDS)?,
            held: transaction.open_table(HELD)?,
            trial: transaction.open_table(TRIAL)?,
        })
    }

    /// How many sessions there are.
    pub(super) fn count(&self) -> Result<u64, redb::Error> {
        Ok(self.sessions.len()?)
    }

    pub(super) fn apply(&mut self, change: &Change, rows: &Rows) -> Result<Outcome, redb::Error> {
        match change {
            Change::Create { id, entry, capacity } => self.create(key(*id), entry, *capacity),
            Change::Replace { id, version, hashes, row, end } => {
                self.replace(key(*id), *version, (hashes, row), *end)
            }
            Change::Touch(uses) => self.each(uses, |tables, one| tables.touch(one, rows)),
            Change::Remove(ids) => self.each(ids, |tables, id| tables.remove(key(*id))),
            Change::Hold { key, until, sealed, now, room } => self.hold(key, (*until, sealed), *now, *room),
            Change::TakeHeld { key, sealed } => self.take_held(key, sealed),
            Change::SweepHeld(now) => self.sweep_held(*now),
            Change::Try(bytes) => {
                self.trial.insert((), vec![0; *bytes].as_slice())?;
                Ok(Outcome::Changed)
            }
        }
    }

    fn each<T>(
        &mut self,
        all: &[T],
        mut change: impl FnMut(&mut Self, &T) -> Result<bool, redb::Error>,
    ) -> Result<Outcome, redb::Error> {
        let mut changed = false;
        for one in all {
            changed |= change(self, one)?;
        }
        Ok(Outcome::changed(changed))
    }

    fn create(&mut self, id: u64, entry: &Entry, capacity: u64) -> Result<Outcome, redb::Error> {
        if self.sessions.get(id)?.is_some() || self.any_of_another(&entry.hashes, None)? {
            return Ok(Outcome::Unchanged);
        }
        if self.count()? >= capacity {
            return Ok(Outcome::Full);
        }
        for hash in &entry.hashes {
            self.hashes.insert(hash, id)?;
        }
        self.users.insert((entry.user.as_str(), id), ())?;
        self.ends.insert((entry.end, id), ())?;
        self.put(id, entry)?;
        Ok(Outcome::Changed)
    }

    fn replace(
        &mut self,
        id: u64,
        version: u32,
        (hashes, row): (&[[u8; 32]], &[u8]),
        end: Option<u64>,
    ) -> Result<Outcome, redb::Error> {
        let Some(mut entry) = self.entry(id)? else { return Ok(Outcome::Unchanged) };
        if version_of(&entry.row) != Some(version) || self.any_of_another(hashes, Some(id))? {
            return Ok(Outcome::Unchanged);
        }
        for gone in entry.hashes.iter().filter(|hash| !hashes.contains(hash)) {
            self.hashes.remove(gone)?;
        }
        for new in hashes.iter().filter(|hash| !entry.hashes.contains(hash)) {
            self.hashes.insert(new, id)?;
        }
        if let Some(end) = end {
            self.ends.remove((entry.end, id))?;
            self.ends.insert((end, id), ())?;
            entry.end = end;
        }
        entry.hashes = hashes.to_vec();
        entry.row = row.to_vec();
        self.put(id, &entry)?;
        Ok(Outcome::Changed)
    }

    fn touch(&mut self, one: &Use, rows: &Rows) -> Result<bool, redb::Error> {
        let id = key(one.id);
        let Some(mut entry) = self.entry(id)? else { return Ok(false) };
        if rows.read_seen(one.id, &entry.seen).is_none_or(|known| known >= one.at) {
            return Ok(false);
        }
        if entry.end != one.end {
            self.ends.remove((entry.end, id))?;
            self.ends.insert((one.end, id), ())?;
        }
        entry.end = one.end;
        entry.seen.clone_from(&one.seen);
        self.put(id, &entry)?;
        Ok(true)
    }

    fn remove(&mut self, id: u64) -> Result<bool, redb::Error> {
        let Some(entry) = self.entry(id)? else { return Ok(false) };
        for hash in &entry.hashes {
            self.hashes.remove(hash)?;
        }
        self.users.remove((entry.user.as_str(), id))?;
        self.ends.remove((entry.end, id))?;
        self.sessions.remove(id)?;
        Ok(true)
    }

    fn hold(
        &mut self,
        key: &[u8; 16],
        form: (u64, &[u8]),
        now: u64,
        room: u64,
    ) -> Result<Outcome, redb::Error> {
        let there = self.held.get(key)?.map(|held| held.value().0);
        if there.is_some_and(|until| until > now) {
            return Ok(Outcome::Unchanged);
        }
        if there.is_none() && self.held.len()? >= room {
            self.sweep_held(now)?;
            if self.held.len()? >= room {
                return Ok(Outcome::Full);
            }
        }
        self.held.insert(key, form)?;
        Ok(Outcome::Changed)
    }

    fn take_held(&mut self, key: &[u8; 16], sealed: &[u8]) -> Result<Outcome, redb::Error> {
        let there = self.held.get(key)?.is_some_and(|held| held.value().1 == sealed);
        if there {
            self.held.remove(key)?;
        }
        Ok(Outcome::changed(there))
    }

    fn sweep_held(&mut self, now: u64) -> Result<Outcome, redb::Error> {
        let before = self.held.len()?;
        self.held.retain(|_, (until, _)| until > now)?;
        Ok(Outcome::changed(self.held.len()? < before))
    }

    fn entry(&self, id: u64) -> Result<Option<Entry>, redb::Error> {
        Ok(self.sessions.get(id)?.map(|stored| Entry::of(stored.value())))
    }

    fn put(&mut self, id: u64, entry: &Entry) -> Result<(), redb::Error> {
        let hashes = entry.hashes.as_flattened();
        self.sessions.insert(id, (entry.end, &*entry.seen, &*entry.user, hashes, &*entry.row))?;
        Ok(())
    }

    fn any_of_another(&self, hashes: &[[u8; 32]], id: Option<u64>) -> Result<bool, redb::Error> {
        for hash in hashes {
            if self.hashes.get(hash)?.is_some_and(|found| Some(found.value()) != id) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Query {
    /// The session that a hash leads to.
    Hash(TokenHash),
    Id(SessionId),
    /// The sessions of a user.
    User(String),
    /// The sessions that may be over, at most so many.
    Overdue(Timestamp, usize),
    /// The sessions behind one, in the order of ids, at most so many.
    Behind(Option<SessionId>, usize),
}

/// The entries that a query is about. Whether a hash stands in the row is for the caller to see.
pub(super) fn answer(
    transaction: &ReadTransaction,
    query: &Query,
) -> Result<Vec<(SessionId, Entry)>, redb::Error> {
    let sessions = transaction.open_table(SESSIONS)?;
    let mut found = Vec::new();
    let mut add = |id: u64| -> Result<(), redb::Error> {
        found.extend(sessions.get(id)?.map(|stored| (session_id(id), Entry::of(stored.value()))));
        Ok(())
    };
    match query {
        Query::Id(id) => add(key(*id))?,
        Query::Hash(hash) => {
            if let Some(id) = transaction.open_table(HASHES)?.get(hash.as_bytes())? {
                add(id.value())?;
            }
        }
        Query::User(user) => {
            let user = user.as_str();
            for place in transaction.open_table(USERS)?.range((user, 0)..=(user, u64::MAX))? {
                add(place?.0.value().1)?;
            }
        }
        Query::Overdue(now, limit) => {
            let until = (now.as_millis(), u64::MAX);
            for place in transaction.open_table(ENDS)?.range(..=until)?.take(*limit) {
                add(place?.0.value().1)?;
            }
        }
        Query::Behind(from, limit) => {
            let first = from.map_or(Some(0), |from| key(from).checked_add(1));
            for place in
                first.map(|first| sessions.range(first..)).transpose()?.into_iter().flatten().take(*limit)
            {
                add(place?.0.value())?;
            }
        }
    }
    Ok(found)
}

/// The form that is held under this key.
pub(super) fn held(database: &Database, key: [u8; 16]) -> Result<Option<Held>, redb::Error> {
    let Some(table) = held_table(database)? else { return Ok(None) };
    Ok(table.get(&key)?.map(|held| {
        let (until, sealed) = held.value();
        Held { until: Timestamp::from_millis(until), sealed: sealed.into() }
    }))
}

/// Whether any is.
pub(super) fn holds_any(database: &Database) -> Result<bool, redb::Error> {
    Ok(match held_table(database)? {
        Some(table) => !table.is_empty()?,
        None => false,
    })
}

type Forms = ReadOnlyTable<&'static [u8; 16], (u64, &'static [u8])>;

/// A file of before there were any has no table for them until something is written.
fn held_table(database: &Database) -> Result<Option<Forms>, redb::Error> {
    match database.begin_read()?.open_table(HELD) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A session's id as a key.
pub(super) const fn key(id: SessionId) -> u64 {
    u64::from_be_bytes(id.to_bytes())
}

const fn session_id(key: u64) -> SessionId {
    SessionId::from_bytes(key.to_be_bytes())
}
