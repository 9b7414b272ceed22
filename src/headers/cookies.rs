//! The request's cookies: finding ours byte for byte, and taking ours out before the app sees them.
//!
//! The two jobs are strict in opposite directions. What is *believed* must have exactly our name, because other
//! spellings can be planted from outside (attacks E02, E04, E06). What is *taken out* is everything that any app's
//! parser could read as ours: parsers trim Unicode white space, mangle `.` to `_`, decode names, or split at spaces
//! and commas. Foreign cookies keep their bytes and their order.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::header::COOKIE;
use percent_encoding::percent_decode;

/// What a request says under one cookie name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing.
    None,
    /// One value.
    One(&'a [u8]),
    /// More than one: a sign of an attack, to be treated as none (COOKIE-11).
    Several,
}

/// Looks for a cookie by its exact name in all `Cookie` lines.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Found<'a> {
    let mut found = Found::None;
    for line in headers.get_all(COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let rest = pair.trim_ascii().strip_prefix(name.as_bytes());
            let Some(value) = rest.and_then(|rest| rest.strip_prefix(b"=")) else {
                continue;
            };
            if found != Found::None {
                return Found::Several;
            }
            found = Found::One(value);
        }
    }
    found
}

/// How many fields a head has. `Cookie` is one, in however many crumbs HTTP/2 brings it (RFC 9113 §8.2.3): a browser
/// with a hundred cookies sends a hundred.
pub fn fields(headers: &HeaderMap) -> usize {
    headers.len() - headers.get_all(COOKIE).iter().count().saturating_sub(1)
}

/// Takes out every pair that some parser could read as a cookie named in `reserved`, and joins several `Cookie`
/// lines, which HTTP/2 makes of one, to a single line (RFC 9113 §8.2.3). One line without such a pair stays as it is.
pub fn strip(headers: &mut HeaderMap, reserved: &[&str]) {
    if is_one_of_ours_alone(headers, reserved) {
        headers.remove(COOKIE);
        return;
    }
    let lines = || headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let found = lines().any(|line| pieces(line).any(|piece| reads_as_any(piece, reserved)));
    if !found && lines().nth(1).is_none() {
        return;
    }
    let mut kept = Vec::new();
    for line in lines() {
        // Between the pairs of one line the bytes stay as they are: a quoted value may contain a semicolon.
        let mut joint: &[u8] = b"; ";
        for piece in pieces(line).filter(|piece| !reads_as_any(piece, reserved)) {
            let begins = joint.len() > 1;
            let piece = if begins { piece.trim_ascii_start() } else { piece };
            if kept.is_empty() && piece.is_empty() {
                continue;
            }
            if kept.is_empty() {
                kept.reserve(lines().map(|line| line.len() + joint.len()).sum());
            } else {
                kept.extend_from_slice(joint);
            }
            kept.extend_from_slice(piece);
            joint = b";";
        }
    }
    if kept.is_empty() {
        headers.remove(COOKIE);
    } else if let Ok(line) = HeaderValue::from_maybe_shared(Bytes::from(kept)) {
        headers.insert(COOKIE, line);
    }
}

/// Leaves of the request's one `Cookie` line what browsers may send to an app whose other cookies are kept for them: the
/// pairs whose name `passes`, if nothing more could be read in them than that (COOKIE-19).
pub fn keep_only(headers: &mut HeaderMap, passes: impl Fn(&[u8]) -> bool) {
    let Some(line) = headers.get(COOKIE) else { return };
    let clean = |piece: &&[u8]| {
        let mut halves = piece.splitn(2, |byte| *byte == b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next());
        is_token(name) && passes(name) && value.is_some_and(|value| !hides_a_pair(value))
    };
    let kept: Vec<&[u8]> = pieces(line.as_bytes()).map(<[u8]>::trim_ascii).filter(clean).collect();
    match HeaderValue::from_bytes(&kept.join(&b"; "[..])) {
        Ok(line) if !kept.is_empty() => headers.insert(COOKIE, line),
        Ok(_) | Err(_) => headers.remove(COOKIE),
    };
}

/// Whether a parser that splits at spaces, commas or quotes could find a further pair in a cookie's value.
fn hides_a_pair(value: &[u8]) -> bool {
    let noise = value.iter().position(|byte| is_noise(*byte));
    noise.and_then(|noise| value.get(noise..)).is_some_and(|rest| rest.contains(&b'='))
}

