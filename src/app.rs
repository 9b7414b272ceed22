//! The composition root: a checked configuration becomes a running gateway. The only file that knows everyone.

mod keys;
mod signals;
mod upkeep;

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::runtime::Handle;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::admin::Exposed;
use crate::admin::sessions::Desk;
use crate::admin::socket::Socket;
use crate::admin::socket::SocketError;
use crate::app::signals::StopSignals;
use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::config;
use crate::config::Config;
use crate::headers::left;
use crate::login;
use crate::login::Login;
use crate::net::Host;
use crate::net::Scheme;
use crate::pipeline;
use crate::pipeline::Gateway;
use crate::pipeline::Shared;
use crate::pipeline::ToldCookies;
use crate::pipeline::VaultSite;
use crate::pipeline::Visitor;
use crate::pipeline::Visitors;
use crate::route::Site;
use crate::server;
use crate::server::BindError;
use crate::server::CertificateError;
use crate::server::Drained;
use crate::server::Entrance;
use crate::server::Inherited;
use crate::server::ListenSettings;
use crate::server::Options;
use crate::server::Running;
use crate::server::Server;
use crate::server::Tls;
use crate::session::sessions::Sessions;
use crate::session::store::Place;
use crate::session::store::disk::Disk;
use crate::session::store::disk::DiskError;
use crate::session::store::memory::Memory;
use crate::session::store::redis::Redis;
use crate::session::store::row::Rows;
use crate::session::vault::VaultKeys;
use crate::telemetry::audit::Audit;
use crate::telemetry::audit::Context;
use crate::telemetry::audit::Event;
use crate::telemetry::causes;
use crate::telemetry::crash;
use crate::telemetry::log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::Reading;
use crate::upstream::RootsError;
use crate::upstream::Upstream;

pub use crate::app::keys::KeysError;

