//! Randomness, hashes, sealed values and secrets that cannot be printed. All of it is aws-lc-rs and the operating
//! system's generator; there is no cryptography of our own here.

use std::fmt;

use aws_lc_rs::aead;
use aws_lc_rs::constant_time;
use aws_lc_rs::digest;
use aws_lc_rs::hkdf;
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroize;
use zeroize::Zeroizing;

/// A value that must never reach a log, a page or an error text: it has no `Display` or `Serialize`, its `Debug`
/// shows nothing, and its memory is wiped when it is dropped.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes charge of `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. The one word to look for in a review.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// `N` bytes from the operating system's generator (ASVS 11.5.1).
///
/// # Panics
/// If the system has no randomness to give: a session id made from anything less must not exist.
#[expect(clippy::expect_used, reason = "without randomness the only safe answer is none at all")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).expect("the operating system's random generator must work");
    bytes
}

/// SHA-256.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    out
}

/// Compares without telling by its duration where two values differ.
pub fn constant_time_eq(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// Base64url without padding, as used in cookies and URLs.
pub fn base64url(data: &[u8]) -> String {
    BASE64URL_NOPAD.encode(data)
}

/// Reads base64url without padding; only the canonical form is accepted, so that one value has one spelling.
pub fn from_base64url(text: &[u8]) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text).ok()
}

/// A key. Each use derives its own key from it by a label (HKDF, RFC 5869), so that a value made for one purpose is
/// refused for every other.
#[derive(Debug)]
pub struct Key(Secret<[u8; 32]>);

impl Key {
    /// A fresh key.
    pub fn generate() -> Self {
        Self(Secret::new(random()))
    }

    /// A key from 32 bytes kept elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// A sealer for values of one purpose, by this key alone.
    pub fn sealer(&self, label: &'static str) -> Sealer {
        Sealer { newest: self.cipher(label), older: Box::default() }
    }

    #[expect(clippy::expect_used, reason = "the key has the algorithm's length by its type")]
    fn cipher(&self, label: &'static str) -> aead::RandomizedNonceKey {
        let bytes = Zeroizing::new(self.derive(label));
        aead::RandomizedNonceKey::new(&aead::AES_256_GCM, &*bytes).expect("32 bytes are an AES-256 key")
    }

    fn keyed_hash(&self, label: &'static str) -> hmac::Key {
        let bytes = Zeroizing::new(self.derive(label));
        hmac::Key::new(hmac::HMAC_SHA256, &*bytes)
    }

    #[expect(clippy::expect_used, reason = "HKDF-SHA-256 always yields 32 bytes")]
    fn derive(&self, label: &'static str) -> [u8; 32] {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"vestibule").extract(self.0.expose());
        let mut out = [0; 32];
        secret
            .expand(&[label.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut out))
            .expect("one hash length of output is always allowed");
        out
    }
}

/// The gateway's own keys: everything is made with the newest, and what was made with an older one is still good.
/// So keys are changed without logging anyone out (NIST SP 800-57 §5.3.6: one key protects, several check).
#[derive(Debug)]
pub struct Keys {
    newest: Key,
    older: Vec<Key>,
}

impl Keys {
    /// The newest key, and those before it.
    pub const fn new(newest: Key, older: Vec<Key>) -> Self {
        Self { newest, older }
    }

    /// A sealer for values of one purpose (authenticated encryption, AES-256-GCM with random nonces).
    pub fn sealer(&self, label: &'static str) -> Sealer {
        let older = self.older.iter().map(|key| key.cipher(label)).collect();
        Sealer { newest: self.newest.cipher(label), older }
    }

    /// A keyed hash for values of one purpose (HMAC-SHA-256).
    pub fn mac(&self, label: &'static str) -> Mac {
        let older = self.older.iter().map(|key| key.keyed_hash(label)).collect();
        Mac { newest: self.newest.keyed_hash(label), older }
    }
}

impl From<Key> for Keys {
    /// One key, and none before it.
    fn from(key: Key) -> Self {
        Self::new(key, Vec::new())
    }
}

/// Seals values so that nobody without the key can read or make them.
#[derive(Debug)]
pub struct Sealer {
    newest: aead::RandomizedNonceKey,
    older: Box<[aead::RandomizedNonceKey]>,
}

impl Sealer {
    /// Encrypts and authenticates `plain`; `bound_to` must be given again to open it. Base64url text.
    ///
    /// # Panics
    /// If the system has no randomness for the nonce.
    pub fn seal(&self, plain: &[u8], bound_to: &[u8]) -> String {
        base64url(&self.seal_bytes(plain, bound_to))
    }

