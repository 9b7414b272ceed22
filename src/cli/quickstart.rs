//! `vestibule quickstart`: the files of a first gateway. What is there already is never written over.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::ToSocketAddrs as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use data_encoding::BASE32_NOPAD;

use crate::app::App;
use crate::cli;
use crate::cli::Failure;
use crate::cli::serve;
use crate::config;
use crate::config::Config;
use crate::config::Outside;
use crate::config::Problems;
use crate::config::Severity;
use crate::crypto;
use crate::crypto::Secret;
use crate::login::hash::Hash;
use crate::login::hash::Password;
use crate::login::users::document::Entry;
use crate::login::users::file;
use crate::login::users::file::UsersError;
use crate::upstream::Endpoint;

/// The first user.
pub const ADMIN: &str = "admin";

/// Where a first gateway listens.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

/// Arguments of `vestibule quickstart`.
#[derive(Debug, Args)]
pub struct QuickstartArgs {
    /// Where the app is.
    #[arg(long, value_name = "URL", help = "Where the app is, such as http://127.0.0.1:5000")]
    pub upstream: String,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Where to listen; 127.0.0.1:8443 unless the configuration is there already
    #[arg(long, value_name = "ADDRESS", value_parser = config::parse_address)]
    pub listen: Option<SocketAddr>,
}

/// Writes what is missing, says how to get in, and serves until told to stop.
pub fn run(args: &QuickstartArgs) -> Result<(), Failure> {
    let written = write(args, FirstPassword::OneTime)?;
    let config = cli::load(Some(&written.config))?.config;
    let silent = config.sites.first().and_then(|site| silent(&site.upstream.servers));
    Ok(serve::until_stopped(config, |app| greet(app, &written, silent.as_deref()))?)
}

/// The app's address, if nobody takes a connection there: who is greeted now would only learn it behind the login.
fn silent(servers: &[Endpoint]) -> Option<String> {
    const PATIENCE: Duration = Duration::from_millis(500);
    let server = servers.first()?;
    let answers = match server {
        Endpoint::Unix(path) => UnixStream::connect(path).is_ok(),
        Endpoint::Http(authority) | Endpoint::Https(authority) => {
            let port = if matches!(server, Endpoint::Https(_)) { 443 } else { 80 };
            let host = authority.host.as_str().trim_matches(['[', ']']);
            let addresses = (host, authority.port.unwrap_or(port)).to_socket_addrs();
            addresses.is_ok_and(|mut found| {
                found.any(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
            })
        }
    };
    (!answers).then(|| server.to_string())
}

/// Whether the first user's password must be changed at the first login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstPassword {
    /// It opens nothing but the page to change it.
    OneTime,
    /// It stays.
    ToKeep,
}

