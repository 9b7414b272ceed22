//! `vestibule doctor`: looks at a live site from outside, and says how its sessions measure up.

mod json;
mod text;

use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::cli;
use crate::cli::Failure;
use crate::clock::Clock;
use crate::doctor;
use crate::doctor::DoctorError;
use crate::doctor::Order;
use crate::doctor::Report;
use crate::doctor::Resolve;
use crate::doctor::Target;
use crate::doctor::active::recipe::Recipe;
use crate::doctor::finding::Status;

/// Arguments of `vestibule doctor`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct DoctorArgs {
    /// The site, such as <https://app.example.com>
    #[arg(value_name = "URL")]
    pub url: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The session cookie's name, where it does not look like one
    #[arg(long, value_name = "NAME")]
    pub cookie: Option<String>,
    /// Certificates to trust beside the system's, in PEM: an own authority's, or the site's own
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Where plain HTTP is, if not on port 80
    #[arg(long, value_name = "PORT")]
    pub http_port: Option<u16>,
    /// Where a port of the site's (or the app's) host is while its name does not lead there yet; say it of 443 and of 80
    #[arg(long, value_name = "HOST:PORT:ADDRESS")]
    pub resolve: Vec<Resolve>,
    /// The app's own address, which the gateway alone should reach: whether it can be reached from here
    #[arg(long, value_name = "URL")]
    pub app: Option<String>,
    /// Log a test account in and out too, as the recipe says
    #[arg(long, requires = "recipe")]
    pub active: bool,
    /// How the test account logs in and out: a YAML file, which docs/doctor.md explains
    #[arg(long, value_name = "FILE", requires = "active")]
    pub recipe: Option<PathBuf>,
}

const AFTER: &str = "\
It asks for pages as strangers do: GET alone, at most 20 requests, five a second, none to another host, and a
certificate that is not trusted is reported and does not stop it. Values of cookies are never shown.

With --active it also logs a test account in and out as the recipe says, with at most 230 requests more, ten a second,
and only over TLS that is trusted (or plain HTTP, if that is the URL). It leaves no session behind where the recipe has a
logout. Use an account that is there for it.

Exit codes: 0 nothing failed (there may be warnings), 1 something failed or the site could not be looked at,
2 wrong usage. With --json a report is printed whenever the site was looked at.";

/// Looks, and tells.
///
/// # Errors
/// If the site cannot be looked at, or something failed.
pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let parse = |url: &str| Target::parse(url).map_err(|error| Failure::Usage(error.to_string()));
    let mut target = parse(&args.url)?;
    let mut app = args.app.as_deref().map(parse).transpose()?;
    for resolve in &args.resolve {
        let (of_site, of_app) = (target.take(resolve), app.as_mut().is_some_and(|app| app.take(resolve)));
        if !of_site && !of_app {
            return Err(Failure::Usage("--resolve names a host that is not looked at".to_owned()));
        }
    }
    let recipe = args.recipe.as_deref().map(|file| Recipe::load(file, &cli::variable)).transpose();
    let recipe = recipe.map_err(|error| Failure::Usage(error.to_string()))?;
    let order = Order {
        target,
        cookie: args.cookie.clone(),
        http_port: args.http_port,
        ca_file: args.ca_file.as_deref(),
        app,
        recipe: recipe.as_ref(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("no runtime can be made")?;
    let report =
        runtime.block_on(doctor::examine(order, Clock::system().now())).map_err(|error| match error {
            DoctorError::CaFile(_) => Failure::Usage(error.to_string()),
            DoctorError::Unreachable { .. } | DoctorError::Recipe(_) => Failure::Running(error.into()),
        })?;
    print(&report, args.json).or_else(cli::unless_nobody_reads)?;
    if report.count(Status::Fail) > 0 { Err(Failure::Told) } else { Ok(()) }
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", json::render(report)?)?;
    } else {
        // https://no-color.org
        let colour = out.is_terminal() && cli::variable("NO_COLOR").is_none_or(|value| value.is_empty());
        text::write(&mut out, report, colour)?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::config::Outside;
    use crate::doctor::catalogue;

    #[test]
    fn every_setting_that_is_recommended_can_be_written() {
        let outside = Outside {
            variable: &|_| None,
            certificate_names: &|_| {
                let hosts = crate::net::Host::parse("app.example").into_iter().collect();
                Ok(crate::server::CertificateNames { hosts, wildcards: Vec::new() })
            },
            users: &|_| Ok(()),
            exposure: &|_, _| None,
        };
        let folder = tempfile::tempdir().unwrap();
        for file in ["app.pem", "app.key", "certs/localhost.pem", "certs/localhost.key"] {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let nested = |path: &str, value: &str| {
            let deep =
                path.rsplit('.').fold(value.to_owned(), |inside, key| format!("{{ {key}: {inside} }}"));
            deep.strip_prefix("{ ").unwrap().strip_suffix(" }").unwrap().to_owned()
        };
        let upstream = "upstream: \"http://127.0.0.1:5000\"";
        let all = catalogue::PASSIVE.iter().chain(catalogue::active::ACTIVE).copied();
        for check in all.chain([&catalogue::APP_REACHABLE]) {
            let Some(mend) = &check.mend else { continue };
            let text = if mend.setting == "sites[].upstream" {
                format!("sites: [{{ upstream: {} }}]\n", mend.value)
            } else if let Some(path) = mend.setting.strip_prefix("sites[].") {
                format!("sites: [{{ {upstream}, {} }}]\n", nested(path, mend.value))
            } else {
                format!("{}\nsites: [{{ {upstream} }}]\n", nested(mend.setting, mend.value))
            };
            let loaded = config::parse(&text, &folder.path().join("doctor.yaml"), &outside);
            assert!(loaded.is_ok(), "{}: {text}\n{}", check.name, loaded.unwrap_err());
        }
    }
}
