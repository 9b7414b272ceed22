//! Tables of requests that must pass, must be refused, and must be cut, each in one piece and in random pieces.

use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 32 * 1024, fields: 100 };

fn whole(input: &[u8]) -> (usize, Option<Fault>, Place, u32) {
    let mut scanner = Scanner::new(LIMITS);
    let (passed, fault) = scanner.scan(input);
    (passed, fault, scanner.place(), scanner.heads())
}

/// What `guard` does: keeps what did not pass and offers it again with what comes next.
fn pieces(input: &[u8], cuts: &[usize]) -> (usize, Option<Fault>, Place, u32) {
    let mut scanner = Scanner::new(LIMITS);
    let (mut held, mut total, mut from) = (Vec::new(), 0, 0);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    ends.push(input.len());
    ends.sort_unstable();
    for end in ends {
        held.extend_from_slice(&input[from..end]);
        from = end;
        let (passed, fault) = scanner.scan(&held);
        total += passed;
        held.drain(..passed);
        if fault.is_some() {
            return (total, fault, scanner.place(), scanner.heads());
        }
    }
    (total, None, scanner.place(), scanner.heads())
}

#[track_caller]
fn check(input: &[u8], expected: (usize, Option<Fault>, Place, u32)) {
    let shown = String::from_utf8_lossy(&input[..input.len().min(120)]).into_owned();
    assert_eq!(whole(input), expected, "in one piece: {shown:?}");
    let every_byte: Vec<usize> = (0..input.len()).collect();
    assert_eq!(pieces(input, &every_byte), expected, "byte by byte: {shown:?}");
}

#[track_caller]
fn passes(input: &str) {
    let heads = whole(input.as_bytes()).3;
    check(input.as_bytes(), (input.len(), None, Place::Between, heads));
}

#[track_caller]
fn refused(input: &str, expected: u16) {
    let (passed, fault, ..) = whole(input.as_bytes());
    let Some(Fault::Head(refusal)) = fault else {
        panic!("{input:?} was not refused: {fault:?}");
    };
    assert_eq!(refusal.status().as_u16(), expected, "{input:?}: {refusal:?}");
    check(input.as_bytes(), (passed, fault, Place::Ended, 0));
}

fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

#[track_caller]
fn cut(body: &str) {
    let (_, fault, place, heads) = whole(chunked(body).as_bytes());
    assert!(matches!(fault, Some(Fault::Body(_))), "{body:?} passed");
    assert_eq!((place, heads), (Place::Ended, 1));
}

#[test]
fn honest_requests_pass() {
    for input in [
        "GET / HTTP/1.1\r\nHost: app\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: app\r\n\r\n",
        "GET http://app/x?y=1 HTTP/1.1\r\nHost: app\r\n\r\n",
        "GET /a[]|{}\"x?q={1};b HTTP/1.1\r\nhost:app\r\nX-Utf8: \u{fc}\u{20ac}\r\nEmpty:\r\nTab: a\tb\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app\r\n\r\nPOST / HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\nHost: c\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app\r\ntransfer-encoding:\t Chunked \r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: v\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app\r\nUpgrade: foo\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app\r\nUpgrade: websocket\r\n\r\n",
    ] {
        passes(input);
    }
}

#[test]
fn behind_a_websocket_request_nothing_is_read() {
    let input = b"GET /ws HTTP/1.1\r\nHost: app\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\r\n\x81\x05hello";
    check(input, (input.len(), None, Place::Opaque, 1));
}

#[test]
fn request_lines_have_one_form() {
    for (line, status) in [
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/2.0", 505),
        ("PRI * HTTP/2.0", 505),
        ("GET / HTTP/01.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET\t/ HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("GET /", 400),
        ("GET", 400),
        ("get / HTTP/1.1", 400),
        ("GET? / HTTP/1.1", 400),
        ("\r\nGET / HTTP/1.1", 400),
        ("GET /a#b HTTP/1.1", 400),
        ("GET /\u{e9} HTTP/1.1", 400),
        ("GET /a\rb HTTP/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET /\0 HTTP/1.1", 400),
        ("GET http://[::1/ HTTP/1.1", 400),
        ("\x16\x03\x01\x02", 400),
    ] {
        refused(&format!("{line}\r\nHost: app\r\n\r\n"), status);
    }
}

#[test]
fn fields_have_one_form() {
    for field in [
        "Host : app",
        " Host: app",
        "\tfolded",
        "X: a\r\n folded",
        ": empty",
        "nocolon",
        "X: a\nY: b",
        "X: a\rY: b",
        "X: a\0b",
        "X: a\x7fb",
        "X: a\x0bb",
        "X y: a",
        "X(y): a",
        "X\u{e9}: a",
        "\r X: y",
    ] {
        refused(&format!("GET / HTTP/1.1\r\nHost: app\r\n{field}\r\n\r\n"), 400);
    }
    refused("GET / HTTP/1.1\nHost: app\n\n", 400);
    refused("GET / HTTP/1.1\r\nHost: app\n\r\n", 400);
}

#[test]
fn there_is_exactly_one_host() {
    refused("GET / HTTP/1.1\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n", 400);
    refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400);
}

