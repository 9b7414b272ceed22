//! Whose attempt a request to an app's login is, and what becomes of it before the app is asked.
//!
//! Guessing is slowed down by counting, so nothing that could be a guess may reach the app without an account to count it
//! for: whoever spreads such guesses over many networks would never be stopped (PWD-19).

use http::Method;
use http::request::Parts;

use crate::access::csrf;
use crate::login::observed::sent;
use crate::login::observed::sent::Named;
use crate::route::AppLogin;

/// Whose attempt a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody's: it asks for the page, or for anything else that takes no password along.
    Look,
    /// A form is sent that names nobody, by whatever parser: another button of the page, a step of a login.
    Nobody,
    /// That of this user, by whatever parser.
    User(String),
    /// The app may find a user in it, and which one cannot be known.
    Unclear,
    /// The same, for its length alone.
    TooLong,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It passes as everything does. No session comes of it.
    Pass,
    /// It is counted for its network, and for this user's account if it names one; then the app judges it.
    Count(Option<String>),
    /// The app does not hear of it.
    Refuse(Unheard),
}

/// Why the app does not hear of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// It comes from another site.
    Foreign,
    /// It is longer than what is looked at.
    TooLong,
    /// Two parsers could read it differently.
    Unclear,
}

impl Claim {
    /// What `head` and `body` claim; no body: it is longer than [`sent::MOST_BYTES`].
    pub fn of(app: &AppLogin, head: &Parts, body: Option<&[u8]>) -> Self {
        let Some(body) = body else { return Self::TooLong };
        let named = || sent::named(&app.field, &head.headers, body);
        let address = Address::of(app, head.uri.query());
        match (&head.method, address) {
            (&Method::POST, Address::Nobody) => match named() {
                Named::Nobody => Self::Nobody,
                Named::User(name) => Self::User(name),
                Named::Unclear => Self::Unclear,
            },
            // An app that looks at the address first, at the form first, or joins both would each find another name.
            (&Method::POST, Address::UserAlone | Address::User) => Self::Unclear,
            // A link that fills in the name: without a password there is nothing to guess.
            (_, Address::Nobody | Address::UserAlone) if body.is_empty() => Self::Look,
            // Such as a logout that deletes what the form has made.
            (method, Address::Nobody) if !csrf::is_safe(method) && named() == Named::Nobody => Self::Look,
            _ => Self::Unclear,
        }
    }
}

/// What an address says about the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    Nobody,
    /// The user, and the way back at most: no password stands beside it.
    UserAlone,
    User,
}

impl Address {
    fn of(app: &AppLogin, query: Option<&str>) -> Self {
        match query {
            Some(query) if sent::is_only_in_query(&app.field, app.return_to.as_deref(), query) => {
                Self::UserAlone
            }
            Some(query) if sent::is_in_query(&app.field, query) => Self::User,
            Some(_) | None => Self::Nobody,
        }
    }
}

impl Step {
    /// What becomes of a request by what it claims, and whether another site made the browser send it: such a request costs
    /// the network that it comes from nothing, so it may carry no guess either.
    pub fn due(claim: Claim, foreign: bool) -> Self {
        match (claim, foreign) {
            (Claim::Look, _) | (Claim::Nobody, true) => Self::Pass,
            (Claim::Nobody, false) => Self::Count(None),
            (Claim::User(name), false) => Self::Count(Some(name)),
            (Claim::Unclear, false) => Self::Refuse(Unheard::Unclear),
            (Claim::TooLong, false) => Self::Refuse(Unheard::TooLong),
            (Claim::User(_) | Claim::Unclear | Claim::TooLong, true) => Self::Refuse(Unheard::Foreign),
        }
    }
}

impl Unheard {
    /// One word for logs and figures.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Foreign => "login_of_another_site",
            Self::TooLong => "login_too_long",
            Self::Unclear => "login_unclear",
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::CONTENT_ENCODING;
    use http::header::CONTENT_TYPE;

    use super::*;
    use crate::access::path::Pattern;
    use crate::route::Success;
    use crate::route::UserSource;

    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";

    fn app() -> AppLogin {
        AppLogin {
            realm: "app.example/".into(),
            page: Pattern::parse("/login").unwrap(),
            return_to: Some("next".into()),
            submit: Pattern::parse("/login").unwrap(),
            field: "username".into(),
            user: UserSource::Form,
            success: Success::default(),
        }
    }

    fn claim(method: &str, target: &str, kind: &str, body: &str) -> Claim {
        let request = Request::builder().method(method).uri(target).header(CONTENT_TYPE, kind);
        Claim::of(&app(), &request.body(()).unwrap().into_parts().0, Some(body.as_bytes()))
    }

