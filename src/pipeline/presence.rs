//! The session a request belongs to, from its cookie.

use std::sync::Arc;

use http::HeaderMap;
use http::header;

use crate::access::csrf;
use crate::headers::cookies;
use crate::headers::cookies::Found;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reject::Reject;
use crate::pipeline::visitor::Visitor;
use crate::session::Activity;
use crate::session::Bind;
use crate::session::Checked;
use crate::session::Finding;
use crate::session::Policy;
use crate::session::Presence;
use crate::session::lifetime::Lifetime;
use crate::session::sessions::Request;
use crate::session::token::Token;
use crate::telemetry::audit::Event;

impl Gateway {
    /// Finds out who is here. A store that cannot answer is an error, never "nobody".
    pub(crate) async fn find_session(
        &self,
        visitor: &Visitor,
        exchange: &mut Exchange,
        (lifetime, policy): (&Lifetime, &Policy),
        headers: &HeaderMap,
    ) -> Result<(), Reject> {
        let cookie = match cookies::find(headers, self.shared.cookie_name) {
            Found::One(cookie) => cookie,
            Found::None => return Ok(()),
            // Which of two is ours cannot be known: a neighbour may have planted one (RFC 6265bis §8.6).
            Found::Several => {
                exchange.record(&self.shared.audit, &Event::SessionCookieRejected { reason: "sent twice" });
                return Ok(());
            }
        };
        let Some(authority) = exchange.authority() else { return Ok(()) };
        let agent = || headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let mut request = Request {
            host: &authority.host,
            lifetime,
            policy,
            client: exchange.client,
            user_agent: "",
            now: exchange.now,
        };
        // The session this connection used last: no hash, no look-up, only whether it still lives.
        if let Some(known) = visitor.known(cookie) {
            if policy.bind == Bind::UserAgent {
                request.user_agent = agent().unwrap_or_default();
            }
            let checked = self.shared.sessions.check(&known.grant, &request).await;
            match checked.map_err(Reject::StoreDown)? {
                Checked::Holds => {
                    exchange.welcome(known, headers);
                    return Ok(());
                }
                Checked::Ended(why) => {
                    self.part(exchange, &Finding::Ended(why));
                    return Ok(());
                }
                Checked::Stale => {}
            }
        }
        request.user_agent = agent().unwrap_or_default();
        // Boxed: most requests come over a connection that knows their session.
        let found = Box::pin(self.look_up(exchange, cookie, &request)).await?;
        if let Finding::Active(grant) = &found
            && exchange.site.as_ref().and_then(|site| site.realm()) != grant.session().user().name.realm()
        {
            // Whom one login vouches for is nobody to another: people logged in here in another way before.
            let event = Event::SessionCookieRejected { reason: "of another login" };
            exchange.record(&self.shared.audit, &event);
            return Ok(());
        }
        if let Finding::Active(grant) = found {
            exchange.welcome(visitor.remember_known(cookie, grant), headers);
        } else {
            self.part(exchange, &found);
        }
        Ok(())
    }

    /// The token that came with a request, where it leads to no session that lives.
    pub(crate) fn brought(&self, exchange: &Exchange, headers: &HeaderMap) -> Option<Arc<Token>> {
        match cookies::find(headers, self.shared.cookie_name) {
            Found::One(cookie) if exchange.session().is_none() => Token::parse(cookie).map(Arc::new),
            Found::One(_) | Found::None | Found::Several => None,
        }
    }

    /// Notes that the person uses the session, if this request counts as that.
    pub(crate) fn touch(&self, exchange: &Exchange, activity: Activity, headers: &HeaderMap) {
        let counts = match activity {
            Activity::Requests => true,
            Activity::Navigations => csrf::is_by_person(headers),
        };
        if let (true, Some(session)) = (counts, exchange.session()) {
            self.shared.sessions.touch(session, exchange.now);
        }
    }

    async fn look_up(
        &self,
        exchange: &Exchange,
        cookie: &[u8],
        request: &Request<'_>,
    ) -> Result<Finding, Reject> {
        let Some(token) = Token::parse(cookie) else {
            exchange
                .record(&self.shared.audit, &Event::SessionCookieRejected { reason: "not of our making" });
            return Ok(Finding::Nobody);
        };
        self.shared.sessions.find(&token, request).await.map_err(Reject::StoreDown)
    }

    /// Whoever sent the cookie has no session by it.
    fn part(&self, exchange: &mut Exchange, found: &Finding) {
        let audit = &self.shared.audit;
        match found {
            Finding::Active(_) | Finding::Nobody => {}
            Finding::Elsewhere => {
                exchange.record(audit, &Event::SessionCookieRejected { reason: "another browser" });
            }
            Finding::Retired => {
                exchange.record(audit, &Event::SessionUseAfterExpire { reason: "renewed" });
            }
            Finding::Ended(why) => {
                exchange.presence = Presence::Ended(*why);
                exchange.record(audit, &Event::SessionUseAfterExpire { reason: why.as_str() });
            }
        }
    }
}
