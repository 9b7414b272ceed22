//! A `Set-Cookie` line as a browser reads it, its value kept where nothing can print it.

use std::time::Duration;

use cookie::Cookie;
use http::HeaderMap;
use http::header::SET_COOKIE;

use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::doctor::shown::count;
use crate::doctor::shown::shown;
use crate::doctor::shown::shown_pieces;

/// Of one answer, so many are read; browsers keep no more of a host (RFC 6265bis §6.1).
pub(crate) const MOST: usize = 50;

/// One cookie of an answer.
#[derive(Debug)]
pub(crate) struct SetCookie {
    pub(crate) name: String,
    pub(crate) value: Secret<String>,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: Option<cookie::SameSite>,
    pub(crate) path: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) life: Life,
}

/// How long a browser is to keep a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Until it is closed.
    BrowserSession,
    /// So long, also over restarts.
    Persistent(Duration),
    /// The cookie is deleted.
    Deleted,
}

impl SetCookie {
    /// Reads a line; nothing if no browser would keep it.
    pub(crate) fn parse(line: &[u8], now: Timestamp) -> Option<Self> {
        let text = String::from_utf8_lossy(line).into_owned();
        let cookie = Cookie::parse(text).ok()?;
        let own = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Self {
            name: cookie.name().to_owned(),
            value: Secret::new(cookie.value().to_owned()),
            secure: cookie.secure() == Some(true),
            http_only: cookie.http_only() == Some(true),
            same_site: cookie.same_site(),
            path: own(cookie.path()),
            domain: own(cookie.domain()),
            life: Life::of(&cookie, now),
        })
    }

    /// The first cookies of an answer, in order, and how many lines there were.
    pub(crate) fn all(headers: &HeaderMap, now: Timestamp) -> (Vec<Self>, usize) {
        let lines = headers.get_all(SET_COOKIE);
        let read = lines.iter().take(MOST).filter_map(|line| Self::parse(line.as_bytes(), now)).collect();
        (read, lines.iter().count())
    }

    /// Whether it is on its way out.
    pub(crate) fn is_deletion(&self) -> bool {
        self.life == Life::Deleted
    }

    /// The line as it may be shown: of the value, only its length.
    pub(crate) fn redacted(&self) -> String {
        let bytes = count(self.value.expose().len(), "byte", "bytes");
        format!("Set-Cookie: {}=({bytes}){}", shown(&self.name), self.attributes())
    }

    /// Its attributes as they may be shown, each behind a semicolon.
    pub(crate) fn attributes(&self) -> String {
        let path = self.path.as_ref().map(|path| format!("Path={}", shown_pieces(path)));
        let domain = self.domain.as_ref().map(|domain| format!("Domain={}", shown(domain)));
        let same_site = self.same_site.map(|same_site| format!("SameSite={same_site}"));
        let life = match self.life {
            Life::BrowserSession => None,
            Life::Persistent(time) => Some(format!("kept for {}", days(time))),
            Life::Deleted => Some("deleted".to_owned()),
        };
        let flag = |set: bool, name: &str| set.then(|| name.to_owned());
        let all =
            [path, domain, flag(self.secure, "Secure"), flag(self.http_only, "HttpOnly"), same_site, life];
        // An empty one first, so that each stands behind a semicolon.
        let all: Vec<String> = std::iter::once(String::new()).chain(all.into_iter().flatten()).collect();
        all.join("; ")
    }
}

impl Life {
    // Max-Age goes before Expires (RFC 6265bis §5.7).
    fn of(cookie: &Cookie<'_>, now: Timestamp) -> Self {
        let seconds = match (cookie.max_age(), cookie.expires_datetime()) {
            (Some(age), _) => age.whole_seconds(),
            (None, Some(end)) => {
                end.unix_timestamp().saturating_sub(i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
            }
            (None, None) => return Self::BrowserSession,
        };
        match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Self::Persistent(Duration::from_secs(seconds)),
            Ok(_) | Err(_) => Self::Deleted,
        }
    }
}