fn greet(app: &App, written: &Written, silent: Option<&str>) -> anyhow::Result<()> {
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
    if let Some(app) = silent {
        writeln!(out, "  Nothing answers at {app} yet: start your app there, or correct `upstream`.\n")?;
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
    /// The first user's password, to be shown once; nothing where people have passwords of their own already.
    pub password: Option<Secret<String>>,
}

/// Writes the configuration and the users file where they are missing, the latter with [`ADMIN`] and a password that
/// was made for them. Nothing is written before it is known that the gateway can listen: a password that nobody was
/// shown is lost. If a start failed later all the same, the next one makes a new one, as long as it was never used.
/// The development certificate is made when the gateway starts.
///
/// # Errors
/// If the arguments make no configuration that can be used or contradict the one that is there, if an address is
/// taken, or if a file cannot be written.
pub(crate) fn write(args: &QuickstartArgs, kind: FirstPassword) -> Result<Written, Failure> {
    let path = args.dir.join("vestibule.yaml");
    let kept = path.exists();
    let text = if kept {
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?
    } else {
        configuration(args)
    };
    // Proven before anything is written; the users file may be about to be made.
    let outside = Outside { users: &|_path| Ok(()), ..cli::outside() };
    let parsed = config::parse(&text, &path, &outside);
    let config = parsed
        .map_err(|problems| if kept { problems.into() } else { of_arguments(args, &text, &problems) })?
        .config;
    if kept {
        contradiction(args, &path, &config).map_or(Ok(()), Err)?;
    }
    listen_once(&config)?;
    fs::create_dir_all(&args.dir)
        .with_context(|| format!("the folder {} cannot be made", args.dir.display()))?;
    let needs_users = config.sites.iter().any(|site| site.login.is_own());
    let password = if needs_users { first_password(&config.login.users, kind)? } else { None };
    if !kept {
        create(&path, &text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(Written { config: path, password, kept })
}

/// What is wrong with the arguments, which made `text`: there is no file yet in which it could be shown.
fn of_arguments(args: &QuickstartArgs, text: &str, problems: &Problems) -> Failure {
    let listen = args.listen.map(|listen| ("--listen: ", quoted(&listen.to_string())));
    let options: Vec<_> = std::iter::once(("--upstream: ", quoted(&args.upstream))).chain(listen).collect();
    let told = problems.iter().filter(|problem| problem.severity == Severity::Error).map(|problem| {
        let value = problem.span.clone().and_then(|span| text.get(span));
        let option =
            options.iter().find(|(_, written)| value == Some(written)).map_or("", |(option, _)| option);
        let help = problem.help.as_ref().map(|help| format!("\n  {help}")).unwrap_or_default();
        format!("{option}{}{help}", problem.text)
    });
    Failure::Usage(told.collect::<Vec<_>>().join("\n"))
}

/// What the arguments ask for and the configuration that is there does not say.
fn contradiction(args: &QuickstartArgs, path: &Path, config: &Config) -> Option<Failure> {
    let text = configuration(args);
    let wanted = config::parse(&text, path, &Outside { users: &|_path| Ok(()), ..cli::outside() });
    let servers = |config: &Config| config.sites.first().map(|site| site.upstream.servers.clone());
    let upstream = match wanted {
        Ok(wanted) => servers(&wanted.config) != servers(config),
        Err(problems) => return Some(of_arguments(args, &text, &problems)),
    };
    let listen = args.listen.filter(|listen| !config.listen.https.contains(listen));
    let (flag, key) = match (upstream, listen) {
        (true, _) => (format!("--upstream {}", args.upstream), "upstream"),
        (false, Some(listen)) => (format!("--listen {listen}"), "listen.https"),
        (false, None) => return None,
    };
    let file = path.display();
    Some(Failure::Usage(format!(
        "{file} is there already and says something else than {flag}\n  \
         to change it: write it as `{key}` in {file}\n  \
         to run it as it is: vestibule serve --config {file}\n  \
         to begin anew beside it: name another folder with --dir"
    )))
}

/// Whether every address can be had now.
fn listen_once(config: &Config) -> anyhow::Result<()> {
    let listen = &config.listen;
    let inner = listen.admin.iter().chain(&listen.health);
    for address in listen.https.iter().chain(&listen.http).chain(&listen.http_redirect).chain(inner) {
        TcpListener::bind(address).with_context(|| {
            format!(
                "cannot listen on {address}: end what listens there, or choose another address, with --listen ADDRESS \
                 or under `listen` in the configuration"
            )
        })?;
    }
    Ok(())
}

/// Makes the users file with the first user in it if it is missing, and the first user's password anew if it was never
/// used. The password, if one was made.
fn first_password(users: &Path, kind: FirstPassword) -> anyhow::Result<Option<Secret<String>>> {
    let unused = match file::load(users) {
        Ok(loaded) => {
            loaded.users.iter().any(|account| account.user.name.as_str() == ADMIN && account.must_change)
        }
        Err(UsersError::Missing { .. }) => true,
        Err(other) => return Err(other.into()),
    };
    if !unused {
        return Ok(None);
    }
    let secret = one_time_password();
    let password = Password::new(secret.expose()).context("the generated password cannot be used")?;
    let hash = Hash::make(&password).text();
    let must_change = kind == FirstPassword::OneTime;
    file::edit(users, |document| {
        match document.get_mut(ADMIN) {
            Some(entry) => entry.password = hash,
            None => drop(document.add(ADMIN, Entry { password: hash, must_change, ..Entry::default() })),
        }
        Ok(())
    })?;
    Ok(Some(secret))
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
    let (listen, metrics) =
        (quoted(&args.listen.unwrap_or(LISTEN).to_string()), quoted(&admin_address().to_string()));
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

    fn free() -> SocketAddr {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).unwrap()
    }

    fn args(dir: &Path, upstream: &str) -> QuickstartArgs {
        QuickstartArgs { upstream: upstream.to_owned(), dir: dir.join("new"), listen: Some(free()) }
    }

    fn first(args: &QuickstartArgs) -> Result<Written, Failure> {
        write(args, FirstPassword::OneTime)
    }

    #[test]
    fn the_files_it_writes_make_a_gateway() {
        let dir = tempfile::tempdir().unwrap();
        let written = first(&args(dir.path(), "http://127.0.0.1:5000")).unwrap();
        let password = written.password.unwrap();
        assert_eq!(password.expose().len(), 19);
        let loaded = config::load(&written.config, &cli::outside()).unwrap();
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        assert!(loaded.config.tls.generate);
    }

    #[test]
    fn nothing_of_somebodys_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let args = args(dir.path(), "http://127.0.0.1:5000");
        let users = args.dir.join("users.yaml");
        fs::create_dir(&args.dir).unwrap();
        fs::write(&users, "# mine\n").unwrap();
        assert!(first(&args).unwrap().password.is_none());
        assert_eq!(fs::read_to_string(&users).unwrap(), "# mine\n");
        let text = fs::read_to_string(args.dir.join("vestibule.yaml")).unwrap() + "# mine too\n";
        fs::write(args.dir.join("vestibule.yaml"), &text).unwrap();
        assert!(first(&args).unwrap().kept);
        assert_eq!(fs::read_to_string(args.dir.join("vestibule.yaml")).unwrap(), text);
    }

    #[test]
    fn a_one_time_password_is_made_again_until_it_was_used_and_for_a_lost_users_file() {
        let dir = tempfile::tempdir().unwrap();
        let args = args(dir.path(), "http://127.0.0.1:5000");
        let users = args.dir.join("users.yaml");
        let fits = |secret: &Secret<String>| {
            let loaded = file::load(&users).unwrap();
            let admin = loaded.users.iter().next().unwrap();
            admin.must_change && admin.password.verify(&Password::new(secret.expose()).unwrap())
        };
        let shown = first(&args).unwrap().password.unwrap();
        assert!(fits(&shown));
        let again = first(&args).unwrap().password.unwrap();
        assert!(fits(&again) && !fits(&shown));
        let used = fs::read_to_string(&users).unwrap().replace("must_change: true", "must_change: false");
        fs::write(&users, used).unwrap();
        assert!(first(&args).unwrap().password.is_none());
        fs::remove_file(&users).unwrap();
        assert!(fits(&first(&args).unwrap().password.unwrap()));
    }

    #[test]
    fn what_contradicts_the_configuration_or_cannot_listen_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut args = args(dir.path(), "http://127.0.0.1:5000");
        let taken = TcpListener::bind(args.listen.unwrap()).unwrap();
        let said = first(&args).unwrap_err().to_string();
        assert!(said.contains("cannot listen on") && !args.dir.exists(), "{said}");
        drop(taken);
        first(&args).unwrap();
        let users = fs::read(args.dir.join("users.yaml")).unwrap();
        args.upstream = "http://127.0.0.1:5001".to_owned();
        let failure = first(&args).unwrap_err();
        assert!(failure.code() == 2 && failure.to_string().contains("`upstream`"), "{failure}");
        args.upstream = "http://127.0.0.1:5000".to_owned();
        args.listen = Some(free());
        let failure = first(&args).unwrap_err();
        assert!(failure.code() == 2 && failure.to_string().contains("`listen.https`"), "{failure}");
        assert_eq!(fs::read(args.dir.join("users.yaml")).unwrap(), users);
    }

    #[test]
    fn an_upstream_that_cannot_be_used_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["app", "http://10.0.0.1", "x\"\n- y"] {
            let failure = first(&args(dir.path(), bad)).unwrap_err();
            assert_eq!(failure.code(), 2, "{failure}");
        }
        assert!(!dir.path().join("new").exists());
    }
}
