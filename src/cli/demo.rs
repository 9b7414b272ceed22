//! `vestibule demo`: the gateway in front of a careless app, so that the hardening is seen in the first minute.

mod careless;

use std::io;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::app::App;
use crate::cli::DemoArgs;
use crate::cli::Failure;
use crate::cli::demo::careless::Careless;
use crate::cli::quickstart;
use crate::cli::quickstart::ADMIN;
use crate::cli::quickstart::FirstPassword;
use crate::cli::quickstart::QuickstartArgs;
use crate::cli::serve;
use crate::crypto::Secret;
use crate::session::store::Place;

/// Cookies ignore ports: with the usual name, the demo would log people out of a gateway beside it.
const COOKIE: &str = "__Host-Http-demo";

/// Runs the demo until it is stopped; its files are gone afterwards.
pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let folder = tempfile::tempdir().context("no folder can be made for the demo's files")?;
    // The careless app's port must be known before the gateway is told of it.
    let bare =
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen for the demo app")?;
    bare.set_nonblocking(true).context("cannot listen for the demo app")?;
    let bare_address = bare.local_addr().context("cannot listen for the demo app")?;
    let quickstart = QuickstartArgs {
        upstream: format!("http://{bare_address}"),
        dir: folder.path().to_owned(),
        listen: Some(args.listen),
    };
    let written = quickstart::write(&quickstart, FirstPassword::ToKeep)?;
    let mut config = crate::cli::load(Some(&written.config))?.config;
    config.sessions.cookie_name = String::from(COOKIE);
    config.store = Place::Memory;
    config.listen.admin = None;
    config.telemetry.access = false;
    // More than one person needs, and no more than any shell allows files for.
    config.limits.connections = 256;
    let greet = |app: &App| {
        let gateway = serve::browser_url(app);
        let demo = Careless::new(gateway.clone(), format!("http://{bare_address}"));
        let _on_the_runtime = app.background().enter();
        let listener = TcpListener::from_std(bare).context("cannot listen for the demo app")?;
        app.background().spawn(demo.serve(listener));
        say_hello(&gateway, bare_address, written.password.as_ref())
    };
    Ok(serve::until_stopped(config, greet)?)
}

fn say_hello(gateway: &str, bare: SocketAddr, password: Option<&Secret<String>>) -> anyhow::Result<()> {
    let password = password.map_or("", |password| password.expose());
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "
  1. The careless app, as it is:      http://{bare}
     Anyone gets in, and the session id is a number you can guess.

  2. The same app behind Vestibule:   {gateway}
     Sign in as  {ADMIN}  with  {password}
     (The certificate is made for this demo: let your browser accept it.)

  The page says what is wrong with the app and what the gateway made of it.
  Ctrl-C ends the demo; nothing is kept.
"
    )?;
    Ok(out.flush()?)
}
