//! `vestibule users`: the users file, edited safely while the gateway runs.

mod htpasswd;

use std::fs;
use std::io;
use std::io::BufRead as _;
use std::io::IsTerminal as _;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use clap::Subcommand;

use crate::cli::users::htpasswd::Imported;
use crate::crypto::Secret;
use crate::identity::user::UserName;
use crate::login::hash::Hash;
use crate::login::hash::Password;
use crate::login::policy::new_password;
use crate::login::users::document::Entry;
use crate::login::users::file;
use crate::login::users::file::UsersError;
use crate::login::users::name_of;

/// Edits the users file. It is made if it is missing, with mode 0600; a running gateway sees the change within a second.
#[derive(Debug, Args)]
pub struct Users {
    /// The users file.
    #[arg(long, global = true, default_value = "users.yaml", value_name = "FILE")]
    file: PathBuf,
    #[command(subcommand)]
    action: UsersAction,
}

/// What to do with the users file.
#[derive(Debug, Subcommand)]
pub enum UsersAction {
    /// Add a user; the password is asked for, or is one line of standard input.
    Add {
        /// The user's name.
        name: String,
        /// The user's groups, separated by commas.
        #[arg(long, value_delimiter = ',', value_name = "A,B")]
        groups: Vec<String>,
        /// The user's mail address.
        #[arg(long)]
        email: Option<String>,
        /// The name a person would say.
        #[arg(long = "name", value_name = "FULL NAME")]
        display_name: Option<String>,
        /// Ask for another password at the first login.
        #[arg(long)]
        must_change: bool,
    },
    /// Remove a user; their sessions end.
    Remove {
        /// The user's name.
        name: String,
    },
    /// List all users.
    List,
    /// Give a user a new password, and open an account that was closed after too many failures; their sessions end.
    Passwd {
        /// The user's name.
        name: String,
        /// Ask for another password at the next login.
        #[arg(long)]
        must_change: bool,
    },
    /// Take over the users of an Apache htpasswd file whose hashes are bcrypt (`htpasswd -B`). They keep their passwords.
    ImportHtpasswd {
        /// The htpasswd file.
        htpasswd: PathBuf,
        /// Groups for all of them, separated by commas.
        #[arg(long, value_delimiter = ',', value_name = "A,B")]
        groups: Vec<String>,
    },
}

/// Does what was asked.
pub fn run(arguments: Users) -> anyhow::Result<()> {
    let path = &arguments.file;
    match arguments.action {
        UsersAction::Add { name, groups, email, display_name, must_change } => {
            refuse_if_there(path, &name)?;
            let password = choose_password(&[&name])?;
            let entry = Entry {
                password: Hash::make(&password).text(),
                email,
                name: display_name,
                groups,
                must_change,
                disabled: false,
            };
            add(path, &name, entry)?;
            say(&format!("{name} is added to {}.", path.display()))
        }
        UsersAction::Remove { name } => {
            file::edit(path, |document| {
                document.remove(&name).then_some(()).ok_or_else(|| UsersError::NoSuchUser(name.clone()))
            })?;
            say(&format!("{name} is removed. Sessions of {name} end within a second."))
        }
        UsersAction::List => list(path),
        UsersAction::Passwd { name, must_change } => passwd(path, &name, must_change),
        UsersAction::ImportHtpasswd { htpasswd, groups } => import(path, &htpasswd, &groups),
    }
}

/// Adds a user to the users file; for `quickstart` too.
pub fn add(path: &Path, name: &str, entry: Entry) -> Result<(), UsersError> {
    file::edit(path, |document| {
        document.add(name, entry).then_some(()).ok_or_else(|| UsersError::Exists(name.to_owned()))
    })
}

/// Asks for a new password that keeps the policy: on a terminal without echo and twice, else one line of standard input.
pub(crate) fn choose_password(context: &[&str]) -> anyhow::Result<Password> {
    let mut context = context.to_vec();
    context.push("vestibule");
    if !io::stdin().is_terminal() {
        return Ok(new_password(line()?.expose(), &context)?);
    }
    loop {
        let first = Secret::new(rpassword::prompt_password("New password: ")?);
        let password = match new_password(first.expose(), &context) {
            Ok(password) => password,
            Err(problem) => {
                writeln!(io::stderr(), "{problem}")?;
                continue;
            }
        };
        let second = Secret::new(rpassword::prompt_password("The same again: ")?);
        if first.expose() == second.expose() {
            return Ok(password);
        }
        writeln!(io::stderr(), "The two are not the same. Once more.")?;
    }
}

/// One line of standard input, without its line ending; what exceeds any password is refused with it.
fn line() -> anyhow::Result<Secret<String>> {
    const MOST: u64 = 8192;
    let mut text = String::new();
    let input = io::stdin().lock().take(MOST).read_line(&mut text);
    let text = Secret::new(text);
    input.context("cannot read the password from standard input")?;
    if text.expose().is_empty() {
        bail!("no password was given: write it as one line of standard input, or run this on a terminal");
    }
    let bare = text.expose().strip_suffix('\n').unwrap_or(text.expose());
    Ok(Secret::new(bare.strip_suffix('\r').unwrap_or(bare).to_owned()))
}

