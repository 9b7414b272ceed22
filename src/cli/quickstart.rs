//! `vestibule quickstart`: the files of a first gateway. What is there already is never written over.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use data_encoding::BASE32_NOPAD;

use crate::app::App;
use crate::cli;
use crate::cli::Failure;
use crate::cli::serve;
use crate::config;
use crate::config::Outside;
use crate::crypto;
use crate::crypto::Secret;
use crate::login::hash::Hash;
use crate::login::hash::Password;
use crate::login::users::document::Entry;

/// The first user.
pub const ADMIN: &str = "admin";

/// Arguments of `vestibule quickstart`.
#[derive(Debug, Args)]
pub struct QuickstartArgs {
    /// Where the app is, such as <http://127.0.0.1:5000>
    #[arg(long, value_name = "URL")]
    pub upstream: String,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443", value_parser = config::parse_address)]
    pub listen: SocketAddr,
}

/// Writes what is missing, says how to get in, and serves until told to stop.
pub fn run(args: &QuickstartArgs) -> Result<(), Failure> {
    let written = write(args, |users, password| add_admin(users, password, FirstPassword::OneTime))?;
    let config = cli::load(Some(&written.config))?.config;
    Ok(serve::until_stopped(config, |app| greet(app, &written))?)
}

/// Whether the first user's password must be changed at the first login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstPassword {
    /// It opens nothing but the page to change it.
    OneTime,
    /// It stays.
    ToKeep,
}

/// Makes the users file with the first user in it.
pub(crate) fn add_admin(users: &Path, password: &Secret<String>, kind: FirstPassword) -> anyhow::Result<()> {
    let password = Password::new(password.expose()).context("the generated password cannot be used")?;
    let must_change = kind == FirstPassword::OneTime;
    let entry = Entry { password: Hash::make(&password).text(), must_change, ..Entry::default() };
    Ok(cli::users::add(users, ADMIN, entry)?)
}

fn greet(app: &App, written: &Written) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if written.kept {
        writeln!(out, "\n  {} was there already and is used as it is.", written.config.display())?;
    }
    writeln!(out, "\n  Your app, behind Vestibule:  {}", serve::browser_url(app))?;
    match &written.password {
        Some(password) => {
            writeln!(out, "  Sign in as  {ADMIN}  with the one-time password  {}", password.expose())?;
            writeln!(out, "  (you choose your own then)\n")?;
        }
        None => writeln!(out, "  Sign in as somebody from the users file.\n")?,
    }
    writeln!(
        out,
        "  The app is told who is there in X-Forwarded-User, -Email, -Groups and -Preferred-Username."
    )?;
    writeln!(
        out,
        "  Configuration: {}   Next time: vestibule serve --config {0}\n",
        written.config.display()
    )?;
    Ok(out.flush()?)
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The configuration.
    pub config: PathBuf,
    /// Whether it was there already, and was left as it is.
    pub kept: bool,
    /// The first user's password, to be shown once; nothing if there was a users file already.
    pub password: Option<Secret<String>>,
}

/// Writes the configuration, and a users file where it is missing: `add_admin` makes one at the path it is given,
/// with [`ADMIN`] and the one-time password. The development certificate is made when the gateway starts.
///
/// # Errors
/// If the arguments make no configuration that can be used, or if a file cannot be written.
pub fn write(
    args: &QuickstartArgs,
    add_admin: impl FnOnce(&Path, &Secret<String>) -> anyhow::Result<()>,
) -> Result<Written, Failure> {
    let path = args.dir.join("vestibule.yaml");
    if path.exists() {
        return Ok(Written { config: path, password: None, kept: true });
    }
    let text = configuration(args);
    // Proven before anything is written; the users file is about to be made.
    let outside = Outside { users: &|_path| Ok(()), ..cli::outside() };
    config::parse(&text, &path, &outside)?;
    fs::create_dir_all(&args.dir)
        .with_context(|| format!("the folder {} cannot be made", args.dir.display()))?;
    let users = args.dir.join("users.yaml");
    let password = if users.exists() {
        None
    } else {
        let password = one_time_password();
        add_admin(&users, &password)?;
        Some(password)
    };
    create(&path, &text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(Written { config: path, password, kept: false })
}

/// 80 random bits in letters that cannot be mistaken for each other, in groups a person can copy.
fn one_time_password() -> Secret<String> {
    let letters = BASE32_NOPAD.encode(&crypto::random::<10>()).to_lowercase();
    let groups: Vec<&str> = (0..4).filter_map(|group| letters.get(group * 4..group * 4 + 4)).collect();
    Secret::new(groups.join("-"))
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn configuration(args: &QuickstartArgs) -> String {
    let template = include_str!("quickstart.yaml");
    let (listen, metrics) = (quoted(&args.listen.to_string()), quoted(&admin_address().to_string()));
    template
        .replace("LISTEN", &listen)
        .replace("METRICS", &metrics)
        .replace("UPSTREAM", &quoted(&args.upstream))
}

/// The usual address for health and metrics, or a free one where another gateway has that already.
fn admin_address() -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 9180));
    let free = |address: SocketAddr| TcpListener::bind(address).and_then(|listener| listener.local_addr());
    let any = || free(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    free(usual).or_else(|_taken| any()).unwrap_or(usual)
}

/// A text as YAML's double-quoted form, which is JSON's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(dir: &Path, upstream: &str) -> QuickstartArgs {
        QuickstartArgs {
            upstream: upstream.to_owned(),
            dir: dir.join("new"),
            listen: "127.0.0.1:8443".parse().unwrap(),
        }
    }

    fn make(path: &Path, _password: &Secret<String>) -> anyhow::Result<()> {
        Ok(fs::write(path, "users: {}\n")?)
    }

    #[test]
    fn the_files_it_writes_make_a_gateway() {
        let dir = tempfile::tempdir().unwrap();
        let written = write(&args(dir.path(), "http://127.0.0.1:5000"), make).unwrap();
        let password = written.password.unwrap();
        assert_eq!(password.expose().len(), 19);
        let loaded = config::load(&written.config, &cli::outside()).unwrap();
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        assert!(loaded.config.tls.generate);
    }

    #[test]
    fn nothing_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let args = args(dir.path(), "http://127.0.0.1:5000");
        fs::create_dir(&args.dir).unwrap();
        fs::write(args.dir.join("users.yaml"), "# mine\n").unwrap();
        assert!(write(&args, make).unwrap().password.is_none());
        assert_eq!(fs::read_to_string(args.dir.join("users.yaml")).unwrap(), "# mine\n");
        fs::write(args.dir.join("vestibule.yaml"), "# mine too\n").unwrap();
        assert!(write(&args, make).unwrap().kept);
        assert_eq!(fs::read_to_string(args.dir.join("vestibule.yaml")).unwrap(), "# mine too\n");
    }

    #[test]
    fn an_upstream_that_cannot_be_used_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["app", "http://10.0.0.1", "x\"\n- y"] {
            let failure = write(&args(dir.path(), bad), make).unwrap_err();
            assert_eq!(failure.code(), 2, "{failure}");
        }
        assert!(!dir.path().join("new").exists());
    }
}
