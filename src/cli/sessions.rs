//! `vestibule sessions`: looks at sessions and ends them, through the admin socket of a running gateway.

pub(crate) mod ask;
mod table;

use std::collections::BTreeMap;
use std::io;
use std::io::BufRead as _;
use std::io::IsTerminal as _;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use clap::Subcommand;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use crate::admin::sessions::Ended;
use crate::admin::sessions::Entry;
use crate::admin::sessions::Listing;
use crate::cli;
use crate::cli::Failure;
use crate::cli::sessions::ask::Socket;
use crate::cli::sessions::table::Table;
use crate::config;
use crate::config::Outside;
use crate::identity::user::UserName;
use crate::login::users::name_of;
use crate::session::id::SessionId;

/// Where systemd keeps the state of our unit (`examples/vestibule.service`): told to the service alone, in
/// `$STATE_DIRECTORY`, and not to whoever asks from a shell.
const STATE_OF_SERVICE: &str = "/var/lib/vestibule";

/// So many sessions are asked for at a time.
const PAGE: usize = 500;

/// Lists sessions of a running gateway, and ends them. For the gateway's own user and root.
#[derive(Debug, Args)]
pub struct SessionsArgs {
    /// The gateway's configuration, which says where its socket is [default: as for `serve`]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// The gateway's admin socket
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: SessionsAction,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum SessionsAction {
    /// List all sessions, or those of one user or of one app's own login
    List {
        /// Only this user's.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Only those of this site's own login, as the list has it [default: with `--user` the users file, else all]
        #[arg(long, value_name = "SITE")]
        realm: Option<String>,
        /// So many at most.
        #[arg(long, value_name = "NUMBER")]
        limit: Option<usize>,
    },
    /// Show all that is known of one session
    Show {
        /// The session's id, as the list and the logs have it.
        id: String,
    },
    /// End one session
    End {
        /// The session's id, as the list and the logs have it.
        id: String,
    },
    /// End all sessions of one user
    EndUser {
        /// The user's name.
        name: String,
        /// The site whose app's own login the user is of, as the list has it [default: the users file]
        #[arg(long, value_name = "SITE")]
        realm: Option<String>,
    },
    /// End all sessions: everybody must sign in again
    EndAll {
        /// Do not ask first.
        #[arg(long)]
        yes: bool,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the gateway cannot be asked, or does not do it.
pub fn run(arguments: SessionsArgs) -> Result<(), Failure> {
    let json = arguments.json;
    let action = Checked::new(arguments.action)?;
    let socket = Socket::at(match arguments.socket {
        Some(path) => path,
        None => configured(arguments.config)?,
    });
    match action {
        Checked::List { whose, limit } => list(&socket, &whose, limit, json),
        Checked::Show(id) => show(&socket, &id, json),
        Checked::End(id) => {
            let ended: Ended = socket.ask("DELETE", &format!("/api/sessions/{id}"))?;
            tell(&ended, json, &format!("Session {id} is ended."))
        }
        Checked::EndUser(name) => {
            let ended: Ended = socket.ask("DELETE", &format!("/api/sessions?{}", of_user(&name)))?;
            let told = tell(&ended, json, &format!("{} of {name} ended.", sessions(ended.ended)));
            // Whoever ends a user's sessions in a hurry must not believe that it is done.
            let others = if ended.ended == 0 { namesakes(&socket, &name) } else { Ok(None) };
            told.and_then(|()| others?.map_or(Ok(()), |others| bail!("{others}")))
        }
        Checked::EndAll { yes } => {
            let agreed = if yes { Ok(()) } else { confirm() };
            agreed.and_then(|()| end_all(&socket, json))
        }
    }
    .or_else(cli::unless_nobody_reads)
    .map_err(Failure::Running)
}

/// An action whose ids and names can be meant.
enum Checked {
    List { whose: Whose, limit: Option<usize> },
    Show(String),
    End(String),
    EndUser(UserName),
    EndAll { yes: bool },
}

/// Whose sessions are listed.
enum Whose {
    All,
    /// Everybody's who logged in to an app at its own page.
    Realm(String),
    User(UserName),
}

impl Checked {
    fn new(action: SessionsAction) -> Result<Self, Failure> {
        Ok(match action {
            SessionsAction::List { user, realm, limit } => {
                let whose = match (user, realm) {
                    (Some(user), realm) => Whose::User(user_name(&user, realm.as_deref())?),
                    (None, Some(realm)) => Whose::Realm(realm),
                    (None, None) => Whose::All,
                };
                Self::List { whose, limit }
            }
            SessionsAction::Show { id } => Self::Show(session_id(&id)?),
            SessionsAction::End { id } => Self::End(session_id(&id)?),
            SessionsAction::EndUser { name, realm } => Self::EndUser(user_name(&name, realm.as_deref())?),
            SessionsAction::EndAll { yes } if yes || io::stdin().is_terminal() => Self::EndAll { yes },
            SessionsAction::EndAll { yes: _ } => {
                return Err(Failure::Usage(
                    "this ends everybody's session, and there is no terminal to ask on: say `--yes`"
                        .to_owned(),
                ));
            }
        })
    }
}

fn session_id(text: &str) -> Result<String, Failure> {
    let id = SessionId::parse(&text.trim().to_ascii_lowercase());
    id.map(|id| id.to_string()).ok_or_else(|| {
        Failure::Usage(format!(
            "{text:?} is no session's id: it has 16 hexadecimal digits, as `list` shows them"
        ))
    })
}

/// Names of the users file are compared in one form; those of an app's login are as the app has them.
fn user_name(text: &str, realm: Option<&str>) -> Result<UserName, Failure> {
    let name = match realm {
        Some(realm) => UserName::parse(text).map(|name| name.in_realm(realm)),
        None => UserName::parse(&name_of(text)),
    };
    name.ok_or_else(|| Failure::Usage(format!("{text:?} is no user name")))
}

/// The part of a query that names a user.
fn of_user(user: &UserName) -> String {
    let realm = user.realm().map(|realm| format!("&realm={}", encoded(realm))).unwrap_or_default();
    format!("user={}{realm}", encoded(user.as_str()))
}

/// Where the socket is by the configuration. Its warnings are for whoever runs the gateway, not for this.
fn configured(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let path = named.map_or_else(cli::found_config, Ok)?;
    let by = |outside: &Outside<'_>| {
        let loaded = config::load(&path, outside)?;
        loaded.config.listen.admin_socket.ok_or_else(|| {
            Failure::Usage(format!("{} has no admin socket: `listen.admin_socket` is null", path.display()))
        })
    };
    let here = by(&cli::outside())?;
    if here.exists() {
        return Ok(here);
    }
    let told = |name: &str| match name {
        "STATE_DIRECTORY" => Some(STATE_OF_SERVICE.to_owned()),
        _ => cli::variable(name),
    };
    let there = by(&Outside { variable: &told, ..cli::outside() })?;
    // Not there either: what is said about it is then about where it was expected.
    Ok(if there.exists() { there } else { here })
}

fn list(socket: &Socket, whose: &Whose, limit: Option<usize>, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut table = Table::default();
    let (mut shown, mut after) = (0, None);
    loop {
        let most = limit.map_or(PAGE, |limit| PAGE.min(limit.saturating_sub(shown)));
        if most == 0 {
            break;
        }
        let (asked, of_user) = match whose {
            Whose::All => (most, String::new()),
            Whose::User(user) => (most, format!("&{}", of_user(user))),
            // No store knows the sessions of a realm: they are picked out of all.
            Whose::Realm(_) => (PAGE, String::new()),
        };
        let mut page: Listing = socket
            .ask("GET", &format!("/api/sessions?limit={asked}{of_user}{}", behind(after.as_deref())))?;
        if let Whose::Realm(realm) = whose {
            page.sessions.retain(|session| session.realm.as_ref() == Some(realm));
        }
        // A store may give more than it is asked for.
        page.sessions.truncate(most);
        if json {
            for session in &page.sessions {
                let joint = if shown == 0 { "[\n" } else { ",\n" };
                write!(out, "{joint}{}", serde_json::to_string(session)?)?;
                shown += 1;
            }
        } else {
            shown += page.sessions.len();
            table.write(&mut out, &page.sessions)?;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    match (json, shown) {
        (true, 0) => writeln!(out, "[]")?,
        (true, _) => writeln!(out, "\n]")?,
        (false, 0) => {
            let others = match whose {
                Whose::User(user) => namesakes(socket, user)?,
                Whose::All | Whose::Realm(_) => None,
            };
            let others = others.map(|others| format!(" But {others}")).unwrap_or_default();
            writeln!(io::stderr(), "There is no session.{others}")?;
        }
        (false, _) => {}
    }
    Ok(())
}

/// Whom else this name may mean who is signed in, if anybody: the users file and each app's own login have names of their
/// own, and apps tell `Ann` from `ann`.
fn namesakes(socket: &Socket, user: &UserName) -> anyhow::Result<Option<String>> {
    let (mut found, mut after) = (BTreeMap::<(Option<String>, String), usize>::new(), None::<String>);
    let folded = |name: &str| name_of(name).to_lowercase();
    let is_like = |other: &Entry| folded(&other.user) == folded(user.as_str());
    let is_meant = |other: &Entry| other.realm.as_deref() == user.realm() && other.user == user.as_str();
    loop {
        let target = format!("/api/sessions?limit={PAGE}{}", behind(after.as_deref()));
        let page: Listing = socket.ask("GET", &target)?;
        for session in page.sessions.into_iter().filter(|other| is_like(other) && !is_meant(other)) {
            *found.entry((session.realm, session.user)).or_default() += 1;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let told = found.into_iter().map(|((realm, name), count)| match realm {
        Some(realm) => {
            format!("{name} of {realm} has {}: say `{name}` and `--realm {realm}`", sessions(count))
        }
        None => format!("{name} of the users file has {}: say `{name}` without `--realm`", sessions(count)),
    });
    let told: Vec<String> = told.collect();
    Ok((!told.is_empty()).then(|| told.join("; ")))
}

fn show(socket: &Socket, id: &str, json: bool) -> anyhow::Result<()> {
    let session: Entry = socket.ask("GET", &format!("/api/sessions/{id}"))?;
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&session)?)?;
    } else {
        table::write_one(&mut out, &session)?;
    }
    Ok(())
}

fn confirm() -> anyhow::Result<()> {
    let mut question = io::stderr().lock();
    write!(question, "This ends all sessions: everybody must sign in again. Type `yes` to go on: ")?;
    question.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    if answer.trim() == "yes" { Ok(()) } else { bail!("nothing was ended") }
}

fn end_all(socket: &Socket, json: bool) -> anyhow::Result<()> {
    let shows_progress = io::stderr().is_terminal();
    let (mut ended, mut after) = (0, None::<String>);
    loop {
        let target = format!("/api/sessions?all=true{}", behind(after.as_deref()));
        let asked: anyhow::Result<Ended> = socket.ask("DELETE", &target);
        let step = asked.with_context(|| format!("{} ended, but not all", sessions(ended)))?;
        ended += step.ended;
        after = step.next;
        if after.is_none() {
            break;
        }
        if shows_progress {
            write!(io::stderr(), "\r{} ended", sessions(ended))?;
        }
    }
    if shows_progress {
        write!(io::stderr(), "\r\x1b[K")?;
    }
    tell(&Ended { ended, next: None }, json, &format!("{} ended.", sessions(ended)))
}

fn tell(ended: &Ended, json: bool, text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(ended)?)?;
    } else {
        writeln!(out, "{text}")?;
    }
    Ok(())
}

/// The part of a query that goes on where an answer ended.
fn behind(next: Option<&str>) -> String {
    next.map(|next| format!("&after={next}")).unwrap_or_default()
}

fn sessions(count: usize) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
