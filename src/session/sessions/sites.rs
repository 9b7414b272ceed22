//! Sites that share one login, and judge it by limits of their own.
//!
//! The login lives as long as it may on any of them. A site whose limits are over is closed to it while the others go on:
//! for being idle until the next login, whatever use they make of it meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::net::Host;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Verdict;
use crate::session::lifetime::Why;
use crate::session::lifetime::verdict;
use crate::session::live::Session;
use crate::session::sessions::Request;
use crate::session::sessions::Sessions;
use crate::session::store::Store;
use crate::session::store::StoreError;

/// The limits of each site; none where each host has its own logins.
#[derive(Default)]
pub(super) struct Sites {
    limits: Vec<(Arc<Host>, Lifetime)>,
    shortest_idle: Option<Duration>,
}

impl Sites {
    /// The host and the limits of the site that the vault knows by this name, which begins with one of its hosts.
    pub(super) fn of(&self, name: &str) -> Option<(&Host, &Lifetime)> {
        let is_it = |host: &Host| name.strip_prefix(host.as_str()).is_some_and(|path| path.starts_with('/'));
        self.limits.iter().find(|(host, _)| is_it(host)).map(|(host, limits)| (&**host, limits))
    }
}

impl<S: Store> Sessions<S> {
    /// Lets logins be handed over between these hosts, each of which judges them by its own limits.
    #[must_use]
    pub fn shared_by(mut self, sites: &BTreeMap<Host, Lifetime>) -> Self {
        let limits = sites.iter().map(|(host, limits)| (self.shared_host(host), *limits)).collect();
        self.sites = Sites { limits, shortest_idle: sites.values().map(Lifetime::idle).min() };
        self
    }

    /// The shortest idle limit that anybody judges a session by.
    pub(super) fn shortest_idle(&self, session: &Session) -> Duration {
        let own = session.lifetime().idle();
        self.sites.shortest_idle.map_or(own, |shortest| shortest.min(own))
    }

    /// Why the session is over where this request was sent, if it is: everywhere, or by the limits of this host alone.
    pub(super) async fn over(
        &self,
        session: &Arc<Session>,
        request: &Request<'_>,
    ) -> Result<Option<Why>, StoreError> {
        let Some(shortest) = self.sites.shortest_idle else {
            return self.expire(session, request.lifetime, request.now).await;
        };
        if let Some(why) = self.expire(session, session.lifetime(), request.now).await? {
            return Ok(Some(why));
        }
        if rest(session, request.now) >= shortest {
            Box::pin(self.close_where_idle(session, request.now)).await?;
        }
        let limits = request.lifetime.idle_longer(self.grace(session));
        Ok(match verdict(&session.times(), &limits, request.now) {
            Verdict::Active => None,
            Verdict::Ended(why) => Some(why),
        })
    }

    /// The next use will move the clock of all sites: those for which it comes too late have to know that before.
    async fn close_where_idle(&self, session: &Arc<Session>, now: Timestamp) -> Result<(), StoreError> {
        let grace = self.grace(session);
        if !grace.is_zero()
            && let Some(seen) = self.store.last_seen(session).await?
        {
            session.seen_elsewhere(seen);
        }
        let rest = rest(session, now);
        let over = self.sites.limits.iter().filter(|(_, limits)| rest >= limits.idle() + grace);
        let over: Vec<Arc<Host>> = over.map(|(host, _)| Arc::clone(host)).collect();
        if !session.with_tokens(|tokens| over.iter().all(|host| tokens.is_closed(host))) {
            self.change(session, |tokens| tokens.closing(&over)).await?;
        }
        Ok(())
    }
}

/// How long nobody has used it.
fn rest(session: &Session, now: Timestamp) -> Duration {
    now.since(session.times().last_seen)
}
