//! What RFC 6265bis says, line by line: what an app sets somewhere, and what it is sent elsewhere.

use super::NOW;
use super::after;
use super::sent;
use super::sent_from;
use super::set;
use crate::vault::Jar;
use crate::vault::Refused;

/// Set at this host and path, one after the other; sent to that host and path.
type Vector<'a> = ((&'a str, &'a str), &'a [&'a str], (&'a str, &'a str), &'a str);

fn check(vectors: &[Vector<'_>]) {
    for (at, lines, to, expected) in vectors {
        let mut jar = Jar::default();
        for line in *lines {
            // What is refused is not there.
            let _refused = set(&mut jar, *at, line, NOW);
        }
        assert_eq!(sent(&mut jar, *to, NOW), *expected, "{lines:?} set at {at:?}, sent to {to:?}");
        // The second time it is the line that is ready.
        assert_eq!(sent(&mut jar, *to, NOW), *expected, "{lines:?} again");
    }
}

const HOME: (&str, &str) = ("app.example", "/a/b");

fn here<'a>(lines: &'a [&'a str], expected: &'a str) -> Vector<'a> {
    (HOME, lines, HOME, expected)
}

fn at_path<'a>(path: &'a str, lines: &'a [&'a str], to: &'a str, expected: &'a str) -> Vector<'a> {
    (("app.example", path), lines, ("app.example", to), expected)
}

fn at_host<'a>(host: &'a str, lines: &'a [&'a str], to: &'a str, expected: &'a str) -> Vector<'a> {
    ((host, "/"), lines, (to, "/"), expected)
}

#[test]
fn names_and_values_are_taken_as_browsers_take_them() {
    check(&[
        here(&["foo=bar"], "foo=bar"),
        here(&["  foo \t=  bar\t ; path=/"], "foo=bar"),
        here(&["foo=bar=baz"], "foo=bar=baz"),
        here(&["foo="], "foo="),
        here(&["=bar"], "bar"),
        here(&["bar"], "bar"),
        here(&["foo=\"a b\""], "foo=\"a b\""),
        here(&["foo=a,b c\\d"], "foo=a,b c\\d"),
        here(&["foo=b;ar"], "foo=b"),
        here(&["=", ";", "  ", ""], ""),
        here(&["foo=\u{1}bar", "x=a\u{7f}"], ""),
        here(&["foo=a\tb"], "foo=a\tb"),
        here(&["foo=é"], "foo=é"),
        here(&["FOO=1", "foo=2"], "FOO=1; foo=2"),
        here(&["foo=1", "foo=2"], "foo=2"),
        here(&["foo=1; secure; bogus=x; HTTPONLY; SameSite=None"], "foo=1"),
    ]);
}

#[test]
fn a_cookie_goes_to_its_path_and_below() {
    check(&[
        at_path("/", &["x=1; Path=/a"], "/a", "x=1"),
        at_path("/", &["x=1; Path=/a"], "/a/", "x=1"),
        at_path("/", &["x=1; Path=/a"], "/a/b", "x=1"),
        at_path("/", &["x=1; Path=/a"], "/ab", ""),
        at_path("/", &["x=1; Path=/a"], "/", ""),
        at_path("/", &["x=1; Path=/a"], "/A", ""),
        at_path("/", &["x=1; Path=/a/"], "/a", ""),
        at_path("/", &["x=1; Path=/a/"], "/a/b", "x=1"),
        at_path("/", &["x=1; Path=/%61"], "/a", ""),
        // A path without a slash, or none: the folder of what was asked for.
        at_path("/a/b", &["x=1"], "/a/c", "x=1"),
        at_path("/a/b", &["x=1"], "/a", "x=1"),
        at_path("/a/b", &["x=1"], "/", ""),
        at_path("/a/b/", &["x=1"], "/a/b", "x=1"),
        at_path("/a", &["x=1"], "/z", "x=1"),
        at_path("/", &["x=1"], "/z", "x=1"),
        at_path("/a/b", &["x=1; Path=c"], "/a/d", "x=1"),
        at_path("/a/b", &["x=1; Path="], "/a/d", "x=1"),
        at_path("/a/b", &["x=1; Path=/z; Path=/a"], "/a", "x=1"),
        at_path("/a/b", &["x=1; Path=/z; Path=q"], "/a/d", "x=1"),
    ]);
}

