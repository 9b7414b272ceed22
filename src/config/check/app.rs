//! The app's own login and logout.

use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::header::CONNECTION;
use http::header::CONTENT_LENGTH;
use http::header::CONTENT_TYPE;
use http::header::DATE;
use http::header::SERVER;
use http::header::TRANSFER_ENCODING;
use http::header::VARY;

use crate::access::path::CanonicalPath;
use crate::access::path::Pattern;
use crate::access::rules::Allow;
use crate::access::rules::CrossSite;
use crate::access::rules::Rule;
use crate::config::check::Check;
use crate::config::check::rules;
use crate::config::file::app::AppLoginFile;
use crate::config::file::app::LogoutFile;
use crate::config::file::app::SuccessFile;
use crate::config::file::app::UserFile;
use crate::config::read::Given;
use crate::config::read::OneOrMany;
use crate::config::tree::At;
use crate::config::units::Text;
use crate::net::Host;
use crate::route::AppLogin;
use crate::route::AppLogout;
use crate::route::FieldPath;
use crate::route::Site;
use crate::route::Success;
use crate::route::TellApp;
use crate::route::UserSource;

/// Where most login pages are.
pub(crate) const PAGE: &str = "/login";
/// What Flask-Login and Django call the way back.
pub(crate) const RETURN_TO: &str = "next";
/// What most forms call the user.
pub(crate) const FIELD: &str = "username";

/// The login of a site that answers to `hosts` at `mount`.
pub(super) fn login(
    given: &Given<AppLoginFile>,
    (hosts, mount): (&[Host], &str),
    check: &mut Check<'_>,
) -> AppLogin {
    let file = &given.value;
    let page = path("login.app.page", file.page.as_ref(), mount, check);
    let page = page.unwrap_or_else(|| default_page(file.page.is_some(), given.at, mount, check));
    let submit = path("login.app.submit", file.submit.as_ref(), mount, check);
    let none = SuccessFile::default();
    let user = file.user.as_ref().map(|given| &given.value);
    let return_to = file
        .return_to
        .as_ref()
        .map_or(Some(RETURN_TO), |given| given.value.0.as_ref().map(|name| name.0.as_str()));
    let app = AppLogin {
        realm: Site::name_of(hosts, mount).unwrap_or_default().into(),
        submit: submit.unwrap_or_else(|| page.clone()),
        page,
        return_to: return_to.map(Box::from),
        field: user.and_then(|user| user.field.as_ref()).map_or(FIELD, |field| &field.value.0).into(),
        user: user.map_or(UserSource::Form, |user| source(user, check)),
        success: success(file.success.as_ref().map_or(&none, |given| &given.value), check),
    };
    if let Some(given) = &file.success {
        prove(&app, given.at, check);
    }
    if let Some(given) = user.and_then(|user| user.field.as_ref()).filter(|given| is_password(&given.value.0))
    {
        check.findings.error(
            given.at,
            format!(
                "`login.app.user.field`: `{}` names a password, which would be everybody's name",
                given.value.0
            ),
            "name the field in which people type who they are, such as `username`",
        );
    }
    for (key, given) in [("page", &file.page), ("submit", &file.submit)] {
        let front = |written: &str| written.trim_end_matches('/') == mount.trim_end_matches('/');
        let Some(given) = given.as_ref().filter(|given| front(&given.value.0)) else { continue };
        check.findings.warning(
            Some(given.at),
            format!("`login.app.{key}` is the front page, which is open to everybody then: also to whoever comes after somebody whom the app still knows"),
            "name a page that shows nothing but the login if there is one, or keep the app's cookies in the vault",
        );
    }
    app
}

/// The app's logout, whose paths are below `mount`.
pub(super) fn logout(given: &Given<LogoutFile>, mount: &str, check: &mut Check<'_>) -> Option<AppLogout> {
    let file = &given.value.0;
    let written = file.path.as_ref()?;
    if written.value.is_empty() {
        let help = "name it, such as `logout: /logout`, or remove the line";
        check.findings.error(written.at, "`logout` names no path".to_owned(), help);
    }
    let paths: Vec<Pattern> =
        written.value.values.iter().filter_map(|given| path("logout", Some(given), mount, check)).collect();
    for given in &written.value.values {
        if given.value.0.trim_end_matches('/') == mount.trim_end_matches('/') {
            check.findings.error(
                given.at,
                format!(
                    "`logout`: `{}` is the front page: whoever opens it would be logged out",
                    given.value.0
                ),
                "name the path that the app's logout link leads to, such as `/logout`",
            );
        }
    }
    let tell_app = file.tell_app.as_ref().map_or(TellApp::Off, |given| given.value);
    (!paths.is_empty()).then_some(AppLogout { paths, tell_app })
}

