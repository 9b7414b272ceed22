//! The app's own `Set-Cookie` lines, with safe attributes and everything else as it was.
//!
//! Lines are never merged or reordered, names and values never change (COOKIE-15, COOKIE-16). The grammar is the
//! browsers' lenient one (RFC 6265bis §5.6): the last attribute of a name counts, unknown ones stay.

use std::time::Duration;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::header::Entry;
use http::header::SET_COOKIE;

use crate::clock::Timestamp;
use crate::headers::app_cookies::AppCookies;
use crate::headers::app_cookies::Keeping;
use crate::headers::cookies;
use crate::headers::harden::Answer;

/// No cookie may live longer (RFC 6265bis §5.5; COOKIE-24).
const LONGEST: Duration = Duration::from_hours(400 * 24);

/// Browsers drop a cookie whose name and value together are longer (RFC 6265bis §5.6).
const MOST_BYTES: usize = 4096;

/// What was done to the app's cookies, and what could not be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieReport {
    /// Lines that named a cookie of ours, taken out.
    pub reserved: usize,
    /// What was left as it is for the app's sake, by the cookies' names.
    pub left_open: Vec<(Box<[u8]>, LeftOpen)>,
}

/// Why a cookie is not as safe as it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOpen {
    /// Scripts can read it: it does not look like a session.
    Readable,
    /// Requests that other sites cause carry it: the app says so.
    CrossSite,
    /// Browsers will drop it: its name and value are too long.
    Oversized,
}

impl LeftOpen {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Readable => {
                "scripts can read it: it does not look like a session, and the app says nothing"
            }
            Self::CrossSite => "other sites can cause requests with it: the app says SameSite=None",
            Self::Oversized => "browsers drop it: its name and value are longer than 4096 bytes",
        }
    }
}

/// Where a cookie will be found again.
#[derive(Debug)]
pub(super) struct Traces<'a> {
    pub(super) name: &'a [u8],
    /// The last `Path`, as it is written.
    pub(super) path: Option<&'a [u8]>,
    pub(super) partitioned: bool,
}

/// Where the cookie of this line will be found again.
pub(super) fn traces(line: &[u8]) -> Traces<'_> {
    let cookie = Cookie::parse(line);
    let partitioned = cookie.attributes().any(|(name, _)| name.eq_ignore_ascii_case(b"partitioned"));
    Traces { name: cookie.name(), path: cookie.path, partitioned }
}

/// Hardens all `Set-Cookie` lines of an answer.
pub(crate) fn harden(headers: &mut HeaderMap, app: &AppCookies, answer: &Answer<'_>) -> CookieReport {
    let mut report = CookieReport::default();
    let lines: Vec<HeaderValue> = match headers.entry(SET_COOKIE) {
        Entry::Vacant(_) => return report,
        Entry::Occupied(entry) => entry.remove_entry_mult().1.collect(),
    };
    let mut cleared: Vec<HeaderValue> = Vec::new();
    for line in lines {
        let cookie = Cookie::parse(line.as_bytes());
        if cookies::reads_as_any(cookie.pair, answer.reserved) {
            report.reserved += 1;
            continue;
        }
        if app.of(cookie.name()) == Keeping::Pass {
            headers.append(SET_COOKIE, line);
            continue;
        }
        let for_scripts = app.exposes(cookie.name()) || !looks_like_session(cookie.name());
        let told = [
            (!cookie.http_only && for_scripts, LeftOpen::Readable),
            (cookie.is_cross_site(), LeftOpen::CrossSite),
            (cookie.pair.len() > MOST_BYTES, LeftOpen::Oversized),
        ];
        let told = told.iter().filter(|(is_so, _)| *is_so);
        report.left_open.extend(told.map(|(_, what)| (cookie.name().into(), *what)));
        // Before the new one: old browsers take the twin and the cookie for the same.
        if let Some(twin) = cookie.twin(answer).filter(|twin| !cleared.contains(twin)) {
            headers.append(SET_COOKIE, twin.clone());
            cleared.push(twin);
        }
        let hardened = cookie.hardened(for_scripts, answer).unwrap_or(line);
        headers.append(SET_COOKIE, hardened);
    }
    report
}

/// Whether a cookie is one that the app's own scripts read to send it back: its name says that it is a token against
/// forgery, and nothing keeps it from them.
pub(crate) fn is_token_for_scripts(line: &[u8]) -> bool {
    let name = line.split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or_default();
    // The name first: apps set their session with every answer, and its line need not be read for this.
    is_against_forgery(name) && !Cookie::parse(line).http_only
}