#[test]
fn a_cookie_goes_to_its_host_or_to_its_domain() {
    check(&[
        at_host("app.example", &["x=1"], "app.example", "x=1"),
        at_host("app.example", &["x=1"], "sub.app.example", ""),
        at_host("app.example", &["x=1; Domain=app.example"], "sub.app.example", "x=1"),
        at_host("app.example", &["x=1; Domain=.app.example"], "sub.app.example", "x=1"),
        at_host("app.example", &["x=1; Domain=APP.Example"], "app.example", "x=1"),
        at_host("a.b.example", &["x=1; Domain=b.example"], "c.b.example", "x=1"),
        at_host("a.b.example", &["x=1; Domain=b.example"], "bb.example", ""),
        at_host("app.example", &["x=1; Domain=sub.app.example"], "sub.app.example", ""),
        at_host("app.example", &["x=1; Domain=pp.example"], "app.example", ""),
        at_host("app.example", &["x=1; Domain=example"], "app.example", ""),
        at_host("app.example", &["x=1; Domain=..app.example"], "app.example", ""),
        at_host("app.example", &["x=1; Domain=other.example"], "app.example", ""),
        at_host("app.example", &["x=1; Domain="], "app.example", "x=1"),
        at_host("app.example", &["x=1; Domain="], "sub.app.example", ""),
        at_host("app.example", &["x=1; Domain=other.example; Domain="], "app.example", "x=1"),
        at_host("app.example", &["x=1; Domain=app.example; Domain=other.example"], "app.example", ""),
        at_host("app.example", &["x=1; Domain=é.example"], "app.example", ""),
        at_host("localhost", &["x=1; Domain=localhost"], "localhost", "x=1"),
        at_host("127.0.0.1", &["x=1; Domain=127.0.0.1"], "127.0.0.1", "x=1"),
        at_host("127.0.0.1", &["x=1; Domain=0.0.1"], "127.0.0.1", ""),
        // One for the host and one for the domain are two.
        at_host("app.example", &["x=1", "x=2; Domain=app.example"], "app.example", "x=1; x=2"),
    ]);
}

#[test]
fn the_longest_path_comes_first_and_then_the_oldest() {
    check(&[
        here(&["a=1; Path=/", "b=2; Path=/a/b", "c=3; Path=/a"], "b=2; c=3; a=1"),
        here(&["a=1; Path=/", "b=2; Path=/", "c=3; Path=/"], "a=1; b=2; c=3"),
        // What is set anew keeps its age.
        here(&["a=1; Path=/", "b=2; Path=/", "a=3; Path=/"], "a=3; b=2"),
        here(&["a=1; Path=/", "b=2; Path=/", "a=; Max-Age=0; Path=/", "a=3; Path=/"], "b=2; a=3"),
        // One name at two paths is two cookies.
        here(&["a=1; Path=/", "a=2; Path=/a"], "a=2; a=1"),
    ]);
}

#[test]
fn a_prefix_is_a_promise() {
    check(&[
        here(&["__Secure-x=1; Path=/"], ""),
        here(&["__Secure-x=1; Secure"], "__Secure-x=1"),
        here(&["__Secure-x=1; Secure; Domain=app.example"], "__Secure-x=1"),
        here(&["__Host-x=1; Secure; Path=/"], "__Host-x=1"),
        here(&["__Host-x=1; Path=/"], ""),
        here(&["__Host-x=1; Secure"], ""),
        here(&["__Host-x=1; Secure; Path=/a"], ""),
        here(&["__Host-x=1; Secure; Path=/; Domain=app.example"], ""),
        here(&["__hOsT-x=1; Path=/"], ""),
        here(&["__SECURE-x=1"], ""),
        here(&["__Http-x=1; Secure"], ""),
        here(&["__Http-x=1; Secure; HttpOnly"], "__Http-x=1"),
        here(&["__Host-Http-x=1; Secure; Path=/"], ""),
        here(&["__Host-Http-x=1; Secure; Path=/; HttpOnly"], "__Host-Http-x=1"),
        here(&["=__Host-x=1; Secure; Path=/"], ""),
        here(&["__Secure-x"], ""),
        here(&["__Hostx=1"], "__Hostx=1"),
    ]);
}

