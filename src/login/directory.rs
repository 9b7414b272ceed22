//! The users as the gateway knows them now: a snapshot of the file, swapped when the file changes.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::identity::user::UserName;
use crate::login::Missing;
use crate::login::hash::Hash;
use crate::login::pool::Busy;
use crate::login::pool::Pool;
use crate::login::users::Account;
use crate::login::users::document::Document;
use crate::login::users::file;
use crate::login::users::file::Loaded;
use crate::login::users::file::UsersError;

/// What a new file means for those who are logged in.
#[derive(Debug)]
pub(crate) struct Change {
    /// How many users there are now.
    pub(crate) users: usize,
    /// Whose sessions must end.
    pub(crate) ended: Vec<UserName>,
    /// What should be mended in the file.
    pub(crate) warnings: Vec<String>,
}

/// Why a password could not be replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    /// Too much slow work.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] UsersError),
    /// Somebody else gave the account another password, disabled it, or took it away. The file was read again.
    #[error("the account was changed by somebody else")]
    Changed(Box<Change>),
}

/// A password to put in the place of another.
#[derive(Debug)]
pub(crate) struct Replacement {
    /// Whose.
    pub(crate) name: UserName,
    /// The one that is stored now.
    pub(crate) old: Hash,
    /// The one that shall be.
    pub(crate) new: Hash,
    /// Whether the person chose it, so that nobody needs to ask for a change any more.
    pub(crate) chosen: bool,
}

/// The users file and what was last read from it.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    missing: Missing,
    current: ArcSwap<Loaded>,
    /// Whether the file could be used when it was last looked at.
    is_current: AtomicBool,
    /// Held while the file is read or written, so that our own change is never mistaken for somebody else's.
    changing: Mutex<()>,
}

impl Directory {
    /// Reads the file; warnings come back beside it.
    pub(crate) fn open(path: &Path, missing: Missing) -> Result<Self, UsersError> {
        let loaded = load(path, missing)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let (path, current) = (path.to_owned(), ArcSwap::from_pointee(loaded));
        let is_current = AtomicBool::new(true);
        Ok(Self { path, missing, current, is_current, changing: Mutex::new(()) })
    }

    /// Everybody, as of now.
    pub(crate) fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    /// Whether the file could be used when it was last looked at.
    pub(crate) fn is_current(&self) -> bool {
        self.is_current.load(Ordering::Relaxed)
    }

    /// The account of this name, as of now.
    pub(crate) fn account(&self, name: &UserName) -> Option<Account> {
        self.current.load().users.get(name).cloned()
    }

    /// Reads the file again; nothing if it says what it said before.
    pub(crate) async fn reload(&self) -> Result<Option<Change>, UsersError> {
        let _changing = self.changing.lock().await;
        let (path, missing) = (self.path.clone(), self.missing);
        let read = tokio::task::spawn_blocking(move || load(&path, missing)).await;
        let loaded = match read {
            Ok(loaded) => {
                self.is_current.store(loaded.is_ok(), Ordering::Relaxed);
                loaded?
            }
            // Only a runtime that is shutting down drops the task.
            Err(_) => return Ok(None),
        };
        Ok((loaded.digest != self.current.load().digest).then(|| self.swap(loaded)))
    }

    /// Puts a new hash in the file, if the old one is still there and the account is not disabled, and reads the file
    /// again. The change of the hash ends nobody's session; whatever else the file says anew does.
    pub(crate) async fn replace(
        &self,
        pool: &Pool,
        replacement: Replacement,
    ) -> Result<Change, ReplaceError> {
        let _changing = self.changing.lock().await;
        let path = self.path.clone();
        let name = replacement.name.clone();
        let (stood, loaded) = pool
            .run(move || {
                let stood = file::edit(&path, |document| Ok(put(document, &replacement)))?;
                Ok::<_, UsersError>((stood, file::load(&path)?))
            })
            .await??;
        let before = self.account(&name);
        let after = loaded.users.get(&name).cloned();
        let mut change = self.swap(loaded);
        let Some((stood, put)) = stood else {
            return Err(ReplaceError::Changed(Box::new(change)));
        };
        // What an administrator wrote since the file was last read counts as if it had been read then.
        let goes_on = before.is_some_and(|before| before.goes_on_as(&stood))
            && after.is_some_and(|after| put.goes_on_as(&after));
        change.ended.retain(|ended| *ended != name);
        change.ended.extend((!goes_on).then_some(name));
        Ok(change)
    }

