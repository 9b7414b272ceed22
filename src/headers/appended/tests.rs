//! Heads of requests and answers, before and after.

use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    headers
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");

#[test]
fn the_app_is_asked_for_all_of_the_page_as_it_is() {
    let mut asked = headers(&[
        ("accept-encoding", "gzip, br"),
        ("range", "bytes=1-"),
        ("if-range", "\"a\""),
        ("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("accept", "text/html"),
    ]);
    assert!(!ask(&mut asked, "m"));
    assert_eq!(asked, headers(&[("accept-encoding", "identity"), ("accept", "text/html")]));
}

#[test]
fn only_a_page_with_our_mark_is_asked_about() {
    for (had, asks) in [
        (r#""a~m""#, Some(r#""a""#)),
        (r#"W/"a~m""#, Some(r#"W/"a""#)),
        (r#""a,b~m", W/"c~m""#, Some(r#""a,b", W/"c""#)),
        (r#""bare", "a~m", "b~other""#, Some(r#""a""#)),
        (r#""~m""#, Some(r#""""#)),
        (r#""a~~m""#, Some(r#""a~""#)),
        (r#""bare""#, None),
        (r#""a~other""#, None),
        (r#""am""#, None),
        ("*", None),
        ("a~m", None),
        ("\"a~m", Some("\"a\"")),
        ("", None),
    ] {
        let mut asked = headers(&[("if-none-match", had), ("if-modified-since", "yesterday")]);
        assert_eq!(ask(&mut asked, "m"), asks.is_some(), "{had}");
        assert_eq!(
            (field(&asked, "if-none-match"), field(&asked, "if-modified-since")),
            (asks, None),
            "{had}"
        );
    }
}

#[test]
fn what_has_a_moment_alone_is_asked_about_by_it() {
    let moment = "Thu, 01 Jan 2026 00:00:00 GMT";
    let mut page = headers(&[HTML, ("last-modified", moment)]);
    lengthen(&mut page, 9, Some("m"));
    let tag = field(&page, "etag").unwrap().to_owned();
    assert_eq!((tag.as_str(), field(&page, "last-modified")), (r#"W/"1767225600@m""#, Some(moment)));
    let mut asked = headers(&[("if-none-match", &tag), ("if-modified-since", moment)]);
    assert!(ask(&mut asked, "m"));
    assert_eq!((field(&asked, "if-none-match"), field(&asked, "if-modified-since")), (None, Some(moment)));
    let mut asked = headers(&[("if-none-match", &tag), ("if-modified-since", moment)]);
    assert!(!ask(&mut asked, "other") && field(&asked, "if-modified-since").is_none());
    assert!(!ask(&mut headers(&[("if-none-match", "\"x@m\"")]), "m"));
    assert!(ask(&mut headers(&[("if-none-match", "\"99999999999999@m\"")]), "m"));
}

#[test]
fn only_pages_that_are_shown_take_it() {
    let with = |more: &[(&str, &str)]| headers(&[&[HTML][..], more].concat());
    for (status, takes_it) in [
        (200, true),
        (201, true),
        (203, true),
        (404, true),
        (422, true),
        (500, true),
        (503, true),
        (204, false),
        (205, false),
        (206, false),
        (301, false),
        (303, false),
        (304, false),
        (101, false),
    ] {
        assert_eq!(takes(StatusCode::from_u16(status).unwrap(), &with(&[])), takes_it, "{status}");
    }
    for (lines, takes_it) in [
        (&[("content-length", "5")][..], true),
        (&[("content-length", "0")], false),
        (&[("content-encoding", "identity")], true),
        (&[("content-encoding", "gzip")], false),
        (&[("content-encoding", "identity"), ("content-encoding", "br")], false),
        (&[("content-range", "bytes 0-4/9")], false),
        (&[("content-disposition", "inline; filename=a.html")], true),
        (&[("content-disposition", "Attachment; filename=a.html")], false),
        (&[("content-disposition", "inline; filename=attachment.html")], true),
        (&[("content-disposition", "attachment; filename=\"übung.html\"")], false),
        (&[("content-disposition", "\"attachment\"")], false),
        (&[("content-disposition", "form-data; name=x")], false),
        (&[("cache-control", "x=\"ü\", no-transform")], false),
        (&[("cache-control", "private, max-age=5")], true),
        (&[("cache-control", "no-cache, No-Transform")], false),
    ] {
        assert_eq!(takes(StatusCode::OK, &with(lines)), takes_it, "{lines:?}");
    }
    assert!(!takes(StatusCode::OK, &HeaderMap::new()));
}

#[test]
fn only_html_with_ascii_in_it_takes_it() {
    for (kind, html) in [
        ("text/html", true),
        ("Text/HTML;Charset=\"UTF-8\"", true),
        ("text/html; charset=iso-8859-1", true),
        ("text/html; charset=Shift_JIS", true),
        ("text/html; charset=windows-1252; x=y", true),
        ("text/html; charset=utf-16", false),
        ("text/html; charset=UTF-16LE", false),
        ("text/html; charset=iso-2022-jp", false),
        ("text/html; charset=unicode", false),
        ("text/html; charset=utf-7", false),
        ("text/html; charset=", false),
        ("text/html-fragment", false),
        ("text/plain", false),
        ("application/xhtml+xml", false),
        ("text/event-stream", false),
        ("application/json", false),
        ("multipart/x-mixed-replace; boundary=x", false),
        ("", false),
    ] {
        assert_eq!(is_html(&headers(&[("content-type", kind)])), html, "{kind}");
    }
    assert!(!is_html(&headers(&[HTML, ("content-type", "text/plain")])));
}

#[test]
fn the_head_fits_the_longer_page() {
    let mut page = headers(&[
        HTML,
        ("content-length", "100"),
        ("etag", "\"a\""),
        ("content-md5", "x"),
        ("digest", "sha-256=x"),
        ("repr-digest", "sha-256=:x:"),
        ("accept-ranges", "bytes"),
    ]);
    lengthen(&mut page, 23, Some("m"));
    let longer = headers(&[HTML, ("content-length", "123"), ("etag", "\"a~m\""), ("accept-ranges", "none")]);
    assert_eq!(page, longer);
    let mut streamed = headers(&[HTML, ("etag", "W/\"a\"")]);
    lengthen(&mut streamed, 23, Some("m"));
    assert_eq!(streamed, headers(&[HTML, ("etag", "W/\"a~m\""), ("accept-ranges", "none")]));
}

#[test]
fn what_differs_each_time_has_no_tag() {
    let mut page = headers(&[("etag", "\"a\""), ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")]);
    lengthen(&mut page, 1, None);
    assert_eq!(field(&page, "etag"), None);
}

#[test]
fn a_tag_that_is_none_goes() {
    for tag in ["abc", "\"", "abc\"", ""] {
        let mut page = headers(&[("etag", tag)]);
        mark_tag(&mut page, "m");
        assert!(field(&page, "etag").is_none_or(|tag| tag == "\"~m\""), "{tag}");
    }
}

proptest! {
    #[test]
    fn the_app_gets_its_own_tag_back(weak in any::<bool>(), opaque in "[!#-~]{0,20}", mark in "[0-9a-f.]{1,9}") {
        let tag = format!("{}\"{opaque}\"", if weak { "W/" } else { "" });
        let mut page = headers(&[("etag", &tag)]);
        mark_tag(&mut page, &mark);
        let marked = field(&page, "etag").unwrap();
        let mut asked = headers(&[("if-none-match", &format!("\"x\", {marked}"))]);
        prop_assert!(ask(&mut asked, &mark));
        prop_assert_eq!(field(&asked, "if-none-match"), Some(tag.as_str()));
    }
}
