//! Requests that another site made the browser send, and how a page load is told from a script's call.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::header::ACCEPT;
use http::header::ORIGIN;
use http::header::REFERER;

use crate::net::Authority;
use crate::net::Scheme;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// What a site does about unsafe requests and WebSocket handshakes that come from another origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Csrf {
    /// They are refused.
    SameOrigin,
    /// They pass and are logged.
    Report,
    /// They pass.
    Off,
}

/// Whose page made the browser send a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// One of our own origin, nobody's (typed, bookmarked), or no browser at all.
    Own,
    /// Another's, and what gave it away.
    Foreign(&'static str),
}

/// Tells whose page made the browser send a request to `own` under `scheme` (ASVS 3.5.1; Fetch Metadata §2.3).
///
/// `Sec-Fetch-Site` decides where it is present; `Origin` only where it is not, because honest pages with
/// `no-referrer` send `Origin: null`. The caller knows for which requests it matters: unsafe methods, and WebSocket
/// handshakes, which are GET but never safe.
pub fn provenance(headers: &HeaderMap, own: &Authority, scheme: Scheme) -> Provenance {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    let mut origins = headers.get_all(ORIGIN).iter();
    let (site, origin) = (sites.next(), origins.next());
    if sites.next().is_some() || origins.next().is_some() {
        return Provenance::Foreign("Sec-Fetch-Site or Origin is repeated");
    }
    if let Some(site) = site {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Provenance::Own,
            b"same-site" => Provenance::Foreign("Sec-Fetch-Site is same-site"),
            b"cross-site" => Provenance::Foreign("Sec-Fetch-Site is cross-site"),
            _ => Provenance::Foreign("Sec-Fetch-Site is unknown"),
        };
    }
    let Some(origin) = origin else {
        return Provenance::Own;
    };
    match origin.to_str() {
        Ok(text) if own.is_origin(scheme, text) => Provenance::Own,
        Ok("null") => Provenance::Foreign("Origin is null"),
        Ok(_) | Err(_) => Provenance::Foreign("Origin is another origin"),
    }
}

/// Whether another site made the browser send this request, by whatever method: an image, a link, a form. Where the browser
/// says no more, the page that it refers to tells.
pub fn is_foreign(headers: &HeaderMap, own: &Authority, scheme: Scheme) -> bool {
    let silent = !headers.contains_key(ORIGIN);
    let foreign = provenance(headers, own, scheme) != Provenance::Own;
    foreign || silent && !refers_here(headers, own, scheme)
}

/// Whether a method asks for nothing to be changed (RFC 9110 §9.2.1).
pub fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method)
}

/// Whether a person is waiting for a page, who may be sent to the login page instead (HTTP-23).
///
/// A page in a frame counts: the login page itself refuses to be framed. A page fetched ahead does not: nobody looks
/// at it, and a login must not begin unseen.
pub fn is_navigation(headers: &HeaderMap, method: &Method) -> bool {
    let is = |name: &HeaderName, value: &str| {
        let line = headers.get(name).map(HeaderValue::as_bytes);
        line.is_some_and(|line| line.eq_ignore_ascii_case(value.as_bytes()))
    };
    if !matches!(*method, Method::GET | Method::HEAD)
        || is_ahead(headers)
        || is(&X_REQUESTED_WITH, "XMLHttpRequest")
    {
        return false;
    }
    let page = match headers.get(SEC_FETCH_DEST) {
        None => true,
        Some(dest) => matches!(dest.as_bytes(), b"document" | b"iframe" | b"frame" | b"embed" | b"object"),
    };
    let asked = match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode.as_bytes() == b"navigate",
        None => mentions(headers, &ACCEPT, "text/html"),
    };
    page && asked
}

/// Whether the answer will be a page of its own in a browser's window, as far as the browser says: no frame, no part of
/// another page, nothing that a script fetches. A form that is sent asks for one too, of which only the browser's word
/// tells. A page fetched ahead counts: it may be shown later.
pub fn is_document(headers: &HeaderMap, method: &Method) -> bool {
    let said = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let by_script = said(&X_REQUESTED_WITH).is_some_and(|by| by.eq_ignore_ascii_case(b"XMLHttpRequest"));
    match (said(&SEC_FETCH_DEST), said(&SEC_FETCH_MODE)) {
        (Some(dest), mode) => {
            let asks = [Method::GET, Method::HEAD, Method::POST].contains(method);
            asks && dest == b"document" && mode.is_none_or(|mode| mode == b"navigate") && !by_script
        }
        (None, Some(mode)) if mode != b"navigate" => false,
        (None, _) => {
            let asks = [Method::GET, Method::HEAD].contains(method);
            asks && mentions(headers, &ACCEPT, "text/html") && !by_script
        }
    }
}

