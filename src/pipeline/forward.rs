//! Passing a permitted request on to its app, and the app's answer back.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Request;
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
use crate::pipeline::refuse::ALLOWED;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Bond;
use crate::pipeline::reply::Reply;
use crate::pipeline::reply::ReplyBody;
use crate::pipeline::resubmit;
use crate::pipeline::tunnel;
use crate::pipeline::tunnel::Handshake;
use crate::pipeline::warn;
use crate::route::Site;
use crate::telemetry::audit::Event;
use crate::upstream::AnswerBody;
use crate::upstream::Endpoint;
use crate::upstream::PresentScheme;
use crate::upstream::Upgraded;

impl Gateway {
    /// The only way to an app. Takes the gate's [`Passage`] by value: without a decision there is none.
    pub(crate) async fn forward(
        &self,
        exchange: &Exchange,
        site: &Site,
        (mut head, body): (Parts, Incoming),
        passage: Passage,
    ) -> Result<Reply, Reject> {
        let Passage { permit: _permit, protected, resubmits } = passage;
        if max_forwards::ends_here(&mut head.headers, &head.method) {
            return Ok(options());
        }
        let browser_side = tunnel::take_upgrade(&mut head);
        if resubmits {
            resubmit::unmark(&mut head)?;
        }
        let left = left::line_of(&head.headers);
        let mut kept = self.kept(exchange, &site.responses.cookies, (site, &head)).await?;
        let warned = warn::ask(exchange, site, &mut head);
        let handshake = self.rewrite_head(exchange, site, &mut head, browser_side)?;
        // One line at most: `rewrite_head` has joined them.
        let carried = match &mut kept {
            Some(kept) => kept.put_in(exchange, &mut head.headers),
            None => head.headers.get(header::COOKIE).cloned(),
        };
        let client = self.apps.get(site.id).ok_or(Reject::Misdirected)?;
        let body = self.upload(exchange, site, body).await.map_err(|error| Reject::App(error.into()))?;
        let request = Request::from_parts(head, body);
        let mut response = match handshake {
            None => client.send(request).await.map_err(Reject::App)?,
            Some(handshake) => match client.upgrade(request).await.map_err(Reject::App)? {
                Upgraded::Switched(mut answer, app) => {
                    let cookies = self.take_out(exchange, kept, answer.headers_mut()).await;
                    let reply = self.tunnel(exchange, site, handshake, (answer, app))?;
                    return Ok(Reply { cookies, left, ..reply });
                }
                Upgraded::Declined(answer) => answer,
            },
        };
        let cookies = self.take_out(exchange, kept, response.headers_mut()).await;
        let response = self.receive(exchange, site, response);
        let response = warn::add(exchange, site, warned.as_ref(), response);
        let reply = Reply::app(response, protected);
        Ok(Reply { cookies, carried, left, ..reply })
    }

    /// The request's body, which goes on to the app as long as its session lives.
    async fn upload(
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
        let session = exchange.session()?;
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
    fn rewrite_head(
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
fn outward(exchange: &Exchange, site: &Site, headers: &HeaderMap) -> Option<HeaderValue> {
    let (own, target) = (exchange.authority()?, headers.get(header::LOCATION)?);
    let app = site.upstream.servers.first().and_then(Endpoint::authority);
    location::outward(target, own, exchange.scheme, app)
}

/// The target as an app expects it, with the bytes of path and query as they came (RFC 9112 §3.2.1).
fn origin_form(uri: &Uri) -> Result<Uri, Reject> {
    if uri.authority().is_none() && uri.scheme().is_none() {
        return Ok(uri.clone());
    }
    let target = uri.path_and_query().cloned().ok_or(Reject::BadTarget)?;
    Ok(Uri::from(target))
}
