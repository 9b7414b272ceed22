//! Commands: what was typed becomes an exit code. The only room that reads the environment and prints.
//!
//! Exit codes: 0 fine, 1 failed while running, 2 wrong usage or configuration. Errors go to standard error as a
//! sentence that says what to do.

pub mod check;
pub mod demo;
pub mod doctor;
pub mod hash_password;
pub mod quickstart;
pub mod schema;
pub mod serve;
pub mod sessions;
pub mod store;
pub mod users;

use std::fs;
use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::Parser;
use clap::Subcommand;

use crate::config;
use crate::config::Loaded;
use crate::config::Outside;
use crate::config::Problems;
use crate::files;
use crate::files::Exposed;
use crate::login::users::file;
use crate::server::CertificateFiles;
use crate::server::CertificateNames;
use crate::server::certificate;
use crate::telemetry::causes;

/// Secure sessions for apps that never had them: a reverse-proxy session gateway.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Serve(ServeArgs),
    /// Write the files of a first gateway where they are missing, and run it
    Quickstart(quickstart::QuickstartArgs),
    /// Run the gateway in front of a built-in careless app, to see what it does
    Demo(DemoArgs),
    /// Show everything that is wrong with a configuration
    Check(check::CheckArgs),
    /// Print the configuration's JSON Schema, for editors
    Schema,
    /// Read a password and print its hash for a users file
    HashPassword(hash_password::HashPassword),
    /// Copy the file of sessions, or write it anew without what was removed
    Store(store::StoreArgs),
    /// Add, remove, list and change users
    Users(users::Users),
    /// List sessions of a running gateway, and end them
    Sessions(sessions::SessionsArgs),
    /// Look at a live site from outside: how its sessions measure up, and what mends them
    Doctor(doctor::DoctorArgs),
}

/// Arguments of `vestibule serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The configuration [default: vestibule.yaml here, else /etc/vestibule/vestibule.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `vestibule demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443", value_parser = config::parse_address)]
    pub listen: SocketAddr,
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was asked wrongly.
    #[error("{0}")]
    Usage(String),
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(#[from] Problems),
    /// It failed on the way.
    #[error("{}", causes(.0.as_ref()))]
    Running(#[from] anyhow::Error),
    /// It did, and what it found is not good; it has said so.
    #[error("something is not as it should be")]
    Told,
}

impl Failure {
    /// The exit code that says so.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Running(_) | Self::Told => 1,
        }
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are errors to clap, and fine to everyone else.
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return error.print().map_or(ExitCode::FAILURE, |()| ExitCode::from(code));
        }
    };
    let Err(failure) = cli.command.run() else {
        return ExitCode::SUCCESS;
    };
    let text = match &failure {
        Failure::Config(problems) => format!("{problems}\n"),
        Failure::Usage(_) | Failure::Running(_) => format!("vestibule: {failure}\n"),
        Failure::Told => String::new(),
    };
    // Standard error may be closed: there is nobody left to tell.
    drop(io::stderr().write_all(text.as_bytes()));
    ExitCode::from(failure.code())
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => serve::run(&args),
            Self::Quickstart(args) => quickstart::run(&args),
            Self::Demo(args) => demo::run(&args),
            Self::HashPassword(args) => Ok(hash_password::run(&args)?),
            Self::Store(args) => store::run(&args),
            Self::Users(args) => Ok(users::run(args)?),
            Self::Sessions(args) => sessions::run(args),
            Self::Doctor(args) => doctor::run(&args),
            Self::Check(args) => check::run(&args),
            Self::Schema => schema::run(),
        }
    }
}

/// What diagnostics are wanted, in tracing's directives (`VESTIBULE_LOG`); libraries stay quiet all the same.
pub(crate) fn log_filter() -> Option<String> {
    variable("VESTIBULE_LOG")
}

/// Loads the configuration that was named, or the one that is found, and tells its warnings.
pub(crate) fn load(named: Option<&Path>) -> Result<Loaded, Failure> {
    let path = named.map_or_else(found_config, |path| Ok(path.to_owned()))?;
    let loaded = config::load(&path, &outside())?;
    if !loaded.warnings.is_empty() {
        writeln!(io::stderr(), "{}", loaded.warnings).map_err(anyhow::Error::from)?;
    }
    Ok(loaded)
}

fn found_config() -> Result<PathBuf, Failure> {
    let places = ["vestibule.yaml", "/etc/vestibule/vestibule.yaml"];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        Failure::Usage(
            "there is no vestibule.yaml here and no /etc/vestibule/vestibule.yaml: name the configuration with \
             `--config FILE`, or make one with `vestibule quickstart --upstream http://127.0.0.1:5000`"
                .to_owned(),
        )
    })
}

/// What a configuration may ask of this machine.
pub(crate) fn outside() -> Outside<'static> {
    Outside { variable: &variable, certificate_names: &certificate_names, users: &users, exposure: &exposure }
}

/// Whoever has seen enough, such as `head`, is no failure.
pub(crate) fn unless_nobody_reads(error: anyhow::Error) -> anyhow::Result<()> {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(closed) { Ok(()) } else { Err(error) }
}

pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the command line is the one reader of the environment")]
    std::env::var(name).ok()
}

fn certificate_names(files: &CertificateFiles) -> Result<CertificateNames, String> {
    certificate::certificate_names(files).map_err(|error| error.to_string())
}

fn users(path: &Path) -> Result<(), String> {
    file::load(path).map(drop).map_err(|error| causes(&error))
}

/// Whoever asks, the gateway's user is the owner of its state folder; without one it is not known yet.
fn exposure(path: &Path, state_dir: &Path) -> Option<Exposed> {
    files::exposed(path, fs::metadata(state_dir).ok().map(|found| found.uid()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_is_said_once() {
        let told = anyhow::anyhow!("in use").context("cannot listen: in use").context("no gateway");
        assert_eq!(Failure::Running(told).to_string(), "no gateway: cannot listen: in use");
    }

    #[test]
    fn wrong_usage_and_configuration_are_2_and_failures_1() {
        assert_eq!(Failure::Usage(String::new()).code(), 2);
        assert_eq!(Failure::Running(anyhow::anyhow!("x")).code(), 1);
    }
}
