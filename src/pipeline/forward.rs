//! Passing a permitted request on to its app, and the app's answer back.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::Uri;
use http::header;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::body::RequestBody;
use crate::body::RequestBodyError;
use crate::headers::cookies;
use crate::headers::forwarded::Arrival;
use crate::headers::forwarded::ForwardedFields;
use crate::headers::hop;
use crate::headers::left;
use crate::headers::location;
use crate::headers::max_forwards;
use crate::net::Authority;
use crate::net::Scheme;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::gate::Passage;
use crate::pipeline::kept::Kept;
use crate::pipeline::refuse::ALLOWED;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Bond;
use crate::pipeline::reply::Reply;
use crate::pipeline::reply::ReplyBody;
use crate::pipeline::resubmit;
use crate::pipeline::tunnel;
use crate::pipeline::tunnel::Handshake;
use crate::pipeline::warn;
use crate::pipeline::warn::Warned;
use crate::route::Site;
use crate::telemetry::audit::Event;
use crate::upstream::AnswerBody;
use crate::upstream::Endpoint;
use crate::upstream::PresentScheme;
use crate::upstream::Tunnel;
use crate::upstream::Upgraded;

/// What came of a request that an app was sent.
pub(crate) struct Sent<'a> {
    pub(crate) answer: Answered,
    /// Where the app's cookies are kept, if they are.
    pub(crate) kept: Option<Kept<'a>>,
    /// The browser's own cookies that the app was sent.
    carried: Option<HeaderValue>,
    /// The request's line with the list of cookies that the app left in the browser.
    left: Option<HeaderValue>,
    /// What was asked for, if it is a page that is to warn of the session's end.
    warned: Option<Warned>,
    /// What was read of the answer's body already.
    pub(crate) ahead: Bytes,
}

/// How an app has answered.
pub(crate) enum Answered {
    /// As to any request.
    Plainly(Response<AnswerBody>),
    /// By taking the connection for frames.
    Switched(Handshake, Response<()>, Box<Tunnel>),
}

impl Sent<'_> {
    /// The answer's fields.
    pub(crate) fn headers(&self) -> &HeaderMap {
        match &self.answer {
            Answered::Plainly(response) => response.headers(),
            Answered::Switched(_, response, _) => response.headers(),
        }
    }

    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        match &mut self.answer {
            Answered::Plainly(response) => response.headers_mut(),
            Answered::Switched(_, response, _) => response.headers_mut(),
        }
    }

    /// The answer's status.
    pub(crate) fn status(&self) -> StatusCode {
        match &self.answer {
            Answered::Plainly(response) => response.status(),
            Answered::Switched(_, response, _) => response.status(),
        }
    }

    /// Whether the app was sent cookies that it knows somebody by: the browser's own, or a visitor's.
    pub(crate) fn carries_cookies(&self) -> bool {
        self.carried.is_some() || self.kept.as_ref().is_some_and(Kept::is_a_visitors)
    }
}

impl Gateway {
    /// The only way to an app. Takes the gate's [`Passage`] by value: without a decision there is none.
    pub(crate) async fn forward(
        &self,
        exchange: &Exchange,
        site: &Site,
        (head, body): (&mut Parts, Incoming),
        passage: Passage,
    ) -> Result<Reply, Reject> {
        if max_forwards::ends_here(&mut head.headers, &head.method) {
            return Ok(options());
        }
        let body = self.upload(exchange, site, body).await.map_err(|error| Reject::App(error.into()))?;
        self.pass_on(exchange, site, (head, body), passage).await
    }

    /// The same, with a body that is at hand.
    pub(crate) async fn pass_on(
        &self,
        exchange: &Exchange,
        site: &Site,
        (head, body): (&mut Parts, RequestBody),
        passage: Passage,
    ) -> Result<Reply, Reject> {
        let protected = passage.protected;
        let mut sent = self.send(exchange, site, (head, body), passage).await?;
        let cookies = self.take_out(exchange, sent.kept.take(), sent.headers_mut()).await;
        self.deliver(exchange, site, sent, protected).map(|reply| Reply { cookies, ..reply })
    }

