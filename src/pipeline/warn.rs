//! The script that warns of a session's end, in the pages that a person opens while one lives, where the site asks for it.
//!
//! What the app is asked for and what it answers is looked at here; the rules are pure (`headers::appended`,
//! `headers::csp`), and the page is never held back (`body::appended`).

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Response;
use http::StatusCode;
use http::header;
use http::request::Parts;

use crate::access::csrf;
use crate::headers::appended;
use crate::headers::csp;
use crate::headers::csp::Admitted;
use crate::headers::csp::Needs;
use crate::headers::csp::Nonces;
use crate::net::Scheme;
use crate::pages::warning;
use crate::pages::warning::Before;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reply::Reply;
use crate::pipeline::reply::ReplyBody;
use crate::pipeline::reply::Voice;
use crate::route::Site;

/// What was asked for a page that is to warn.
pub(crate) struct Warned {
    before: Before,
    mark: String,
    /// Whether the browser has such a page already, and the app is asked whether it is still good.
    revalidates: bool,
}

/// Prepares a request whose answer may be a page that is to warn; nothing if it cannot be.
pub(crate) fn ask(exchange: &Exchange, site: &Site, head: &mut Parts) -> Option<Warned> {
    let before = site.warning?;
    exchange.session()?;
    if exchange.scheme != Scheme::Https || !csrf::is_document(&head.headers, &head.method) {
        return None;
    }
    let mark = warning::mark(before);
    let revalidates = appended::ask(&mut head.headers, &mark);
    Some(Warned { before, mark, revalidates })
}

/// The same answer, with the line that loads the script after it where it is a page that takes it.
pub(crate) fn add(
    exchange: &Exchange,
    site: &Site,
    warned: Option<&Warned>,
    mut response: Response<ReplyBody>,
) -> Response<ReplyBody> {
    if site.warning.is_none() || exchange.session().is_none() {
        return response;
    }
    let status = response.status();
    let still_good = status == StatusCode::NOT_MODIFIED && warned.is_some_and(|warned| warned.revalidates);
    if still_good || appended::is_html(response.headers()) {
        // What a script fetches from the same address is another page.
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Sec-Fetch-Dest"));
    }
    let Some(warned) = warned.filter(|_| still_good || appended::takes(status, response.headers())) else {
        return response;
    };
    let Some(addresses) = Addresses::of(exchange) else { return response };
    if still_good {
        let headers = response.headers_mut();
        // It is that of the shorter page, if it is there at all (RFC 9110 §8.6).
        headers.remove(header::CONTENT_LENGTH);
        // The browser has the line already, as it was written then.
        let _admitted = addresses.admit(headers, Nonces::Past);
        if headers.contains_key(header::ETAG) {
            appended::mark_tag(headers, &warned.mark);
        }
        return response;
    }
    let Some(admitted) = addresses.admit(response.headers_mut(), Nonces::Fresh) else { return response };
    let line = warning::line(warned.before, &addresses.script, admitted.nonce.as_deref(), admitted.hash);
    let mark = admitted.nonce.is_none().then_some(warned.mark.as_str());
    appended::lengthen(response.headers_mut(), line.len(), mark);
    if exchange.method == Method::HEAD {
        return response;
    }
    response.map(|body| body.with_tail(line))
}

/// Where the script is and what it asks, as the browser knows it.
struct Addresses {
    script: String,
    asks: [String; 2],
}

impl Addresses {
    fn of(exchange: &Exchange) -> Option<Self> {
        let authority = exchange.authority()?;
        let at = |path: &str| format!("https://{authority}{path}");
        Some(Self { script: at(warning::SCRIPT), asks: warning::ASKS.map(at) })
    }

    /// Widens the policies of an answer for the script; nothing if the page may run none.
    fn admit(&self, headers: &mut HeaderMap, nonces: Nonces) -> Option<Admitted> {
        let [one, other] = &self.asks;
        let needs = Needs { script: &self.script, hash: warning::hash(), asks: [one, other] };
        csp::admit(headers, &needs, nonces)
    }
}

/// The script itself, for whoever asks.
pub(crate) fn script(head: &Parts) -> Reply {
    let response = warning::answer(&head.method, head.uri.query(), &head.headers);
    Reply { voice: Voice::Script, ..Reply::own(response) }
}
