//! Sessions: who is logged in, since when, and until when.
//!
//! [`Sessions`](sessions::Sessions) begins, finds and ends them; a [`Session`] is one of them, shared by everybody who
//! serves it; a [`Store`](store::Store) keeps them. What a cookie is called and how it is written is not known here.

pub mod agent;
mod cache;
mod grant;
pub mod id;
pub mod lifetime;
mod live;
pub mod profile;
pub mod record;
pub mod renewal;
pub mod sessions;
pub mod store;
mod striped;
pub mod token;
pub mod tokens;
pub mod vault;

use std::sync::Arc;
use std::time::Duration;

use crate::identity::user::User;
use crate::net::ClientAddr;
use crate::net::Host;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Why;
use crate::session::renewal::Pace;
use crate::session::token::Token;

pub use crate::session::grant::Checked;
pub use crate::session::grant::Finding;
pub use crate::session::grant::Grant;
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
    /// So many live sessions of one user at most.
    pub max_per_user: usize,
    /// What happens at a login beyond that.
    pub at_limit: AtLimit,
    /// So long sessions that are known here are served while a store that others use too is not heard.
    pub serve_cached: Duration,
}

/// What a site asks of its sessions beside their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How ids are renewed.
    pub pace: Pace,
    /// What moves the idle clock.
    pub activity: Activity,
    /// What a session is tied to beside its id.
    pub bind: Bind,
}

impl Default for Policy {
    /// New ids every quarter of an hour, every request is use, nothing but the id is asked for.
    fn default() -> Self {
        Self { pace: Pace::default(), activity: Activity::Requests, bind: Bind::Nothing }
    }
}

/// What counts as use of a session (LIFE-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Every request.
    Requests,
    /// Only a page that a person opened: pages that ask the app for news by themselves keep nobody logged in.
    Navigations,
}

/// What a session is tied to beside its id (BIND-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Nothing.
    Nothing,
    /// The kind of browser it was begun in.
    UserAgent,
}

/// What happens when a user has as many sessions as one may have and logs in once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLimit {
    /// The oldest session ends.
    EndOldest,
    /// The new one does not begin.
    Refuse,
}

/// What a token turned out to be.
#[derive(Clone, Debug)]
pub enum Presence {
    /// Nobody: no session of ours, or a token that is not good here or no longer.
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
    /// The token that the browser brought along, where it leads to no session that lives.
    pub brought: Option<Arc<Token>>,
}
