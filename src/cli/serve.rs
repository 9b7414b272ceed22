//! `vestibule serve`: runs the gateway until it is told to stop.

use std::io;
use std::io::Write;

use crate::app;
use crate::app::App;
use crate::cli;
use crate::cli::Failure;
use crate::cli::ServeArgs;
use crate::clock::Clock;
use crate::config::Config;
use crate::net::Scheme;
use crate::server::Entrance;
use crate::server::Inherited;
use crate::telemetry::diagnostics;

/// Runs the gateway with the configuration that was named or found.
pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    let config = cli::load(args.config.as_deref())?.config;
    Ok(until_stopped(config, |_| Ok(()))?)
}

/// Starts the gateway, lets `greet` say where, waits for SIGTERM or Ctrl-C, and drains.
pub(crate) fn until_stopped(
    config: Config,
    greet: impl FnOnce(&App) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let inherited = Inherited::take()?;
    // To the end of the run: what is left to write is written when it is dropped.
    let _diagnostics = diagnostics::init_tracing(config.telemetry.format, cli::log_filter().as_deref())?;
    let mut app = App::start(config, Clock::system(), inherited)?;
    for (entrance, address) in app.addrs() {
        let scheme = if *entrance == Entrance::Https { "https" } else { "http" };
        writeln!(io::stderr(), "vestibule: listening on {scheme}://{address} ({})", entrance.key())?;
    }
    for (exposed, address) in app.admin_addrs() {
        writeln!(io::stderr(), "vestibule: listening on http://{address} ({})", exposed.key())?;
    }
    greet(&app)?;
    app.wait_for_stop();
    // Not straight to standard error: if nobody reads that pipe any more, writing would wait for ever.
    tracing::info!("stopping; requests under way may take {} s", app::GRACE.as_secs());
    app.stop(app::GRACE);
    Ok(())
}

/// What to type into a browser on this machine.
pub(crate) fn browser_url(app: &App) -> String {
    let https = app.addrs().iter().find(|(entrance, _)| *entrance == Entrance::Https);
    format!("https://localhost:{}", https.map_or(Scheme::Https.default_port(), |(_, address)| address.port()))
}