    /// The new users stand before any session is ended: a login that was checked against the old ones looks again
    /// after its session began, so it cannot slip through between the two.
    fn swap(&self, mut loaded: Loaded) -> Change {
        let warnings = std::mem::take(&mut loaded.warnings);
        let loaded = Arc::new(loaded);
        let old = self.current.swap(Arc::clone(&loaded));
        Change { users: loaded.users.len(), ended: old.users.no_longer_as_they_were(&loaded.users), warnings }
    }
}

fn load(path: &Path, missing: Missing) -> Result<Loaded, UsersError> {
    match file::load(path) {
        Err(UsersError::Missing { .. }) if missing == Missing::Nobody => Ok(Loaded::nobody()),
        loaded => loaded,
    }
}

/// Replaces the hash, if it is the one that is to be replaced; gives the account as it stood in the file, and as it was
/// put there.
fn put(document: &mut Document, replacement: &Replacement) -> Option<(Account, Account)> {
    let name = replacement.name.as_str();
    let entry = document.get_mut(name)?;
    let stood = Account::of(name, entry).ok().filter(|account| !account.disabled)?;
    if stood.password != replacement.old {
        return None;
    }
    entry.password = replacement.new.text();
    entry.must_change &= !replacement.chosen;
    let put = Account::of(name, entry).ok()?;
    Some((stood, put))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::hash::Cost;

    fn hash() -> Hash {
        Hash::of_nobody(Cost::OURS).unwrap()
    }

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    #[tokio::test]
    async fn our_own_change_ends_nobody_else_and_is_not_seen_as_news() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.yaml");
        let old = hash();
        let text = old.text();
        std::fs::write(
            &path,
            format!("users:\n  alice: {{ password: '{text}', must_change: true }}\n  bob: {{ password: '{text}' }}\n"),
        )
        .unwrap();
        let users = Directory::open(&path, Missing::Error).unwrap();
        let pool = Pool::start().unwrap();
        let new = hash();
        let replacement = |old: &Hash, new: &Hash| Replacement {
            name: name("alice"),
            old: old.clone(),
            new: new.clone(),
            chosen: true,
        };
        let change = users.replace(&pool, replacement(&old, &new)).await.unwrap();
        assert!(change.ended.is_empty());
        assert!(users.reload().await.unwrap().is_none());
        let alice = users.account(&name("alice")).unwrap();
        assert!(alice.password == new && !alice.must_change);
        let stale = users.replace(&pool, replacement(&old, &hash())).await;
        assert!(matches!(stale, Err(ReplaceError::Changed(_))));
    }

    #[tokio::test]
    async fn what_an_administrator_wrote_just_before_our_change_is_news_too() {
        let text = hash().text();
        let line = |more: &str| format!("users:\n  alice: {{ password: '{text}'{more} }}\n");
        for (edit, stored) in [
            (line(", groups: [staff]"), true),
            (line(", groups: [staff, admins], must_change: true"), true),
            (line(", groups: [staff, admins], email: a@b.example"), true),
            (line(", groups: [staff, admins], disabled: true"), false),
            (line(", groups: [staff, admins]").replace(&text, &hash().text()), false),
            ("users: {}\n".to_owned(), false),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("users.yaml");
            std::fs::write(&path, line(", groups: [staff, admins]")).unwrap();
            let users = Directory::open(&path, Missing::Error).unwrap();
            let pool = Pool::start().unwrap();
            let old = users.account(&name("alice")).unwrap().password;
            std::fs::write(&path, &edit).unwrap();
            let replacement = Replacement { name: name("alice"), old, new: hash(), chosen: true };
            let ended = match users.replace(&pool, replacement).await {
                Ok(change) if stored => change.ended,
                Err(ReplaceError::Changed(change)) if !stored => change.ended,
                other => panic!("{edit} gave {other:?}"),
            };
            assert_eq!(ended, [name("alice")], "{edit}");
            assert!(users.reload().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn somebody_elses_change_is_news_and_a_broken_file_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.yaml");
        let text = hash().text();
        std::fs::write(&path, format!("users:\n  alice: {{ password: '{text}' }}\n")).unwrap();
        let users = Directory::open(&path, Missing::Error).unwrap();
        std::fs::write(&path, "users: [broken\n").unwrap();
        assert!(users.reload().await.is_err());
        assert!(users.account(&name("alice")).is_some());
        std::fs::write(&path, "users: {}\n").unwrap();
        let change = users.reload().await.unwrap().unwrap();
        assert_eq!((change.users, change.ended), (0, vec![name("alice")]));
        assert!(users.account(&name("alice")).is_none());
    }
}
