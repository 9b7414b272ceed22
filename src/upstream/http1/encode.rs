//! A request's head as bytes.

use http::Method;
use http::header::CONTENT_LENGTH;
use http::header::TRANSFER_ENCODING;
use http::request::Parts;
use http::uri::PathAndQuery;

/// How the end of a request's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    Nothing,
    /// By its length.
    Length(u64),
    /// By its last chunk.
    Chunked,
}

/// Writes `head` to `lines`, framed by `framing` alone: fields that say something about it are left out.
pub(crate) fn head(lines: &mut Vec<u8>, head: &Parts, framing: Framing) {
    let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    for part in [head.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        lines.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &head.headers {
        if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
    }
    match framing {
        Framing::Nothing if expects_body(&head.method) => lines.extend_from_slice(b"content-length: 0\r\n"),
        Framing::Nothing => {}
        Framing::Length(length) => {
            lines.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        Framing::Chunked => lines.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    lines.extend_from_slice(b"\r\n");
}

/// Whether an app may ask for a length (411) where it is told of none (RFC 9110 §8.6).
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_head_is_written_with_one_framing() {
        for (method, framing, last) in [
            ("GET", Framing::Nothing, ""),
            ("POST", Framing::Nothing, "content-length: 0\r\n"),
            ("DELETE", Framing::Nothing, ""),
            ("GET", Framing::Length(7), "content-length: 7\r\n"),
            ("PUT", Framing::Chunked, "transfer-encoding: chunked\r\n"),
        ] {
            let request = Request::builder()
                .method(method)
                .uri("/a/b?c=%20")
                .header("host", "app")
                .header("x-many", "1")
                .header("content-length", "12")
                .header("x-many", "2")
                .header("transfer-encoding", "gzip")
                .body(())
                .unwrap();
            let mut lines = Vec::new();
            head(&mut lines, &request.into_parts().0, framing);
            let expected =
                format!("{method} /a/b?c=%20 HTTP/1.1\r\nhost: app\r\nx-many: 1\r\nx-many: 2\r\n{last}\r\n");
            assert_eq!(String::from_utf8(lines).unwrap(), expected);
        }
    }
}
