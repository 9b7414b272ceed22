//! Which passwords the users file held when the sessions of all others were ended, kept over restarts: so a password that
//! is changed while no gateway runs, or while the store cannot be told, still ends the sessions that began with the old one.
//!
//! Where the store is shared the sessions alone do not tell: another gateway may have a users file of its own, in which
//! the same password is stored with another salt.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::files;
use crate::identity::user::UserName;
use crate::login::users::Users;

/// Each user's number of the password they have ([`crate::identity::user::User::credential`]).
type Credentials = BTreeMap<String, u32>;

/// The passwords that were acted on, in memory and in a file.
#[derive(Debug)]
pub(crate) struct Seen {
    path: PathBuf,
    credentials: Credentials,
}

impl Seen {
    /// Reads the file. One that is missing or says nothing that can be understood counts as empty: then nobody's password
    /// is known to have changed.
    pub(crate) fn open(path: &Path) -> Self {
        let credentials = read(path).unwrap_or_else(|error| {
            let path = path.display();
            tracing::warn!(
                "{path} cannot be read, so a password changed before now ends no sessions: {error}"
            );
            Credentials::new()
        });
        Self { path: path.to_owned(), credentials }
    }

    /// Whose password is another than when it was last acted on, or gone.
    pub(crate) fn changed(&self, users: &Users) -> Vec<UserName> {
        let names = self.credentials.iter().filter_map(|(name, known)| {
            let name = UserName::parse(name)?;
            let held = users.get(&name).map(|account| account.user.credential());
            (held != Some(*known)).then_some(name)
        });
        names.collect()
    }

    /// Notes that the sessions of all who had another password than in `users` have ended.
    ///
    /// # Errors
    /// If the file cannot be written; the next start may then end what has ended already, which does no harm.
    pub(crate) fn acted_on(&mut self, users: &Users) -> io::Result<()> {
        let credentials: Credentials =
            users.iter().map(|account| (account.user.name.to_string(), account.user.credential())).collect();
        if credentials == self.credentials {
            return Ok(());
        }
        files::replace(&self.path, &serde_json::to_vec(&credentials)?, 0o600)?;
        self.credentials = credentials;
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Credentials> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Credentials::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::hash::Cost;
    use crate::login::hash::Hash;

    fn users(of: &[(&str, &Hash)]) -> Users {
        let line = |(name, hash): &(&str, &Hash)| format!("  {name}: {{ password: '{}' }}\n", hash.text());
        let lines: String = of.iter().map(line).collect();
        Users::parse(&format!("users:\n{lines}"), Path::new("users.yaml")).unwrap()
    }

    fn names(of: &[UserName]) -> Vec<&str> {
        of.iter().map(UserName::as_str).collect()
    }

    #[test]
    fn what_changed_is_known_until_it_is_acted_on_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.seen");
        let hash = || Hash::of_nobody(Cost::OURS).unwrap();
        let (first, second) = (hash(), hash());
        let before = users(&[("alice", &first), ("bob", &first), ("carol", &first)]);
        let mut seen = Seen::open(&path);
        assert!(seen.changed(&before).is_empty(), "nothing is known at first");
        seen.acted_on(&before).unwrap();
        let after = users(&[("alice", &second), ("bob", &first), ("dora", &second)]);
        for seen in [&seen, &Seen::open(&path)] {
            assert!(seen.changed(&before).is_empty());
            assert_eq!(names(&seen.changed(&after)), ["alice", "carol"]);
        }
        seen.acted_on(&after).unwrap();
        assert!(Seen::open(&path).changed(&after).is_empty());
        fs::write(&path, "{").unwrap();
        assert!(Seen::open(&path).changed(&before).is_empty());
    }
}
