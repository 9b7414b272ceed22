//! Whether an app's answer says that somebody has logged in, and who: by the configured rules alone, all of them.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http::header::SET_COOKIE;
use serde_json::Value;

use crate::access::path::CanonicalPath;
use crate::clock::Timestamp;
use crate::login::observed::json;
use crate::login::observed::landing::Landing;
use crate::login::observed::landing::Leads;
use crate::route::AppLogin;
use crate::route::FieldPath;
use crate::route::UserSource;
use crate::vault::Cookie;
use crate::vault::Place;

/// So much of an answer is read where its JSON says something; a longer one says nothing.
pub const MOST_ANSWER_BYTES: usize = 16 * 1024;

/// An answer's head, and where it leads if it is a redirect.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Where it leads.
    pub landing: Option<&'a Landing>,
    /// What it answers.
    pub place: Place<'a>,
    /// The present moment.
    pub now: Timestamp,
}

/// Whether the head of an answer is that of a successful login. Where no path is named, a redirect back to the login is
/// none, and neither is one that nobody can tell from it: that is how many apps say no.
pub fn head_says_yes(app: &AppLogin, head: &Head<'_>) -> bool {
    let rule = &app.success;
    let here = head.landing.and_then(Landing::here);
    let no = rule.location.is_empty() && is_a_no(app, head);
    let status = rule.status.is_empty() || rule.status.contains(&head.status);
    let at = |path: &CanonicalPath| rule.location.iter().any(|pattern| pattern.matches_exactly(path));
    let location = rule.location.is_empty() || here.is_some_and(at);
    let cookie = rule.set_cookie.as_ref().is_none_or(|name| sets(head, name));
    let field = rule.header.as_ref().is_none_or(|(name, value)| has(head.headers, name, value.as_ref()));
    let readable = !app.reads_json() || is_plain_json(head.headers);
    !rule.is_empty() && !no && status && location && cookie && field && readable
}

/// Whether a redirect is one that an app may say no by. Where a header or the body says who is in, another host is where
/// they are led then; without that, it may be where the login is.
fn is_a_no(app: &AppLogin, head: &Head<'_>) -> bool {
    let says_so = app.success.header.is_some() || !app.success.json.is_empty();
    match head.landing.map_or(Leads::Unknown, |landing| landing.leads(app)) {
        Leads::Back => true,
        Leads::On => false,
        Leads::Unknown if says_so && head.landing == Some(&Landing::Elsewhere) => false,
        Leads::Unknown => head.status.is_redirection(),
    }
}

/// Whether the body does, where it is asked.
pub fn body_says_yes(app: &AppLogin, body: Option<&Value>) -> bool {
    let says = |(way, wanted): &(FieldPath, Value)| body.and_then(|body| way.find(body)) == Some(wanted);
    app.success.json.iter().all(says)
}

/// The JSON of an answer's body.
pub fn read(body: &[u8]) -> Option<Value> {
    json::value(body)
}

