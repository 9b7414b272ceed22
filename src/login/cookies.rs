//! The two small cookies beside the session's: one before the login, one that knows a device again.

use cookie::Cookie;
use cookie::SameSite;
use cookie::time::Duration;
use cookie::time::OffsetDateTime;
use http::HeaderMap;
use http::HeaderValue;

use crate::crypto::Key;
use crate::crypto::Mac;
use crate::crypto::base64url;
use crate::crypto::from_base64url;
use crate::crypto::random;
use crate::headers::cookies::Found;
use crate::headers::cookies::find;
use crate::identity::user::UserName;
use crate::login::DEVICE_COOKIE;
use crate::login::PRE_COOKIE;

/// The value that ties a login form to the browser it was shown in. It gives no access to anything.
#[derive(Debug)]
pub(crate) struct Pre {
    value: String,
    fresh: bool,
}

impl Pre {
    /// The browser's own, so that forms in several tabs stay good beside each other; a new one if it has none, or
    /// more than one, or one that we cannot have made.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if let Found::One(value) = find(headers, PRE_COOKIE)
            && from_base64url(value).is_some_and(|bytes| bytes.len() == 16)
            && let Ok(value) = std::str::from_utf8(value)
        {
            return Self { value: value.to_owned(), fresh: false };
        }
        Self { value: base64url(&random::<16>()), fresh: true }
    }

    /// The value.
    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    /// What sets the cookie, if the browser does not have it yet.
    pub(crate) fn to_set(&self) -> Option<HeaderValue> {
        self.fresh.then(|| written(PRE_COOKIE, &self.value)).flatten()
    }

    /// What deletes the cookie.
    pub(crate) fn deletion() -> Option<HeaderValue> {
        // Both attributes: a zero Max-Age is younger in the grammar than some clients (RFC 6265bis §4.1.1).
        let cookie =
            plain(PRE_COOKIE, "").max_age(Duration::ZERO).expires(OffsetDateTime::UNIX_EPOCH).build();
        HeaderValue::from_str(&cookie.to_string()).ok()
    }
}

/// What one device is known by: random, and worth nothing but an own count of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Device([u8; 16]);

/// Remembers on which devices an account's owner logged in before, without storing anything: the browser keeps a
/// random number and our keyed hash of it and the name. Somebody else's guesses can then never lock the owner out.
#[derive(Debug)]
pub(crate) struct Devices(Mac);

impl Devices {
    /// With a key derived from the gateway's.
    pub(crate) fn new(key: &Key) -> Self {
        Self(key.mac("known device"))
    }

    /// The device, if `user` logged in on it before.
    pub(crate) fn known(&self, headers: &HeaderMap, user: &UserName) -> Option<Device> {
        let Found::One(value) = find(headers, DEVICE_COOKIE) else {
            return None;
        };
        let bytes = from_base64url(value)?;
        let (id, tag) = bytes.split_first_chunk::<16>()?;
        self.0.verify(&[user.as_str().as_bytes(), id], tag).then_some(Device(*id))
    }

    /// What makes this browser a known device of `user`.
    pub(crate) fn remember(&self, user: &UserName) -> Option<HeaderValue> {
        let id = random::<16>();
        let mut value = id.to_vec();
        value.extend_from_slice(&self.0.sign(&[user.as_str().as_bytes(), &id]));
        written(DEVICE_COOKIE, &base64url(&value))
    }
}

fn plain<'a>(name: &'a str, value: &'a str) -> cookie::CookieBuilder<'a> {
    Cookie::build((name, value)).path("/").secure(true).http_only(true).same_site(SameSite::Lax)
}

fn written(name: &str, value: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&plain(name, value).build().to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_str(cookie).unwrap());
        headers
    }

    fn attributes(value: &HeaderValue) -> Vec<String> {
        let mut all: Vec<_> = value.to_str().unwrap().split("; ").skip(1).map(String::from).collect();
        all.sort();
        all
    }

    #[test]
    fn a_pre_login_cookie_is_kept_once_it_is_there() {
        let first = Pre::of(&HeaderMap::new());
        let set = first.to_set().unwrap();
        assert_eq!(attributes(&set), ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
        let again = Pre::of(&headers(&format!("{PRE_COOKIE}={}", first.value())));
        assert_eq!(again.value(), first.value());
        assert_eq!(again.to_set(), None);
    }

    #[test]
    fn a_pre_login_cookie_we_cannot_have_made_is_replaced() {
        let good = base64url(&[7; 16]);
        for bad in [
            "a=b".to_owned(),
            format!("{PRE_COOKIE}="),
            format!("{PRE_COOKIE}=short"),
            format!("{PRE_COOKIE}={good}; {PRE_COOKIE}={good}"),
            format!("{}={good}", PRE_COOKIE.to_lowercase()),
        ] {
            assert!(Pre::of(&headers(&bad)).to_set().is_some(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_deletion_repeats_the_attributes_and_says_it_twice() {
        assert_eq!(
            attributes(&Pre::deletion().unwrap()),
            [
                "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                "HttpOnly",
                "Max-Age=0",
                "Path=/",
                "SameSite=Lax",
                "Secure"
            ]
        );
    }

    #[test]
    fn a_device_is_known_for_the_one_who_logged_in_on_it() {
        let devices = Devices::new(&Key::generate());
        let (alice, bob) = (UserName::parse("alice").unwrap(), UserName::parse("bob").unwrap());
        let set = devices.remember(&alice).unwrap();
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        assert!(devices.known(&headers(&pair), &alice).is_some());
        assert!(devices.known(&headers(&pair), &bob).is_none());
        assert!(Devices::new(&Key::generate()).known(&headers(&pair), &alice).is_none());
        assert!(devices.known(&HeaderMap::new(), &alice).is_none());
    }
}
