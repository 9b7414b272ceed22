//! One `Set-Cookie` line, read as browsers read it (RFC 6265bis §5.6), and made the cookie that it asks for (§5.7).

use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::vault::LONGEST;
use crate::vault::MOST_BYTES;
use crate::vault::Place;
use crate::vault::Refused;
use crate::vault::cookie::Cookie;
use crate::vault::cookie::CookieId;
use crate::vault::cookie::Reach;
use crate::vault::date;

/// An attribute with a longer value counts as absent (RFC 6265bis §5.6).
const LONGEST_ATTRIBUTE: usize = 1024;

/// The name of the cookie that a `Set-Cookie` line is about; empty for one without.
pub fn cookie_name(line: &[u8]) -> &[u8] {
    name_and_value(pair_of(line)).0
}

impl Cookie {
    /// The cookie that the app behind `place` sets with `line`. It may be one that is over already: that is how an app
    /// deletes.
    pub fn parse(line: &[u8], place: &Place<'_>, now: Timestamp) -> Result<Self, Refused> {
        if line.iter().any(|byte| matches!(byte, 0..=0x08 | 0x0a..=0x1f | 0x7f)) {
            return Err(Refused::Malformed);
        }
        let pair = pair_of(line);
        let (name, value) = name_and_value(pair);
        if name.is_empty() && value.is_empty() {
            return Err(Refused::Malformed);
        }
        if name.len() + value.len() > MOST_BYTES {
            return Err(Refused::TooLong);
        }
        let said = Attributes::read(line.get(pair.len()..).unwrap_or_default(), now);
        let (domain, reach) = domain_of(said.domain, place)?;
        let cookie = Self {
            id: CookieId {
                name: name.into(),
                domain: domain.into(),
                path: said.path.map_or_else(|| default_path(place.path.as_bytes()).into(), Box::from),
                reach,
            },
            value: Secret::new(value.to_vec()),
            strict: said.same_site == SameSite::Strict,
            expires: said.max_age.or(said.expires).map(|end| end.min(now.after(LONGEST))),
            used: now,
        };
        if keeps_its_prefix(&cookie, &said) { Ok(cookie) } else { Err(Refused::Prefix) }
    }
}

/// What stands before the first semicolon.
fn pair_of(line: &[u8]) -> &[u8] {
    line.split(|byte| *byte == b';').next().unwrap_or_default()
}

fn name_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(equals) => {
            let (name, value) = pair.split_at_checked(equals).unwrap_or((pair, &[]));
            (trim(name), trim(value.get(1..).unwrap_or_default()))
        }
        None => (&[], trim(pair)),
    }
}

/// The attributes as the last of each kind has them.
#[derive(Debug, Default)]
struct Attributes<'a> {
    max_age: Option<Timestamp>,
    expires: Option<Timestamp>,
    domain: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SameSite {
    #[default]
    Other,
    Strict,
}

impl<'a> Attributes<'a> {
    fn read(text: &'a [u8], now: Timestamp) -> Self {
        let mut said = Self::default();
        for piece in text.split(|byte| *byte == b';').skip(1) {
            let (name, value) = match piece.iter().position(|byte| *byte == b'=') {
                Some(_) => name_and_value(piece),
                None => (trim(piece), &[][..]),
            };
            if value.len() <= LONGEST_ATTRIBUTE {
                said.take(&name.to_ascii_lowercase(), value, now);
            }
        }
        said
    }

    fn take(&mut self, name: &[u8], value: &'a [u8], now: Timestamp) {
        match name {
            b"expires" => self.expires = date::parse(value).or(self.expires),
            b"max-age" => self.max_age = max_age(value, now).or(self.max_age),
            b"domain" => {
                self.domain =
                    Some(value.strip_prefix(b".").unwrap_or(value)).filter(|value| !value.is_empty());
            }
            b"path" => self.path = Some(value).filter(|value| value.starts_with(b"/")),
            b"secure" => self.secure = true,
            b"httponly" => self.http_only = true,
            b"samesite" if value.eq_ignore_ascii_case(b"strict") => self.same_site = SameSite::Strict,
            b"samesite" => self.same_site = SameSite::Other,
            _ => {}
        }
    }
}

