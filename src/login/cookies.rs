//! The two small cookies beside the session's: one before the login, one that knows a device again.

use cookie::Cookie;
use cookie::SameSite;
use cookie::time::Duration;
use cookie::time::OffsetDateTime;
use http::HeaderMap;
use http::HeaderValue;

use crate::crypto::Keys;
use crate::crypto::Mac;
use crate::crypto::base64url;
use crate::crypto::from_base64url;
use crate::crypto::random;
use crate::headers::cookies::Found;
use crate::headers::cookies::find;
use crate::identity::user::UserName;
use crate::login::DEVICE_COOKIE;
use crate::login::PRE_COOKIE;
use crate::login::conversation::Leftovers;

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
        deleted(PRE_COOKIE)
    }
}

/// What one device is known by: random, and worth nothing but an own count of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Device([u8; 16]);

/// What a browser holds of the apps behind us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Nothing, since they logged out; what came later came from nobody we know.
    Nothing,
    /// Cookies of the person whose device it is, or none.
    OwnersCookies,
}

impl Holds {
    const fn byte(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::OwnersCookies => 1,
        }
    }
}

/// Remembers on which devices an account's owner logged in before, without storing anything: the browser keeps a
/// random number and our keyed hash of it and the name. Somebody else's guesses can then never lock the owner out.
///
/// It also tells whose cookies of the apps the browser may hold, however the last session ended: idle, by a restart, in
/// a browser that was closed. A browser keeps the last one alone, so who is not known by it is somebody else.
#[derive(Debug)]
pub(crate) struct Devices(Mac);

impl Devices {
    /// With a key derived from the gateway's.
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(keys.mac("known device"))
    }

    /// The device, if `user` logged in on it before.
    pub(crate) fn known(&self, headers: &HeaderMap, user: &UserName) -> Option<Device> {
        self.read(headers, user).map(|(device, _)| device)
    }

    /// Whose the apps' cookies in this browser are to `user`, as far as anybody can know: another's, if another was logged
    /// in here and has not logged out. What is said of another is not verified: it costs its browser a few cookies.
    pub(crate) fn leftovers(&self, headers: &HeaderMap, user: &UserName) -> Leftovers {
        if self.read(headers, user).is_some_and(|(_, holds)| holds == Holds::OwnersCookies) {
            return Leftovers::Theirs;
        }
        let anothers = match find(headers, DEVICE_COOKIE) {
            Found::None => false,
            // What cannot be read is of an older form, or mangled: somebody was here.
            Found::One(value) => from_base64url(value).is_none_or(|bytes| {
                Parts::of(&bytes)
                    .is_none_or(|parts| parts.holds != Holds::Nothing.byte() && parts.cleared.is_empty())
            }),
            Found::Several => true,
        };
        if anothers { Leftovers::Anothers } else { Leftovers::Nobodys }
    }

    /// What says of a browser whose cookies of the apps have just been deleted, nobody knows whose they were, that it has
    /// nothing of theirs.
    pub(crate) fn cleared(headers: &HeaderMap) -> Option<HeaderValue> {
        let value = match find(headers, DEVICE_COOKIE) {
            Found::None => return None,
            Found::One(value) => from_base64url(value),
            Found::Several => None,
        };
        let Some((mut bytes, cleared)) = value.and_then(|bytes| {
            let cleared = !Parts::of(&bytes)?.cleared.is_empty();
            Some((bytes, cleared))
        }) else {
            // What cannot be read cannot be added to.
            return deleted(DEVICE_COOKIE);
        };
        bytes.push(CLEARED);
        if cleared { None } else { written_device(&bytes) }
    }

    /// What makes this browser a known device of `user`, at their login.
    pub(crate) fn remember(&self, user: &UserName) -> Option<HeaderValue> {
        self.write(user, Device(random()), Holds::OwnersCookies)
    }

    /// What leaves this browser a known device of `user` with nothing of theirs in it, at their logout.
    pub(crate) fn emptied(&self, headers: &HeaderMap, user: &UserName) -> Option<HeaderValue> {
        self.write(user, self.known(headers, user)?, Holds::Nothing)
    }

    /// What the device is known by, if somebody was logged in on it who has not left since. Whoever that was, it is of our
    /// making.
    pub(crate) fn vouched(&self, headers: &HeaderMap) -> Option<Vouched> {
        self.last(headers).filter(|last| {
            let parts = Parts::of(&last.device);
            parts.is_some_and(|parts| parts.cleared.is_empty() && parts.holds == Holds::OwnersCookies.byte())
        })
    }

    /// What the device is known by, if anybody was logged in on it, whether or not they have left since.
    pub(crate) fn last(&self, headers: &HeaderMap) -> Option<Vouched> {
        let Found::One(value) = find(headers, DEVICE_COOKIE) else { return None };
        let device = from_base64url(value)?;
        let parts = Parts::of(&device)?;
        let vouched =
            self.0.verify(&[VOUCHED, parts.id, &[parts.holds], parts.owner, parts.tag], parts.vouch);
        let owner = *parts.owner;
        vouched.then_some(Vouched { device, owner })
    }

    /// Whether a device that is known by this is `user`'s.
    pub(crate) fn is_of(&self, device: &[u8], user: &UserName) -> bool {
        self.read_bytes(device, user).is_some()
    }

    fn read(&self, headers: &HeaderMap, user: &UserName) -> Option<(Device, Holds)> {
        let Found::One(value) = find(headers, DEVICE_COOKIE) else {
            return None;
        };
        self.read_bytes(&from_base64url(value)?, user)
    }

    fn read_bytes(&self, bytes: &[u8], user: &UserName) -> Option<(Device, Holds)> {
        let Parts { id, holds: byte, tag, cleared, .. } = Parts::of(bytes)?;
        let holds = [Holds::Nothing, Holds::OwnersCookies].into_iter().find(|holds| holds.byte() == byte)?;
        let holds = if cleared.is_empty() { holds } else { Holds::Nothing };
        self.0.verify(&[user.key().as_bytes(), id, &[byte]], tag).then_some((Device(*id), holds))
    }

    fn write(&self, user: &UserName, device: Device, holds: Holds) -> Option<HeaderValue> {
        let byte = [holds.byte()];
        let owner = self.0.sign(&[OWNER, user.key().as_bytes()]);
        let owner = owner.first_chunk::<16>()?;
        let tag = self.0.sign(&[user.key().as_bytes(), &device.0, &byte]);
        let vouch = self.0.sign(&[VOUCHED, &device.0, &byte, owner, &tag]);
        written_device(&[&device.0[..], &byte, owner, &tag, &vouch].concat())
    }
}

