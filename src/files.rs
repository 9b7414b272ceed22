//! Files put in place whole: whoever reads one, also after a crash, finds the old or the new, never half of it. And
//! files that hold secrets: opened only if they are files, and judged by who else gets at them.

mod exposed;

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::fchown;
use std::path::Path;

use rustix::fs::OFlags;
use tempfile::NamedTempFile;

pub use crate::files::exposed::Exposed;
pub use crate::files::exposed::exposed;

/// Opens a file to read it, if it is one: a pipe would keep its reader waiting for a writer, and a device has no end.
///
/// # Errors
/// If it cannot be opened, or is something else than a file.
pub fn open(path: &Path) -> io::Result<File> {
    // Without waiting, so that what was opened is what is looked at. It changes nothing for a file.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// What others may do with a file of this mode that holds secrets, if that is too much. Its group may read it: so a
/// gateway gets at a file of root's.
pub fn exposure(mode: u32) -> Option<&'static str> {
    if mode & 0o022 != 0 {
        Some("can be changed by others than its owner")
    } else if mode & 0o004 != 0 {
        Some("can be read by everybody on this machine")
    } else {
        None
    }
}

/// Makes a new file with this mode.
///
/// # Errors
/// If there is one already, which stays as it is, or if its folder cannot be written.
pub fn create(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let folder = folder(path);
    let fresh = written(folder, contents, mode)?;
    fresh.as_file().sync_all()?;
    fresh.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Makes a new file of mode 0600, with whatever `write` writes into it.
///
/// # Errors
/// If there is one already, which stays as it is, if its folder cannot be written, or if `write` fails.
pub fn create_with(path: &Path, write: impl FnOnce(File) -> io::Result<()>) -> io::Result<()> {
    let folder = folder(path);
    let fresh = NamedTempFile::new_in(folder)?;
    write(fresh.reopen()?)?;
    fresh.as_file().sync_all()?;
    fresh.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Puts a file with this mode where another may be. It belongs to whom the other belonged to: edited by root, it must
/// still be readable for the gateway's user.
///
/// # Errors
/// If the folder cannot be written, or the file not given to its owner.
pub fn replace(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    put(written(folder(path), contents, mode)?, path)
}

/// Likewise with the mode that the other has, which says who may read it: its group may be the gateway's. Where there is
/// none, with mode 0600.
///
/// # Errors
/// As for [`replace`].
pub fn rewrite(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mode = fs::metadata(path).map_or(0o600, |old| old.permissions().mode() & 0o777);
    replace(path, contents, mode)
}

/// Puts a file of mode 0600 with whatever `write` writes into it where another may be, and to whom that belonged.
///
/// # Errors
/// If the folder cannot be written, the file not given to its owner, or if `write` fails.
pub fn replace_with(path: &Path, write: impl FnOnce(File) -> io::Result<()>) -> io::Result<()> {
    let fresh = NamedTempFile::new_in(folder(path))?;
    write(fresh.reopen()?)?;
    put(fresh, path)
}

fn put(fresh: NamedTempFile, path: &Path) -> io::Result<()> {
    let owner = |of: &fs::Metadata| (of.uid(), of.gid());
    if let Ok(old) = fs::metadata(path)
        && owner(&old) != owner(&fresh.as_file().metadata()?)
    {
        fchown(fresh.as_file(), Some(old.uid()), Some(old.gid()))?;
    }
    fresh.as_file().sync_all()?;
    fresh.persist(path).map_err(|error| error.error)?;
    File::open(folder(path))?.sync_all()
}

/// The folder a file stands in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Made with mode 0600 under a name nobody can guess, and opened to others afterwards, never the other way round.
fn written(folder: &Path, contents: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut fresh = NamedTempFile::new_in(folder)?;
    fresh.write_all(contents)?;
    fresh.as_file().set_permissions(Permissions::from_mode(mode))?;
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_files_are_opened_and_nobody_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for other in [&pipe, folder.path()] {
            assert!(open(other).unwrap_err().to_string().contains("no regular file"));
        }
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(io::read_to_string(open(&file).unwrap()).unwrap(), "x");
    }

    #[test]
    fn who_else_gets_at_a_secret_is_told_by_its_mode() {
        for private in [0o600, 0o400, 0o640, 0o440] {
            assert_eq!(exposure(private), None, "{private:o}");
        }
        assert!(exposure(0o644).unwrap().contains("read by everybody"));
        for open in [0o660, 0o602, 0o666] {
            assert!(exposure(open).unwrap().contains("changed by others"), "{open:o}");
        }
    }

    #[test]
    fn a_new_file_is_whole_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        create(&path, b"mine", 0o640).unwrap();
        assert_eq!(create(&path, b"yours", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"mine".to_vec(), 0o640));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_file_that_could_not_be_written_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        create_with(&path, |_file| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        create_with(&path, |mut file| file.write_all(b"mine")).unwrap();
        let again = create_with(&path, |mut file| file.write_all(b"yours"));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"mine".to_vec(), 0o600));
    }

    #[test]
    fn a_replaced_file_has_the_new_contents_and_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (contents, bits) in [(&b"first"[..], 0o644), (b"second", 0o600)] {
            replace(&path, contents, bits).unwrap();
            assert_eq!((fs::read(&path).unwrap(), mode(&path)), (contents.to_vec(), bits));
        }
    }
}
