//! The gateway's own key, in a file that nobody else can read.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::crypto;
use crate::crypto::Key;

/// Why the key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read or made.
    #[error("cannot use the key file {file}: {source}")]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read it.
    #[error("the key file {file} can be read by others; run `chmod 600 {file}`")]
    Exposed {
        /// The file.
        file: PathBuf,
    },
    /// It holds no key.
    #[error("the key file {file} holds no key of 32 bytes in base64url; remove it and a new one is made")]
    NoKey {
        /// The file.
        file: PathBuf,
    },
}

/// Reads the key in `file`, or makes both where there is no file yet.
pub(crate) fn load_or_make(file: &Path) -> Result<Key, KeysError> {
    let failed = |source| KeysError::Io { file: file.to_owned(), source };
    match fs::read_to_string(file) {
        Ok(text) => read(file, &Zeroizing::new(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(file).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

fn read(file: &Path, text: &str) -> Result<Key, KeysError> {
    let metadata = fs::metadata(file).map_err(|source| KeysError::Io { file: file.to_owned(), source })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeysError::Exposed { file: file.to_owned() });
    }
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    first
        .and_then(|line| crypto::from_base64url(line.as_bytes()))
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .map(Key::from_bytes)
        .ok_or_else(|| KeysError::NoKey { file: file.to_owned() })
}

fn make(file: &Path) -> io::Result<Key> {
    let bytes: [u8; 32] = crypto::random();
    let line = Zeroizing::new(format!("{}\n", crypto::base64url(&bytes)));
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    new.write_all(line.as_bytes())?;
    new.sync_all()?;
    Ok(Key::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let made = load_or_make(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let read = load_or_make(&file).unwrap();
        assert_eq!(made.mac("test").sign(&[b"x"]), read.mac("test").sign(&[b"x"]));
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        fs::write(&file, "not a key\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(load_or_make(&file), Err(KeysError::NoKey { .. })));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_make(&file), Err(KeysError::Exposed { .. })));
    }
}