#[test]
fn lengths_and_codings_have_one_reading() {
    let long = "9".repeat(19);
    for (fields, status) in [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked, identity", 400),
        ("Transfer-Encoding: ,chunked", 400),
        ("Transfer-Encoding: chunked,", 400),
        ("Transfer-Encoding: chunked;q=1", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding: xchunked", 400),
        ("Transfer-Encoding: gzip", 400),
        ("Transfer-Encoding:", 400),
        ("Transfer-Encoding: \x0bchunked", 400),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: cow, chunked", 501),
        ("Content-Length: +5", 400),
        ("Content-Length: -0", 400),
        ("Content-Length: 0x5", 400),
        ("Content-Length: 5e0", 400),
        ("Content-Length: 5_0", 400),
        ("Content-Length: \"5\"", 400),
        ("Content-Length: 5,5", 400),
        ("Content-Length: 0 5", 400),
        ("Content-Length:", 400),
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\ncontent-length: 6", 400),
        (&format!("Content-Length: {long}"), 400),
        ("Expect: nonsense", 417),
        ("Expect: x 100-continue", 417),
    ] {
        refused(&format!("POST / HTTP/1.1\r\nHost: app\r\n{fields}\r\n\r\n"), status);
    }
    refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

#[test]
fn heads_are_bounded() {
    let path = "a".repeat(8192);
    let fits = "a".repeat(8191);
    passes(&format!("GET /{fits} HTTP/1.1\r\nHost: app\r\n\r\n"));
    refused(&format!("GET /{path} HTTP/1.1\r\nHost: app\r\n\r\n"), 414);
    refused(&format!("GET /{}", "a".repeat(65536)), 414);
    refused(&format!("{} / HTTP/1.1\r\n", "A".repeat(65536)), 414);
    let fields = "X: y\r\n".repeat(99);
    passes(&format!("GET / HTTP/1.1\r\nHost: app\r\n{fields}\r\n"));
    refused(&format!("GET / HTTP/1.1\r\nHost: app\r\n{fields}X: y\r\n\r\n"), 431);
    refused(&format!("GET / HTTP/1.1\r\nHost: app\r\nX: {}", "v".repeat(32 * 1024)), 431);
    refused(&format!("GET / HTTP/1.1\r\n{}: v\r\n", "n".repeat(65536)), 431);
}

#[test]
fn a_bad_request_behind_a_good_one_does_not_take_it_along() {
    let good = "GET / HTTP/1.1\r\nHost: app\r\n\r\n";
    let input = format!("{good}GET /x HTTP/1.1\r\n\r\n");
    let fault = Some(Fault::Head(Refusal::BadRequest("no host field")));
    check(input.as_bytes(), (good.len(), fault, Place::Ended, 1));
}

#[test]
fn chunked_bodies_have_one_form() {
    for body in
        ["0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "00a;x=\"y\"\r\n0123456789\r\n0;z\r\nA: b\r\nC:\r\n\r\n"]
    {
        passes(&chunked(body));
    }
    let long_extension = format!("1;{}\r\nX\r\n0\r\n\r\n", "e".repeat(257));
    let many_extensions = format!("1;{}\r\nX\r\n", "e".repeat(250)).repeat(70);
    let trailers = format!("0\r\nX: {}\r\n\r\n", "t".repeat(8192));
    let tiny = "1\r\nX\r\n".repeat(30_000);
    for body in [
        "0x5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-1\r\n",
        "5_\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5 ;a\r\nhello\r\n",
        "\r\n",
        ";a\r\n",
        "G\r\n",
        "5\nhello\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "00000000000000005\r\nhello\r\n",
        "fffffffffffffffff\r\n",
        "1;a\nX\r\n",
        "1;a\0\r\nX\r\n",
        "1\rX\r\n",
        "0\r\n\rX",
        "0\r\n X: folded\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nnocolon\r\n\r\n",
        "0\r\nX: a\0\r\n\r\n",
        "0\r\nX: a\n\r\n",
        &long_extension,
        &many_extensions,
        &trailers,
        &tiny,
    ] {
        cut(body);
    }
}

#[test]
fn small_chunks_among_large_ones_are_fine() {
    let body = format!("1\r\nX\r\n1000\r\n{}\r\n", "d".repeat(4096)).repeat(2_000);
    assert!(whole(chunked(&body).as_bytes()).1.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_does_not_depend_on_the_pieces(
        parts in prop::collection::vec(prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /x HTTP/1.1\r\n", "Host: a\r\n", "\r\n", "Content-Length: 3\r\n", "abc",
            "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", "0\r\n", "X: y\r\n", "\n", " ", "\0", "X", ":", "1;e\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Expect: 100-continue\r\n", "Upgrade: websocket\r\nConnection: upgrade\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]), 0..14),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let input = parts.concat().into_bytes();
        prop_assert_eq!(whole(&input), pieces(&input, &cuts));
    }

    #[test]
    fn no_bytes_make_it_stumble(input in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        let (passed, ..) = whole(&input);
        prop_assert!(passed <= input.len());
        prop_assert_eq!(whole(&input), pieces(&input, &cuts));
    }
}
