//! The users file on disk: read whole, written whole, never half.

use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use crate::crypto::sha256;
use crate::files;
use crate::login::users::Users;
use crate::login::users::document::Document;
use crate::login::users::document::Problem;

/// Why the users file could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It is not there.
    #[error("there is no users file {}: make one with `vestibule users add NAME --file {}`", path.display(), path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It, or its directory, cannot be read or written.
    #[error("cannot {doing} the users file {}", path.display())]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in it is wrong.
    #[error("{}", listed(path, problems))]
    Problems {
        /// The file.
        path: PathBuf,
        /// All of them.
        problems: Vec<Problem>,
    },
    /// It has no user of this name.
    #[error("there is no user {0:?}")]
    NoSuchUser(String),
    /// It has a user of this name already.
    #[error("there is a user {0:?} already; `vestibule users passwd` gives a new password")]
    Exists(String),
}

fn listed(path: &Path, problems: &[Problem]) -> String {
    let mut out = String::new();
    for problem in problems {
        let separator = if out.is_empty() { "" } else { "\n" };
        let line = problem.line.map_or_else(String::new, |line| format!("{line}: "));
        // Writing to a String cannot fail.
        write!(out, "{separator}{}:{line}{}", path.display(), problem.message).unwrap_or_default();
    }
    out
}

/// A users file as it was read.
#[derive(Debug)]
pub struct Loaded {
    /// Everybody in it.
    pub users: Users,
    /// What is no error but should be mended.
    pub warnings: Vec<String>,
    /// SHA-256 of its text.
    pub(crate) digest: [u8; 32],
}

impl Loaded {
    /// A file without anybody in it.
    pub(crate) fn nobody() -> Self {
        Self { users: Users::default(), warnings: Vec::new(), digest: sha256(b"") }
    }
}

/// More than any list of people by hand.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Reads and checks the users file.
pub fn load(path: &Path) -> Result<Loaded, UsersError> {
    let (text, mode) = read(path)?;
    let users = Users::parse(&text, path)?;
    let mut warnings = Vec::new();
    if let Some(exposed) = files::exposure(mode) {
        let path = path.display();
        warnings.push(format!("{path} {exposed} (mode {:o}); run `chmod 600 {path}`", mode & 0o777));
    }
    Ok(Loaded { users, warnings, digest: sha256(text.as_bytes()) })
}

/// Changes the users file, making it if it is missing: reads it, lets `change` do its work, checks the outcome and puts
/// it in place of the old file at once, with its owner and mode; a new one has mode 0600. Whoever changes it at the same
/// time waits. Blocks: not for a worker's thread.
pub fn edit<T>(
    path: &Path,
    change: impl FnOnce(&mut Document) -> Result<T, UsersError>,
) -> Result<T, UsersError> {
    // Through a symbolic link the file itself is replaced, not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |source| UsersError::Io { doing: "write", path: path.clone(), source };
    // The lock is on the directory: the file is replaced, and a lock on it would be replaced with it.
    let lock = File::open(files::folder(path)).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let old = match read(path) {
        Ok((text, _)) => text,
        Err(UsersError::Missing { .. }) => String::new(),
        Err(other) => return Err(other),
    };
    let mut document = Document::parse(&old)
        .map_err(|problem| UsersError::Problems { path: path.clone(), problems: vec![problem] })?;
    let outcome = change(&mut document)?;
    let text = document.render(&old);
    Users::parse(&text, path)?;
    files::rewrite(path, text.as_bytes()).map_err(failed)?;
    Ok(outcome)
}

fn read(path: &Path) -> Result<(String, u32), UsersError> {
    let attempt = || {
        let file = files::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        let mut text = String::new();
        let length = file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        if length as u64 > MAX_BYTES {
            return Err(io::Error::other("it is larger than 16 MiB"));
        }
        Ok((text, mode))
    };
    attempt().map_err(|source| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            UsersError::Missing { path }
        } else {
            UsersError::Io { doing: "read", path, source }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::users::document::Entry;

    const PHC: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn entry() -> Entry {
        Entry { password: PHC.to_owned(), ..Entry::default() }
    }

    fn add(path: &Path, name: &str) -> Result<(), UsersError> {
        edit(path, |document| {
            let added = document.add(name, entry());
            added.then_some(()).ok_or_else(|| UsersError::Exists(name.to_owned()))
        })
    }

    #[test]
    fn a_missing_file_is_made_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.yaml");
        assert!(matches!(load(&path), Err(UsersError::Missing { .. })));
        add(&path, "alice").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let loaded = load(&path).unwrap();
        assert_eq!((loaded.users.len(), loaded.warnings.len()), (1, 0));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.yaml");
        std::thread::scope(|scope| {
            for n in 0..20 {
                let path = &path;
                scope.spawn(move || add(path, &format!("user{n}")).unwrap());
            }
        });
        assert_eq!(load(&path).unwrap().users.len(), 20);
    }

    #[test]
    fn a_change_that_would_break_the_file_leaves_it_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.yaml");
        add(&path, "alice").unwrap();
        let before = fs::read_to_string(&path).unwrap();
        let broken = edit(&path, |document| {
            document.add("bob", Entry::default());
            Ok(())
        });
        assert!(matches!(broken, Err(UsersError::Problems { .. })));
        assert!(matches!(add(&path, "alice"), Err(UsersError::Exists(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }

    #[test]
    fn who_may_read_the_file_is_not_changed_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.yaml");
        add(&path, "alice").unwrap();
        for mode in [0o640, 0o400, 0o600] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            add(&path, &format!("user{mode}")).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_file_others_can_read_is_warned_about() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.yaml");
        add(&path, "alice").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let warnings = load(&path).unwrap().warnings;
        assert!(warnings.iter().any(|text| text.contains("chmod 600")));
    }
}
