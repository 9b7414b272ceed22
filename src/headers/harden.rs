//! What the app sends, made safe for the browser.
//!
//! Runs on every answer, so the usual one costs a few removals and insertions of constants and no allocation. It never
//! weakens what an app says more strictly itself, and never touches a body.

use std::sync::Arc;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::header::CONTENT_SECURITY_POLICY;
use http::header::CONTENT_TYPE;
use http::header::EXPIRES;
use http::header::REFERRER_POLICY;
use http::header::SERVER;
use http::header::STRICT_TRANSPORT_SECURITY;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::header::X_FRAME_OPTIONS;

use crate::clock::Timestamp;
use crate::headers::app_cookies::AppCookies;
use crate::headers::app_cookies::Keeping;
use crate::headers::set_cookie;
pub use crate::headers::set_cookie::CookieReport;
pub use crate::headers::set_cookie::LeftOpen;
pub(crate) use crate::headers::set_cookie::is_token_for_scripts;
use crate::net::Authority;

/// The field that asks a browser to throw things away.
pub const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const X_POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const PRIVATE: HeaderValue = HeaderValue::from_static("private");
/// One day: a mistake in the roll-out heals by itself.
const HSTS_AUTO: HeaderValue = HeaderValue::from_static("max-age=86400");
const HSTS_AUTO_SECS: u64 = 86_400;

/// `Strict-Transport-Security` (RFC 6797) of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hsts {
    /// One day, and only where the browser came in on port 443 with a certificate that is not our own development one.
    Auto,
    /// Never sent; the app's own is removed.
    Off,
    /// Sent as it stands on every https answer.
    Always(HeaderValue),
}

/// What caches may keep of a protected answer (RFC 9111 §5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// Pages and data the app says nothing about are `no-store`, other types `private`; `public` becomes `private`.
    NoStore,
    /// What the app says nothing about is `private`; `public` becomes `private`.
    Private,
    /// The app decides.
    App,
}

/// What a browser can be asked to throw away (W3C Clear Site Data §3.1). Not cookies: that would take those of all the
/// neighbours below the same registrable domain with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteData {
    /// What it cached of the site. Some browsers take long over it.
    Cache,
    /// Local storage, databases, service workers: drafts of the user's included.
    Storage,
}

impl SiteData {
    /// The value of `Clear-Site-Data` that asks for `all` of these; nothing if there are none.
    pub fn header(all: &[Self]) -> Option<HeaderValue> {
        match (all.contains(&Self::Cache), all.contains(&Self::Storage)) {
            (true, true) => Some(HeaderValue::from_static(r#""cache", "storage""#)),
            (true, false) => Some(HeaderValue::from_static(r#""cache""#)),
            (false, true) => Some(HeaderValue::from_static(r#""storage""#)),
            (false, false) => None,
        }
    }
}

/// How a site's answers are hardened.
#[derive(Clone, Debug)]
pub struct ResponsePolicy {
    /// Transport security.
    pub hsts: Hsts,
    /// The sources of `frame-ancestors`, such as `'self'`; nothing leaves framing to the app.
    pub frame_ancestors: Option<String>,
    /// Caching of protected answers.
    pub cache: CachePolicy,
    /// The app's own cookies.
    pub cookies: Arc<AppCookies>,
    /// What browsers are asked to throw away at logout.
    pub clear_at_logout: Vec<SiteData>,
}

/// How far an answer may spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Anybody may get it, logged in or not.
    Public,
    /// Anybody may get one like it, but for this one the app was told who asks.
    Personal,
    /// It was made for somebody who is logged in, or refuses somebody who is not.
    Protected,
}

/// How the browser reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain HTTP.
    Plain,
    /// https, on an unusual port or with our own development certificate: to promise more than today would lock out.
    Tls,
    /// https on port 443 with a certificate of the operator's.
    PublicTls,
}

impl Transport {
    /// Whether it is https.
    pub fn is_secure(self) -> bool {
        self != Self::Plain
    }
}

/// What hardening must know about an answer and its request.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The present.
    pub now: Timestamp,
    /// The answer's status.
    pub status: StatusCode,
    /// How the browser reached us.
    pub transport: Transport,
    /// How far the answer may spread.
    pub privacy: Privacy,
    /// Our own host and port.
    pub authority: &'a Authority,
    /// The names of our own cookies.
    pub reserved: &'a [&'a str],
}

/// What hardening changed that somebody may want to know of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardened {
    /// The app's cookies.
    pub cookies: CookieReport,
    /// Whether `Clear-Site-Data` would have cleared our session.
    pub site_data: bool,
    /// Whether the app offered a protected answer to shared caches.
    pub shared: bool,
}

/// Makes an app's answer safe.
pub fn harden(headers: &mut HeaderMap, policy: &ResponsePolicy, answer: &Answer<'_>) -> Hardened {
    remove_internal(headers);
    let cookies = set_cookie::harden(headers, &policy.cookies, answer);
    let site_data = keep_our_site_data(headers);
    transport_security(headers, &policy.hsts, answer.transport);
    if let Some(sources) = &policy.frame_ancestors {
        restrict_framing(headers, sources);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(REFERRER_POLICY) {
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin"));
    }
    if answer.privacy == Privacy::Protected && !headers.contains_key(CORP) {
        headers.insert(CORP, SAME_ORIGIN);
    }
    let shared = restrict_caching(headers, policy.cache, answer);
    Hardened { cookies, site_data, shared }
}

/// Takes out of an app's answer what would touch our own session, and nothing else: for a site that is only observed.
pub fn protect_ours(headers: &mut HeaderMap, answer: &Answer<'_>) -> Hardened {
    let cookies = set_cookie::harden(headers, &AppCookies::all(Keeping::Pass), answer);
    Hardened { cookies, site_data: keep_our_site_data(headers), shared: false }
}

/// [`harden`] for the gateway's own answers, which are never cached and never framed (WEB-8 to WEB-15). A page's own
/// content security policy stays.
pub fn own_page(headers: &mut HeaderMap, hsts: &Hsts, transport: Transport) {
    transport_security(headers, hsts, transport);
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(CONTENT_SECURITY_POLICY, nothing);
    }
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(REFERRER_POLICY) {
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin"));
    }
    if !headers.contains_key(COOP) {
        headers.insert(COOP, HeaderValue::from_static("same-origin-allow-popups"));
    }
    headers.insert(CORP, SAME_ORIGIN);
    headers.insert(CACHE_CONTROL, NO_STORE);
}

/// [`harden`] for a script of ours that the app's pages load: it is the same for everybody, and says itself how long it is
/// kept.
pub fn own_script(headers: &mut HeaderMap, hsts: &Hsts, transport: Transport) {
    transport_security(headers, hsts, transport);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CORP, SAME_ORIGIN);
}

