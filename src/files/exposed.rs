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
    if found.is_dir() && others_write(&found) {
        return Some(open_folder(&found, &real));
    }
    if let Some(what) = files::exposure(found.mode()).filter(|_| !found.is_dir()) {
        let path = path.display();
        return Some(Exposed {
            what: what.to_owned(),
            mend: format!("`chmod 600 {path}`, or 640 with a group that the gateway alone is in"),
        });
    }
    foreign(path, &found, owner).or_else(|| above(path, owner)).or_else(|| above(&real, owner))
}

/// Others make files in it before us. The sticky bit only keeps them from those that are there.
fn open_folder(found: &Metadata, real: &Path) -> Exposed {
    let real = real.display();
    if is_sticky(found) {
        return Exposed {
            what: "is a folder in which others can make files".to_owned(),
            mend: format!("name one of its own, such as `{real}/vestibule`"),
        };
    }
    Exposed {
        what: "can be changed by others than its owner".to_owned(),
        mend: format!("`chmod go-w {real}`"),
    }
}

/// Its owner can read and change it, whatever its mode.
fn foreign(path: &Path, found: &Metadata, owner: Option<u32>) -> Option<Exposed> {
    let wanted = owner.filter(|wanted| is_anothers(found, *wanted))?;
    Some(Exposed {
        what: format!("belongs to user {}, who can read and change it", found.uid()),
        mend: format!("`chown {} {}`", name(wanted), path.display()),
    })
}

/// Who can write in a folder above it can put another in its place, and so can whom such a folder belongs to.
fn above(path: &Path, owner: Option<u32>) -> Option<Exposed> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().skip(1).find_map(|folder| {
        let found = fs::metadata(folder).ok()?;
        let shown = fs::canonicalize(folder).unwrap_or_else(|_hidden| folder.to_owned());
        let shown = shown.display();
        if others_write(&found) && !is_sticky(&found) {
            return Some(Exposed {
                what: format!("lies in `{shown}`, where others can put another in its place"),
                mend: format!("`chmod go-w {shown}`"),
            });
        }
        let wanted = owner.filter(|wanted| is_anothers(&found, *wanted))?;
        Some(Exposed {
            what: format!("lies in `{shown}` of user {}, who can put another in its place", found.uid()),
            mend: format!("`chown {} {shown}`, or keep it somewhere else", name(wanted)),
        })
    })
}

fn is_anothers(found: &Metadata, wanted: u32) -> bool {
    ![0, wanted].contains(&found.uid())
}

fn name(user: u32) -> String {
    if user == 0 { "root".to_owned() } else { user.to_string() }
}

/// Whether others than its owner write in a folder. A group of the owner's number is theirs alone, where systems give each
/// user one, and folders made there are open to it.
fn others_write(folder: &Metadata) -> bool {
    let by_group = folder.mode() & 0o020 != 0 && folder.gid() != folder.uid();
    by_group || folder.mode() & 0o002 != 0
}

/// Whether nobody can remove or replace in a folder what is another's, as in `/tmp`.
fn is_sticky(folder: &Metadata) -> bool {
    folder.mode() & 0o1000 != 0
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
            // In a folder that is to be ours others must not even make files.
            let by_others = is_exposed || mode == 0o1777;
            assert_eq!(exposed(&shared, Some(own)).is_some(), by_others, "{mode:o}");
        }
        let foreign = exposed(&file, Some(own + 1));
        assert_eq!(foreign.is_some(), own != 0, "root may own it");
    }

    #[test]
    fn every_folder_above_counts() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b/c");
        for part in ["a", "a/b", "a/b/c"] {
            fs::create_dir(place.path().join(part)).unwrap();
            fs::set_permissions(place.path().join(part), Permissions::from_mode(0o755)).unwrap();
        }
        let file = folder.join("file");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(exposed(&file, None), None);
        let high = place.path().join("a");
        fs::set_permissions(&high, Permissions::from_mode(0o757)).unwrap();
        let found = exposed(&file, None).unwrap();
        assert!(found.mend.ends_with("/a`") && found.what.contains("another in its place"), "{found:?}");
        fs::set_permissions(&high, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(exposed(&file, None), None);
    }
}