/// Whether a person opened or sent this page, by whatever method: what pages do by themselves is not that.
pub fn is_by_person(headers: &HeaderMap) -> bool {
    let asked = match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode.as_bytes() == b"navigate",
        None => mentions(headers, &ACCEPT, "text/html"),
    };
    asked && !is_ahead(headers)
}

/// Whether the request comes from a page of this very site, or from the person, and somebody will look at the answer.
/// A browser that does not say so is taken at its word.
pub fn is_own(headers: &HeaderMap) -> bool {
    let own = match headers.get(SEC_FETCH_SITE) {
        Some(site) => matches!(site.as_bytes(), b"same-origin" | b"none"),
        None => true,
    };
    own && !is_ahead(headers)
}

fn is_ahead(headers: &HeaderMap) -> bool {
    mentions(headers, &SEC_PURPOSE, "prefetch") || mentions(headers, &PURPOSE, "prefetch")
}

/// Whether somebody logs out by this request for the app's logout: a link that a person has followed on the site itself,
/// or a form or call that a page of the site has sent. Not what another site asks for, nor what nobody will look at: what
/// was fetched ahead, as an image, or by a script that is ahead of the person without saying so.
pub fn is_logout(headers: &HeaderMap, method: &Method, own: &Authority, scheme: Scheme) -> bool {
    // Firefox of some years ago said it in a field of its own.
    let ahead = is_ahead(headers) || mentions(headers, &X_MOZ, "prefetch");
    if ahead || provenance(headers, own, scheme) != Provenance::Own {
        return false;
    }
    if !refers_here(headers, own, scheme) {
        return false;
    }
    if *method != Method::GET {
        return !is_safe(method);
    }
    let document = headers.get(SEC_FETCH_DEST).is_none_or(|dest| dest.as_bytes() == b"document");
    document && is_by_person(headers)
}

/// Whether a request whose browser does not say where it comes from names no page of another site.
fn refers_here(headers: &HeaderMap, own: &Authority, scheme: Scheme) -> bool {
    if headers.contains_key(SEC_FETCH_SITE) {
        return true;
    }
    headers.get(REFERER).is_none_or(|page| {
        let page = page.to_str().unwrap_or_default();
        let origin = page.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        own.is_origin(scheme, &origin)
    })
}

