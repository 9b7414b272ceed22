//! The gateway's own keys as a file: 32 bytes a line, base64url or hex, newest first; `#` begins a comment.

use std::io;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::Zeroizing;

use crate::crypto;
use crate::crypto::Key;
use crate::crypto::Keys;
use crate::files;

/// The file that is made in `state_dir` where none is named.
pub const FILE: &str = "keys";

/// Why a file of keys cannot be used. The text never shows any of the file.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be opened or read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Others than its owner may read or write it.
    #[error("its mode is {mode:04o}, so that others than its owner may read it")]
    Open {
        /// The permission bits.
        mode: u32,
    },
    /// A line is no key.
    #[error("line {line} is not 32 bytes in base64url (43 characters) or hex (64 characters)")]
    Malformed {
        /// The line, from 1.
        line: usize,
    },
    /// A line is the same byte again and again: an example, not a key.
    #[error("line {line} is not random: all its bytes are the same")]
    Trivial {
        /// The line, from 1.
        line: usize,
    },
    /// There is no key in it.
    #[error("there is no key in it")]
    Empty,
}

/// Reads the keys in `path`: the first is the newest.
///
/// # Errors
/// If the file is missing, no regular file, readable by others, or holds anything but keys.
pub fn read(path: &Path) -> Result<Keys, KeysError> {
    let mut file = files::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Open { mode });
    }
    // Once, at its size: a buffer that grows leaves copies behind.
    let size = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    let mut text = Zeroizing::new(Vec::with_capacity(size + 1));
    file.read_to_end(&mut text)?;
    parse(&text)
}

fn parse(text: &[u8]) -> Result<Keys, KeysError> {
    let mut keys = Vec::new();
    for (place, written) in text.split(|byte| *byte == b'\n').enumerate() {
        let written = written.trim_ascii();
        if written.is_empty() || written.starts_with(b"#") {
            continue;
        }
        let line = place + 1;
        let bytes = Zeroizing::new(decode(written).ok_or(KeysError::Malformed { line })?);
        let first = bytes.first().copied();
        if bytes.iter().all(|byte| Some(*byte) == first) {
            return Err(KeysError::Trivial { line });
        }
        keys.push(Key::from_bytes(*bytes));
    }
    let mut keys = keys.into_iter();
    let newest = keys.next().ok_or(KeysError::Empty)?;
    Ok(Keys::new(newest, keys.collect()))
}

fn decode(written: &[u8]) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(match written.len() {
        64 => HEXLOWER_PERMISSIVE.decode(written).ok()?,
        _ => crypto::from_base64url(written)?,
    });
    bytes.as_slice().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_keys_and_comments_are_not() {
        let base64url = crypto::base64url(&crypto::random::<32>());
        let text = format!("# newest\n{base64url}\n\n{}\n", "0123456789abcdefABCDEF0123456789".repeat(2));
        let both = parse(text.as_bytes()).unwrap();
        for line in text.lines().filter(|line| line.len() > 40) {
            let tag = parse(line.as_bytes()).unwrap().mac("x").sign(&[b"y"]);
            assert!(both.mac("x").verify(&[b"y"], &tag));
        }
    }

    #[test]
    fn what_is_short_or_no_secret_is_refused_by_its_line() {
        let short = crypto::base64url(&crypto::random::<16>());
        assert!(matches!(parse(b"\n# none\n"), Err(KeysError::Empty)));
        assert!(matches!(parse(format!("\n{short}").as_bytes()), Err(KeysError::Malformed { line: 2 })));
        assert!(matches!(parse("00".repeat(32).as_bytes()), Err(KeysError::Trivial { line: 1 })));
        assert!(matches!(parse("zz".repeat(32).as_bytes()), Err(KeysError::Malformed { line: 1 })));
    }
}
