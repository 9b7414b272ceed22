//! The person a session belongs to, as the app is told of them.

use std::fmt;

/// A user's name as it is known to the login that vouches for it: the key of accounts, sessions and logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Box<str>);

impl UserName {
    /// At most so many characters are a name.
    pub const MAX_CHARS: usize = 128;

    /// Reads a name: 1 to 128 characters, none of them a control character, no white space at either end.
    pub fn parse(text: &str) -> Option<Self> {
        let length = text.chars().count();
        let clean = !text.chars().any(char::is_control) && text.trim() == text;
        ((1..=Self::MAX_CHARS).contains(&length) && clean).then(|| Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
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
