//! The script that warns before a session ends, and the line that puts it into an app's page.
//!
//! The line is appended after the page's last byte (`body::appended`), where no page need be held back or understood: what
//! comes behind `</html>` a browser puts into the body (HTML §13.2.6.4.19). A page that ends inside a comment, a
//! template or a tag swallows it; one that ends inside a script of its own makes of both something that does not parse, and
//! neither runs; one that ends inside a text field shows it there. A page that goes on for ever is never warned.

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use data_encoding::HEXLOWER;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Response;
use http::StatusCode;
use http::header;

use crate::crypto::sha256;

/// Where the script is.
pub const SCRIPT: &str = "/.vestibule/warning.js";

/// What the script asks for.
pub const ASKS: [&str; 2] = ["/.vestibule/session", "/.vestibule/session/extend"];

const TEXT: &str = include_str!("warning.js");

/// What the address says of this very text, so that a browser can keep it for ever.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = HEXLOWER.encode(&sha256(TEXT.as_bytes()));
    hash.chars().take(16).collect()
});

/// The text's hash, as policies and elements name it.
static HASH: LazyLock<String> =
    LazyLock::new(|| format!("sha256-{}", BASE64.encode(&sha256(TEXT.as_bytes()))));

/// How long before its end a session is warned of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Before it would be idle for too long.
    pub idle: Duration,
    /// Before its longest time is over.
    pub absolute: Duration,
}

/// The script's hash, as in `sha256-…`.
pub fn hash() -> &'static str {
    &HASH
}

/// What tells pages with one line from pages with another, or with none: letters that fit into an entity tag.
pub fn mark(before: Before) -> String {
    format!("{}.{}.{}", *VERSION, before.idle.as_secs(), before.absolute.as_secs())
}

/// A comment to whoever reads a page, and the end of a tag that a page has left open, whatever in it: else that tag would
/// be one with ours, and have its nonce. In a script that was left open it is no whole comment, so that such a one runs as
/// little as without us.
const CLOSES: &str = "<!--\n\"'> -->";

/// The line that loads the script from `address`, of an even number of bytes: a whole one, since a page may say that its
/// own paths begin elsewhere (`<base>`). `nonce` must be of base64 characters; `hashed` has the browser compare the script
/// with its hash.
pub fn line(before: Before, address: &str, nonce: Option<&str>, hashed: bool) -> Bytes {
    let (idle, absolute) = (before.idle.as_secs(), before.absolute.as_secs());
    let mut line = format!(
        "\n{CLOSES}<script src=\"{address}?v={}\" data-idle=\"{idle}\" data-absolute=\"{absolute}\"",
        *VERSION
    );
    // Writing to a String cannot fail.
    let _written = nonce.map(|nonce| write!(line, " nonce=\"{nonce}\""));
    let _written = hashed.then(|| write!(line, " integrity=\"{}\"", *HASH));
    line.push_str(" defer></script>\n");
    if line.len() % 2 == 1 {
        line.push('\n');
    }
    line.into()
}

/// The answer to somebody who loads the script: the same for everybody. Asked for by another version of its address, as
/// while gateways are exchanged one by one, nothing is kept.
pub fn answer(method: &Method, query: Option<&str>, headers: &HeaderMap) -> Response<Bytes> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let this = query.and_then(|query| query.strip_prefix("v=")) == Some(VERSION.as_str());
    let caching = if this { "public, max-age=31536000, immutable" } else { "no-cache" };
    let tag = format!("\"{}\"", *VERSION);
    let had = headers.get(header::IF_NONE_MATCH).is_some_and(|tags| tags.as_bytes() == tag.as_bytes());
    let mut response = Response::new(if had { Bytes::new() } else { Bytes::from_static(TEXT.as_bytes()) });
    if had {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    // Hexadecimal digits are legal in a field value.
    fields.extend(HeaderValue::try_from(tag).ok().map(|tag| (header::ETAG, tag)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Before = Before { idle: Duration::from_mins(2), absolute: Duration::from_mins(5) };

    fn text(line: &Bytes) -> &str {
        std::str::from_utf8(line).unwrap()
    }

    #[test]
    fn the_line_loads_this_version_with_what_the_policy_wants() {
        let address = "https://app.example/.vestibule/warning.js";
        let (plain, full) = (line(BEFORE, address, None, false), line(BEFORE, address, Some("abc="), true));
        let start = format!(
            "\n{CLOSES}<script src=\"{address}?v={}\" data-idle=\"120\" data-absolute=\"300\"",
            *VERSION
        );
        assert_eq!(text(&plain).trim_end(), format!("{start} defer></script>"));
        let more = format!(" nonce=\"abc=\" integrity=\"{}\" defer></script>", hash());
        assert_eq!(text(&full).trim_end(), format!("{start}{more}"));
        assert!([plain, full].iter().all(|line| line.len() % 2 == 0 && line.ends_with(b"\n")));
        assert_ne!(mark(BEFORE), mark(Before { idle: Duration::from_mins(3), ..BEFORE }));
    }

    #[test]
    fn the_script_is_kept_for_ever_by_its_own_address_alone() {
        let ask = |query, tag: Option<&str>| {
            let headers = tag.map(|tag| (header::IF_NONE_MATCH, tag.parse().unwrap())).into_iter().collect();
            let answer = answer(&Method::GET, query, &headers);
            let caching = answer.headers()[header::CACHE_CONTROL].to_str().unwrap().to_owned();
            (answer.status().as_u16(), caching.contains("immutable"), answer.body().is_empty())
        };
        let (this, tag) = (format!("v={}", *VERSION), format!("\"{}\"", *VERSION));
        assert_eq!(ask(Some(&this), None), (200, true, false));
        assert_eq!(ask(Some("v=0"), None), (200, false, false));
        assert_eq!(ask(None, Some(&tag)), (304, false, true));
        assert_eq!(ask(Some(&this), Some("\"old\"")), (200, true, false));
        assert_eq!(answer(&Method::POST, None, &HeaderMap::new()).status(), 405);
    }

    #[test]
    fn the_script_neither_makes_markup_of_text_nor_leads_the_page_away() {
        for word in
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval", "location", ".submit"]
        {
            assert!(!TEXT.contains(word), "{word}");
        }
    }
}
