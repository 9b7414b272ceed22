//! A jar as bytes, for whoever seals it: what is written is not readable as it lies.

use serde::Deserialize;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::vault::Cookie;
use crate::vault::CookieId;
use crate::vault::Jar;
use crate::vault::cookie::Reach;

/// The form of the bytes; the first of them.
const FORMAT: u8 = 1;

/// A cookie. The order of the fields is the format.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    name: &'a [u8],
    value: &'a [u8],
    domain: &'a str,
    path: &'a [u8],
    flags: u8,
    expires: Option<u64>,
    used: u64,
}

const HOST_ONLY: u8 = 1;
const STRICT: u8 = 2;

impl Jar {
    /// The jar as bytes.
    #[expect(clippy::expect_used, reason = "numbers and bytes of known length can always be written")]
    #[expect(clippy::missing_panics_doc, reason = "it cannot happen")]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let cookies: Vec<Written<'_>> = self.cookies().map(Written::of).collect();
        let mut bytes = postcard::to_stdvec(&cookies).expect("a jar can be written");
        bytes.insert(0, FORMAT);
        Zeroizing::new(bytes)
    }

    /// The jar that was written as `bytes`; nothing if none was.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (format, body) = bytes.split_first()?;
        let cookies: Vec<Written<'_>> = postcard::from_bytes(body).ok().filter(|_| *format == FORMAT)?;
        Some(Self::of(cookies.into_iter().map(Written::read)))
    }
}

impl<'a> Written<'a> {
    fn of(cookie: &'a Cookie) -> Self {
        let CookieId { name, domain, path, reach } = &cookie.id;
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        Self {
            name,
            value: cookie.value.expose(),
            domain,
            path,
            flags: flag(*reach == Reach::Host, HOST_ONLY) | flag(cookie.strict, STRICT),
            expires: cookie.expires.map(Timestamp::as_millis),
            used: cookie.used.as_millis(),
        }
    }

    fn read(self) -> Cookie {
        let has = |flag: u8| self.flags & flag != 0;
        Cookie {
            id: CookieId {
                name: self.name.into(),
                domain: self.domain.into(),
                path: self.path.into(),
                reach: if has(HOST_ONLY) { Reach::Host } else { Reach::Domain },
            },
            value: Secret::new(self.value.to_vec()),
            strict: has(STRICT),
            expires: self.expires.map(Timestamp::from_millis),
            used: Timestamp::from_millis(self.used),
        }
    }
}
