//! Sessions: who is logged in, since when, and until when.

pub mod lifetime;

use crate::session::lifetime::Lifetime;

/// The `SameSite` attribute of the session cookie. `None` is not offered (ASVS 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Sent on top-level navigations from other sites, so that mailed links work.
    Lax,
    /// Never sent on requests that another site started.
    Strict,
}

/// How sessions live.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the session cookie; begins with `__Host-`.
    pub cookie_name: String,
    /// Its `SameSite` attribute.
    pub same_site: SameSite,
    /// The limits where a site sets none of its own.
    pub lifetime: Lifetime,
    /// So many live sessions at most; then new logins are refused, and nobody live is evicted.
    pub max_sessions: usize,
}