/// What a rule of a site says that its app's login makes untrue, or unsafe.
pub(super) fn rule(at: At, rule: &Rule, app: &AppLogin, check: &mut Check<'_>) {
    if matches!(rule.allow, Allow::Groups(_)) {
        check.findings.warning(
            Some(at),
            "this rule lets nobody in: an app's own login tells of no groups".to_owned(),
            "allow `authenticated` or `{ users: […] }`, and leave the rest to the app",
        );
    }
    if matches!(rule.allow, Allow::Nobody) && rule.path.covers(&app.page) {
        check.findings.warning(
            Some(at),
            format!("`{}` is open all the same: it is the login page", app.page),
            "whoever has yet to log in must get there; narrow the rule, or name another page",
        );
    }
    if rule.cross_site == CrossSite::Resubmit && rule.path.covers(&app.submit) {
        check.findings.error(
            at,
            format!("the rule has forms of other sites sent once more to `{}`, the login", app.submit),
            "narrow its path: another site could log people in as somebody else",
        );
    }
}

/// One path of the app's, written decoded and whole.
fn path(key: &str, given: Option<&Given<Text>>, mount: &str, check: &mut Check<'_>) -> Option<Pattern> {
    let given = given?;
    let text = given.value.0.as_str();
    let whole = Pattern::parse(text).ok().filter(|_| !text.ends_with('*'));
    let canonical = whole.as_ref().and_then(|_| CanonicalPath::parse(&encoded(text)).ok());
    let Some((pattern, canonical)) = whole.zip(canonical) else {
        check.findings.error(
            given.at,
            format!("`{key}`: `{text}` is not a path of its own"),
            "write one path as the app has it, without host and query, such as `/login`",
        );
        return None;
    };
    if rules::is_own(text) {
        check.findings.error(
            given.at,
            format!("`{key}`: everything below `/.vestibule/` is the gateway's own"),
            "name the app's own path",
        );
    } else if !canonical.is_within(mount) {
        check.findings.error(
            given.at,
            format!("`{key}`: `{text}` is never reached: the site holds `{mount}` and what is below it"),
            &format!("write the whole path, such as `{}{text}`", mount.trim_end_matches('/')),
        );
    }
    Some(pattern)
}

fn encoded(text: &str) -> String {
    const ESCAPED: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b' ');
    percent_encoding::utf8_percent_encode(text, ESCAPED).to_string()
}

/// The usual page, which may not be the site's.
fn default_page(is_written: bool, at: At, mount: &str, check: &mut Check<'_>) -> Pattern {
    if mount != "/" && !is_written {
        check.findings.error(
            at,
            format!(
                "`login.app.page` is `{PAGE}` where nothing else is written, and this site holds `{mount}`"
            ),
            &format!("write where the login page is, such as `page: {mount}{PAGE}`"),
        );
    }
    Pattern::parse(PAGE).unwrap_or_else(|_impossible| Pattern::everything())
}

fn source(file: &UserFile, check: &mut Check<'_>) -> UserSource {
    if let (Some(_), Some(json)) = (&file.header, &file.json) {
        check.findings.error(
            json.at,
            "`login.app.user`: the answer's head and its JSON cannot both say who it is".to_owned(),
            "keep one of `header` and `json`; `field` may stay: it says whose attempt it is",
        );
    }
    match (&file.header, &file.json) {
        (Some(header), _) => UserSource::Header(header.value.0.clone()),
        (None, Some(json)) => way(&json.value.0, "login.app.user.json", json.at, check)
            .map_or(UserSource::Form, UserSource::Json),
        (None, None) => UserSource::Form,
    }
}

fn way(text: &str, key: &str, at: At, check: &mut Check<'_>) -> Option<FieldPath> {
    let way = FieldPath::parse(text);
    if way.is_none() {
        check.findings.error(
            at,
            format!("`{key}`: `{text}` is not the way to a value"),
            "write names with dots between them, from the outermost in, such as `user.name`",
        );
    }
    way
}

fn success(file: &SuccessFile, check: &mut Check<'_>) -> Success {
    let mut success = Success::default();
    for given in values(file.status.as_ref(), "status", check) {
        let status = u16::try_from(given.value).ok().filter(|status| (200..400).contains(status));
        match status.and_then(|status| StatusCode::from_u16(status).ok()) {
            Some(status) => success.status.push(status),
            None => check.findings.error(
                given.at,
                format!("`login.app.success.status`: {} is no status of a successful login", given.value),
                "write one from 200 to 399, such as `302`",
            ),
        }
    }
    for given in values(file.location.as_ref(), "location", check) {
        match Pattern::parse(&given.value.0) {
            Ok(pattern) => success.location.push(pattern),
            Err(error) => check.findings.error(
                given.at,
                format!("`{}` is not a pattern of paths: {error}", given.value.0),
                "write the path that the app leads to, without host and query, such as `/home` or `/home/*`",
            ),
        }
    }
    success.set_cookie = file.set_cookie.as_ref().map(|given| given.value.0.as_str().into());
    success.header = file.header.as_ref().and_then(|given| field(given, check));
    for (name, value) in file.json.iter().flat_map(|given| &given.value.0) {
        let way = way(&name.value, "login.app.success.json", name.at, check);
        success.json.extend(way.map(|way| (way, value.clone())));
    }
    success
}

