//! Which of the app's cookies a browser holds that it does not show us: those of other paths than `/`, and those that are
//! partitioned, which only a line that says so deletes. The browser itself keeps the list, in a cookie of ours: so it is
//! there after an idle end, a restart and on another gateway, and nowhere else.
//!
//! It opens nothing. Whoever forges it has some of the app's cookies in his own browser deleted.

use std::sync::LazyLock;

use http::HeaderMap;
use http::HeaderValue;
use http::header::COOKIE;
use http::header::SET_COOKIE;
use memchr::memmem::Finder;
use serde::Deserialize;
use serde::Serialize;

use crate::crypto;
use crate::headers::cookies::Found;
use crate::headers::cookies::find;
use crate::headers::set_cookie;

/// The cookie that holds the list.
pub const COOKIE_NAME: &str = "__Host-Http-left";

static FIND_NAME: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(COOKIE_NAME));

/// So many cookies are remembered; the one set longest ago is forgotten first.
const MOST: usize = 24;

/// The list is no longer than this, so that it fits into a cookie.
const MOST_BYTES: usize = 2700;

/// Cookies of the app's, the one set last at the end.
#[derive(Debug, Default)]
pub struct Left(Vec<Entry>);

/// One cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    name: String,
    path: String,
    partitioned: bool,
}

/// The `Cookie` line of a request that has the list in it: to be put by until the answer.
pub fn line_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(COOKIE).iter();
    lines.find(|line| FIND_NAME.find(line.as_bytes()).is_some()).cloned()
}

impl Left {
    /// The list that these fields bring; an empty one, if they bring none that can be read.
    pub fn of(headers: &HeaderMap) -> Self {
        let Found::One(text) = find(headers, COOKIE_NAME) else { return Self::default() };
        let entries: Option<Vec<Entry>> =
            crypto::from_base64url(text).and_then(|bytes| postcard::from_bytes(&bytes).ok());
        let mut entries = entries.unwrap_or_default();
        entries.truncate(MOST);
        Self(entries)
    }

    /// Notes what an answer to a request for `path` leaves in the browser; whether that is anything new.
    pub fn note(&mut self, answer: &HeaderMap, path: &str) -> bool {
        let mut changed = false;
        for line in answer.get_all(SET_COOKIE) {
            let Some(entry) = Entry::read(line.as_bytes(), path) else { continue };
            if self.0.contains(&entry) {
                continue;
            }
            self.0.push(entry);
            changed = true;
        }
        while self.0.len() > MOST || self.to_text().len() > MOST_BYTES {
            self.0.remove(0);
        }
        changed
    }

    /// The `Set-Cookie` line that has the browser keep the list, as long as it may keep what is in it.
    pub fn to_set(&self) -> Option<HeaderValue> {
        const LIFE: &str = "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=34560000";
        HeaderValue::try_from(format!("{COOKIE_NAME}={}; {LIFE}", self.to_text())).ok()
    }

    /// The `Set-Cookie` lines that delete what is in the list and `goes`, and the list but for what stays.
    pub fn expire(&self, goes: impl Fn(&[u8]) -> bool) -> Vec<HeaderValue> {
        const END: &str = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        if self.0.is_empty() {
            return Vec::new();
        }
        let (of_app, stays): (Vec<Entry>, Vec<Entry>) =
            self.0.iter().cloned().partition(|entry| goes(entry.name.as_bytes()));
        let of_app = of_app.into_iter().filter(Entry::is_plain);
        let of_app = of_app.map(|Entry { name, path, partitioned }| {
            let more = if partitioned { "; Partitioned" } else { "" };
            format!("{name}=; Path={path}; Secure; {END}{more}")
        });
        let ended = format!("{COOKIE_NAME}=; Path=/; Secure; HttpOnly; SameSite=Lax; {END}");
        let of_app = of_app.filter_map(|line| HeaderValue::try_from(line).ok());
        let own = if stays.is_empty() { HeaderValue::try_from(ended).ok() } else { Self(stays).to_set() };
        of_app.chain(own).collect()
    }