/// A time as people say it.
pub(crate) fn days(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => count(usize::try_from(seconds).unwrap_or(0), "second", "seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Whether a cookie is a load balancer's or a bot filter's own, which says which server answers, and not who asks.
pub(crate) fn is_routing(name: &str) -> bool {
    const NAMES: [&str; 8] = ["routeid", "route", "gclb", "gcilb", "ak_bmsc", "bm_sv", "bm_sz", "bm_mi"];
    const BEGIN: [&str; 12] = [
        "awsalb",
        "awselb",
        "serverid",
        "bigipserver",
        "arraffinity",
        "applicationgatewayaffinity",
        "ingresscookie",
        "__cf",
        "_cfuvid",
        "cf_clearance",
        "incap_ses_",
        "visid_incap_",
    ];
    let name = name.to_ascii_lowercase();
    // F5's filters number theirs: TS01a2b3c4.
    let numbered = name
        .strip_prefix("ts")
        .is_some_and(|rest| rest.len() >= 6 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let begins = BEGIN.iter().any(|begin| name.starts_with(begin));
    numbered || begins || NAMES.contains(&&*name) || name.contains("sticky")
}

/// Whether a cookie's name says that it is a session: what frameworks call theirs, and what people do. Tokens against
/// forgery are not.
pub(crate) fn looks_like_session(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let forgery = name.contains("csrf") || name.contains("xsrf");
    let known = ["connect.sid", "cfid", "cftoken", "jsessionid", "sid", "koa:sess", "rack.session"];
    let says = ["sess", "auth", "jwt", "access_token", "id_token", "remember", "login"];
    let session = known.contains(&name.as_str())
        || name.ends_with("sid")
        || says.iter().any(|word| name.contains(word));
    session && !forgery && !is_routing(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn read(line: &str) -> SetCookie {
        SetCookie::parse(line.as_bytes(), NOW).unwrap()
    }

    #[test]
    fn attributes_are_read_as_browsers_do() {
        let cookie = read("sid=1000; path=/; HTTPONLY; secure; SameSite=Lax; Domain=.app.example");
        assert!(cookie.secure && cookie.http_only);
        assert_eq!(cookie.same_site, Some(cookie::SameSite::Lax));
        assert_eq!((cookie.path.as_deref(), cookie.domain.as_deref()), (Some("/"), Some("app.example")));
        assert_eq!(read("sid=1; SameSite=odd").same_site, None);
    }

    #[test]
    fn max_age_goes_before_expires() {
        for (line, life) in [
            ("a=b", Life::BrowserSession),
            ("a=b; Max-Age=0", Life::Deleted),
            (
                "a=b; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                Life::Persistent(Duration::from_mins(1)),
            ),
            ("a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT", Life::Deleted),
            ("a=b; Expires=Tue, 14 Nov 2023 22:14:20 GMT", Life::Persistent(Duration::from_mins(1))),
            ("a=b; Expires=whenever", Life::BrowserSession),
        ] {
            assert_eq!(read(line).life, life, "{line}");
        }
    }

    #[test]
    fn a_value_is_shown_by_its_length_alone() {
        let cookie = read("sid=s3cret; Path=/\u{1b}[2J; Max-Age=864000; Secure");
        let text = cookie.redacted();
        assert_eq!(text, "Set-Cookie: sid=(6 bytes); Path=/\\x1b[2J; Secure; kept for 10 days");
        assert!(!format!("{cookie:?}").contains("s3cret"));
    }

    #[test]
    fn sessions_are_known_by_their_names() {
        for name in [
            "PHPSESSID",
            "connect.sid",
            "JSESSIONID",
            "session",
            "__Host-Http-session",
            "sid",
            "laravel_session",
            "bm_session",
            "router_session",
        ] {
            assert!(looks_like_session(name), "{name}");
        }
        for name in [
            "AWSALBAuthNonce",
            "BIGipServer~auth-pool",
            "sticky_session",
            "TS01a2b3c4",
            "incap_ses_1_2",
            "ROUTEID",
            "lb-auth-sticky-x",
        ] {
            assert!(!looks_like_session(name), "{name}");
        }
        for name in ["csrftoken", "XSRF-TOKEN", "theme", "__Host-Http-pre", "session_csrf", "lang"] {
            assert!(!looks_like_session(name), "{name}");
        }
    }
}
