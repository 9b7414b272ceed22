//! From shapes to settings: proves that what was written makes sense together, and fills in the defaults.
//!
//! Each part gives settings even where it noted an error, so that the next part is checked too; a configuration
//! with errors is thrown away at the end.

mod apart;
mod app;
mod clocks;
mod conflicts;
mod cookies;
mod identity;
mod limits;
mod listen;
mod login;
mod proxies;
mod rules;
mod session;
mod site;
mod store;
mod tls;
mod traps;
mod upstream;
mod warn;

use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::config::Config;
use crate::config::Outside;
use crate::config::file::File;
use crate::config::findings::Findings;
use crate::config::keys;
use crate::config::read::Given;
use crate::config::tree::At;
use crate::config::units::Span;
use crate::config::units::Text;
use crate::files;
use crate::telemetry;
use crate::telemetry::AuditSink;
use crate::telemetry::Format;

/// A part's view of the whole: where relative paths begin, what can be asked, and where problems go.
struct Check<'a> {
    folder: &'a Path,
    /// What `state_dir` is.
    state_dir: PathBuf,
    outside: &'a Outside<'a>,
    findings: &'a mut Findings,
}

/// The settings that `file` asks for, which stands at `path`; of no use if an error was noted.
pub(crate) fn check(file: &File, path: &Path, outside: &Outside<'_>, findings: &mut Findings) -> Config {
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let state_dir = state_dir(file, folder, outside);
    let mut check = Check { folder, state_dir: state_dir.clone(), outside, findings };
    let listen = listen::listen(&file.listen, &state_dir, &mut check);
    let tls = tls::tls(file, &mut check);
    let mut hosts = tls::hosts(&tls, &check);
    if let (Some(hosts), Some(login)) = (&mut hosts, login::own_host(&file.login)) {
        hosts.retain(|host| host != login);
    }
    let sites = site::sites(file, hosts.as_deref(), &mut check);
    tls::coverage(file, &tls, &mut check);
    let config = Config {
        listen,
        workers: workers(file),
        tls,
        keys: keys_file(file, &mut check),
        sessions: session::sessions(&file.session, &mut check),
        store: store::store(file, &state_dir, &mut check),
        login: login::login(file, &sites, &state_dir, &mut check),
        state_dir,
        sites,
        limits: limits::limits(&file.limits, &mut check),
        telemetry: log(file, &mut check),
    };
    folders(file, &config, &mut check);
    apart::apart(file, path, &config, &mut check);
    config
}

impl Check<'_> {
    /// A path as it was written, from the folder of the configuration.
    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    /// The path of a file that must exist.
    fn existing(&mut self, given: &Given<Text>, name: &str) -> PathBuf {
        let path = self.path(&given.value.0);
        if !path.is_file() {
            self.findings.error(
                given.at,
                format!("`{name}`: there is no file `{}`", path.display()),
                "correct the path: it begins at this configuration's folder",
            );
        }
        path
    }

    /// Warns of a file or folder with secrets that others get at.
    fn private(&mut self, path: &Path, at: Option<At>, what: &str, so: &str) {
        if let Some(exposed) = (self.outside.exposure)(path, &self.state_dir) {
            let text = format!("{what} `{}` {}: {so}", path.display(), exposed.what);
            self.findings.warning(at, text, &exposed.mend);
        }
    }

    /// A length of time that is not zero.
    fn some_time(&mut self, given: Option<&Given<Span>>, name: &str, default: Duration) -> Duration {
        let Some(given) = given else {
            return default;
        };
        if given.value.0.is_zero() {
            self.findings.error(
                given.at,
                format!("`{name}` is zero: nothing could ever be done in time"),
                &format!("write a longer time; the default is `{}`", humantime::format_duration(default)),
            );
        }
        given.value.0
    }

    /// Warns of a length of time above `most`, with what happens then.
    fn at_most(&mut self, given: Option<&Given<Span>>, name: &str, most: Duration, so: &str) {
        if let Some(given) = given.filter(|given| given.value.0 > most) {
            let (shown, most) = (humantime::format_duration(given.value.0), humantime::format_duration(most));
            self.findings.warning(
                Some(given.at),
                format!("`{name}` is {shown}: {so}"),
                &format!("write `{most}` or less, or remove the line for the default"),
            );
        }
    }

    /// A number from `least` to `most`.
    fn number(&mut self, given: Option<&Given<u64>>, name: &str, range: (u64, u64), default: u64) -> u64 {
        let (least, most) = range;
        let Some(given) = given else {
            return default;
        };
        if !(least..=most).contains(&given.value) {
            self.findings.error(
                given.at,
                format!("`{name}` is {}, but must be from {least} to {most}", given.value),
                "write a number in that range, or remove the line for the default",
            );
        }
        given.value
    }
}

