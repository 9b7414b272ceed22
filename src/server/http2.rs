//! HTTP/2: its limits, and what the h2 crate lets through but we do not (RFC 9113 §8.2.1, §8.3.1).

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Request;
use http::header::EXPECT;
use http::header::HOST;
use hyper::server::conn::http2::Builder;
use hyper_util::rt::TokioTimer;

use crate::headers::cookies;
use crate::net::Authority;
use crate::server::Limits;
use crate::server::pulse::Pulse;
use crate::server::refusal::Refusal;
use crate::server::scanner::HeadLimits;
use crate::server::stream::Stream;
use crate::syntax;

const MAX_STREAMS: u32 = 100;
// What a client may send ahead of us reading it, per stream and in all. Large enough for an upload across an ocean,
// small enough that a connection cannot hold more than this.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
// What of an answer waits for a slow client, per stream.
pub(super) const SEND_BUFFER: usize = 64 * 1024;
// Requests taken back before we looked at them (CVE-2023-44487), and streams we reset for the client's faults
// (CVE-2025-8671), in the life of a connection, before it is ended.
const MAX_EARLY_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 200;
// h2 answers a longer head itself, with nothing to read in it. So it is let read on: what is too large for us is refused
// like any other request, and a person whose cookies have grown is told what to do.
const READ_ON: usize = 96 * 1024;
// What each field counts for beside its bytes (RFC 9113 §6.5.2).
const PER_FIELD: usize = 32;
// Finds clients that are gone without a word, while an app has nothing to say to them. A PING stands behind what was sent
// before it, which over a slow link takes its time: so the answer has long.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_mins(5);

/// Runs hyper's stream tasks of one connection on this worker.
#[derive(Clone, Debug)]
pub(super) struct Local {
    /// How long a client may take nothing of an answer.
    patience: Duration,
    pulse: Arc<Pulse>,
}

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, stream: F) {
        drop(tokio::task::spawn_local(Stream::new(stream, self.patience, Arc::clone(&self.pulse))));
    }
}

/// A builder with our limits, for the connection of this pulse.
pub(super) fn builder(limits: &Limits, pulse: Arc<Pulse>) -> Builder<Local> {
    let mut builder = Builder::new(Local { patience: limits.idle_timeout, pulse });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes.saturating_add(READ_ON)).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_EARLY_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    builder
}

/// What the guard demands of HTTP/1, for a request that came in frames: no more bytes and fields than `limits` allow (one
/// entry of HPACK's table can be repeated for a byte), values without blanks around them, a method and a target that
/// HTTP/1 could carry, one authority.
pub(super) fn examine<B>(request: &Request<B>, limits: HeadLimits) -> Result<(), Refusal> {
    let headers = request.headers();
    if cookies::fields(headers) > limits.fields || size(headers) > limits.bytes {
        return Err(Refusal::HeadTooLarge);
    }
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    if target.len() > syntax::MAX_TARGET {
        return Err(Refusal::UriTooLong);
    }
    if !syntax::is_method(request.method().as_str().as_bytes()) {
        return Err(Refusal::BadRequest("malformed method"));
    }
    if !target.is_empty() && !syntax::is_target(target.as_bytes()) {
        return Err(Refusal::BadRequest("malformed target"));
    }
    let padded = |value: &HeaderValue| syntax::trim(value.as_bytes()).len() != value.len();
    if headers.values().any(padded) {
        return Err(Refusal::BadRequest("blank around a field value"));
    }
    if headers.get(EXPECT).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::ExpectationFailed);
    }
    one_authority(request)
}

// The target has a limit of its own.
fn size(headers: &HeaderMap) -> usize {
    let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + PER_FIELD;
    headers.iter().map(field).sum()
}

// RFC 9113 §8.3.1: `:authority` replaces `Host`; beside it `Host` may only repeat it.
fn one_authority<B>(request: &Request<B>) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refusal::BadRequest("two host fields"));
    }
    match (request.uri().authority(), host) {
        (None, None) => Err(Refusal::BadRequest("no authority")),
        (Some(authority), Some(host)) => {
            let parse = |text: &str| Authority::parse(text).ok_or(Refusal::BadRequest("malformed authority"));
            let host = host.to_str().unwrap_or_default();
            if parse(authority.as_str())? == parse(host)? {
                return Ok(());
            }
            Err(Refusal::BadRequest("host differs from authority"))
        }
        (Some(_), None) | (None, Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Result<(), Refusal> {
        let request = build(Request::builder().uri("https://app/x")).body(()).unwrap();
        examine(&request, HeadLimits { bytes: 16 * 1024, fields: 100 })
    }

    #[test]
    fn honest_requests_pass() {
        assert!(check(|request| request).is_ok());
        assert!(check(|request| request.header("host", "APP").header("cookie", "a=b")).is_ok());
        assert!(check(|request| request.uri("/x").header("host", "app")).is_ok());
        // RFC 9113 §8.2.3: one field, in crumbs.
        assert!(check(|request| (0..150).fold(request, |all, _| all.header("cookie", "a=b"))).is_ok());
    }

    #[test]
    fn what_http1_could_not_carry_is_refused() {
        let refused = |result: Result<(), Refusal>| result.unwrap_err().status().as_u16();
        assert_eq!(refused(check(|request| request.header("host", "other"))), 400);
        assert_eq!(refused(check(|request| request.header("host", "app").header("host", "app"))), 400);
        assert_eq!(refused(check(|request| request.uri("/x"))), 400);
        assert_eq!(refused(check(|request| request.method("get"))), 400);
        assert_eq!(refused(check(|request| request.header("a", " b"))), 400);
        assert_eq!(refused(check(|request| request.header("a", "b\t"))), 400);
        assert_eq!(refused(check(|request| request.header("expect", "x"))), 417);
        let long = format!("https://app/{}", "a".repeat(9000));
        assert_eq!(refused(check(|request| request.uri(long))), 414);
        assert_eq!(refused(check(|request| (0..101).fold(request, |all, _| all.header("x", "")))), 431);
        assert_eq!(refused(check(|request| request.header("cookie", "x".repeat(17_000)))), 431);
        assert_eq!(
            refused(check(|request| (0..500).fold(request, |all, _| all.header("cookie", "a=b")))),
            431
        );
    }
}