/// Whether a cookie's name says that it is a session or another proof of who somebody is. Tokens against forgery are
/// not: scripts must read them.
fn looks_like_session(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let says = |word: &str| contains(&name, word);
    let proof = ["sess", "auth", "token", "remember", "jwt"].into_iter().any(says) || name.ends_with(b"sid");
    proof && !is_against_forgery(&name)
}

fn is_against_forgery(name: &[u8]) -> bool {
    contains(name, "csrf") || contains(name, "xsrf")
}

fn contains(name: &[u8], word: &str) -> bool {
    name.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// One line, taken apart.
#[derive(Debug)]
struct Cookie<'a> {
    /// Name and value, as they stand.
    pair: &'a [u8],
    /// The attributes, from the first semicolon on.
    attributes: &'a [u8],
    secure: bool,
    http_only: bool,
    domain: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    max_age: Option<&'a [u8]>,
    same_site: SameSite<'a>,
}

/// The `SameSite` attributes of a line.
#[derive(Debug)]
enum SameSite<'a> {
    Absent,
    /// One, with a value that browsers know.
    Valid,
    /// Several, or a value that browsers read as they like; with the last one, if it is known.
    Unclear(Option<&'a [u8]>),
}

impl<'a> Cookie<'a> {
    fn parse(line: &'a [u8]) -> Self {
        let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
        let (pair, attributes) = line.split_at_checked(end).unwrap_or((line, &[]));
        let mut cookie = Self {
            pair,
            attributes,
            secure: false,
            http_only: false,
            domain: None,
            path: None,
            max_age: None,
            same_site: SameSite::Absent,
        };
        for (name, value) in cookie.attributes() {
            match Attribute::of(name) {
                Attribute::Secure => cookie.secure = true,
                Attribute::HttpOnly => cookie.http_only = true,
                Attribute::Domain => cookie.domain = Some(value),
                Attribute::Path => cookie.path = Some(value),
                Attribute::MaxAge => cookie.max_age = Some(value),
                Attribute::SameSite => cookie.same_site = cookie.same_site.and(value),
                Attribute::Expires | Attribute::Other => {}
            }
        }
        cookie
    }

    /// Names and values of the attributes, trimmed.
    fn attributes(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let pieces = self.attributes.split(|byte| *byte == b';').skip(1);
        pieces.map(|piece| match piece.iter().position(|byte| *byte == b'=') {
            Some(equals) => {
                let (name, value) = piece.split_at_checked(equals).unwrap_or((piece, &[]));
                (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii())
            }
            None => (piece.trim_ascii(), &[][..]),
        })
    }

    /// The name; a pair without equals sign has none.
    fn name(&self) -> &'a [u8] {
        let equals = self.pair.iter().position(|byte| *byte == b'=');
        equals.and_then(|end| self.pair.get(..end)).unwrap_or_default().trim_ascii()
    }

    /// Whether the app asks for it to be sent with requests that other sites cause.
    fn is_cross_site(&self) -> bool {
        let said = self.attributes().filter(|(name, _)| name.eq_ignore_ascii_case(b"samesite"));
        said.last().is_some_and(|(_, value)| value.eq_ignore_ascii_case(b"none"))
    }

    /// The line with safe attributes; nothing if it has them already.
    fn hardened(&self, for_scripts: bool, answer: &Answer<'_>) -> Option<HeaderValue> {
        let mut line = self.pair.to_vec();
        let mut changed = false;
        let written = self.attributes().filter(|(name, _)| !name.is_empty());
        for (name, value) in written {
            match Attribute::of(name).rewrite(value, self, answer.now) {
                Rewrite::Keep => push(&mut line, name, value),
                Rewrite::Drop => changed = true,
                Rewrite::Value(value) => {
                    changed = true;
                    push(&mut line, name, value.as_bytes());
                }
            }
        }
        let mut add = |wanted: bool, name: &[u8], value: &[u8]| {
            if wanted {
                changed = true;
                push(&mut line, name, value);
            }
        };
        add(answer.transport.is_secure() && !self.secure, b"Secure", b"");
        add(!self.http_only && !for_scripts, b"HttpOnly", b"");
        match self.same_site {
            SameSite::Valid => {}
            SameSite::Absent | SameSite::Unclear(None) => add(true, b"SameSite", b"Lax"),
            SameSite::Unclear(Some(value)) => add(true, b"SameSite", value),
        }
        changed.then(|| HeaderValue::from_maybe_shared(Bytes::from(line)).ok())?
    }

    /// A line that deletes the older cookie of this name which browsers keep for the whole domain: without `Domain`
    /// the new one does not replace it, and both would be sent.
    fn twin(&self, answer: &Answer<'_>) -> Option<HeaderValue> {
        let host = answer.authority.host.as_str().as_bytes();
        let domain = self.domain?;
        let domain = domain.strip_prefix(b".").unwrap_or(domain).to_ascii_lowercase();
        let below = host.strip_suffix(domain.as_slice())?;
        let matches = !domain.is_empty() && (below.is_empty() || below.ends_with(b"."));
        let prefixed = self.name().get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"__Host-"));
        if !matches || prefixed || self.name().is_empty() {
            return None;
        }
        let mut line = [self.name(), b"="].concat();
        if let Some(path) = self.path.filter(|path| path.starts_with(b"/")) {
            push(&mut line, b"Path", path);
        }
        push(&mut line, b"Domain", &domain);
        line.extend_from_slice(b"; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
        if answer.transport.is_secure() {
            push(&mut line, b"Secure", b"");
        }
        HeaderValue::from_maybe_shared(Bytes::from(line)).ok()
    }
}

