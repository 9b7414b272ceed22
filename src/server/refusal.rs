//! Why a request was turned away before anybody looked at what it asks for: it is not clean HTTP.

use http::Request;
use http::StatusCode;

/// A request that breaks RFC 9112, RFC 9113 or a limit. The handler finds it with [`Refusal::of`] in place of a usable
/// request and answers with [`Refusal::status`]; over HTTP/1 the connection ends after that answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not HTTP as RFC 9112 or RFC 9113 demand it; the text says what is wrong.
    BadRequest(&'static str),
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    ExpectationFailed,
    /// More bytes or fields than `limits.header_bytes` and `limits.headers` allow (RFC 6585 §5).
    HeadTooLarge,
    /// A transfer coding nobody here knows (RFC 9112 §6.1).
    NotImplemented(&'static str),
    /// The head did not arrive within `limits.header_timeout`.
    TimedOut,
    /// A target beyond 8 KiB.
    UriTooLong,
    /// A version other than HTTP/1.0 and HTTP/1.1 (RFC 9110 §15.6.6).
    VersionNotSupported,
}

impl Refusal {
    /// The refusal that stands in place of this request, if there is one. To be asked before anything else is read
    /// from a request: of what stands beside a refusal, no more was sent by the client than who asks, by the fields that
    /// tell a page load from a script.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get::<Self>().copied()
    }

    /// The status to answer with.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::VersionNotSupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }

    /// What is wrong, for the log; never for the client.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BadRequest(reason) | Self::NotImplemented(reason) => reason,
            Self::ExpectationFailed => "unknown expectation",
            Self::HeadTooLarge => "request head too large",
            Self::TimedOut => "request head too slow",
            Self::UriTooLong => "target too long",
            Self::VersionNotSupported => "unknown HTTP version",
        }
    }
}
