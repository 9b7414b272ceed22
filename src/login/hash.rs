//! Passwords and their hashes: what may be stored, how one is made, how one is checked.

use std::fmt;

use argon2::Algorithm;
use argon2::Argon2;
use argon2::CustomizedPasswordHasher;
use argon2::Params;
use argon2::PasswordHash;
use argon2::PasswordVerifier;
use argon2::Version;
use argon2::password_hash::phc::Output;
use argon2::password_hash::phc::ParamsString;
use argon2::password_hash::phc::Salt;
use unicode_normalization::UnicodeNormalization;

use crate::crypto::Secret;
use crate::crypto::random;
use crate::crypto::sha256;

/// A password as it is hashed: in Unicode's NFC, so that one that was typed on another keyboard is the same, and
/// otherwise exactly as typed (SP 800-63B §3.1.1.2).
#[derive(Debug)]
pub struct Password(Secret<String>);

impl Password {
    /// The most code points a password may have.
    pub const MAX_CHARS: usize = 256;
    /// The most bytes it may have in UTF-8.
    pub const MAX_BYTES: usize = 1024;

    /// Reads a password; nothing if it is empty or too long. It is never cut.
    pub fn new(typed: &str) -> Option<Self> {
        // Composing only ever shrinks a text this much, so that longer ones need not be looked at.
        if typed.is_empty() || typed.len() > 4 * Self::MAX_BYTES {
            return None;
        }
        let composed = Secret::new(typed.nfc().collect::<String>());
        let chars = composed.expose().chars().count();
        (chars <= Self::MAX_CHARS && composed.expose().len() <= Self::MAX_BYTES).then_some(Self(composed))
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Why a stored hash is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashProblem {
    /// Not one of the two kinds.
    #[error(
        "is not an Argon2id hash (`$argon2id$…`) or a bcrypt hash (`$2y$…`); make one with `vestibule hash-password`"
    )]
    Unknown,
    /// The right kind, but it cannot be read.
    #[error("is damaged; make a new one with `vestibule hash-password`")]
    Damaged,
    /// Too cheap to compute.
    #[error("is too weak ({0}); make a new one with `vestibule hash-password`, which uses m=19456,t=2,p=1")]
    Weak(String),
    /// Too dear to compute.
    #[error(
        "would take too much memory or time at each login ({0}); at most m=1048576 (1 GiB), and four times that over all passes"
    )]
    Absurd(String),
}

/// A stored password: Argon2id, or bcrypt as it comes out of an htpasswd file, which is replaced at the next login.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Argon2id(Box<PasswordHash>),
    Bcrypt(Box<str>),
}

/// What a hash costs to check. Where accounts differ in it, each failure costs as much as one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cost {
    Argon2id { memory: u32, time: u32, lanes: u32 },
    Bcrypt { cost: u32 },
}

impl Cost {
    /// OWASP's first recommendation for Argon2id.
    pub(crate) const OURS: Self = Self::Argon2id { memory: 19_456, time: 2, lanes: 1 };
}

