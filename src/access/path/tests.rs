//! Paths and patterns against those who read paths differently.

use proptest::prelude::*;

use super::*;

fn path(raw: &str) -> CanonicalPath {
    CanonicalPath::parse(raw).unwrap_or_else(|error| panic!("{raw:?}: {error}"))
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn honest_paths_pass_and_are_decoded_once() {
    for (raw, decoded) in [
        ("/", "/"),
        ("/a/b/", "/a/b/"),
        ("/%20%C3%BC+:@!~,='()*$&|", "/ ü+:@!~,='()*$&|"),
        ("/a%2eb/...", "/a.b/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/{a}^\"<>`[1]", "/{a}^\"<>`[1]"),
        ("/%61dmin", "/admin"),
    ] {
        assert_eq!(path(raw).as_str(), decoded);
    }
}

#[test]
fn whatever_could_be_read_in_two_ways_is_refused() {
    use AmbiguousPath as A;
    for (raw, error) in [
        ("", A::NotAbsolute),
        ("*", A::NotAbsolute),
        ("admin", A::NotAbsolute),
        ("http://app/", A::NotAbsolute),
        ("/public/../admin", A::DotSegment),
        ("/public/..", A::DotSegment),
        ("/./admin", A::DotSegment),
        ("/.", A::DotSegment),
        ("/%2e%2e/admin", A::DotSegment),
        ("/.%2E/admin", A::DotSegment),
        ("/%2e", A::DotSegment),
        ("/public/..%20/admin", A::DotSegment),
        ("/public/.%20%20", A::DotSegment),
        ("//admin", A::EmptySegment),
        ("/a//b", A::EmptySegment),
        ("/a//", A::EmptySegment),
        ("//", A::EmptySegment),
        ("/public\\..\\admin", A::Delimiter),
        ("/public;/../admin", A::Delimiter),
        ("/admin;a=b", A::Delimiter),
        ("/a?b", A::Delimiter),
        ("/a#b", A::Delimiter),
        ("/public/..%2fadmin", A::EncodedDelimiter),
        ("/public/..%5Cadmin", A::EncodedDelimiter),
        ("/a%3bb", A::EncodedDelimiter),
        ("/a%3Fb", A::EncodedDelimiter),
        ("/a%23b", A::EncodedDelimiter),
        ("/%252e%252e%252fadmin", A::EncodedDelimiter),
        ("/%25%32%65", A::EncodedDelimiter),
        ("/a%00", A::EncodedDelimiter),
        ("/a%0d%0aX:1", A::EncodedDelimiter),
        ("/a%7f", A::EncodedDelimiter),
        ("/a%C2%85", A::EncodedDelimiter),
        ("/a%", A::BadEscape),
        ("/a%2", A::BadEscape),
        ("/a%zz", A::BadEscape),
        ("/%u002e", A::BadEscape),
        ("/%+1", A::BadEscape),
        ("/%c0%ae%c0%ae/", A::NotUtf8),
        ("/%ff", A::NotUtf8),
        ("/a b", A::IllegalByte),
        ("/a\u{1}", A::IllegalByte),
        ("/a\u{7f}", A::IllegalByte),
        ("/ü", A::IllegalByte),
    ] {
        assert_eq!(CanonicalPath::parse(raw), Err(error), "{raw:?}");
    }
}

#[test]
fn patterns_match_whole_segments() {
    for (text, raw, exactly, loosely) in [
        ("/x/*", "/x", true, true),
        ("/x/*", "/x/", true, true),
        ("/x/*", "/x/y/z", true, true),
        ("/x/*", "/xy", false, false),
        ("/x/*", "/X/y", false, true),
        ("/x/*", "/", false, false),
        ("/*", "/", true, true),
        ("/*", "/any/thing", true, true),
        ("/x", "/x", true, true),
        ("/x", "/x/", false, true),
        ("/x/", "/x", false, true),
        ("/x", "/X/", false, true),
        ("/x", "/x/y", false, false),
        ("/x", "/%78", true, true),
        ("/", "/", true, true),
        ("/", "/x", false, false),
        ("/Straße", "/STRASSE", false, true),
        ("/über/*", "/%C3%9CBER/x", false, true),
        ("/admin/*", "/adm%C4%B1n/x", false, true),
        ("/status/*", "/%C5%BFtatus", false, true),
        ("/admin/*", "/admin%20/x", false, true),
        ("/admin/*", "/Admin.%20./x", false, true),
        ("/admin", "/admin.", false, true),
        ("/caf\u{e9}/*", "/cafe%CC%81/x", false, true),
        ("/cafe\u{301}/*", "/caf%C3%A9/x", false, true),
        ("/cafe\u{301}/*", "/CAF%C3%89/x", false, true),
        ("/caf\u{e9}/*", "/cafe/x", false, false),
        ("/Straße/*", "/STRA%E1%BA%9EE", false, true),
        ("/STRA\u{1e9e}E/*", "/strasse", false, true),
        ("/admin/*", "/%EF%BD%81%EF%BC%A4min/x", false, true),
        ("/\u{ff41}dmin/*", "/admin", false, true),
        ("/admin/*", "/admin%C2%A0/x", false, true),
        ("/admin/*", "/admin%E1%9A%80/x", false, true),
        ("/admin/*", "/admin%E3%80%80.", false, true),
        ("/a b", "/a%C2%A0b", false, true),
        ("/admin/*", "/ad%E2%80%8Bmin%EF%BB%BF", false, true),
        ("/a.b/*", "/a.b/x.y", true, true),
        ("/a.b/*", "/ab/x", false, false),
    ] {
        let (pattern, path) = (pattern(text), path(&raw.replace("ß", "%C3%9F")));
        assert_eq!(pattern.matches_exactly(&path), exactly, "{text} exactly {raw}");
        assert_eq!(pattern.matches_loosely(&path), loosely, "{text} loosely {raw}");
        assert_eq!(pattern.to_string(), text);
    }
}

#[test]
fn a_pattern_that_could_never_match_is_an_error() {
    for (text, error) in [
        ("x", PatternError::NotAbsolute),
        ("*", PatternError::NotAbsolute),
        ("/a*", PatternError::Star),
        ("/a/*/b", PatternError::Star),
        ("/*/*", PatternError::Star),
        ("/a//b", PatternError::Segment),
        ("//*", PatternError::Segment),
        ("/a/../b", PatternError::Segment),
        ("/a\u{ff0f}b/*", PatternError::Lookalike),
        ("/a/\u{200b}/b", PatternError::Lookalike),
        ("/a%20b", PatternError::Character('%')),
        ("/a?b", PatternError::Character('?')),
        ("/a;b", PatternError::Character(';')),
    ] {
        assert_eq!(Pattern::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn repositories_and_environment_files_are_never_served() {
    for raw in [
        "/.git",
        "/.%EF%BD%87it",
        "/.g%E2%80%8Cit/config",
        "/.git%C2%A0",
        "/.git/config",
        "/a/.SVN/x",
        "/.hg/",
        "/%2eenv",
        "/.env",
        "/.env.",
        "/.git%20/config",
    ] {
        assert!(path(raw).is_never_served(), "{raw}");
    }
    for raw in ["/", "/...", "/.gitignore", "/repo.git/info", "/env", "/.well-known/x"] {
        assert!(!path(raw).is_never_served(), "{raw}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_never_decoded_to_something_dangerous(raw in "/?(%[0-9a-fA-F]{2}|[a-z./\\\\;%]){0,12}") {
        if let Ok(path) = CanonicalPath::parse(&raw) {
            prop_assert!(path.as_str().starts_with('/'));
            prop_assert!(!path.as_str().contains(['\\', ';', '?', '#', '%']));
            prop_assert!(!path.as_str().contains("//"));
            prop_assert!(path.as_str().split('/').all(|segment| segment != "." && segment != ".."));
            prop_assert_eq!(path.as_str().matches('/').count(), raw.matches('/').count());
        }
    }

    #[test]
    fn what_matches_exactly_matches_loosely_in_any_case(stem in "(/[a-zA-Zäöüß]{1,4}){1,3}", rest in "(/[a-z]{1,3}){0,2}/?") {
        let pattern = pattern(&format!("{stem}/*"));
        for text in [format!("{stem}{rest}"), format!("{stem}{rest}").to_uppercase()] {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::CONTROLS).to_string();
            let path = path(&encoded);
            prop_assert!(pattern.matches_loosely(&path));
            prop_assert!(!pattern.matches_exactly(&path) || path.as_str().starts_with(&stem));
        }
    }
}

#[test]
fn lookalikes_of_dots_and_delimiters_are_refused_and_other_letters_are_not() {
    for path in [
        "/public/%ef%bc%8e%ef%bc%8e/private",
        "/public%ef%bc%8fprivate",
        "/a%ef%bc%bcb",
        "/%e2%80%a5/b",
        "/a/%e2%80%8b/b",
        "/a/.%e2%80%8b./b",
        "/a/..%c2%a0/b",
    ] {
        assert_eq!(CanonicalPath::parse(path), Err(AmbiguousPath::Lookalike), "{path}");
    }
    for path in ["/%e6%96%87%e6%9b%b8%ef%bc%8epdf", "/caf%C3%A9", "/%ef%bc%a1"] {
        assert!(CanonicalPath::parse(path).is_ok(), "{path}");
    }
}

#[test]
fn a_pattern_covers_what_it_matches_loosely() {
    let pattern = |text: &str| Pattern::parse(text).unwrap();
    for (wide, narrow, covers) in [
        ("/*", "/", true),
        ("/*", "/a/*", true),
        ("/a/*", "/a", true),
        ("/a/*", "/A/b/*", true),
        ("/a/*", "/ab", false),
        ("/a", "/a/", true),
        ("/a", "/a/*", false),
        ("/a/b", "/a", false),
    ] {
        assert_eq!(pattern(wide).covers(&pattern(narrow)), covers, "{wide} {narrow}");
    }
    assert!(pattern("/a/*").is_same(&pattern("/A/*")) && !pattern("/*").is_same(&pattern("/a")));
}

#[test]
fn a_spelling_that_is_not_the_usual_one_is_known() {
    for (text, usual) in [("/cafe\u{301}/*", "/caf\u{e9}/*"), ("/admin\u{a0}x/*", "/admin x/*")] {
        assert_eq!(usual_spelling(text).as_deref(), Some(usual), "{text:?}");
    }
    for text in [
        "/admin",
        "/caf\u{e9}/*",
        "/Straße",
        "/文書（公開）",
        "/文書\u{3000}一",
        "/می\u{200c}خواهم",
        "/☂\u{fe0f}",
    ] {
        assert_eq!(usual_spelling(text), None, "{text:?}");
    }
}
