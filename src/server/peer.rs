//! Who is on the other end of a connection, and how it came in.

use std::net::SocketAddr;

use crate::net::Host;
use crate::net::PeerAddr;

/// Which kind of listener a connection came in through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entrance {
    /// TLS.
    Https,
    /// Plain HTTP behind a TLS terminator.
    Http,
    /// Plain HTTP that only redirects.
    Redirect,
}

impl Entrance {
    /// The key of `listen` that names it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Https => "listen.https",
            Self::Http => "listen.http",
            Self::Redirect => "listen.http_redirect",
        }
    }
}

/// What TLS told about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The name the client asked for; nothing if it named none, or an address.
    pub sni: Option<Host>,
    /// Whether the certificate it got is one we made for development.
    pub development_certificate: bool,
}

/// The other end of one connection: what its handler is made with.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Who opened it.
    pub socket: PeerAddr,
    /// Whom it speaks for: the address in a trusted proxy's PROXY header, else the same.
    pub addr: PeerAddr,
    /// Our end of it.
    pub local: SocketAddr,
    /// Where it came in.
    pub entrance: Entrance,
    /// What TLS told; nothing on plain HTTP.
    pub tls: Option<TlsInfo>,
}
