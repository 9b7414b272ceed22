//! How people log in.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::check::Check;
use crate::config::check::session;
use crate::config::file::File;
use crate::config::file::LoginFile;
use crate::config::file::ThemeFile;
use crate::config::file::site::SiteSessionFile;
use crate::login::Attempts;
use crate::login::Missing;
use crate::login::Settings;
use crate::login::Theme;
use crate::net::Host;
use crate::route::LoginHost;
use crate::route::Site;

/// The heading of the login page.
pub(crate) const TITLE: &str = "Sign in";
/// Failures that are free for an account.
pub(crate) const PER_ACCOUNT: u64 = 5;
/// Failures from one client network: enough for an office behind one address, hopeless for a guesser.
pub(crate) const PER_ADDRESS: (u32, Duration) = (30, Duration::from_mins(15));

/// What was acted on of the users file, in `state_dir`.
const SEEN: &str = "users.seen";

/// The login's own host, if it has one.
pub(super) fn own_host(file: &LoginFile) -> Option<&Host> {
    file.host.as_ref()?.value.0.as_ref().map(|name| &name.0)
}

/// The login's settings, for these sites.
pub(super) fn login(all: &File, sites: &[Site], state_dir: &Path, check: &mut Check<'_>) -> Settings {
    let file = &all.login;
    let needed = sites.iter().any(|site| site.login.is_own());
    let (per_address, per_address_window) =
        file.attempts.per_address.as_ref().map_or(PER_ADDRESS, |given| given.value.0);
    // NIST SP 800-63B §5.2.2 ends guessing at 100 failures.
    let per_account =
        check.number(file.attempts.per_account.as_ref(), "login.attempts.per_account", (1, 100), PER_ACCOUNT);
    Settings {
        host: host(all, sites, check),
        same_site: session::same_site(&all.session),
        users: users(file, needed, check),
        missing_users: if needed { Missing::Error } else { Missing::Nobody },
        seen: state_dir.join(SEEN),
        realms: sites.iter().filter_map(Site::realm).map(Box::from).collect(),
        attempts: Attempts {
            per_account: u32::try_from(per_account).unwrap_or(u32::MAX),
            per_address,
            per_address_window,
        },
        theme: theme(&file.theme, check),
    }
}

fn host(all: &File, sites: &[Site], check: &mut Check<'_>) -> Option<LoginHost> {
    let at = all.login.host.as_ref()?.at;
    let host = own_host(&all.login)?;
    let taken = sites.iter().find(|site| site.hosts.contains(host));
    if let Some(site) = taken {
        check.findings.error(
            at,
            format!("`login.host`: site {} answers to `{host}` already", site.id + 1),
            "name a host that no app has, such as `login.example.com`: passwords are to be typed where no app's scripts run",
        );
    } else if !sites.iter().any(|site| site.login.is_own()) {
        check.findings.warning(
            Some(at),
            format!("nobody is ever sent to `{host}`: no site has a login of the gateway's"),
            "remove the line, or write `login: all` in a site",
        );
    }
    let policy = session::policy(&SiteSessionFile::default(), &all.session, check);
    Some(LoginHost::new(host.clone(), policy, sites))
}

fn users(file: &LoginFile, needed: bool, check: &mut Check<'_>) -> PathBuf {
    let given = file.password.users.as_ref();
    let path = check.path(given.map_or("users.yaml", |given| &given.value.0));
    if given.is_none() && (!needed || check.findings.is_unread("login.password.users")) {
        return path;
    }
    let at = given.map(|given| given.at);
    if let Err(reason) = (check.outside.users)(&path) {
        let text = if path.exists() {
            format!("the users file `{}` cannot be used: {reason}", path.display())
        } else {
            format!("there is no users file at `{}`: nobody could log in", path.display())
        };
        let help = if path.exists() {
            "mend it there; until then nobody could log in".to_owned()
        } else {
            let another = if given.is_none() { ", or name yours in `login.password.users`" } else { "" };
            format!("make it with `vestibule users add NAME --file {}`{another}", path.display())
        };
        check.findings.missing(at, text, &help);
    }
    check.private(&path, at, "the users file", "with it passwords are guessed in peace, or replaced");
    path
}

fn theme(file: &ThemeFile, check: &mut Check<'_>) -> Theme {
    Theme {
        title: file.title.as_ref().map_or(TITLE, |given| &given.value.0).to_owned(),
        logo: file.logo.as_ref().map(|given| check.existing(given, "login.theme.logo")),
        css: file.css.as_ref().map(|given| check.existing(given, "login.theme.css")),
    }
}
