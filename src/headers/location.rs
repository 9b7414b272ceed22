//! Addresses in fields, for apps that do not know where they are: `Location` outward, `Origin` and `Referer` inward.

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header::ORIGIN;
use http::header::REFERER;

use crate::net::Authority;
use crate::net::Scheme;

/// Rewrites a redirect that would lead away from the gateway without meaning to: to `http` on the own host, which the
/// app thinks it is on, and to an address of the app's own servers, which the browser cannot or must not reach. Nothing if the
/// redirect is right as it is.
pub fn outward<'a>(
    location: &HeaderValue,
    own: &Authority,
    scheme: Scheme,
    apps: impl IntoIterator<Item = &'a Authority>,
) -> Option<HeaderValue> {
    let (written, authority, rest) = split(location.as_bytes())?;
    let port = |of: &Authority| of.port.unwrap_or_else(|| written.default_port());
    let same = |other: &Authority| other.host == authority.host && port(other) == port(&authority);
    // Apps tend to forget the port they were asked on, so `http` on our host is ours without it too.
    let plain = scheme == Scheme::Https
        && written == Scheme::Http
        && authority.host == own.host
        && (authority.port.is_none_or(|port| port == Scheme::Http.default_port())
            || authority.port == own.port);
    let ours = authority.host == own.host && written == scheme && same(own);
    (plain || (!ours && apps.into_iter().any(same))).then_some(())?;
    let line = [own.origin(scheme).as_bytes(), rest].concat();
    HeaderValue::from_maybe_shared(Bytes::from(line)).ok()
}

/// Rewrites `Origin` and `Referer` of our own https origin to `http`, for an app that compares them with the plain
/// address it thinks it has (`present_scheme: http`). Those of other origins stay, and so do cross-site checks.
pub fn inward(headers: &mut HeaderMap, own: &Authority) {
    for name in [ORIGIN, REFERER] {
        if let Some(value) = presented(headers, &name, own) {
            headers.insert(name, value);
        }
    }
}

fn presented(headers: &HeaderMap, name: &HeaderName, own: &Authority) -> Option<HeaderValue> {
    let line = headers.get(name)?.as_bytes();
    let (written, authority, rest) = split(line)?;
    let port = authority.port.unwrap_or(Scheme::Https.default_port());
    let ours = own.host == authority.host && own.port.unwrap_or(Scheme::Https.default_port()) == port;
    (written == Scheme::Https && ours).then_some(())?;
    let line = [own.origin(Scheme::Http).as_bytes(), rest].concat();
    HeaderValue::from_maybe_shared(Bytes::from(line)).ok()
}

/// Splits an absolute URL of HTTP into scheme, authority and the rest from the path on.
fn split(url: &[u8]) -> Option<(Scheme, Authority, &[u8])> {
    let colon = url.iter().position(|byte| *byte == b':')?;
    let (name, rest) = url.split_at_checked(colon)?;
    let scheme = match name.to_ascii_lowercase().as_slice() {
        b"http" => Scheme::Http,
        b"https" => Scheme::Https,
        _ => return None,
    };
    let rest = rest.strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    Some((scheme, Authority::parse(std::str::from_utf8(authority).ok()?)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_back_to_the_gateway() {
        let app = Authority::parse("127.0.0.1:5000").unwrap();
        for (own, location, expected) in [
            ("app.example", "http://app.example/x?y#z", Some("https://app.example/x?y#z")),
            ("app.example", "HTTP://APP.example:80", Some("https://app.example")),
            ("app.example:8443", "http://app.example:8443/\u{fc}", Some("https://app.example:8443/\u{fc}")),
            ("app.example:8443", "http://app.example/", Some("https://app.example:8443/")),
            ("app.example", "http://127.0.0.1:5000/x", Some("https://app.example/x")),
            ("app.example", "http://app.example:8080/x", None),
            ("app.example", "https://app.example/x", None),
            ("app.example", "http://127.0.0.1/x", None),
            ("app.example", "http://other.example/x", None),
            ("app.example", "http://app.example@evil/x", None),
            ("app.example", "http://app.example.evil/x", None),
            ("app.example", "/x", None),
            ("app.example", "//app.example/x", None),
            ("app.example", "x", None),
            ("app.example", "", None),
            ("app.example", "javascript:x", None),
        ] {
            let own = Authority::parse(own).unwrap();
            let location = HeaderValue::from_bytes(location.as_bytes()).unwrap();
            let rewritten = outward(&location, &own, Scheme::Https, Some(&app));
            let expected = expected.map(|line| HeaderValue::from_bytes(line.as_bytes()).unwrap());
            assert_eq!(rewritten, expected, "{location:?} at {own}");
        }
        let plain = HeaderValue::from_static("http://app.example/");
        let own = Authority::parse("app.example").unwrap();
        assert_eq!(outward(&plain, &own, Scheme::Http, Some(&own)), None, "already right");
        assert_eq!(outward(&plain, &own, Scheme::Http, None), None);
    }

    #[test]
    fn only_our_own_origin_is_presented_as_plain() {
        for (own, line, expected) in [
            ("app:8443", "https://app:8443", "http://app:8443"),
            ("app", "https://app", "http://app"),
            ("app", "https://app:443/x?y", "http://app/x?y"),
            ("app", "https://app.evil/x", "https://app.evil/x"),
            ("app", "https://evil@app/", "https://evil@app/"),
            ("app", "http://app", "http://app"),
            ("app", "https://app:8443", "https://app:8443"),
            ("app", "null", "null"),
        ] {
            let own = Authority::parse(own).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(ORIGIN, line.parse().unwrap());
            headers.insert(REFERER, line.parse().unwrap());
            inward(&mut headers, &own);
            assert_eq!(headers[ORIGIN], expected, "{line}");
            assert_eq!(headers[REFERER], expected, "{line}");
        }
    }
}
