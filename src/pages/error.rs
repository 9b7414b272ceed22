//! What is said when something went wrong: a sentence a person understands, and what to do next.

use bytes::Bytes;
use http::Response;
use http::StatusCode;

use crate::pages::json;

/// The error page, for any status.
#[derive(Clone, Copy, Debug)]
pub struct ErrorView<'a> {
    /// The status of the answer.
    pub status: StatusCode,
    /// The heading.
    pub title: &'a str,
    /// What happened, and what to do next.
    pub text: &'a str,
    /// What to quote when asking for help; the log has it too.
    pub request_id: &'a str,
    /// Where to sign in, if that helps.
    pub sign_in: Option<&'a str>,
}

impl<'a> ErrorView<'a> {
    /// The page that suits `status`.
    pub fn new(status: StatusCode, request_id: &'a str) -> Self {
        let (title, text) = wording(status);
        Self { status, title, text, request_id, sign_in: None }
    }

    /// With another sentence.
    #[must_use]
    pub fn text(self, text: &'a str) -> Self {
        Self { text, ..self }
    }

    /// With a link to sign in.
    #[must_use]
    pub fn sign_in(self, login: &'a str) -> Self {
        Self { sign_in: Some(login), ..self }
    }
}

/// An error as scripts read it.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct ScriptError<'a> {
    /// A word programs can tell apart, such as `login_required`.
    pub error: &'a str,
    /// A sentence.
    pub message: &'a str,
    /// Where a person can sign in, if that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<&'a str>,
    /// What to quote when asking for help.
    pub request_id: &'a str,
}

/// The same as the error page, for scripts.
pub fn error_json(status: StatusCode, error: &ScriptError<'_>) -> Response<Bytes> {
    json(status, error)
}

/// Status, heading, sentence.
const WORDING: [(u16, &str, &str); 15] = [
    (
        400,
        "This request could not be understood",
        "The address or the form is damaged. Go back and try again.",
    ),
    (401, "Please sign in", "This page is for people who are signed in. Sign in and try again."),
    (
        403,
        "You cannot open this page",
        "Your account has no right to it, or the request did not come from this site. If you think you should have access, ask whoever runs this site.",
    ),
    (404, "There is no such page", "Check the address, or begin at the start page."),
    (405, "This address works differently", "It cannot be used in this way. Begin at the start page."),
    (408, "That took too long", "The request did not arrive in time. Check your connection and try again."),
    (413, "This is too large", "What you sent is larger than this site accepts. Send less at once."),
    (
        414,
        "This request is too long",
        "The address or your cookies for this site are too long. Begin at the start page; if that does not help, delete this site's cookies.",
    ),
    (
        431,
        "Your browser sent too much at once",
        "Most likely it keeps more cookies for this site than the site can read. Delete this site's cookies (in most browsers through the icon beside the address, or in the settings under privacy), then try again.",
    ),
    (415, "This cannot be read", "The form came in a form we do not know. Go back and try again."),
    (421, "Wrong address", "This server does not serve that host. Check the address."),
    (429, "Too many attempts", "There were too many attempts in a short time. Wait a little and try again."),
    (
        502,
        "The app does not answer",
        "The app behind this address could not be reached or answered nonsense. Try again in a moment.",
    ),
    (
        503,
        "Just now this does not work",
        "Too much is going on, or a part is being repaired. You are still signed in if you were. Try again in a moment.",
    ),
    (
        504,
        "The app takes too long",
        "The app behind this address did not answer in time. Try again in a moment.",
    ),
];

const REFUSED: (&str, &str) =
    ("This request was refused", "Go back and try again, or begin at the start page.");

const BROKEN: (&str, &str) = (
    "Something went wrong",
    "It is our fault, not yours. Try again in a moment; if it stays, tell whoever runs this site the number below.",
);

fn wording(status: StatusCode) -> (&'static str, &'static str) {
    let known = WORDING.iter().find(|(code, ..)| *code == status.as_u16());
    match known {
        Some((_, title, text)) => (title, text),
        None if status.is_client_error() => REFUSED,
        None => BROKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_sentence_and_a_way_on() {
        for code in 400..600 {
            let view = ErrorView::new(StatusCode::from_u16(code).unwrap(), "id");
            assert!(!view.title.is_empty() && view.text.ends_with('.'), "{code}");
        }
    }

    #[test]
    fn scripts_read_json() {
        let error = ScriptError {
            error: "login_required",
            message: "Sign in.",
            login: Some("/.vestibule/login?return_to=x"),
            request_id: "r1",
        };
        let response = error_json(StatusCode::UNAUTHORIZED, &error);
        let value: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(value["error"], "login_required");
        assert_eq!(value["login"], "/.vestibule/login?return_to=x");
        assert_eq!(value["request_id"], "r1");
    }
}
