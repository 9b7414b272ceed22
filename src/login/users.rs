//! The users file's meaning: who there is, and whether a password is theirs.

pub mod document;
pub mod file;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

use crate::identity::user::Profile;
use crate::identity::user::User;
use crate::identity::user::UserName;
use crate::login::hash::Cost;
use crate::login::hash::Hash;
use crate::login::hash::Password;
use crate::login::users::document::Document;
use crate::login::users::document::Entry;
use crate::login::users::document::Problem;
use crate::login::users::file::UsersError;

/// One account.
#[derive(Clone, Debug)]
pub struct Account {
    /// Who it is.
    pub user: Arc<User>,
    /// The stored password.
    pub password: Hash,
    /// Whether the password must be changed before anything else.
    pub must_change: bool,
    /// Whether nobody gets in with it.
    pub disabled: bool,
}

impl Account {
    /// Whether sessions that began under `self` may go on under `new`: not when the rights they were given, or the
    /// secret they were given for, are others now, or that secret is no longer good enough (ASVS 7.4.2, 7.4.3).
    pub(crate) fn goes_on_as(&self, new: &Self) -> bool {
        let (old, own) = (&self.user, &new.user);
        let barred = new.disabled || (new.must_change && !self.must_change);
        let same_secret = old.credential() == own.credential();
        !barred && same_secret && old.groups() == own.groups() && old.email() == own.email()
    }

    /// Whether a session that began for `user` may go on, by what the file says now.
    pub(crate) fn vouches_for(&self, user: &User) -> bool {
        self.grants_rights_of(user) && self.user.credential() == user.credential()
    }

    /// Likewise where nobody can tell whether its password is the one the session began with.
    pub(crate) fn grants_rights_of(&self, user: &User) -> bool {
        let own = &self.user;
        let same = own.groups() == user.groups() && own.email() == user.email();
        same && !self.disabled && !self.must_change
    }

    /// The account with another password.
    pub(crate) fn with_password(self, password: Hash) -> Self {
        let user = User::clone(&self.user).known_by(password.credential());
        Self { user: Arc::new(user), password, ..self }
    }

    /// The account that `entry` describes under `name`, or what is wrong with it, each with the key it is about.
    pub(crate) fn of(name: &str, entry: &Entry) -> Result<Self, Vec<(Option<&'static str>, String)>> {
        account(name, entry)
    }
}

/// All accounts, as one immutable whole.
#[derive(Debug, Default)]
pub struct Users {
    accounts: BTreeMap<UserName, Account>,
    /// One for each cost that a stored hash has, which no password fits.
    nobody: Vec<Hash>,
}

