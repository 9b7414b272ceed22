//! `vestibule store`: the file that sessions are kept in, copied or written anew.

use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use clap::Subcommand;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use crate::admin::sessions::Copied;
use crate::cli;
use crate::cli::Failure;
use crate::cli::sessions::ask::Socket;
use crate::session::store::Place;
use crate::session::store::disk;
use crate::session::store::disk::CopyError;
use crate::session::store::disk::OpenError;

/// The gateway gives up sooner.
const PATIENCE: Duration = Duration::from_mins(11);

/// Copies the file of sessions, or writes it anew without what was removed.
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
    /// Write a copy of all sessions into a new file, while the gateway runs or not
    Backup {
        /// The new file
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Write the file anew, as small as it can be, without the bytes of what was removed; the gateway must not run
    Compact,
}

/// Does what was asked.
///
/// # Errors
/// If sessions are not kept in a file, a gateway uses it, or it cannot be read or written.
pub fn run(arguments: &StoreArgs) -> Result<(), Failure> {
    let config = cli::load(arguments.config.as_deref())?.config;
    let Place::Disk(file) = config.store else {
        return Err(Failure::Usage(
            "this configuration keeps its sessions in no file: see `session.store`".to_owned(),
        ));
    };
    let said = match &arguments.action {
        StoreAction::Backup { to } => backup(&file, to, config.listen.admin_socket)?,
        StoreAction::Compact => compact(&file)?,
    };
    let written = writeln!(io::stdout(), "{said}");
    written.map_err(|error| Failure::Running(error.into()))
}

/// By the gateway that has the file, if one has.
fn backup(file: &Path, to: &Path, socket: Option<PathBuf>) -> Result<String, Failure> {
    let to = std::path::absolute(to).map_err(|error| Failure::Running(error.into()))?;
    let written = match (disk::backup(file, &to), socket) {
        (Err(CopyError::Open(OpenError::InUse { .. })), Some(socket)) => {
            let encoded = utf8_percent_encode(&to.display().to_string(), NON_ALPHANUMERIC).to_string();
            let target = format!("/api/store/backup?to={encoded}");
            let copied: Copied = Socket::at(socket).waiting(PATIENCE).ask("POST", &target)?;
            copied.file
        }
        (copied, _) => copied.map(|()| to.display().to_string()).map_err(refused)?,
    };
    Ok(format!("{written} is a copy of {}", file.display()))
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
