//! Admission: a request is read once and either understood without doubt or refused.

use std::rc::Rc;

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Version;
use http::header;
use http::request::Parts;

use crate::access::csrf;
use crate::access::path::AmbiguousPath;
use crate::access::path::CanonicalPath;
use crate::headers::cookies;
use crate::headers::forwarded;
use crate::headers::forwarded::Arrival;
use crate::headers::forwarded::ForwardedFields;
use crate::headers::harden::Transport;
use crate::login;
use crate::net::Authority;
use crate::net::Scheme;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reject::Reject;
use crate::pipeline::visitor::Arrived;
use crate::pipeline::visitor::Visitor;
use crate::route::Site;
use crate::server::Entrance;
use crate::telemetry::audit::Event;

impl Gateway {
    /// Lets a request in: its framing, method, host and path mean one thing only. The result is the path that rules
    /// are matched against; the app gets the bytes as they came.
    pub(crate) fn admit(
        &self,
        visitor: &Visitor,
        exchange: &mut Exchange,
        head: &Parts,
    ) -> Result<CanonicalPath, Reject> {
        if let Some(refusal) = exchange.refusal {
            return Err(Reject::Refused(refusal));
        }
        if cookies::fields(&head.headers) > self.shared.max_headers {
            return Err(Reject::TooManyHeaders);
        }
        if matches!(head.method, Method::TRACE | Method::CONNECT) {
            return Err(Reject::MethodNotAllowed);
        }
        let arrived = self.arrival(visitor, exchange, head)?;
        check_target(exchange, head)?;
        let host = &arrived.authority.host;
        let promised = visitor.peer.tls.as_ref().and_then(|tls| tls.sni.as_ref());
        if promised.is_some_and(|sni| sni != host) {
            return Err(Reject::Misdirected);
        }
        exchange.arrived = Some(arrived);
        if visitor.peer.entrance == Entrance::Redirect {
            return Err(self.to_https(visitor, exchange));
        }
        if forwarded::loops(&head.headers) {
            return Err(Reject::Loop);
        }
        let path = CanonicalPath::parse(head.uri.path()).map_err(Reject::AmbiguousPath)?;
        if path.is_never_served() {
            return Err(Reject::NotFound);
        }
        Ok(path)
    }

    /// Finds the site, by host and then by path.
    pub(crate) fn route(&self, exchange: &mut Exchange, path: &CanonicalPath) -> Result<Rc<Site>, Reject> {
        let host = &exchange.authority().ok_or(Reject::Misdirected)?.host;
        let site = match self.routes.find(host, path) {
            Some(site) if self.routes.is_between_sites(host, path, site) => {
                return Err(Reject::AmbiguousPath(AmbiguousPath::BetweenSites));
            }
            Some(site) => Rc::clone(site),
            None if self.routes.knows(host) => return Err(self.no_site(exchange, path)),
            None => return Err(Reject::Misdirected),
        };
        exchange.site = Some(Rc::clone(&site));
        Ok(site)
    }

    /// Our own pages send people to `/`: where nothing is mounted there, they begin at the first site with a login, or at
    /// the login itself.
    fn no_site(&self, exchange: &Exchange, path: &CanonicalPath) -> Reject {
        let desk = exchange.authority().and_then(|authority| self.routes.desk(&authority.host));
        match desk {
            Some(desk) if path.as_str() == "/" && csrf::is_safe(&exchange.method) => {
                let front = desk.site.as_ref().map(|site| site.mount.clone());
                Reject::ToSite(front.unwrap_or_else(|| format!("{}login", login::PREFIX)))
            }
            Some(_) | None => Reject::NotFound,
        }
    }

