//! The app's own pages for logging in and out, as a site's configuration tells of them. What goes to and fro there is
//! read and judged in `login::observed`.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use percent_encoding::AsciiSet;
use percent_encoding::CONTROLS;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use crate::access::csrf;
use crate::access::path::CanonicalPath;
use crate::access::path::Pattern;

/// What must be escaped in a path (WHATWG URL, path percent-encode set).
const PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}').add(b'^');

/// How people log in at a site.
#[derive(Clone, Debug)]
pub enum SiteLogin {
    /// Not at all: every rule must allow anyone.
    None,
    /// At the gateway's own pages.
    Own,
    /// At the app's own page, which is watched.
    App(Arc<AppLogin>),
}

impl SiteLogin {
    /// Whether people log in at all.
    pub fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether they do at the gateway's own pages.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own)
    }

    /// The app's own login, if that is where they do.
    pub fn app(&self) -> Option<&Arc<AppLogin>> {
        match self {
            Self::App(app) => Some(app),
            Self::None | Self::Own => None,
        }
    }
}

/// An app's own login.
#[derive(Clone, Debug)]
pub struct AppLogin {
    /// What the site is called: whom the app knows is in this realm, and nobody else is.
    pub realm: Box<str>,
    /// Where its login page is.
    pub page: Pattern,
    /// The parameter in which the page is told where to lead back to; nothing: it knows none.
    pub return_to: Option<Box<str>>,
    /// Where its form is sent to.
    pub submit: Pattern,
    /// The field of the form with the user's name: whose attempt it is.
    pub field: Box<str>,
    /// What says who has logged in.
    pub user: UserSource,
    /// What says that somebody has.
    pub success: Success,
}

/// What says who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserSource {
    /// The form.
    Form,
    /// A field of the answer's head.
    Header(HeaderName),
    /// A value in the answer, which is JSON.
    Json(FieldPath),
}

/// The way to a value in JSON, from the outermost object in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<Box<str>>);

impl FieldPath {
    /// Reads a way such as `user.name`; nothing if a step is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let steps: Vec<Box<str>> = text.split('.').map(Box::from).collect();
        (!steps.iter().any(|step| step.is_empty())).then_some(Self(steps))
    }

    /// What stands there.
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, step| value.as_object()?.get(&**step))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("."))
    }
}

/// What the answer to a login must be like for somebody to have logged in: all of it. With nothing asked for nobody ever
/// has.
#[derive(Clone, Debug, Default)]
pub struct Success {
    /// One of these statuses.
    pub status: Vec<StatusCode>,
    /// A redirect to one of these paths of the same host.
    pub location: Vec<Pattern>,
    /// A cookie of this name is set.
    pub set_cookie: Option<Box<str>>,
    /// This field is there, with this value if one is named.
    pub header: Option<(HeaderName, Option<HeaderValue>)>,
    /// It is JSON, with these values at these places.
    pub json: Vec<(FieldPath, Value)>,
}

impl Success {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        let Self { status, location, set_cookie, header, json } = self;
        let head = status.is_empty() && location.is_empty() && set_cookie.is_none() && header.is_none();
        head && json.is_empty()
    }
}

impl AppLogin {
    /// Whether a request is for what must be open to whoever has yet to log in: what shows a form, and what takes it. A
    /// form that is sent elsewhere would be a login that nobody counts.
    pub fn is_door(&self, path: &CanonicalPath, method: &Method) -> bool {
        let shows = matches!(*method, Method::GET | Method::HEAD);
        let submit = (shows || *method == Method::POST) && self.submit.matches_exactly(path);
        submit || shows && self.page.matches_exactly(path)
    }

    /// Whether a path is the login page's.
    pub fn is_page(&self, path: &CanonicalPath) -> bool {
        self.page.matches_exactly(path)
    }

    /// Whether a request is an attempt to log in, also by a spelling of the path that only the app takes for it.
    pub fn is_attempt(&self, path: &CanonicalPath, method: &Method) -> bool {
        *method == Method::POST && self.submit.matches_loosely(path)
    }

    /// Whether a request is for the login by another way than the form's: an app that does not tell them apart may take it
    /// for an attempt. A page that takes no form may be the front page, where an address says all kinds of things to whoever
    /// `is_in`.
    pub fn is_byway(&self, path: &CanonicalPath, method: &Method, is_in: bool) -> bool {
        let shows = !is_in && csrf::is_safe(method) && self.page.matches_loosely(path);
        *method != Method::POST && (shows || self.submit.matches_loosely(path))
    }

    /// Whether a path is the login's own, whatever its spelling.
    pub fn is_own_path(&self, path: &CanonicalPath) -> bool {
        self.page.matches_loosely(path) || self.submit.matches_loosely(path)
    }

