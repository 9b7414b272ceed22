//! Listening sockets that whoever started us holds open: systemd's `.socket` units (`sd_listen_fds(3)`). While one
//! gateway follows another, the kernel keeps those who connect waiting; nobody is refused.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;

use listenfd::ListenFd;
use thiserror::Error;

/// A descriptor that was handed to us is no socket that we can listen on.
#[derive(Debug, Error)]
#[error("descriptor {} of LISTEN_FDS is no TCP socket: {source}; give the unit `ListenStream=` with an address and a port", place + FIRST)]
pub struct InheritError {
    place: usize,
    source: io::Error,
}

/// Where descriptors that are handed over begin.
const FIRST: usize = 3;

/// The sockets that were handed to us and are not taken yet.
#[derive(Debug, Default)]
pub struct Inherited(Vec<TcpListener>);

impl Inherited {
    /// Takes what was handed to this process. To be called once, before there are threads: the variables that tell of it
    /// are removed, so that no child believes them.
    ///
    /// # Errors
    /// If something else than a TCP socket was handed to us.
    pub fn take() -> Result<Self, InheritError> {
        let mut handed = ListenFd::from_env();
        let sockets = (0..handed.len()).map(|place| {
            let socket = handed.take_tcp_listener(place).map_err(|source| InheritError { place, source })?;
            socket.ok_or_else(|| InheritError { place, source: io::ErrorKind::NotFound.into() })
        });
        sockets.collect::<Result<_, _>>().map(Self)
    }

    /// The socket for this address, if one was handed to us.
    pub(super) fn socket(&mut self, addr: SocketAddr) -> Option<TcpListener> {
        let place = self.0.iter().position(|socket| socket.local_addr().is_ok_and(|own| own == addr))?;
        Some(self.0.swap_remove(place))
    }

    /// An address that nobody has asked for.
    pub(super) fn left(&self) -> Option<SocketAddr> {
        self.0.first()?.local_addr().ok()
    }
}
