//! Each check over made-up observations: what is well, what is not, and what cannot be said.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use url::Url;

use crate::clock::Timestamp;
use crate::doctor::catalogue;
use crate::doctor::check::passive;
use crate::doctor::client::Answer;
use crate::doctor::client::Reach;
use crate::doctor::finding::Check;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Status;
use crate::doctor::seen::Seen;
use crate::doctor::seen::Visit;
use crate::doctor::target::Target;
use crate::doctor::tls::Handshake;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const RANDOM: [&str; 3] = [
    "Jq2c9U3m-8r0yPzK1xW7vT5bN4sD6gHhLfA_eQoIuYk",
    "q0c1X9v2mZ7-kRw3Ty5uB8nHsE4dLpA6fGjIoC_WxQa",
    "aZ7p_1Lk0VwXq-3sR9tYb5NcE8uHmD2fJ4oG6iTzKxU",
];

/// An answer over good TLS.
pub(crate) fn visit(url: &str, status: u16, fields: &[(&str, &str)], body: &str) -> Visit {
    let url = Url::parse(url).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    let expires = Some(NOW.after(std::time::Duration::from_hours(60 * 24)));
    let handshake = Handshake { version: "1.3", untrusted: None, expires };
    let tls = (url.scheme() == "https").then_some(handshake);
    Visit::new(url, Answer { status, headers, body: body.as_bytes().to_vec(), tls }, NOW)
}

fn seen(url: &str) -> Seen {
    Seen::nothing(Target::parse(url).unwrap(), None, NOW)
}

const HTML: (&str, &str) = ("content-type", "text/html");
const FRONT: &str = "https://app.example/";

/// A page with these fields, and a login behind it.
fn page(fields: &[(&str, &str)], body: &str) -> Seen {
    let fields: Vec<_> = fields.iter().copied().chain([HTML]).collect();
    Seen { front: vec![visit(FRONT, 200, &fields, body)], ..seen(FRONT) }
}

fn cookie(line: &str) -> Seen {
    page(&[("set-cookie", line)], "")
}

fn found(seen: &Seen, check: &'static Check) -> Finding {
    passive(seen).into_iter().find(|finding| finding.check.name == check.name).unwrap()
}

fn status(seen: &Seen, check: &'static Check) -> Status {
    found(seen, check).status
}

#[test]
fn every_check_comes_to_something_once() {
    let names = |findings: Vec<Finding>| {
        let mut names: Vec<_> = findings.iter().map(|finding| finding.check.name).collect();
        names.sort_unstable();
        names
    };
    let mut all: Vec<_> = catalogue::PASSIVE.iter().map(|check| check.name).collect();
    all.sort_unstable();
    assert_eq!(names(passive(&seen(FRONT))), all);
    assert_eq!(names(passive(&cookie("sid=1000; Path=/"))), all);
}

#[test]
fn cookies_are_judged_by_their_attributes() {
    use Status::{Fail, Pass, Skip, Warn};
    let good = "__Host-session=x; Path=/; Secure; HttpOnly; SameSite=Lax";
    let bare = "sid=1000; Path=/";
    for (check, line, expected) in [
        (&catalogue::COOKIE_SECURE, good, Pass),
        (&catalogue::COOKIE_SECURE, bare, Fail),
        (&catalogue::COOKIE_SECURE, "theme=dark", Fail),
        (&catalogue::COOKIE_SECURE, "theme=; Max-Age=0", Skip),
        (&catalogue::COOKIE_HTTP_ONLY, good, Pass),
        (&catalogue::COOKIE_HTTP_ONLY, bare, Fail),
        (&catalogue::COOKIE_HTTP_ONLY, "theme=dark", Skip),
        (&catalogue::COOKIE_SAME_SITE, good, Pass),
        (&catalogue::COOKIE_SAME_SITE, "sid=1; SameSite=Strict", Pass),
        (&catalogue::COOKIE_SAME_SITE, bare, Fail),
        (&catalogue::COOKIE_SAME_SITE, "sid=1; Secure; SameSite=None", Fail),
        (&catalogue::COOKIE_HOST_ONLY, good, Pass),
        (&catalogue::COOKIE_HOST_ONLY, "sid=1; Domain=example", Fail),
        (&catalogue::COOKIE_PREFIX, good, Pass),
        (&catalogue::COOKIE_PREFIX, bare, Warn),
        (&catalogue::COOKIE_LIFETIME, good, Pass),
        (&catalogue::COOKIE_LIFETIME, "sid=1; Max-Age=999999999", Warn),
        (&catalogue::COOKIE_NAME, good, Pass),
        (&catalogue::COOKIE_NAME, "PHPSESSID=1", Warn),
        (&catalogue::COOKIE_NAME, "ASPSESSIONIDQABRTCQC=1", Warn),
        (&catalogue::COOKIE_GRAMMAR, good, Pass),
        (&catalogue::COOKIE_GRAMMAR, "a=b; SameSite=None", Warn),
    ] {
        assert_eq!(status(&cookie(line), check), expected, "{} of {line:?}", check.name);
    }
    let twice = page(&[("set-cookie", "a=1"), ("set-cookie", "a=2")], "");
    assert_eq!(status(&twice, &catalogue::COOKIE_GRAMMAR), Warn);
    let replaced = page(&[("set-cookie", "a=; Max-Age=0"), ("set-cookie", "a=2")], "");
    assert_eq!(status(&replaced, &catalogue::COOKIE_GRAMMAR), Pass);
}