/// A device that somebody was logged in on.
#[derive(Debug)]
pub(crate) struct Vouched {
    /// What it is known by.
    pub(crate) device: Vec<u8>,
    /// The same on all devices of one user. It does not say who that is.
    pub(crate) owner: [u8; 16],
}

/// What is in the cookie.
struct Parts<'a> {
    /// The device's number.
    id: &'a [u8; 16],
    /// What it holds.
    holds: u8,
    /// Its owner's number.
    owner: &'a [u8; 16],
    /// Our hash of the first two and the name.
    tag: &'a [u8; 32],
    /// Our hash of all that, which needs no name to be checked.
    vouch: &'a [u8; 32],
    /// Something where what it held was deleted since.
    cleared: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (holds, rest) = rest.split_first()?;
        let (owner, rest) = rest.split_first_chunk()?;
        let (tag, rest) = rest.split_first_chunk()?;
        let (vouch, cleared) = rest.split_first_chunk()?;
        Some(Self { id, holds: *holds, owner, tag, vouch, cleared })
    }
}

/// What the hash begins with that is an owner's number.
const OWNER: &[u8] = b"all devices of somebody's";

/// What the hash begins with that needs no name.
const VOUCHED: &[u8] = b"a device of somebody's";

/// Stands behind that where what the device held was deleted since.
const CLEARED: u8 = 0;

fn written_device(bytes: &[u8]) -> Option<HeaderValue> {
    let value = base64url(bytes);
    let cookie = plain(DEVICE_COOKIE, &value).max_age(KNOWN_FOR).build();
    HeaderValue::from_str(&cookie.to_string()).ok()
}

/// A device is forgotten when nobody logged in on it for so long. It outlives the browser's session, as the apps'
/// lasting cookies do.
const KNOWN_FOR: Duration = Duration::days(180);