impl Hash {
    /// Reads a stored hash and refuses what is too weak to keep or too dear to check.
    pub fn parse(text: &str) -> Result<Self, HashProblem> {
        if ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix)) {
            let parts: bcrypt::HashParts = text.parse().map_err(|_damaged| HashProblem::Damaged)?;
            return match parts.get_cost() {
                ..4 => Err(HashProblem::Damaged),
                4..=16 => Ok(Self(Kind::Bcrypt(text.into()))),
                cost => Err(HashProblem::Absurd(format!("cost {cost}"))),
            };
        }
        if !text.starts_with("$argon2id$") {
            return Err(HashProblem::Unknown);
        }
        let hash = PasswordHash::new(text).map_err(|_damaged| HashProblem::Damaged)?;
        judge(&hash)?;
        Ok(Self(Kind::Argon2id(Box::new(hash))))
    }

    /// Hashes `password` with a new salt. Takes tens of milliseconds: not for a worker's thread.
    ///
    /// # Panics
    /// If the system has no randomness for the salt.
    pub fn make(password: &Password) -> Self {
        Self::make_with(password, &random::<16>())
    }

    /// Hashes `password` with the salt of this one: who is logged in with the one may stay so with the other. For a
    /// better hash of the same password, and for a new one whose owner wants no session ended.
    pub(crate) fn succeeded_by(&self, password: &Password) -> Self {
        Self::make_with(password, self.salt())
    }

    #[expect(clippy::expect_used, reason = "fixed parameters and a salt of a legal length always hash")]
    fn make_with(password: &Password, salt: &[u8]) -> Self {
        let hash: PasswordHash = Argon2::default()
            .hash_password_customized(
                password.expose().as_bytes(),
                salt,
                Some(Algorithm::Argon2id.as_str()),
                Some(Version::V0x13.into()),
                Params::new(19_456, 2, 1, Some(32)).expect("the recommended parameters are legal"),
            )
            .expect("a password of legal length can be hashed");
        Self(Kind::Argon2id(Box::new(hash)))
    }

    /// A hash of this cost that no password has. It is not computed, so that a dear one costs nothing to make.
    pub(crate) fn of_nobody(cost: Cost) -> Option<Self> {
        match cost {
            Cost::Argon2id { memory, time, lanes } => {
                let mut params = ParamsString::new();
                params.add_decimal("m", memory).ok()?;
                params.add_decimal("t", time).ok()?;
                params.add_decimal("p", lanes).ok()?;
                Some(Self(Kind::Argon2id(Box::new(PasswordHash {
                    algorithm: argon2::ARGON2ID_IDENT,
                    version: Some(Version::V0x13.into()),
                    params,
                    salt: Some(Salt::new(&random::<16>()).ok()?),
                    hash: Some(Output::new(&random::<32>()).ok()?),
                }))))
            }
            // 22 characters of salt and 31 of hash.
            Cost::Bcrypt { cost } => {
                let text = format!("$2b${cost:02}${}", ".".repeat(53));
                Some(Self(Kind::Bcrypt(text.into())))
            }
        }
    }

    /// Whether `password` is the one that was hashed. Takes as long for a wrong one, and for one that is too long for
    /// the kind of hash. Not for a worker's thread.
    pub fn verify(&self, password: &Password) -> bool {
        let bytes = password.expose().as_bytes();
        match &self.0 {
            Kind::Argon2id(hash) => Argon2::default().verify_password(bytes, &**hash).is_ok(),
            Kind::Bcrypt(hash) => {
                // bcrypt sees 72 bytes and ends at a NUL: a password that it would cut is computed, and refused.
                let whole = bytes.len() < 72 && !bytes.contains(&0);
                bcrypt::verify(bytes, hash).is_ok_and(|right| right) && whole
            }
        }
    }

    /// What it was salted with; of bcrypt as it is written. 8 to 64 bytes (see [`judge`]).
    fn salt(&self) -> &[u8] {
        match &self.0 {
            Kind::Argon2id(hash) => hash.salt.as_ref().map_or(&[], |salt| salt.as_ref()),
            // `$2y$12$`, then 22 characters.
            Kind::Bcrypt(text) => text.as_bytes().get(7..29).unwrap_or_default(),
        }
    }

    /// By what sessions know the password they began with: it changes with the salt, which every new password has of
    /// its own.
    pub(crate) fn credential(&self) -> u32 {
        let [a, b, c, d, ..] = sha256(self.salt());
        u32::from_be_bytes([a, b, c, d])
    }

    /// What checking it costs.
    pub(crate) fn cost(&self) -> Cost {
        match &self.0 {
            Kind::Argon2id(hash) => costs(hash).unwrap_or(Cost::OURS),
            Kind::Bcrypt(text) => {
                Cost::Bcrypt { cost: text.parse::<bcrypt::HashParts>().map_or(0, |parts| parts.get_cost()) }
            }
        }
    }

    /// Whether it should be made anew as soon as the password is known: bcrypt, or cheaper than what we make.
    pub(crate) fn is_outdated(&self) -> bool {
        match self.cost() {
            Cost::Argon2id { memory, time, .. } => u64::from(memory) * u64::from(time) < 19_456 * 2,
            Cost::Bcrypt { .. } => true,
        }
    }

    /// The text that is stored.
    pub fn text(&self) -> String {
        match &self.0 {
            Kind::Argon2id(hash) => hash.to_string(),
            Kind::Bcrypt(text) => text.to_string(),
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Hash").field(&self.cost()).finish_non_exhaustive()
    }
}

fn costs(hash: &PasswordHash) -> Option<Cost> {
    let params = Params::try_from(hash).ok()?;
    Some(Cost::Argon2id { memory: params.m_cost(), time: params.t_cost(), lanes: params.p_cost() })
}

