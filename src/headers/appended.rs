//! Pages that something of ours is appended to: what the app is asked for then, which answers take it, and what their
//! heads say about the longer page.
//!
//! The page with it and the page without it are two representations of one address (RFC 9110 §3.2): each has validators
//! of its own. Ours are the app's with a mark at the end, so that nothing need be remembered to ask the app again.

use std::time::Duration;
use std::time::UNIX_EPOCH;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header;

/// Fields about the bytes as the app sent them.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// Stands between an app's entity tag and our mark.
const BEHIND_TAG: char = '~';

/// Stands between a moment of the app's and our mark, where the app has no entity tag.
const BEHIND_MOMENT: char = '@';

/// Asks the app for a page that something can be appended to: whole and as it is. Tells whether the browser has one that
/// carries `mark`, and the app is asked whether it is still good.
pub fn ask(headers: &mut HeaderMap, mark: &str) -> bool {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.remove(header::RANGE);
    headers.remove(header::IF_RANGE);
    // What the browser has without the mark is another page; the app would take it for its own and say that it is good.
    let asked: Vec<HeaderValue> = headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect();
    headers.remove(header::IF_NONE_MATCH);
    headers.remove(header::IF_MODIFIED_SINCE);
    let (tags, moment) = unmark(&asked, mark);
    let tags = (!tags.is_empty()).then(|| HeaderValue::try_from(tags.join(", ")).ok()).flatten();
    let revalidates = tags.is_some() || moment.is_some();
    if let Some(tags) = tags {
        headers.insert(header::IF_NONE_MATCH, tags);
    }
    if let Some(moment) = moment {
        headers.insert(header::IF_MODIFIED_SINCE, moment);
    }
    revalidates
}

/// The app's own entity tags, and the moment, in those that carry `mark`.
fn unmark(lines: &[HeaderValue], mark: &str) -> (Vec<String>, Option<HeaderValue>) {
    let (mut tags, mut moment) = (Vec::new(), None);
    for line in lines.iter().filter_map(|line| line.to_str().ok()) {
        // Between every other pair of quotes: an entity tag has none inside (RFC 9110 §8.8.3).
        let parts: Vec<&str> = line.split('"').collect();
        for pair in parts.chunks_exact(2) {
            let [before, opaque] = pair else { continue };
            let Some(own) = opaque.strip_suffix(mark) else { continue };
            if let Some(tag) = own.strip_suffix(BEHIND_TAG) {
                let weak = if before.ends_with("W/") { "W/" } else { "" };
                tags.push(format!("{weak}\"{tag}\""));
            } else if let Some(seconds) = own.strip_suffix(BEHIND_MOMENT) {
                moment = seconds.parse().ok().and_then(date);
            }
        }
    }
    (tags, moment)
}

fn date(seconds: u64) -> Option<HeaderValue> {
    // Beyond the year 9999 there is no such date.
    let moment = UNIX_EPOCH.checked_add(Duration::from_secs(seconds.min(253_402_300_799)))?;
    HeaderValue::try_from(httpdate::fmt_http_date(moment)).ok()
}

/// Whether an answer is a page that something can be appended to: HTML that is shown, whole, not compressed, in an encoding
/// in which our letters are what they are, and not one that the app forbids to touch (RFC 9111 §5.2.2.6).
pub fn takes(status: StatusCode, headers: &HeaderMap) -> bool {
    let shows = match status {
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT => false,
        // Errors too: people read them, and go back from them.
        status => status.is_success() || status.is_client_error() || status.is_server_error(),
    };
    // Browsers show something of their own in place of an error without a page.
    let empty = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() == b"0");
    let plain = |line: &HeaderValue| line.as_bytes().eq_ignore_ascii_case(b"identity");
    shows
        && !empty
        && is_html(headers)
        && headers.get_all(header::CONTENT_ENCODING).iter().all(plain)
        && !headers.contains_key(header::CONTENT_RANGE)
        && headers.get_all(header::CONTENT_DISPOSITION).iter().all(is_inline)
        && !says(headers, &header::CACHE_CONTROL, "no-transform")
}

/// Whether an answer is HTML, in an encoding that has ASCII in it.
pub fn is_html(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let Ok(line) = line.to_str() else { return false };
    let mut parts = line.split(';').map(str::trim);
    let html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
    let mut charsets = parts.filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    html && charsets.next().is_none_or(has_ascii)
}

/// The labels of encodings (WHATWG Encoding §4.2) in which every ASCII byte is that letter; not UTF-16, not ISO-2022-JP.
fn has_ascii(charset: &str) -> bool {
    const BEGINNINGS: [&str; 21] = [
        "utf-8",
        "utf8",
        "us-ascii",
        "ascii",
        "iso-8859",
        "iso8859",
        "latin",
        "l1",
        "windows-",
        "cp125",
        "x-cp125",
        "koi8",
        "euc-",
        "gb",
        "big5",
        "shift",
        "sjis",
        "x-sjis",
        "tis-620",
        "macintosh",
        "x-mac",
    ];
    let charset = charset.to_ascii_lowercase();
    BEGINNINGS.iter().any(|beginning| charset.starts_with(beginning))
}

/// Whether an answer is to be shown: any other disposition is an attachment (RFC 6266 §4.2).
fn is_inline(line: &HeaderValue) -> bool {
    let kind = line.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"inline")
}

fn says(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let mut words = lines.flat_map(|line| line.split(|byte| b",;".contains(byte))).map(<[u8]>::trim_ascii);
    words.any(|found| found.eq_ignore_ascii_case(word.as_bytes()))
}

/// Says in the head of a page that `more` bytes are appended to it. With a `mark` it keeps validators; without, what is
/// appended differs each time, and the browser asks for the page anew.
pub fn lengthen(headers: &mut HeaderMap, more: usize, mark: Option<&str>) {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = length {
        let longer = length.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(longer));
    }
    for name in DIGESTS {
        headers.remove(name);
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    match mark {
        Some(mark) => mark_tag(headers, mark),
        None => drop(headers.remove(header::ETAG)),
    }
}

/// Puts `mark` on an answer's entity tag. A page that has a moment instead is given one by that.
pub fn mark_tag(headers: &mut HeaderMap, mark: &str) {
    let tag = headers.remove(header::ETAG);
    let marked = match &tag {
        Some(tag) => tag.to_str().ok().and_then(|tag| {
            let tag = tag.strip_suffix('"').filter(|tag| tag.starts_with(['"', 'W']))?;
            Some(format!("{tag}{BEHIND_TAG}{mark}\""))
        }),
        None => headers.get(header::LAST_MODIFIED).and_then(|moment| {
            let moment = httpdate::parse_http_date(moment.to_str().ok()?).ok()?;
            let seconds = moment.duration_since(UNIX_EPOCH).ok()?.as_secs();
            Some(format!("W/\"{seconds}{BEHIND_MOMENT}{mark}\""))
        }),
    };
    if let Some(marked) = marked.and_then(|marked| HeaderValue::try_from(marked).ok()) {
        headers.insert(header::ETAG, marked);
    }
}

#[cfg(test)]
mod tests;