#[test]
fn a_cookie_lives_until_its_end() {
    let life = |line: &str| {
        let mut jar = Jar::default();
        set(&mut jar, HOME, line, NOW).unwrap();
        let end = (0..40).map(|bit| 1_u64 << bit).find(|secs| sent(&mut jar, HOME, after(*secs)).is_empty());
        // The exact second.
        let last = end
            .map(|end| (end / 2..=end).find(|secs| sent(&mut jar, HOME, after(*secs)).is_empty()).unwrap());
        last.map(|secs| if sent(&mut jar, HOME, NOW).is_empty() { 0 } else { secs })
    };
    let longest = 400 * 24 * 3600;
    for (line, secs) in [
        ("x=1", None),
        ("x=1; Max-Age=60", Some(60)),
        ("x=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", Some(60)),
        ("x=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", Some(60)),
        ("x=1; Expires=Mon, 21 Sep 2026 14:14:20 GMT", Some(60)),
        ("x=1; Max-Age=60; Max-Age=7", Some(7)),
        ("x=1; Max-Age=60; Max-Age=soon", Some(60)),
        ("x=1; Max-Age=6.5", None),
        ("x=1; Max-Age=+60", None),
        ("x=1; Max-Age=", None),
        ("x=1; Max-Age=0", Some(0)),
        ("x=1; Max-Age=-1", Some(0)),
        ("x=1; Max-Age=-", Some(0)),
        ("x=1; Max-Age=-99999999999999999999", Some(0)),
        ("x=1; Max-Age=99999999999999999999999", Some(longest)),
        ("x=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT", Some(longest)),
        ("x=1; Expires=never", None),
        ("x=1; Expires=Mon, 21 Sep 2026 14:13:19 GMT", Some(0)),
    ] {
        assert_eq!(life(line), secs, "{line}");
    }
}

#[test]
fn what_is_over_deletes_what_has_the_same_name_domain_and_path() {
    check(&[
        here(&["x=1", "x=; Max-Age=0"], ""),
        here(&["x=1", "x=gone; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], ""),
        here(&["x=1; Path=/", "x=; Max-Age=0; Path=/a"], "x=1"),
        here(&["x=1", "x=; Max-Age=0; Domain=app.example"], "x=1"),
        here(&["x=1", "y=; Max-Age=0"], "x=1"),
    ]);
}

#[test]
fn a_strict_cookie_stays_at_home_when_another_site_asks() {
    let mut jar = Jar::default();
    for line in [
        "a=1; SameSite=Strict",
        "b=2; SameSite=Lax",
        "c=3; SameSite=None",
        "d=4",
        "e=5; SameSite=Strict; SameSite=Lax",
    ] {
        set(&mut jar, HOME, line, NOW).unwrap();
    }
    assert_eq!(sent_from(&mut jar, HOME, true, NOW), "b=2; c=3; d=4; e=5");
    assert_eq!(sent_from(&mut jar, HOME, false, NOW), "a=1; b=2; c=3; d=4; e=5");
}

#[test]
fn what_no_browser_would_keep_is_refused_by_name() {
    let long = "x".repeat(4094);
    let refused = |line: &str| set(&mut Jar::default(), HOME, line, NOW).unwrap_err();
    assert_eq!(refused(&format!("ab={long}y")), Refused::TooLong);
    assert!(set(&mut Jar::default(), HOME, &format!("ab={long}"), NOW).is_ok());
    assert_eq!(refused("=;Path=/"), Refused::Malformed);
    assert_eq!(refused("x=1; Domain=evil.example"), Refused::ForeignDomain);
    assert_eq!(refused("__Host-x=1"), Refused::Prefix);
    // An attribute of more than 1,024 bytes is none.
    let mut jar = Jar::default();
    set(&mut jar, HOME, &format!("x=1; Path=/{}", "p".repeat(1024)), NOW).unwrap();
    assert_eq!(sent(&mut jar, ("app.example", "/a/z"), NOW), "x=1");
}