/// How long requests under way may take to finish once the gateway is told to stop.
pub const GRACE: Duration = Duration::from_secs(25);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder for keys and state cannot be made.
    #[error(
        "cannot make the state folder {folder}: {source}; set `state_dir` to a folder that can be written"
    )]
    StateDir {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The gateway's own key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The session store cannot be opened.
    #[error(transparent)]
    Store(#[from] DiskError),
    /// A log cannot be written.
    #[error("cannot write the audit log: {0}")]
    Audit(#[source] io::Error),
    /// The users file, or what the login page is dressed in, is not in order.
    #[error(transparent)]
    Login(#[from] login::StartError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An app's certificate authorities cannot be had.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The server cannot be run.
    #[error(transparent)]
    Server(#[from] server::StartError),
    /// The admin or health listener cannot be opened.
    #[error("cannot listen on {address} for health and metrics: {source}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The admin socket cannot be opened.
    #[error(transparent)]
    AdminSocket(#[from] SocketError),
    /// The system lets no signal be handled.
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] io::Error),
    /// The system gives no threads.
    #[error("cannot start a thread: {0}")]
    Threads(#[source] io::Error),
}

/// A running gateway.
#[derive(Debug)]
pub struct App {
    background: Runtime,
    running: Running,
    stop_signals: StopSignals,
    stop: CancellationToken,
    state: Arc<admin::State>,
    addrs: Vec<(Entrance, SocketAddr)>,
    admin: Vec<(Exposed, SocketAddr)>,
    shared: Arc<Shared>,
}

impl App {
    /// Opens everything that can fail, then serves, also on the sockets that were `inherited`. When this returns, connections are being accepted.
    ///
    /// # Errors
    /// If a file, a folder, an address or a thread that the configuration asks for cannot be had.
    pub fn start(config: Config, clock: Clock, inherited: Inherited) -> Result<Self, StartError> {
        let background = background()?;
        let metrics = Metrics::with_sites(config.sites.iter().map(site_name).collect());
        let state = Arc::new(admin::State::new(Arc::clone(&metrics)));
        let tls = load_tls(&config, &clock)?;
        let server = Server::bind(&config.listen, inherited)?;
        let addrs = server.addrs();
        let listeners = background.block_on(admin_listeners(&config.listen))?;
        let told =
            |(listener, exposed): &(TcpListener, Exposed)| Some((*exposed, listener.local_addr().ok()?));
        let admin = listeners.iter().filter_map(told).collect();
        let is_shared = matches!(config.store, Place::Redis(_));
        let options = Options { workers: config.workers, limits: config.limits.clone(), tls: tls.clone() };
        let admin_socket = config.listen.admin_socket.clone();
        let shared = Arc::new(compose(config, clock, https_port(&addrs), metrics, background.handle())?);
        // Before there is anything to end in good order; until then a signal may end the process where it stands.
        let stop_signals =
            background.block_on(async { StopSignals::install() }).map_err(StartError::Signals)?;
        let admin_socket = admin_socket.as_deref().map(Socket::bind).transpose()?;
        let running = serve(server, options, &shared)?;
        let stop = CancellationToken::new();
        let app = Self { background, running, stop_signals, stop, state, addrs, admin, shared };
        app.read_figures(tls.as_ref());
        app.begin_upkeep(tls, is_shared);
        for (listener, exposed) in listeners {
            app.background.spawn(admin::serve(listener, exposed, Arc::clone(&app.state), app.stop.clone()));
        }
        if let Some(socket) = admin_socket {
            app.background.spawn(admin::sessions::serve(socket, app.desk(), app.stop.clone()));
        }
        app.record(&Event::Startup { version: env!("CARGO_PKG_VERSION") });
        Ok(app)
    }

    /// Where it listens.
    pub fn addrs(&self) -> &[(Entrance, SocketAddr)] {
        &self.addrs
    }

    /// Where it tells how it is.
    pub fn admin_addrs(&self) -> &[(Exposed, SocketAddr)] {
        &self.admin
    }

    /// The runtime for what goes on beside the requests.
    pub fn background(&self) -> &Runtime {
        &self.background
    }

    /// Waits until the process is asked to stop: by SIGTERM, or Ctrl-C in a terminal.
    pub fn wait_for_stop(&mut self) {
        self.background.block_on(self.stop_signals.received());
    }

    /// Stops: nobody new is let in, requests under way and what people have asked the login to do may finish within
    /// `grace`, then connections are cut.
    pub fn stop(self, grace: Duration) -> Drained {
        self.state.hold("draining");
        let Self { background, running, stop, shared, .. } = self;
        let drained = background.block_on(running.drain(grace, shared.login.finish()));
        stop.cancel();
        if let Err(error) = background.block_on(shared.sessions.flush_all()) {
            tracing::warn!(
                error = causes(&error),
                "the store could not be told when sessions were last seen"
            );
        }
        let context = Context::at(shared.clock.now());
        shared.audit.record(&context, &Event::Shutdown { cut: drained.cut });
        shared.audit.flush();
        shared.access_log.flush();
        drained
    }

    fn desk(&self) -> Desk {
        let shared = &self.shared;
        Desk {
            sessions: Arc::clone(&shared.sessions),
            audit: shared.audit.clone(),
            clock: shared.clock.clone(),
        }
    }

    fn record(&self, event: &Event<'_>) {
        self.shared.audit.record(&Context::at(self.shared.clock.now()), event);
    }

    fn read_figures(&self, tls: Option<&Tls>) {
        let metrics = &self.shared.metrics;
        let started = self.shared.clock.now().as_secs();
        metrics.read_from(Reading::ProcessStart, move || started);
        let sessions = Arc::clone(&self.shared.sessions);
        metrics.read_from(Reading::SessionsLive, move || sessions.live() as u64);
        let (sessions, clock) = (Arc::clone(&self.shared.sessions), self.shared.clock.clone());
        metrics.read_from(Reading::SessionsBelieved, move || sessions.believes(clock.now()).into());
        let login = Arc::clone(&self.shared.login);
        metrics.read_from(Reading::UsersCurrent, move || login.users_are_current().into());
        let figures = Arc::clone(self.running.figures());
        metrics
            .read_from(Reading::HandshakesFailed, move || figures.handshakes_failed.load(Ordering::Relaxed));
        let figures = Arc::clone(self.running.figures());
        metrics.read_from(Reading::ConnectionsOpen, move || figures.open.load(Ordering::Relaxed) as u64);
        let audit = self.shared.audit.clone();
        metrics.read_from(Reading::AuditLinesLost, move || audit.lost());
        let access_log = self.shared.access_log.clone();
        metrics.read_from(Reading::AccessLinesLost, move || access_log.lost());
        for (site, upstream) in self.shared.upstreams.iter().enumerate() {
            let upstream = Arc::clone(upstream);
            metrics.servers_from(site, move || upstream.servers_health());
        }
        if let Some(tls) = tls.cloned() {
            metrics
                .read_from(Reading::CertificateExpiry, move || tls.expires().map_or(0, Timestamp::as_secs));
        }
    }

    fn begin_upkeep(&self, tls: Option<Tls>, is_shared: bool) {
        let shared = &self.shared;
        self.background.spawn(upkeep::sweep(Arc::clone(shared)));
        self.background.spawn(upkeep::flush(Arc::clone(shared)));
        self.background.spawn(upkeep::watch_disk(Arc::clone(shared), Arc::clone(&self.state)));
        if is_shared {
            self.state.hold(upkeep::NO_STORE);
            self.background.spawn(upkeep::follow(Arc::clone(shared), Arc::clone(&self.state)));
        }
        self.background.spawn(Arc::clone(&shared.login).watch_users(self.stop.clone()));
        self.background.spawn(Arc::clone(&shared.login).dismiss_strangers(self.stop.clone()));
        for upstream in &shared.upstreams {
            self.background.spawn(Arc::clone(upstream).watch_health());
        }
        if let Some(tls) = tls {
            let shared = Arc::clone(shared);
            self.background.spawn(async move { tls.watch(|event| upkeep::tell(&shared, event)).await });
        }
    }
}

fn background() -> Result<Runtime, StartError> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("background").enable_all();
    builder.build().map_err(StartError::Threads)
}

/// Everything the workers share.
fn compose(
    config: Config,
    clock: Clock,
    https_port: u16,
    metrics: Arc<Metrics>,
    background: &Handle,
) -> Result<Shared, StartError> {
    make_state_dir(&config.state_dir)?;
    let keys = keys::load_or_make(&config.keys.unwrap_or_else(|| config.state_dir.join(config::keys::FILE)))?;
    let audit = Audit::start(&config.telemetry.audit, config.telemetry.format).map_err(StartError::Audit)?;
    let access_log = AccessLog::start(&config.telemetry).map_err(StartError::Threads)?;
    crash::tell_panics(audit.clone(), clock.clone()).map_err(StartError::Threads)?;
    let (ends, time) = (audit.clone(), clock.clone());
    let store = match config.store {
        Place::Memory => Memory::new().into(),
        Place::Disk(path) => Disk::open(&path, Rows::new(&keys))?.into(),
        Place::Redis(settings) => Redis::start(*settings, Rows::new(&keys), clock.clone(), background).into(),
    };
    let mut sessions = Sessions::new(&config.sessions, store)
        .tell_ends(move |session, why| upkeep::tell_end(&ends, time.now(), session, why));
    if let Some(login) = &config.login.host {
        sessions = sessions.shared_by(&login.sites);
    }
    let vaults: Vec<Option<VaultSite>> = config.sites.iter().map(vault_site).collect();
    if vaults.iter().any(Option::is_some) {
        sessions = sessions.keeping_cookies(VaultKeys::new(&keys));
    }
    let sessions = Arc::new(sessions);
    let login = Login::new(&config.login, &keys, Arc::clone(&sessions), audit.clone(), clock.clone())?;
    let ways = config.sites.iter().map(|site| Upstream::new(site.upstream.clone()).map(Arc::new));
    let upstreams = ways.collect::<Result<Vec<_>, _>>()?;
    // It lives as long as the process, and is compared on every request.
    let cookie_name: &'static str = config.sessions.cookie_name.leak();
    let of_vaults = pipeline::reserved_cookies(&vaults);
    let reserved_cookies = [cookie_name, left::COOKIE_NAME]
        .into_iter()
        .chain(login::reserved_cookies())
        .chain(of_vaults)
        .collect();
    Ok(Shared {
        sites: config.sites,
        login_host: config.login.host,
        same_site: config.sessions.same_site,
        trusted_proxies: config.listen.trusted_proxies,
        max_headers: config.limits.headers,
        body_patience: config.limits.idle_timeout,
        login: Arc::new(login),
        vaults,
        visitors: Visitors::new(&keys),
        told_cookies: ToldCookies::default(),
        cookie_name,
        reserved_cookies,
        upstreams,
        sessions,
        audit,
        access_log,
        metrics,
        clock,
        https_port,
    })
}

/// The site's part in the vault, if its cookies are kept there.
fn vault_site(site: &Site) -> Option<VaultSite> {
    // It lives as long as the process, as the other cookies' names do.
    let cookie = || Visitors::cookie_name(&site.mount).leak();
    site.vault_name().map(|name| VaultSite { name: name.into(), cookie: cookie() })
}

fn serve(server: Server, options: Options, shared: &Arc<Shared>) -> Result<Running, server::StartError> {
    let shared = Arc::clone(shared);
    server.start(options, move || {
        let (shared, gateway) = (Arc::clone(&shared), Rc::new(Gateway::new(Arc::clone(&shared))));
        move |peer| {
            let visitor = Rc::new(Visitor::new(peer, &shared.trusted_proxies));
            let gateway = Rc::clone(&gateway);
            service_fn(move |request| {
                let (gateway, visitor) = (Rc::clone(&gateway), Rc::clone(&visitor));
                // Boxed, since hyper keeps room for this future in every connection, busy or not.
                Box::pin(async move { Ok(gateway.handle(&visitor, request).await.into_response()) })
            })
        }
    })
}

fn load_tls(config: &Config, clock: &Clock) -> Result<Option<Tls>, StartError> {
    if config.listen.https.is_empty() {
        return Ok(None);
    }
    let of_sites = config.sites.iter().flat_map(|site| &site.hosts);
    let of_login = config.login.host.as_ref().map(|login| &login.host);
    let hosts: Vec<Host> = of_sites.chain(of_login).cloned().collect();
    Ok(Some(Tls::load(&config.tls, &hosts, clock.now())?))
}

async fn admin_listeners(listen: &ListenSettings) -> Result<Vec<(TcpListener, Exposed)>, StartError> {
    let wanted = [(listen.admin, Exposed::All), (listen.health, Exposed::HealthOnly)];
    let mut listeners = Vec::new();
    for (address, exposed) in wanted {
        let Some(address) = address else { continue };
        let bound = TcpListener::bind(address).await;
        listeners.push((bound.map_err(|source| StartError::Admin { address, source })?, exposed));
    }
    Ok(listeners)
}

fn https_port(addrs: &[(Entrance, SocketAddr)]) -> u16 {
    let https = addrs.iter().find(|(entrance, _)| *entrance == Entrance::Https);
    https.map_or(Scheme::Https.default_port(), |(_, address)| address.port())
}

/// What metrics call a site.
fn site_name(site: &Site) -> String {
    let host = site.hosts.first().map_or("", Host::as_str);
    format!("{host}{}", site.mount)
}

fn make_state_dir(folder: &Path) -> Result<(), StartError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| StartError::StateDir { folder: folder.to_owned(), source })
}
