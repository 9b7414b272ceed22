//! `vestibule store`: the file that sessions are kept in, copied or written anew.

use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use clap::Subcommand;

use crate::cli;
use crate::cli::Failure;
use crate::session::store::Place;
use crate::session::store::disk;
use crate::session::store::disk::CopyError;
use crate::session::store::disk::OpenError;

/// Copies the file of sessions, or writes it anew without what was removed. For a gateway that does not run.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// The gateway's configuration, which says where the file is [default: as for `serve`]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    action: StoreAction,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum StoreAction {
    /// Write a copy of all sessions into a new file
    Backup {
        /// The new file
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Write the file anew, as small as it can be, without the bytes of what was removed
    Compact,
}

/// Does what was asked.
///
/// # Errors
/// If sessions are not kept in a file, a gateway uses it, or it cannot be read or written.
pub fn run(arguments: &StoreArgs) -> Result<(), Failure> {
    let Place::Disk(file) = cli::load(arguments.config.as_deref())?.config.store else {
        return Err(Failure::Usage(
            "this configuration keeps its sessions in no file: see `session.store`".to_owned(),
        ));
    };
    let said = match &arguments.action {
        StoreAction::Backup { to } => backup(&file, to)?,
        StoreAction::Compact => compact(&file)?,
    };
    let written = writeln!(io::stdout(), "{said}");
    written.map_err(|error| Failure::Running(error.into()))
}

fn backup(file: &Path, to: &Path) -> Result<String, Failure> {
    disk::backup(file, to).map_err(refused)?;
    Ok(format!("{} is a copy of {}", to.display(), file.display()))
}

fn compact(file: &Path) -> Result<String, Failure> {
    let (before, after) = disk::compact(file).map_err(refused)?;
    let size = |bytes| ByteSize(bytes).display().iec();
    Ok(format!("{} had {} and has {}", file.display(), size(before), size(after)))
}

fn refused(error: CopyError) -> Failure {
    let CopyError::Open(OpenError::InUse { file, holder }) = &error else {
        return Failure::Running(error.into());
    };
    let holder = holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let file = file.display();
    Failure::Running(anyhow::anyhow!("{file} is in use by a gateway{holder}: stop it, and do this again"))
}
