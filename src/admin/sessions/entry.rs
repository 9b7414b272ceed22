//! Sessions as the API tells of them. Neither a token nor its hash is in it: nothing here opens a session.

use serde::Deserialize;
use serde::Serialize;

use crate::net::Host;
use crate::session::Session;
use crate::session::record::UserAgent;

/// One session. Times are RFC 3339, in UTC.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its id: 16 hexadecimal digits, the same as in the logs.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// The site whose app's own login vouches for that name; nothing: the users file does.
    pub realm: Option<String>,
    /// The address the login came from.
    pub client_address: String,
    /// What the browser said it is, as far as it is kept.
    pub user_agent: Option<String>,
    /// What that means in words, such as `Firefox on Linux`.
    pub client: String,
    /// The hosts it is good on.
    pub hosts: Vec<String>,
    /// When the login was.
    pub created_at: String,
    /// When it was last used, as far as this gateway knows.
    pub last_seen_at: String,
    /// When it ends if nobody uses it; a site may have a shorter limit.
    pub idle_expires_at: String,
    /// When it ends whatever happens; a site may have a shorter limit.
    pub expires_at: String,
}

/// Some sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listing {
    /// The sessions.
    pub sessions: Vec<Entry>,
    /// What `after` must be to go on; nothing at the end.
    pub next: Option<String>,
}

/// How many sessions were ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// How many.
    pub ended: usize,
    /// What `after` must be to go on; nothing when all is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Entry {
    /// What is told of a session.
    pub(crate) fn of(session: &Session) -> Self {
        let (times, lifetime, tokens) = (session.times(), session.lifetime(), session.tokens());
        let expires = times.began.after(lifetime.absolute());
        let idle_expires = times.last_seen.after(lifetime.idle()).min(expires);
        let agent = session.record().user_agent.as_deref().map(UserAgent::as_str);
        Self {
            id: session.reference().to_string(),
            user: session.user().name.to_string(),
            realm: session.user().name.realm().map(str::to_owned),
            client_address: session.client().0.to_string(),
            user_agent: agent.map(str::to_owned),
            client: session.record().family().to_string(),
            hosts: tokens.good_on().into_iter().map(Host::to_string).collect(),
            created_at: times.began.to_string(),
            last_seen_at: times.last_seen.to_string(),
            idle_expires_at: idle_expires.to_string(),
            expires_at: expires.to_string(),
        }
    }
}
