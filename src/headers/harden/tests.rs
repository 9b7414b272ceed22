//! Answers of apps as they come, and as they reach the browser.

use super::CachePolicy as C;
use super::Privacy as P;
use super::*;

fn policy() -> ResponsePolicy {
    ResponsePolicy {
        hsts: Hsts::Auto,
        frame_ancestors: Some("'self'".to_owned()),
        cache: CachePolicy::NoStore,
        clear_at_logout: Vec::new(),
        cookies: Arc::new(AppCookies::all(Keeping::Harden)),
    }
}

fn own() -> Authority {
    Authority::parse("app.example").unwrap()
}

fn answer(authority: &Authority) -> Answer<'_> {
    Answer {
        now: Timestamp::from_millis(1_800_000_000_000),
        status: StatusCode::OK,
        transport: Transport::PublicTls,
        privacy: Privacy::Protected,
        authority,
        reserved: &["__Host-Http-session"],
    }
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
}

/// The lines of `name` after hardening an answer with `lines`.
fn after(lines: &[(&str, &str)], name: &str) -> Vec<String> {
    let mut headers = headers(lines);
    harden(&mut headers, &policy(), &answer(&own()));
    all(&headers, name).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_silent_page_gets_the_whole_set_once() {
    let mut map =
        headers(&[("content-type", "text/html"), ("server", "Werkzeug/3"), ("x-powered-by", "Express")]);
    let done = harden(&mut map, &policy(), &answer(&own()));
    assert_eq!(done, Hardened::default());
    let expected = [
        ("content-type", "text/html"),
        ("strict-transport-security", "max-age=86400"),
        ("content-security-policy", "frame-ancestors 'self'"),
        ("x-frame-options", "SAMEORIGIN"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ];
    assert_eq!(map, headers(&expected));
    harden(&mut map, &policy(), &answer(&own()));
    assert_eq!(map, headers(&expected), "hardening twice is hardening once");
}

#[test]
fn what_an_app_tells_about_itself_or_orders_a_proxy_is_removed() {
    for name in [
        "Server",
        "X-Powered-By",
        "X-AspNet-Version",
        "X-AspNetMvc-Version",
        "X-Runtime",
        "X-Generator",
        "X-Accel-Redirect",
        "X-Accel-Expires",
        "X-Sendfile",
        "X-Lighttpd-Send-File",
        "X-Reproxy-URL",
    ] {
        assert!(after(&[(name, "x")], name).is_empty(), "{name}");
    }
    for name in ["X-Request-Id", "X-Robots-Tag", "Via", "Link", "X-Total-Count"] {
        assert_eq!(after(&[(name, "x")], name), ["x"]);
    }
}

#[test]
fn transport_security_is_said_once_and_never_on_http() {
    let strong = HeaderValue::from_static("max-age=63072000; includeSubDomains");
    let app = "max-age=31536000";
    for (hsts, transport, said) in [
        (Hsts::Auto, Transport::PublicTls, Some(app)),
        (Hsts::Auto, Transport::Tls, None),
        (Hsts::Auto, Transport::Plain, None),
        (Hsts::Off, Transport::PublicTls, None),
        (Hsts::Always(strong.clone()), Transport::Tls, Some("max-age=63072000; includeSubDomains")),
        (Hsts::Always(strong), Transport::Plain, None),
    ] {
        let (policy, own) = (ResponsePolicy { hsts, ..policy() }, own());
        let answer = Answer { transport, ..answer(&own) };
        let twice = [("strict-transport-security", app), ("strict-transport-security", "max-age=1")];
        let mut map = headers(&twice);
        harden(&mut map, &policy, &answer);
        assert_eq!(
            all(&map, "strict-transport-security"),
            said.into_iter().collect::<Vec<_>>(),
            "{policy:?}"
        );
    }
    for weaker in ["max-age=0", "max-age=60; includeSubDomains", "x", ""] {
        assert_eq!(
            after(&[("strict-transport-security", weaker)], "strict-transport-security"),
            ["max-age=86400"]
        );
    }
}

#[test]
fn framing_is_restricted_beside_the_apps_own_policy() {
    let csp = "content-security-policy";
    let check = |sources: Option<&str>, lines: &[(&str, &str)], policies: &[&str], option: &[&str]| {
        let policy = ResponsePolicy { frame_ancestors: sources.map(str::to_owned), ..policy() };
        let mut map = headers(lines);
        harden(&mut map, &policy, &answer(&own()));
        assert_eq!(all(&map, csp), policies, "{sources:?} {lines:?}");
        assert_eq!(all(&map, "x-frame-options"), option, "{sources:?} {lines:?}");
    };
    let (own_rule, none) = ("frame-ancestors 'self'", "frame-ancestors 'none'");
    let scripts = "default-src 'self', script-src x";
    check(Some("'self'"), &[(csp, scripts)], &[scripts, own_rule], &["SAMEORIGIN"]);
    check(
        Some("'self'"),
        &[(csp, "a b; Frame-Ancestors https://x")],
        &["a b; Frame-Ancestors https://x"],
        &[],
    );
    check(Some("'self'"), &[(csp, "x, frame-ancestors *")], &["x, frame-ancestors *"], &[]);
    check(Some("'self'"), &[("x-frame-options", "DENY")], &[none], &["DENY"]);
    check(Some("'self'"), &[("x-frame-options", "ALLOW-FROM https://x")], &[own_rule], &["SAMEORIGIN"]);
    check(Some("'none'"), &[("x-frame-options", "SAMEORIGIN")], &[none], &["DENY"]);
    check(Some("https://p"), &[("x-frame-options", "DENY")], &["frame-ancestors https://p"], &[]);
    check(None, &[("x-frame-options", "DENY")], &[], &["DENY"]);
}

#[test]
fn what_the_app_decided_about_referrers_and_resources_stays() {
    assert_eq!(after(&[("referrer-policy", "no-referrer")], "referrer-policy"), ["no-referrer"]);
    let corp = "cross-origin-resource-policy";
    assert_eq!(after(&[(corp, "cross-origin")], corp), ["cross-origin"]);
    let own = own();
    let public = Answer { privacy: Privacy::Public, ..answer(&own) };
    let mut map = HeaderMap::new();
    harden(&mut map, &policy(), &public);
    assert!(!map.contains_key(corp) && !map.contains_key(CACHE_CONTROL));
}

#[test]
fn protected_answers_stay_out_of_shared_caches() {
    for (lines, expected) in [
        (vec![], "no-store"),
        (vec![("content-type", "text/html; charset=utf-8")], "no-store"),
        (vec![("content-type", "Application/JSON")], "no-store"),
        (vec![("content-type", "application/problem+json")], "no-store"),
        (vec![("content-type", "text/css")], "private"),
        (vec![("content-type", "text/html"), ("expires", "0")], "private"),
        (vec![("cache-control", "no-cache")], "private, no-cache"),
        (vec![("cache-control", "max-age=60")], "private, max-age=60"),
        (vec![("cache-control", "Public, max-age=60, s-maxage = 9")], "private, max-age=60"),
        (vec![("cache-control", "public"), ("cache-control", "max-age=1")], "private, max-age=1"),
        (vec![("cache-control", "private=\"x\"")], "private, private=\"x\""),
        (vec![("cache-control", "private, max-age=60")], "private, max-age=60"),
        (vec![("cache-control", "no-store")], "no-store"),
        (vec![("cache-control", "")], "private"),
    ] {
        assert_eq!(after(&lines, "cache-control"), [expected], "{lines:?}");
    }
    assert!(
        after(&[("surrogate-control", "max-age=9"), ("cdn-cache-control", "public")], "surrogate-control")
            .is_empty()
    );
    let mut map = headers(&[("cache-control", "public")]);
    assert!(harden(&mut map, &policy(), &answer(&own())).shared);
}

#[test]
fn caching_follows_policy_and_session() {
    let own = own();
    let after = |cache, privacy, status, line: &str| {
        let policy = ResponsePolicy { cache, ..policy() };
        let mut map = if line.is_empty() { HeaderMap::new() } else { headers(&[("cache-control", line)]) };
        harden(&mut map, &policy, &Answer { status, privacy, ..answer(&own) });
        all(&map, "cache-control").join("|")
    };
    for (cache, privacy, status, line, expected) in [
        (C::Private, P::Protected, 200, "", "private"),
        (C::App, P::Protected, 200, "", ""),
        (C::App, P::Protected, 200, "public", "public"),
        (C::NoStore, P::Public, 200, "public", "public"),
        (C::NoStore, P::Personal, 200, "public, max-age=600", "private, max-age=600"),
        (C::App, P::Personal, 200, "public", "public"),
        (C::NoStore, P::Protected, 304, "", "private"),
        (C::NoStore, P::Protected, 404, "", "no-store"),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(after(cache, privacy, status, line), expected, "{cache:?} {privacy:?} {status} {line:?}");
    }
}

#[test]
fn only_who_knows_the_word_is_told_to_part_from_the_opener() {
    const EDGE: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let older = EDGE.replace("131", "130");
    for (agent, said, expected) in [
        (EDGE, "same-origin", "noopener-allow-popups"),
        (EDGE, "unsafe-none", "unsafe-none"),
        (&older, "same-origin", "same-origin"),
        (FIREFOX, "same-origin", "same-origin"),
        ("Chrome/", "same-origin", "same-origin"),
    ] {
        let mut map = headers(&[("cross-origin-opener-policy", said)]);
        part_from_opener(&mut map, Some(&HeaderValue::from_str(agent).unwrap()));
        assert_eq!(all(&map, "cross-origin-opener-policy"), [expected], "{agent}");
    }
}

#[test]
fn an_app_cannot_clear_our_session_by_site_data() {
    for (lines, kept) in [
        (vec!["\"cookies\""], vec![]),
        (vec!["\"*\""], vec!["\"cache\", \"storage\""]),
        (vec!["\"cache\", \"Cookies\" , \"storage\""], vec!["\"cache\", \"storage\""]),
        (vec!["\"cache\"", "\"cookies\""], vec!["\"cache\""]),
        (vec!["*, cookies"], vec!["\"cache\", \"storage\""]),
        (vec!["\"cache\",\"storage\""], vec!["\"cache\",\"storage\""]),
    ] {
        let lines: Vec<_> = lines.into_iter().map(|line| ("clear-site-data", line)).collect();
        assert_eq!(after(&lines, "clear-site-data"), kept, "{lines:?}");
    }
}

#[test]
fn our_own_pages_are_never_framed_or_kept() {
    let mut map = headers(&[("content-security-policy", "default-src 'none'; style-src 'sha256-x'")]);
    own_page(&mut map, &policy().hsts, Transport::PublicTls);
    assert_eq!(all(&map, "content-security-policy"), ["default-src 'none'; style-src 'sha256-x'"]);
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin-allow-popups"),
        ("strict-transport-security", "max-age=86400"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(all(&map, name), [value]);
    }
    let mut bare = HeaderMap::new();
    own_page(&mut bare, &policy().hsts, Transport::PublicTls);
    assert_eq!(all(&bare, "content-security-policy"), ["default-src 'none'; frame-ancestors 'none'"]);
}
