//! The gate: nothing passes to an app without a permit.

use std::rc::Rc;

use http::HeaderMap;
use http::HeaderName;
use http::Method;
use http::request::Parts;
use hyper::body::Incoming;

use crate::access::csrf;
use crate::access::csrf::Csrf;
use crate::access::csrf::Provenance;
use crate::access::path::AmbiguousPath;
use crate::access::path::CanonicalPath;
use crate::access::rules;
use crate::access::rules::Activity;
use crate::access::rules::Allow;
use crate::access::rules::Decision;
use crate::access::rules::Permit;
use crate::access::rules::Rule;
use crate::access::rules::Unauthenticated;
use crate::access::rules::Visitor;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reject::Need;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;
use crate::pipeline::resubmit;
use crate::route::Mode;
use crate::route::ServiceWorkers;
use crate::route::Site;
use crate::session::Presence;
use crate::telemetry::audit::Event;

const SERVICE_WORKER: HeaderName = HeaderName::from_static("service-worker");

/// What passing on to the app takes: the decision as a value, and whether the answer is for logged-in people only.
pub(crate) struct Passage {
    pub(crate) permit: Permit,
    pub(crate) protected: bool,
    /// Whether the rule has forms of other sites sent once more: the request may be one of these.
    pub(crate) resubmits: bool,
}

impl Gateway {
    /// Decides whether the request may go on. In observe mode everything may, and what would have been refused is
    /// noted.
    pub(crate) fn gate(
        &self,
        exchange: &Exchange,
        site: &Site,
        path: &CanonicalPath,
        head: &Parts,
    ) -> Result<Passage, Reject> {
        let rule = site.rules.find(path, &head.method);
        if rule.activity == Activity::Count {
            self.touch(exchange, site.session.activity, &head.headers);
        }
        let door = site.login.app().is_some_and(|app| app.is_door(path, &head.method));
        let protected = !door && !matches!(rule.allow, Allow::Anyone);
        // A login that another site has sent must not become one of ours.
        let resubmits = !door && rule.resubmits(path);
        if resubmits && site.mode == Mode::Enforce && resubmit::is_due(exchange, head) {
            return Err(Reject::Resubmit);
        }
        let refusal = match self.judge(exchange, (site, path), (rule, door), head) {
            Ok(permit) => return Ok(Passage { permit, protected, resubmits }),
            Err(refusal) => refusal,
        };
        match site.mode {
            Mode::Enforce => Err(refusal),
            Mode::Observe => {
                exchange.record(&self.shared.audit, &Event::WouldRefuse { what: refusal.reason() });
                Ok(Passage { permit: Permit::in_observe_mode(), protected: false, resubmits: false })
            }
        }
    }

    /// A path with two readings cannot be judged. It goes on only where nothing is enforced and no path chooses among
    /// apps: a roll-out in observe mode breaks no odd address.
    pub(crate) async fn observe_unread(
        &self,
        exchange: &mut Exchange,
        (mut head, body): (Parts, Incoming),
        why: AmbiguousPath,
    ) -> Result<Reply, Reject> {
        let host = exchange.authority().map(|authority| &authority.host);
        let site = host.and_then(|host| self.routes.only(host)).map(Rc::clone);
        let Some(site) = site.filter(|site| site.mode == Mode::Observe) else {
            return Err(Reject::AmbiguousPath(why));
        };
        exchange.site = Some(Rc::clone(&site));
        exchange.record(&self.shared.audit, &Event::WouldRefuse { what: why.reason() });
        let passage = Passage { permit: Permit::in_observe_mode(), protected: false, resubmits: false };
        self.forward(exchange, &site, (&mut head, body), passage).await
    }

    fn judge(
        &self,
        exchange: &Exchange,
        (site, path): (&Site, &CanonicalPath),
        (rule, door): (&Rule, bool),
        head: &Parts,
    ) -> Result<Permit, Reject> {
        if site.service_workers == ServiceWorkers::Deny && is_service_worker(&head.headers) {
            return Err(Reject::ServiceWorker);
        }
        self.check_origin(exchange, (site, path), head)?;
        if door {
            return Ok(Permit::to_log_in());
        }
        let visitor = exchange.session().map(|session| {
            let authenticated = session.times().began;
            Visitor { user: session.user(), authenticated }
        });
        match rules::decide(rule, visitor.as_ref(), exchange.now) {
            Decision::Granted(permit) => Ok(permit),
            Decision::Forbidden => Err(Reject::Forbidden),
            Decision::NeedsFreshLogin => Err(Reject::NeedsLogin(Need::FreshLogin)),
            Decision::NeedsLogin => {
                let why = match exchange.presence {
                    Presence::Ended(why) => Some(why),
                    Presence::Anonymous | Presence::Active(_) => None,
                };
                let lead = rule.unauthenticated == Unauthenticated::Auto;
                Err(Reject::NeedsLogin(Need::Login { why, lead }))
            }
        }
    }

    /// Requests that change something, and `WebSocket`s, must come from the site's own pages (WEB-1, attacks J05). The app's
    /// logout changes something whatever its method.
    fn check_origin(
        &self,
        exchange: &Exchange,
        (site, path): (&Site, &CanonicalPath),
        head: &Parts,
    ) -> Result<(), Reject> {
        let leaves = || {
            exchange.session().is_some() && site.logout.as_ref().is_some_and(|logout| logout.may_be_at(path))
        };
        let is_safe = csrf::is_safe(&head.method);
        if site.csrf == Csrf::Off || (is_safe && !is_websocket(head) && !leaves()) {
            return Ok(());
        }
        let Some(authority) = exchange.authority() else { return Err(Reject::BadHost) };
        let reason = match csrf::provenance(&head.headers, authority, exchange.scheme) {
            Provenance::Foreign(reason) => reason,
            Provenance::Own
                if (is_safe || leaves()) && csrf::is_foreign(&head.headers, authority, exchange.scheme) =>
            {
                "Referer is another site's"
            }
            Provenance::Own => return Ok(()),
        };
        let enforced = site.csrf == Csrf::SameOrigin;
        exchange.record(&self.shared.audit, &Event::MaliciousCsrf { reason, enforced });
        if enforced { Err(Reject::CrossSite) } else { Ok(()) }
    }
}

fn is_websocket(head: &Parts) -> bool {
    head.method == Method::GET && head.headers.contains_key(http::header::UPGRADE)
}

fn is_service_worker(headers: &HeaderMap) -> bool {
    headers.contains_key(SERVICE_WORKER)
}
