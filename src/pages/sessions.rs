//! The page with one's own sessions.

use askama::Template;
use bytes::Bytes;
use http::Response;
use http::StatusCode;

use crate::pages::Frame;
use crate::pages::Pages;

/// The page with one's own sessions, and buttons to end them.
#[derive(Clone, Copy, Debug)]
pub struct SessionsView<'a> {
    /// The host one is on.
    pub host: &'a str,
    /// Whose sessions.
    pub user: &'a str,
    /// Proves that the form is ours.
    pub token: &'a str,
    /// The session the page is shown in.
    pub own: &'a SessionRow,
    /// The others, in the order they are shown in.
    pub others: &'a [SessionRow],
    /// How many more there are than are shown.
    pub more: usize,
    /// Whether their password can be changed here.
    pub own_password: bool,
    /// Whether ending one asks for the password first.
    pub asks_again: bool,
    /// What was done, if there is something to say.
    pub notice: Option<&'a str>,
    /// What was not done, and why.
    pub error: Option<&'a str>,
}

/// One session, in words.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// What the form names it by.
    pub id: String,
    /// Browser and system.
    pub client: String,
    /// Where the login came from.
    pub address: String,
    /// The hosts it is good on.
    pub hosts: String,
    /// When the login was.
    pub began: Time,
    /// When it was last used.
    pub last_used: Time,
}

/// A moment, for people and for programs.
#[derive(Clone, Debug)]
pub struct Time {
    /// As people say it.
    pub text: String,
    /// RFC 3339.
    pub machine: String,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage<'a> {
    frame: &'a Frame,
    view: &'a SessionsView<'a>,
}

impl Pages {
    /// The page with one's own sessions.
    pub fn sessions(&self, status: StatusCode, view: &SessionsView<'_>) -> Response<Bytes> {
        let frame = &self.frame;
        self.answer(status, &SessionsPage { frame, view })
    }
}
