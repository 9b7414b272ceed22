//! An app's answer as it streams back, and the connection's way home when it has ended.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;

use crate::body::RequestBody;
use crate::body::RequestBodyError;
use crate::upstream::http1::body::Decoded;
use crate::upstream::http1::body::Decoder;
use crate::upstream::http1::exchange::Answered;
use crate::upstream::http1::exchange::Connection;
use crate::upstream::http1::parse::BadAnswer;
use crate::upstream::http1::parse::Head;
use crate::upstream::http1::upload::Upload;
use crate::upstream::http1::upload::UploadError;
use crate::upstream::pool::Pool;
use crate::upstream::scratch::Reading;

/// Why an answer broke off after its head.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Its chunks are malformed.
    #[error("{0}")]
    Chunks(&'static str),
    /// The connection ended before the answer did.
    #[error("the connection ended early")]
    Incomplete,
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The browser's body failed while the answer was already under way.
    #[error(transparent)]
    Upload(#[from] RequestBodyError),
}

/// The body of an app's answer. Trailers end with it. Dropped before its end, it closes the connection, so that
/// nobody else gets what is left of it.
#[derive(Debug)]
pub struct AnswerBody(State);

#[derive(Debug)]
enum State {
    /// The connection has gone home.
    Ended,
    /// So has it here: this is all there was.
    Whole(Bytes),
    Streaming(Box<Streaming>),
}

#[derive(Debug)]
struct Streaming {
    /// Content that is ready to be passed on.
    ahead: Option<Bytes>,
    input: Bytes,
    decoder: Decoder,
    connection: Connection,
    /// What is still being sent to an app that did not wait for all of it.
    upload: Option<Upload<RequestBody>>,
    persistent: bool,
    pool: Arc<Pool>,
}

/// The answer that begins with `answered`. Its connection goes back to `pool` when it has ended, if `keep` and if
/// nothing speaks against it.
pub(crate) fn begin(
    answered: Answered,
    pool: &Arc<Pool>,
    keep: bool,
) -> Result<Response<AnswerBody>, BadAnswer> {
    let Answered { connection, head, rest, upload } = answered;
    let Head { status, headers, reason, framing, persistent } = head;
    let mut streaming = Streaming {
        ahead: None,
        input: rest,
        decoder: Decoder::new(framing),
        connection,
        upload,
        persistent: persistent && keep,
        pool: Arc::clone(pool),
    };
    let malformed = |error| BadAnswer::Malformed(error);
    // A small answer comes with its head: then its connection can serve the next request before it is passed on.
    let first = streaming.decoder.decode(&mut streaming.input).map_err(malformed)?;
    let state = match first {
        Decoded::End => streaming.go_home(),
        Decoded::More => State::Streaming(Box::new(streaming)),
        Decoded::Data(first) => match streaming.decoder.decode(&mut streaming.input).map_err(malformed)? {
            Decoded::End => {
                streaming.go_home();
                State::Whole(first)
            }
            Decoded::More => {
                streaming.ahead = Some(first);
                State::Streaming(Box::new(streaming))
            }
            Decoded::Data(second) => {
                // Rare: an app that sent two chunks at once gets them joined.
                streaming.ahead = Some([&first[..], &second].concat().into());
                State::Streaming(Box::new(streaming))
            }
        },
    };
    let mut response = Response::new(AnswerBody(state));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    Ok(response)
}

impl AnswerBody {
    /// Whether nothing is waited for: all there is came with the head.
    pub fn is_at_hand(&self) -> bool {
        matches!(self.0, State::Ended | State::Whole(_))
    }
}

impl Streaming {
    /// The answer has ended. What came behind it, or was not sent of the request, would be the next one's.
    fn go_home(self) -> State {
        if self.persistent && self.input.is_empty() && self.upload.is_none() {
            self.pool.put(self.connection);
        }
        State::Ended
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Decoded, AnswerError>> {
        self.send(context)?;
        if let Some(data) = self.ahead.take() {
            return Poll::Ready(Ok(Decoded::Data(data)));
        }
        loop {
            match self.decoder.decode(&mut self.input).map_err(AnswerError::Chunks)? {
                Decoded::More => {}
                decoded @ (Decoded::Data(_) | Decoded::End) => return Poll::Ready(Ok(decoded)),
            }
            let stream = &mut self.connection.stream;
            let bytes = ready!(self.pool.scratch().poll_read(Reading::Body, stream, context))?;
            if bytes.is_empty() {
                self.persistent = false;
                let ended = self.decoder.ends_with_connection();
                return Poll::Ready(if ended { Ok(Decoded::End) } else { Err(AnswerError::Incomplete) });
            }
            self.input = bytes.freeze();
        }
    }

    /// Goes on sending to an app that answers meanwhile.
    fn send(&mut self, context: &mut Context<'_>) -> Result<(), AnswerError> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        match upload.poll_send(&mut self.connection.stream, context) {
            Poll::Pending => Ok(()),
            Poll::Ready(sent) => {
                self.upload = None;
                match sent {
                    Ok(()) => Ok(()),
                    Err(UploadError::Body(error)) => Err(error.into()),
                    // It may close its ear before it has said all.
                    Err(UploadError::Io(_)) => {
                        self.persistent = false;
                        Ok(())
                    }
                }
            }
        }
    }

    /// Reads ahead as far as it costs nothing, so that the end is known together with the last content.
    fn is_over(&mut self) -> Result<bool, AnswerError> {
        match self.decoder.decode(&mut self.input).map_err(AnswerError::Chunks)? {
            Decoded::End => Ok(true),
            Decoded::More => Ok(false),
            Decoded::Data(data) => {
                self.ahead = Some(data);
                Ok(false)
            }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let next = match &mut self.0 {
            State::Ended => return Poll::Ready(None),
            State::Whole(bytes) => {
                let bytes = mem::take(bytes);
                self.0 = State::Ended;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            State::Streaming(streaming) => ready!(streaming.poll_next(context)).and_then(|decoded| {
                let over = decoded == Decoded::End || (streaming.ahead.is_none() && streaming.is_over()?);
                Ok((decoded, over))
            }),
        };
        let over = next.as_ref().map_or(true, |(_, over)| *over);
        if over && let State::Streaming(mut streaming) = mem::replace(&mut self.0, State::Ended) {
            streaming.persistent &= next.is_ok();
            streaming.go_home();
        }
        Poll::Ready(match next {
            Ok((Decoded::Data(data), _)) => Some(Ok(Frame::data(data))),
            Ok((Decoded::End | Decoded::More, _)) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Ended => SizeHint::with_exact(0),
            State::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            State::Streaming(streaming) => match streaming.decoder.left() {
                None => SizeHint::default(),
                Some(left) => {
                    let ahead = streaming.ahead.as_ref().map_or(0, Bytes::len) as u64;
                    SizeHint::with_exact(left.saturating_add(ahead))
                }
            },
        }
    }
}