#[test]
fn a_cookie_that_was_named_is_the_session_and_no_other() {
    let named =
        Seen { named: Some("k".to_owned()), ..page(&[("set-cookie", "sid=1"), ("set-cookie", "k=1")], "") };
    assert_eq!(found(&named, &catalogue::COOKIE_HTTP_ONLY).evidence, ["GET /: Set-Cookie: k=(1 byte)"]);
}

#[test]
fn ids_are_judged_by_several_of_them() {
    use Status::{Fail, Pass, Skip, Warn};
    let several = |values: &[&str]| {
        let mut given: Vec<_> = values
            .iter()
            .map(|value| visit(FRONT, 200, &[("set-cookie", &format!("sid={value}"))], ""))
            .collect();
        Seen { front: vec![given.remove(0)], again: given, ..seen(FRONT) }
    };
    for (values, expected) in [
        (&["1001", "1002", "1003"][..], Fail),
        (&["abcdefgh12345678abcdefgh"; 3], Fail),
        (&RANDOM, Pass),
        (&["1f0c9c3b6c0b4b6d9a3e5a7f"], Warn),
        (&["eyJfZnJlc2giOnRydWV9.aZx0Qg.4v6Jk0mYt2sQp8wR1bN5cV7dLxE"], Skip),
    ] {
        assert_eq!(status(&several(values), &catalogue::ID_ENTROPY), expected, "{values:?}");
    }
    assert!(
        found(&several(&["1001", "1002", "1003"]), &catalogue::ID_ENTROPY).says.contains("at most 1 more")
    );
    let readable = several(&["eyJfdXNlcl9pZCI6Im5vcmEifQ.aZx0Qg.4v6Jk0mYt2sQp8wR1bN5cV7dLxE"]);
    assert_eq!(status(&readable, &catalogue::ID_MEANING), Fail);
    assert_eq!(status(&several(&RANDOM), &catalogue::ID_MEANING), Pass);
}

#[test]
fn a_made_up_id_is_to_be_replaced() {
    let with = |fields: &[(&str, &str)]| Seen {
        planted: Some(("made-up".to_owned(), visit(FRONT, 200, fields, ""))),
        ..cookie("sid=abc")
    };
    assert_eq!(status(&with(&[("set-cookie", "sid=other")]), &catalogue::ID_ADOPTED), Status::Pass);
    assert_eq!(status(&with(&[("set-cookie", "sid=made-up")]), &catalogue::ID_ADOPTED), Status::Fail);
    assert_eq!(status(&with(&[]), &catalogue::ID_ADOPTED), Status::Warn);
}

#[test]
fn a_session_in_an_address_is_seen_by_name_and_by_value() {
    for (field, body) in [
        ("/start;jsessionid=1234", ""),
        ("/start?PHPSESSID=1234", ""),
        ("/start", "<a href='/next?t=0123456789abcdef'>"),
        ("/start", "<form action='/next;sid=1'>"),
    ] {
        let fields = [("set-cookie", "sid=0123456789abcdef"), ("location", field)];
        assert_eq!(status(&page(&fields, body), &catalogue::ID_IN_URL), Status::Fail, "{field} {body}");
    }
    let clean =
        page(&[("set-cookie", "sid=0123456789abcdef"), ("location", "/inside")], "<a href='/aside=1'>");
    assert_eq!(status(&clean, &catalogue::ID_IN_URL), Status::Pass);
}

#[test]
fn an_answer_with_a_cookie_is_not_for_caches() {
    use Status::{Fail, Pass, Warn};
    for (control, expected) in [
        ("no-store", Pass),
        ("private, no-store, max-age=0", Pass),
        ("private", Warn),
        ("no-cache", Warn),
        ("", Warn),
        ("max-age=0", Warn),
        ("public, max-age=600", Fail),
        ("max-age=600", Fail),
        ("private, max-age=600", Warn),
    ] {
        let seen = page(&[("set-cookie", "sid=1"), ("cache-control", control)], "");
        assert_eq!(status(&seen, &catalogue::ID_CACHED), expected, "{control:?}");
    }
}