/// When a cookie of this `Max-Age` is over; nothing for what is no number.
fn max_age(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    if digits.is_empty() && !negative || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let limit = LONGEST.as_secs();
    // Digits that fit in no number are beyond every limit.
    let secs = digits.iter().fold(0_u64, |secs, digit| {
        secs.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(limit)
    });
    let over = negative || secs == 0;
    Some(if over { Timestamp::from_millis(0) } else { now.after(std::time::Duration::from_secs(secs)) })
}

fn domain_of(said: Option<&[u8]>, place: &Place<'_>) -> Result<(String, Reach), Refused> {
    let host = place.host.as_str();
    let Some(domain) = said else { return Ok((host.to_owned(), Reach::Host)) };
    let domain = match str::from_utf8(domain) {
        Ok(domain) if domain.is_ascii() => domain.to_ascii_lowercase(),
        Ok(_) | Err(_) => return Err(Refused::ForeignDomain),
    };
    if !domain.contains('.') {
        // A top-level domain is nobody's. All of them have a dot less than we can tell without a list, but a jar is for
        // one site alone: there is no stranger in it who could read what is set too broadly.
        let alone = domain == host;
        return if alone { Ok((domain, Reach::Host)) } else { Err(Refused::ForeignDomain) };
    }
    if domain_matches(host, &domain) { Ok((domain, Reach::Domain)) } else { Err(Refused::ForeignDomain) }
}

/// Whether `host` is `domain` or below it (RFC 6265bis §5.1.3).
pub(super) fn domain_matches(host: &str, domain: &str) -> bool {
    let below = || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')) && !is_address(host);
    host == domain || below()
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok()
}

/// Whether a request for `path` is for a cookie of `cookie_path` (RFC 6265bis §5.1.4).
pub(super) fn path_matches(path: &[u8], cookie_path: &[u8]) -> bool {
    let rest = path.strip_prefix(cookie_path);
    rest.is_some_and(|rest| rest.is_empty() || cookie_path.ends_with(b"/") || rest.starts_with(b"/"))
}

/// The path of a cookie that names none (RFC 6265bis §5.1.4).
fn default_path(path: &[u8]) -> &[u8] {
    let last = path.iter().rposition(|byte| *byte == b'/').filter(|_| path.starts_with(b"/"));
    match last.and_then(|last| path.get(..last)) {
        Some(folder) if !folder.is_empty() => folder,
        Some(_) | None => b"/",
    }
}

/// Whether the cookie has what its name's prefix promises (RFC 6265bis §5.7 steps 20 to 22, and the layered cookies'
/// `__Http-`). Case makes no difference: servers may not tell either.
fn keeps_its_prefix(cookie: &Cookie, said: &Attributes<'_>) -> bool {
    let begins = |text: &[u8], prefix: &[u8]| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let (id, name) = (&cookie.id, &*cookie.id.name);
    let secure = said.secure;
    let host_alone = secure && id.reach == Reach::Host && said.domain.is_none() && said.path == Some(b"/");
    if name.is_empty() {
        let value = cookie.value.expose();
        let prefixes: [&[u8]; 3] = [b"__secure-", b"__host-", b"__http-"];
        return !prefixes.iter().any(|prefix| begins(value, prefix));
    }
    if begins(name, b"__host-http-") {
        return host_alone && said.http_only;
    }
    if begins(name, b"__host-") {
        return host_alone;
    }
    if begins(name, b"__http-") {
        return secure && said.http_only;
    }
    !begins(name, b"__secure-") || secure
}

/// Without the white space of RFC 6265bis: spaces and tabs.
fn trim(text: &[u8]) -> &[u8] {
    let white = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !white(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !white(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}
