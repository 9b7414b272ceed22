//! What ends at the gateway: fields of one connection, and fields by which a client could pretend to be a proxy.
//!
//! This runs before any field of ours is set, so that nothing of ours can be named away in `Connection`
//! (RFC 9110 §7.6.1; FWD-3, attacks C13, D02, D06, D18).

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Version;
use http::header::CONNECTION;
use http::header::SEC_WEBSOCKET_KEY;
use http::header::UPGRADE;

/// What cleaning a request showed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Whether the client validly asked to go on as a WebSocket (RFC 6455 §4.1).
    pub websocket: bool,
    /// The fields that were taken out because no client has any business sending them, or because `Connection` named
    /// them.
    pub taken: Vec<HeaderName>,
}

/// Takes out of a request what ends here: hop-by-hop fields, fields named in `Connection`, names that an app could
/// fold into others, and every field that tells or orders about forwarding. Read the latter first, if its sender is
/// to be believed.
pub fn clean_request(headers: &mut HeaderMap, method: &Method, version: Version) -> Cleaned {
    let websocket = asks_for_websocket(headers, method, version);
    let mut taken = remove_named_in_connection(headers);
    let mut ended = Vec::new();
    for name in headers.keys() {
        if is_forged(name.as_str()) {
            taken.push(name.clone());
        } else if ends_here(name.as_str()) {
            ended.push(name.clone());
        }
    }
    for name in ended.iter().chain(&taken) {
        headers.remove(name);
    }
    Cleaned { websocket, taken }
}

/// Takes out of an answer what belongs to the connection to the app, and what only the gateway may say.
pub fn clean_response(headers: &mut HeaderMap) {
    remove_named_in_connection(headers);
    let ends = |name: &&HeaderName| ends_here(name.as_str()) || speaks_for_us(name.as_str());
    let ended: Vec<HeaderName> = headers.keys().filter(ends).cloned().collect();
    for name in &ended {
        headers.remove(name);
    }
}

/// `Upgrade` must be one line with the one word, so that no other protocol slips through beside it (attacks J01).
fn asks_for_websocket(headers: &HeaderMap, method: &Method, version: Version) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let (Some(upgrade), None) = (upgrades.next(), upgrades.next()) else {
        return false;
    };
    upgrade.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket")
        && options(headers).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
        && method == Method::GET
        && version == Version::HTTP_11
        && headers.contains_key(SEC_WEBSOCKET_KEY)
}

/// The options of all `Connection` lines.
fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// Gives the names of what was there and is gone.
fn remove_named_in_connection(headers: &mut HeaderMap) -> Vec<HeaderName> {
    let plain = |option: &[u8]| {
        option.is_empty()
            || [&b"keep-alive"[..], b"close", b"upgrade"].iter().any(|word| option.eq_ignore_ascii_case(word))
    };
    let named = options(headers).filter(|option| !plain(option));
    let mut named: Vec<HeaderName> = named.filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
    named.retain(|name| {
        // Meant for everybody on the way (§7.6.1 forbids naming such); without them the message would be another.
        let end_to_end =
            matches!(name.as_str(), "host" | "content-length" | "cookie" | "authorization" | "set-cookie");
        !end_to_end && headers.remove(name).is_some()
    });
    headers.remove(CONNECTION);
    named
}

/// Fields of one connection (RFC 9110 §7.6.1, §11.7), and `Expect`, which the gateway answers itself.
fn ends_here(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-authentication-info"
            | "http2-settings"
            | "expect"
    )
}

/// Fields of an answer that speak for the whole origin, which is ours: `Alt-Svc` would lead the browser to the app past
/// us (RFC 7838 §3), the others bind sessions to a device under names that our own cookie may have (DBSC §8).
fn speaks_for_us(name: &str) -> bool {
    name == "alt-svc" || ["secure-session-", "sec-session-"].iter().any(|family| name.starts_with(family))
}