    #[test]
    fn a_form_is_the_attempt_of_whom_it_names() {
        let ada = Claim::User("ada".into());
        assert_eq!(claim("POST", "/login?next=%2F", FORM, "csrf=x&username=ada&password=y"), ada);
        assert_eq!(claim("POST", "/login", JSON, r#"{"username": "ada", "password": "y"}"#), ada);
    }

    #[test]
    fn what_names_nobody_readably_is_nobodys() {
        let multipart = "--x\r\nContent-Disposition: form-data; name=\"lang\"\r\n\r\nde\r\n--x--\r\n";
        for (target, kind, body) in [
            ("/login", FORM, ""),
            ("/login", "text/plain", ""),
            ("/login?lang=de", FORM, "lang=de"),
            ("/login", FORM, "csrfmiddlewaretoken=x&next=%2F&email=ada%40example.com"),
            ("/login", FORM, "username=&lang=de"),
            ("/login", FORM, "username=++"),
            ("/login", JSON, "{}"),
            ("/login", JSON, r#"{"id": "x", "response": {"userHandle": "y", "clientDataJSON": "e30"}}"#),
            ("/login", "multipart/form-data; boundary=x", multipart),
            ("/login", "multipart/form-data; boundary=x", "--x--\r\n"),
        ] {
            assert_eq!(claim("POST", target, kind, body), Claim::Nobody, "{kind} {body}");
        }
    }

    #[test]
    fn what_an_app_may_find_a_user_in_is_unclear() {
        for (target, kind, body) in [
            ("/login?username=ada", FORM, "password=x"),
            ("/login?username=ada", FORM, "username=ada&password=x"),
            ("/login?Username=ada", FORM, ""),
            ("/login", FORM, "username=ada&username=eve"),
            ("/login", FORM, "username=&username=eve"),
            ("/login", FORM, "Username=ada"),
            ("/login", FORM, "username=%FF"),
            ("/login", FORM, "user%FFname=ada"),
            ("/login", FORM, "{\"username\":\"ada\"}"),
            ("/login", FORM, "_charset_=utf-7&x=1"),
            ("/login", "application/x-www-form-urlencoded; charset=utf-16", "x=1"),
            ("/login", "text/plain", "x=1"),
            ("/login", "", "x=1"),
            ("/login", JSON, "username=ada"),
            ("/login", JSON, r#"{"Username": "ada"}"#),
            ("/login", JSON, r#"{"username": 7}"#),
            ("/login", JSON, r#"{"username": ["ada"]}"#),
            ("/login", JSON, r#"{"x": 1, "x": 2}"#),
            ("/login", JSON, r#"[{"login": {"user_name": "ada"}}]"#),
            ("/login", JSON, r#"{"x": "&username=ada&"}"#),
            ("/login", "multipart/form-data; boundary=x", "--y--\r\n"),
            ("/login", "multipart/form-data; boundary=x", "--x\r\nX: y\r\n\r\n&username=ada&\r\n--x--\r\n"),
        ] {
            assert_eq!(claim("POST", target, kind, body), Claim::Unclear, "{target} {kind} {body}");
        }
        let request = Request::post("/login").header(CONTENT_TYPE, FORM).header(CONTENT_ENCODING, "gzip");
        let head = request.body(()).unwrap().into_parts().0;
        assert_eq!(Claim::of(&app(), &head, Some(b"x=1")), Claim::Unclear);
        assert_eq!(Claim::of(&app(), &head, Some(b"")), Claim::Nobody);
        assert_eq!(Claim::of(&app(), &head, None), Claim::TooLong);
    }

    #[test]
    fn only_what_could_hold_no_password_is_a_look() {
        for (method, target, kind, body) in [
            ("GET", "/login", "", ""),
            ("HEAD", "/login?next=%2Fpage%3Fusername%3Dada&lang=de", "", ""),
            ("GET", "/login?username=ada", "", ""),
            ("GET", "/login?next=%2F&username=ada%40example.com", "", ""),
            ("DELETE", "/login", "", ""),
            ("DELETE", "/login", JSON, r#"{"everywhere": true}"#),
        ] {
            assert_eq!(claim(method, target, kind, body), Claim::Look, "{method} {target} {body}");
        }
        for (method, target, kind, body) in [
            ("GET", "/login?username=ada&password=x", "", ""),
            ("GET", "/login?username=ada&p=x", "", ""),
            ("GET", "/login?username=ada&username=x", "", ""),
            ("GET", "/login?username=ada;password=x", "", ""),
            ("GET", "/login?username=ada&next", "", ""),
            ("GET", "/login?Username=ada", "", ""),
            ("GET", "/login?user%FFname=ada", "", ""),
            ("GET", "/login", FORM, "x=1"),
            ("GET", "/login", FORM, "username=ada&password=x"),
            ("OPTIONS", "/login", FORM, "username=ada&password=x"),
            ("PUT", "/login", FORM, "username=ada&password=x"),
            ("PUT", "/login?username=ada", FORM, "password=x"),
            ("PUT", "/login", "text/plain", "x=1"),
        ] {
            assert_eq!(claim(method, target, kind, body), Claim::Unclear, "{method} {target} {body}");
        }
    }

    #[test]
    fn what_another_site_sends_costs_nothing_and_carries_no_guess() {
        let ada = || Claim::User("ada".into());
        for (claim, foreign, step) in [
            (Claim::Look, false, Step::Pass),
            (Claim::Look, true, Step::Pass),
            (Claim::Nobody, false, Step::Count(None)),
            (Claim::Nobody, true, Step::Pass),
            (ada(), false, Step::Count(Some("ada".into()))),
            (ada(), true, Step::Refuse(Unheard::Foreign)),
            (Claim::Unclear, false, Step::Refuse(Unheard::Unclear)),
            (Claim::Unclear, true, Step::Refuse(Unheard::Foreign)),
            (Claim::TooLong, false, Step::Refuse(Unheard::TooLong)),
            (Claim::TooLong, true, Step::Refuse(Unheard::Foreign)),
        ] {
            assert_eq!(Step::due(claim.clone(), foreign), step, "{claim:?} {foreign}");
        }
    }
}
