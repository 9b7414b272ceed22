//! The configuration as it takes effect, for people: every setting of the gateway and of each site, with a mark on
//! those nobody wrote.

mod app;
mod site;

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::config::file::File;
use crate::config::file::store::StoreFile;
use crate::config::words::Choice;
use crate::server::ListenSettings;
use crate::session::store::Place;
use crate::telemetry::AuditSink;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It was written where it is used.
    Written,
    /// A site uses what was written for all sites.
    AllSites,
    /// The profile sets it.
    Profile,
    /// Nobody wrote it.
    Default,
}

impl Origin {
    fn of<T>(given: Option<&T>) -> Self {
        if given.is_some() { Self::Written } else { Self::Default }
    }

    /// A site's value goes before that of all sites.
    fn merged<T, U>(own: Option<&T>, all: Option<&U>) -> Self {
        match (own, all) {
            (Some(_), _) => Self::Written,
            (None, Some(_)) => Self::AllSites,
            (None, None) => Self::Default,
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Written => "",
            Self::AllSites => "  (all sites)",
            Self::Profile => "  (profile)",
            Self::Default => "  (default)",
        }
    }
}

/// Lines of a name, a value and its origin.
#[derive(Debug, Default)]
struct Table(String);

impl Table {
    fn title(&mut self, text: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        self.0.extend([gap, text, "\n"]);
    }

    fn row(&mut self, name: &str, value: impl Display, origin: Origin) {
        let row = format!("  {name:<26} {value}{}\n", origin.mark());
        self.0.push_str(&row);
    }
}

/// The whole text. Of a configuration with errors it may say nonsense; it is then not shown.
pub(super) fn describe(file: &File, config: &Config) -> String {
    let mut table = Table::default();
    table.title("gateway");
    listeners(file, &config.listen, &mut table);
    gateway(file, config, &mut table);
    sessions(file, config, &mut table);
    limits(file, config, &mut table);
    let written = file.sites.as_ref().map_or(&[][..], |given| &given.value);
    for (given, site) in written.iter().zip(&config.sites) {
        site::describe(&given.value, file, site, &mut table);
    }
    table.0
}

fn listeners(file: &File, listen: &ListenSettings, table: &mut Table) {
    table.row("listen.https", list(&listen.https), Origin::of(file.listen.https.as_ref()));
    table.row("listen.http", list(&listen.http), Origin::of(file.listen.http.as_ref()));
    table.row(
        "listen.http_redirect",
        list(&listen.http_redirect),
        Origin::of(file.listen.http_redirect.as_ref()),
    );
    table.row("listen.admin", optional(listen.admin), Origin::of(file.listen.admin.as_ref()));
    table.row(
        "listen.admin_socket",
        optional(listen.admin_socket.as_deref().map(Path::display)),
        Origin::of(file.listen.admin_socket.as_ref()),
    );
    table.row("listen.health", optional(listen.health), Origin::of(file.listen.health.as_ref()));
    let trusted = file.listen.trusted_proxies.as_ref();
    let networks: Vec<_> = trusted.iter().flat_map(|given| &given.value).map(|given| given.value.0).collect();
    table.row("listen.trusted_proxies", list(&networks), Origin::of(trusted));
}

fn gateway(file: &File, config: &Config, table: &mut Table) {
    table.row("state_dir", config.state_dir.display(), Origin::of(file.state_dir.as_ref()));
    table.row("workers", config.workers, Origin::of(file.workers.as_ref()));
    let keys = config.keys.as_deref().map(Path::display);
    table.row(
        "keys",
        keys.map_or_else(|| "made in state_dir".to_owned(), |path| path.to_string()),
        Origin::of(file.keys.as_ref()),
    );
    let certificates: Vec<_> = config.tls.certificates.iter().map(|files| files.cert.display()).collect();
    table.row("tls.certificates", list(&certificates), Origin::of(file.tls.certificates.as_ref()));
    table.row("tls.generate", config.tls.generate, Origin::of(file.tls.generate.as_ref()));
    table.row("tls.min_version", config.tls.min_version.word(), Origin::of(file.tls.min_version.as_ref()));
    let audit = match &config.telemetry.audit {
        AuditSink::Stderr => "stderr".to_owned(),
        AuditSink::Off => "off".to_owned(),
        AuditSink::File(path) => path.display().to_string(),
    };
    table.row("log.format", config.telemetry.format.word(), Origin::of(file.log.format.as_ref()));
    table.row("log.access", config.telemetry.access, Origin::of(file.log.access.as_ref()));
    table.row("log.audit", audit, Origin::of(file.log.audit.as_ref()));
}

