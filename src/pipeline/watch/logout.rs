//! The app's own logout: our session ends before the app hears of it, so that nothing the app does or fails to do keeps it.

use http::request::Parts;

use crate::body::RequestBody;
use crate::headers::harden::CLEAR_SITE_DATA;
use crate::headers::harden::SiteData;
use crate::login::SessionCookie;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::gate::Passage;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;
use crate::pipeline::reply::Voice;
use crate::route::Mode;
use crate::route::Site;

impl Gateway {
    pub(super) async fn watch_logout(
        &self,
        exchange: &mut Exchange,
        site: &Site,
        (mut head, body): (Parts, RequestBody),
        passage: Passage,
    ) -> Result<Reply, Reject> {
        let Some(session) = exchange.session().cloned() else {
            return self.pass_on(exchange, site, (&mut head, body), passage).await;
        };
        let caller = self.caller(exchange, site, &head.headers)?;
        let ended = self.shared.login.observed_logout(&caller, &session).await;
        let mut cookies = ended.map_err(Reject::StoreDown)?;
        let protected = passage.protected;
        // What the app sets now comes too late: it is taken out with all that comes after a session's end.
        let sent = self.send(exchange, site, (&mut head, body), passage).await;
        let delivered = sent.and_then(|sent| self.deliver(exchange, site, sent, protected));
        let mut reply = match delivered {
            Ok(reply) => reply,
            Err(reject) => {
                exchange.reason = Some(reject.reason());
                self.refuse(exchange, &reject)
            }
        };
        let desk = self.routes.desk(&caller.authority.host);
        let mut expired = Vec::new();
        if let Some(desk) = desk.filter(|_| site.mode == Mode::Enforce) {
            expired = self.leftovers(&caller.headers, |name| desk.takes_away(name));
            if let Some(data) = SiteData::header(&desk.clear_at_logout) {
                reply.response.headers_mut().insert(CLEAR_SITE_DATA, data);
            }
        }
        if reply.voice == Voice::Own {
            cookies.append(&mut expired);
        }
        Ok(Reply { session: SessionCookie::Clear, cookies, expired, ..reply })
    }
}
