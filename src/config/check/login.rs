//! How people log in.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::check::Check;
use crate::config::file::LoginFile;
use crate::config::file::ThemeFile;
use crate::login::Attempts;
use crate::login::Settings;
use crate::login::Theme;

/// The heading of the login page.
pub(crate) const TITLE: &str = "Sign in";
/// Failures that are free for an account.
pub(crate) const PER_ACCOUNT: u64 = 5;
/// Failures from one client network: enough for an office behind one address, hopeless for a guesser.
pub(crate) const PER_ADDRESS: (u32, Duration) = (30, Duration::from_mins(15));

/// The login's settings; `needed` if any site has a login.
pub(super) fn login(file: &LoginFile, needed: bool, check: &mut Check<'_>) -> Settings {
    let (per_address, per_address_window) =
        file.attempts.per_address.as_ref().map_or(PER_ADDRESS, |given| given.value.0);
    // NIST SP 800-63B §5.2.2 ends guessing at 100 failures.
    let per_account =
        check.number(file.attempts.per_account.as_ref(), "login.attempts.per_account", (1, 100), PER_ACCOUNT);
    Settings {
        users: users(file, needed, check),
        attempts: Attempts {
            per_account: u32::try_from(per_account).unwrap_or(u32::MAX),
            per_address,
            per_address_window,
        },
        theme: theme(&file.theme, check),
    }
}

fn users(file: &LoginFile, needed: bool, check: &mut Check<'_>) -> PathBuf {
    let given = file.password.users.as_ref();
    let path = check.path(given.map_or("users.yaml", |given| &given.value.0));
    if !needed && given.is_none() {
        return path;
    }
    if let Err(reason) = (check.outside.users)(&path) {
        let text = if path.exists() {
            format!("the users file `{}` cannot be used: {reason}", path.display())
        } else {
            format!("there is no users file at `{}`: nobody could log in", path.display())
        };
        check.findings.missing(
            given.map(|given| given.at),
            text,
            &format!("make it with `vestibule users add NAME --file {}`", path.display()),
        );
    }
    path
}

fn theme(file: &ThemeFile, check: &mut Check<'_>) -> Theme {
    Theme {
        title: file.title.as_ref().map_or(TITLE, |given| &given.value.0).to_owned(),
        logo: file.logo.as_ref().map(|given| check.existing(given, "login.theme.logo")),
        css: file.css.as_ref().map(|given| check.existing(given, "login.theme.css")),
    }
}
