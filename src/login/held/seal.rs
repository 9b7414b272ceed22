//! What a held form is sealed with: a key of the browser it came from, inside one of the gateway's.

use cookie::Cookie;
use cookie::SameSite;
use http::HeaderMap;
use http::HeaderValue;
use serde::Deserialize;
use serde::Serialize;

use crate::crypto;
use crate::crypto::Key;
use crate::crypto::Keys;
use crate::crypto::Sealer;
use crate::headers::cookies::Found;
use crate::headers::cookies::find;
use crate::login::HELD_COOKIE;
use crate::session::store::HeldKey;

/// What is sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Inside<'a> {
    pub(super) host: &'a str,
    pub(super) target: &'a str,
    pub(super) kind: &'a str,
    pub(super) referer: Option<&'a str>,
    pub(super) device: &'a [u8],
    pub(super) until: u64,
    pub(super) body: &'a [u8],
}

/// The gateway's part in what seals forms.
#[derive(Debug)]
pub(crate) struct HeldSeals(Sealer);

impl HeldSeals {
    /// With a key derived from the gateway's.
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(keys.sealer("held form under the gateway"))
    }

    /// Seals what is held under `key`, and opens nowhere else.
    pub(super) fn seal(&self, plain: &[u8], holder: &Holder, key: HeldKey) -> Vec<u8> {
        let place = &key.to_bytes()[..];
        self.0.seal_bytes(&holder.sealer().seal_bytes(plain, place), place)
    }

    /// What is held under `key`, if it is of this browser.
    pub(super) fn open(&self, sealed: &[u8], holder: &Holder, key: HeldKey) -> Option<Vec<u8>> {
        let place = &key.to_bytes()[..];
        holder.sealer().open_bytes(&self.0.open_bytes(sealed, place)?, place)
    }
}

/// The browser's part.
pub(super) struct Holder {
    key: [u8; 32],
    fresh: bool,
}

impl Holder {
    pub(super) fn known(headers: &HeaderMap) -> Option<Self> {
        let Found::One(value) = find(headers, HELD_COOKIE) else { return None };
        let key = crypto::from_base64url(value)?.try_into().ok()?;
        Some(Self { key, fresh: false })
    }

    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self::known(headers).unwrap_or_else(|| Self { key: crypto::random(), fresh: true })
    }

    fn sealer(&self) -> Sealer {
        Key::from_bytes(self.key).sealer("held form")
    }

    pub(super) fn to_set(&self) -> Option<HeaderValue> {
        let value = crypto::base64url(&self.key);
        let cookie = Cookie::build((HELD_COOKIE, value)).path("/").secure(true).http_only(true);
        let text = cookie.same_site(SameSite::Lax).build().to_string();
        let mut value = HeaderValue::from_str(&text).ok().filter(|_| self.fresh)?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The key of one of an owner's places.
pub(super) fn key_of(owner: &[u8; 16], place: u8) -> HeldKey {
    let hash = crypto::sha256(&[b"held form ", &owner[..], &[place]].concat());
    let mut key = [0; 16];
    key.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    HeldKey::from_bytes(key)
}

pub(super) fn inside(plain: &[u8]) -> Option<Inside<'_>> {
    postcard::from_bytes(plain).ok()
}