    /// Sends a request to the app, with all that it is to be told and nothing else.
    pub(crate) async fn send<'a>(
        &'a self,
        exchange: &'a Exchange,
        site: &'a Site,
        (head, body): (&mut Parts, RequestBody),
        passage: Passage,
    ) -> Result<Sent<'a>, Reject> {
        let Passage { permit: _permit, protected: _, resubmits } = passage;
        let browser_side = tunnel::take_upgrade(head);
        if resubmits {
            resubmit::unmark(head)?;
        }
        let left = left::line_of(&head.headers);
        let place = (site, &head.headers, exchange.uri.path());
        let mut kept = self.kept(exchange, &site.responses.cookies, place).await?;
        let warned = if exchange.outlives_session { None } else { warn::ask(exchange, site, head) };
        let handshake = self.rewrite_head(exchange, site, head, browser_side)?;
        // One line at most: `rewrite_head` has joined them.
        let carried = match &mut kept {
            Some(kept) => kept.put_in(exchange, &mut head.headers),
            None => head.headers.get(header::COOKIE).cloned(),
        };
        let client = self.apps.get(site.id).ok_or(Reject::Misdirected)?;
        let answer = match handshake {
            None => Answered::Plainly(client.send(head, body).await.map_err(Reject::App)?),
            Some(handshake) => match Box::pin(client.upgrade(head, body)).await.map_err(Reject::App)? {
                Upgraded::Switched(answer, app) => Answered::Switched(handshake, answer, Box::new(app)),
                Upgraded::Declined(answer) => Answered::Plainly(answer),
            },
        };
        Ok(Sent { answer, kept, carried, left, warned, ahead: Bytes::new() })
    }

    /// The app's answer as the browser gets it, but for cookies that are kept.
    pub(crate) fn deliver(
        &self,
        exchange: &Exchange,
        site: &Site,
        sent: Sent<'_>,
        protected: bool,
    ) -> Result<Reply, Reject> {
        let Sent { answer, carried, left, warned, ahead, .. } = sent;
        match answer {
            Answered::Plainly(response) => {
                let response = self.receive(exchange, site, response).map(|body| body.behind(ahead));
                let response = warn::add(exchange, site, warned.as_ref(), response);
                Ok(Reply { carried, left, ..Reply::app(response, protected) })
            }
            Answered::Switched(handshake, answer, app) => {
                let reply = self.tunnel(exchange, site, handshake, (answer, *app))?;
                Ok(Reply { left, ..reply })
            }
        }
    }

    /// The request's body, which goes on to the app as long as its session lives.
    pub(crate) async fn upload(
        &self,
        exchange: &Exchange,
        site: &Site,
        body: Incoming,
    ) -> Result<RequestBody, RequestBodyError> {
        let body = RequestBody::new(body, site.body_limit, self.shared.body_patience)?.settled().await?;
        Ok(match self.bond(exchange, site) {
            Some(bond) if !body.is_empty() => body.until(async move {
                bond.end().await;
            }),
            Some(_) | None => body,
        })
    }

    /// What lives as long as this request's session, and no longer.
    pub(crate) fn bond(&self, exchange: &Exchange, site: &Site) -> Option<Bond> {
        let session = exchange.session().filter(|_| !exchange.outlives_session)?;
        let limits = self.shared.sessions.limits_of(session, &site.lifetime);
        Some(Bond::new(Arc::clone(session), limits, self.shared.clock.clone()))
    }

    /// Tells the audit log if one of the fields `names` claims to say who somebody is: once for a request.
    pub(crate) fn note_forged<'a>(
        &self,
        exchange: &Exchange,
        site: &Site,
        mut names: impl Iterator<Item = &'a HeaderName>,
    ) {
        if let Some(name) = names.find(|name| site.identity.tells(name)) {
            exchange.record(&self.shared.audit, &Event::IdentityHeaderStripped { name: name.as_str() });
        }
    }

    /// The head as the app gets it: nothing forged, nothing of the last hop, our own fields set last. Tells whether
    /// it is a WebSocket handshake: only if the connection can be taken over, so not with a body.
    pub(crate) fn rewrite_head(
        &self,
        exchange: &Exchange,
        site: &Site,
        head: &mut Parts,
        browser_side: Option<OnUpgrade>,
    ) -> Result<Option<Handshake>, Reject> {
        let arrived = exchange.arrived.as_ref().ok_or(Reject::BadHost)?;
        let key = head.headers.get(header::SEC_WEBSOCKET_KEY).cloned();
        let cleaned = hop::clean_request(&mut head.headers, &head.method, head.version);
        cookies::strip(&mut head.headers, &self.shared.reserved_cookies);
        let stripped = site.identity.stamp(&mut head.headers, exchange.values());
        self.note_forged(exchange, site, cleaned.taken.iter().chain(&stripped));
        head.headers.remove(header::EXPECT);
        match site.upstream.present_scheme {
            PresentScheme::Https => arrived.fields.apply(&mut head.headers),
            PresentScheme::Http => present_as_plain(exchange, &arrived.authority, &mut head.headers),
        }
        head.headers.insert(header::HOST, arrived.host.clone());
        head.uri = origin_form(&head.uri)?;
        let (true, Some(key), Some(browser)) = (cleaned.websocket, key, browser_side) else {
            return Ok(None);
        };
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        Ok(Some(Handshake { key, browser }))
    }

    fn receive(
        &self,
        exchange: &Exchange,
        site: &Site,
        response: Response<AnswerBody>,
    ) -> Response<ReplyBody> {
        let mut response = response.map(|body| ReplyBody::app(body, self.bond(exchange, site)));
        let headers = response.headers_mut();
        hop::clean_response(headers);
        if let Some(outward) = outward(exchange, site, headers) {
            headers.insert(header::LOCATION, outward);
        }
        response
    }
}

/// What can be asked of us, by who wanted to come no further than here.
fn options() -> Reply {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, ALLOWED);
    Reply::own(response)
}

/// For an app that takes itself to be on plain http: it is told so, and `Origin` and `Referer` agree with it.
fn present_as_plain(exchange: &Exchange, authority: &Authority, headers: &mut HeaderMap) {
    let (client, version) = (exchange.client, exchange.version);
    let arrival = Arrival { client, scheme: Scheme::Http, authority: authority.clone(), version };
    ForwardedFields::new(&arrival).apply(headers);
    location::inward(headers, authority);
}

/// Where a redirect should lead instead, if it would lead out of the gateway by mistake because the app believes
/// that it is on plain http, or on its own address.
pub(crate) fn outward(exchange: &Exchange, site: &Site, headers: &HeaderMap) -> Option<HeaderValue> {
    let (own, target) = (exchange.authority()?, headers.get(header::LOCATION)?);
    let apps = site.upstream.servers.iter().filter_map(Endpoint::authority);
    location::outward(target, own, exchange.scheme, apps)
}

/// The target as an app expects it, with the bytes of path and query as they came (RFC 9112 §3.2.1).
fn origin_form(uri: &Uri) -> Result<Uri, Reject> {
    if uri.authority().is_none() && uri.scheme().is_none() {
        return Ok(uri.clone());
    }
    let target = uri.path_and_query().cloned().ok_or(Reject::BadTarget)?;
    Ok(Uri::from(target))
}
