//! Sessions: who is logged in, since when, and until when.
//!
//! [`Sessions`](sessions::Sessions) begins, finds and ends them; a [`Session`] is one of them, shared by everybody who
//! serves it; a [`Store`](store::Store) keeps them. What a cookie is called and how it is written is not known here.

mod cache;
pub mod lifetime;
mod live;
pub mod record;
pub mod sessions;
pub mod store;
mod striped;
pub mod token;

use std::sync::Arc;

use crate::identity::user::User;
use crate::net::ClientAddr;
use crate::net::Host;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Why;

pub use crate::session::live::Session;

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

/// What a token turned out to be.
#[derive(Clone, Debug)]
pub enum Presence {
    /// Nobody: no session of ours, or one that is not good on this host.
    Anonymous,
    /// Somebody who is logged in.
    Active(Arc<Session>),
    /// Somebody who was, until not long ago.
    Ended(Why),
}

/// What is known when somebody has just logged in.
#[derive(Clone, Debug)]
pub struct NewLogin {
    /// Who it is.
    pub user: Arc<User>,
    /// The one host the session will be good on.
    pub host: Host,
    /// Where the login came from.
    pub client: ClientAddr,
    /// The browser's description of itself, as it was sent.
    pub user_agent: Option<String>,
    /// The limits of the site that was logged in to.
    pub lifetime: Lifetime,
}