#[test]
fn plain_http_leads_to_https_and_does_nothing_else() {
    use Status::{Fail, Pass, Skip};
    let plain = |status, fields: &[(&str, &str)]| Seen {
        plain: Some(Ok(visit("http://app.example/", status, fields, ""))),
        ..page(&[], "")
    };
    for (seen, expected) in [
        (page(&[], ""), Skip),
        (plain(308, &[("location", "https://app.example/")]), Pass),
        (plain(421, &[]), Pass),
        (plain(200, &[]), Fail),
        (plain(302, &[("location", "http://app.example/login")]), Fail),
        (plain(301, &[("location", "https://app.example/"), ("set-cookie", "sid=1")]), Fail),
        (
            Seen { front: vec![visit("http://app.example/", 200, &[], "")], ..seen("http://app.example/") },
            Fail,
        ),
    ] {
        assert_eq!(status(&seen, &catalogue::HTTPS_ONLY), expected);
    }
}

#[test]
fn certificates_and_versions_are_judged_by_the_handshake() {
    use Status::{Fail, Info, Pass, Warn};
    let with = |target: &str, untrusted: Option<&str>, days: u64| {
        let mut seen = Seen { old_tls: Some(false), ..seen(target) };
        let mut front = visit(target, 200, &[], "");
        let expires = Some(NOW.after(std::time::Duration::from_hours(days * 24)));
        front.answer.tls =
            Some(Handshake { version: "1.2", untrusted: untrusted.map(str::to_owned), expires });
        seen.front.push(front);
        seen
    };
    for (seen, expected) in [
        (with(FRONT, None, 60), Pass),
        (with(FRONT, None, 3), Warn),
        (with(FRONT, Some("it has expired"), 0), Fail),
        (with("https://localhost:8443/", Some("nobody"), 60), Info),
    ] {
        assert_eq!(status(&seen, &catalogue::TLS_CERTIFICATE), expected);
        assert_eq!(status(&seen, &catalogue::TLS_VERSION), Pass);
    }
    let old = Seen { old_tls: Some(true), ..with(FRONT, None, 60) };
    assert_eq!(status(&old, &catalogue::TLS_VERSION), Fail);
}

#[test]
fn strict_transport_is_asked_of_public_names_alone() {
    use Status::{Fail, Pass, Skip, Warn};
    for (value, expected) in [
        ("max-age=63072000; includeSubDomains", Pass),
        ("includeSubDomains; MAX-AGE=\"31536000\"", Pass),
        ("max-age=86400", Warn),
        ("max-age=0", Fail),
        ("includeSubDomains", Fail),
    ] {
        let seen = page(&[("strict-transport-security", value)], "");
        assert_eq!(status(&seen, &catalogue::HSTS), expected, "{value}");
    }
    assert_eq!(status(&page(&[], ""), &catalogue::HSTS), Fail);
    let local = Seen {
        front: vec![visit("https://localhost:8443/", 200, &[], "")],
        ..seen("https://localhost:8443")
    };
    assert_eq!(status(&local, &catalogue::HSTS), Skip);
}

#[test]
fn framing_types_and_referrers_are_what_the_page_says() {
    use Status::{Pass, Warn};
    for (check, name, value, expected) in [
        (&catalogue::FRAMING, "content-security-policy", "default-src x; frame-ancestors 'self'", Pass),
        (&catalogue::FRAMING, "content-security-policy", "frame-ancestors *", Warn),
        (&catalogue::FRAMING, "content-security-policy", "default-src 'self'", Warn),
        (&catalogue::FRAMING, "x-frame-options", "SAMEORIGIN", Pass),
        (&catalogue::FRAMING, "x-frame-options", "ALLOW-FROM https://a.example", Warn),
        (&catalogue::NOSNIFF, "x-content-type-options", "nosniff", Pass),
        (&catalogue::NOSNIFF, "x-content-type-options", "sniff", Warn),
        (&catalogue::REFERRER_POLICY, "referrer-policy", "no-referrer", Pass),
        (&catalogue::REFERRER_POLICY, "referrer-policy", "odd, same-origin", Pass),
        (&catalogue::REFERRER_POLICY, "referrer-policy", "unsafe-url", Warn),
    ] {
        assert_eq!(status(&page(&[(name, value)], ""), check), expected, "{name}: {value}");
    }
    for check in [&catalogue::FRAMING, &catalogue::NOSNIFF, &catalogue::REFERRER_POLICY] {
        assert_eq!(status(&page(&[], ""), check), Warn);
        assert_eq!(status(&seen(FRONT), check), Status::Skip);
    }
}

