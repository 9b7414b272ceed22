//! The one way out: every answer, from app, page or refusal, is hardened, gets our cookie if it is to, and is logged.

use std::rc::Rc;

use cookie::Cookie;
use cookie::time::Duration as CookieAge;
use cookie::time::OffsetDateTime;
use http::HeaderMap;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::Version;
use http::header;

use crate::headers::cookies;
use crate::headers::harden;
use crate::headers::harden::Answer;
use crate::headers::harden::Hardened;
use crate::headers::harden::Hsts;
use crate::headers::harden::Privacy;
use crate::headers::left::Left;
use crate::login::SessionCookie;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reply::Reply;
use crate::pipeline::reply::ReplyBody;
use crate::pipeline::reply::Voice;
use crate::route::Mode;
use crate::route::Site;
use crate::session::SameSite;
use crate::session::id::SessionIdText;
use crate::session::lifetime;
use crate::session::lifetime::Verdict;
use crate::session::token::Token;
use crate::telemetry::audit::Event;
use crate::telemetry::log::AccessLine;

/// A finished answer. Only `finish` makes one, and the server's handler accepts nothing else.
#[derive(Debug)]
pub struct Finished(Response<ReplyBody>);

impl Finished {
    /// The answer as it goes out.
    pub fn into_response(self) -> Response<ReplyBody> {
        self.0
    }
}

impl Gateway {
    /// Finishes an answer.
    pub(crate) fn finish(self: &Rc<Self>, exchange: Exchange, mut reply: Reply) -> Finished {
        self.harden(&exchange, &mut reply);
        let offered = exchange.next_id.as_ref().filter(|_| is_kept(&reply)).cloned();
        let Reply { mut response, session, cookies, .. } = reply;
        // Whoever comes to the login's own host comes from another: with `Strict` they would never be known there.
        let same_site = if self.is_at_login_host(&exchange) { SameSite::Lax } else { self.shared.same_site };
        let cookie = Style { name: self.shared.cookie_name, same_site };
        let ours = match &session {
            SessionCookie::Keep => offered.and_then(|token| cookie.issue(&token)),
            SessionCookie::Set(token) => cookie.issue(token),
            SessionCookie::Clear => cookie.clear(),
        };
        set_cookies(response.headers_mut(), ours.into_iter().chain(cookies));
        if exchange.upgrade
            && exchange.version < Version::HTTP_2
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            // What follows a handshake that failed may be meant as frames: it must not be read as a request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let account = Account::open(self, exchange, response.status());
        Finished(response.map(|body| body.accounted(Box::new(account))))
    }

    fn harden(&self, exchange: &Exchange, reply: &mut Reply) {
        let transport = exchange.transport;
        let status = reply.response.status();
        let headers = reply.response.headers_mut();
        if reply.voice == Voice::Script {
            let site = exchange.site.as_ref();
            return harden::own_script(
                headers,
                site.map_or(&Hsts::Off, |site| &site.responses.hsts),
                transport,
            );
        }
        let (Some(site), Some(authority)) = (&exchange.site, exchange.authority()) else {
            // Nobody knows whether the site that was meant promises anything. The login's own host promises what sites
            // do where nothing else is said.
            let hsts = if self.is_at_login_host(exchange) { Hsts::Auto } else { Hsts::Off };
            return harden::own_page(headers, &hsts, transport);
        };
        let privacy = match reply.voice {
            Voice::Own | Voice::Script => {
                return harden::own_page(headers, &site.responses.hsts, transport);
            }
            Voice::App { protected: true } => Privacy::Protected,
            Voice::App { protected: false } if exchange.session().is_some() => Privacy::Personal,
            Voice::App { protected: false } => Privacy::Public,
        };
        if site.mode == Mode::Enforce
            && site.responses.cookies.touch_any()
            && headers.contains_key(header::SET_COOKIE)
            && !matches!(reply.session, SessionCookie::Set(_))
            && self.has_left(exchange, site)
        {
            headers.remove(header::SET_COOKIE);
        }
        let reserved = &self.shared.reserved_cookies;
        let mut first = std::mem::take(&mut reply.expired);
        let answer = Answer { now: exchange.now, status, transport, privacy, authority, reserved };
        let changed = match site.mode {
            Mode::Enforce => harden::harden(headers, &site.responses, &answer),
            Mode::Observe => harden::protect_ours(headers, &answer),
        };
        if site.mode == Mode::Enforce && headers.contains_key(header::SET_COOKIE) {
            // Where what was left before goes, the list begins anew.
            let brought = reply.left.iter().filter(|_| first.is_empty());
            let brought = brought.map(|line| (header::COOKIE, line.clone()));
            let mut left = Left::of(&brought.collect());
            let is_new = left.note(headers, exchange.uri.path());
            reply.cookies.extend(is_new.then(|| left.to_set()).flatten());
        }
        if changed.site_data {
            first.extend(cookies::expire_all(&reply.carried, reserved));
        }
        if !first.is_empty() {
            // First, so that what this very answer sets stays.
            prepend(headers, first);
        }
        self.tell_hardened(exchange, site, &changed);
    }

