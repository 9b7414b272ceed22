//! The app's login page, asked for by a person who has yet to log in here.
//!
//! The app may know them still: its own session outlives ours, or it has a cookie that remembers. Then it sends them away
//! from its login, to where our gate sends them back. So it is asked once more as if by somebody it never saw; and what it
//! knew them by is gone, so that whoever logs in next is not taken for them.

use http::HeaderValue;
use http::Method;
use http::Uri;
use http::header;
use http::request::Parts;

use crate::access::csrf;
use crate::access::rules::Allow;
use crate::access::rules::Permit;
use crate::body::RequestBody;
use crate::login::Login;
use crate::login::observed::Landing;
use crate::login::observed::Leads;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::forward::Sent;
use crate::pipeline::gate::Passage;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;
use crate::route::AppLogin;
use crate::route::Site;
use crate::route::UserSource;
use crate::session::SameSite;

impl Gateway {
    pub(super) async fn watch_page(
        &self,
        exchange: &Exchange,
        (site, app): (&Site, &AppLogin),
        (mut head, body): (Parts, RequestBody),
        passage: Passage,
    ) -> Result<Reply, Reject> {
        if self.shared.same_site == SameSite::Strict && !csrf::is_own(&head.headers) {
            // Who was led here from another site comes without our cookie, and may be logged in all the same. A page of
            // this very site leads on.
            let host = exchange.authority().map_or("", |authority| authority.host.as_str());
            return Ok(Reply::own(self.shared.login.pages().onward_to_login(host, exchange.target())));
        }
        let mut afresh = head.clone();
        let mut sent = self.send(exchange, site, (&mut head, body), passage).await?;
        let mut expired = Vec::new();
        if leads_away(exchange, (site, app), &sent).is_some() && sent.carries_cookies() {
            let cookies = std::mem::take(&mut afresh.headers);
            afresh.headers = cookies.clone();
            afresh.headers.remove(header::COOKIE);
            let passage = Passage { permit: Permit::to_log_in(), protected: false, resubmits: false };
            sent = self.send(exchange, site, (&mut afresh, RequestBody::Empty), passage).await?;
            if leads_away(exchange, (site, app), &sent).is_none() {
                expired = self.leftovers(&cookies, |_| true);
                expired.extend(self.visitors_leftovers(&cookies));
                expired.extend(Login::observed_cleared(&cookies));
            }
        }
        let landing = leads_away(exchange, (site, app), &sent);
        let dead_end = landing.as_ref().and_then(Landing::here).is_some_and(|path| {
            let rule = site.rules.find(path, &Method::GET);
            !matches!(rule.allow, Allow::Anyone)
        });
        if dead_end {
            return Err(Reject::LoginLeadsAway);
        }
        let cookies = self.take_out(exchange, sent.kept.take(), sent.headers_mut()).await;
        let reply = self.deliver(exchange, site, sent, false)?;
        Ok(Reply { cookies, expired, ..reply })
    }
}

impl Gateway {
    /// Whether the app knows already who is about to log in.
    ///
    /// Many apps send whoever is logged in away from their login, whatever is typed there: that would be a success for any
    /// name. So the app is asked for its login page with the same cookies first. Where the answer says who it is, that
    /// tells.
    ///
    /// What makes the app know them between the question and the attempt goes unseen. A queue of the attempts with one
    /// cookie would not mend that: the app may read one value in many spellings, and log people in at addresses that nobody
    /// has told us of.
    pub(super) async fn is_known(
        &self,
        exchange: &Exchange,
        (site, app): (&Site, &AppLogin),
        head: &Parts,
    ) -> Result<bool, Reject> {
        if app.user != UserSource::Form || !head.headers.contains_key(header::COOKIE) {
            return Ok(false);
        }
        let mut question = head.clone();
        question.method = Method::GET;
        question.uri = Uri::try_from(app.entrance("/")).map_err(|_unfit| Reject::BadTarget)?;
        for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT]
        {
            question.headers.remove(name);
        }
        let passage = Passage { permit: Permit::to_log_in(), protected: false, resubmits: false };
        let sent = self.send(exchange, site, (&mut question, RequestBody::Empty), passage).await?;
        Ok(leads_away(exchange, (site, app), &sent).is_some())
    }

    /// Has the app see somebody it does not know, and gives the lines that delete what it knew them by.
    pub(super) fn forget_known(&self, exchange: &mut Exchange, head: &mut Parts) -> Vec<HeaderValue> {
        let mut expired = self.leftovers(&head.headers, |_| true);
        expired.extend(self.visitors_leftovers(&head.headers));
        head.headers.remove(header::COOKIE);
        exchange.part();
        expired
    }
}

/// Where an answer leads that leads anywhere but back to the login.
fn leads_away(exchange: &Exchange, (site, app): (&Site, &AppLogin), sent: &Sent<'_>) -> Option<Landing> {
    let landing = Gateway::landing(exchange, site, sent.headers());
    landing.filter(|landing| sent.status().is_redirection() && landing.leads(app) != Leads::Back)
}
