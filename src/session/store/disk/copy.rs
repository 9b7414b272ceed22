//! A copy of the file: the sessions as they are at one moment, and nothing of those that are gone.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use redb::Database;
use redb::Key;
use redb::ReadTransaction;
use redb::ReadableDatabase;
use redb::ReadableTable;
use redb::TableDefinition;
use redb::Value;
use redb::WriteTransaction;
use thiserror::Error;

use crate::files;
use crate::session::store::disk::file;
use crate::session::store::disk::file::OpenError;
use crate::session::store::disk::tables::ENDS;
use crate::session::store::disk::tables::HASHES;
use crate::session::store::disk::tables::SESSIONS;
use crate::session::store::disk::tables::USERS;

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The store itself cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Write {
        /// The copy.
        file: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// Copies the store in `path`, which nobody has open, into the new file `to`.
///
/// # Errors
/// If the store cannot be opened, or `to` is there already or cannot be written.
pub fn backup(path: &Path, to: &Path) -> Result<(), CopyError> {
    write(&file::open_existing(path)?, to)
}

/// Writes what is in `database` now into the new file `to`; changes made meanwhile go on, and are not in it.
pub(super) fn write(database: &Database, to: &Path) -> Result<(), CopyError> {
    let written = files::create_with(to, |copy| file::write_new(copy, |into| fill(database, into)));
    written.map_err(|source| CopyError::Write { file: to.to_owned(), source })
}

/// Puts a copy in the place of the store in `path`, which nobody has open, and tells how many bytes the file had and
/// has. What was removed from it is then in no file.
///
/// # Errors
/// If the store cannot be opened, or the folder cannot be written: then it stays as it is.
pub fn compact(path: &Path) -> Result<(u64, u64), CopyError> {
    let failed = |source| CopyError::Write { file: path.to_owned(), source };
    let length = || Ok(path.metadata()?.len());
    // Held to the end, so that nobody changes what is about to be replaced.
    let database = file::open_existing(path)?;
    let before = length().map_err(failed)?;
    files::replace_with(path, |copy| file::write_new(copy, |into| fill(&database, into))).map_err(failed)?;
    Ok((before, length().map_err(failed)?))
}

fn fill(database: &Database, into: &WriteTransaction) -> Result<(), redb::Error> {
    let from = database.begin_read()?;
    table(&from, into, SESSIONS)?;
    table(&from, into, HASHES)?;
    table(&from, into, USERS)?;
    table(&from, into, ENDS)
}

/// In the order of the keys, which is the quickest way to fill a table.
fn table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    into: &WriteTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<(), redb::Error> {
    let (from, mut into) = (from.open_table(table)?, into.open_table(table)?);
    for entry in from.iter()? {
        let (key, value) = entry?;
        into.insert(key.value(), value.value())?;
    }
    Ok(())
}