#[test]
fn a_password_goes_in_a_post_over_tls() {
    use Status::{Fail, Pass, Skip, Warn};
    for (body, expected) in [
        ("<form method=post action=/in><input type=password>", Pass),
        ("<form><input type=password>", Fail),
        ("<form method=post action=http://app.example/in><input type=password>", Fail),
        ("<form method=post action=https://sso.example/in><input type=password>", Warn),
        ("<input type=password>", Skip),
        ("<form><input type=text></form>", Skip),
    ] {
        assert_eq!(status(&page(&[], body), &catalogue::LOGIN_FORM), expected, "{body}");
    }
}

#[test]
fn other_origins_are_let_in_by_nobody() {
    use Status::{Fail, Pass, Warn};
    let evil = "https://vestibule-doctor.invalid";
    let with = |fields: &[(&str, &str)]| Seen {
        foreign: vec![(evil, visit(FRONT, 200, fields, "")), ("null", visit(FRONT, 200, &[], ""))],
        ..page(&[], "")
    };
    for (fields, expected) in [
        (&[][..], Pass),
        (&[("access-control-allow-origin", "*")], Pass),
        (&[("access-control-allow-origin", evil)], Warn),
        (&[("access-control-allow-origin", evil), ("access-control-allow-credentials", "true")], Fail),
    ] {
        assert_eq!(status(&with(fields), &catalogue::CORS), expected, "{fields:?}");
    }
}

#[test]
fn software_is_named_by_nobody() {
    assert_eq!(status(&page(&[("server", "nginx")], ""), &catalogue::BANNER), Status::Pass);
    let told =
        found(&page(&[("server", "Werkzeug/3.1"), ("x-powered-by", "Express")], ""), &catalogue::BANNER);
    assert_eq!(told.evidence, ["Server: Werkzeug/3.1", "x-powered-by: Express"]);
}

#[test]
fn error_pages_are_as_careful_as_others() {
    let missing = |fields: &[(&str, &str)], body: &str| Seen {
        missing: Some(visit("https://app.example/none", 404, fields, body)),
        ..page(&[("x-content-type-options", "nosniff")], "")
    };
    let fine = missing(&[("x-content-type-options", "nosniff")], "Not found");
    assert_eq!(status(&fine, &catalogue::ERROR_PAGE), Status::Pass);
    assert_eq!(status(&missing(&[], ""), &catalogue::ERROR_PAGE), Status::Warn);
    let trace = missing(&[("x-content-type-options", "nosniff")], "Traceback (most recent call last):");
    assert_eq!(
        found(&trace, &catalogue::ERROR_PAGE).evidence,
        ["a page that is not there shows a Python traceback"]
    );
}

#[test]
fn no_value_of_a_cookie_is_in_any_finding() {
    let secret = "s3cr3t-value-that-nobody-may-see-0123456789";
    let line = format!("sid={secret}; Path=/;sid={secret}; Domain=x");
    let seen = Seen {
        again: vec![visit(FRONT, 200, &[("set-cookie", &line)], "")],
        planted: Some((secret.to_owned(), visit(FRONT, 200, &[("set-cookie", &line)], ""))),
        ..page(
            &[("set-cookie", &line), ("location", &format!("/?sid={secret}"))],
            &format!("<a href='/?a={secret}'>"),
        )
    };
    for finding in passive(&seen) {
        let text = format!("{} {:?}", finding.says, finding.evidence);
        assert!(!text.contains("s3cr3t"), "{}: {text}", finding.check.name);
    }
}

#[test]
fn the_documents_list_every_check() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md")).unwrap();
    let all = catalogue::PASSIVE.iter().chain(catalogue::active::ACTIVE).copied();
    for check in all.chain([&catalogue::APP_REACHABLE]) {
        let row = format!("| `{}` | {} | {} |\n", check.name, check.standard, check.good);
        assert!(page.contains(&row), "docs/doctor.md lacks {row}");
    }
}

#[test]
fn an_app_is_reached_through_the_gateway_alone() {
    use crate::doctor::check::transport::app_reachable;
    let app = |text: &str| Target::parse(text).unwrap();
    let (site, bare) = (app(FRONT), app("http://192.0.2.1:5000"));
    let refused = || Reach::NotTaken("refused".to_owned());
    for (app, site, reach, expected) in [
        (&bare, &site, refused(), Status::Pass),
        (&bare, &site, Reach::Taken, Status::Fail),
        (&bare, &site, Reach::Own, Status::Skip),
        (&bare, &site, Reach::Unknown("no such name".to_owned()), Status::Skip),
        (&bare, &app("https://localhost:8443"), refused(), Status::Skip),
        (&app("http://localhost:5000"), &site, Reach::Taken, Status::Skip),
        (&site, &site, Reach::Taken, Status::Skip),
    ] {
        assert_eq!(app_reachable(app, site, reach).status, expected);
    }
}
