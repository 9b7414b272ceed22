//! A request on its way out: its head, and its body as the browser sends it. The head goes out together with the first
//! part of the body that is there; each further part is asked for when the last one is out.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Buf;
use bytes::Bytes;
use http::request::Parts;
use http_body::Body;
use http_body::Frame;
use tokio::io::AsyncWrite;

use crate::body::RequestBodyError;
use crate::upstream::http1::encode;
use crate::upstream::http1::encode::Framing;

const AFTER_CHUNK: &[u8] = b"\r\n";
const AFTER_LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Why a request could not be sent to its end.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// The browser's body failed.
    Body(RequestBodyError),
    /// The app's connection did.
    Io(io::Error),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Upload<B> {
    lines: Vec<u8>,
    lines_sent: usize,
    data: Bytes,
    tail: &'static [u8],
    body: B,
    framing: Framing,
    state: State,
    passed: u64,
}

/// How far the body has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was asked for yet.
    Fresh,
    /// More is to come.
    Running,
    /// Nothing more is to come.
    Complete,
}

impl<B: Body<Data = Bytes, Error = RequestBodyError> + Unpin> Upload<B> {
    /// Writes the head to `lines`, to be sent.
    pub(crate) fn new(mut lines: Vec<u8>, head: &Parts, body: B) -> Self {
        let framing = match body.size_hint().exact() {
            Some(0) => Framing::Nothing,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        encode::head(&mut lines, head, framing);
        let state = if framing == Framing::Nothing { State::Complete } else { State::Fresh };
        Self { lines, lines_sent: 0, data: Bytes::new(), tail: b"", body, framing, state, passed: 0 }
    }

    /// Bytes that went out so far.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// The buffer of the lines, when they are sent.
    pub(crate) fn into_lines(self) -> Vec<u8> {
        self.lines
    }

    /// Sends what there is; ready when all is out.
    pub(crate) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), UploadError>> {
        if self.state == State::Fresh {
            self.state = State::Running;
            if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
                self.take(frame)?;
            }
        }
        loop {
            ready!(self.poll_write(stream, context)).map_err(UploadError::Io)?;
            if self.state == State::Complete {
                return Poll::Ready(Ok(()));
            }
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            self.take(frame)?;
        }
    }

    /// Makes a part of the body ready to be sent. A body that is not as long as was said is not the request that was
    /// meant.
    fn take(&mut self, frame: Option<Result<Frame<Bytes>, RequestBodyError>>) -> Result<(), UploadError> {
        let broken = UploadError::Body(RequestBodyError::Broken);
        let Some(frame) = frame else {
            self.state = State::Complete;
            if self.framing == Framing::Chunked {
                self.tail = LAST_CHUNK;
            }
            let short = matches!(self.framing, Framing::Length(left) if left > 0);
            return if short { Err(broken) } else { Ok(()) };
        };
        let data = frame.map_err(UploadError::Body)?.into_data().unwrap_or_default();
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Nothing => return Err(broken),
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(broken)?;
                if *left == 0 {
                    self.state = State::Complete;
                }
            }
            Framing::Chunked => {
                self.lines.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                let last = self.body.is_end_stream();
                self.tail = if last { AFTER_LAST_CHUNK } else { AFTER_CHUNK };
                if last {
                    self.state = State::Complete;
                }
            }
        }
        self.data = data;
        Ok(())
    }

    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let lines = self.lines.get(self.lines_sent..).unwrap_or_default();
            let count = match (lines.is_empty(), self.data.is_empty(), self.tail.is_empty()) {
                (true, true, true) => break,
                (false, true, true) => ready!(Pin::new(&mut *stream).poll_write(context, lines))?,
                _ => {
                    let slices = [IoSlice::new(lines), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                    ready!(Pin::new(&mut *stream).poll_write_vectored(context, &slices))?
                }
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        self.lines.clear();
        self.lines_sent = 0;
        Pin::new(stream).poll_flush(context)
    }

    fn advance(&mut self, count: usize) {
        self.passed = self.passed.saturating_add(count as u64);
        let lines = count.min(self.lines.len() - self.lines_sent);
        self.lines_sent += lines;
        let data = (count - lines).min(self.data.len());
        self.data.advance(data);
        self.tail = self.tail.get(count - lines - data..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
