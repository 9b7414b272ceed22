//! Configuration: text becomes all its problems, or a [`Config`] made of the modules' own checked types.
//!
//! The way of a file: `scan.rs` refuses what YAML allows and we do not, `tree.rs` loads the rest, `variables.rs` puts
//! the environment in, `file.rs` reads the shapes, `check.rs` proves that they make sense together. Each step notes
//! what is wrong and goes on, so that one run shows everything.

mod check;
mod effective;
mod file;
mod findings;
pub mod keys;
mod nearest;
mod problem;
mod read;
mod scan;
mod tree;
mod units;
mod variables;
mod words;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

pub use crate::config::problem::Problem;
pub use crate::config::problem::Problems;
pub use crate::config::problem::Severity;

use crate::config::file::File;
use crate::config::findings::Findings;
use crate::config::read::Read;
use crate::config::tree::Node;
use crate::config::tree::Value;
use crate::files::Exposed;
use crate::login;
use crate::route::Site;
use crate::server::CertificateFiles;
use crate::server::CertificateNames;
use crate::server::Limits;
use crate::server::ListenSettings;
use crate::server::TlsSettings;
use crate::session;
use crate::telemetry;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Folder of the gateway's own keys and development certificate; may not exist yet.
    pub state_dir: PathBuf,
    /// Where the gateway listens.
    pub listen: ListenSettings,
    /// Event loops; at least one.
    pub workers: usize,
    /// How TLS is ended; without certificates where TLS ends before us.
    pub tls: TlsSettings,
    /// The file of the gateway's own keys, checked to hold at least one; nothing: kept in `state_dir`.
    pub keys: Option<PathBuf>,
    /// How sessions live.
    pub sessions: session::Settings,
    /// Where they are kept.
    pub store: session::store::Place,
    /// How people log in.
    pub login: login::Settings,
    /// The apps, at least one.
    pub sites: Vec<Site>,
    /// What a connection may take.
    pub limits: Limits,
    /// What is logged.
    pub telemetry: telemetry::Settings,
}

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration itself.
    pub config: Config,
    /// What a person should know about it.
    pub warnings: Problems,
    /// Every setting of every site as it takes effect, for people; defaults are marked.
    pub effective: String,
}

/// What a check asks of the world outside of the text. The command line fills it in; tests bring their own.
#[expect(missing_debug_implementations, reason = "functions have nothing to show")]
pub struct Outside<'a> {
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// What a certificate is good for, or why it cannot be used.
    pub certificate_names: &'a dyn Fn(&CertificateFiles) -> Result<CertificateNames, String>,
    /// Whether a users file can be used, or why not.
    pub users: &'a dyn Fn(&Path) -> Result<(), String>,
    /// How others get at a file or folder that holds secrets, if they do. The second is the state folder, which shows to
    /// root whom the gateway runs as.
    pub exposure: &'a dyn Fn(&Path, &Path) -> Option<Exposed>,
}

/// The names a development certificate is made for where no site names its hosts.
pub const DEVELOPMENT_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Loads and checks the file at `path`.
///
/// # Errors
/// Everything that is wrong with it; warnings are among the problems.
pub fn load(path: &Path, outside: &Outside<'_>) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let refuse = |text: String, help: &str| Problems::new(&name, "", vec![Problem::of_file(text, help)]);
    let bytes = fs::read(path).map_err(|error| {
        refuse(
            format!("the configuration cannot be read: {error}"),
            "name the file with `--config FILE`, or make one with `vestibule quickstart --upstream URL`",
        )
    })?;
    let text = String::from_utf8(bytes).map_err(|_not_text| {
        refuse("the configuration is not UTF-8 text".to_owned(), "save the file as UTF-8")
    })?;
    parse(&text, path, outside)
}

/// Checks `text`, which stands in `file`: paths in it are relative to that file's folder.
///
/// # Errors
/// Everything that is wrong with it; warnings are among the problems.
pub fn parse(text: &str, file: &Path, outside: &Outside<'_>) -> Result<Loaded, Problems> {
    let name = file.display().to_string();
    let refused = scan::refusals(text);
    if !refused.is_empty() {
        return Err(Problems::new(&name, text, refused.into_iter().map(Problem::from).collect()));
    }
    let mut root = tree::load(text).map_err(|refusal| Problems::new(&name, text, vec![refusal.into()]))?;
    let mut findings = Findings::default();
    variables::replace(&mut root, outside.variable, &mut findings);
    let done = shape(&root, &mut findings).map(|shape| {
        let config = check::check(&shape, file, outside, &mut findings);
        let effective = effective::describe(&shape, &config);
        (config, effective)
    });
    let stop = findings.stop();
    let problems = Problems::new(&name, text, findings.into_problems(text));
    match done {
        Some((config, effective)) if !stop => Ok(Loaded { config, warnings: problems, effective }),
        Some(_) | None => Err(problems),
    }
}

/// The JSON Schema of the configuration file (draft 2020-12).
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(File)
}

/// Reads an address to listen on, such as `127.0.0.1:8443`.
///
/// # Errors
/// What to write instead.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    units::listen_address(text)
}

fn shape(root: &Node, findings: &mut Findings) -> Option<File> {
    if matches!(root.value, Value::Map(_)) {
        return File::read(root, "", findings);
    }
    let (at, what) = match root.value {
        Value::Null => (None, "empty"),
        Value::Bool(_)
        | Value::Whole(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => (Some(root.at), "not a block of settings"),
    };
    findings.missing(
        at,
        format!("the configuration is {what}"),
        "name the app at least: `sites: [ { upstream: http://127.0.0.1:5000 } ]`",
    );
    None
}
