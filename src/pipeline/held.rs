//! Forms that come when the session is over: held, and sent on once their person has logged in and confirmed.
//!
//! The page that asks for that sends its answer to the address of the app that the form was for, with a mark behind it.
//! So what it sends passes the same gate as the form would, the app's answer stands at the app's own address, and sending
//! the page again finds nothing more to send.

use std::rc::Rc;
use std::str::FromStr;

use http::HeaderValue;
use http::Method;
use http::Uri;
use http::header;
use http::request::Parts;
use hyper::body::Incoming;

use crate::access::csrf;
use crate::access::csrf::Provenance;
use crate::access::csrf::provenance;
use crate::access::path::CanonicalPath;
use crate::body::RequestBody;
use crate::login::held::HoldError;
use crate::login::held::MARK;
use crate::login::held::PLACE;
use crate::login::held::Posted;
use crate::login::held::Taken;
use crate::login::held::fields::MOST_BYTES;
use crate::login::held::fields::Unfit;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::gate::Passage;
use crate::pipeline::own;
use crate::pipeline::refuse::redirect;
use crate::pipeline::reject::Need;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;
use crate::pipeline::resubmit;
use crate::route::Mode;
use crate::route::Site;
use crate::session::lifetime::Why;
use crate::session::store::HeldKey;
use crate::telemetry::audit::Event;
use crate::telemetry::causes;
use crate::upstream::SendError;

/// The longest answer of our page.
const CONFIRM_BYTES: usize = 4 * 1024;

/// The form that a marked address names, and how much of the query is the app's.
pub(crate) fn mark_of(uri: &Uri) -> Option<(HeldKey, usize)> {
    let query = uri.query()?;
    let from = query.len().checked_sub(MARK.len() + HeldKey::TEXT_LENGTH)?;
    let key = HeldKey::parse(query.get(from..)?.strip_prefix(MARK)?)?;
    (from == 0 || query.as_bytes().get(from - 1) == Some(&b'&')).then_some((key, from.saturating_sub(1)))
}

/// The address without its mark.
fn unmarked(uri: &Uri, length: usize) -> String {
    match uri.query().and_then(|query| query.get(..length)).unwrap_or_default() {
        "" => uri.path().to_owned(),
        query => format!("{}?{query}", uri.path()),
    }
}

/// Whether this is a form that a person has sent from a page of this very site, and that would be worth holding: its
/// browser vouches for all of that.
pub(crate) fn is_candidate(exchange: &Exchange, site: &Site, need: Need, head: &Parts) -> bool {
    let timed_out = match need {
        Need::Login { why, lead } => lead && matches!(why, None | Some(Why::Idle | Why::Absolute)),
        Need::FreshLogin => true,
    };
    let leads_back = site.login.app().is_none_or(|app| app.return_to.is_some());
    let passes_by = passes_by(site, exchange.uri.path());
    // A form that another site has sent is not the person's, also where a page of ours has sent it once more.
    let foreign = resubmit::is_marked(&head.uri);
    let Some(authority) = exchange.authority() else { return false };
    let said = |name: &str| head.headers.get(name).map(HeaderValue::as_bytes);
    timed_out
        && leads_back
        && !passes_by
        && !foreign
        && !site.hold_forms.is_zero()
        && head.method == Method::POST
        && csrf::is_document(&head.headers, &head.method)
        && said("sec-fetch-site") == Some(b"same-origin")
        && provenance(&head.headers, authority, exchange.scheme) == Provenance::Own
}

/// Whether a path is for what is watched on its way: a login would go by its count, and a logout that comes later is another
/// one.
fn passes_by(site: &Site, path: &str) -> bool {
    CanonicalPath::parse(path).map_or(true, |path| {
        site.login.app().is_some_and(|app| app.is_own_path(&path))
            || site.logout.as_ref().is_some_and(|logout| logout.may_be_at(&path))
    })
}

