//! Chains of proxies, honest and not, and what the app is told.

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, line) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    headers
}

fn trusted() -> TrustedProxies {
    TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()])
}

fn peer(address: &str) -> PeerAddr {
    PeerAddr(SocketAddr::new(address.parse().unwrap(), 1234))
}

fn seen(from: &str, lines: &[(&'static str, &str)]) -> String {
    client(peer(from), &headers(lines), &trusted()).to_string()
}

#[test]
fn nobody_is_believed_who_is_not_listed() {
    for lines in [[("x-forwarded-for", "1.2.3.4")], [("forwarded", "for=1.2.3.4")]] {
        assert_eq!(seen("192.0.2.1", &lines), "192.0.2.1");
        let nobody = TrustedProxies::default();
        assert_eq!(client(peer("10.0.0.1"), &headers(&lines), &nobody).to_string(), "10.0.0.1");
    }
}

#[test]
fn a_chain_is_followed_from_right_to_left_as_far_as_listed_proxies_vouch() {
    for (line, client) in [
        ("1.2.3.4", "1.2.3.4"),
        ("127.0.0.1, 1.2.3.4", "1.2.3.4"),
        ("1.2.3.4, 10.9.9.9", "1.2.3.4"),
        ("1.2.3.4, 10.9.9.9, 10.8.8.8", "1.2.3.4"),
        ("6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("1.2.3.4:5555", "1.2.3.4"),
        ("[2001:db8::1]:5555", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("1.2.3.4, ::ffff:10.0.0.2", "1.2.3.4"),
        ("unknown", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("1.2.3.4,", "10.0.0.1"),
        ("1.2.3.4, garbage", "10.0.0.1"),
        ("1.2.3.4, garbage, 10.2.2.2", "10.2.2.2"),
        ("1.2.3.4.5", "10.0.0.1"),
        ("fe80::1%eth0", "10.0.0.1"),
        ("1.2.3.4:99999", "10.0.0.1"),
    ] {
        assert_eq!(seen("10.0.0.1", &[("x-forwarded-for", line)]), client, "{line:?}");
    }
    let two = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")];
    assert_eq!(seen("10.0.0.1", &two), "2.2.2.2");
    let endless = vec!["10.0.0.2"; 10_000].join(",");
    assert_eq!(seen("10.0.0.1", &[("x-forwarded-for", &endless)]), "10.0.0.2");
}

#[test]
fn the_standard_field_is_read_with_its_grammar() {
    for (line, client) in [
        ("for=1.2.3.4", "1.2.3.4"),
        ("For=\"[2001:db8::1]:47\";proto=https, for=10.2.2.2;by=\"a,b;c\"", "2001:db8::1"),
        ("for=9.9.9.9, for=\"1.2.3.4:80\" ; proto=http", "1.2.3.4"),
        ("for=\"1.2.\\3.4\"", "1.2.3.4"),
        ("for=_hidden", "10.0.0.1"),
        ("for=unknown", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        ("for=1.2.3.4;for=5.6.7.8", "10.0.0.1"),
        ("for=\"1.2.3.4", "10.0.0.1"),
        ("for=1.2.3.4 x", "10.0.0.1"),
        ("for=\"1.2.3.4\"x", "10.0.0.1"),
        ("for", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("for=1.2.3.4,", "10.0.0.1"),
    ] {
        assert_eq!(seen("10.0.0.1", &[("forwarded", line)]), client, "{line:?}");
    }
}

#[test]
fn the_standard_field_is_silent_where_one_of_the_others_speaks() {
    let forged = ("forwarded", "for=5.6.7.8;proto=https;host=evil");
    for (usual, client) in [
        (("x-forwarded-for", "1.2.3.4"), "1.2.3.4"),
        (("x-forwarded-proto", "http"), "10.0.0.1"),
        (("x-forwarded-host", "app"), "10.0.0.1"),
    ] {
        assert_eq!(seen("10.0.0.1", &[usual, forged]), client, "{usual:?}");
        let both = headers(&[usual, forged]);
        assert_eq!(scheme(peer("10.0.0.1"), &both, &trusted()), Scheme::Http, "{usual:?}");
        let host = authority(peer("10.0.0.1"), &both, &trusted()).map(|host| host.to_string());
        assert_eq!(host, (usual.0 == "x-forwarded-host").then(|| "app".to_owned()), "{usual:?}");
    }
}

#[test]
fn scheme_and_host_come_from_listed_proxies_alone() {
    for (from, lines, expected) in [
        ("10.0.0.1", vec![("x-forwarded-proto", "https")], Scheme::Https),
        ("10.0.0.1", vec![("x-forwarded-proto", "HTTPS, https")], Scheme::Https),
        ("10.0.0.1", vec![("x-forwarded-proto", "https, http")], Scheme::Http),
        ("10.0.0.1", vec![("x-forwarded-proto", "wss")], Scheme::Http),
        ("10.0.0.1", vec![("forwarded", "for=1.1.1.1;proto=https")], Scheme::Https),
        ("10.0.0.1", vec![("forwarded", "for=1.1.1.1")], Scheme::Http),
        ("10.0.0.1", vec![], Scheme::Http),
        ("192.0.2.1", vec![("x-forwarded-proto", "https")], Scheme::Http),
    ] {
        assert_eq!(scheme(peer(from), &headers(&lines), &trusted()), expected, "{from} {lines:?}");
    }
    for (from, lines, expected) in [
        ("10.0.0.1", vec![("x-forwarded-host", "app.example:8443")], Some("app.example:8443")),
        ("10.0.0.1", vec![("forwarded", "host=\"app.example:8443\"")], Some("app.example:8443")),
        ("10.0.0.1", vec![("x-forwarded-host", "a, b")], None),
        ("10.0.0.1", vec![("x-forwarded-host", "a"), ("x-forwarded-host", "a")], None),
        ("10.0.0.1", vec![("x-forwarded-host", "a/b")], None),
        ("10.0.0.1", vec![], None),
        ("192.0.2.1", vec![("x-forwarded-host", "app.example")], None),
    ] {
        let told = authority(peer(from), &headers(&lines), &trusted()).map(|it| it.to_string());
        assert_eq!(told.as_deref(), expected, "{from} {lines:?}");
    }
}

#[test]
fn the_app_is_told_once_and_in_full() {
    for (client, authority, forwarded, port) in [
        ("1.2.3.4", "app.example", "for=1.2.3.4;host=app.example;proto=https", "443"),
        ("::ffff:1.2.3.4", "app:8443", "for=1.2.3.4;host=\"app:8443\";proto=https", "8443"),
        ("2001:db8::1", "[::1]:8443", "for=\"[2001:db8::1]\";host=\"[::1]:8443\";proto=https", "8443"),
    ] {
        let client = ClientAddr(client.parse().unwrap());
        let arrival = Arrival {
            client,
            scheme: Scheme::Https,
            authority: Authority::parse(authority).unwrap(),
            version: Version::HTTP_2,
        };
        let mut map =
            headers(&[("x-forwarded-for", "6.6.6.6"), ("x-real-ip", "6.6.6.6"), ("via", "1.0 cache")]);
        ForwardedFields::new(&arrival).apply(&mut map);
        let lines =
            |name: &str| -> Vec<&str> { map.get_all(name).iter().map(|v| v.to_str().unwrap()).collect() };
        assert_eq!(lines("forwarded"), [forwarded]);
        assert_eq!(lines("x-forwarded-for"), [client.to_string()]);
        assert_eq!(lines("x-real-ip"), [client.to_string()]);
        assert_eq!(lines("x-forwarded-host"), [authority]);
        assert_eq!(lines("x-forwarded-proto"), ["https"]);
        assert_eq!(lines("x-forwarded-port"), [port]);
        assert_eq!(lines("via"), ["1.0 cache", "2.0 vestibule"]);
        assert!(loops(&map));
    }
}

#[test]
fn a_loop_is_seen_by_our_pseudonym_alone() {
    for (line, looped) in [
        ("1.1 vestibule", true),
        ("1.0 fred, HTTP/2.0 Vestibule (x)", true),
        ("1.1 vestibule.example", false),
        ("1.1 fred (vestibule)", false),
        ("vestibule", false),
        ("", false),
    ] {
        assert_eq!(loops(&headers(&[("via", line)])), looped, "{line:?}");
    }
}
