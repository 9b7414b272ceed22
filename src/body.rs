//! Bodies as they pass through: a request's on its way to the app, with its limit and without its trailers; and a page's on
//! its way back ([`appended`]).
//!
//! Nothing is gathered: each frame goes on as it came, and the reader's pace is the writer's. Only the little that a
//! caller looks at is kept back until it is passed on.

use std::fmt;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::body::pace::Pace;

pub mod appended;
mod pace;

/// Why a request's body could not be passed on to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestBodyError {
    /// It is longer than the site allows.
    #[error("the request's body is longer than allowed")]
    TooLarge,
    /// The browser stopped sending, or sent something that is no body.
    #[error("the request's body broke off")]
    Broken,
    /// The session it was sent in has ended meanwhile.
    #[error("the session ended while the request's body was under way")]
    SessionEnded,
}

/// A request's body on its way to the app.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none.
    Empty,
    /// What the browser sends, as it comes.
    Stream(Box<UploadBody>),
    /// What it sent before, whole.
    Whole(Bytes),
}

impl RequestBody {
    /// Passes `incoming` on up to `limit` bytes; nothing means no limit. It breaks off if bytes are waited for and too few
    /// come within `patience`.
    ///
    /// # Errors
    /// If it says itself that it is longer: then no app need hear of it.
    pub fn new(incoming: Incoming, limit: Option<u64>, patience: Duration) -> Result<Self, RequestBodyError> {
        if incoming.is_end_stream() {
            return Ok(Self::Empty);
        }
        let limit = limit.unwrap_or(u64::MAX);
        if incoming.size_hint().exact().is_some_and(|promised| promised > limit) {
            return Err(RequestBodyError::TooLarge);
        }
        let pace = Pace::new(patience);
        let (ahead, ended) = (None, false);
        let body = UploadBody { ahead, ended, incoming, left: limit, pace, begun: false, end: None };
        Ok(Self::Stream(Box::new(body)))
    }

    /// Breaks off when `end` comes, however much there is.
    #[must_use]
    pub fn until(mut self, end: impl Future<Output = ()> + 'static) -> Self {
        if let Self::Stream(body) = &mut self {
            body.end = Some(End(Box::pin(end)));
        }
        self
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

    /// What it is, whole, if it has at most `most` bytes; nothing if it is longer. All of it is passed on as if nobody had
    /// looked.
    ///
    /// # Errors
    /// If it breaks off or is longer than the site allows.
    pub async fn look(&mut self, most: usize) -> Result<Option<Bytes>, RequestBodyError> {
        if self.size_hint().exact().is_some_and(|promised| promised > most as u64) {
            return Ok(None);
        }
        let mut read = BytesMut::new();
        let mut whole = true;
        while let Some(frame) = self.frame().await {
            read.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
            if read.len() > most {
                whole = false;
                break;
            }
        }
        let read = read.freeze();
        if let Self::Stream(body) = self {
            body.ahead = (!read.is_empty()).then(|| read.clone());
            body.ended = whole;
        }
        Ok(whole.then_some(read))
    }

    /// Whether there is no body at all, so that the request can be sent twice.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

/// What ends a body early.
struct End(Pin<Box<dyn Future<Output = ()>>>);

impl fmt::Debug for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("End(…)")
    }
}

/// The browser's body behind its limit.
#[derive(Debug)]
pub struct UploadBody {
    /// What was looked at and is yet to be passed on.
    ahead: Option<Bytes>,
    /// Whether there is nothing behind that.
    ended: bool,
    incoming: Incoming,
    left: u64,
    pace: Pace,
    begun: bool,
    end: Option<End>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let body = match self.get_mut() {
            Self::Empty => return Poll::Ready(None),
            Self::Whole(bytes) => {
                let all = std::mem::take(bytes);
                return Poll::Ready((!all.is_empty()).then(|| Ok(Frame::data(all))));
            }
            Self::Stream(body) => body,
        };
        if let Some(ahead) = body.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(ahead))));
        }
        if body.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut body.incoming).poll_frame(context);
        // A body that is there at once, as most forms are, pays for no watch on its session.
        let lasts = std::mem::replace(&mut body.begun, true) || polled.is_pending();
        if lasts
            && let Some(End(end)) = &mut body.end
            && end.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(RequestBodyError::SessionEnded)));
        }
        if polled.is_pending() && body.pace.poll_patience(context).is_ready() {
            return Poll::Ready(Some(Err(RequestBodyError::Broken)));
        }
        let Some(frame) = ready!(polled) else {
            return Poll::Ready(None);
        };
        let Ok(frame) = frame else {
            return Poll::Ready(Some(Err(RequestBodyError::Broken)));
        };
        // Trailers never become headers, and an app may merge the two (RFC 9110 §6.5.1): they end here. An empty section
        // is one of pseudo-header fields, which the h2 crate has taken out and which must not be there (RFC 9113 §8.1).
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(end) if end.trailers_ref().is_some_and(HeaderMap::is_empty) => {
                return Poll::Ready(Some(Err(RequestBodyError::Broken)));
            }
            Err(_trailers) => return Poll::Ready(None),
        };
        body.pace.on_data(data.len());
        match body.left.checked_sub(data.len() as u64) {
            Some(left) => body.left = left,
            None => return Poll::Ready(Some(Err(RequestBodyError::TooLarge))),
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(body) => body.ahead.is_none() && (body.ended || body.incoming.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => {
                let rest = if body.ended { SizeHint::with_exact(0) } else { body.incoming.size_hint() };
                longer(rest, body.ahead.as_ref().map_or(0, Bytes::len))
            }
        }
    }
}

/// A hint for a body that has so many bytes before the rest.
pub fn longer(rest: SizeHint, ahead: usize) -> SizeHint {
    let ahead = ahead as u64;
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(ahead));
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper.saturating_add(ahead));
    }
    hint
}
