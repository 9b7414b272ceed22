//! Which version of its session a browser has seen, where several gateways share the sessions: one that has not heard of
//! it yet asks the store, so that what an app set is there on the next request, whichever gateway that reaches.

use http::HeaderMap;
use http::HeaderValue;

use crate::headers::cookies::Found;
use crate::headers::cookies::find;
use crate::pipeline::Gateway;
use crate::session::Session;
use crate::session::id::SessionId;

/// The cookie that says so. It opens nothing: whoever forges it has his own session read once more.
pub(crate) const COOKIE: &str = "__Host-Http-news";

impl Gateway {
    /// What tells of this version of the session; nothing where nobody else could miss it.
    pub(super) fn news(&self, session: &Session) -> Option<HeaderValue> {
        let told = || format!("{COOKIE}={}.{}", session.reference(), session.version());
        let line = self.shared.sessions.is_shared().then(told)?;
        HeaderValue::try_from(line + "; Path=/; Secure; HttpOnly; SameSite=Lax").ok()
    }

    /// Reads the session anew if its browser has seen a later version of it. If the store cannot answer, what is known
    /// here is served, as long as that is believed.
    pub(super) async fn hear_news(&self, session: &Session, headers: &HeaderMap) {
        if !self.shared.sessions.is_shared() {
            return;
        }
        let Found::One(news) = find(headers, COOKIE) else { return };
        let read = || {
            let (id, version) = str::from_utf8(news).ok()?.split_once('.')?;
            Some((SessionId::parse(id)?, version.parse().ok()?))
        };
        if let Some((id, version)) = read()
            && id == session.id()
            && let Err(error) = Box::pin(self.shared.sessions.hear_of(session, version)).await
        {
            tracing::debug!(%error, "a session that was changed elsewhere could not be read again");
        }
    }
}