    /// The same as bytes, for what is kept and not sent.
    ///
    /// # Panics
    /// If the system has no randomness for the nonce.
    #[expect(clippy::expect_used, reason = "sealing fails only without randomness or beyond 64 GiB")]
    pub fn seal_bytes(&self, plain: &[u8], bound_to: &[u8]) -> Vec<u8> {
        let mut buffer = plain.to_vec();
        let nonce = self
            .newest
            .seal_in_place_append_tag(aead::Aad::from(bound_to), &mut buffer)
            .expect("sealing a short value cannot fail");
        let mut out = nonce.as_ref().to_vec();
        out.append(&mut buffer);
        out
    }

    /// What was sealed, or nothing if the text was not made by [`Sealer::seal`] with one of these keys and this
    /// `bound_to`.
    pub fn open(&self, sealed: &[u8], bound_to: &[u8]) -> Option<Vec<u8>> {
        self.open_bytes(&from_base64url(sealed)?, bound_to)
    }

    /// The same for what [`Sealer::seal_bytes`] made.
    pub fn open_bytes(&self, sealed: &[u8], bound_to: &[u8]) -> Option<Vec<u8>> {
        let mut keys = std::iter::once(&self.newest).chain(&self.older);
        keys.find_map(|key| open(key, sealed.to_vec(), bound_to))
    }
}

fn open(key: &aead::RandomizedNonceKey, mut bytes: Vec<u8>, bound_to: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = bytes.split_at_mut_checked(aead::NONCE_LEN)?;
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
    let plain = key.open_in_place(nonce, aead::Aad::from(bound_to), body).ok()?;
    Some(plain.to_vec())
}

/// A keyed hash.
#[derive(Debug)]
pub struct Mac {
    newest: hmac::Key,
    older: Box<[hmac::Key]>,
}

impl Mac {
    /// The keyed hash of `parts`. Each part is preceded by its length, so that no two lists of parts look alike.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        keyed_hash(&self.newest, parts)
    }

    /// Whether `tag` is the keyed hash of `parts` under one of these keys; takes the same time wherever it differs.
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        let mut keys = std::iter::once(&self.newest).chain(&self.older);
        keys.any(|key| constant_time_eq(&keyed_hash(key, parts), tag))
    }
}

fn keyed_hash(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(newest: [u8; 32], older: &[[u8; 32]]) -> Keys {
        Keys::new(Key::from_bytes(newest), older.iter().copied().map(Key::from_bytes).collect())
    }

    #[test]
    fn what_an_older_key_made_is_good_until_that_key_is_gone() {
        let [first, second, third] = [keys([1; 32], &[]), keys([2; 32], &[[1; 32]]), keys([2; 32], &[])];
        let (sealed, tag) = (first.sealer("x").seal(b"value", b""), first.mac("x").sign(&[b"value"]));
        assert_eq!(second.sealer("x").open(sealed.as_bytes(), b"").unwrap(), b"value");
        assert!(second.mac("x").verify(&[b"value"], &tag));
        assert!(third.sealer("x").open(sealed.as_bytes(), b"").is_none());
        assert!(!third.mac("x").verify(&[b"value"], &tag));
        let (sealed, tag) = (second.sealer("x").seal(b"value", b""), second.mac("x").sign(&[b"value"]));
        assert!(first.sealer("x").open(sealed.as_bytes(), b"").is_none());
        assert!(third.mac("x").verify(&[b"value"], &tag) && !first.mac("x").verify(&[b"value"], &tag));
    }

    #[test]
    fn a_sealed_value_opens_only_with_its_key_label_and_binding() {
        let key = Key::generate();
        let sealed = key.sealer("return").seal(b"/reports?id=7", b"app.example");
        assert_eq!(key.sealer("return").open(sealed.as_bytes(), b"app.example").unwrap(), b"/reports?id=7");
        assert!(key.sealer("return").open(sealed.as_bytes(), b"other.example").is_none());
        assert!(key.sealer("login").open(sealed.as_bytes(), b"app.example").is_none());
        assert!(Key::generate().sealer("return").open(sealed.as_bytes(), b"app.example").is_none());
    }

    #[test]
    fn a_sealed_value_that_was_touched_does_not_open() {
        let key = Key::generate().sealer("x");
        let sealed = key.seal(b"value", b"");
        let (cut, swapped): (String, String) =
            (sealed.chars().skip(1).collect(), sealed.chars().rev().collect());
        for bad in ["", "A", "!!", &cut, &swapped] {
            assert!(key.open(bad.as_bytes(), b"").is_none(), "{bad} opened");
        }
    }

    #[test]
    fn parts_cannot_be_shifted_between_fields() {
        let mac = keys([7; 32], &[]).mac("form");
        let tag = mac.sign(&[b"ab", b"c"]);
        assert!(mac.verify(&[b"ab", b"c"], &tag));
        assert!(!mac.verify(&[b"a", b"bc"], &tag));
    }

    #[test]
    fn a_secret_cannot_be_printed() {
        assert_eq!(format!("{:?}", Secret::new(String::from("hunter2"))), "Secret(…)");
    }
}
