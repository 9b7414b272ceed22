//! Whole conversations: a browser with a cookie jar against the login over a real store and a real users file.

mod guessing;
mod passwords;
mod sessions;
mod signin;
mod signout;
mod status;
mod support;