fn sessions(file: &File, config: &Config, table: &mut Table) {
    let (session, login) = (&file.session, &file.login);
    table.row(
        "session.max_sessions",
        config.sessions.max_sessions,
        Origin::of(session.max_sessions.as_ref()),
    );
    table.row(
        "session.max_per_user",
        config.sessions.max_per_user,
        Origin::of(session.max_per_user.as_ref()),
    );
    table.row("session.at_limit", config.sessions.at_limit.word(), Origin::of(session.at_limit.as_ref()));
    table.row("session.cookie.name", &config.sessions.cookie_name, Origin::of(session.cookie.name.as_ref()));
    table.row(
        "session.cookie.same_site",
        config.sessions.same_site.word(),
        Origin::of(session.cookie.same_site.as_ref()),
    );
    table.row("session.store", &config.store, Origin::of(session.store.as_ref()));
    shared_store(file, config, table);
    let host = config.login.host.as_ref().map(|login| &login.host);
    table.row("login.host", optional(host), Origin::of(login.host.as_ref()));
    table.row(
        "login.password.users",
        config.login.users.display(),
        Origin::of(login.password.users.as_ref()),
    );
    table.row("login.theme.title", &config.login.theme.title, Origin::of(login.theme.title.as_ref()));
    let path = |path: &Option<std::path::PathBuf>| optional(path.as_deref().map(Path::display));
    table.row("login.theme.logo", path(&config.login.theme.logo), Origin::of(login.theme.logo.as_ref()));
    table.row("login.theme.css", path(&config.login.theme.css), Origin::of(login.theme.css.as_ref()));
    let attempts = config.login.attempts;
    table.row(
        "login.attempts.per_account",
        attempts.per_account,
        Origin::of(login.attempts.per_account.as_ref()),
    );
    let per_address = format!("{}/{}", attempts.per_address, time(attempts.per_address_window));
    table.row("login.attempts.per_address", per_address, Origin::of(login.attempts.per_address.as_ref()));
}

fn limits(file: &File, config: &Config, table: &mut Table) {
    let (written, limits) = (&file.limits, &config.limits);
    let head = bytes(u64::try_from(limits.header_bytes).unwrap_or(u64::MAX));
    table.row("limits.header_bytes", head, Origin::of(written.header_bytes.as_ref()));
    table.row("limits.headers", limits.headers, Origin::of(written.headers.as_ref()));
    table.row(
        "limits.header_timeout",
        time(limits.header_timeout),
        Origin::of(written.header_timeout.as_ref()),
    );
    table.row("limits.idle_timeout", time(limits.idle_timeout), Origin::of(written.idle_timeout.as_ref()));
    table.row("limits.connections", limits.connections, Origin::of(written.connections.as_ref()));
}

fn shared_store(file: &File, config: &Config, table: &mut Table) {
    let (Place::Redis(settings), Some(given)) = (&config.store, &file.session.store) else { return };
    let StoreFile::Block(block) = &given.value else { return };
    let prefix = block.redis.as_ref().and_then(|given| given.value.0.prefix.as_ref());
    table.row("session.store.redis.prefix", &settings.prefix, Origin::of(prefix));
    table.row(
        "session.on_store_failure.serve_cached",
        time(config.sessions.serve_cached),
        Origin::of(file.session.on_store_failure.serve_cached.as_ref()),
    );
}

fn list<T: Display>(values: &[T]) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn optional<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A size as it could be written.
fn bytes(size: u64) -> String {
    match size {
        0 => "0B".to_owned(),
        size if size.is_multiple_of(1 << 30) => format!("{}GiB", size >> 30),
        size if size.is_multiple_of(1 << 20) => format!("{}MiB", size >> 20),
        size if size.is_multiple_of(1 << 10) => format!("{}KiB", size >> 10),
        size => format!("{size}B"),
    }
}