/// Whether some parser could read `piece`, the text between two semicolons, as a cookie of one of these names.
pub(crate) fn reads_as_any(piece: &[u8], reserved: &[&str]) -> bool {
    // The name may be empty and ours begin the value: browsers write such a pair without the equals sign.
    let named = trim_start(piece, |byte| is_noise(byte) || byte == b'=');
    let end = memchr::memchr(b'=', named).unwrap_or(named.len());
    let written: Cow<'_, [u8]> = percent_decode(named.get(..end).unwrap_or_default()).into();
    let splits = named.iter().any(|byte| is_noise(*byte));
    let reads_as = |name: &[u8]| begins_as(&written, name) || (splits && continues_as(piece, name));
    reserved.iter().any(|name| reads_as(name.as_bytes()))
}

/// `Set-Cookie` lines that expire every cookie of the request whose name `goes`, but those named in `reserved`: what an
/// app left in the browser must not greet the next person. Cookies of other paths are not seen here, and stay.
pub fn expire_others(
    headers: &HeaderMap,
    reserved: &[&str],
    goes: impl Fn(&[u8]) -> bool,
) -> Vec<HeaderValue> {
    expire(headers.get_all(COOKIE), reserved, goes)
}

/// The same of all in these `Cookie` lines.
pub fn expire_all<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
    reserved: &[&str],
) -> Vec<HeaderValue> {
    expire(lines, reserved, |_| true)
}

fn expire<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
    reserved: &[&str],
    goes: impl Fn(&[u8]) -> bool,
) -> Vec<HeaderValue> {
    let others = lines
        .into_iter()
        .map(HeaderValue::as_bytes)
        .flat_map(pieces)
        .filter(|piece| !reads_as_any(piece, reserved));
    let names = others.filter_map(|piece| piece.split(|byte| *byte == b'=').next()).map(<[u8]>::trim_ascii);
    let names = names.filter(|name| is_token(name) && goes(name));
    names.take(MOST_EXPIRED).filter_map(expired).collect()
}

/// More cookies than browsers keep for a host are an attack, not an app's (RFC 6265bis §6.1).
const MOST_EXPIRED: usize = 180;

fn expired(name: &[u8]) -> Option<HeaderValue> {
    const END: &[u8] = b"=; Path=/; Secure; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    HeaderValue::from_bytes(&[name, END].concat()).ok()
}

/// Whether `name` is a cookie's name by the strict grammar (RFC 6265bis §4.1.1: an HTTP token).
fn is_token(name: &[u8]) -> bool {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(legal)
}

/// The usual case of an app without cookies of its own: one line, one pair, in our own spelling.
fn is_one_of_ours_alone(headers: &HeaderMap, reserved: &[&str]) -> bool {
    let mut lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let ours = |name: &str| line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
    memchr::memchr2(b';', b',', line).is_none() && reserved.iter().any(|name| ours(name))
}

fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';')
}

/// Whether a name as it is written could be read as `name`.
fn begins_as(written: &[u8], name: &[u8]) -> bool {
    let Some((same, rest)) = written.split_at_checked(name.len()) else {
        return false;
    };
    // PHP takes what follows a bracket for an index, and cuts a name at NUL.
    let ends = matches!(rest.first(), Some(b'[' | 0)) || rest.iter().all(|byte| is_noise(*byte));
    ends && alike(same, name)
}

/// Whether a further pair within `piece` could be read as `name`: Python's parser splits at spaces, old ones at commas.
fn continues_as(piece: &[u8], name: &[u8]) -> bool {
    let ends = piece.iter().enumerate().filter(|(_, byte)| **byte == b'=').map(|(end, _)| end);
    ends.filter_map(|end| piece.get(..end)).any(|before| {
        let before = trim_end(before);
        let split = before.len().checked_sub(name.len()).and_then(|start| before.split_at_checked(start));
        split.is_some_and(|(before, same)| {
            before.last().is_some_and(|byte| is_noise(*byte)) && alike(same, name)
        })
    })
}

/// Same but for case and for what PHP turns into an underscore.
fn alike(written: &[u8], name: &[u8]) -> bool {
    let same = |(written, name): (&u8, &u8)| match name {
        b'_' => matches!(written, b'_' | b'.' | b' ' | b'+' | b'['),
        name => written.eq_ignore_ascii_case(name),
    };
    written.len() == name.len() && written.iter().zip(name).all(same)
}

/// Bytes that do not belong to a name for every parser: white space (also Unicode's, whose bytes are all beyond
/// ASCII), quotes, commas, controls.
fn is_noise(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'"' | b',' | 0x7f..)
}

fn trim_start(bytes: &[u8], skip: impl Fn(u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|byte| !skip(*byte)).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_noise(*byte)).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
