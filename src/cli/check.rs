//! `vestibule check`: everything that is wrong with a configuration, at once.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli;
use crate::cli::Failure;

/// Arguments of `vestibule check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration [default: vestibule.yaml here, else /etc/vestibule/vestibule.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print every setting of every site as it takes effect
    #[arg(long)]
    pub print: bool,
}

/// Checks; warnings alone are no failure.
///
/// # Errors
/// If there is no configuration, or it has problems.
pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    let loaded = cli::load(args.config.as_deref())?;
    let text = match (args.print, loaded.warnings.is_empty()) {
        (true, _) => &*loaded.effective,
        (false, true) => "the configuration is fine\n",
        (false, false) => "the configuration can be used; see the warnings\n",
    };
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|error| Failure::Running(error.into()))
}