fn values<'a, T: schemars::JsonSchema>(
    given: Option<&'a Given<OneOrMany<T>>>,
    key: &str,
    check: &mut Check<'_>,
) -> &'a [Given<T>] {
    let Some(given) = given else { return &[] };
    if given.value.is_empty() {
        let text = format!("`login.app.success.{key}` is empty: no answer would be a success");
        check.findings.error(given.at, text, "name some, or remove the line");
    }
    &given.value.values
}

/// `Name`, or `Name: value`.
fn field(given: &Given<Text>, check: &mut Check<'_>) -> Option<(HeaderName, Option<HeaderValue>)> {
    let (name, value) = match given.value.0.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (given.value.0.trim(), None),
    };
    let name = HeaderName::from_bytes(name.as_bytes());
    let value = value.map(HeaderValue::from_str).transpose();
    if let (Ok(name), Ok(value)) = (name, value) {
        return Some((name, value));
    }
    check.findings.error(
        given.at,
        format!("`login.app.success.header`: `{}` is no header", given.value.0),
        "write a name such as `X-Login`, or with its value \"X-Login: ok\"",
    );
    None
}

/// Whether a form's field of this name holds a password.
fn is_password(field: &str) -> bool {
    let field = field.to_lowercase();
    ["password", "passwd", "passwort", "pwd"].iter().any(|word| field.contains(word))
        || ["pass", "secret"].contains(&&*field)
}

/// Whether every answer has such a field, whatever it says.
fn is_in_any(name: &HeaderName) -> bool {
    [CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, SERVER, TRANSFER_ENCODING, VARY]
        .contains(name)
}

/// What apps say of a login that fails, too, is no success: a wrong password would begin a session.
fn tell_apart(rule: &Success, at: At, check: &mut Check<'_>) {
    let body = !rule.json.is_empty();
    if rule.header.as_ref().is_some_and(|(name, value)| value.is_none() && is_in_any(name)) {
        check.findings.error(
            at,
            "`login.app.success.header`: every answer has such a header, also one that says no".to_owned(),
            "name one that the app sends after a login that succeeds and no other, or say its value",
        );
    }
    if body || !rule.location.is_empty() || rule.header.is_some() {
        return;
    }
    let pages = rule.status.iter().any(StatusCode::is_success);
    if pages && rule.set_cookie.is_none() {
        check.findings.warning(
            Some(at),
            "`login.app.success`: many apps answer 200 to a wrong password too, with the form once more".to_owned(),
            "try a wrong password and look at the answer; where that is 200, ask for a `location`, a header or `json`",
        );
    }
    if rule.status.is_empty() && rule.set_cookie.is_some() {
        check.findings.warning(
            Some(at),
            "`login.app.success`: many apps set that cookie at a wrong password too".to_owned(),
            "try one and look at the answer; add the `status` of a login that succeeds, such as `status: 302`",
        );
    }
}

/// What is asked for must be something, and possible together.
fn prove(app: &AppLogin, at: At, check: &mut Check<'_>) {
    let rule = &app.success;
    if rule.is_empty() {
        check.findings.error(
            at,
            "`login.app.success` asks for nothing: no answer would be a success".to_owned(),
            "say how the app answers a login that succeeds and no other, such as `success: { status: 302 }`",
        );
        return;
    }
    tell_apart(rule, at, check);
    if app.user == UserSource::Form && (rule.header.is_some() || !rule.json.is_empty()) {
        check.findings.warning(
            Some(at),
            "`login.app`: the answer says that somebody is in, and the form who: if the app passes people on whom it knows, whatever they type, they are let in under any name".to_owned(),
            "take the name from the answer where it has one, such as `user: { json: user.name }` or `user: { header: X-User }`",
        );
    }
    let redirects = |status: &StatusCode| status.is_redirection();
    let named = !rule.status.is_empty();
    if named && !rule.location.is_empty() && !rule.status.iter().any(redirects) {
        check.findings.warning(
            Some(at),
            "no answer can be a success: `location` asks for a redirect, and `status` for none".to_owned(),
            "remove one of them, or add `302` to `status`",
        );
    }
    if named && app.reads_json() && rule.status.iter().all(redirects) {
        check.findings.warning(
            Some(at),
            "no answer can be a success: a redirect has no JSON that says something".to_owned(),
            "write `status: 200`, or take `json` out",
        );
    }
}
