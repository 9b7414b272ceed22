//! What a token was found to be good for: what a connection keeps, so that its next request needs no look-up.

use std::fmt;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::net::Host;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::token::Token;

/// A session by one of its tokens, on one host.
#[derive(Clone)]
pub struct Grant {
    session: Arc<Session>,
    host: Arc<Host>,
    /// The session's version that the token was judged by.
    version: u32,
    /// When the token must be judged again.
    until: Timestamp,
    next: Option<Arc<Token>>,
}

impl Grant {
    pub(super) fn new(session: Arc<Session>, host: Arc<Host>, version: u32, until: Timestamp) -> Self {
        Self { session, host, version, until, next: None }
    }

    pub(super) fn offering(self, next: Token) -> Self {
        Self { next: Some(Arc::new(next)), ..self }
    }

    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The token to be offered in place of the one that was sent, if it is time for another.
    pub fn next(&self) -> Option<&Arc<Token>> {
        self.next.as_ref()
    }

    /// Whether the token needs no second look on `host` at `now`: two loads and three comparisons.
    pub(super) fn holds(&self, host: &Host, now: Timestamp) -> bool {
        *self.host == *host && now < self.until && self.session.version() == self.version
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Grant").field("session", &self.session).finish_non_exhaustive()
    }
}

/// What became of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is as good as it was.
    Holds,
    /// The token must be looked up again.
    Stale,
    /// Its session is over.
    Ended(Why),
}

/// What a token turned out to be.
#[derive(Clone, Debug)]
pub enum Finding {
    /// Somebody's who is logged in.
    Active(Grant),
    /// Nobody's: none of ours, or not good on this host.
    Nobody,
    /// Somebody's, but it was replaced by another some time ago.
    Retired,
    /// Somebody's, but sent by another kind of browser than the one it is tied to.
    Elsewhere,
    /// Somebody's who was logged in, until not long ago.
    Ended(Why),
}