/// Fields that only a proxy or the app's own server may set, and names that CGI and WSGI fold into others.
fn is_forged(name: &str) -> bool {
    /// Families, by how their names begin.
    const FAMILIES: [&str; 14] = [
        "x-forwarded-",
        "x-original-",
        "x-rewrite-",
        "x-http-method",
        "x-method-override",
        "x-http-host",
        "x-client-cert",
        "x-accel-",
        "x-sendfile",
        "x-lighttpd-send",
        "x-litespeed-",
        "x-reproxy-",
        "x-envoy-",
        "x-middleware-",
    ];
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return true;
    }
    if name.starts_with("x-") && FAMILIES.iter().any(|family| name.starts_with(family)) {
        return true;
    }
    match name {
        "forwarded"
        | "proxy"
        | "cookie2"
        | "remote-addr"
        | "remote-host"
        | "front-end-https"
        | "x-forwarded"
        | "x-forwarder-for"
        | "x-real-ip"
        | "x-host"
        | "x-scheme"
        | "x-url-scheme"
        | "x-remote-ip"
        | "x-remote-addr"
        | "x-client-ip"
        | "x-originating-ip"
        | "x-cluster-client-ip"
        | "client-ip"
        | "true-client-ip"
        | "cf-connecting-ip"
        | "cf-connecting-ipv6"
        | "fastly-client-ip" => true,
        _ => name.starts_with("client-cert") || name.starts_with("surrogate-"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn left(lines: &[(&str, &str)]) -> Vec<String> {
        let mut headers = headers(lines);
        clean_request(&mut headers, &Method::GET, Version::HTTP_11);
        headers.keys().map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn fields_of_the_connection_end_here_in_both_directions() {
        let names = [
            "Connection",
            "Keep-Alive",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authenticate",
            "Proxy-Authorization",
            "HTTP2-Settings",
            "Expect",
        ];
        let lines: Vec<_> = names.iter().map(|name| (*name, "x")).collect();
        assert!(left(&lines).is_empty());
        let mut answer = headers(&lines);
        clean_response(&mut answer);
        assert!(answer.is_empty());
    }

    #[test]
    fn no_app_speaks_for_the_origin() {
        let mut answer = headers(&[
            ("Alt-Svc", "h3=\":5001\""),
            ("Secure-Session-Registration", "(ES256)"),
            ("Sec-Session-Challenge", "\"c\""),
            ("Secure-Session-Challenge", "\"c\""),
            ("Session-Id", "the app's own"),
        ]);
        clean_response(&mut answer);
        assert_eq!(answer, headers(&[("session-id", "the app's own")]));
    }

    #[test]
    fn fields_named_in_connection_go_in_every_spelling() {
        for connection in ["close, X-Hop", "x-hop", "keep-alive ,\tX-HOP,", "x y, x-hop"] {
            let lines = [("connection", connection), ("x-hop", "1"), ("accept", "*/*")];
            assert_eq!(left(&lines), ["accept"], "{connection}");
            let mut answer = headers(&lines);
            clean_response(&mut answer);
            assert_eq!(answer, headers(&[("accept", "*/*")]));
        }
        let two = [("connection", "close"), ("connection", "x-hop"), ("x-hop", "1")];
        assert!(left(&two).is_empty());
    }

    #[test]
    fn what_makes_the_message_cannot_be_named_away() {
        let lines = [
            ("connection", "host, content-length, cookie, authorization"),
            ("host", "app"),
            ("content-length", "3"),
            ("cookie", "a=1"),
            ("authorization", "Basic x"),
        ];
        assert_eq!(left(&lines).len(), 4);
    }

    #[test]
    fn forged_fields_are_taken_out_and_told() {
        for name in [
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "X-Forwarded-Prefix",
            "X-Forwarded-Uri",
            "X-Forwarded-User",
            "Forwarded",
            "X-Real-IP",
            "Client-Cert",
            "Client-Cert-Chain",
            "X-Client-Cert-Subject",
            "X-Original-URL",
            "X-Original-Method",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "Proxy",
            "X-Accel-Redirect",
            "X-Accel-Buffering",
            "X-Sendfile",
            "X-Sendfile-Type",
            "Surrogate-Capability",
            "x-envoy-original-path",
            "x-middleware-subrequest",
            "X-Host",
            "X_Forwarded_User",
            "x-forwarded_user",
            "a.b",
            "a_b",
            "Transfer_Encoding",
            "a!b",
            "a~",
            "content^length",
            "`",
            "True-Client-IP",
        ] {
            let mut map = headers(&[("accept", "*/*"), (name, "1"), (name, "2")]);
            let cleaned = clean_request(&mut map, &Method::GET, Version::HTTP_11);
            assert_eq!(map.len(), 1, "{name}");
            assert_eq!(cleaned.taken.len(), 1, "{name}");
            assert!(cleaned.taken[0].as_str().eq_ignore_ascii_case(name), "{name}");
        }
    }

    #[test]
    fn the_rest_passes_with_its_order() {
        let lines = [
            ("host", "app"),
            ("authorization", "Basic x"),
            ("priority", "u=1"),
            ("via", "1.1 x"),
            ("origin", "null"),
            ("sec-websocket-key", "x"),
            ("upgrade-insecure-requests", "1"),
            ("x-requested-with", "XMLHttpRequest"),
            ("x-csrf-token", "1"),
            ("accept", "a"),
            ("accept", "b"),
            ("content-length", "1"),
            ("range", "bytes=0-"),
        ];
        let mut map = headers(&lines);
        let cleaned = clean_request(&mut map, &Method::GET, Version::HTTP_11);
        assert_eq!(map, headers(&lines));
        assert_eq!(cleaned, Cleaned::default());
    }

    #[test]
    fn only_a_clean_websocket_handshake_is_one() {
        let good =
            [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket"), ("sec-websocket-key", "x")];
        let asked = |lines: &[(&str, &str)], method: Method, version| {
            clean_request(&mut headers(lines), &method, version).websocket
        };
        assert!(asked(&good, Method::GET, Version::HTTP_11));
        assert!(!asked(&good, Method::POST, Version::HTTP_11));
        assert!(!asked(&good, Method::GET, Version::HTTP_10));
        assert!(!asked(&good, Method::GET, Version::HTTP_2));
        assert!(!asked(&good[..2], Method::GET, Version::HTTP_11));
        assert!(!asked(&good[1..], Method::GET, Version::HTTP_11));
        for upgrade in ["h2c", "websocket, h2c", "websocket/13", "", "TLS/1.0"] {
            let lines = [good[0], ("upgrade", upgrade), good[2]];
            assert!(!asked(&lines, Method::GET, Version::HTTP_11), "{upgrade}");
        }
        assert!(!asked(&[good[0], good[1], ("upgrade", "foo"), good[2]], Method::GET, Version::HTTP_11));
        assert!(!asked(&[good[0], good[1], good[1], good[2]], Method::GET, Version::HTTP_11));
        assert!(!left(&good).contains(&"upgrade".to_owned()));
    }

    proptest! {
        #[test]
        fn no_name_is_left_that_an_app_could_fold(name in "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,12}") {
            for name in left(&[(&name, "1")]) {
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            }
        }
    }
}
