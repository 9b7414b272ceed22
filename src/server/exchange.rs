//! One request and its answer: wraps the handler so that the connection knows what it is waiting for, and so that a
//! refused request and a WebSocket cannot be mistaken.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Version;
use http::header::CONNECTION;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;

use crate::server::Handler;
use crate::server::http2;
use crate::server::pulse::Pulse;
use crate::server::scanner::HeadLimits;
use crate::server::stream::Piece;

/// The handler of one connection, watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    handler: S,
    pulse: Arc<Pulse>,
    limits: HeadLimits,
}

impl<S> Watched<S> {
    /// Watches `handler`; the heads of HTTP/2 requests are held to `limits`.
    pub(super) fn new(handler: S, pulse: Arc<Pulse>, limits: HeadLimits) -> Self {
        Self { handler, pulse, limits }
    }
}

impl<S: Handler> Service<Request<Incoming>> for Watched<S> {
    type Response = Response<Answer<S::Answer>>;
    type Error = Infallible;
    type Future = Exchange<S::Work>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let ordinal = self.pulse.begin();
        let turn = Turn(Arc::clone(&self.pulse));
        let in_frames = request.version() == Version::HTTP_2;
        let refusal =
            if in_frames { http2::examine(&request, self.limits).err() } else { self.pulse.refusal(ordinal) };
        let opaque = self.pulse.is_opaque(ordinal);
        // hyper offers the upgrade for any `Upgrade` field and for CONNECT. Where the guard reads on, nobody may take it.
        if !opaque && !request.extensions().is_empty() {
            request.extensions_mut().remove::<OnUpgrade>();
        }
        if let Some(refusal) = refusal {
            request.extensions_mut().insert(refusal);
        }
        Exchange { work: self.handler.call(request), turn: Some(turn), opaque, in_frames }
    }
}

/// While it lives, the connection is busy.
#[derive(Debug)]
struct Turn(Arc<Pulse>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.finish();
    }
}

pin_project! {
    /// An answer in the making.
    #[derive(Debug)]
    pub(super) struct Exchange<F> {
        #[pin]
        work: F,
        turn: Option<Turn>,
        opaque: bool,
        in_frames: bool,
    }

    impl<F> PinnedDrop for Exchange<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(turn) = this.project().turn.take() {
                turn.0.on_abandoned();
            }
        }
    }
}

impl<F, B> Future for Exchange<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<Answer<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.work.poll(cx));
        // Behind such a request the guard looks at nothing: if the answer is no, no second request may follow.
        if *this.opaque && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let turn = this.turn.take();
        let in_frames = *this.in_frames;
        Poll::Ready(Ok(response.map(|body| Answer { body, turn, in_frames, kept: None })))
    }
}

pin_project! {
    /// The body of an answer on its way out.
    #[derive(Debug)]
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        turn: Option<Turn>,
        in_frames: bool,
        // The end of the piece that was given last, see `last_byte`.
        kept: Option<Bytes>,
    }
}

impl<B: Body<Data = Bytes>> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        if let Some(end) = this.kept.take() {
            Piece::Given.leave();
            return Poll::Ready(Some(Ok(Frame::data(end))));
        }
        let mut frame = this.body.as_mut().poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut frame {
            Piece::Given.leave();
            if *this.in_frames {
                *this.kept = frame.data_mut().and_then(last_byte);
            }
        } else {
            Piece::Awaited.leave();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.kept.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let kept = self.kept.as_ref().map_or(0, |end| end.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + kept);
        }
        hint.set_lower(hint.lower() + kept);
        hint
    }
}

// A piece up to this is handed over whole: a hundred of them are little, and a second frame would cost each answer.
const SMALL: usize = 1024;

/// Cuts the last byte off a piece of an answer in frames, to be given next.
// hyper hands a piece over to h2, whole, once its client has room for a byte of it; then it asks for the next, and is done
// with the stream where there is none. What h2 cannot send would lie there for as long as the client likes, timed by nobody.
// The byte waits in hyper until there is room for it, and so for all before it: until then the stream is timed.
fn last_byte(piece: &mut Bytes) -> Option<Bytes> {
    (piece.len() > SMALL).then(|| piece.split_off(piece.len() - 1))
}
