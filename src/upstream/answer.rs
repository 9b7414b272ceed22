//! An app's answer as it streams back, and the connection's way home when it has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;

use crate::upstream::pool::Connection;
use crate::upstream::pool::Pool;

/// The body of an app's answer. Trailers end with it. Dropped before its end, it closes the connection, so that
/// nobody else gets what is left of it.
#[derive(Debug)]
pub struct AnswerBody {
    incoming: Incoming,
    lease: Option<Lease>,
}

/// The connection an answer comes over, and where it goes afterwards; without a pool it is closed.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    pub(crate) pool: Option<Arc<Pool>>,
}

impl AnswerBody {
    pub(crate) fn new(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self { incoming, lease: Some(lease) };
        if body.incoming.is_end_stream() {
            body.give_back();
        }
        body
    }

    fn give_back(&mut self) {
        if let Some(Lease { connection, pool: Some(pool) }) = self.lease.take() {
            pool.put(connection);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
            Some(Ok(frame)) if frame.is_data() => frame,
            Some(Ok(_)) | None => {
                self.give_back();
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                self.lease = None;
                return Poll::Ready(Some(Err(error)));
            }
        };
        if self.incoming.is_end_stream() {
            self.give_back();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