fn judge(hash: &PasswordHash) -> Result<(), HashProblem> {
    let Some(Cost::Argon2id { memory, time, lanes }) = costs(hash) else {
        return Err(HashProblem::Damaged);
    };
    let salt = hash.salt.as_ref().map_or(0, |salt| salt.as_ref().len());
    let output = hash.hash.as_ref().map_or(0, Output::len);
    if hash.version != Some(Version::V0x13.into()) || output == 0 || salt == 0 {
        return Err(HashProblem::Damaged);
    }
    let said = format!("m={memory},t={time},p={lanes}");
    let work = u64::from(memory) * u64::from(time);
    if memory > 1_048_576 || work > 4 * 1_048_576 || lanes > 16 {
        return Err(HashProblem::Absurd(said));
    }
    // OWASP's equivalent settings run from m=47104,t=1 to m=7168,t=5; below their product lies none of them.
    if memory < 7168 || work < 7168 * 5 {
        return Err(HashProblem::Weak(said));
    }
    if salt < 8 || output < 16 {
        return Err(HashProblem::Weak(format!("{salt} bytes of salt, {output} of hash")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    #[test]
    fn a_password_is_whole_and_composed_and_bounded() {
        assert_eq!(password("cafe\u{301} ").expose(), "caf\u{e9} ");
        assert!(Password::new("").is_none());
        assert!(Password::new(&"a".repeat(256)).is_some());
        assert!(Password::new(&"a".repeat(257)).is_none());
        assert!(Password::new(&"\u{1F512}".repeat(256)).is_some());
        assert!(Password::new(&"a".repeat(10 * 1024 * 1024)).is_none());
    }

    #[test]
    fn what_is_made_verifies_and_says_how_it_was_made() {
        let secret = "correct horse battery staple \u{e9}";
        let hash = Hash::make(&password(secret));
        assert!(hash.text().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.text());
        let stored = Hash::parse(&hash.text()).unwrap();
        assert!(!stored.is_outdated());
        assert!(stored.verify(&password(secret)));
        assert!(stored.verify(&password("correct horse battery staple e\u{301}")));
        for wrong in ["Correct horse battery staple \u{e9}", "correct horse battery staple \u{e9} ", "x"] {
            assert!(!stored.verify(&password(wrong)), "{wrong:?} passed");
        }
        assert_ne!(hash.text(), Hash::make(&password(secret)).text());
        assert!(!format!("{hash:?}").contains(&hash.text()));
    }

    #[test]
    fn every_byte_of_a_long_password_matters() {
        let hash = Hash::make(&password(&"a".repeat(100)));
        let mut other = "a".repeat(99);
        other.push('b');
        assert!(!hash.verify(&password(&other)));
        assert!(!Hash::make(&password("a\0b")).verify(&password("a\0c")));
    }

    #[test]
    fn bcrypt_is_checked_whole_and_due_for_replacement() {
        let text = bcrypt::hash("secret", 4).unwrap();
        let hash = Hash::parse(&text).unwrap();
        assert!(hash.is_outdated());
        assert!(hash.verify(&password("secret")));
        assert!(!hash.verify(&password("Secret")));
        let long = Hash::parse(&bcrypt::hash("a".repeat(72), 4).unwrap()).unwrap();
        assert!(!long.verify(&password(&"a".repeat(73))));
        let cut = Hash::parse(&bcrypt::hash("a", 4).unwrap()).unwrap();
        assert!(!cut.verify(&password("a\0b")));
    }

    #[test]
    fn what_is_weak_or_absurd_or_foreign_is_refused() {
        let phc = |params: &str| {
            format!("$argon2id$v=19${params}$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        };
        for good in ["m=19456,t=2,p=1", "m=47104,t=1,p=1", "m=7168,t=5,p=1", "m=65536,t=3,p=4"] {
            assert!(Hash::parse(&phc(good)).is_ok(), "{good} was refused");
        }
        for weak in ["m=4096,t=3,p=1", "m=19456,t=1,p=1", "m=8,t=16,p=1"] {
            assert!(matches!(Hash::parse(&phc(weak)), Err(HashProblem::Weak(_))), "{weak} passed");
        }
        for absurd in ["m=4194304,t=2,p=1", "m=19456,t=300,p=1", "m=19456,t=2,p=17"] {
            assert!(matches!(Hash::parse(&phc(absurd)), Err(HashProblem::Absurd(_))), "{absurd} passed");
        }
        let bcrypt_20 = format!("$2y$20${}", ".".repeat(53));
        assert!(matches!(Hash::parse(&bcrypt_20), Err(HashProblem::Absurd(_))));
        for damaged in ["$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1", "$2y$10$short", "$argon2id$x"] {
            assert_eq!(Hash::parse(damaged), Err(HashProblem::Damaged), "{damaged} passed");
        }
        for foreign in ["", "secret", "$apr1$a$b", "{SHA}x", "$6$a$b", "$argon2i$v=19$m=65536,t=3,p=1$a$b"] {
            assert_eq!(Hash::parse(foreign), Err(HashProblem::Unknown), "{foreign} passed");
        }
    }

    #[test]
    fn nobodys_hash_costs_what_it_stands_for_and_fits_no_password() {
        for cost in [Cost::OURS, Cost::Bcrypt { cost: 4 }] {
            let hash = Hash::of_nobody(cost).unwrap();
            assert_eq!(hash.cost(), cost);
            assert!(!hash.verify(&password("secret")));
            assert!(Hash::parse(&hash.text()).is_ok());
        }
    }
}
