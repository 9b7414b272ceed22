//! One connection from its acceptance to its end: PROXY header, TLS handshake, HTTP/1 or HTTP/2, deadlines, goodbye.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::server::conn::http2::Connection as Http2Connection;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout;

use crate::net::PeerAddr;
use crate::net::TrustedProxies;
use crate::server::Handler;
use crate::server::Limits;
use crate::server::deadline::Deadline;
use crate::server::drain::Drain;
use crate::server::exchange::Watched;
use crate::server::figures::Figures;
use crate::server::guard::Guard;
use crate::server::http2;
use crate::server::http2::Local;
use crate::server::no_tls;
use crate::server::peer::Entrance;
use crate::server::peer::Peer;
use crate::server::proxy_protocol;
use crate::server::pulse::Order;
use crate::server::pulse::Pulse;
use crate::server::pulse::Wait;
use crate::server::scanner::HeadLimits;
use crate::server::socket::Slot;
use crate::server::socket::Socket;
use crate::server::socket::Transport;
use crate::server::tls::Tls;

// What of an answer waits for a slow client, and what hyper reads at once. At least this, and a whole head.
const BUFFER: usize = 64 * 1024;

// HTTP-26: more requests taken back than this within the window is an attack, not a reader who changed their mind.
const MAX_ABANDONED: u32 = 200;
const ABANDONED_WITHIN: Duration = Duration::from_secs(10);

/// A connection as the acceptor hands it over.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The socket, non-blocking.
    pub(super) stream: std::net::TcpStream,
    /// Who opened it.
    pub(super) addr: SocketAddr,
    /// Where it came in.
    pub(super) entrance: Entrance,
    /// What it takes up.
    pub(super) slot: Slot,
}

/// What the connections of a server have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// What a connection may take.
    pub(super) limits: Limits,
    /// How TLS is ended, if it is.
    pub(super) tls: Option<Tls>,
    /// Whose PROXY headers are believed.
    pub(super) trusted: TrustedProxies,
    /// Whether the server is ending.
    pub(super) drain: Drain,
    /// What is counted.
    pub(super) figures: Arc<Figures>,
}

/// The builder of one worker: made once, used for each of its HTTP/1 connections.
#[derive(Debug)]
pub(super) struct Protocols {
    http1: http1::Builder,
}

impl Protocols {
    /// Builders with these limits.
    pub(super) fn new(limits: &Limits) -> Self {
        let mut http1 = http1::Builder::new();
        // The timer is given so that no default can come without one. Deadlines are ours: hyper's would set a timer anew
        // for each request and cannot tell a resting connection from one with half a head.
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(BUFFER.max(limits.header_bytes.saturating_add(BUFFER / 2)));
        // hyper's own hundred costs nothing; another number is a clearing of memory for each request. Fewer are the
        // guard's to enforce.
        if limits.headers > 100 {
            http1.max_headers(limits.headers);
        }
        Self { http1 }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<S: Handler>(
    arrival: Arrival,
    shared: Arc<Shared>,
    protocols: &Protocols,
    handler: &impl Fn(Arc<Peer>) -> S,
) {
    // Boxed, so that a connection at rest does not keep the room its handshake took.
    let handshake = Box::pin(timeout(shared.limits.header_timeout, establish(arrival, &shared)));
    let (peer, mut transport) = match handshake.await {
        Ok(Ok(established)) => established,
        Ok(Err(error)) => {
            shared.figures.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "no connection");
            return;
        }
        Err(_elapsed) => {
            shared.figures.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!("no connection: the handshake took too long");
            return;
        }
    };
    let pulse = Arc::clone(transport.socket().pulse());
    let head = HeadLimits { bytes: shared.limits.header_bytes, fields: shared.limits.headers };
    let service = Watched::new(handler(Arc::new(peer)), Arc::clone(&pulse), head);
    let ended = if speaks_http2(&transport) {
        let conversation =
            Box::pin(http2::builder(&shared.limits, Arc::clone(&pulse)).serve_connection(transport, service));
        drive(conversation, &pulse, &shared).await
    } else {
        let guard = Guard::new(transport, head);
        let conversation = Box::pin(protocols.http1.serve_connection(guard, service).with_upgrades());
        drive(conversation, &pulse, &shared).await
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "connection ended");
    }
}

