//! One head of an answer as it is understood: one way only, or not at all (RFC 9112 §4 to §6).

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header::CONNECTION;
use http::header::CONTENT_LENGTH;
use http::header::TRANSFER_ENCODING;
use hyper::ext::ReasonPhrase;

use crate::upstream::http1::body::Framing;

/// Fields of an answer at most.
const MAX_FIELDS: usize = 128;

/// Room for the fields that are added on the way to the browser, so that the map need not grow.
const FIELDS_OF_OURS: usize = 8;

/// Why an answer is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// It can be taken to end at more than one place.
    #[error("the answer is framed in two ways or in one nobody knows")]
    Framing,
    /// It is not written as an answer is.
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// The fields, without those about framing and the connection that say nothing more.
    pub(crate) headers: HeaderMap,
    /// The status in words, where they are the app's own.
    pub(crate) reason: Option<ReasonPhrase>,
    pub(crate) framing: Framing,
    /// Whether the connection may go on when the answer has ended.
    pub(crate) persistent: bool,
}

/// What the fields say about the message itself.
#[derive(Debug, Default)]
struct Marks {
    length: Option<u64>,
    chunked: bool,
    persistence: Persistence,
}

/// What the app says about its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Persistence {
    #[default]
    Unsaid,
    KeepAlive,
    Close,
}

/// Reads `head`, which ends with its empty line; `to_head` if it answers a HEAD request. Field values are parts of
/// `head`, not copies.
pub(crate) fn parse(head: &Bytes, to_head: bool) -> Result<Head, BadAnswer> {
    // httparse takes a lone LF for a line's end, and so one that an app let somebody slip into a value.
    if memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head.get(at - 1) != Some(&b'\r')) {
        return Err(BadAnswer::Malformed("a line without its CR"));
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, head, &mut fields);
    match parsed {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(BadAnswer::Malformed("its head does not end where its lines do")),
        Err(error) => return Err(BadAnswer::Malformed(reason(error))),
    }
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(BadAnswer::Malformed("no such status"))?;
    let mut headers = HeaderMap::with_capacity(answer.headers.len() + FIELDS_OF_OURS);
    let mut marks = Marks::default();
    for field in answer.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let name = name.map_err(|_invalid| BadAnswer::Malformed("a field's name"))?;
        if marks.note(&name, field.value)? {
            let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value));
            headers.append(name, value.map_err(|_invalid| BadAnswer::Malformed("a field's value"))?);
        }
    }
    let http11 = answer.version == Some(1);
    if marks.chunked && !http11 {
        return Err(BadAnswer::Framing);
    }
    let framing = marks.framing(to_head || has_no_body(status))?;
    let goes_on = match marks.persistence {
        Persistence::Unsaid => http11,
        Persistence::KeepAlive => true,
        Persistence::Close => false,
    };
    let persistent = goes_on && framing != Framing::UntilClose;
    Ok(Head { status, headers, reason: own_reason(status, answer.reason), framing, persistent })
}

impl Marks {
    /// Takes notice of a field; tells whether it is also for others.
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<bool, BadAnswer> {
        if *name == CONTENT_LENGTH {
            // One number: a list, a sign, or a second line, equal or not, is how two readers come to differ.
            let length = number(value).ok_or(BadAnswer::Framing)?;
            return if self.length.replace(length).is_none() { Ok(true) } else { Err(BadAnswer::Framing) };
        }
        if *name == TRANSFER_ENCODING {
            let again = std::mem::replace(&mut self.chunked, true);
            let known = value.eq_ignore_ascii_case(b"chunked");
            return if known && !again { Ok(false) } else { Err(BadAnswer::Framing) };
        }
        if *name == CONNECTION {
            let mut others = false;
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
                if is(b"close") {
                    self.persistence = Persistence::Close;
                } else if !is(b"keep-alive") {
                    others = true;
                } else if self.persistence == Persistence::Unsaid {
                    self.persistence = Persistence::KeepAlive;
                }
            }
            return Ok(others);
        }
        Ok(true)
    }

    fn framing(&self, bodyless: bool) -> Result<Framing, BadAnswer> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(BadAnswer::Framing),
            _ if bodyless => Ok(Framing::Nothing),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(0)) => Ok(Framing::Nothing),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::UntilClose),
        }
    }
}

/// Answers that end with their head, whatever it says (RFC 9112 §6.3).
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Old clients show it to people, so one that is not the usual passes.
fn own_reason(status: StatusCode, written: Option<&str>) -> Option<ReasonPhrase> {
    let written =
        written.filter(|written| !written.is_empty() && status.canonical_reason() != Some(written))?;
    ReasonPhrase::try_from(written.as_bytes()).ok()
}

fn reason(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a field's name",
        httparse::Error::HeaderValue => "a field's value",
        httparse::Error::NewLine => "a line's end",
        httparse::Error::Status => "its status",
        httparse::Error::Token => "a byte where none may stand",
        httparse::Error::TooManyHeaders => "too many fields",
        httparse::Error::Version => "its version",
    }
}

#[cfg(test)]
mod tests;
