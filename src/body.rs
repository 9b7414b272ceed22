//! Bodies as they pass through: a request's on its way to the app, with its limit and without its trailers.
//!
//! Nothing is gathered: each frame goes on as it came, and the reader's pace is the writer's.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// Why a request's body could not be passed on to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestBodyError {
    /// It is longer than the site allows.
    #[error("the request's body is longer than allowed")]
    TooLarge,
    /// The browser stopped sending, or sent something that is no body.
    #[error("the request's body broke off")]
    Broken,
}

/// How far the passing on of a request's body has come; shared with whoever waits for the answer.
#[derive(Debug, Default)]
pub struct Upload {
    bytes: AtomicU64,
    state: AtomicU8,
}

const RUNNING: u8 = 0;
const COMPLETE: u8 = 1;
const TOO_LARGE: u8 = 2;
const BROKEN: u8 = 3;

impl Upload {
    /// Bytes passed on so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether nothing more is to come, for better or worse.
    pub fn is_over(&self) -> bool {
        self.state.load(Ordering::Relaxed) != RUNNING
    }

    /// What went wrong, if anything did.
    pub fn error(&self) -> Option<RequestBodyError> {
        match self.state.load(Ordering::Relaxed) {
            TOO_LARGE => Some(RequestBodyError::TooLarge),
            BROKEN => Some(RequestBodyError::Broken),
            _ => None,
        }
    }
}

/// A request's body on its way to the app.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none.
    Empty,
    /// What the browser sends, as it comes.
    Stream(UploadBody),
}

impl RequestBody {
    /// Passes `incoming` on up to `limit` bytes; nothing means no limit.
    pub fn new(incoming: Incoming, limit: Option<u64>) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        Self::Stream(UploadBody { incoming, limit: limit.unwrap_or(u64::MAX), upload: Arc::default() })
    }

    /// Takes a body that promises no bytes at its word only when it has ended: over HTTP/2 the bytes may come after the
    /// promise, and the app would have been sent a request that is none (RFC 9113 §8.1.1).
    ///
    /// # Errors
    /// If bytes come after all.
    pub async fn settled(mut self) -> Result<Self, RequestBodyError> {
        if self.is_empty() || self.size_hint().exact() != Some(0) {
            return Ok(self);
        }
        match self.frame().await {
            None => Ok(Self::Empty),
            Some(Ok(_) | Err(_)) => Err(RequestBodyError::Broken),
        }
    }

    /// Whether there is no body at all, so that the request can be sent twice.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The progress of the passing on; nothing where there is no body.
    pub fn upload(&self) -> Option<Arc<Upload>> {
        match self {
            Self::Empty => None,
            Self::Stream(body) => Some(Arc::clone(&body.upload)),
        }
    }
}

/// The browser's body behind its limit.
#[derive(Debug)]
pub struct UploadBody {
    incoming: Incoming,
    limit: u64,
    upload: Arc<Upload>,
}

impl UploadBody {
    fn fail(&self, error: RequestBodyError) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let state = match error {
            RequestBodyError::TooLarge => TOO_LARGE,
            RequestBodyError::Broken => BROKEN,
        };
        self.upload.state.store(state, Ordering::Relaxed);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Self::Stream(body) = self.get_mut() else {
            return Poll::Ready(None);
        };
        match ready!(Pin::new(&mut body.incoming).poll_frame(context)) {
            None => {
                body.upload.state.store(COMPLETE, Ordering::Relaxed);
                Poll::Ready(None)
            }
            Some(Err(_)) => body.fail(RequestBodyError::Broken),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let sent =
                        body.upload.bytes.fetch_add(data.len() as u64, Ordering::Relaxed) + data.len() as u64;
                    if sent > body.limit {
                        return body.fail(RequestBodyError::TooLarge);
                    }
                    if body.incoming.is_end_stream() {
                        body.upload.state.store(COMPLETE, Ordering::Relaxed);
                    }
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                // Trailers never become headers, and an app may merge the two (RFC 9110 §6.5.1): they end here.
                Err(_trailers) => {
                    body.upload.state.store(COMPLETE, Ordering::Relaxed);
                    Poll::Ready(None)
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(body) => body.incoming.size_hint(),
        }
    }
}
