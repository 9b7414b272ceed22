//! What is known of one request and its answer, from the first byte to the log line.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use http::Method;
use http::Request;
use http::Uri;
use http::Version;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::access::csrf;
use crate::clock::Timestamp;
use crate::crypto;
use crate::headers::forwarded;
use crate::headers::harden::Transport;
use crate::identity::headers::Values;
use crate::net::Authority;
use crate::net::ClientAddr;
use crate::net::Scheme;
use crate::pipeline::Gateway;
use crate::pipeline::visitor::Arrived;
use crate::pipeline::visitor::Known;
use crate::pipeline::visitor::Visitor;
use crate::route::Site;
use crate::server::Refusal;
use crate::session::Presence;
use crate::session::Session;
use crate::session::id::SessionIdText;
use crate::session::token::Token;
use crate::telemetry::audit::Audit;
use crate::telemetry::audit::Context;
use crate::telemetry::audit::Event;

/// Numbers a worker's requests, beginning at a random one, so that a number names one request of one run.
#[derive(Debug)]
pub(crate) struct RequestIds(Cell<u64>);

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self(Cell::new(u64::from_le_bytes(crypto::random())))
    }

    fn next(&self) -> RequestId {
        RequestId(self.0.replace(self.0.get().wrapping_add(1)))
    }
}

/// The number by which a person's error page is found in the logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId(u64);

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// How an answer of ours is best told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// To a person whose browser loads a page and can be led elsewhere.
    Navigation,
    /// To a person, but not by leading elsewhere: a form was sent, or a frame or tool asked for HTML.
    Page,
    /// To a script.
    Script,
}

/// One request under way.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) now: Timestamp,
    pub(crate) started: Instant,
    pub(crate) id: RequestId,
    pub(crate) client: ClientAddr,
    pub(crate) scheme: Scheme,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) audience: Audience,
    pub(crate) upgrade: bool,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) transport: Transport,
    pub(crate) arrived: Option<Rc<Arrived>>,
    pub(crate) site: Option<Rc<Site>>,
    pub(crate) presence: Presence,
    /// The same session as the connection remembers it.
    pub(crate) known: Option<Rc<Known>>,
    /// The session's next id, to be offered with an answer that the browser is sure to keep.
    pub(crate) next_id: Option<Arc<Token>>,
    pub(crate) reason: Option<&'static str>,
    /// Whether what is under way outlives the session it was asked in: it is what ended that.
    pub(crate) outlives_session: bool,
}

impl Exchange {
    /// Reads what can be read of any request, good or bad; judging it is `admit`'s work.
    pub(crate) fn begin(gateway: &Gateway, visitor: &Visitor, request: &Request<Incoming>) -> Self {
        let shared = &gateway.shared;
        let headers = request.headers();
        Self {
            now: shared.clock.now(),
            started: Instant::now(),
            id: gateway.ids.next(),
            client: visitor
                .client
                .unwrap_or_else(|| forwarded::client(visitor.peer.addr, headers, &shared.trusted_proxies)),
            scheme: visitor.scheme(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            audience: audience(request),
            refusal: Refusal::of(request),
            transport: visitor.transport(),
            upgrade: headers.contains_key(http::header::UPGRADE),
            arrived: None,
            site: None,
            presence: Presence::Anonymous,
            known: None,
            next_id: None,
            reason: None,
            outlives_session: false,
        }
    }

    /// The authority the browser used. Known once `admit` has let the request in.
    pub(crate) fn authority(&self) -> Option<&Authority> {
        self.arrived.as_ref().map(|arrived| &arrived.authority)
    }

    /// The session the request belongs to, if it lives.
    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        match &self.presence {
            Presence::Active(session) => Some(session),
            Presence::Anonymous | Presence::Ended(_) => None,
        }
    }

    /// Notes whose request this is. A next id is offered to requests of the site's own pages and of the person alone:
    /// with others a browser may not keep it (RENEW-8).
    pub(crate) fn welcome(&mut self, known: Rc<Known>, headers: &HeaderMap) {
        self.presence = Presence::Active(Arc::clone(known.grant.session()));
        self.next_id = known.grant.next().filter(|_| csrf::is_own(headers)).cloned();
        self.known = Some(known);
    }

    /// Goes on as if nobody had been known: for what the app is to judge by itself.
    pub(crate) fn part(&mut self) {
        self.presence = Presence::Anonymous;
        self.known = None;
        self.next_id = None;
    }

    /// What the app is told of the session's user.
    pub(crate) fn values(&self) -> Option<&Values> {
        self.known.as_ref().map(|known| &known.values)
    }

    /// Path and query as they came.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str)
    }

    /// Tells the audit log of `event` in this exchange.
    pub(crate) fn record(&self, audit: &Audit, event: &Event<'_>) {
        let id = self.id.to_string();
        let reference = self.session().map(|session| session.reference());
        let context = Context {
            now: self.now,
            client: Some(self.client),
            host: self.authority().map(|authority| authority.host.as_str()),
            method: Some(self.method.as_str()),
            path: Some(self.target()),
            request_id: Some(&id),
            user: self.session().map(|session| session.user().name.as_str()),
            session: reference.as_ref().map(SessionIdText::as_str),
        };
        audit.record(&context, event);
    }
}

fn audience(request: &Request<Incoming>) -> Audience {
    let headers = request.headers();
    if csrf::is_navigation(headers, request.method()) {
        return Audience::Navigation;
    }
    let asks_html = headers
        .get(http::header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if asks_html { Audience::Page } else { Audience::Script }
}
