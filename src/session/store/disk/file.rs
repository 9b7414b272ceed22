//! The file: made whole and private, opened by one process alone, and refused where it is not what it should be.
//! It is never begun anew: that would log everybody out and say nothing.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use redb::Builder;
use redb::Database;
use redb::DatabaseError;
use redb::ReadableDatabase;
use redb::WriteTransaction;
use redb::backends::FileBackend;
use thiserror::Error;

use crate::files;
use crate::session::store::disk::tables::META;
use crate::session::store::disk::tables::Tables;

/// The form of the tables that this version writes and reads.
const FORMAT: u64 = 1;

/// Where the form is noted.
const FORMAT_KEY: &str = "format";

/// So much of the file is kept in memory, beside what the system keeps of it.
const CACHE_BYTES: usize = 64 << 20;

/// Why a store's file cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the session store {} is in use by another process{}: end that one, or give this gateway a file of its own with `session.store: {{ disk: PATH }}`",
        file.display(), holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The file.
        file: PathBuf,
        /// Which process, where the system tells.
        holder: Option<u32>,
    },
    /// Others may read or write it.
    #[error("the session store {} is open to others (mode {mode:04o}): `chmod 600 {0}`", file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not whole, or something else.
    #[error(
        "the session store {} is damaged ({reason}): put a backup in its place, or move it away; a new one is made then, and everybody logs in again",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A later version wrote it.
    #[error(
        "the session store {} has format {format}, which a later version wrote (this one knows {FORMAT}): run that version, or move the file away; a new one is made then, and everybody logs in again",
        file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format.
        format: u64,
    },
    /// The system does not let it be opened or made.
    #[error("the session store {} cannot be opened: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Opens the store in `path`; makes it, if there is none. Everything in it is checked: a file that was damaged must not
/// come to light in the middle of somebody's request.
pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
    if !path.try_exists().map_err(|source| OpenError::Io { file: path.to_owned(), source })? {
        make(path)?;
    }
    open_existing(path)
}

/// Opens the store in `path`, which must be there, as [`open`] does.
pub(super) fn open_existing(path: &Path) -> Result<Database, OpenError> {
    open_with(path, Check::Everything)
}

/// Opens the store in `path`, which this process has just had open.
pub(super) fn open_again(path: &Path) -> Result<Database, OpenError> {
    open_with(path, Check::Nothing)
}

/// How much of a file is looked at when it is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Everything,
    Nothing,
}

fn open_with(path: &Path, check: Check) -> Result<Database, OpenError> {
    let io = |source| OpenError::Io { file: path.to_owned(), source };
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(OpenError::Exposed { file: path.to_owned(), mode });
    }
    if about.len() == 0 {
        return Err(OpenError::Damaged { file: path.to_owned(), reason: "it is empty".to_owned() });
    }
    let database = database(file, check).map_err(|error| refused(path, error.into()))?;
    match format(&database).map_err(|error| refused(path, error))? {
        Some(FORMAT) => Ok(database),
        Some(format) => Err(OpenError::Newer { file: path.to_owned(), format }),
        None => {
            Err(OpenError::Damaged { file: path.to_owned(), reason: "it is no store of sessions".to_owned() })
        }
    }
}

/// Makes an empty store, whole or not at all. That another process was faster is fine.
fn make(path: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { file: path.to_owned(), source };
    match files::create_with(path, |file| write_new(file, |transaction| Tables::open(transaction).map(drop)))
    {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a store into an empty file.
pub(super) fn write_new(
    file: File,
    write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> io::Result<()> {
    let begin = || -> Result<(), redb::Error> {
        let database = database(file, Check::Nothing)?;
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
        write(&transaction)?;
        transaction.commit()?;
        Ok(database.close()?)
    };
    begin().map_err(io::Error::other)
}

fn database(file: File, check: Check) -> Result<Database, DatabaseError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(check == Check::Everything);
    builder.create_with_backend(FileBackend::new(file)?)
}

fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    let meta = database.begin_read()?.open_table(META);
    match meta {
        Ok(meta) => Ok(meta.get(FORMAT_KEY)?.map(|format| format.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What an error means for the file in `path`.
pub(super) fn refused(path: &Path, error: redb::Error) -> OpenError {
    let file = path.to_owned();
    if matches!(error, redb::Error::DatabaseAlreadyOpen) {
        return OpenError::InUse { holder: holder(path), file };
    }
    let reason = error.to_string();
    if let redb::Error::Io(source) = error
        // Of these kinds is what redb says of what it read; all others are the system's.
        && ![io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof].contains(&source.kind())
    {
        return OpenError::Io { file, source };
    }
    OpenError::Damaged { file, reason }
}

/// The process that has the file locked, as far as this one may see it.
fn holder(path: &Path) -> Option<u32> {
    let inode = format!(":{}", fs::metadata(path).ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        // 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
        let pid = words.nth(4)?.parse().ok()?;
        (words.next()?.ends_with(&inode) && pid > 0).then_some(pid)
    })
}
