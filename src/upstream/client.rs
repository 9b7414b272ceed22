//! Sending one request to an app and receiving the head of its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::Response;
use http::StatusCode;
use http::request::Parts;

use crate::body::RequestBody;
use crate::body::RequestBodyError;
use crate::clock::Clock;
use crate::upstream::Upstream;
use crate::upstream::answer;
use crate::upstream::answer::AnswerBody;
use crate::upstream::connect::ConnectError;
use crate::upstream::http1::exchange::Answered;
use crate::upstream::http1::exchange::Connection;
use crate::upstream::http1::exchange::Failure;
use crate::upstream::http1::parse::BadAnswer;
use crate::upstream::pool::Pool;
use crate::upstream::tunnel::Tunnel;

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
    /// The connection broke before an answer came.
    #[error("no answer: {0}")]
    NoAnswer(#[source] io::Error),
    /// What came is no answer that can be passed on.
    #[error(transparent)]
    BadAnswer(#[from] BadAnswer),
    /// It switched protocols without being asked to.
    #[error("it switched protocols unasked")]
    UnaskedUpgrade,
}

/// What an app said to a WebSocket handshake.
#[derive(Debug)]
pub enum Upgraded {
    /// Yes: what follows is the connection as it is.
    Switched(Response<()>, Tunnel),
    /// No, with an ordinary answer.
    Declined(Response<AnswerBody>),
}

/// One worker's way to one app.
#[derive(Debug)]
pub struct Client {
    upstream: Arc<Upstream>,
    pool: Arc<Pool>,
    clock: Clock,
}

impl Client {
    pub(crate) fn new(upstream: Arc<Upstream>, clock: Clock) -> Self {
        let pool = Pool::start(upstream.settings.idle, Arc::clone(&upstream.capacity));
        Self { upstream, pool, clock }
    }

    /// Sends a request (origin-form target, `Host` set) and waits for the head of the answer. The body is framed anew:
    /// what the request's fields say about it is left out.
    ///
    /// Only a request that may be repeated (RFC 9110 §9.2.2: safe method, no body) uses a connection that was used
    /// before: on such a one the server may be closing at this very moment, and then nobody can tell whether it
    /// acted. It is sent once more, on a new connection, if the old one ended without a byte. Every other request
    /// gets a connection of its own that is kept afterwards.
    pub async fn send(&self, head: &Parts, body: RequestBody) -> Result<Response<AnswerBody>, SendError> {
        let server = self.upstream.balance.pick(&[], self.clock.now());
        if is_repeatable(&head.method, &body)
            && let Some(server) = server
            && let Some(mut connection) = self.pool.take(server)
        {
            connection.busy = self.upstream.balance.begin(server);
            match self.exchange(connection, head, RequestBody::Empty).await {
                Err(Failure { silent: true, .. }) => {}
                done => return self.receive(done),
            }
        }
        // Boxed: most requests find a connection, and need no room to make one.
        let connection = Box::pin(self.connect(server)).await?;
        let done = self.exchange(connection, head, body).await;
        self.receive(done)
    }

    /// Sends a WebSocket handshake. Its connection is never used again: what follows a handshake that failed is nobody
    /// else's answer.
    pub async fn upgrade(&self, head: &Parts, body: RequestBody) -> Result<Upgraded, SendError> {
        let server = self.upstream.balance.pick(&[], self.clock.now());
        let connection = self.connect(server).await?;
        let answered = self.exchange(connection, head, body).await.map_err(|failure| failure.error)?;
        if answered.head.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Upgraded::Declined(answer::begin(answered, &self.pool, false)?));
        }
        let Answered { connection, head, rest, .. } = answered;
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(Upgraded::Switched(response, Tunnel::new(connection, rest)))
    }

    fn exchange(
        &self,
        connection: Connection,
        head: &Parts,
        body: RequestBody,
    ) -> impl Future<Output = Result<Answered, Failure>> {
        connection.exchange(self.pool.scratch(), head, body, self.upstream.settings.response_timeout)
    }

    fn receive(&self, done: Result<Answered, Failure>) -> Result<Response<AnswerBody>, SendError> {
        let answered = done.map_err(|failure| failure.error)?;
        if answered.head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(SendError::UnaskedUpgrade);
        }
        Ok(answer::begin(answered, &self.pool, true)?)
    }

    /// A new connection, to `first` or else to whichever server takes one.
    async fn connect(&self, first: Option<usize>) -> Result<Connection, SendError> {
        let upstream = &self.upstream;
        let patience = upstream.settings.connect_timeout;
        let permit = upstream.capacity.take(patience).await.map_err(|_full| SendError::Busy)?;
        let (mut next, mut tried) = (first, Vec::new());
        let mut failure = SendError::Busy;
        while let Some((server, endpoint)) = next.and_then(|next| upstream.server(next)) {
            let busy = upstream.balance.begin(server);
            match upstream.connector.connect(endpoint).await {
                Ok(stream) => return Ok(Connection::new(stream, server, busy, permit)),
                Err(error) => {
                    // Read anew: a server that does not answer takes longer to fail than it is to rest.
                    let now = self.clock.now();
                    upstream.balance.rest(server, now);
                    tried.push(server);
                    next = upstream.balance.pick(&tried, now);
                    failure = error.into();
                }
            }
        }
        Err(failure)
    }
}

fn is_repeatable(method: &Method, body: &RequestBody) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && body.is_empty()
}
