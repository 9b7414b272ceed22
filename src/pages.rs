//! The gateway's own pages: view structs become complete answers. No logic lives here but the wording of statuses.
//!
//! Every page works without script, reads in light and dark, and carries the strictest headers there are: its style
//! and its one script (which shows a typed password) are inlined and named by hash, so that nothing else may load.

mod error;
mod held;
mod look;
mod sessions;
pub mod warning;

use askama::Template;
use bytes::Bytes;
use data_encoding::BASE64;
use http::HeaderName;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;

use crate::crypto::sha256;

pub use crate::pages::error::ErrorView;
pub use crate::pages::error::ScriptError;
pub use crate::pages::error::error_json;
pub use crate::pages::held::HeldView;
pub use crate::pages::look::Look;
pub use crate::pages::look::LookError;
pub use crate::pages::sessions::SessionRow;
pub use crate::pages::sessions::SessionsView;
pub use crate::pages::sessions::Time;

const STYLE: &str = include_str!("pages/style.css");
const SCRIPT: &str = include_str!("pages/show.js");
const SEND: &str = include_str!("pages/send.js");

const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// What all pages share: their look, made ready once.
#[derive(Debug)]
pub struct Pages {
    frame: Frame,
    policy: HeaderValue,
    sending: HeaderValue,
}

#[derive(Debug)]
struct Frame {
    title: String,
    logo: Option<String>,
    style: String,
    script: &'static str,
}

/// The sign-in page.
#[derive(Clone, Copy, Debug)]
pub struct LoginView<'a> {
    /// The host somebody signs in to.
    pub host: &'a str,
    /// The user name as far as it is known.
    pub user: &'a str,
    /// Proves that the form is ours.
    pub token: &'a str,
    /// The sealed way back.
    pub return_to: &'a str,
    /// The idle limit in words (WCAG 2.2.6).
    pub idle: &'a str,
    /// The absolute limit in words.
    pub absolute: &'a str,
    /// Why the page is shown, if there is something to say.
    pub notice: Option<&'a str>,
    /// What was wrong with the last attempt.
    pub error: Option<&'a str>,
}

/// The page to change one's password.
#[derive(Clone, Copy, Debug)]
pub struct PasswordView<'a> {
    /// The host one is on.
    pub host: &'a str,
    /// Whose password.
    pub user: &'a str,
    /// Proves that the form is ours.
    pub token: &'a str,
    /// In place of the current password, where it was given a moment ago.
    pub ticket: Option<&'a str>,
    /// What a new password must be.
    pub rules: &'a str,
    /// Why the page is shown, if there is something to say.
    pub notice: Option<&'a str>,
    /// What was wrong with the last attempt.
    pub error: Option<&'a str>,
}

/// The page that sends another site's form once more.
#[derive(Clone, Copy, Debug)]
pub struct ResubmitView<'a> {
    /// The host one is on.
    pub host: &'a str,
    /// Where the form goes: a path of this host.
    pub action: &'a str,
    /// Names and values, in order.
    pub fields: &'a [(String, String)],
}

#[derive(Template)]
#[template(path = "resubmit.html")]
struct ResubmitPage<'a> {
    frame: &'a Frame,
    view: &'a ResubmitView<'a>,
    script: &'static str,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    frame: &'a Frame,
    view: &'a LoginView<'a>,
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage<'a> {
    frame: &'a Frame,
    view: &'a PasswordView<'a>,
}

#[derive(Template)]
#[template(path = "changed.html")]
struct ChangedPage<'a> {
    frame: &'a Frame,
    host: &'a str,
    text: &'a str,
}

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage<'a> {
    frame: &'a Frame,
    host: &'a str,
    user: &'a str,
    token: &'a str,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage<'a> {
    frame: &'a Frame,
    host: &'a str,
    text: &'a str,
}

#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedInPage<'a> {
    frame: &'a Frame,
    host: &'a str,
    user: &'a str,
    sites: &'a [String],
}

#[derive(Template)]
#[template(path = "back.html")]
struct BackPage<'a> {
    frame: &'a Frame,
    host: &'a str,
    user: &'a str,
}

#[derive(Template)]
#[template(path = "again.html")]
struct AgainPage<'a> {
    frame: &'a Frame,
    host: &'a str,
    target: &'a str,
}

#[derive(Template)]
#[template(path = "onward.html")]
struct OnwardPage<'a> {
    frame: &'a Frame,
    host: &'a str,
    target: &'a str,
    title: &'static str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: &'a Frame,
    view: &'a ErrorView<'a>,
}

/// Where the forms of our pages lead in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forms {
    /// To pages of the same host.
    Stay,
    /// On to other hosts, as from a login for many sites.
    LeadOn,
}

impl Pages {
    /// Pages of this look.
    pub fn new(look: Look, forms: Forms) -> Self {
        let style = format!("{STYLE}{}", look.css);
        let targets = match forms {
            Forms::Stay => "'self'",
            // Browsers hold redirects after a form against this too, those of the app at their end included.
            Forms::LeadOn => "'self' https:",
        };
        let policy = content_security_policy(&style, SCRIPT, targets);
        // Where the app leads on from there is the app's to say, and browsers hold redirects against this too.
        let sending = content_security_policy(&style, SEND, "'self' https:");
        let frame = Frame { title: look.title, logo: look.logo, style, script: SCRIPT };
        Self { frame, policy, sending }
    }