/// Parts a page of ours for good from a page of the app's that opened its window. With `same-origin` a page of the same
/// origin keeps a hold on it by saying `same-origin` too; what parts these as well is known to Chromium since 131, and
/// whoever does not know it would not part any, so it is said to none but those.
pub fn part_from_opener(headers: &mut HeaderMap, user_agent: Option<&HeaderValue>) {
    let agent = user_agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let version =
        agent.split_once("Chrome/").and_then(|(_, rest)| rest.split('.').next()?.parse::<u32>().ok());
    if version.is_some_and(|version| version >= 131) && headers.get(COOP) == Some(&SAME_ORIGIN) {
        headers.insert(COOP, HeaderValue::from_static("noopener-allow-popups"));
    }
}

/// Takes out what tells an attacker what runs here, and orders to a proxy that we are not (attacks M07).
fn remove_internal(headers: &mut HeaderMap) {
    const FAMILIES: [&str; 6] = ["aspnet", "accel-", "sendfile", "lighttpd-send", "litespeed-", "reproxy-"];
    const NAMES: [&str; 5] = ["runtime", "generator", "version", "powered-by-plesk", "powered-cms"];
    headers.remove(SERVER);
    headers.remove(X_POWERED_BY);
    let internal = |name: &&HeaderName| {
        name.as_str().strip_prefix("x-").is_some_and(|rest| {
            NAMES.contains(&rest) || FAMILIES.iter().any(|family| rest.starts_with(family))
        })
    };
    let names: Vec<HeaderName> = headers.keys().filter(internal).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Takes the words out of `Clear-Site-Data` that would end our session without us (COOKIE-14). Of "everything" there
/// is left what can be had without the cookies. Tells whether there was such a word: the app's own cookies are then to
/// be expired one by one.
fn keep_our_site_data(headers: &mut HeaderMap) -> bool {
    if !headers.contains_key(CLEAR_SITE_DATA) {
        return false;
    }
    let words: Vec<&[u8]> = site_data(headers).collect();
    let kept: Vec<&[u8]> = words.iter().filter(|word| !means_cookies(word)).copied().collect();
    if kept.len() == words.len() {
        return false;
    }
    if words.iter().any(|word| word.trim_ascii() == b"\"*\"" || *word == b"*") {
        let rest = SiteData::header(&[SiteData::Cache, SiteData::Storage]);
        rest.map(|rest| headers.insert(CLEAR_SITE_DATA, rest));
        return true;
    }
    match HeaderValue::from_bytes(&kept.join(&b", "[..])) {
        Ok(line) if !kept.is_empty() => headers.insert(CLEAR_SITE_DATA, line),
        Ok(_) | Err(_) => headers.remove(CLEAR_SITE_DATA),
    };
    true
}

/// Whether an answer asks for the site's cookies to be thrown away.
pub fn clears_cookies(headers: &HeaderMap) -> bool {
    headers.contains_key(CLEAR_SITE_DATA) && site_data(headers).any(means_cookies)
}

fn site_data(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(CLEAR_SITE_DATA).iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn means_cookies(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"\"").unwrap_or(word);
    let word = word.strip_suffix(b"\"").unwrap_or(word);
    word == b"*" || word.eq_ignore_ascii_case(b"cookies")
}

/// `Strict-Transport-Security` once on https, never on http (RFC 6797 §7; TLS-7).
fn transport_security(headers: &mut HeaderMap, hsts: &Hsts, transport: Transport) {
    let value = match hsts {
        Hsts::Always(value) if transport.is_secure() => Some(value.clone()),
        Hsts::Auto if transport == Transport::PublicTls => {
            // An app that promises more keeps its word.
            Some(longer_hsts(headers).unwrap_or(HSTS_AUTO))
        }
        Hsts::Always(_) | Hsts::Auto | Hsts::Off => None,
    };
    match value {
        Some(value) => headers.insert(STRICT_TRANSPORT_SECURITY, value),
        None => headers.remove(STRICT_TRANSPORT_SECURITY),
    };
}

/// The app's own promise, if it is for longer than ours.
fn longer_hsts(headers: &HeaderMap) -> Option<HeaderValue> {
    let line = headers.get(STRICT_TRANSPORT_SECURITY)?;
    let mut directives = line.to_str().ok()?.split(';').map(str::trim);
    let seconds = directives.find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("max-age").then(|| value.parse::<u64>().ok())?
    });
    (seconds? > HSTS_AUTO_SECS).then(|| line.clone())
}

