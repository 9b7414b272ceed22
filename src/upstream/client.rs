//! Sending one request to an app and receiving the head of its answer.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Version;
use http::header::CONTENT_LENGTH;
use http::header::TRANSFER_ENCODING;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::body::RequestBody;
use crate::body::RequestBodyError;
use crate::body::Upload;
use crate::clock::Timestamp;
use crate::upstream::Endpoint;
use crate::upstream::Upstream;
use crate::upstream::answer::AnswerBody;
use crate::upstream::answer::Lease;
use crate::upstream::connect::ConnectError;
use crate::upstream::pool::Connection;
use crate::upstream::pool::Pool;

/// What a connection to an app may hold of an answer at once, its head included. hyper's own limit is six times as much,
/// and a connection keeps what it has grown to.
const BUFFER: usize = 64 * 1024;

/// Why an app gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// None of its servers could be reached; nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// As many connections as the site allows are in use; nothing was sent.
    #[error("the app's connections are all in use")]
    Busy,
    /// It did not begin its answer in time.
    #[error("no answer began within {after:?}")]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The browser's body failed on the way.
    #[error(transparent)]
    RequestBody(#[from] RequestBodyError),
    /// The connection broke before an answer came, or what came is no HTTP answer.
    #[error("no usable answer: {0}")]
    NoAnswer(#[source] hyper::Error),
    /// Its answer can be taken to end at more than one place.
    #[error("the answer is framed in two ways or in one nobody knows")]
    BadFraming,
    /// It switched protocols without being asked to.
    #[error("it switched protocols unasked")]
    UnaskedUpgrade,
}

/// One worker's way to one app.
#[derive(Debug)]
pub struct Client {
    upstream: Arc<Upstream>,
    pool: Arc<Pool>,
}

impl Client {
    pub(crate) fn new(upstream: Arc<Upstream>) -> Self {
        let pool = Pool::start(upstream.settings.idle, Arc::clone(&upstream.capacity));
        Self { upstream, pool }
    }

    /// Sends `request` (origin-form target, `Host` set, no framing fields) and waits for the head of the answer.
    ///
    /// Only a request that may be repeated (RFC 9110 §9.2.2: safe method, no body) uses a connection that was used
    /// before: on such a one the server may be closing at this very moment, and then nobody can tell whether it
    /// acted. It is sent once more, on a new connection, if the old one ended without a byte. Every other request
    /// gets a connection of its own that is kept afterwards.
    pub async fn send(
        &self,
        request: Request<RequestBody>,
        now: Timestamp,
    ) -> Result<Response<AnswerBody>, SendError> {
        if is_repeatable(&request)
            && let Some(connection) = self.pool.take()
        {
            return self.send_on_used(connection, request, now).await;
        }
        let connection = self.connect(now).await?;
        self.exchange(connection, request).await.map(|response| self.keep(response))
    }

    /// Sends a WebSocket handshake; the answer can be upgraded if it says 101. Its connection is never used again:
    /// what follows a handshake that failed is nobody else's answer.
    pub async fn upgrade(
        &self,
        request: Request<RequestBody>,
        now: Timestamp,
    ) -> Result<Response<AnswerBody>, SendError> {
        let connection = self.connect(now).await?;
        let (response, connection) = self.answer(connection, request).await?;
        Ok(with_lease(response, Lease { connection, pool: None }))
    }

    async fn send_on_used(
        &self,
        connection: Connection,
        request: Request<RequestBody>,
        now: Timestamp,
    ) -> Result<Response<AnswerBody>, SendError> {
        let (head, body) = request.into_parts();
        let again = copy(&head);
        match self.exchange(connection, Request::from_parts(head, body)).await {
            Err(SendError::NoAnswer(error)) if ended_without_answer(&error) => {
                let connection = self.connect(now).await?;
                self.exchange(connection, again).await
            }
            done => done,
        }
        .map(|response| self.keep(response))
    }

    async fn exchange(
        &self,
        connection: Connection,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Connection), SendError> {
        let (response, connection) = self.answer(connection, request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(SendError::UnaskedUpgrade);
        }
        if !is_framed_once(&response) {
            return Err(SendError::BadFraming);
        }
        Ok((response, connection))
    }

    async fn answer(
        &self,
        mut connection: Connection,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Connection), SendError> {
        let limit = self.upstream.settings.response_timeout;
        let upload = request.body().upload();
        let sending = connection.sender.send_request(request);
        tokio::pin!(sending);
        loop {
            let passed_on = upload.as_deref().map_or(0, Upload::bytes);
            match tokio::time::timeout(limit, &mut sending).await {
                Ok(Ok(response)) => return Ok((response, connection)),
                Ok(Err(error)) => {
                    let cause = upload.as_deref().and_then(Upload::error);
                    return Err(cause.map_or(SendError::NoAnswer(error), SendError::RequestBody));
                }
                // A long upload is not a slow answer: the limit counts from the last byte that got through.
                Err(_elapsed) if upload.as_deref().is_some_and(|upload| upload.bytes() > passed_on) => {}
                Err(_elapsed) => return Err(SendError::TimedOut { after: limit }),
            }
        }
    }

    fn keep(&self, (response, connection): (Response<Incoming>, Connection)) -> Response<AnswerBody> {
        with_lease(response, Lease { connection, pool: Some(Arc::clone(&self.pool)) })
    }

    async fn connect(&self, now: Timestamp) -> Result<Connection, SendError> {
        let upstream = &self.upstream;
        let patience = upstream.settings.connect_timeout;
        let permit = upstream.capacity.take(patience).await.map_err(|_full| SendError::Busy)?;
        let mut failure = SendError::Busy;
        for server in upstream.balance.order(now) {
            let Some(endpoint) = upstream.settings.servers.get(server) else {
                continue;
            };
            match upstream.connector.connect(endpoint).await {
                Ok((stream, socket)) => {
                    let (sender, driver) = http1::Builder::new()
                        .max_buf_size(BUFFER)
                        .handshake(TokioIo::new(stream))
                        .await
                        .map_err(SendError::NoAnswer)?;
                    // An exchange that fails tells the one who waits for it; the driver has nobody else to tell.
                    tokio::spawn(async move { drop(driver.with_upgrades().await) });
                    let encrypted = matches!(endpoint, Endpoint::Https(_));
                    return Ok(Connection { sender, socket, encrypted, _permit: permit });
                }
                Err(error) => {
                    upstream.balance.rest(server, now);
                    failure = error.into();
                }
            }
        }
        Err(failure)
    }
}

fn with_lease(response: Response<Incoming>, lease: Lease) -> Response<AnswerBody> {
    response.map(|incoming| AnswerBody::new(incoming, lease))
}

fn is_repeatable(request: &Request<RequestBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && request.body().is_empty()
}

/// hyper reads an answer with a length and a coding by its coding, and one with a coding it does not know to the
/// connection's end. Whoever sends such an answer, or is made to, is not to be trusted with the next (RFC 9112 §6.3).
fn is_framed_once(response: &Response<Incoming>) -> bool {
    let mut codings = response.headers().get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    chunked && response.version() == Version::HTTP_11 && !response.headers().contains_key(CONTENT_LENGTH)
}

fn copy(head: &Parts) -> Request<RequestBody> {
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    request
}

/// Whether the connection ended before a single byte of an answer: closed, reset, or never usable.
fn ended_without_answer(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message() || is_reset(error)
}

fn is_reset(error: &hyper::Error) -> bool {
    error.source().and_then(|source| source.downcast_ref::<io::Error>()).is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
    })
}