/// Before a password is asked for in vain.
fn refuse_if_there(path: &Path, name: &str) -> anyhow::Result<()> {
    let Some(parsed) = UserName::parse(&name_of(name)).filter(|_| name.trim() == name) else {
        bail!(
            "{name:?} is no user name: it has 1 to 128 characters, none that is not seen, no space at either end"
        );
    };
    match file::load(path) {
        Ok(loaded) if loaded.users.get(&parsed).is_some() => Err(UsersError::Exists(name.to_owned()).into()),
        Ok(_) | Err(UsersError::Missing { .. }) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

fn passwd(path: &Path, name: &str, must_change: bool) -> anyhow::Result<()> {
    let known = file::load(path)?;
    if UserName::parse(&name_of(name)).is_none_or(|name| known.users.get(&name).is_none()) {
        return Err(UsersError::NoSuchUser(name.to_owned()).into());
    }
    let hash = Hash::make(&choose_password(&[name])?);
    file::edit(path, |document| {
        let entry = document.get_mut(name).ok_or_else(|| UsersError::NoSuchUser(name.to_owned()))?;
        entry.password = hash.text();
        entry.must_change = must_change;
        Ok(())
    })?;
    say(&format!("{name} has a new password. Sessions of {name} end within a second."))
}

fn list(path: &Path) -> anyhow::Result<()> {
    let loaded = file::load(path)?;
    for warning in &loaded.warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    let mut out = io::stdout().lock();
    for account in loaded.users.iter() {
        let mut columns = vec![account.user.name.to_string()];
        if !account.user.groups().is_empty() {
            columns.push(format!("groups: {}", account.user.groups().join(",")));
        }
        columns.extend(account.user.email().map(str::to_owned));
        columns.extend(account.must_change.then(|| "must change password".to_owned()));
        columns.extend(account.disabled.then(|| "disabled".to_owned()));
        writeln!(out, "{}", columns.join("\t"))?;
    }
    Ok(())
}

fn import(path: &Path, htpasswd: &Path, groups: &[String]) -> anyhow::Result<()> {
    let text = fs::read_to_string(htpasswd).with_context(|| format!("cannot read {}", htpasswd.display()))?;
    let Imported { users, problems } = htpasswd::parse(&text);
    for problem in &problems {
        writeln!(io::stderr(), "{}:{problem}", htpasswd.display())?;
    }
    if users.is_empty() {
        bail!("nobody in {} can be taken over", htpasswd.display());
    }
    let (added, there) = file::edit(path, |document| {
        let total = users.len();
        let mut there = Vec::new();
        for (name, hash) in users {
            let entry = Entry { password: hash.text(), groups: groups.to_vec(), ..Entry::default() };
            if !document.add(&name, entry) {
                there.push(name);
            }
        }
        Ok((total - there.len(), there))
    })?;
    for name in &there {
        writeln!(io::stderr(), "there is a user {name:?} already, who stays as they are")?;
    }
    say(&format!("{added} users are taken over into {}.", path.display()))?;
    match problems.len() + there.len() {
        0 => Ok(()),
        left_out => bail!("{left_out} lines were left out"),
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        users: Users,
    }

    fn act(path: &Path, line: &[&str]) -> anyhow::Result<()> {
        let file = path.to_str().unwrap();
        let words = [&["users"], line, &["--file", file]].concat();
        run(Line::try_parse_from(words)?.users)
    }

    #[test]
    fn people_are_taken_over_listed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, htpasswd) = (directory.path().join("users.yaml"), directory.path().join("htpasswd"));
        fs::write(&htpasswd, format!("alice:$2y$05${0}\nbob:$2y$05${0}\n", ".".repeat(53))).unwrap();
        let import = ["import-htpasswd", htpasswd.to_str().unwrap(), "--groups", "staff,admins"];
        act(&path, &import).unwrap();
        assert!(act(&path, &import).unwrap_err().to_string().contains("2 lines were left out"));
        act(&path, &["list"]).unwrap();
        act(&path, &["remove", "bob"]).unwrap();
        assert!(act(&path, &["remove", "bob"]).unwrap_err().to_string().contains("no user"));
        let users = file::load(&path).unwrap().users;
        let alice = users.get(&UserName::parse("alice").unwrap()).unwrap();
        assert!(alice.user.is_in("admins") && users.len() == 1);
    }

    #[test]
    fn a_user_who_is_there_is_refused_before_a_password_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.yaml");
        let hash = Hash::make(&Password::new("any").unwrap()).text();
        add(&path, "alice", Entry { password: hash, ..Entry::default() }).unwrap();
        assert!(act(&path, &["add", "alice"]).unwrap_err().to_string().contains("already"));
        assert!(act(&path, &["add", " alice"]).unwrap_err().to_string().contains("no user name"));
        assert!(act(&path, &["passwd", "bob"]).unwrap_err().to_string().contains("no user"));
    }
}
