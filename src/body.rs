//! Bodies as they pass through: a request's on its way to the app, with its limit and without its trailers.
//!
//! Nothing is gathered: each frame goes on as it came, and the reader's pace is the writer's.

use std::pin::Pin;
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
        Self::Stream(UploadBody { incoming, left: limit.unwrap_or(u64::MAX) })
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
}

/// The browser's body behind its limit.
#[derive(Debug)]
pub struct UploadBody {
    incoming: Incoming,
    left: u64,
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
        let Some(frame) = ready!(Pin::new(&mut body.incoming).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let Ok(frame) = frame else {
            return Poll::Ready(Some(Err(RequestBodyError::Broken)));
        };
        // Trailers never become headers, and an app may merge the two (RFC 9110 §6.5.1): they end here.
        let Ok(data) = frame.into_data() else {
            return Poll::Ready(None);
        };
        match body.left.checked_sub(data.len() as u64) {
            Some(left) => body.left = left,
            None => return Poll::Ready(Some(Err(RequestBodyError::TooLarge))),
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
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
