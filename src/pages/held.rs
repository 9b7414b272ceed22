//! The page that asks what is to become of a form that is held.

use askama::Template;
use bytes::Bytes;
use http::Response;
use http::StatusCode;
use http::header;

use crate::pages::Frame;
use crate::pages::Pages;

/// The page that asks whether a form that was held is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct HeldView<'a> {
    /// The host one is on.
    pub host: &'a str,
    /// Who is signed in.
    pub user: &'a str,
    /// Where the form goes, without its query.
    pub path: &'a str,
    /// How many fields it has, in words.
    pub count: &'a str,
    /// Their names, or the first of them.
    pub names: &'a [String],
    /// How many names are not shown.
    pub more: usize,
    /// The address that sends it.
    pub action: &'a str,
    /// What it is known by.
    pub form: &'a str,
    /// Proves that the page is ours.
    pub token: &'a str,
    /// How long it is kept, in words.
    pub left: &'a str,
    /// What was wrong with the last attempt.
    pub error: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "held.html")]
struct HeldPage<'a> {
    frame: &'a Frame,
    view: &'a HeldView<'a>,
}

#[derive(Template)]
#[template(path = "held_gone.html")]
struct HeldGonePage<'a> {
    frame: &'a Frame,
    host: &'a str,
    title: &'a str,
    text: &'a str,
}

impl Pages {
    /// Asks whether a form is to be sent. The app's answer may lead anywhere, and browsers hold redirects after a form against
    /// the policy of its page too.
    pub fn held(&self, status: StatusCode, view: &HeldView<'_>) -> Response<Bytes> {
        let mut response = self.answer(status, &HeldPage { frame: &self.frame, view });
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, self.sending.clone());
        response
    }

    /// Says what has become of a form that is not there to be sent: a title, and why.
    pub fn held_gone(&self, status: StatusCode, host: &str, (title, text): (&str, &str)) -> Response<Bytes> {
        self.answer(status, &HeldGonePage { frame: &self.frame, host, title, text })
    }
}