    #[expect(clippy::expect_used, reason = "texts of known length can always be written")]
    fn to_text(&self) -> String {
        crypto::base64url(&postcard::to_stdvec(&self.0).expect("a list can be written"))
    }
}

impl Entry {
    /// The cookie that a line leaves where only a request for its path shows it; nothing for others.
    fn read(line: &[u8], asked_for: &str) -> Option<Self> {
        let set_cookie::Traces { name, path, partitioned } = set_cookie::traces(line);
        let path = match path.and_then(|path| str::from_utf8(path).ok()).filter(|path| path.starts_with('/'))
        {
            Some(path) => path,
            // RFC 6265bis §5.1.4: the folder of what was asked for.
            None => {
                asked_for.rsplit_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty())?
            }
        };
        let entry = Self { name: str::from_utf8(name).ok()?.to_owned(), path: path.to_owned(), partitioned };
        (entry.is_plain() && (path != "/" || partitioned)).then_some(entry)
    }

    /// Whether it can be written into a line as it is.
    fn is_plain(&self) -> bool {
        let path = self.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        let name = self.name.bytes().all(|byte| byte.is_ascii_graphic() && !b";=,\"".contains(&byte));
        path && name && !self.name.is_empty() && self.name.len() <= 256 && self.path.len() <= 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (SET_COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    fn texts(lines: &[HeaderValue]) -> Vec<&str> {
        lines.iter().map(|line| line.to_str().unwrap()).collect()
    }

    fn brought_back(left: &Left) -> Left {
        let line = left.to_set().unwrap();
        let pair = line.to_str().unwrap().split(';').next().unwrap().to_owned();
        assert!(pair.len() <= 4096, "{}", pair.len());
        Left::of(&HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(pair).unwrap())]))
    }

    #[test]
    fn what_no_request_to_us_shows_is_remembered_and_deleted() {
        let mut left = Left::default();
        assert!(!left.note(&answer(&["a=1; Path=/", "b=2; Path=nowhere"]), "/x"));
        let lines = ["a=1; path=/deep", "b=2", "c=3; Path=/; Partitioned; Secure; SameSite=None"];
        assert!(left.note(&answer(&lines), "/shop/basket"));
        assert!(!left.note(&answer(&lines), "/shop/other"));
        let end = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        let gone = [
            format!("b=; Path=/shop; Secure; {end}"),
            format!("c=; Path=/; Secure; {end}; Partitioned"),
            format!("{COOKIE_NAME}=; Path=/; Secure; HttpOnly; SameSite=Lax; {end}"),
        ];
        let all = brought_back(&left).expire(|_| true);
        assert_eq!(texts(&all)[1..], gone);
        let some = brought_back(&left).expire(|name| name != b"a");
        assert_eq!(texts(&some)[..2], gone[..2]);
        let pair = some[2].to_str().unwrap().split(';').next().unwrap();
        let rest = Left::of(&HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(pair).unwrap())]));
        assert_eq!(texts(&rest.expire(|_| true)), [&format!("a=; Path=/deep; Secure; {end}"), &gone[2]]);
        assert!(Left::default().expire(|_| true).is_empty());
    }

    #[test]
    fn the_list_is_bounded_and_nothing_forged_gets_into_a_line() {
        let mut left = Left::default();
        for number in 0..100 {
            let line = format!("name{number}=1; Path=/{}", "p".repeat(number * 7));
            left.note(&answer(&[&line]), "/");
        }
        assert!(left.0.len() <= MOST);
        assert!(brought_back(&left).0.last().unwrap().name == "name99");
        let forged = Left(vec![Entry {
            name: "x=1; Domain=example.org".to_owned(),
            path: "/\r\nSet-Cookie: y=1".to_owned(),
            partitioned: false,
        }]);
        assert_eq!(brought_back(&forged).expire(|_| true).len(), 1);
    }
}
