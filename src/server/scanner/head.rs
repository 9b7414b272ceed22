//! One request head, judged line by line as its bytes arrive. hyper's parser takes more than RFC 9112 allows (bare line
//! feeds, several codings, no host, cut targets), and what two readers read differently is a smuggled request.

use crate::server::refusal::Refusal;
use crate::syntax;

/// What a head may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct HeadLimits {
    /// Bytes from the method to the empty line.
    pub(in crate::server) bytes: usize,
    /// Fields.
    pub(in crate::server) fields: usize,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The next head.
    Nothing,
    /// So many bytes of body.
    Length(u64),
    /// A chunked body.
    Chunked,
    /// Whatever the two ends agree on, if the answer is 101: a WebSocket was asked for.
    Opaque,
}

// Method, blank, target, blank, version.
const MAX_REQUEST_LINE: usize = syntax::MAX_METHOD + 1 + syntax::MAX_TARGET + 1 + 8;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Upgrade {
    #[default]
    No,
    WebSocket,
    Other,
}

/// How far a head has been read, and what was learnt. The verdict depends on the bytes alone, never on how they were
/// split: each rule strikes at one position of the head.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    line: usize,
    searched: usize,
    fields: usize,
    length: Option<u64>,
    upgrade: Upgrade,
    marks: Marks,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts about one head")]
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    get: bool,
    http11: bool,
    host: bool,
    chunked: bool,
    connection_upgrade: bool,
}

impl Head {
    /// Whether any byte of it was seen.
    pub(super) fn has_begun(&self) -> bool {
        self.searched > 0
    }