/// A number as it is used in memory; what does not fit is as good as unlimited.
fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn state_dir(file: &File, folder: &Path, outside: &Outside<'_>) -> PathBuf {
    if let Some(given) = &file.state_dir {
        return folder.join(&given.value.0);
    }
    let provided = (outside.variable)("STATE_DIRECTORY").filter(|folder| !folder.is_empty());
    // systemd lists several folders with `:` between them; ours is the first.
    let first = provided.and_then(|list| list.split(':').next().map(PathBuf::from));
    first.unwrap_or_else(|| folder.join("state"))
}

/// What lies in these folders is the gateway's alone.
fn folders(file: &File, config: &Config, check: &mut Check<'_>) {
    let at = file.state_dir.as_ref().map(|given| given.at);
    let state_dir = &config.state_dir;
    check.private(state_dir, at, "the state folder", "with what is in it people pass for others");
    if let Some(folder) =
        config.listen.admin_socket.as_deref().map(files::folder).filter(|folder| folder != state_dir)
    {
        let at = file.listen.admin_socket.as_ref().map(|given| given.at);
        check.private(
            folder,
            at,
            "the folder of the admin socket",
            "whoever puts a socket of theirs there is told what root asks",
        );
    }
}

fn workers(file: &File) -> usize {
    let written = file.workers.as_ref().and_then(|given| given.value.0);
    written.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), count)
}

fn keys_file(file: &File, check: &mut Check<'_>) -> Option<PathBuf> {
    let given = file.keys.as_ref()?;
    let path = check.path(&given.value.0);
    if let Err(error) = keys::read(&path) {
        let help = match error {
            keys::KeysError::Open { .. } => format!("`chmod 600 {}`", path.display()),
            keys::KeysError::Read(_)
            | keys::KeysError::Malformed { .. }
            | keys::KeysError::Trivial { .. }
            | keys::KeysError::Empty => {
                "put a line from `openssl rand -hex 32` into it, or remove `keys`: then one is made in `state_dir`".to_owned()
            }
        };
        check.findings.error(
            given.at,
            format!("`keys`: `{}` cannot be used: {error}", path.display()),
            &help,
        );
    } else {
        check.private(&path, Some(given.at), "the keys", "with them sessions are read and forms are forged");
    }
    Some(path)
}

fn log(file: &File, check: &mut Check<'_>) -> telemetry::Settings {
    let log = &file.log;
    let audit = match &log.audit {
        None => AuditSink::Stderr,
        Some(given) => match given.value.0.as_str() {
            "stderr" => AuditSink::Stderr,
            "off" => AuditSink::Off,
            text => {
                let path = check.path(text);
                let parent = path.parent().unwrap_or_else(|| Path::new("."));
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                if path.is_dir() || !parent.is_dir() {
                    check.findings.error(
                        given.at,
                        format!("`log.audit`: no file can be made at `{}`", path.display()),
                        "write `stderr`, `off`, or a file in a folder that exists",
                    );
                }
                AuditSink::File(path)
            }
        },
    };
    telemetry::Settings {
        format: log.format.as_ref().map_or(Format::Text, |given| given.value),
        access: log.access.as_ref().is_none_or(|given| given.value),
        audit,
    }
}
