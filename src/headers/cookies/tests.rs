//! Cookies against attackers and against other people's parsers.

use proptest::prelude::*;

use super::*;

const OURS: &str = "__Host-Http-session";
const RESERVED: [&str; 2] = [OURS, "__Host-Http-pre"];

fn request(lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
    }
    headers
}

fn stripped(lines: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut headers = request(lines);
    strip(&mut headers, &RESERVED);
    headers.get_all(COOKIE).iter().map(|line| line.as_bytes().to_vec()).collect()
}

#[test]
fn only_the_exact_name_is_found_and_only_once() {
    for (lines, found) in [
        (&[&b"a=1; __Host-Http-session=tok; b=2"[..]][..], Found::One(b"tok")),
        (&[b"a=1", b"__Host-Http-session=tok"], Found::One(b"tok")),
        (&[b"a=1;__Host-Http-session=tok=="], Found::One(b"tok==")),
        (&[b"__Host-Http-session="], Found::One(b"")),
        (&[], Found::None),
        (&[b"__Host-Http-session"], Found::None),
        (&[b"__Host-Http-session2=tok"], Found::None),
        (&[b"x__Host-Http-session=tok"], Found::None),
        (&[b"__host-http-session=tok"], Found::None),
        (&[b"__Host-Http-session =tok"], Found::None),
        (&[b"\xe2\x80\x80__Host-Http-session=tok"], Found::None),
        (&[b"\xa0__Host-Http-session=tok"], Found::None),
        (&[b"=__Host-Http-session=tok"], Found::None),
        (&[b"%5f_Host-Http-session=tok"], Found::None),
        (&[b"a=__Host-Http-session=tok"], Found::None),
        (&[b"__Host-Http-session=a; __Host-Http-session=b"], Found::Several),
        (&[b"__Host-Http-session=a", b"__Host-Http-session=a"], Found::Several),
        (&[b"__Host-Http-session=a; __Host-Http-session="], Found::Several),
    ] {
        assert_eq!(find(&request(lines), OURS), found, "{lines:?}");
    }
}

#[test]
fn every_spelling_of_ours_is_taken_out() {
    for spelling in [
        &b"__Host-Http-session=x"[..],
        b"__host-http-SESSION=x",
        b"__Host-Http-session",
        b"__Host-Http-session =x",
        b"\t __Host-Http-session\t= x",
        b"=__Host-Http-session=x",
        b"= =__Host-Http-session=x",
        b"\xe2\x80\x80__Host-Http-session=x",
        b"__Host-Http-session\xe2\x80\x80=x",
        b"\xa0__Host-Http-session=x",
        b"\x85__Host-Http-session=x",
        b"\xef\xbb\xbf__Host-Http-session=x",
        b"\"__Host-Http-session\"=x",
        b"..Host-Http-session=x",
        b"_[Host-Http-session=x",
        b"__Host-Http-session[a]=x",
        b"%5f%5FHost-Http-session=x",
        b"__Host-Http-session%00y=x",
        b"z=1 __Host-Http-session=x",
        b"z=1,__Host-Http-session=x",
        b"z=1, __Host-Http-session = x",
        b"z __Host-Http-session=x",
        b"__Host-Http-pre=x",
    ] {
        let line = [b"a=1; ", spelling, b"; b=2"].concat();
        assert_eq!(stripped(&[&line]), [b"a=1; b=2"], "{:?}", spelling.escape_ascii().to_string());
        assert!(stripped(&[spelling]).is_empty(), "{:?}", spelling.escape_ascii().to_string());
    }
}

#[test]
fn ours_is_taken_out_of_a_quoted_value_that_spans_pairs() {
    assert_eq!(stripped(&[b"a=\"; __Host-Http-session=x; b=\""]), [b"a=\"; b=\""]);
}

#[test]
fn foreign_cookies_keep_their_bytes_and_order() {
    for line in [
        &b"a=1;b=2;  c=3; "[..],
        b"json={\"a\": [1, 2]}; b64=YWJj==; raw=\x80\xff\xfe; utf8=\xc3\xbc",
        b"a=\"x;y\"; ; ;b",
        b"x__Host-Http-session=1; __Host-Http-session2=2; __Host-Http-sessio=3",
        b"a=__Host-Http-session=1",
        b"consent=[\"a\", \"__Host-Http-session\"]",
        b"sid_chunks=99999999; session=x; __Host-other=y",
        b"",
        b";",
    ] {
        assert_eq!(stripped(&[line]), [line], "{:?}", line.escape_ascii().to_string());
    }
}

#[test]
fn what_stays_beside_ours_keeps_its_bytes() {
    for (line, kept) in [
        (&b"__Host-Http-session=x;a=1;  b=\"p;;q\""[..], &b"a=1;  b=\"p;;q\""[..]),
        (b"a=1;__Host-Http-session=x;b=\xff", b"a=1;b=\xff"),
        (b"a=1; __Host-Http-session=x", b"a=1"),
        (b"a=1; __Host-Http-session=x;", b"a=1;"),
    ] {
        assert_eq!(stripped(&[line]), [kept]);
    }
    assert!(stripped(&[b"__Host-Http-session=x; ;"]).is_empty());
}