/// Who has logged in: what the form said is `sent`.
pub fn user(app: &AppLogin, sent: Option<&str>, headers: &HeaderMap, body: Option<&Value>) -> Option<String> {
    match &app.user {
        UserSource::Form => sent.map(str::to_owned),
        UserSource::Header(name) => {
            let mut lines = headers.get_all(name).iter();
            let line = str::from_utf8(lines.next()?.as_bytes()).ok()?;
            lines.next().is_none().then(|| line.to_owned())
        }
        UserSource::Json(way) => match body.and_then(|body| way.find(body))? {
            Value::String(name) => Some(name.clone()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        },
    }
}

/// Whether a cookie is set to something that a browser keeps: one that is taken away is no sign of a login.
fn sets(head: &Head<'_>, name: &str) -> bool {
    let set = |line: &HeaderValue| {
        let pair = line.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let value = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        let something = value.is_some_and(|value| !matches!(value.trim_ascii(), b"" | b"\"\""));
        let kept = || Cookie::parse(line.as_bytes(), &head.place, head.now);
        something && kept().is_ok_and(|cookie| !cookie.is_over(head.now))
    };
    head.headers.get_all(SET_COOKIE).iter().any(set)
}

fn has(headers: &HeaderMap, name: &HeaderName, value: Option<&HeaderValue>) -> bool {
    let mut lines = headers.get_all(name).iter();
    match value {
        Some(value) => lines.any(|line| line == value),
        None => lines.next().is_some(),
    }
}

fn is_plain_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") && !headers.contains_key(CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::path::Pattern;
    use crate::net::Authority;
    use crate::net::Scheme;
    use crate::route::Success;

    fn app(success: Success) -> AppLogin {
        AppLogin {
            realm: "app.example/".into(),
            page: Pattern::parse("/login").unwrap(),
            return_to: None,
            submit: Pattern::parse("/session").unwrap(),
            field: "user".into(),
            user: UserSource::Form,
            success,
        }
    }

    fn says_yes(success: Success, status: u16, lines: &[(&'static str, &str)]) -> bool {
        let headers: HeaderMap = lines
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
            })
            .collect();
        let own = Authority::parse("app.example").unwrap();
        let landing = headers.get("location").map(|to| Landing::of(to, &own, Scheme::Https, "/session"));
        let status = StatusCode::from_u16(status).unwrap();
        let place = Place { host: &own.host, path: "/session", cross_site: false };
        let now = Timestamp::from_millis(1_790_000_000_000);
        let head = Head { status, headers: &headers, landing: landing.as_ref(), place, now };
        head_says_yes(&app(success), &head)
    }

    fn status(status: u16) -> Success {
        Success { status: vec![StatusCode::from_u16(status).unwrap()], ..Success::default() }
    }

    #[test]
    fn without_a_rule_nothing_is_a_success() {
        assert!(!says_yes(Success::default(), 302, &[("location", "/")]));
    }

    #[test]
    fn a_redirect_back_to_the_login_is_none() {
        for back in ["/login", "/Login/", "/session?failed", "https://app.example/login?next=/", "login"] {
            assert!(!says_yes(status(302), 302, &[("location", back)]), "{back}");
        }
        for back in ["/login;jsessionid=1A?error", "https://app.example//login", "/login?error=Ung\u{fc}ltig"]
        {
            assert!(!says_yes(status(302), 302, &[("location", back)]), "{back}");
        }
        for on in ["/", "/login/otp", "/notes?next=/login", "/home;jsessionid=1A"] {
            assert!(says_yes(status(302), 302, &[("location", on)]), "{on}");
        }
        for unknown in ["https://other.example/home", "http://10.0.0.2:5000/login", "/home%2Fx"] {
            assert!(!says_yes(status(302), 302, &[("location", unknown)]), "{unknown}");
        }
        assert!(!says_yes(status(302), 302, &[]));
        let marked = || Success { header: Some((HeaderName::from_static("x-login"), None)), ..status(302) };
        for (location, expected) in
            [("https://portal.example/home", true), ("/home%2Fx", false), ("/login", false), ("/", true)]
        {
            assert_eq!(says_yes(marked(), 302, &[("location", location), ("x-login", "ok")]), expected);
        }
        assert!(!says_yes(marked(), 302, &[("location", "https://portal.example/home")]));
        assert!(says_yes(status(201), 201, &[("location", "https://api.example/sessions/7")]));
        assert!(!says_yes(status(302), 303, &[("location", "/")]));
    }

    #[test]
    fn all_that_is_written_must_hold() {
        let all = || Success {
            location: vec![Pattern::parse("/home/*").unwrap()],
            set_cookie: Some("sid".into()),
            header: Some((HeaderName::from_static("x-login"), Some(HeaderValue::from_static("ok")))),
            ..status(303)
        };
        let good = [("location", "/home/ada"), ("set-cookie", "sid=7; Path=/"), ("x-login", "ok")];
        assert!(says_yes(all(), 303, &good));
        assert!(!says_yes(all(), 302, &good));
        for (place, bad) in [
            (0, ("location", "/Home/ada")),
            (0, ("location", "https://evil.example/home/ada")),
            (1, ("set-cookie", "sid=; Max-Age=0")),
            (1, ("set-cookie", "sid=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/")),
            (1, ("set-cookie", "sid=7; Expires=Thu, 01 Jan 1970 00:00:00 GMT")),
            (1, ("set-cookie", "sid=7; Domain=other.example")),
            (1, ("set-cookie", "sid2=7")),
            (1, ("set-cookie", "SID=7")),
            (2, ("x-login", "no")),
        ] {
            let mut lines = good;
            lines[place] = bad;
            assert!(!says_yes(all(), 303, &lines), "{bad:?}");
        }
        let there =
            Success { header: Some((HeaderName::from_static("x-login"), None)), ..Success::default() };
        assert!(says_yes(there, 200, &[("x-login", "")]));
    }

    #[test]
    fn json_says_what_and_who() {
        let way = |text: &str| FieldPath::parse(text).unwrap();
        let success = || Success { json: vec![(way("ok"), true.into())], ..status(200) };
        let mut app = app(success());
        app.user = UserSource::Json(way("user.name"));
        let json = ("content-type", "application/json; charset=utf-8");
        assert!(says_yes(success(), 200, &[json]));
        assert!(!says_yes(success(), 200, &[("content-type", "text/html")]));
        assert!(!says_yes(success(), 200, &[json, ("content-encoding", "gzip")]));
        let (none, headers) = (None, HeaderMap::new());
        for (text, yes, who) in [
            (r#"{"ok": true, "user": {"name": "ada"}}"#, true, Some("ada")),
            (r#"{"ok": "true", "user": {"name": "ada"}}"#, false, Some("ada")),
            (r#"{"ok": true, "user": {"name": 7}}"#, true, Some("7")),
            (r#"{"ok": true, "user": {"name": 7.5}}"#, true, None),
            (r#"{"ok": true, "user": {"name": ["ada"]}}"#, true, None),
            (r#"{"ok": true, "ok": false}"#, false, None),
            ("[]", false, None),
        ] {
            let body = read(text.as_bytes());
            assert_eq!(body_says_yes(&app, body.as_ref()), yes, "{text}");
            assert_eq!(user(&app, Some("eve"), &headers, body.as_ref()).as_deref(), who, "{text}");
        }
        assert!(!body_says_yes(&app, none));
    }

    #[test]
    fn a_header_says_who_if_it_says_so_once() {
        let mut app = app(status(200));
        app.user = UserSource::Header(HeaderName::from_static("x-user"));
        let mut headers = HeaderMap::from_iter([(HeaderName::from_static("x-user"), "ada".parse().unwrap())]);
        assert_eq!(user(&app, Some("eve"), &headers, None).as_deref(), Some("ada"));
        headers.append("x-user", "eve".parse().unwrap());
        assert_eq!(user(&app, Some("eve"), &headers, None), None);
        assert_eq!(user(&app, Some("eve"), &HeaderMap::new(), None), None);
    }
}
