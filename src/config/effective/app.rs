//! The app's own login and logout as they take effect.

use http::HeaderName;
use http::HeaderValue;

use crate::config::effective::Origin;
use crate::config::effective::Table;
use crate::config::effective::list;
use crate::config::effective::optional;
use crate::config::file::app::SiteLoginFile;
use crate::config::file::site::SiteFile;
use crate::config::words::Choice;
use crate::route::AppLogin;
use crate::route::AppLogout;
use crate::route::SiteLogin;
use crate::route::UserSource;

/// How people log in.
pub(super) fn login(file: &SiteFile, login: &SiteLogin, table: &mut Table) {
    let origin = Origin::of(file.login.as_ref());
    match login {
        SiteLogin::None => table.row("login", "none", origin),
        SiteLogin::Own => table.row("login", "all", origin),
        SiteLogin::App(app) => app_login(file, app, table),
    }
}

fn app_login(file: &SiteFile, app: &AppLogin, table: &mut Table) {
    let Some(SiteLoginFile::App(block)) = file.login.as_ref().map(|given| &given.value) else { return };
    let written = block.app.as_ref().map(|given| &given.value);
    let user = written.and_then(|file| file.user.as_ref()).map(|given| &given.value);
    table.row("login.app.page", &app.page, Origin::of(written.and_then(|file| file.page.as_ref())));
    let return_to = Origin::of(written.and_then(|file| file.return_to.as_ref()));
    table.row("login.app.return_to", optional(app.return_to.as_ref()), return_to);
    table.row("login.app.submit", &app.submit, Origin::of(written.and_then(|file| file.submit.as_ref())));
    table.row("login.app.user.field", &app.field, Origin::of(user.and_then(|user| user.field.as_ref())));
    match &app.user {
        UserSource::Form => {}
        UserSource::Header(name) => table.row("login.app.user.header", name, Origin::Written),
        UserSource::Json(way) => table.row("login.app.user.json", way, Origin::Written),
    }
    success(app, table);
}

fn success(app: &AppLogin, table: &mut Table) {
    let rule = &app.success;
    let statuses: Vec<u16> = rule.status.iter().map(http::StatusCode::as_u16).collect();
    if !statuses.is_empty() {
        table.row("login.app.success.status", list(&statuses), Origin::Written);
    }
    if rule.location.is_empty() {
        table.row("login.app.success.location", "anywhere but the login", Origin::Default);
    } else {
        table.row("login.app.success.location", list(&rule.location), Origin::Written);
    }
    if let Some(name) = &rule.set_cookie {
        table.row("login.app.success.set_cookie", name, Origin::Written);
    }
    if let Some((name, value)) = &rule.header {
        table.row("login.app.success.header", header(name, value.as_ref()), Origin::Written);
    }
    for (way, value) in &rule.json {
        table.row(&format!("login.app.success.json.{way}"), value, Origin::Written);
    }
}

fn header(name: &HeaderName, value: Option<&HeaderValue>) -> String {
    let value = value.and_then(|value| value.to_str().ok());
    value.map_or_else(|| name.to_string(), |value| format!("{name}: {value}"))
}

/// The app's own logout.
pub(super) fn logout(file: &SiteFile, logout: Option<&AppLogout>, table: &mut Table) {
    let written = file.logout.as_ref();
    let Some(logout) = logout else { return table.row("logout", "none", Origin::of(written)) };
    table.row("logout.path", list(&logout.paths), Origin::Written);
    let tell_app = Origin::of(written.and_then(|given| given.value.0.tell_app.as_ref()));
    table.row("logout.tell_app", logout.tell_app.word(), tell_app);
}