/// Whether a line of the field contains `word`, in any case.
fn mentions(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().any(|line| {
        let mut windows = line.as_bytes().windows(word.len());
        windows.any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn is_own(lines: &[(&'static str, &str)]) -> bool {
        let own = Authority::parse("app.example:8443").unwrap();
        provenance(&headers(lines), &own, Scheme::Https) == Provenance::Own
    }

    #[test]
    fn fetch_metadata_decides_where_it_is_present() {
        for (site, own) in [
            ("same-origin", true),
            ("none", true),
            ("same-site", false),
            ("cross-site", false),
            ("Same-Origin", false),
            ("", false),
            ("same-origin, cross-site", false),
        ] {
            for origin in ["https://app.example:8443", "https://evil.example", "null"] {
                assert_eq!(is_own(&[("sec-fetch-site", site), ("origin", origin)]), own, "{site} {origin}");
            }
        }
        assert!(!is_own(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")]));
        assert!(!is_own(&[("sec-fetch-site", "same-origin"), ("origin", "a"), ("origin", "a")]));
    }

    #[test]
    fn without_fetch_metadata_the_origin_must_be_exactly_ours() {
        for (origin, own) in [
            ("https://app.example:8443", true),
            ("http://app.example:8443", false),
            ("https://app.example", false),
            ("https://evil@app.example:8443", false),
            ("https://app.example:8443.evil", false),
            ("https://app.example.evil:8443", false),
            ("https://app.example:8443/", false),
            ("null", false),
            ("", false),
            ("https://äpp.example:8443", false),
        ] {
            assert_eq!(is_own(&[("origin", origin)]), own, "{origin}");
        }
        assert!(!is_own(&[("origin", "https://app.example:8443"), ("origin", "https://app.example:8443")]));
        assert!(is_own(&[]), "a program that is no browser sends neither");
    }

    #[test]
    fn only_a_waiting_person_is_a_navigation() {
        let navigate = ("sec-fetch-mode", "navigate");
        let html = ("accept", "text/html,*/*;q=0.8");
        for (lines, navigation) in [
            (vec![navigate], true),
            (vec![navigate, ("sec-fetch-dest", "document")], true),
            (vec![navigate, ("sec-fetch-dest", "iframe")], true),
            (vec![navigate, ("sec-fetch-dest", "empty")], false),
            (vec![("sec-fetch-mode", "cors"), html], false),
            (vec![("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"), html], false),
            (vec![("sec-fetch-mode", "websocket")], false),
            (vec![html], true),
            (vec![("accept", "*/*")], false),
            (vec![], false),
            (vec![("sec-fetch-dest", "script"), html], false),
            (vec![html, ("x-requested-with", "XMLHttpRequest")], false),
            (vec![navigate, ("sec-purpose", "prefetch;prerender")], false),
            (vec![navigate, ("purpose", "prefetch")], false),
        ] {
            assert_eq!(is_navigation(&headers(&lines), &Method::GET), navigation, "{lines:?}");
            assert_eq!(is_navigation(&headers(&lines), &Method::HEAD), navigation, "{lines:?}");
            assert!(!is_navigation(&headers(&lines), &Method::POST), "{lines:?}");
        }
    }

    #[test]
    fn only_a_page_in_a_window_of_its_own_is_a_document() {
        let (navigate, document) = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"));
        let html = ("accept", "text/html,*/*;q=0.8");
        for (lines, get, post) in [
            (vec![navigate, document], true, true),
            (vec![navigate, document, ("sec-purpose", "prefetch;prerender")], true, true),
            (vec![document], true, true),
            (vec![navigate, html], true, false),
            (vec![html], true, false),
            (vec![navigate], false, false),
            (vec![], false, false),
            (vec![("accept", "*/*")], false, false),
            (vec![navigate, ("sec-fetch-dest", "iframe"), html], false, false),
            (vec![("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), html], false, false),
            (vec![("sec-fetch-mode", "cors"), document, html], false, false),
            (vec![("sec-fetch-mode", "cors"), html], false, false),
            (vec![html, ("x-requested-with", "xmlhttprequest")], false, false),
            (vec![navigate, document, ("x-requested-with", "XMLHttpRequest")], false, false),
        ] {
            let lines_of = headers(&lines);
            let is = |method| is_document(&lines_of, &method);
            assert_eq!((is(Method::GET), is(Method::HEAD), is(Method::POST)), (get, get, post), "{lines:?}");
            assert!(!is(Method::PUT), "{lines:?}");
        }
    }

    #[test]
    fn only_a_person_on_the_site_itself_logs_out() {
        let own = Authority::parse("app.example").unwrap();
        let (get, post) = (Method::GET, Method::POST);
        let site = |value| ("sec-fetch-site", value);
        let dest = |value| ("sec-fetch-dest", value);
        let navigate = ("sec-fetch-mode", "navigate");
        let html = ("accept", "text/html");
        for (method, lines, logout) in [
            (&get, vec![site("same-origin"), navigate, dest("document")], true),
            (&get, vec![site("none"), navigate, dest("document")], true),
            (&get, vec![html], true),
            (&get, vec![html, ("referer", "https://app.example/a/b")], true),
            (&get, vec![html, ("referer", "https://app.example")], true),
            (&get, vec![html, ("referer", "https://app.example.evil/")], false),
            (&get, vec![html, ("referer", "https://evil.example/https://app.example/")], false),
            (&get, vec![], false),
            (&get, vec![site("cross-site"), navigate, dest("document")], false),
            (&get, vec![site("same-site"), navigate, dest("document")], false),
            (&get, vec![site("same-origin"), navigate, dest("iframe")], false),
            (&get, vec![site("same-origin"), ("sec-fetch-mode", "no-cors"), dest("image")], false),
            (&get, vec![site("same-origin"), ("sec-fetch-mode", "cors"), dest("empty"), html], false),
            (&get, vec![site("same-origin"), navigate, dest("document"), ("sec-purpose", "prefetch")], false),
            (&get, vec![site("same-origin"), navigate, dest("document"), ("purpose", "prefetch")], false),
            (&get, vec![site("same-origin"), navigate, dest("document"), ("x-moz", "prefetch")], false),
            (&Method::HEAD, vec![site("same-origin"), navigate, dest("document")], false),
            (&post, vec![site("same-origin"), navigate, dest("document")], true),
            (&post, vec![site("same-origin"), ("sec-fetch-mode", "cors"), dest("empty")], true),
            (&post, vec![("origin", "https://app.example")], true),
            (&post, vec![("origin", "null")], false),
            (&post, vec![site("cross-site"), navigate, dest("document")], false),
            (&post, vec![], true),
        ] {
            assert_eq!(is_logout(&headers(&lines), method, &own, Scheme::Https), logout, "{lines:?}");
        }
    }

    #[test]
    fn safe_methods_are_those_of_the_standard() {
        assert!(["GET", "HEAD", "OPTIONS"].iter().all(|name| is_safe(&name.parse().unwrap())));
        assert!(
            ["POST", "PUT", "DELETE", "PATCH", "get", "QUERY"]
                .iter()
                .all(|name| !is_safe(&name.parse().unwrap()))
        );
    }
}