    /// The sign-in page.
    pub fn login(&self, status: StatusCode, view: &LoginView<'_>) -> Response<Bytes> {
        let frame = &self.frame;
        self.answer(status, &LoginPage { frame, view })
    }

    /// The page to change one's password.
    pub fn password(&self, status: StatusCode, view: &PasswordView<'_>) -> Response<Bytes> {
        let frame = &self.frame;
        self.answer(status, &PasswordPage { frame, view })
    }

    /// Says that the password was changed.
    pub fn changed(&self, host: &str, text: &str) -> Response<Bytes> {
        let frame = &self.frame;
        self.answer(StatusCode::OK, &ChangedPage { frame, host, text })
    }

    /// Asks whether to sign out.
    pub fn logout(&self, host: &str, user: &str, token: &str) -> Response<Bytes> {
        let page = LogoutPage { frame: &self.frame, host, user, token };
        self.answer(StatusCode::OK, &page)
    }

    /// Says who is signed in, and on which sites.
    pub fn signed_in(&self, host: &str, user: &str, sites: &[String]) -> Response<Bytes> {
        let page = SignedInPage { frame: &self.frame, host, user, sites };
        self.answer(StatusCode::OK, &page)
    }

    /// Says to whoever signed in beside an open page of the app that they can go back to it.
    pub fn back(&self, host: &str, user: &str) -> Response<Bytes> {
        let frame = &self.frame;
        self.answer(StatusCode::OK, &BackPage { frame, host, user })
    }

    /// Leads on to a path of the same host by a page of that host.
    pub fn onward(&self, host: &str, target: &str) -> Response<Bytes> {
        let page = OnwardPage { frame: &self.frame, host, target, title: "You are signed in" };
        self.answer(StatusCode::OK, &page)
    }

    /// Likewise where nobody knows yet who it is.
    pub fn onward_to_login(&self, host: &str, target: &str) -> Response<Bytes> {
        let page = OnwardPage { frame: &self.frame, host, target, title: "Sign in" };
        self.answer(StatusCode::OK, &page)
    }

    /// Asks somebody whom a link of another site leads to a fresh login whether they want that: `target` is where it is.
    pub fn again(&self, host: &str, target: &str) -> Response<Bytes> {
        self.answer(StatusCode::OK, &AgainPage { frame: &self.frame, host, target })
    }

    /// Says that nobody is signed in, and why.
    pub fn signed_out(&self, host: &str, text: &str) -> Response<Bytes> {
        let frame = &self.frame;
        self.answer(StatusCode::OK, &SignedOutPage { frame, host, text })
    }

    /// Sends a form once more, by itself where scripts may run, else at the press of a button. The window it is in may
    /// belong to a page of the app that waits for it: unlike our other pages, this one does not part the two.
    pub fn resubmit(&self, view: &ResubmitView<'_>) -> Response<Bytes> {
        let page = ResubmitPage { frame: &self.frame, view, script: SEND };
        let mut response = self.answer(StatusCode::OK, &page);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.sending.clone());
        headers.insert(COOP, HeaderValue::from_static("unsafe-none"));
        response
    }

    /// Says that something went wrong, and how to go on.
    pub fn error(&self, view: &ErrorView<'_>) -> Response<Bytes> {
        let frame = &self.frame;
        self.answer(view.status, &ErrorPage { frame, view })
    }

    fn answer(&self, status: StatusCode, page: &impl Template) -> Response<Bytes> {
        // Rendering into a String fails only if a value's own formatting does, and ours are all text.
        let html = page.render().unwrap_or_default();
        let mut response = own(status, Bytes::from(html), "text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

/// Sends the browser on with a GET (RFC 9110 §15.4.4); `location` must be a path of ours or one that was checked.
pub fn see_other(location: &str) -> Response<Bytes> {
    let mut response = own(StatusCode::SEE_OTHER, Bytes::new(), "text/html; charset=utf-8");
    // From bytes: a target may hold what is not ASCII, and goes back exactly as it came.
    let location =
        HeaderValue::from_bytes(location.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// An answer of our own for scripts.
pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Bytes> {
    // Serialising plain structs of text and numbers cannot fail.
    let body = serde_json::to_vec(value).unwrap_or_default();
    own(status, Bytes::from(body), "application/json; charset=utf-8")
}

fn own(status: StatusCode, body: Bytes, content_type: &'static str) -> Response<Bytes> {
    // With `no-referrer` browsers would send `Origin: null` with our own forms, so `same-origin` it is.
    const FIELDS: [(HeaderName, &str); 9] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (COOP, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
        (header::VARY, "Cookie, Origin, Sec-Fetch-Dest, Sec-Fetch-Mode, Sec-Fetch-Site"),
    ];
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in FIELDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `targets` are where forms may go.
fn content_security_policy(style: &str, script: &str, targets: &str) -> HeaderValue {
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(&sha256(text.as_bytes())));
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; img-src 'self' data:; form-action {targets}; frame-ancestors 'none'; base-uri 'none'",
        hash(style),
        hash(script),
    );
    // Base64 and the words above are legal in a field value.
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests;
