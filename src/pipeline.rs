//! One request, from admission to answer: this file is the table of contents.
//!
//! accept → TLS → strict framing (`server`) → **admit** → own page, or route → **session** → **gate** → **forward**, under
//! **watch** where the app's own login or logout is → back → **finish**. Every answer leaves through `finish`: `handle` returns a [`Finished`], and nothing else makes one.

mod admit;
mod exchange;
mod fault;
mod finish;
mod forward;
mod gate;
mod held;
mod kept;
mod leftover;
mod notice;
mod own;
mod presence;
mod refuse;
mod reject;
mod reply;
mod resubmit;
mod told;
mod tunnel;
mod visitor;
mod warn;
mod watch;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body::Body;
use hyper::body::Incoming;

use crate::clock::Clock;
use crate::login::Login;
use crate::net::TrustedProxies;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::exchange::RequestIds;
use crate::pipeline::fault::caught;
use crate::pipeline::own::Place;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;
use crate::pipeline::watch::Watched;
use crate::route::LoginHost;
use crate::route::Routes;
use crate::route::Site;
use crate::session::SameSite;
use crate::session::sessions::Sessions;
use crate::telemetry::audit::Audit;
use crate::telemetry::log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::WorkerMetrics;
use crate::upstream::Client;
use crate::upstream::Upstream;

pub use crate::pipeline::finish::Finished;
pub use crate::pipeline::kept::VaultSite;
pub use crate::pipeline::kept::reserved_cookies;
pub use crate::pipeline::kept::visitor::Visitors;
pub use crate::pipeline::reply::ReplyBody;
pub use crate::pipeline::reply::StreamError;
pub use crate::pipeline::told::ToldCookies;
pub use crate::pipeline::visitor::Visitor;

/// What all workers share. Immutable while the gateway runs; what moves lies behind its own handle.
pub struct Shared {
    /// The only source of `now`.
    pub clock: Clock,
    /// The apps.
    pub sites: Vec<Site>,
    /// The one place to log in for all of them, if there is one.
    pub login_host: Option<LoginHost>,
    /// The ways to the apps, by the sites' ids.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Who is logged in.
    pub sessions: Arc<Sessions>,
    /// The pages for logging in and out.
    pub login: Arc<Login>,
    /// The session cookie's name.
    pub cookie_name: &'static str,
    /// Its `SameSite` attribute.
    pub same_site: SameSite,
    /// All cookies that are ours: an app neither sees nor sets them.
    pub reserved_cookies: Vec<&'static str>,
    /// The sites whose cookies are kept for the browser, by the sites' ids.
    pub vaults: Vec<Option<VaultSite>>,
    /// What seals these cookies for who is not logged in.
    pub visitors: Visitors,
    /// What was told of the apps' cookies.
    pub told_cookies: ToldCookies,
    /// Whose word about the client is believed.
    pub trusted_proxies: TrustedProxies,
    /// How long a request's body may keep its reader waiting.
    pub body_patience: Duration,
    /// Fields a request's head may have.
    pub max_headers: usize,
    /// The port of the TLS listener, for redirects from plain HTTP.
    pub https_port: u16,
    /// Where audit events go.
    pub audit: Audit,
    /// Where the access log goes.
    pub access_log: AccessLog,
    /// Figures that no worker has of its own.
    pub metrics: Arc<Metrics>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("sites", &self.sites).finish_non_exhaustive()
    }
}

/// One worker's pipeline.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    routes: Routes,
    apps: Vec<Client>,
    metrics: WorkerMetrics,
    ids: RequestIds,
}

impl Gateway {
    /// A worker's own pipeline. Must be called on the worker's runtime, where its connections to the apps will live.
    pub fn new(shared: Arc<Shared>) -> Self {
        let routes = Routes::new(shared.sites.clone(), shared.login_host.as_ref());
        let metrics = shared.metrics.worker();
        let apps = shared.upstreams.iter().map(|way| way.client(shared.clock.clone())).collect();
        Self { shared, routes, apps, metrics, ids: RequestIds::new() }
    }

    /// Answers one request.
    pub async fn handle(self: &Rc<Self>, visitor: &Visitor, request: Request<Incoming>) -> Finished {
        let mut exchange = Exchange::begin(self, visitor, &request);
        let reply = match caught(self.serve(visitor, &mut exchange, request)).await {
            Ok(reply) => reply,
            Err(reject) => {
                exchange.reason = Some(reject.reason());
                self.refuse(&exchange, &reject)
            }
        };
        self.finish(exchange, reply)
    }

    async fn serve(
        self: &Rc<Self>,
        visitor: &Visitor,
        exchange: &mut Exchange,
        request: Request<Incoming>,
    ) -> Result<Reply, Reject> {
        let (mut head, body) = request.into_parts();
        let path = match self.admit(visitor, exchange, &head) {
            Err(Reject::AmbiguousPath(why)) => {
                return Box::pin(self.observe_unread(exchange, (head, body), why)).await;
            }
            admitted => admitted?,
        };
        if let Some(page) = own::page(&path, exchange.uri.path()) {
            let desk = self.desk(exchange)?;
            let action = match page? {
                Place::Page(action) => action,
                Place::Script => return Ok(warn::script(&head)),
            };
            self.find_session(visitor, exchange, (&desk.lifetime, &desk.session), &head.headers).await?;
            if action.is_use() {
                self.touch(exchange, desk.session.activity, &head.headers);
            }
            if let Some(site) = &desk.site {
                self.note_forged(exchange, site, head.headers.keys());
            }
            // Boxed, as the one above: what is rare takes no room in the future of every request.
            return Box::pin(self.own_page(exchange, &desk, action, (head, body))).await;
        }
        let site = self.route(exchange, &path)?;
        self.find_session(visitor, exchange, (&site.lifetime, &site.session), &head.headers).await?;
        let passage = match self.gate(exchange, &site, &path, &head) {
            Err(Reject::Resubmit) => return Box::pin(self.resubmit(exchange, &head, body)).await,
            Err(Reject::NeedsLogin(need)) if held::is_candidate(exchange, &site, need, &head) => {
                return Box::pin(self.hold(exchange, (&site, need), (head, body))).await;
            }
            passage => {
                passage.inspect_err(|_refused| self.note_forged(exchange, &site, head.headers.keys()))?
            }
        };
        if let Some(form) = Self::marked(&site, &head) {
            return Box::pin(self.release_whole(exchange, (site, form), (head, body), passage)).await;
        }
        match Watched::of(exchange, (&site, &path), &head, body.is_end_stream()) {
            None => self.forward(exchange, &site, (&mut head, body), passage).await,
            Some(watched) => Box::pin(self.watch(exchange, (&site, watched), (head, body), passage)).await,
        }
    }
}
