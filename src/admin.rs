//! The admin listener: health and metrics, on a socket of its own that is never the browsers' (ASVS 13.4.5). Sessions
//! are administered on a unix socket beside it (`admin/sessions.rs`).
//!
//! It has no login, so it relies on where it listens. A browser on this machine could be led here by any page, by a
//! cross-site request or by a name that changes its address (DNS rebinding): `admin/guard.rs` refuses both.

mod guard;
pub mod sessions;
pub mod socket;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics;
use crate::telemetry::metrics::Metrics;

/// Open connections; probes and scrapes are few and short.
const CONNECTIONS: usize = 64;

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a whole connection, which is one request and its answer, may take.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// After a failed accept: the process may be out of descriptors, and asking at once would only burn its CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// `/health/live` and `/health/ready`.
    HealthOnly,
    /// Those and `/metrics`.
    All,
}

impl Exposed {
    /// The setting that says where.
    pub const fn key(self) -> &'static str {
        match self {
            Self::HealthOnly => "listen.health",
            Self::All => "listen.admin",
        }
    }
}

/// What the listeners tell.
#[derive(Debug)]
pub struct State {
    metrics: Arc<Metrics>,
    not_ready: Mutex<BTreeSet<&'static str>>,
}

impl State {
    /// Ready from the start.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, not_ready: Mutex::default() }
    }

    /// Not ready any more, for `reason`. The word is shown to whoever asks.
    pub fn hold(&self, reason: &'static str) {
        self.reasons().insert(reason);
    }

    /// No longer held for `reason`.
    pub fn release(&self, reason: &'static str) {
        self.reasons().remove(reason);
    }

    fn reasons(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.not_ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers on `listener` until `shutdown`; connections that are open then are dropped.
pub async fn serve(listener: TcpListener, what: Exposed, state: Arc<State>, shutdown: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Too many at once: closed without a word rather than made to wait.
                    if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
                        connections.spawn(converse(stream, what, Arc::clone(&state), permit));
                    }
                }
                Err(error) => pause_after(&error).await,
            }
        }
    }
}

async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "the admin listener cannot accept");
    sleep(ACCEPT_PAUSE).await;
}

async fn converse(stream: TcpStream, what: Exposed, state: Arc<State>, permit: OwnedSemaphorePermit) {
    let service = service_fn(|request| {
        let answer = answer(&request, what, &state);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(64)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection broke"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
    drop(permit);
}

fn answer<B>(request: &Request<B>, what: Exposed, state: &State) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    if let Err(refused) = guard::check(request) {
        return reply(refused.status(), TEXT, refused.to_string());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed".to_owned());
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, allowed);
        return response;
    }
    match (request.uri().path(), what) {
        ("/health/live", _) => reply(StatusCode::OK, TEXT, "live".to_owned()),
        ("/health/ready", _) => readiness(state),
        ("/metrics", Exposed::All) => reply(StatusCode::OK, metrics::CONTENT_TYPE, state.metrics.render()),
        _ => reply(StatusCode::NOT_FOUND, TEXT, "not found".to_owned()),
    }
}

fn readiness(state: &State) -> Response<Full<Bytes>> {
    let reasons = state.reasons().clone();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons });
    reply(status, "application/json", body.to_string())
}

fn reply(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