#[test]
fn crumbs_become_one_line() {
    assert_eq!(stripped(&[b"a=1", b"b=\xff; c=3", b"d"]), [b"a=1; b=\xff; c=3; d"]);
    assert_eq!(stripped(&[b"__Host-Http-session=x", b"a=1", b"__Host-Http-pre=y; b=2"]), [b"a=1; b=2"]);
    assert!(stripped(&[b"__Host-Http-session=x", b"__Host-Http-session=y"]).is_empty());
    assert!(stripped(&[b"", b""]).is_empty());
}

#[test]
fn hostile_lines_do_not_cost_the_square_of_their_length() {
    for unit in ["=", " ", ", ", "__Host-Http-session", "__Host-Http-session ", "\"=", "%5f", ";"] {
        let line = unit.repeat(64 * 1024 / unit.len());
        stripped(&[line.as_bytes()]);
    }
}

/// Names as Python's `http.cookies.SimpleCookie` reads them: a pair ends at white space or a semicolon.
fn simple_cookie(line: &str) -> Vec<String> {
    let ends = |c: char| c.is_ascii_whitespace() || c == ';';
    let mut names = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('=') {
        let name = before.trim_ascii_end().rsplit(ends).next();
        names.extend(name.map(str::to_owned));
        let value = after.trim_ascii_start();
        rest = match value.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some((_, rest)) => rest,
            None => value.find(ends).and_then(|end| value.get(end..)).unwrap_or(""),
        };
    }
    names
}

/// Names as werkzeug and Django read them: Unicode white space trimmed, a leading equals sign dropped by old ones.
fn werkzeug(line: &str) -> Vec<String> {
    let name =
        |pair: &str| pair.trim().trim_start_matches('=').split('=').next().unwrap_or("").trim().to_owned();
    line.split(';').map(name).collect()
}

/// Names as jshttp/cookie reads them, in its old form that split at commas too; JavaScript trims U+FEFF as well.
fn jshttp(line: &str) -> Vec<String> {
    let trim = |text: &str| text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').to_owned();
    line.split([';', ',']).filter_map(|pair| pair.split_once('=')).map(|(name, _)| trim(name)).collect()
}

/// Names as PHP reads them: decoded (before 7.2.34), trimmed on the left, mangled, cut at an index.
fn php(line: &str) -> Vec<String> {
    let pairs = line.split(';').filter_map(|pair| pair.split_once('='));
    let names =
        pairs.map(|(name, _)| percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned());
    let cut = |name: String| {
        let name = name.trim_start_matches(' ').split('\0').next().unwrap_or("");
        let indexed = name.split_once('[').filter(|(_, index)| index.contains(']'));
        indexed.map_or(name, |(name, _)| name).replace(['.', ' ', '['], "_")
    };
    names.map(cut).collect()
}

/// The line as a server's strings hold it: bytes as Latin-1 (WSGI, Node) or as UTF-8.
fn as_text(line: &[u8]) -> [String; 2] {
    [line.iter().map(|byte| char::from(*byte)).collect(), String::from_utf8_lossy(line).into_owned()]
}

fn hostile_piece() -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&'static [u8]> = vec![
        b"__Host-Http-session",
        b"__host-http-session",
        b"..Host-Http-session",
        b"%5f_Host-Http-session",
        b"=",
        b"=",
        b";",
        b";",
        b" ",
        b"\t",
        b",",
        b"\"",
        b"a",
        b"b=1",
        b"[x]",
        b"%00",
        b"\xa0",
        b"\x85",
        b"\xe2\x80\x80",
        b"\xef\xbb\xbf",
        b"x",
    ];
    prop::collection::vec(prop::sample::select(parts), 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn after_stripping_no_parser_reads_ours(line in hostile_piece()) {
        for kept in stripped(&[&line]) {
            for text in as_text(&kept) {
                for names in [simple_cookie(&text), werkzeug(&text), jshttp(&text), php(&text)] {
                    prop_assert!(
                        !names.iter().any(|name| name.eq_ignore_ascii_case(OURS)),
                        "{:?} left {:?}, read as {:?}", line.escape_ascii().to_string(), text, names
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_found_is_always_taken_out(line in hostile_piece()) {
        let mut headers = request(&[&line]);
        strip(&mut headers, &RESERVED);
        prop_assert_eq!(find(&headers, OURS), Found::None);
    }

    #[test]
    fn foreign_lines_stay_untouched(pairs in prop::collection::vec("[a-zA-Z0-9_.-]{1,12}=[ -:<-~]{0,20}", 1..6)) {
        let line = pairs.join("; ");
        prop_assume!(!line.to_ascii_lowercase().contains("host-http"));
        prop_assert_eq!(stripped(&[line.as_bytes()]), vec![line.into_bytes()]);
    }

    #[test]
    fn ours_among_foreign_ones_goes_alone(
        before in prop::collection::vec("[a-z]{1,6}=[!-:<-~]{0,10}", 0..4),
        after in prop::collection::vec("[a-z]{1,6}=[!-:<-~]{0,10}", 0..4),
    ) {
        let kept: Vec<String> = before.iter().chain(&after).cloned().collect();
        let ours = vec![format!("{OURS}=tok")];
        let line = [before, ours, after].concat().join("; ");
        let expected: Vec<Vec<u8>> = if kept.is_empty() { vec![] } else { vec![kept.join("; ").into_bytes()] };
        prop_assert_eq!(stripped(&[line.as_bytes()]), expected);
    }
}
