//! Tables of answers that pass and answers that must not.

use super::*;

fn read(text: &str) -> Result<Head, BadAnswer> {
    parse(&Bytes::copy_from_slice(text.as_bytes()), false)
}

#[track_caller]
fn head(lines: &str) -> Head {
    read(&format!("{lines}\r\n")).unwrap_or_else(|error| panic!("{lines:?}: {error}"))
}

#[track_caller]
fn refused(lines: &str, expected: BadAnswer) {
    let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    let error = read(&text).err().unwrap_or_else(|| panic!("{lines:?} was taken"));
    let alike = std::mem::discriminant(&error) == std::mem::discriminant(&expected);
    assert!(alike, "{lines:?}: {error}");
}

#[test]
fn the_framing_is_the_one_that_is_said() {
    for (lines, framing, persistent) in [
        ("HTTP/1.1 200 OK\r\n", Framing::UntilClose, false),
        ("HTTP/1.1 200\r\nContent-Length: 3\r\n", Framing::Length(3), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", Framing::Nothing, true),
        ("HTTP/1.1 200 OK\r\nContent-Length:  12\t\r\nConnection: close\r\n", Framing::Length(12), false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n", Framing::Chunked, true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x, Close\r\n",
            Framing::Chunked,
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n", Framing::Length(3), false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n", Framing::Length(3), true),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", Framing::UntilClose, false),
        ("HTTP/1.1 204 No Content\r\n", Framing::Nothing, true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n", Framing::Nothing, true),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n", Framing::Nothing, true),
    ] {
        let head = head(lines);
        assert_eq!((head.framing, head.persistent), (framing, persistent), "{lines:?}");
    }
    let to_head = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(parse(&to_head, true).unwrap().framing, Framing::Nothing);
}

#[test]
fn fields_come_as_they_were_sent_without_those_of_the_connection() {
    let head = head(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Empty:\r\nset-cookie: b=2\r\nConnection: keep-alive\r\n\
         X-Latin: \u{fc}\r\nTransfer-Encoding: chunked\r\n",
    );
    let lines: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let expected = [
        ("set-cookie", &b"a=1"[..]),
        ("set-cookie", b"b=2"),
        ("x-empty", b""),
        ("x-latin", "\u{fc}".as_bytes()),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn options_that_name_fields_are_left_for_whoever_takes_those_out() {
    let head = head("HTTP/1.1 200 OK\r\nConnection: close, X-Private\r\n");
    assert_eq!(head.headers[CONNECTION], "close, X-Private");
    assert!(!head.persistent);
}

#[test]
fn only_a_reason_of_the_apps_own_is_kept() {
    let reason = |line: &str| head(line).reason.map(|reason| reason.as_bytes().to_vec());
    assert_eq!(reason("HTTP/1.1 200 OK\r\n"), None);
    assert_eq!(reason("HTTP/1.1 200\r\n"), None);
    assert_eq!(reason("HTTP/1.1 299 Fine so far\r\n"), Some(b"Fine so far".to_vec()));
}

#[test]
fn two_framings_are_refused() {
    for lines in [
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: 3 4\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length:\r\n",
        "Content-Length: 9999999999999999999\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        refused(lines, BadAnswer::Framing);
    }
    let old = read("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old.unwrap_err(), BadAnswer::Framing);
}

#[test]
fn malformed_fields_are_refused() {
    for lines in [
        "X : y\r\n",
        " X: y\r\n",
        "X: y\r\n folded\r\n",
        "X: y\r\n\tfolded\r\n",
        "X\r\n",
        ": y\r\n",
        "X(: y\r\n",
        "X\u{fc}: y\r\n",
        "X: a\0b\r\n",
        "X: a\rb\r\n",
        "X: a\nSet-Cookie: b=1\r\n",
        "X: a\u{7f}b\r\n",
        "X: y\n",
        "\r\nX: y\r\n",
    ] {
        refused(lines, BadAnswer::Malformed(""));
    }
    refused(&"X: y\r\n".repeat(MAX_FIELDS + 1), BadAnswer::Malformed(""));
    assert_eq!(
        head(&("HTTP/1.1 200 OK\r\n".to_owned() + &"X: y\r\n".repeat(MAX_FIELDS))).headers.len(),
        MAX_FIELDS
    );
}

#[test]
fn malformed_first_lines_are_refused() {
    for line in [
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 Less",
        "HTTP/1.1 abc",
        "http/1.1 200 OK",
        "HTTP/1.1 200 O\0K",
        "ICY 200 OK",
        "",
    ] {
        assert!(read(&format!("{line}\r\nX: y\r\n\r\n")).is_err(), "{line:?} was taken");
    }
}
