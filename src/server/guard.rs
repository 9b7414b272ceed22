//! The strict door in front of hyper's HTTP/1 parser: a head reaches hyper only when it is complete and clean. In place
//! of a bad one hyper gets a stand-in, so that the refusal is answered through the one way out like every other request;
//! nothing behind the bad byte is read as a request (RFC 9112 §2.2, §6.3, §11.2).

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Buf;
use bytes::BytesMut;
use hyper::rt::Read;
use hyper::rt::ReadBufCursor;
use hyper::rt::Write;

use crate::server::pulse::Order;
use crate::server::pulse::Pulse;
use crate::server::refusal::Refusal;
use crate::server::scanner::Fault;
use crate::server::scanner::HeadLimits;
use crate::server::scanner::Place;
use crate::server::scanner::Scanner;
use crate::server::socket::Transport;
use crate::server::socket::poll_scratch;
use crate::server::stand_in;

// RFC 9112 §9.6: closing with unread input makes the kernel throw away what the peer has not read yet, the answer
// included. So that much is read and dropped first: more than a browser has cookies for one host.
const MAX_LINGER: usize = 1024 * 1024;

/// An HTTP/1 connection as hyper sees it.
#[derive(Debug)]
pub(super) struct Guard {
    transport: Transport,
    intake: Intake,
    closing: Option<usize>,
}

impl Guard {
    /// Guards `transport`.
    pub(super) fn new(mut transport: Transport, limits: HeadLimits) -> Self {
        let pulse = Arc::clone(transport.socket().pulse());
        Self {
            transport,
            intake: Intake {
                scanner: Scanner::new(limits),
                held: BytesMut::new(),
                ready: 0,
                end: None,
                pulse,
            },
            closing: None,
        }
    }
}

/// Why nothing more is let in.
#[derive(Clone, Copy, Debug)]
enum End {
    Refused,
    Broken(io::ErrorKind, &'static str),
}

/// What stands between the transport and hyper. Empty but for a few words while the connection rests.
#[derive(Debug)]
struct Intake {
    scanner: Scanner,
    // Bytes that passed and wait for room (the first `ready`), then those of an incomplete head.
    held: BytesMut,
    ready: usize,
    end: Option<End>,
    pulse: Arc<Pulse>,
}

impl Intake {
    fn take(&mut self, data: &[u8], out: &mut ReadBufCursor<'_>) {
        let fault = if self.held.is_empty() {
            let (passed, fault) = self.scanner.scan(data);
            let (pass, rest) = data.split_at_checked(passed).unwrap_or((data, &[]));
            out.put_slice(pass);
            self.held.extend_from_slice(rest);
            fault
        } else {
            self.held.extend_from_slice(data);
            let (passed, fault) = self.scanner.scan(self.held.get(self.ready..).unwrap_or_default());
            self.ready += passed;
            fault
        };
        match fault {
            None => {}
            Some(Fault::Head(refusal)) => self.refuse(refusal),
            Some(Fault::Body(reason)) => self.fail(io::ErrorKind::InvalidData, reason),
        }
        self.tell();
    }

    fn tell(&self) {
        let place = self.scanner.place();
        if place == Place::Opaque {
            self.pulse.opaque_after(self.scanner.heads());
        }
        self.pulse.set_place(place);
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.scanner.end();
        let stand_in = stand_in::of(self.held.get(self.ready..).unwrap_or_default(), refusal);
        self.held.truncate(self.ready);
        self.held.extend_from_slice(&stand_in);
        self.ready = self.held.len();
        self.end = Some(End::Refused);
        self.pulse.refuse(self.scanner.heads().wrapping_add(1), refusal);
    }

    fn fail(&mut self, kind: io::ErrorKind, reason: &'static str) {
        self.scanner.end();
        self.held.truncate(self.ready);
        self.end = Some(End::Broken(kind, reason));
    }

    fn obey(&mut self, order: Order) {
        match (order, self.scanner.place()) {
            (Order::EndHead, Place::Head) => self.refuse(Refusal::TimedOut),
            (Order::EndBody, Place::Body) => self.fail(io::ErrorKind::TimedOut, "body too slow"),
            (Order::EndHead | Order::EndBody, _) => {}
        }
        self.tell();
    }

    fn give(&mut self, out: &mut ReadBufCursor<'_>) {
        let here = self.ready.min(out.remaining());
        out.put_slice(self.held.get(..here).unwrap_or_default());
        self.held.advance(here);
        self.ready -= here;
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
    }

    fn is_clean(&self) -> bool {
        self.end.is_none() && self.held.is_empty() && self.scanner.place() == Place::Between
    }
}

impl Read for Guard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { transport, intake, .. } = &mut *self;
        if let Some(order) = intake.pulse.take_order() {
            intake.obey(order);
        }
        loop {
            if intake.ready > 0 {
                intake.give(&mut out);
                return Poll::Ready(Ok(()));
            }
            match intake.end {
                None => {}
                // Not the end of the stream: hyper takes that for a client that left, and would drop the answer.
                Some(End::Refused) => return Poll::Pending,
                Some(End::Broken(kind, reason)) => return Poll::Ready(Err(io::Error::new(kind, reason))),
            }
            let room = out.remaining();
            let read = transport.poll_take(cx, room, |data| {
                intake.take(data, &mut out);
                data.len()
            });
            intake.pulse.set_hungry(read.is_pending());
            if ready!(read)? == 0 || out.remaining() < room {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Write for Guard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        if me.closing.is_none() {
            ready!(Pin::new(&mut me.transport).poll_shutdown(cx))?;
            me.intake.pulse.on_linger();
        }
        let mut drained = me.closing.unwrap_or_default();
        if me.intake.is_clean() {
            return Poll::Ready(Ok(()));
        }
        loop {
            me.closing = Some(drained);
            // Under TLS too: nobody reads it, so nobody needs to decrypt it.
            match poll_scratch(me.transport.socket(), cx, MAX_LINGER, <[u8]>::len) {
                Poll::Ready(Ok(more)) if more > 0 && drained + more < MAX_LINGER => drained += more,
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