impl Gateway {
    /// Holds a form, and leads its person to the login; or says why it is not held.
    pub(crate) async fn hold(
        &self,
        exchange: &Exchange,
        (site, need): (&Site, Need),
        (head, body): (Parts, Incoming),
    ) -> Result<Reply, Reject> {
        let authority = exchange.authority().ok_or(Reject::BadHost)?;
        if let Some((key, _)) = mark_of(&head.uri) {
            // What our own page has sent, after this session was over too.
            return Ok(self.lead_to(exchange, need, &format!("{PLACE}?form={key}")));
        }
        if !self.shared.login.knows_device(&head.headers) {
            return Err(Reject::NeedsLogin(need));
        }
        let unfit = |why: Unfit| {
            exchange.record(&self.shared.audit, &Event::FormNotHeld { reason: why.as_str() });
            self.shared.metrics.form("not_held");
            Reject::FormLost(need, why)
        };
        if head.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(unfit(Unfit::Unreadable));
        }
        let most = site
            .body_limit
            .map_or(MOST_BYTES, |limit| MOST_BYTES.min(usize::try_from(limit).unwrap_or(MOST_BYTES)));
        let body = match own::read(body, most).await {
            Ok(body) => body,
            Err(Reject::FormTooLarge) => return Err(unfit(Unfit::TooLarge)),
            Err(reject) => return Err(reject),
        };
        let posted = Posted {
            now: exchange.now,
            authority,
            headers: &head.headers,
            target: exchange.target(),
            until: exchange.now.after(site.hold_forms),
            body: &body,
        };
        let holding = self.shared.login.hold(&posted).await.map_err(|error| match error {
            HoldError::Unfit(why) => unfit(why),
            HoldError::Store(error) => Reject::StoreDown(error),
        })?;
        exchange.record(&self.shared.audit, &Event::FormHeld);
        self.shared.metrics.form("held");
        let reply = self.lead_to(exchange, need, &holding.place);
        Ok(Reply { cookies: holding.cookie.into_iter().collect(), ..reply })
    }

    fn lead_to(&self, exchange: &Exchange, need: Need, target: &str) -> Reply {
        let Some(authority) = exchange.authority() else { return redirect(http::StatusCode::SEE_OTHER, "/") };
        let (login, now) = (&self.shared.login, exchange.now);
        let entrance = match need {
            Need::Login { why, .. } => login.entrance(target, authority, why, now),
            Need::FreshLogin => login.fresh_entrance(target, authority, now),
        };
        redirect(http::StatusCode::SEE_OTHER, &entrance)
    }

    /// Sends on what is held. A task of its own, done to its end even if the browser leaves: at a double click it does, and
    /// what was taken out for the first of the two must reach the app.
    pub(crate) async fn release_whole(
        self: &Rc<Self>,
        exchange: &Exchange,
        (site, form): (Rc<Site>, (HeldKey, usize)),
        request: (Parts, Incoming),
        passage: Passage,
    ) -> Result<Reply, Reject> {
        let (gateway, exchange) = (Rc::clone(self), exchange.clone());
        let sent = tokio::task::spawn_local(async move {
            gateway.release(&exchange, (&site, form), request, passage).await
        });
        sent.await.unwrap_or(Err(Reject::Fault))
    }

    /// Sends on what is held, in place of what our page has sent.
    async fn release(
        &self,
        exchange: &Exchange,
        (site, (key, length)): (&Site, (HeldKey, usize)),
        (mut head, body): (Parts, Incoming),
        passage: Passage,
    ) -> Result<Reply, Reject> {
        let target = unmarked(&head.uri, length);
        let authority = exchange.authority().ok_or(Reject::BadHost)?;
        let own = provenance(&head.headers, authority, exchange.scheme) == Provenance::Own;
        // It may have been held under another configuration.
        let is_sent = head.method == Method::POST && own && !passes_by(site, head.uri.path());
        let Some(session) = exchange.session().filter(|_| is_sent) else {
            // The address of an answer, asked for as a page: it is the app's without the mark.
            return Ok(redirect(http::StatusCode::SEE_OTHER, &target));
        };
        let posted = own::read(body, CONFIRM_BYTES).await?;
        let login = &self.shared.login;
        let asks = (&**session, authority, &head.headers);
        let taken = login.take((key, &target), asks, &posted, exchange.now).await;
        let taken = match taken.map_err(Reject::StoreDown)? {
            Ok(taken) => taken,
            Err(answer) => {
                exchange.record(&self.shared.audit, &Event::FormNotSent { reason: "not_there" });
                self.shared.metrics.form("refused");
                return Ok(Reply::own(answer.response));
            }
        };
        let passed = match refill(&mut head, &taken, &target) {
            Ok(body) => self.pass_on(exchange, site, (&mut head, body), passage).await,
            Err(reject) => Err(reject),
        };
        if passed.as_ref().is_err_and(is_unsent) {
            match login.hold_again(&taken, exchange.now).await {
                Ok(true) => {}
                Ok(false) => {
                    exchange.record(&self.shared.audit, &Event::FormNotHeld { reason: Unfit::Full.as_str() });
                }
                Err(error) => {
                    let reason = &causes(&error);
                    exchange.record(&self.shared.audit, &Event::StoreFailed { reason });
                }
            }
            return passed;
        }
        exchange.record(&self.shared.audit, &Event::FormSent);
        self.shared.metrics.form("sent");
        passed
    }

    /// Whether an address is marked as that of a form that is held, where decisions take effect.
    pub(crate) fn marked(site: &Site, head: &Parts) -> Option<(HeldKey, usize)> {
        mark_of(&head.uri).filter(|_| site.mode == Mode::Enforce)
    }
}

/// Makes a request of our page's the one that was held, and gives its body.
fn refill(head: &mut Parts, taken: &Taken, target: &str) -> Result<RequestBody, Reject> {
    head.uri = Uri::from_str(target).map_err(|_impossible| Reject::BadTarget)?;
    let headers = &mut head.headers;
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::REFERER);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(taken.body.len()));
    let field = |text: &str| HeaderValue::from_str(text).map_err(|_impossible| Reject::FormBroken);
    headers.insert(header::CONTENT_TYPE, field(&taken.kind)?);
    if let Some(referer) = &taken.referer {
        headers.insert(header::REFERER, field(referer)?);
    }
    Ok(RequestBody::Whole(taken.body.clone()))
}

/// Whether no app can have seen a request that came to this.
fn is_unsent(reject: &Reject) -> bool {
    !matches!(
        reject,
        Reject::App(
            SendError::TimedOut { .. }
                | SendError::NoAnswer(_)
                | SendError::BadAnswer(_)
                | SendError::UnaskedUpgrade
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_goes_and_the_rest_stays_to_the_byte() {
        let key = "00112233445566778899aabbccddeeff";
        for (before, expected) in [
            ("/a?", Some("/a")),
            ("/a?x=%2f&", Some("/a?x=%2f")),
            ("/a?x=1&&", Some("/a?x=1&")),
            ("/a?x", None),
            ("/a?not-", None),
        ] {
            let uri = Uri::from_str(&format!("{before}{MARK}{key}")).unwrap();
            let found = mark_of(&uri).map(|(found, length)| (found.to_string(), unmarked(&uri, length)));
            assert_eq!(found, expected.map(|target| (key.to_owned(), target.to_owned())), "{before}");
        }
        for bad in ["/a", "/a?vestibule-held=", "/a?vestibule-held=00", "/a?é"] {
            assert!(Uri::from_str(bad).map_or(true, |uri| mark_of(&uri).is_none()), "{bad}");
        }
    }
}
