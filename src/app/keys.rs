//! The gateway's own keys: read from their file, which is made at the first start.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::config::keys;
use crate::crypto;
use crate::crypto::Key;
use crate::crypto::Keys;
use crate::files;

/// Why the keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be used as it is.
    #[error("the key file {file} cannot be used: {source}")]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: keys::KeysError,
    },
    /// The file is not there and cannot be made.
    #[error("the key file {file} cannot be made: {source}")]
    NotMade {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the keys in `file`, or makes the file with one key in it.
pub(crate) fn load_or_make(file: &Path) -> Result<Keys, KeysError> {
    if !file.exists() {
        return make(file).map_err(|source| KeysError::NotMade { file: file.to_owned(), source });
    }
    let unusable = |source| KeysError::Unusable { file: file.to_owned(), source };
    keys::read(file).map_err(unusable)
}

fn make(file: &Path) -> io::Result<Keys> {
    let bytes: [u8; 32] = crypto::random();
    let line = Zeroizing::new(format!("{}\n", crypto::base64url(&bytes)));
    // Whole or not at all: half a key would keep the gateway from ever starting again.
    files::create(file, line.as_bytes(), 0o600)?;
    Ok(Key::from_bytes(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

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
    fn a_file_that_cannot_be_used_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        fs::write(&file, "not a key\n").unwrap();
        assert!(matches!(load_or_make(&file), Err(KeysError::Unusable { .. })));
        assert_eq!(fs::read_to_string(&file).unwrap(), "not a key\n");
    }
}
