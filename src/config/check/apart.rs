//! The gateway's own files, each of which must be another: what is written to one would be lost in the other.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use crate::config::Config;
use crate::config::check::Check;
use crate::config::file::File;
use crate::config::keys;
use crate::config::tree::At;
use crate::files;
use crate::session::store::Place;
use crate::telemetry::AuditSink;

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It is read, and nothing of it is shown.
    Read,
    /// It is written.
    Written,
    /// It is shown to everybody.
    Shown,
}

/// A file and the setting that names it.
struct Named {
    name: &'static str,
    path: PathBuf,
    at: Option<At>,
    used: Use,
}

impl Named {
    fn new(name: &'static str, path: &Path, at: Option<At>, used: Use) -> Self {
        Self { name, path: path.to_owned(), at, used }
    }
}

/// Notes those of the gateway's files that are one, by whichever names; `own` is the configuration itself.
pub(super) fn apart(file: &File, own: &Path, config: &Config, check: &mut Check<'_>) {
    let all = named(file, own, config);
    let known: Vec<Identity> = all.iter().map(|named| Identity::of(&named.path)).collect();
    for (place, (later, later_known)) in all.iter().zip(&known).enumerate() {
        let before = all.iter().zip(&known).take(place);
        for (earlier, _) in
            before.filter(|(earlier, known)| clash(earlier.used, later.used) && *known == later_known)
        {
            let so = if [earlier.used, later.used].contains(&Use::Shown) {
                "everybody could read it"
            } else {
                "what is written to the one would be lost in the other"
            };
            // The setting that stands in the text can be changed.
            let (changed, other) = if later.at.is_some() { (later, earlier) } else { (earlier, later) };
            check.findings.missing(
                changed.at,
                format!(
                    "`{}` is the same file as {}, `{}`: {so}",
                    changed.name,
                    shown(other.name),
                    other.path.display()
                ),
                &format!("give `{}` a file of its own", changed.name),
            );
        }
    }
}

/// Several may read the same file.
fn clash(one: Use, other: Use) -> bool {
    one != other || one == Use::Written
}

/// Settings in quotes, and what has none in words.
fn shown(name: &str) -> String {
    if name.contains(' ') { name.to_owned() } else { format!("`{name}`") }
}

/// Those that are most likely to be named by mistake come last: problems are shown at them.
fn named(file: &File, own: &Path, config: &Config) -> Vec<Named> {
    let login = &config.login;
    let state = file.state_dir.as_ref().map(|given| given.at);
    let users = file.login.password.users.as_ref().map(|given| given.at);
    let mut all = vec![
        Named::new("the configuration", own, None, Use::Read),
        Named::new("state_dir", &config.state_dir, state, Use::Written),
        Named::new("the record of the users file", &login.seen, None, Use::Written),
        Named::new("login.password.users", &login.users, users, Use::Written),
    ];
    if let Some(path) = &config.keys {
        all.push(Named::new("keys", path, file.keys.as_ref().map(|given| given.at), Use::Read));
    } else {
        let path = config.state_dir.join(keys::FILE);
        all.push(Named::new("the file of the gateway's keys", &path, None, Use::Written));
    }
    all.extend(of_tls(file, config));
    all.extend(of_store(file, config));
    if let Some(path) = &config.listen.admin_socket {
        let at = file.listen.admin_socket.as_ref().map(|given| given.at);
        all.push(Named::new("listen.admin_socket", path, at, Use::Written));
    }
    let theme = &file.login.theme;
    for (name, path, given) in [
        ("login.theme.logo", &login.theme.logo, &theme.logo),
        ("login.theme.css", &login.theme.css, &theme.css),
    ] {
        let at = given.as_ref().map(|given| given.at);
        all.extend(path.as_ref().map(|path| Named::new(name, path, at, Use::Shown)));
    }
    if let AuditSink::File(path) = &config.telemetry.audit {
        let at = file.log.audit.as_ref().map(|given| given.at);
        all.push(Named::new("log.audit", path, at, Use::Written));
    }
    all
}

fn of_tls(file: &File, config: &Config) -> Vec<Named> {
    let written = file.tls.certificates.as_ref().map_or(&[][..], |given| &given.value);
    let mut all = Vec::new();
    for (place, files) in config.tls.certificates.iter().enumerate() {
        let given = written.get(place).map(|given| &given.value);
        let cert = given.and_then(|given| given.cert.as_ref()).map(|cert| cert.at);
        let key = given.and_then(|given| given.key.as_ref()).map(|key| key.at);
        all.push(Named::new("cert", &files.cert, cert, Use::Read));
        all.push(Named::new("key", &files.key, key, Use::Read));
    }
    all
}

fn of_store(file: &File, config: &Config) -> Vec<Named> {
    let at = file.session.store.as_ref().map(|given| given.at);
    match &config.store {
        Place::Memory => Vec::new(),
        Place::Disk(path) => vec![Named::new("session.store", path, at, Use::Written)],
        Place::Redis(settings) => {
            let identity = settings.tls.identity.iter().flat_map(|(cert, key)| [cert, key]);
            let files = settings.password_file.iter().chain(&settings.tls.ca_file).chain(identity);
            files.map(|path| Named::new("a file of `session.store`", path, None, Use::Read)).collect()
        }
    }
}

/// Which file a path is, whether there is one yet or not.
struct Identity {
    real: PathBuf,
    /// Device and inode, by which hard links are known.
    found: Option<(u64, u64)>,
}

impl Identity {
    fn of(path: &Path) -> Self {
        let found = fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        Self { real: real(path, LINKS), found }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.real == other.real || self.found.is_some() && self.found == other.found
    }
}

/// As many symbolic links as Linux follows.
const LINKS: u8 = 40;

/// The path without links, dots and what else has two spellings, also where the last of it is not there yet.
fn real(path: &Path, links: u8) -> PathBuf {
    let plain = || std::path::absolute(path).unwrap_or_else(|_nowhere| path.to_owned());
    match fs::canonicalize(path) {
        Ok(found) => return found,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return plain(),
        Err(_missing) => {}
    }
    let folder = files::folder(path);
    if let Ok(target) = fs::read_link(path)
        && let Some(left) = links.checked_sub(1)
    {
        return real(&folder.join(target), left);
    }
    match path.file_name() {
        Some(name) if folder != path => real(folder, links).join(name),
        None if path.ends_with("..") => {
            let folder = real(folder, links);
            folder.parent().unwrap_or(&folder).to_owned()
        }
        Some(_) | None => plain(),
    }
}