fn deleted(name: &str) -> Option<HeaderValue> {
    // Both attributes: a zero Max-Age is younger in the grammar than some clients (RFC 6265bis §4.1.1).
    let cookie = plain(name, "").max_age(Duration::ZERO).expires(OffsetDateTime::UNIX_EPOCH).build();
    HeaderValue::from_str(&cookie.to_string()).ok()
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
    use crate::crypto::Key;

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
    fn a_device_tells_whose_cookies_it_holds_until_they_log_out() {
        let devices = Devices::new(&Key::generate().into());
        let (alice, bob) = (UserName::parse("alice").unwrap(), UserName::parse("bob").unwrap());
        let pair = |set: HeaderValue| headers(set.to_str().unwrap().split(';').next().unwrap());
        let used = pair(devices.remember(&alice).unwrap());
        assert_eq!(devices.leftovers(&used, &alice), Leftovers::Theirs);
        assert_eq!(devices.leftovers(&used, &bob), Leftovers::Anothers);
        assert_eq!(devices.leftovers(&HeaderMap::new(), &bob), Leftovers::Nobodys);
        let cleared = pair(Devices::cleared(&used).unwrap());
        for user in [&alice, &bob] {
            assert_eq!(devices.leftovers(&cleared, user), Leftovers::Nobodys);
        }
        assert_eq!(devices.known(&cleared, &alice), devices.known(&used, &alice));
        assert!(Devices::cleared(&cleared).is_none() && Devices::cleared(&HeaderMap::new()).is_none());
        let emptied = pair(devices.emptied(&used, &alice).unwrap());
        assert_eq!(devices.leftovers(&emptied, &alice), Leftovers::Nobodys);
        assert_eq!(devices.leftovers(&emptied, &bob), Leftovers::Nobodys);
        assert_eq!(devices.known(&emptied, &alice), devices.known(&used, &alice));
        assert!(devices.emptied(&used, &bob).is_none());
        let mut forged =
            from_base64url(emptied["cookie"].as_bytes().split(|b| *b == b'=').nth(1).unwrap()).unwrap();
        forged[16] = 1;
        let forged = headers(&format!("{DEVICE_COOKIE}={}", base64url(&forged)));
        assert!(devices.known(&forged, &alice).is_none());
    }

    #[test]
    fn a_device_cookie_that_cannot_be_read_is_anothers() {
        let devices = Devices::new(&Key::generate().into());
        let alice = UserName::parse("alice").unwrap();
        let old = base64url(&[7; 49]);
        for value in ["", "!", "AAAA", old.as_str()] {
            let headers = headers(&format!("{DEVICE_COOKIE}={value}"));
            assert_eq!(devices.leftovers(&headers, &alice), Leftovers::Anothers, "{value:?}");
            assert!(devices.vouched(&headers).is_none() && devices.known(&headers, &alice).is_none());
            let cleared = Devices::cleared(&headers).unwrap();
            assert!(cleared.to_str().unwrap().contains("Max-Age=0"), "{value:?}");
        }
    }

    #[test]
    fn nobody_but_us_can_say_whose_a_device_is() {
        let devices = Devices::new(&Key::generate().into());
        let (alice, bob) = (UserName::parse("alice").unwrap(), UserName::parse("bob").unwrap());
        let bytes = |user| {
            let set = devices.remember(user).unwrap();
            from_base64url(set.to_str().unwrap().split([';', '=']).nth(1).unwrap().as_bytes()).unwrap()
        };
        let vouched = |bytes: &[u8]| {
            devices.vouched(&headers(&format!("{DEVICE_COOKIE}={}", base64url(bytes)))).map(|one| one.owner)
        };
        let (own, others) = (bytes(&alice), bytes(&bob));
        assert!(vouched(&own).is_some() && vouched(&own) == vouched(&bytes(&alice)));
        assert_ne!(vouched(&own), vouched(&others));
        for at in 0..own.len() {
            let mut forged = own.clone();
            forged[at] ^= 1;
            assert_eq!(vouched(&forged), None, "byte {at}");
            // With another's byte, as far as it differs, nor with all that follows it.
            let spliced = [&own[..at], &others[at..]].concat();
            assert!(at == 0 || vouched(&spliced).is_none(), "from byte {at} on");
        }
    }

    #[test]
    fn a_device_is_known_for_the_one_who_logged_in_on_it() {
        let devices = Devices::new(&Key::generate().into());
        let (alice, bob) = (UserName::parse("alice").unwrap(), UserName::parse("bob").unwrap());
        let set = devices.remember(&alice).unwrap();
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        assert!(devices.known(&headers(&pair), &alice).is_some());
        assert!(devices.known(&headers(&pair), &bob).is_none());
        assert!(Devices::new(&Key::generate().into()).known(&headers(&pair), &alice).is_none());
        assert!(devices.known(&HeaderMap::new(), &alice).is_none());
    }
}