    /// Goes on with `head`, which holds the head's bytes from its first on and grows from call to call. Gives its
    /// length and what follows once it is complete.
    pub(super) fn advance(
        &mut self,
        head: &[u8],
        limits: HeadLimits,
    ) -> Result<Option<(usize, Framing)>, Refusal> {
        // Garbage (a TLS greeting, a lower-case method, an empty line) is told at its first byte, not at a deadline.
        if self.line == 0 && head.first().is_some_and(|byte| !syntax::is_method(&[*byte])) {
            return Err(Refusal::BadRequest("not a request"));
        }
        let window = head.get(..limits.bytes.min(head.len())).unwrap_or(head);
        while let Some(end) = memchr::memchr(b'\n', window.get(self.searched..).unwrap_or_default()) {
            let end = self.searched + end;
            let line = window.get(self.line..end).unwrap_or_default();
            let first = self.line == 0;
            self.searched = end + 1;
            self.line = end + 1;
            if first && line.len() > MAX_REQUEST_LINE + 1 {
                return Err(Refusal::UriTooLong);
            }
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(Refusal::BadRequest("line end without carriage return"));
            };
            if first {
                self.request_line(line)?;
            } else if line.is_empty() {
                return Ok(Some((self.line, self.framing()?)));
            } else {
                self.field(line, limits.fields)?;
            }
        }
        self.searched = window.len();
        let in_request_line = self.line == 0;
        if in_request_line && window.len() > MAX_REQUEST_LINE + 1 {
            return Err(Refusal::UriTooLong);
        }
        match (window.len() >= limits.bytes, in_request_line) {
            (false, _) => Ok(None),
            (true, true) => Err(Refusal::UriTooLong),
            (true, false) => Err(Refusal::HeadTooLarge),
        }
    }

    // RFC 9112 §3: exactly one blank between the three parts.
    fn request_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        const MALFORMED: Refusal = Refusal::BadRequest("malformed request line");
        let (method, rest) = split_once(line, b' ').ok_or(MALFORMED)?;
        if !syntax::is_method(method) {
            return Err(Refusal::BadRequest("malformed method"));
        }
        let (target, version) = split_once(rest, b' ').ok_or(MALFORMED)?;
        if target.len() > syntax::MAX_TARGET {
            return Err(Refusal::UriTooLong);
        }
        match version {
            b"HTTP/1.1" => self.marks.http11 = true,
            b"HTTP/1.0" => {}
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Refusal::VersionNotSupported);
            }
            _ => return Err(MALFORMED),
        }
        if !syntax::is_target(target) {
            return Err(Refusal::BadRequest("malformed target"));
        }
        self.marks.get = method == b"GET";
        Ok(())
    }

    fn field(&mut self, line: &[u8], most: usize) -> Result<(), Refusal> {
        self.fields += 1;
        if self.fields > most {
            return Err(Refusal::HeadTooLarge);
        }
        let (name, value) = split_once(line, b':').ok_or(Refusal::BadRequest("field without colon"))?;
        // Covers folded lines and blanks before the colon: neither is part of a token.
        if !syntax::is_token(name) {
            return Err(Refusal::BadRequest("malformed field name"));
        }
        if !syntax::is_value(value) {
            return Err(Refusal::BadRequest("control character in a field"));
        }
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match name.len() {
            4 if is(b"host") => self.host(),
            6 if is(b"expect") => expect(value),
            7 if is(b"upgrade") => self.upgrade(value),
            10 if is(b"connection") => self.connection(value),
            14 if is(b"content-length") => self.content_length(value),
            17 if is(b"transfer-encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    fn host(&mut self) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.marks.host, true) {
            return Err(Refusal::BadRequest("two host fields"));
        }
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of the field rules, which have one shape")]
    fn upgrade(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let websocket = syntax::trim(value).eq_ignore_ascii_case(b"websocket");
        self.upgrade = match self.upgrade {
            Upgrade::No if websocket => Upgrade::WebSocket,
            Upgrade::No | Upgrade::WebSocket | Upgrade::Other => Upgrade::Other,
        };
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of the field rules, which have one shape")]
    fn connection(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.marks.connection_upgrade |= value
            .split(|byte| *byte == b',')
            .any(|token| syntax::trim(token).eq_ignore_ascii_case(b"upgrade"));
        Ok(())
    }

    // RFC 9110 §8.6: one number. A list, a sign, or a second line, equal or not, is how two readers come to differ.
    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let digits = syntax::trim(value);
        if !(1..=18).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::BadRequest("malformed content length"));
        }
        let number = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        if self.length.replace(number).is_some() {
            return Err(Refusal::BadRequest("two content lengths"));
        }
        Ok(())
    }

    // RFC 9112 §6.1: `chunked` alone is understood.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let coding = syntax::trim(value);
        if coding.eq_ignore_ascii_case(b"chunked") {
            if std::mem::replace(&mut self.marks.chunked, true) {
                return Err(Refusal::BadRequest("two transfer encodings"));
            }
            return Ok(());
        }
        let chunked = |token: &&[u8]| syntax::trim(token).eq_ignore_ascii_case(b"chunked");
        let tokens = || coding.split(|byte| *byte == b',');
        let clean = tokens().all(|token| syntax::is_token(syntax::trim(token)));
        let ends_well =
            tokens().next_back().as_ref().is_some_and(chunked) && tokens().filter(chunked).count() == 1;
        if clean && ends_well {
            return Err(Refusal::NotImplemented("unknown transfer coding"));
        }
        Err(Refusal::BadRequest("malformed transfer encoding"))
    }

    fn framing(&self) -> Result<Framing, Refusal> {
        let Marks { get, http11, host, chunked, connection_upgrade } = self.marks;
        if http11 && !host {
            return Err(Refusal::BadRequest("no host field"));
        }
        match (chunked, self.length) {
            (true, Some(_)) => Err(Refusal::BadRequest("content length beside transfer encoding")),
            (true, None) if !http11 => Err(Refusal::BadRequest("transfer encoding in HTTP/1.0")),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) if length > 0 => Ok(Framing::Length(length)),
            (false, _) if get && http11 && connection_upgrade && self.upgrade == Upgrade::WebSocket => {
                Ok(Framing::Opaque)
            }
            (false, _) => Ok(Framing::Nothing),
        }
    }
}

// RFC 9110 §10.1.1: hyper answers `100-continue` itself; anything else nobody here can meet.
fn expect(value: &[u8]) -> Result<(), Refusal> {
    if syntax::trim(value).eq_ignore_ascii_case(b"100-continue") {
        return Ok(());
    }
    Err(Refusal::ExpectationFailed)
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_at_checked(memchr::memchr(at, bytes)?)?;
    Some((first, rest.get(1..)?))
}