/// Says who may frame the answer, as one more policy beside the app's own (policies add up, WEB-8). An app that says
/// so itself is left alone; one that only forbids framing in the old field keeps that.
fn restrict_framing(headers: &mut HeaderMap, sources: &str) {
    let mut policies = headers.get_all(CONTENT_SECURITY_POLICY).iter();
    if policies.any(|policy| has_frame_ancestors(policy.as_bytes())) {
        return;
    }
    let denied =
        headers.get(X_FRAME_OPTIONS).is_some_and(|line| line.as_bytes().eq_ignore_ascii_case(b"deny"));
    let (policy, option) = match sources {
        "'none'" => ("frame-ancestors 'none'", Some("DENY")),
        "'self'" if denied => ("frame-ancestors 'none'", Some("DENY")),
        "'self'" => ("frame-ancestors 'self'", Some("SAMEORIGIN")),
        _ => ("", None),
    };
    let policy = match option {
        Some(_) => Ok(HeaderValue::from_static(policy)),
        None => HeaderValue::from_str(&format!("frame-ancestors {sources}")),
    };
    if let Ok(policy) = policy {
        headers.append(CONTENT_SECURITY_POLICY, policy);
    }
    match option {
        Some(option) => headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static(option)),
        // The old field knows no list.
        None => headers.remove(X_FRAME_OPTIONS),
    };
}

fn has_frame_ancestors(policies: &[u8]) -> bool {
    let mut directives = policies.split(|byte| matches!(byte, b';' | b','));
    directives.any(|directive| {
        let name = directive.trim_ascii().split(u8::is_ascii_whitespace).next();
        name.is_some_and(|name| name.eq_ignore_ascii_case(b"frame-ancestors"))
    })
}

/// Keeps what was made for one person out of shared caches, which know no cookies (RFC 9111 §3.5; WEB-16). Tells
/// whether the app had offered it to them.
fn restrict_caching(headers: &mut HeaderMap, cache: CachePolicy, answer: &Answer<'_>) -> bool {
    match answer.privacy {
        Privacy::Public => return false,
        Privacy::Personal | Privacy::Protected if cache == CachePolicy::App => return false,
        Privacy::Personal | Privacy::Protected => {}
    }
    headers.remove(SURROGATE_CONTROL);
    headers.remove(CDN_CACHE_CONTROL);
    if !headers.contains_key(CACHE_CONTROL) {
        // A 304 says nothing about its type, and nothing new about what the browser has.
        let told = headers.contains_key(EXPIRES) || answer.status == StatusCode::NOT_MODIFIED;
        let page = cache == CachePolicy::NoStore && !told && is_page(headers);
        headers.insert(CACHE_CONTROL, if page { NO_STORE } else { PRIVATE });
        return false;
    }
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let directives: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let says = |name: &str| directives.iter().any(|directive| directive.eq_ignore_ascii_case(name));
    if says("private") || says("no-store") {
        return false;
    }
    let shared = |directive: &&&str| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        ["public", "s-maxage", "proxy-revalidate"].iter().any(|word| name.eq_ignore_ascii_case(word))
    };
    let offered = directives.iter().any(|directive| shared(&directive));
    let kept = directives.iter().filter(|directive| !shared(directive) && !directive.is_empty());
    let line = kept.fold(String::from("private"), |line, directive| line + ", " + directive);
    let line = HeaderValue::try_from(line).unwrap_or(PRIVATE);
    headers.insert(CACHE_CONTROL, line);
    offered
}

/// Whether the content is a page or data, which changes and shows who is logged in.
fn is_page(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let ends = |tail: &[u8]| {
        let start = kind.len().checked_sub(tail.len());
        start.and_then(|start| kind.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(tail))
    };
    // `text/html`, `application/xhtml+xml`, `application/json`, `application/problem+json` …
    ends(b"/html") || ends(b"/xhtml+xml") || ends(b"/json") || ends(b"+json")
}

#[cfg(test)]
mod tests;