impl<'a> SameSite<'a> {
    /// What the attributes say together with one more, `value`.
    fn and(&self, value: &'a [u8]) -> Self {
        let known = [&b"strict"[..], b"lax", b"none"].iter().any(|word| value.eq_ignore_ascii_case(word));
        match self {
            Self::Absent if known => Self::Valid,
            Self::Absent | Self::Valid | Self::Unclear(_) => Self::Unclear(known.then_some(value)),
        }
    }
}

/// The attributes that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Secure,
    HttpOnly,
    Domain,
    Path,
    MaxAge,
    Expires,
    SameSite,
    Other,
}

/// What becomes of an attribute.
enum Rewrite {
    Keep,
    Drop,
    Value(String),
}

impl Attribute {
    fn of(name: &[u8]) -> Self {
        let names: [(&[u8], Self); 7] = [
            (b"secure", Self::Secure),
            (b"httponly", Self::HttpOnly),
            (b"domain", Self::Domain),
            (b"path", Self::Path),
            (b"max-age", Self::MaxAge),
            (b"expires", Self::Expires),
            (b"samesite", Self::SameSite),
        ];
        let found = names.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        found.map_or(Self::Other, |(_, attribute)| *attribute)
    }

    fn rewrite(self, value: &[u8], cookie: &Cookie<'_>, now: Timestamp) -> Rewrite {
        let end = now.after(LONGEST);
        match self {
            Self::Domain => Rewrite::Drop,
            Self::SameSite if !matches!(cookie.same_site, SameSite::Valid) => Rewrite::Drop,
            Self::MaxAge if is_longer(value) => Rewrite::Value(LONGEST.as_secs().to_string()),
            // Where `Max-Age` stands too, it alone counts.
            Self::Expires if cookie.max_age.is_none() && date(value).is_some_and(|date| date > end) => {
                let end = UNIX_EPOCH + Duration::from_secs(end.as_secs());
                Rewrite::Value(httpdate::fmt_http_date(end))
            }
            Self::Secure
            | Self::HttpOnly
            | Self::Path
            | Self::MaxAge
            | Self::Expires
            | Self::SameSite
            | Self::Other => Rewrite::Keep,
        }
    }
}

fn push(line: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    line.extend_from_slice(b"; ");
    line.extend_from_slice(name);
    if !value.is_empty() {
        line.push(b'=');
        line.extend_from_slice(value);
    }
}

/// Whether a `Max-Age` is beyond the limit; digits that fit in no number are.
fn is_longer(value: &[u8]) -> bool {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let seconds = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
    digits && seconds.is_none_or(|seconds| seconds > LONGEST.as_secs())
}

/// Reads a date in one of the forms of RFC 9110 §5.6.7, or the one with dashes that old frameworks write.
fn date(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text)
        .or_else(|_| httpdate::parse_http_date(&text.replace('-', " ")))
        .ok()?;
    let millis = time.duration_since(UNIX_EPOCH).ok()?.as_millis();
    Some(Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests;