    /// Tells the audit log what hardening has found.
    fn tell_hardened(&self, exchange: &Exchange, site: &Site, changed: &Hardened) {
        for (name, what) in &changed.cookies.left_open {
            if self.shared.told_cookies.is_first(site.id, name, what.as_str()) {
                let (name, reason) = (String::from_utf8_lossy(name), what.as_str());
                exchange.record(&self.shared.audit, &Event::AppCookieLeft { name: &name, reason });
            }
        }
        if changed.cookies.reserved > 0 || changed.site_data {
            exchange.record(
                &self.shared.audit,
                &Event::SessionCookieRejected { reason: "the app tried to set it" },
            );
        }
    }

    /// Whether the session this was asked in has ended meanwhile. What the app tells its browser to keep comes too late
    /// then: the browser may be the next person's, and nothing would take it away again.
    fn has_left(&self, exchange: &Exchange, site: &Site) -> bool {
        exchange.session().is_some_and(|session| {
            let verdict = || lifetime::verdict(&session.times(), &site.lifetime, self.shared.clock.now());
            session.why_ended().is_some() || verdict() != Verdict::Active
        })
    }

    fn is_at_login_host(&self, exchange: &Exchange) -> bool {
        let host = self.shared.login_host.as_ref().map(|login| &login.host);
        host.is_some() && host == exchange.authority().map(|authority| &authority.host)
    }
}

fn set_cookies(headers: &mut HeaderMap, lines: impl Iterator<Item = HeaderValue>) {
    for line in lines {
        headers.append(header::SET_COOKIE, line);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Puts `Set-Cookie` lines before those that are there.
fn prepend(headers: &mut HeaderMap, first: Vec<HeaderValue>) {
    let after: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for line in first.into_iter().chain(after) {
        headers.append(header::SET_COOKIE, line);
    }
}

/// Whether the browser is sure to keep a cookie that comes with this answer, and nobody else is: neither a cache nor a
/// WebSocket's handshake, nor an error of our own that may repeat itself (RENEW-8).
fn is_kept(reply: &Reply) -> bool {
    let response = &reply.response;
    let status = response.status();
    let passed = status.is_success() || status.is_redirection() || reply.voice != Voice::Own;
    let private = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        value.contains("no-store") || value.contains("private")
    };
    let mut caching = response.headers().get_all(header::CACHE_CONTROL).iter();
    passed && status != StatusCode::SWITCHING_PROTOCOLS && caching.any(private)
}

/// How the session cookie is written.
struct Style {
    name: &'static str,
    same_site: SameSite,
}

impl Style {
    fn issue(&self, token: &Token) -> Option<HeaderValue> {
        let value = token.encode();
        HeaderValue::try_from(self.cookie(value.expose()).to_string()).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        })
    }

    /// A deletion repeats every attribute: a browser refuses one that breaks the prefix's rules (COOKIE-8).
    fn clear(&self) -> Option<HeaderValue> {
        let mut cookie = self.cookie("");
        cookie.set_max_age(CookieAge::ZERO);
        cookie.set_expires(OffsetDateTime::UNIX_EPOCH);
        HeaderValue::try_from(cookie.to_string()).ok()
    }

    fn cookie<'a>(&self, value: &'a str) -> Cookie<'a> {
        let same_site = match self.same_site {
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::Strict => cookie::SameSite::Strict,
        };
        Cookie::build((self.name, value)).path("/").secure(true).http_only(true).same_site(same_site).build()
    }
}

/// What is owed to log and figures when an answer has been sent, or given up.
#[derive(Debug)]
pub(crate) struct Account {
    exchange: Exchange,
    status: StatusCode,
    bytes: u64,
    gateway: Rc<Gateway>,
}

impl Account {
    fn open(gateway: &Rc<Gateway>, exchange: Exchange, status: StatusCode) -> Self {
        Self { exchange, status, bytes: 0, gateway: Rc::clone(gateway) }
    }

    /// Counts bytes of the body as they go out.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let exchange = &self.exchange;
        let duration = exchange.started.elapsed();
        let site = exchange.site.as_ref().map(|site| site.id);
        self.gateway.metrics.request(site, self.status.as_u16(), duration);
        let access_log = &self.gateway.shared.access_log;
        if !access_log.is_on() {
            return;
        }
        let id = exchange.id.to_string();
        let reference = exchange.session().map(|session| session.reference());
        access_log.record(&AccessLine {
            now: exchange.now,
            client: exchange.client,
            host: exchange.authority().map_or("-", |authority| authority.host.as_str()),
            method: exchange.method.as_str(),
            path: exchange.target(),
            status: self.status.as_u16(),
            bytes: self.bytes,
            duration,
            user: exchange.session().map(|session| session.user().name.as_str()),
            session: reference.as_ref().map(SessionIdText::as_str),
            request_id: &id,
            protocol: protocol(exchange.version),
            site,
            reason: exchange.reason,
        });
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
