//! The session a request belongs to, from its cookie.

use std::sync::Arc;

use http::HeaderMap;

use crate::headers::cookies;
use crate::headers::cookies::Found;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::own;
use crate::pipeline::reject::Reject;
use crate::pipeline::visitor::Visitor;
use crate::session::Presence;
use crate::session::Session;
use crate::session::lifetime::Lifetime;
use crate::session::token::Token;
use crate::telemetry::audit::Event;

impl Gateway {
    /// Finds out who is here. A store that cannot answer is an error, never "nobody".
    pub(crate) async fn find_session(
        &self,
        visitor: &Visitor,
        exchange: &mut Exchange,
        lifetime: &Lifetime,
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
        let known = visitor.known(cookie);
        exchange.presence = match &known {
            Some(known) => self.check(exchange, lifetime, &known.session).await?,
            None => self.look_up(exchange, lifetime, cookie).await?,
        };
        match &exchange.presence {
            Presence::Active(session) => {
                if !own::is_status(exchange.uri.path()) {
                    session.touch(exchange.now);
                }
                let known = known.unwrap_or_else(|| visitor.remember_known(cookie, session));
                exchange.values = Some(known.values);
            }
            Presence::Ended(why) => {
                let reason = why.as_str();
                exchange.record(&self.shared.audit, &Event::SessionUseAfterExpire { reason });
            }
            Presence::Anonymous => {}
        }
        Ok(())
    }

    /// The session this connection used last: no hash, no look-up, only whether it still lives.
    async fn check(
        &self,
        exchange: &Exchange,
        lifetime: &Lifetime,
        session: &Arc<Session>,
    ) -> Result<Presence, Reject> {
        let Some(authority) = exchange.authority() else { return Ok(Presence::Anonymous) };
        let checked = self.shared.sessions.check(session, &authority.host, lifetime, exchange.now).await;
        checked.map_err(Reject::StoreDown)
    }

    async fn look_up(
        &self,
        exchange: &Exchange,
        lifetime: &Lifetime,
        cookie: &[u8],
    ) -> Result<Presence, Reject> {
        let Some(token) = Token::parse(cookie) else {
            exchange
                .record(&self.shared.audit, &Event::SessionCookieRejected { reason: "not of our making" });
            return Ok(Presence::Anonymous);
        };
        let Some(authority) = exchange.authority() else { return Ok(Presence::Anonymous) };
        let found = self.shared.sessions.find(&token, &authority.host, lifetime, exchange.now).await;
        found.map_err(Reject::StoreDown)
    }
}
