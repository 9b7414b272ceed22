//! An accepted connection as bytes: the socket that tells its pulse, and the transport over it, plain or TLS. Adapters
//! between tokio's and hyper's traits, in safe Rust: what hyper reads is copied out of TLS's own buffer or out of one
//! buffer that all connections of a worker share, so that an idle connection holds none.

use std::cell::RefCell;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use hyper::rt::ReadBufCursor;
use tokio::io::AsyncBufRead;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;

use crate::server::figures::Figures;
use crate::server::pulse::Pulse;

const SCRATCH: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// A connection's place under `limits.connections` and on its worker; given back when the socket is dropped, however
/// that comes about and whoever holds it then.
#[derive(Debug)]
pub(super) struct Slot {
    load: Arc<AtomicUsize>,
    figures: Arc<Figures>,
    // Last: when there is room again, the connection is counted no more.
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Counts one more, on a worker and in all.
    pub(super) fn new(permit: OwnedSemaphorePermit, load: Arc<AtomicUsize>, figures: Arc<Figures>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        figures.open.fetch_add(1, Ordering::Relaxed);
        Self { load, figures, _permit: permit }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.figures.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    pulse: Arc<Pulse>,
    // What was read while looking for a PROXY header and belongs to what follows.
    unread: Vec<u8>,
    _slot: Slot,
}

impl Socket {
    /// Takes charge of an accepted connection.
    pub(super) fn new(stream: TcpStream, slot: Slot) -> Self {
        Self { stream, pulse: Arc::default(), unread: Vec::new(), _slot: slot }
    }

    /// What this connection is doing.
    pub(super) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Whether what comes first can only be a method of HTTP: TLS begins with a byte that is no letter (RFC 8446 §5.1).
    pub(super) async fn begins_with_letters(&self) -> io::Result<bool> {
        let mut first = [0];
        match self.unread.first() {
            Some(byte) => first = [*byte],
            None => drop(self.stream.peek(&mut first).await?),
        }
        Ok(first.iter().all(u8::is_ascii_uppercase))
    }

    /// The next reads give `bytes` first.
    pub(super) fn put_back(&mut self, bytes: Vec<u8>) {
        self.unread = bytes;
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        if !me.unread.is_empty() {
            let here = me.unread.len().min(buf.remaining());
            buf.put_slice(me.unread.get(..here).unwrap_or_default());
            me.unread.drain(..here);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut me.stream).poll_read(cx, buf))?;
        me.pulse.on_read(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl Socket {
    fn told(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Ready(Ok(bytes)) => self.pulse.on_write(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pulse.on_blocked(),
        }
        outcome
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.told(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.told(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What HTTP is spoken over.
#[derive(Debug)]
pub(super) enum Transport {
    /// The socket itself.
    Plain(Socket),
    /// TLS on it.
    // Boxed: a TLS session has more than a kilobyte, which plain connections and moves need not carry.
    Tls(Box<TlsStream<Socket>>),
}

impl Transport {
    /// The socket below.
    pub(super) fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_mut().0,
        }
    }

    /// Reads once, at most `most` bytes, and shows them to `take`; an empty slice is the end.
    pub(super) fn poll_take<R>(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<io::Result<R>> {
        match self {
            Self::Plain(socket) => poll_scratch(socket, cx, most, take),
            Self::Tls(stream) => {
                let data = ready!(Pin::new(&mut **stream).poll_fill_buf(cx))?;
                let here = data.get(..most.min(data.len())).unwrap_or(data);
                let (result, used) = (take(here), here.len());
                Pin::new(&mut **stream).consume(used);
                Poll::Ready(Ok(result))
            }
        }
    }
}

/// Reads once from the bare socket into the worker's own buffer.
pub(super) fn poll_scratch<R>(
    socket: &mut Socket,
    cx: &mut Context<'_>,
    most: usize,
    take: impl FnOnce(&[u8]) -> R,
) -> Poll<io::Result<R>> {
    BUFFER.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch.get_mut(..most.min(SCRATCH)).unwrap_or_default());
        ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled())))
    })
}

impl hyper::rt::Read for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let most = buf.remaining();
        self.poll_take(cx, most, |data| buf.put_slice(data))
    }
}

impl hyper::rt::Write for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
