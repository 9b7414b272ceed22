//! The way from the browser: listeners, TLS, connections, workers, draining. Knows no session and no app.
//!
//! [`Server::bind`] takes the sockets, [`Server::start`] puts workers behind them, and a handler made on each worker
//! answers. What is not clean HTTP never reaches a handler as a request: it comes as a [`Refusal`] to be answered.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::Response;
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::net::TrustedProxies;
use crate::server::connection::Shared;
use crate::server::listener::Listener;
use crate::server::listener::Reception;

pub mod certificate;
mod connection;
mod deadline;
mod descriptors;
mod drain;
mod exchange;
mod figures;
mod guard;
mod http2;
mod inherited;
mod listener;
mod no_tls;
mod peer;
mod proxy_protocol;
mod pulse;
mod refusal;
mod reload;
mod scanner;
mod socket;
mod stand_in;
mod stream;
mod tls;
mod worker;

pub use crate::server::certificate::CertificateError;
pub use crate::server::certificate::CertificateNames;
pub use crate::server::certificate::certificate_names;
pub use crate::server::drain::Drained;
pub use crate::server::drain::Running;
pub use crate::server::figures::Figures;
pub use crate::server::inherited::InheritError;
pub use crate::server::inherited::Inherited;
pub use crate::server::listener::BindError;
pub use crate::server::peer::Entrance;
pub use crate::server::peer::Peer;
pub use crate::server::peer::TlsInfo;
pub use crate::server::refusal::Refusal;
pub use crate::server::reload::CertificateEvent;
pub use crate::server::tls::Tls;

/// The oldest TLS version accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinTls {
    /// TLS 1.2 and 1.3.
    V1_2,
    /// TLS 1.3 alone.
    V1_3,
}

/// A certificate chain and its key, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, leaf first.
    pub cert: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// How TLS is ended.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Chosen by SNI; the first serves addresses and clients without SNI.
    pub certificates: Vec<CertificateFiles>,
    /// Whether a missing first certificate is made for development, for the hosts named here.
    pub generate: bool,
    /// The oldest version accepted.
    pub min_version: MinTls,
}

/// What a connection may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Fields of a request's head.
    pub headers: usize,
    /// How long a TLS handshake, and then a request's head, may take.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request, a body for its next byte, and an answer for its client to
    /// take more of it; over HTTP/2 a stream is reset by itself.
    pub idle_timeout: Duration,
    /// Open connections over all listeners; fewer where the process may not open twice as many files.
    pub connections: usize,
}

/// Where we listen.
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// TLS.
    pub https: Vec<SocketAddr>,
    /// Plain HTTP behind a TLS terminator that is listed in `trusted_proxies`.
    pub http: Vec<SocketAddr>,
    /// Plain HTTP that only redirects to https.
    pub http_redirect: Vec<SocketAddr>,
    /// Metrics and health.
    pub admin: Option<SocketAddr>,
    /// The administration of sessions: a file.
    pub admin_socket: Option<PathBuf>,
    /// Health alone.
    pub health: Option<SocketAddr>,
    /// Whose word about the client is believed.
    pub trusted_proxies: TrustedProxies,
}

/// What answers the requests of one connection: any hyper service of this shape. Nothing here needs to be `Send`, since
/// a connection never leaves its worker.
pub trait Handler:
    Service<Request<Incoming>, Response = Response<Self::Answer>, Error = Infallible, Future = Self::Work>
    + 'static
{
    /// The body of its answers.
    type Answer: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static;
    /// The making of an answer. Kept small: each connection has room for one.
    type Work: Future<Output = Result<Response<Self::Answer>, Infallible>> + 'static;
}

impl<S, B> Handler for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: 'static> + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    type Answer = B;
    type Work = S::Future;
}

/// How a bound server is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that serve.
    pub workers: usize,
    /// What a connection may take.
    pub limits: Limits,
    /// How TLS is ended; needed if there is an `https` listener.
    pub tls: Option<Tls>,
}

/// A server could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is a listener for TLS, but no certificate.
    #[error("`listen.https` needs a certificate: fill `tls.certificates`, or set `tls.generate: true`")]
    NoCertificate,
    /// The system gives no threads or descriptors.
    #[error("cannot start the workers: {0}; raise the limits on threads and open files")]
    Workers(#[source] io::Error),
}

/// A server whose sockets are bound but not yet served.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    trusted: TrustedProxies,
}

impl Server {
    /// Binds the sockets for HTTP (those for `admin` and `health` are bound by whoever serves them): all, or none and an
    /// error that names the address. Port 0 takes any free port. A socket that was `inherited` is taken as it is.
    pub fn bind(listen: &ListenSettings, inherited: Inherited) -> Result<Self, BindError> {
        Ok(Self {
            listeners: listener::bind_all(listen, inherited)?,
            trusted: listen.trusted_proxies.clone(),
        })
    }

    /// Where it listens.
    pub fn addrs(&self) -> Vec<(Entrance, SocketAddr)> {
        self.listeners.iter().filter_map(|listener| listener.addr().ok()).collect()
    }

    /// Serves. `make` is called once on each worker, inside its runtime, and what it makes once for each connection.
    pub fn start<M, F, S>(self, options: Options, make: M) -> Result<Running, StartError>
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Fn(Arc<Peer>) -> S + 'static,
        S: Handler,
    {
        let needs_tls = |(entrance, _)| entrance == Entrance::Https;
        if options.tls.is_none() && self.addrs().into_iter().any(needs_tls) {
            return Err(StartError::NoCertificate);
        }
        let wanted = options.limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            limits: options.limits,
            tls: options.tls,
            trusted: self.trusted,
            drain: drain::Drain::default(),
            figures: Arc::default(),
        });
        let (team, mut threads) =
            worker::start(options.workers, &shared, make).map_err(StartError::Workers)?;
        let team = Arc::new(team);
        let most = u32::try_from(descriptors::room(wanted)).unwrap_or(u32::MAX);
        let reception = Reception {
            room: Arc::new(Semaphore::new(most as usize)),
            team: Arc::clone(&team),
            figures: Arc::clone(&shared.figures),
            accepting: CancellationToken::new(),
        };
        let (room, accepting) = (Arc::clone(&reception.room), reception.accepting.clone());
        let (accepted_all, done) = oneshot::channel::<()>();
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Workers)?;
        let acceptor = thread::Builder::new().name("acceptor".to_owned()).spawn(move || {
            runtime.block_on(listener::accept_all(self.listeners, reception));
            drop(runtime);
            drop(accepted_all);
        });
        threads.push(acceptor.map_err(StartError::Workers)?);
        Ok(Running { shared, room, most, accepting, accepted_all: Some(done), team: Some(team), threads })
    }
}
