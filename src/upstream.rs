//! The way to the app: where it is, how requests get there, how answers come back.

mod answer;
mod balance;
mod capacity;
mod client;
mod connect;
mod health;
mod http1;
mod pool;
mod probe;
mod scratch;
mod stream;
mod tunnel;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::net::Authority;
use crate::upstream::balance::Balance;
use crate::upstream::capacity::Capacity;
use crate::upstream::connect::Connector;

pub use crate::upstream::answer::AnswerBody;
pub use crate::upstream::answer::AnswerError;
pub use crate::upstream::balance::Balancing;
pub use crate::upstream::client::Client;
pub use crate::upstream::client::SendError;
pub use crate::upstream::client::Upgraded;
pub use crate::upstream::connect::ConnectError;
pub use crate::upstream::connect::RootsError;
pub use crate::upstream::health::HealthCheck;
pub use crate::upstream::http1::parse::BadAnswer;
pub use crate::upstream::tunnel::Tunnel;

/// Where one server of an app listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `http://host:port`.
    Http(Authority),
    /// `https://host:port`, with the certificate verified for this host.
    Https(Authority),
    /// `unix:/path/to/socket`, plain HTTP.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    /// As it is written in the configuration.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(authority) => write!(formatter, "http://{authority}"),
            Self::Https(authority) => write!(formatter, "https://{authority}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl Endpoint {
    /// The host and port the app knows itself by; nothing on a unix socket.
    pub fn authority(&self) -> Option<&Authority> {
        match self {
            Self::Http(authority) | Self::Https(authority) => Some(authority),
            Self::Unix(_) => None,
        }
    }
}

/// What the app believes the browser's scheme to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresentScheme {
    /// The truth: `https` in forwarded headers, `Origin` and `Referer` untouched.
    Https,
    /// An app that insists on plain HTTP: `Origin` and `Referer` of our own origin are rewritten to `http`.
    Http,
}

/// How an app is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its servers, at least one; a server that cannot be reached is skipped for a while.
    pub servers: Vec<Endpoint>,
    /// How requests are spread over them.
    pub balance: Balancing,
    /// How they are asked whether they are well; nothing means they are not asked.
    pub health: Option<HealthCheck>,
    /// Certificate authorities for `https` servers beside (instead of) the system's.
    pub ca_file: Option<PathBuf>,
    /// The scheme the app is shown.
    pub present_scheme: PresentScheme,
    /// So many connections to the app at most, over all workers; nothing means no limit.
    pub max_connections: Option<usize>,
    /// How long an unused connection is kept; shorter than the app's own keep-alive.
    pub idle: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the app may take to begin its answer.
    pub response_timeout: Duration,
}

/// One app: what all workers share about it.
#[derive(Debug)]
pub struct Upstream {
    settings: Settings,
    connector: Connector,
    balance: Balance,
    capacity: Arc<Capacity>,
}

impl Upstream {
    /// Prepares the way to the app; nothing is connected yet.
    ///
    /// # Errors
    /// If the certificate authorities for its `https` servers cannot be had.
    pub fn new(settings: Settings) -> Result<Self, RootsError> {
        Ok(Self {
            connector: Connector::new(&settings)?,
            balance: Balance::new(settings.balance, settings.servers.len()),
            capacity: Arc::new(Capacity::new(settings.max_connections)),
            settings,
        })
    }

    /// Its servers, and whether the health check has nothing against them; nothing where none is asked for.
    pub fn servers_health(&self) -> Vec<(String, bool)> {
        let checked = self.settings.health.as_ref().map(|_| self.settings.servers.iter().enumerate());
        let told =
            |(server, endpoint): (usize, &Endpoint)| (endpoint.to_string(), self.balance.is_well(server));
        checked.into_iter().flatten().map(told).collect()
    }

    fn server(&self, place: usize) -> Option<(usize, &Endpoint)> {
        self.settings.servers.get(place).map(|endpoint| (place, endpoint))
    }

    /// A worker's own way to the app. Must be called on the worker's runtime.
    pub fn client(self: &Arc<Self>, clock: Clock) -> Client {
        Client::new(Arc::clone(self), clock)
    }
}