    fn arrival(
        &self,
        visitor: &Visitor,
        exchange: &mut Exchange,
        head: &Parts,
    ) -> Result<Rc<Arrived>, Reject> {
        let written = written_authority(head)?;
        if let Some(arrived) = visitor.arrived(written) {
            return Ok(arrived);
        }
        let mut authority = Authority::parse(written).ok_or(Reject::BadHost)?;
        if visitor.peer.entrance == Entrance::Http {
            authority = self.behind_terminator(visitor, exchange, &head.headers, authority)?;
        }
        let arrival = Arrival {
            client: exchange.client,
            scheme: exchange.scheme,
            authority: authority.clone(),
            version: head.version,
        };
        let host = HeaderValue::try_from(authority.to_string()).map_err(|_impossible| Reject::BadHost)?;
        let arrived = Rc::new(Arrived { authority, host, fields: ForwardedFields::new(&arrival) });
        visitor.remember_arrived(written, &arrived);
        Ok(arrived)
    }

    /// Plain HTTP is served only for a listed terminator that says the browser came in by https. The terminator is who
    /// opened the socket, whomever its PROXY header names.
    fn behind_terminator(
        &self,
        visitor: &Visitor,
        exchange: &mut Exchange,
        headers: &HeaderMap,
        own: Authority,
    ) -> Result<Authority, Reject> {
        let (peer, trusted) = (visitor.peer.socket, &self.shared.trusted_proxies);
        if !trusted.contains(peer.0.ip()) {
            return Err(Reject::UntrustedTerminator);
        }
        exchange.scheme = forwarded::scheme(peer, headers, trusted);
        if exchange.scheme == Scheme::Http {
            exchange.record(
                &self.shared.audit,
                &Event::InputRejected { reason: "the terminator did not say https" },
            );
            return Err(Reject::PlainHttp);
        }
        let authority = forwarded::authority(peer, headers, trusted).unwrap_or(own);
        let public = authority.port.is_none_or(|port| port == Scheme::Https.default_port());
        exchange.transport = if public { Transport::PublicTls } else { Transport::Tls };
        Ok(authority)
    }

    fn to_https(&self, visitor: &Visitor, exchange: &Exchange) -> Reject {
        let Some(authority) = exchange.authority() else { return Reject::BadHost };
        let safe = matches!(exchange.method, Method::GET | Method::HEAD);
        if !safe || !self.routes.knows(&authority.host) {
            return Reject::PlainHttp;
        }
        // A browser that came to another port than ours came through a mapping of ports. Ours mean nothing there, and
        // whoever maps 80 maps 443.
        let reached = authority.port.unwrap_or_else(|| Scheme::Http.default_port());
        let mapped = reached != visitor.peer.local.port();
        let port = if mapped { Scheme::Https.default_port() } else { self.shared.https_port };
        let secure = Authority { host: authority.host.clone(), port: Some(port) };
        Reject::ToHttps(format!("{}{}", secure.origin(Scheme::Https), exchange.target()))
    }
}

/// The one authority a request names: in its target, in `Host`, or the same in both (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn written_authority(head: &Parts) -> Result<&str, Reject> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (host, None) => host.map(|host| host.to_str().map_err(|_opaque| Reject::BadHost)).transpose()?,
        (_, Some(_second)) => return Err(Reject::BadHost),
    };
    match (head.uri.authority().map(http::uri::Authority::as_str), host) {
        (Some(target), Some(host)) if target.eq_ignore_ascii_case(host) => Ok(host),
        (Some(target), None) if head.version == Version::HTTP_2 => Ok(target),
        (None, Some(host)) => Ok(host),
        (Some(_), _) | (None, None) => Err(Reject::BadHost),
    }
}

/// Origin-form, or absolute-form of our own scheme: no `*`, no bare authority.
fn check_target(exchange: &Exchange, head: &Parts) -> Result<(), Reject> {
    let scheme_fits = head.uri.scheme_str().is_none_or(|scheme| scheme == exchange.scheme.as_str());
    if head.uri.path().starts_with('/') && scheme_fits { Ok(()) } else { Err(Reject::BadTarget) }
}
