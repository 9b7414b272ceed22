//! The person a session belongs to, as the app is told of them.

use std::fmt;

use crate::syntax::text::is_hidden;

/// A user's name together with the login that vouches for it: the key of accounts, sessions and logs.
///
/// Whoever the users file calls "alice" need not be whom an app's own login calls so: names of different realms are never
/// equal, so that nothing that is looked up by a name can mistake one for the other. The gateway's own users are in no
/// realm; those of an app's login are in one that is called as the site is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Box<str>);

/// Between a realm and a name: neither can contain it.
const UNIT_SEPARATOR: char = '\u{1f}';

impl UserName {
    /// At most so many characters are a name.
    pub const MAX_CHARS: usize = 128;

    /// Reads a name: 1 to 128 characters, all of them to be seen, no white space at either end. Two names that look the
    /// same for a character that nobody sees would be two accounts.
    pub fn parse(text: &str) -> Option<Self> {
        let length = text.chars().count();
        let clean = !text.chars().any(is_hidden) && text.trim() == text;
        ((1..=Self::MAX_CHARS).contains(&length) && clean).then(|| Self(text.into()))
    }

    /// The same name as the login of `realm` vouches for it. A realm is what a site is called: no text with control
    /// characters.
    #[must_use]
    pub fn in_realm(&self, realm: &str) -> Self {
        Self(format!("{realm}{UNIT_SEPARATOR}{}", self.as_str()).into())
    }

    /// The site whose own login vouches for the name; nothing: the gateway's users file does.
    pub fn realm(&self) -> Option<&str> {
        self.0.split_once(UNIT_SEPARATOR).map(|(realm, _)| realm)
    }

    /// The name as text, as it is called in its realm.
    pub fn as_str(&self) -> &str {
        self.0.split_once(UNIT_SEPARATOR).map_or(&*self.0, |(_, name)| name)
    }

    /// Realm and name in one text, different for each: what stores sort by.
    pub fn key(&self) -> &str {
        &self.0
    }

    /// The name of which this is the [`key`](Self::key).
    pub fn from_key(key: &str) -> Option<Self> {
        let Some((realm, name)) = key.split_once(UNIT_SEPARATOR) else { return Self::parse(key) };
        let clean = !realm.is_empty() && !realm.chars().any(char::is_control);
        Self::parse(name).filter(|_| clean).map(|name| name.in_realm(realm))
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Who somebody is: what the identity headers are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The unique name.
    pub name: UserName,
    /// Nothing if it would be empty, as it mostly is: there may be a million users.
    profile: Option<Box<Profile>>,
    credential: u32,
}

/// What may be known of a user beside the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The mail address.
    pub email: Option<Box<str>>,
    /// The name a person would say.
    pub display_name: Option<Box<str>>,
    /// The groups the person is in, in the order the login gave them.
    pub groups: Vec<Box<str>>,
}

impl User {
    /// A user of whom this is known.
    pub fn new(name: UserName, profile: Profile) -> Self {
        let profile = (profile != Profile::default()).then(|| Box::new(profile));
        Self { name, profile, credential: 0 }
    }

    /// A user of whom nothing but the name is known.
    pub fn named(name: UserName) -> Self {
        Self { name, profile: None, credential: 0 }
    }

    /// The same user, known by this secret.
    #[must_use]
    pub fn known_by(self, credential: u32) -> Self {
        Self { credential, ..self }
    }

    /// Which secret the user is known by: a number that tells two secrets of one account apart, and nothing else of
    /// either.
    pub fn credential(&self) -> u32 {
        self.credential
    }

    /// The mail address, if known.
    pub fn email(&self) -> Option<&str> {
        self.profile.as_ref()?.email.as_deref()
    }

    /// The name a person would say, if known.
    pub fn display_name(&self) -> Option<&str> {
        self.profile.as_ref()?.display_name.as_deref()
    }

    /// The groups the person is in, in the order the login gave them.
    pub fn groups(&self) -> &[Box<str>] {
        self.profile.as_ref().map_or(&[], |profile| &profile.groups)
    }

    /// Whether the person is in `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups().iter().any(|own| &**own == group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_one_realm_is_none_of_another() {
        let alice = UserName::parse("alice").unwrap();
        let (wiki, shop) = (alice.in_realm("wiki.example/"), alice.in_realm("shop.example/"));
        assert!(alice != wiki && wiki != shop);
        for (name, realm) in [(&alice, None), (&wiki, Some("wiki.example/")), (&shop, Some("shop.example/"))]
        {
            assert_eq!((name.as_str(), name.realm(), name.to_string()), ("alice", realm, "alice".to_owned()));
            assert_eq!(UserName::from_key(name.key()).as_ref(), Some(name));
        }
    }

    #[test]
    fn a_name_has_nothing_that_is_not_seen() {
        for hidden in
            ["\n", "\u{200b}", "\u{202e}", "\u{2066}", "\u{feff}", "\u{ad}", "\u{3164}", "\u{e0061}"]
        {
            assert!(UserName::parse(&format!("ali{hidden}ce")).is_none(), "{hidden:?}");
        }
        for seen in ["alice", "Berta Müller", "o'neil@example.com", "李雷", "علی"] {
            assert!(UserName::parse(seen).is_some(), "{seen}");
        }
    }

    #[test]
    fn nobody_can_write_a_realm_into_a_name() {
        assert!(UserName::parse(UserName::parse("a").unwrap().in_realm("wiki.example/").key()).is_none());
        for bad in ["", "\u{1f}", "r\u{1f}", "\u{1f}a", "r\u{1f}a\u{1f}b", "r\n\u{1f}a", "r\u{1f} a"] {
            assert!(UserName::from_key(bad).is_none(), "{bad:?}");
        }
    }
}
