//! Listening sockets, and the one thread that accepts from them. Bound once, without `SO_REUSEPORT`: with it a second
//! gateway would bind the same port without a word, and closing one of several sockets would reset what waits on it.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener as StdListener;
use std::net::TcpStream as StdStream;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::TcpKeepalive;
use socket2::Type;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::server::ListenSettings;
use crate::server::connection::Arrival;
use crate::server::figures::Figures;
use crate::server::inherited::Inherited;
use crate::server::peer::Entrance;
use crate::server::socket::Slot;
use crate::server::worker::Team;

const BACKLOG: i32 = 4096;
// A slow reader's data waits in the gateway, where it is bounded and its progress seen, instead of in the kernel.
const UNSENT: u32 = 256 * 1024;
const KEEPALIVE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
// Out of descriptors or memory, accepting again at once would fail again at once.
const PAUSE: Duration = Duration::from_millis(200);

/// Not all sockets could be had.
#[derive(Debug, Error)]
pub enum BindError {
    /// One could not be bound.
    #[error("{} cannot listen on {addr}: {source}{}", entrance.key(), hint(source))]
    Bind {
        /// Which listener.
        entrance: Entrance,
        /// Where.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// One was handed to us that the configuration does not ask for: who connects there would wait for ever.
    #[error(
        "a socket for {0} was handed over by whoever started this, but nothing in `listen` has that address: write it there, or take it out of the `.socket` unit"
    )]
    NotAskedFor(SocketAddr),
}

fn hint(error: &io::Error) -> &'static str {
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        "; another program listens there: stop it, or choose another port"
    } else if kind == io::ErrorKind::PermissionDenied {
        "; ports below 1024 need a privilege: choose a higher one, or grant CAP_NET_BIND_SERVICE"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "; this machine has no such address: write one it has, or 0.0.0.0"
    } else {
        ""
    }
}

/// A bound socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: StdListener,
    entrance: Entrance,
    /// Somebody else holds it open, for the next gateway.
    inherited: bool,
}

impl Listener {
    /// Where it listens; the real port where port 0 was asked for.
    pub(super) fn addr(&self) -> io::Result<(Entrance, SocketAddr)> {
        Ok((self.entrance, self.socket.local_addr()?))
    }
}

/// Takes or binds all sockets for HTTP, or none.
pub(super) fn bind_all(
    settings: &ListenSettings,
    mut inherited: Inherited,
) -> Result<Vec<Listener>, BindError> {
    let all = [
        (Entrance::Https, &settings.https),
        (Entrance::Http, &settings.http),
        (Entrance::Redirect, &settings.http_redirect),
    ];
    let every: Vec<SocketAddr> = all.iter().flat_map(|(_, addrs)| addrs.iter().copied()).collect();
    let mut listeners = Vec::new();
    for (entrance, addrs) in all {
        for addr in addrs.iter().copied() {
            let own = inherited.socket(addr);
            let inherited = own.is_some();
            let socket = own.map_or_else(|| bind(addr, &every), adopt);
            let socket = socket.map_err(|source| BindError::Bind { entrance, addr, source })?;
            listeners.push(Listener { socket, entrance, inherited });
        }
    }
    inherited.left().map_or(Ok(listeners), |addr| Err(BindError::NotAskedFor(addr)))
}

fn bind(addr: SocketAddr, every: &[SocketAddr]) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // `[::]` serves both families, unless the IPv4 side of the port was asked for by itself.
        let v4_too = |other: &SocketAddr| other.is_ipv4() && other.port() == addr.port();
        socket.set_only_v6(!addr.ip().is_unspecified() || every.iter().any(v4_too))?;
    }
    socket.set_reuse_address(true)?;
    prepare(&socket)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn adopt(socket: StdListener) -> io::Result<StdListener> {
    let socket = Socket::from(socket);
    prepare(&socket)?;
    Ok(socket.into())
}

fn prepare(socket: &Socket) -> io::Result<()> {
    // Accepted sockets inherit these on Linux, which spares three system calls for each of them.
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    if let Err(error) = socket.set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "this system cannot bound unsent data");
    }
    socket.set_nonblocking(true)
}

/// What accepting needs.
#[derive(Clone, Debug)]
pub(super) struct Reception {
    /// One permit for each connection that may be open.
    pub(super) room: Arc<Semaphore>,
    /// Who takes them.
    pub(super) team: Arc<Team>,
    /// What is counted.
    pub(super) figures: Arc<Figures>,
    /// Cancelled when nobody new is wanted.
    pub(super) accepting: CancellationToken,
}

/// Accepts from `listeners` until told to stop, then takes what already waits, then closes them.
pub(super) async fn accept_all(listeners: Vec<Listener>, reception: Reception) {
    let tasks: Vec<_> =
        listeners.into_iter().map(|listener| tokio::spawn(accept(listener, reception.clone()))).collect();
    for task in tasks {
        if task.await.is_err() {
            tracing::error!("a listener ended in a panic");
        }
    }
}

async fn accept(listener: Listener, reception: Reception) {
    let entrance = listener.entrance;
    let socket = match TcpListener::from_std(listener.socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, listener = entrance.key(), "cannot watch the listening socket");
            return;
        }
    };
    let mut paused = false;
    let mut stopped = pin!(reception.accepting.clone().cancelled_owned());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                paused = false;
                // One waits here for room, the others in the kernel's queue.
                let permit = tokio::select! {
                    permit = Arc::clone(&reception.room).acquire_owned() => permit.ok(),
                    () = &mut stopped => Arc::clone(&reception.room).try_acquire_owned().ok(),
                };
                let Some(permit) = permit else { break };
                reception.welcome(stream.into_std(), addr, entrance, permit);
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut paused, true) {
                    tracing::error!(%error, listener = entrance.key(), "cannot accept connections; trying on");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    match socket.into_std() {
        // The queue waits for whoever comes next.
        Ok(_kept_open) if listener.inherited => {}
        Ok(socket) => reception.take_queue(&socket, entrance),
        Err(error) => tracing::error!(%error, listener = entrance.key(), "cannot take the last connections"),
    }
}

impl Reception {
    fn welcome(
        &self,
        stream: io::Result<StdStream>,
        addr: SocketAddr,
        entrance: Entrance,
        permit: OwnedSemaphorePermit,
    ) {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "an accepted socket is not usable");
                return;
            }
        };
        let figures = Arc::clone(&self.figures);
        self.team.hand_over(|load| Arrival {
            stream,
            addr,
            entrance,
            slot: Slot::new(permit, load, figures),
        });
    }

    // Closing a listening socket resets what its queue holds; those clients were told they are connected.
    fn take_queue(&self, socket: &StdListener, entrance: Entrance) {
        while let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            match socket.accept() {
                Ok((stream, addr)) => {
                    let stream = stream.set_nonblocking(true).map(|()| stream);
                    self.welcome(stream, addr, entrance, permit);
                }
                Err(error) if is_passing(&error) => {}
                Err(_empty_or_broken) => break,
            }
        }
    }
}

// The client of this one connection is to blame, or nobody; the next is fine.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
