//! `Set-Cookie` lines of real frameworks and of hostile apps.

use http::StatusCode;
use proptest::prelude::*;

use super::*;
use crate::headers::harden::Privacy;
use crate::headers::harden::Transport;
use crate::net::Authority;

/// 2027-01-15T08:00:00Z; 400 days later it is 2028-02-19.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn hardened_on(secure: bool, mode: Keeping, lines: &[&[u8]]) -> (Vec<Vec<u8>>, CookieReport) {
    let authority = Authority::parse("app.example.org:8443").unwrap();
    let answer = Answer {
        now: NOW,
        status: StatusCode::OK,
        transport: if secure { Transport::Tls } else { Transport::Plain },
        privacy: Privacy::Protected,
        authority: &authority,
        reserved: &["__Host-Http-session", "__Host-Http-pre"],
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(SET_COOKIE, HeaderValue::from_bytes(line).unwrap());
    }
    let report = harden(&mut headers, &AppCookies::all(mode), &answer);
    let lines = headers.get_all(SET_COOKIE).iter().map(|line| line.as_bytes().to_vec());
    (lines.collect(), report)
}

fn hardened(line: &str) -> String {
    let (lines, _) = hardened_on(true, Keeping::Harden, &[line.as_bytes()]);
    assert_eq!(lines.len(), 1, "{line}");
    String::from_utf8(lines[0].clone()).unwrap()
}

#[test]
fn attributes_are_made_safe_and_the_rest_stays() {
    for (line, expected) in [
        ("session=x; HttpOnly; Path=/", "session=x; HttpOnly; Path=/; Secure; SameSite=Lax"),
        (
            "connect.sid=s%3Ax.y; Path=/; HttpOnly",
            "connect.sid=s%3Ax.y; Path=/; HttpOnly; Secure; SameSite=Lax",
        ),
        ("PHPSESSID=x; path=/", "PHPSESSID=x; path=/; Secure; HttpOnly; SameSite=Lax"),
        ("JSESSIONID=x", "JSESSIONID=x; Secure; HttpOnly; SameSite=Lax"),
        ("sid=x", "sid=x; Secure; HttpOnly; SameSite=Lax"),
        ("remember_me=x", "remember_me=x; Secure; HttpOnly; SameSite=Lax"),
        ("auth_token=x", "auth_token=x; Secure; HttpOnly; SameSite=Lax"),
        ("csrftoken=x; Path=/", "csrftoken=x; Path=/; Secure; SameSite=Lax"),
        ("XSRF-TOKEN=x", "XSRF-TOKEN=x; Secure; SameSite=Lax"),
        ("theme=dark", "theme=dark; Secure; SameSite=Lax"),
        ("a=b; SameSite=None", "a=b; SameSite=None; Secure"),
        ("a=b; samesite=strict; secure", "a=b; samesite=strict; secure"),
        ("a=b; SameSite=Foo; Secure", "a=b; Secure; SameSite=Lax"),
        ("a=b; SameSite; Secure", "a=b; Secure; SameSite=Lax"),
        ("a=b; SameSite=Strict; SameSite=None; Secure", "a=b; Secure; SameSite=None"),
        ("a=b; SameSite=None; SameSite=x; Secure", "a=b; Secure; SameSite=Lax"),
        (
            "a=b;Secure;SameSite=Lax;Priority=High;Partitioned",
            "a=b;Secure;SameSite=Lax;Priority=High;Partitioned",
        ),
        ("a=\"q; Secure; SameSite=Lax", "a=\"q; Secure; SameSite=Lax"),
        ("a={\"x\": 1, \"y\": 2}; Path=/", "a={\"x\": 1, \"y\": 2}; Path=/; Secure; SameSite=Lax"),
        ("a=; Max-Age=0; ;", "a=; Max-Age=0; Secure; SameSite=Lax"),
        ("novalue", "novalue; Secure; SameSite=Lax"),
        ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure; SameSite=Lax"),
        ("__Secure-a=b; Secure; SameSite=None", "__Secure-a=b; Secure; SameSite=None"),
    ] {
        assert_eq!(hardened(line), expected, "{line}");
        assert_eq!(hardened(expected), expected, "hardening twice is hardening once");
    }
}

#[test]
fn no_cookie_asks_for_more_than_400_days() {
    let safe = |attribute: &str| format!("a=b; {attribute}; Secure; SameSite=Lax");
    let end = "Expires=Sat, 19 Feb 2028 08:00:00 GMT";
    for (attribute, expected) in [
        ("Max-Age=34560000", "Max-Age=34560000"),
        ("Max-Age=34560001", "Max-Age=34560000"),
        ("max-age=99999999999999999999999", "max-age=34560000"),
        ("Max-Age=-1", "Max-Age=-1"),
        ("Max-Age=x", "Max-Age=x"),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Expires=Fri, 31 Dec 2027 23:59:59 GMT", "Expires=Fri, 31 Dec 2027 23:59:59 GMT"),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", end),
        ("Expires=Thu, 31-Dec-2037 23:55:55 GMT", end),
        ("Expires=never", "Expires=never"),
        (
            "Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=60",
            "Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=60",
        ),
    ] {
        assert_eq!(hardened(&safe(attribute)), safe(expected));
    }
}

