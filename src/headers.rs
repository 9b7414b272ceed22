//! Header fields in and out, as pure functions over a `HeaderMap`.

pub mod app_cookies;
pub mod appended;
pub mod cookies;
pub mod csp;
pub mod forwarded;
pub mod harden;
pub mod hop;
pub mod left;
pub mod location;
pub mod max_forwards;
mod set_cookie;
