//! Who else gets at what is secret: by its mode, as its owner, or by way of its folder.

use std::fs;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::files;

/// How others get at a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// What is so, said of the file.
    pub what: String,
    /// What is to be done.
    pub mend: String,
}

/// How others get at the file or folder at `path`, which is `owner`'s or root's, if they do. Nothing for one that is not
/// there, and nothing of owners where `owner` is not known.
pub fn exposed(path: &Path, owner: Option<u32>) -> Option<Exposed> {
    let found = fs::metadata(path).ok()?;
    let real = fs::canonicalize(path).unwrap_or_else(|_hidden| path.to_owned());
    if found.is_dir() && is_shared(&found) {
        return Some(Exposed {
            what: "can be changed by others than its owner".to_owned(),
            mend: format!("`chmod go-w {}`", real.display()),
        });
    }
    if let Some(what) = files::exposure(found.mode()).filter(|_| !found.is_dir()) {
        let path = path.display();
        return Some(Exposed {
            what: what.to_owned(),
            mend: format!("`chmod 600 {path}`, or 640 with a group that the gateway alone is in"),
        });
    }
    foreign(path, &found, owner).or_else(|| beside(path, &real))
}

/// Its owner can read and change it, whatever its mode.
fn foreign(path: &Path, found: &Metadata, owner: Option<u32>) -> Option<Exposed> {
    let wanted = owner?;
    if [0, wanted].contains(&found.uid()) {
        return None;
    }
    let name = if wanted == 0 { "root".to_owned() } else { wanted.to_string() };
    Some(Exposed {
        what: format!("belongs to user {}, who can read and change it", found.uid()),
        mend: format!("`chown {name} {}`", path.display()),
    })
}

/// Who can write in its folder, or in that of a link to it, can put another in its place.
fn beside(path: &Path, real: &Path) -> Option<Exposed> {
    let folders = [files::folder(path), files::folder(real)];
    let shared = |folder: &&Path| fs::metadata(folder).is_ok_and(|found| is_shared(&found));
    let folder = folders.into_iter().find(shared)?;
    let folder = fs::canonicalize(folder).unwrap_or_else(|_hidden| folder.to_owned());
    Some(Exposed {
        what: format!("lies in `{}`, where others can put another in its place", folder.display()),
        mend: format!("`chmod go-w {}`", folder.display()),
    })
}

/// Whether others can remove and replace what is in a folder: with the sticky bit, as in `/tmp`, they cannot. A group of the
/// owner's number is theirs alone, where systems give each user one, and folders made there are open to it.
fn is_shared(folder: &Metadata) -> bool {
    let by_group = folder.mode() & 0o020 != 0 && folder.gid() != folder.uid();
    let by_all = folder.mode() & 0o002 != 0;
    (by_group || by_all) && folder.mode() & 0o1000 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn owner_folder_and_links_count() {
        let place = tempfile::tempdir().unwrap();
        let shared = place.path().join("shared");
        fs::create_dir(&shared).unwrap();
        let file = place.path().join("file");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let own = fs::metadata(&file).unwrap().uid();
        assert_eq!((exposed(&file, Some(own)), exposed(&file, None)), (None, None));

        let link = shared.join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let found = fs::metadata(&shared).unwrap();
        let own_group = found.gid() == found.uid();
        for (mode, is_exposed) in
            [(0o700, false), (0o755, false), (0o1777, false), (0o720, !own_group), (0o702, true)]
        {
            fs::set_permissions(&shared, Permissions::from_mode(mode)).unwrap();
            assert_eq!(exposed(&link, Some(own)).is_some(), is_exposed, "{mode:o}");
            assert_eq!(exposed(&shared, Some(own)).is_some(), is_exposed, "{mode:o}");
        }
        let foreign = exposed(&file, Some(own + 1));
        assert_eq!(foreign.is_some(), own != 0, "root may own it");
    }
}