impl Users {
    /// Checks a document: every account is sound, or all problems are told, each with its line in `text`.
    pub fn check(document: &Document, text: &str) -> Result<Self, Vec<Problem>> {
        let mut accounts = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, entry) in document.entries() {
            match Account::of(name, entry) {
                Ok(account) => {
                    let known = accounts.insert(account.user.name.clone(), account);
                    if known.is_some() {
                        problems.push(Problem::duplicate(text, name));
                    }
                }
                Err(found) => {
                    let locate = |(key, message): (_, String)| Problem::at(text, name, key, &message);
                    problems.extend(found.into_iter().map(locate));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let nobody = costs(&accounts).into_iter().filter_map(Hash::of_nobody).collect();
        Ok(Self { accounts, nobody })
    }

    /// Reads and checks the text of a users file; `path` only names it in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, UsersError> {
        let problems = |problems| UsersError::Problems { path: path.to_owned(), problems };
        let document = Document::parse(text).map_err(|problem| problems(vec![problem]))?;
        Self::check(&document, text).map_err(problems)
    }

    /// The account of this name.
    pub fn get(&self, name: &UserName) -> Option<&Account> {
        self.accounts.get(name)
    }

    /// All accounts, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The account, if it is enabled and the password is right. Otherwise one hash of each cost that the file has was
    /// computed, whoever was named: the answer's time tells nobody who exists, nor whose hash is a cheap one from another
    /// program. Not for a worker's thread.
    pub(crate) fn verify(&self, name: Option<&UserName>, password: &Password) -> Option<&Account> {
        let account = name.and_then(|name| self.accounts.get(name)).filter(|account| !account.disabled);
        if let Some(account) = account.filter(|account| account.password.verify(password)) {
            return Some(account);
        }
        for hash in self.left_of_a_failure(account) {
            black_box(hash.verify(password));
        }
        None
    }

    /// What is still to be computed after this account's own hash, so that all failures cost the same.
    fn left_of_a_failure(&self, account: Option<&Account>) -> impl Iterator<Item = &Hash> {
        let spent = account.map(|account| account.password.cost());
        self.nobody.iter().filter(move |hash| Some(hash.cost()) != spent)
    }

    /// Those of `self` whose sessions must end now that the file says `new`.
    pub(crate) fn no_longer_as_they_were(&self, new: &Self) -> Vec<UserName> {
        let gone = |(name, old): &(&UserName, &Account)| {
            !new.accounts.get(*name).is_some_and(|account| old.goes_on_as(account))
        };
        self.accounts.iter().filter(gone).map(|(name, _)| name.clone()).collect()
    }
}

/// The form of a name that is compared: NFC, as with passwords, without the space that some keyboards add.
pub(crate) fn name_of(typed: &str) -> String {
    typed.trim().nfc().collect()
}

fn account(name: &str, entry: &Entry) -> Result<Account, Vec<(Option<&'static str>, String)>> {
    let mut problems = Vec::new();
    let parsed = UserName::parse(&name_of(name)).filter(|_| name.trim() == name);
    if parsed.is_none() {
        let message = "a user name has 1 to 128 characters, none that is not seen (control characters, marks of direction, zero width), no space at either end";
        problems.push((None, message.to_owned()));
    }
    let password = Hash::parse(&entry.password);
    if let Err(problem) = &password {
        problems.push((Some("password"), format!("password {problem}")));
    }
    let bad_text = |text: &str| text.is_empty() || text.len() > 256 || text.chars().any(char::is_control);
    for (key, value) in [("email", &entry.email), ("name", &entry.name)] {
        if value.as_deref().is_some_and(bad_text) {
            let message = format!("{key} must have 1 to 256 bytes without control characters");
            problems.push((Some(key), message));
        }
    }
    if let Some(group) = entry.groups.iter().find(|group| bad_text(group) || group.contains(',')) {
        let message =
            format!("group {group:?} must have 1 to 256 bytes without commas and control characters");
        problems.push((Some("groups"), message));
    }
    let (Some(name), Ok(password), true) = (parsed, password, problems.is_empty()) else {
        return Err(problems);
    };
    let boxed = |text: &String| text.as_str().into();
    let profile = Profile {
        email: entry.email.as_ref().map(boxed),
        display_name: entry.name.as_ref().map(boxed),
        groups: entry.groups.iter().map(boxed).collect(),
    };
    Ok(Account {
        user: Arc::new(User::new(name, profile).known_by(password.credential())),
        password,
        must_change: entry.must_change,
        disabled: entry.disabled,
    })
}

/// What the hashes cost that somebody can log in with; as much as one of ours where there is none.
fn costs(accounts: &BTreeMap<UserName, Account>) -> BTreeSet<Cost> {
    let enabled = accounts.values().filter(|account| !account.disabled);
    let costs: BTreeSet<Cost> = enabled.map(|account| account.password.cost()).collect();
    if costs.is_empty() { [Cost::OURS].into() } else { costs }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHC: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn users(text: &str) -> Result<Users, String> {
        let text = text.replace("HASH", &format!("'{PHC}'"));
        Users::parse(&text, Path::new("users.yaml")).map_err(|error| error.to_string())
    }

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    #[test]
    fn an_account_is_read_whole() {
        let users = users(
            "users:\n  alice:\n    password: HASH\n    email: a@example.com\n    name: Alice A.\n    groups: [admins, staff]\n    must_change: true\n  bob: { password: HASH, disabled: true }\n",
        )
        .unwrap();
        let alice = users.get(&name("alice")).unwrap();
        assert_eq!(alice.user.email(), Some("a@example.com"));
        assert_eq!(alice.user.display_name(), Some("Alice A."));
        assert!(alice.user.is_in("staff") && alice.must_change && !alice.disabled);
        assert!(users.get(&name("bob")).unwrap().disabled);
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn an_empty_file_has_no_users() {
        for empty in ["", "# nobody yet\n", "users:\n", "users: {}\n"] {
            assert!(users(empty).unwrap().is_empty(), "{empty:?}");
        }
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let table: [(&str, &[&str]); 7] = [
            ("users:\n  alice:\n    password: HASH\n    emial: x\n", &["users.yaml:4:", "emial"]),
            (
                "users:\n  alice: { password: HASH }\n  alice: { password: HASH }\n",
                &["users.yaml:3:", "twice"],
            ),
            (
                "users:\n  a:\n    password: secret\n  b:\n    password: $apr1$x$y\n",
                &["users.yaml:3:", "users.yaml:5:", "hash-password"],
            ),
            ("users:\n  a:\n    password: HASH\n    groups: ['x,y']\n", &["users.yaml:4:", "commas"]),
            ("users:\n  ' a':\n    password: HASH\n", &["users.yaml:2:", "space at either end"]),
            ("users:\n  a: {}\n", &["users.yaml:2:", "password"]),
            ("users: [a]\n", &["users.yaml:1:"]),
        ];
        for (text, expected) in table {
            let said = users(text).unwrap_err();
            for part in expected {
                assert!(said.contains(part), "{text:?} said {said:?}, not {part:?}");
            }
            assert!(!said.contains("secret\n"), "{said}");
        }
    }

    #[test]
    fn a_name_in_two_spellings_is_one_name() {
        let said = users("users:\n  caf\u{e9}: { password: HASH }\n  cafe\u{301}: { password: HASH }\n");
        assert!(said.unwrap_err().contains("twice"));
    }

    #[test]
    fn only_the_right_password_of_an_enabled_account_is_right() {
        let password = Password::new("violet tractor").unwrap();
        let hash = Hash::make(&password).text();
        let text = format!(
            "users:\n  alice: {{ password: '{hash}' }}\n  bob: {{ password: '{hash}', disabled: true }}\n"
        );
        let users = Users::parse(&text, Path::new("u")).unwrap();
        let right = |name: Option<&str>, password: &Password| {
            users.verify(name.map(self::name).as_ref(), password).is_some()
        };
        assert!(right(Some("alice"), &password));
        assert!(!right(Some("alice"), &Password::new("other").unwrap()));
        for nobody in [Some("bob"), Some("carol"), None] {
            assert!(!right(nobody, &password), "{nobody:?}");
        }
    }

    #[test]
    fn every_failure_costs_the_same_whoever_is_named() {
        let cheap = format!("{{ password: '$2y$05${}' }}", ".".repeat(53));
        let dear = format!("{{ password: '$2y$10${}', disabled: true }}", ".".repeat(53));
        let users =
            users(&format!("users:\n  a: {cheap}\n  b: {cheap}\n  c: {{ password: HASH }}\n  d: {dear}\n"))
                .unwrap();
        let spent = |account: Option<&Account>| {
            let own = account.map(|account| account.password.cost());
            let mut costs: Vec<Cost> = users.left_of_a_failure(account).map(Hash::cost).chain(own).collect();
            costs.sort_unstable();
            costs
        };
        let all = [Cost::OURS, Cost::Bcrypt { cost: 5 }];
        for named in [None, users.get(&name("a")), users.get(&name("b")), users.get(&name("c"))] {
            assert_eq!(spent(named), all);
        }
        let only_bcrypt = self::users(&format!("users:\n  a: {cheap}\n")).unwrap();
        assert_eq!(only_bcrypt.nobody.iter().map(Hash::cost).collect::<Vec<_>>(), [Cost::Bcrypt { cost: 5 }]);
        assert_eq!(self::users("").unwrap().nobody.len(), 1);
    }

    #[test]
    fn sessions_end_when_what_they_rest_on_changes() {
        let old =
            users("users:\n  a: { password: HASH }\n  b: { password: HASH, groups: [x] }\n  c: { password: HASH }\n  d: { password: HASH, name: D }\n")
                .unwrap();
        let new = users("users:\n  a: { password: HASH, disabled: true }\n  b: { password: HASH, groups: [y] }\n  d: { password: HASH, name: Dee }\n  e: { password: HASH }\n")
            .unwrap();
        assert_eq!(old.no_longer_as_they_were(&new), [name("a"), name("b"), name("c")]);
        assert!(old.no_longer_as_they_were(&old).is_empty());
    }
}