#[test]
fn a_domain_is_dropped_and_the_twin_it_left_is_deleted() {
    let past = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure";
    let check = |lines: &[&str], expected: &[&str]| {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        let (after, _) = hardened_on(true, Keeping::Harden, &lines);
        let after: Vec<_> = after.iter().map(|line| std::str::from_utf8(line).unwrap()).collect();
        assert_eq!(after, expected);
    };
    let safe = "a=b; Path=/x; Secure; SameSite=Lax";
    check(
        &["a=b; Domain=.Example.ORG; Path=/x"],
        &[&format!("a=; Path=/x; Domain=example.org; {past}"), safe],
    );
    check(
        &["a=b; Domain=app.example.org"],
        &[&format!("a=; Domain=app.example.org; {past}"), "a=b; Secure; SameSite=Lax"],
    );
    for foreign in ["evil.org", "ample.org", "", "x.app.example.org", "example.org:8443"] {
        check(&[&format!("a=b; Path=/x; Domain={foreign}")], &[safe]);
    }
    check(&["__Host-a=b; Domain=example.org"], &["__Host-a=b; Secure; SameSite=Lax"]);
    let twice = "a=b; Path=/x; Domain=example.org";
    check(&[twice, twice], &[&format!("a=; Path=/x; Domain=example.org; {past}"), safe, safe]);
}

#[test]
fn lines_stay_apart_and_in_order() {
    let lines: [&[u8]; 4] =
        [b"b=1; Secure; SameSite=Lax", b"a=2", b"b=3; Secure; SameSite=Lax", b"c=\x80\xff"];
    let (after, report) = hardened_on(true, Keeping::Harden, &lines);
    assert_eq!(after[0], lines[0]);
    assert_eq!(after[1], b"a=2; Secure; SameSite=Lax");
    assert_eq!(after[2], lines[2]);
    assert_eq!(after[3], b"c=\x80\xff; Secure; SameSite=Lax");
    let names: Vec<&[u8]> = report.left_open.iter().map(|(name, _)| &**name).collect();
    assert_eq!((report.reserved, names), (0, vec![&b"b"[..], b"a", b"b", b"c"]));
    assert!(report.left_open.iter().all(|(_, what)| *what == LeftOpen::Readable));
}

#[test]
fn our_names_are_dropped_in_every_spelling_and_mode() {
    for line in [
        &b"__Host-Http-session=x"[..],
        b"__host-http-session=; Max-Age=0",
        b"__Host-Http-pre=x; Domain=example.org",
        b"=__Host-Http-session=x",
        b"\xe2\x80\x80__Host-Http-session=x",
        b"a=1, __Host-Http-session=x",
    ] {
        for mode in [Keeping::Harden, Keeping::Pass] {
            let (after, report) = hardened_on(true, mode, &[b"z=1; Secure; SameSite=Lax", line]);
            assert_eq!(after, [b"z=1; Secure; SameSite=Lax"], "{}", line.escape_ascii());
            assert_eq!(report.reserved, 1);
        }
    }
}

#[test]
fn modes_and_plain_http_are_respected() {
    let line: &[u8] = b"session=x; Domain=example.org";
    assert_eq!(hardened_on(true, Keeping::Pass, &[line]).0, [line]);
    let plain = hardened_on(false, Keeping::Harden, &[b"session=x"]).0;
    assert_eq!(plain, [b"session=x; HttpOnly; SameSite=Lax"]);
}

#[test]
fn what_browsers_will_drop_is_reported() {
    let line = format!("a={}", "x".repeat(4095));
    let (after, report) = hardened_on(true, Keeping::Harden, &[line.as_bytes()]);
    assert!(after[0].starts_with(line.as_bytes()));
    assert!(report.left_open.contains(&(b"a"[..].into(), LeftOpen::Oversized)));
    let (_, report) = hardened_on(true, Keeping::Harden, &[b"sid=1; SameSite=None"]);
    assert_eq!(report.left_open, [(b"sid"[..].into(), LeftOpen::CrossSite)]);
}

proptest! {
    #[test]
    fn name_and_value_never_change(pair in "[a-zA-Z]{1,8}=[ -:<-~]{0,20}", attributes in "(; ?[a-zA-Z-]{0,8}(=[ -:<-~]{0,12})?){0,4}") {
        let line = format!("{pair}{attributes}");
        let (after, _) = hardened_on(true, Keeping::Harden, &[line.trim().as_bytes()]);
        let last = String::from_utf8(after.last().unwrap().clone()).unwrap();
        let pair = line.trim().split(';').next().unwrap().to_owned();
        prop_assert_eq!(last.split(';').next().unwrap(), pair);
        let names: Vec<String> = last.split(';').skip(1)
            .map(|attribute| attribute.split('=').next().unwrap().trim().to_ascii_lowercase()).collect();
        prop_assert!(names.contains(&"secure".to_owned()));
        prop_assert_eq!(names.iter().filter(|name| *name == "samesite").count(), 1);
        prop_assert!(!names.contains(&"domain".to_owned()));
    }
}
