//! The admin socket as a file: for the gateway's own user and root alone, from its first moment to its last.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::FlockOperation;
use rustix::fs::flock;

use crate::files;

/// Longer paths do not fit into a socket's address (`sockaddr_un`, with its closing NUL).
const MAX_PATH: usize = 107;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another gateway answers there.
    #[error(
        "another gateway answers on {0}; give this one a `state_dir` of its own, or another `listen.admin_socket`"
    )]
    InUse(PathBuf),
    /// Something stands there that is no socket.
    #[error("{0} is there and is no socket, so it stays; set `listen.admin_socket` to another file")]
    NotASocket(PathBuf),
    /// The path is too long for a socket.
    #[error(
        "{0} is longer than the {MAX_PATH} bytes of a socket's path; set `listen.admin_socket` to a shorter one, or to `null`"
    )]
    TooLong(PathBuf),
    /// The system said no.
    #[error(
        "cannot open the admin socket {path}: {source}; set `listen.admin_socket` to a file in a folder that can be written, or to `null`"
    )]
    System {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A socket that listens, and its file, which goes when this is dropped.
#[derive(Debug)]
pub struct Socket {
    pub(crate) listener: UnixListener,
    pub(crate) file: Entry,
}

/// A file by its path, and which one it is: somebody else may put another there.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
    identity: (u64, u64),
}

impl Socket {
    /// Opens the socket at `path`. What a dead gateway left there is replaced; a living one's socket is not touched.
    ///
    /// # Errors
    /// If the file cannot be made, or if something else is in its place.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        if path.as_os_str().len() > MAX_PATH {
            return Err(SocketError::TooLong(path.to_owned()));
        }
        let system = |source| SocketError::System { path: path.to_owned(), source };
        let folder = files::folder(path);
        // Two that start at once would each find nobody there. Given back when the folder is closed.
        let held = File::open(folder).map_err(system)?;
        flock(&held, FlockOperation::LockExclusive).map_err(|error| system(error.into()))?;
        refuse_if_taken(path)?;
        let (listener, identity) = listen(folder, path).map_err(system)?;
        Ok(Self { listener, file: Entry { path: path.to_owned(), identity } })
    }
}

/// Whether the path is free, or can be made so.
fn refuse_if_taken(path: &Path) -> Result<(), SocketError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(SocketError::System { path: path.to_owned(), source }),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        // Nobody listens: its process is gone.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(SocketError::InUse(path.to_owned())),
    }
}

/// Bound inside a folder that nobody else can enter, and moved to its place when its mode is right: there is no moment
/// in which others could connect, and no umask of the whole process to be changed for it.
fn listen(folder: &Path, path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let shelter =
        tempfile::Builder::new().prefix(".").permissions(Permissions::from_mode(0o700)).tempdir_in(folder)?;
    let first = shelter.path().join("s");
    let listener = UnixListener::bind(&first)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&first, Permissions::from_mode(0o600))?;
    let made = fs::symlink_metadata(&first)?;
    fs::rename(&first, path)?;
    Ok((listener, identity(&made)))
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Drop for Entry {
    fn drop(&mut self) {
        let own = fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity);
        if own && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the admin socket's file stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_and_gone_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left there");
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_dead_process_left_is_replaced_and_a_living_one_is_not_disturbed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let socket = Socket::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::InUse(_))));
        UnixStream::connect(&path).unwrap();
        // Whoever takes the place of a socket keeps it.
        fs::remove_file(&path).unwrap();
        let next = Socket::bind(&path).unwrap();
        drop(socket);
        UnixStream::connect(&path).unwrap();
        drop(next);
    }

    #[test]
    fn what_is_no_socket_stays_and_long_paths_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let long = folder.path().join("x".repeat(100));
        assert!(matches!(Socket::bind(&long), Err(SocketError::TooLong(_))));
        let nowhere = folder.path().join("no/admin.sock");
        assert!(matches!(Socket::bind(&nowhere), Err(SocketError::System { .. })));
    }
}
