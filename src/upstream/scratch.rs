//! The buffers that all connections of one worker to one app share: a request is written out and an answer read in
//! within one turn of the worker, so that a connection that waits holds none.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::BytesMut;
use tokio_util::io::poll_read_buf;

use crate::upstream::stream::Stream;

/// How much memory is taken at once for reading. Heads and bodies are handed on as parts of it without a copy, and it
/// is used anew when all of them are gone.
const BLOCK: usize = 64 * 1024;

/// What must be left of a block to read into it: enough for most answers in one read.
const ROOM: usize = 16 * 1024;

/// A piece of a stream smaller than this is copied out: a reader who takes his time with it would hold the whole block.
const SMALL: usize = 4 * 1024;

/// A request head that needed more is not remembered.
const KEPT_LINES: usize = 64 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    block: Mutex<BytesMut>,
    lines: Mutex<Vec<u8>>,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The start of an answer, of which parts are used right away.
    Head,
    /// The rest of its body, which may have to wait for its reader.
    Body,
}

impl Scratch {
    /// Reads what `stream` has; nothing in the buffer is the stream's end.
    pub(crate) fn poll_read(
        &self,
        reading: Reading,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<BytesMut>> {
        let mut block = lock(&self.block);
        if block.capacity() < ROOM {
            block.reserve(BLOCK);
        }
        let count = ready!(poll_read_buf(Pin::new(stream), context, &mut *block))?;
        if reading == Reading::Body && count < SMALL {
            let copy = BytesMut::from(&block[..]);
            block.clear();
            return Poll::Ready(Ok(copy));
        }
        Poll::Ready(Ok(block.split()))
    }

    /// An empty buffer to write a request's lines to.
    pub(crate) fn lines(&self) -> Vec<u8> {
        std::mem::take(&mut *lock(&self.lines))
    }

    /// Takes the buffer back when the lines are sent.
    pub(crate) fn give_back(&self, mut lines: Vec<u8>) {
        if lines.capacity() <= KEPT_LINES {
            lines.clear();
            *lock(&self.lines) = lines;
        }
    }

    /// Lets go of all memory, when there is nothing to do.
    pub(crate) fn release(&self) {
        *lock(&self.block) = BytesMut::new();
        *lock(&self.lines) = Vec::new();
    }
}

/// The locks are the worker's own, and never held across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