async fn establish(arrival: Arrival, shared: &Shared) -> io::Result<(Peer, Transport)> {
    let stream = TcpStream::from_std(arrival.stream)?;
    let local = canonical(stream.local_addr()?);
    let opener = PeerAddr(canonical(arrival.addr));
    let mut socket = Socket::new(stream, arrival.slot);
    let named = if shared.trusted.contains(opener.0.ip()) {
        proxy_protocol::read(&mut socket).await?.map(|named| PeerAddr(canonical(named)))
    } else {
        None
    };
    let addr = named.unwrap_or(opener);
    let mut peer = Peer { socket: opener, addr, local, entrance: arrival.entrance, tls: None };
    if arrival.entrance != Entrance::Https {
        return Ok((peer, Transport::Plain(socket)));
    }
    if socket.begins_with_letters().await? {
        return Err(no_tls::tell(socket).await);
    }
    let tls = shared.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
    let (stream, info) = tls.accept(socket).await?;
    peer.tls = Some(info);
    Ok((peer, Transport::Tls(Box::new(stream))))
}

// An IPv4 client of a socket that serves both families is an IPv4 client.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

// On TLS the client chose; without TLS there is no HTTP/2 (RFC 9113 §3.3 by prior knowledge is a smuggler's friend).
fn speaks_http2(transport: &Transport) -> bool {
    match transport {
        Transport::Plain(_) => false,
        Transport::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
    }
}

/// How long a client that came just before the server was told to end may take to say what it came for. Browsers open
/// connections ahead of need: they must not hold up the end.
const NEWCOMER: Duration = Duration::from_secs(1);

/// A conversation of either version: what `drive` needs of it.
trait Conversation: Future<Output = hyper::Result<()>> {
    /// Finish what is being answered, then end.
    fn wind_down(self: Pin<&mut Self>);
    /// Whether it may be told to end now, the server being drained.
    fn may_wind_down(pulse: &Pulse) -> bool;
    /// What it waits for.
    fn wait(pulse: &Pulse, closing: bool) -> (Wait, u64);
}

impl<S> Conversation for http1::UpgradeableConnection<Guard, Watched<S>>
where
    S: Handler,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }

    // hyper would hang up on a request whose head is under way, and on a client that has just come: both were let in
    // and get their answer.
    fn may_wind_down(pulse: &Pulse) -> bool {
        pulse.is_busy() || pulse.is_between_requests()
    }

    fn wait(pulse: &Pulse, closing: bool) -> (Wait, u64) {
        pulse.http1(closing)
    }
}

impl<S> Conversation for Http2Connection<Transport, Watched<S>, Local>
where
    S: Handler,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }

    fn may_wind_down(_: &Pulse) -> bool {
        true
    }

    fn wait(pulse: &Pulse, closing: bool) -> (Wait, u64) {
        pulse.http2(closing)
    }
}

async fn drive<C: Conversation>(
    mut conversation: Pin<Box<C>>,
    pulse: &Pulse,
    shared: &Shared,
) -> hyper::Result<()> {
    let mut drained = pin!(shared.drain.begun());
    let mut deadline = Deadline::new();
    let (mut draining, mut closing) = (false, false);
    let mut abandoned = Abandoned::default();
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = conversation.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            draining = draining || drained.as_mut().poll(cx).is_ready();
            if draining && !closing && C::may_wind_down(pulse) {
                closing = true;
                conversation.as_mut().wind_down();
                continue;
            }
            if abandoned.is_attack(pulse) {
                return Poll::Ready(Ok(()));
            }
            let wait = C::wait(pulse, closing);
            let mut limit = wait.0.limit(&shared.limits);
            if draining && wait.0 == Wait::First {
                limit = limit.map(|limit| limit.min(NEWCOMER));
            }
            if deadline.poll(cx, wait, limit).is_pending() {
                return Poll::Pending;
            }
            match wait.0 {
                Wait::Head => pulse.order(Order::EndHead),
                Wait::Body if pulse.is_busy() => pulse.order(Order::EndBody),
                Wait::First | Wait::Idle => {
                    closing = true;
                    conversation.as_mut().wind_down();
                }
                Wait::Body | Wait::Write | Wait::Linger | Wait::Closing | Wait::Nothing => {
                    return Poll::Ready(Ok(()));
                }
            }
        }
    })
    .await
}

/// Counts requests taken back.
#[derive(Debug, Default)]
struct Abandoned {
    seen: u32,
    before: u32,
    since: Option<Instant>,
}

impl Abandoned {
    fn is_attack(&mut self, pulse: &Pulse) -> bool {
        let count = pulse.abandoned();
        if count == self.seen {
            return false;
        }
        self.seen = count;
        if self.since.is_none_or(|since| since.elapsed() > ABANDONED_WITHIN) {
            self.since = Some(Instant::now());
            self.before = count;
        }
        count.wrapping_sub(self.before) > MAX_ABANDONED
    }
}
