//! One request and the head of its answer on one connection, driven by whoever waits for it.

use std::future::poll_fn;
use std::io;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use http_body::Body;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::body::RequestBody;
use crate::body::RequestBodyError;
use crate::upstream::balance::Busy;
use crate::upstream::client::SendError;
use crate::upstream::http1::head::HeadReader;
use crate::upstream::http1::parse::Head;
use crate::upstream::http1::patience::Patience;
use crate::upstream::http1::upload::Upload;
use crate::upstream::http1::upload::UploadError;
use crate::upstream::scratch::Reading;
use crate::upstream::scratch::Scratch;
use crate::upstream::stream::Stream;

/// An open connection to one server of the app.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    /// Which of the app's servers it leads to.
    pub(crate) server: usize,
    /// Counts as a request under way there while the connection is in use.
    pub(crate) busy: Option<Busy>,
    patience: Patience,
    /// Counts against the app's limit as long as the connection is open.
    _permit: Option<OwnedSemaphorePermit>,
}

/// The start of an answer.
#[derive(Debug)]
pub(crate) struct Answered<B = RequestBody> {
    pub(crate) connection: Connection,
    pub(crate) head: Head,
    /// What came behind the head.
    pub(crate) rest: Bytes,
    /// What is still being sent, where the app did not wait for all of it.
    pub(crate) upload: Option<Upload<B>>,
}

/// What can be sent with a request.
pub(crate) trait Sent: Body<Data = Bytes, Error = RequestBodyError> + Unpin {}

impl<B: Body<Data = Bytes, Error = RequestBodyError> + Unpin> Sent for B {}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: SendError,
    /// The connection ended before a byte of an answer came.
    pub(crate) silent: bool,
}

impl Connection {
    /// Nothing was sent on it yet.
    pub(crate) fn new(
        stream: Stream,
        server: usize,
        busy: Option<Busy>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { stream, server, busy, patience: Patience::default(), _permit: permit }
    }

    /// Sends a request and waits for the head of its answer, at most `limit` after the last byte that got through.
    pub(crate) async fn exchange<B: Sent>(
        self,
        scratch: &Scratch,
        head: &Parts,
        body: B,
        limit: Duration,
    ) -> Result<Answered<B>, Failure> {
        let upload = Upload::new(scratch.lines(), head, body);
        let mut exchange = Exchange {
            connection: self,
            upload: Some(upload),
            unsent: None,
            reader: HeadReader::new(head.method == Method::HEAD),
            since: Instant::now(),
        };
        let (head, rest) = poll_fn(|context| exchange.poll(scratch, limit, context)).await?;
        let Exchange { connection, mut upload, unsent, .. } = exchange;
        let mut head = head;
        if unsent.is_some() {
            upload = None;
            head.persistent = false;
        }
        Ok(Answered { connection, head, rest, upload })
    }
}

struct Exchange<B> {
    connection: Connection,
    upload: Option<Upload<B>>,
    /// Why the rest of the request cannot be sent. The app may have answered before it closed.
    unsent: Option<io::Error>,
    reader: HeadReader,
    since: Instant,
}

impl<B: Sent> Exchange<B> {
    fn poll(
        &mut self,
        scratch: &Scratch,
        limit: Duration,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Head, Bytes), Failure>> {
        self.send(scratch, context)?;
        if let Poll::Ready(read) = self.poll_read(scratch, context) {
            return Poll::Ready(read);
        }
        ready!(self.connection.patience.poll(self.since + limit, context));
        Poll::Ready(Err(Failure { error: SendError::TimedOut { after: limit }, silent: false }))
    }

    fn send(&mut self, scratch: &Scratch, context: &mut Context<'_>) -> Result<(), Failure> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        let passed = upload.passed();
        let sent = upload.poll_send(&mut self.connection.stream, context);
        // A long upload is not a slow answer: the limit counts from the last byte that got through.
        if passed > 0 && upload.passed() > passed {
            self.since = Instant::now();
        }
        match sent {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => {
                if let Some(upload) = self.upload.take() {
                    scratch.give_back(upload.into_lines());
                }
                Ok(())
            }
            Poll::Ready(Err(UploadError::Io(error))) => {
                self.upload = None;
                self.unsent = Some(error);
                Ok(())
            }
            Poll::Ready(Err(UploadError::Body(error))) => Err(Failure { error: error.into(), silent: false }),
        }
    }

    fn poll_read(
        &mut self,
        scratch: &Scratch,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Head, Bytes), Failure>> {
        loop {
            let read = ready!(scratch.poll_read(Reading::Head, &mut self.connection.stream, context));
            let failed = match read {
                Ok(bytes) if !bytes.is_empty() => match self.reader.read(bytes) {
                    Ok(None) => continue,
                    Ok(Some(answer)) => return Poll::Ready(Ok(answer)),
                    Err(error) => {
                        return Poll::Ready(Err(Failure { error: error.into(), silent: false }));
                    }
                },
                Ok(_end) => io::ErrorKind::UnexpectedEof.into(),
                Err(error) => error,
            };
            let silent = !self.reader.has_begun() && is_end(&failed);
            let error = SendError::NoAnswer(self.unsent.take().unwrap_or(failed));
            return Poll::Ready(Err(Failure { error, silent }));
        }
    }
}

/// Whether `error` says that the connection had ended, and nothing else.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
    )
}