    /// Whether answers must be read to know what they say.
    pub fn reads_json(&self) -> bool {
        !self.success.json.is_empty() || matches!(self.user, UserSource::Json(_))
    }

    /// The address of the login page for somebody who wants `target`.
    pub fn entrance(&self, target: &str) -> String {
        let page = self.page.to_string();
        let page = utf8_percent_encode(&page, PATH);
        match &self.return_to {
            Some(name) => {
                let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
                format!("{page}?{}={}", encoded(name), encoded(target))
            }
            None => page.to_string(),
        }
    }
}

/// The app's own logout.
#[derive(Clone, Debug)]
pub struct AppLogout {
    /// Where it is: at least one path.
    pub paths: Vec<Pattern>,
    /// Whether the app is told when somebody logs out at the gateway.
    pub tell_app: TellApp,
}

/// How an app is told that its user has logged out elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TellApp {
    /// Not at all.
    Off,
    /// Its first logout path is asked for.
    Get,
    /// An empty form is sent there.
    Post,
}

impl TellApp {
    /// The method, if it is told.
    pub fn method(self) -> Option<Method> {
        match self {
            Self::Off => None,
            Self::Get => Some(Method::GET),
            Self::Post => Some(Method::POST),
        }
    }
}

impl AppLogout {
    /// Whether a path is the app's logout, as it is written: what ends something holds for exactly what is named.
    pub fn is_at(&self, path: &CanonicalPath) -> bool {
        self.paths.iter().any(|own| own.matches_exactly(path))
    }

    /// Whether some app could take a path for its logout, whatever its spelling: what keeps others from it holds for all that
    /// may be it.
    pub fn may_be_at(&self, path: &CanonicalPath) -> bool {
        self.paths.iter().any(|own| own.matches_loosely(path))
    }

    /// How the app is told, and where: method and path. Nothing if it is not.
    pub fn to_tell(&self) -> Option<(Method, String)> {
        let path = self.paths.first()?.to_string();
        Some((self.tell_app.method()?, utf8_percent_encode(&path, PATH).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> AppLogin {
        AppLogin {
            realm: "app.example/".into(),
            page: Pattern::parse("/konto/anmelden ü").unwrap(),
            return_to: Some("next".into()),
            submit: Pattern::parse("/api/login").unwrap(),
            field: "username".into(),
            user: UserSource::Form,
            success: Success::default(),
        }
    }

    #[test]
    fn people_are_led_to_the_page_with_their_way_back() {
        let mut app = app();
        assert_eq!(
            app.entrance("/a?b=c&d=ü#e"),
            "/konto/anmelden%20%C3%BC?next=%2Fa%3Fb%3Dc%26d%3D%C3%BC%23e"
        );
        app.return_to = None;
        assert_eq!(app.entrance("/a"), "/konto/anmelden%20%C3%BC");
    }

    #[test]
    fn the_door_is_open_for_exactly_what_is_named_and_watched_for_whatever_looks_like_it() {
        let app = app();
        for (path, method, door, attempt, byway) in [
            ("/konto/anmelden%20%C3%BC", Method::GET, true, false, true),
            ("/konto/Anmelden%20%C3%BC", Method::GET, false, false, true),
            ("/konto/anmelden%20%C3%BC", Method::POST, false, false, false),
            ("/konto/anmelden%20%C3%BC", Method::PUT, false, false, false),
            ("/api/login", Method::GET, true, false, true),
            ("/api/login", Method::POST, true, true, false),
            ("/api/login", Method::PUT, false, false, true),
            ("/API/Login/", Method::POST, false, true, false),
            ("/API/Login/", Method::GET, false, false, true),
            ("/api/login/x", Method::POST, false, false, false),
            ("/api/login/x", Method::GET, false, false, false),
        ] {
            let path = CanonicalPath::parse(path).unwrap();
            assert_eq!(
                (app.is_door(&path, &method), app.is_attempt(&path, &method)),
                (door, attempt),
                "{method} {path}"
            );
            assert_eq!(app.is_byway(&path, &method, false), byway, "{method} {path}");
            let submits = app.submit.matches_loosely(&path);
            assert_eq!(app.is_byway(&path, &method, true), byway && submits, "{method} {path}");
        }
    }

    #[test]
    fn values_in_json_are_found_by_their_way() {
        let value = serde_json::json!({ "user": { "name": "ada" }, "user.name": "eve" });
        let find = |way: &str| FieldPath::parse(way).unwrap().find(&value).cloned();
        assert_eq!(find("user.name"), Some("ada".into()));
        assert_eq!((find("user.id"), find("name")), (None, None));
        assert!(["", ".", "a.", ".a", "a..b"].iter().all(|way| FieldPath::parse(way).is_none()));
    }
}
