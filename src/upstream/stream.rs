//! A connection's byte stream to a server, and a way to ask whether the other side has closed it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio_rustls::client::TlsStream;

/// A connection that was in use within this time needs no second look.
const A_MOMENT: Duration = Duration::from_millis(1);

/// What requests are written to and answers read from.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Plain, over TCP.
    Tcp(TcpStream),
    /// Plain, over a socket of this machine.
    Unix(UnixStream),
    /// Encrypted, over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl Stream {
    /// Whether the stream is as one that rests should be: open, with nothing to read. The runtime learns of a close
    /// only when it next waits for events, so after more than a moment the kernel is asked.
    pub(crate) fn is_quiet(&mut self, rested: Duration) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        match self {
            Self::Tcp(stream) => {
                (rested < A_MOMENT && stream.poll_read_ready(&mut context).is_pending())
                    || has_nothing(&SockRef::from(&*stream))
            }
            Self::Unix(stream) => {
                (rested < A_MOMENT && stream.poll_read_ready(&mut context).is_pending())
                    || has_nothing(&SockRef::from(&*stream))
            }
            // Unread bytes may be session tickets, which reading takes in: only content and a close end the rest.
            Self::Tls(stream) => {
                let mut byte = [0];
                Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }
}

fn has_nothing(socket: &SockRef<'_>) -> bool {
    let peeked = socket.peek(&mut [MaybeUninit::uninit()]);
    matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
