//! `vestibule schema`: the configuration's JSON Schema, so that editors complete and explain its keys.

use std::io;
use std::io::Write;

use anyhow::Context;

use crate::cli::Failure;
use crate::config;

/// Prints the schema.
///
/// # Errors
/// If standard output is closed.
pub fn run() -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&config::schema()).context("the schema cannot be written")?;
    writeln!(io::stdout(), "{text}").context("the schema cannot be written")?;
    Ok(())
}
