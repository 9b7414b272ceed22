//! The apps behind the gateway.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::access::csrf::Csrf;
use crate::config::check::Check;
use crate::config::check::app;
use crate::config::check::clocks;
use crate::config::check::conflicts;
use crate::config::check::cookies;
use crate::config::check::identity;
use crate::config::check::rules;
use crate::config::check::session;
use crate::config::check::upstream;
use crate::config::check::warn;
use crate::config::file::File;
use crate::config::file::SessionFile;
use crate::config::file::app::SiteLoginFile;
use crate::config::file::site::HeadersFile;
use crate::config::file::site::SiteFile;
use crate::config::file::site::SiteSessionFile;
use crate::config::file::site::UpstreamBlock;
use crate::config::read::Given;
use crate::config::read::OrNull;
use crate::config::units::Text;
use crate::headers::harden::CachePolicy;
use crate::headers::harden::Hsts;
use crate::headers::harden::ResponsePolicy;
use crate::net::Host;
use crate::route::AppLogout;
use crate::route::Mode;
use crate::route::ServiceWorkers;
use crate::route::Site;
use crate::route::SiteLogin;

/// All sites; `names` are the hosts of those that name none, if they are known.
pub(super) fn sites(file: &File, names: Option<&[Host]>, check: &mut Check<'_>) -> Vec<Site> {
    let Some(list) = &file.sites else {
        return Vec::new();
    };
    if list.value.is_empty() {
        check.findings.error(
            list.at,
            "there is no site".to_owned(),
            "name the app at least: `sites: [ { upstream: http://127.0.0.1:5000 } ]`",
        );
    }
    let all = |(id, given): (usize, &Given<SiteFile>)| site(id, given, (file, names), check);
    let sites: Vec<Site> = list.value.iter().enumerate().map(all).collect();
    conflicts::conflicts(&list.value, &sites, check);
    sites
}

fn site(
    id: usize,
    given: &Given<SiteFile>,
    (all, names): (&File, Option<&[Host]>),
    check: &mut Check<'_>,
) -> Site {
    let file = &given.value;
    let none = UpstreamBlock::default();
    let upstream = file.upstream.as_ref().map_or(&none, |given| &given.value.0);
    let own_body = file.limits.body.as_ref().or(all.limits.body.as_ref());
    switches(file, check);
    let is_unread = check.findings.is_unread(&format!("sites[{id}].hosts"));
    let hosts = hosts(given, names.filter(|_| !is_unread), check);
    let mount = file.path.as_ref().map_or_else(|| "/".to_owned(), |path| mount(path, check));
    let login = login(file, (&hosts, &mount), check);
    let lifetime = clocks::of_site(&file.session, &all.session, &login, check);
    session::within(&file.session, lifetime, check);
    let responses = responses(file, check);
    let resume = file.session.resume_window.as_ref().filter(|given| !given.value.0.is_zero());
    if let Some(given) = resume.filter(|_| !responses.cookies.keep_any()) {
        check.findings.warning(
            Some(given.at),
            "`resume_window` has no effect here: the site keeps no cookies of the app in the vault"
                .to_owned(),
            "write `cookies: vault`, or remove the line",
        );
    }
    let warning = warn::before(&file.session, &all.session, lifetime, check);
    let mode = file.mode.as_ref().map_or(Mode::Enforce, |given| given.value);
    warn::without_effect(&file.session, login.is_some(), mode, check);
    Site {
        id,
        mode,
        lifetime,
        session: session::policy(&file.session, &all.session, check),
        csrf: file.csrf.as_ref().map_or(Csrf::SameOrigin, |given| given.value),
        responses,
        warning: warning.filter(|_| login.is_some() && mode == Mode::Enforce),
        hold_forms: hold_forms(&file.session, &all.session, check),
        service_workers: file.service_workers.as_ref().map_or(ServiceWorkers::Deny, |given| given.value),
        body_limit: own_body.and_then(|given| given.value.0.as_ref()).map(|size| size.0),
        rules: rules::rules(file, &login, &mount, check),
        logout: logout(file, &login, &mount, check),
        login,
        mount,
        identity: identity::headers(&file.identity, &all.identity, check),
        upstream: upstream::upstream(upstream, &all.limits, &hosts, check),
        hosts,
    }
}

/// Long enough to sign in, and to look up a password before.
const HOLD_FORMS: Duration = Duration::from_mins(10);

/// What somebody sent is not to lie about for longer.
const HOLD_FORMS_LONGEST: Duration = Duration::from_hours(1);

/// How long forms are held. What stands for all sites is judged with the first that has nothing of its own.
fn hold_forms(site: &SiteSessionFile, all: &SessionFile, check: &mut Check<'_>) -> Duration {
    let Some(given) = site.hold_forms.as_ref().or(all.hold_forms.as_ref()) else { return HOLD_FORMS };
    if given.value.0 > HOLD_FORMS_LONGEST {
        let shown = humantime::format_duration(given.value.0);
        check.findings.error(
            given.at,
            format!("`hold_forms` ({shown}) is longer than an hour"),
            "what somebody sent is not to lie about for long: write `1h` or less; the default is `10m`",
        );
    }
    given.value.0
}

fn login(file: &SiteFile, place: (&[Host], &str), check: &mut Check<'_>) -> SiteLogin {
    match file.login.as_ref().map(|given| &given.value) {
        None | Some(SiteLoginFile::Own) => SiteLogin::Own,
        Some(SiteLoginFile::None) => SiteLogin::None,
        Some(SiteLoginFile::App(block)) => match &block.app {
            Some(given) => SiteLogin::App(Arc::new(app::login(given, place, check))),
            // What is wrong with it was noted.
            None => SiteLogin::Own,
        },
    }
}

fn logout(file: &SiteFile, login: &SiteLogin, mount: &str, check: &mut Check<'_>) -> Option<AppLogout> {
    let given = file.logout.as_ref()?;
    if !login.is_some() {
        check.findings.error(
            given.at,
            "`logout`: there is no session to end, since this site has no login".to_owned(),
            "remove the line, or `login: none`",
        );
    }
    app::logout(given, mount, check)
}

/// Protection that is switched off is said at every start.
fn switches(file: &SiteFile, check: &mut Check<'_>) {
    if let Some(given) = file.mode.as_ref().filter(|given| given.value == Mode::Observe) {
        check.findings.warning(
            Some(given.at),
            "`mode: observe` protects nothing: requests without a login reach the app".to_owned(),
            "read the log for what would have been refused, then remove the line",
        );
    }
    if let Some(given) = file.csrf.as_ref().filter(|given| given.value == Csrf::Off) {
        check.findings.warning(
            Some(given.at),
            "`csrf: off`: other sites can act in the name of whoever is logged in".to_owned(),
            "only for an app that checks this itself; `report` lets requests through too, but logs them",
        );
    }
}

fn hosts(given: &Given<SiteFile>, names: Option<&[Host]>, check: &mut Check<'_>) -> Vec<Host> {
    let Some(written) = &given.value.hosts else {
        if names.is_some_and(<[Host]>::is_empty) {
            check.findings.error(
                given.at,
                "the site has no `hosts`, and no certificate names any".to_owned(),
                "write `hosts: [app.example.com]`: the names that people type",
            );
        }
        return names.unwrap_or_default().to_vec();
    };
    if written.value.is_empty() {
        check.findings.error(
            written.at,
            "`hosts` is empty: the site would never be reached".to_owned(),
            "name them, or remove the line for the names on the certificates",
        );
    }
    let mut hosts: Vec<Host> = Vec::new();
    for host in &written.value.values {
        if hosts.contains(&host.value.0) {
            check.findings.error(
                host.at,
                format!("`{}` stands here twice", host.value.0),
                "remove one of the two",
            );
        }
        hosts.push(host.value.0.clone());
    }
    hosts
}

/// A mount matches whole segments: one spelling alone, so that no other can slip past the site's rules.
fn mount(given: &Given<Text>, check: &mut Check<'_>) -> String {
    let text = given.value.0.as_str();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let segments = text.strip_prefix('/').unwrap_or_default();
    let normal = segments.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    if rules::is_own(text) {
        check.findings.error(
            given.at,
            "`path`: everything below `/.vestibule/` is the gateway's own".to_owned(),
            "choose another path, such as `/app`",
        );
    } else if text != "/" && !(text.bytes().all(plain) && normal) {
        let inner = text.trim_matches(['/', '*']);
        let clean =
            inner.bytes().all(plain) && inner.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
        let write = if clean {
            format!("write `/{inner}`: a mount begins with `/`, ends without it, and is no pattern")
        } else {
            "write plain names between slashes, such as `/wiki`, or `/` for the whole host".to_owned()
        };
        check.findings.error(given.at, format!("`path`: an app cannot be mounted at `{text}`"), &write);
    }
    text.to_owned()
}

fn responses(file: &SiteFile, check: &mut Check<'_>) -> ResponsePolicy {
    let headers = &file.headers;
    ResponsePolicy {
        hsts: headers.hsts.as_ref().map_or(Hsts::Auto, |given| hsts(given, check)),
        frame_ancestors: frame_ancestors(headers, check),
        cache: headers.cache.as_ref().map_or(CachePolicy::NoStore, |given| given.value),
        cookies: Arc::new(cookies::cookies(file, check)),
        clear_at_logout: headers
            .clear_at_logout
            .iter()
            .flat_map(|given| given.value.values.iter().map(|word| word.value))
            .collect(),
    }
}

fn hsts(given: &Given<Text>, check: &mut Check<'_>) -> Hsts {
    let text = given.value.0.as_str();
    // RFC 6797 §6.1: directives between semicolons, `max-age` among them once.
    let ages = text.split(';').filter_map(|part| part.trim().strip_prefix("max-age="));
    let valid = ages.map(|age| age.parse::<u32>().is_ok()).collect::<Vec<bool>>() == [true];
    match (text, HeaderValue::from_str(text)) {
        ("auto", _) => Hsts::Auto,
        ("off", _) => Hsts::Off,
        (_, Ok(value)) if valid => Hsts::Always(value),
        (_, Ok(_) | Err(_)) => {
            check.findings.error(
                given.at,
                format!("`hsts`: `{text}` is no value of Strict-Transport-Security"),
                "write `auto`, `off`, or for example `max-age=31536000; includeSubDomains`",
            );
            Hsts::Auto
        }
    }
}

fn frame_ancestors(headers: &HeadersFile, check: &mut Check<'_>) -> Option<String> {
    let Some(given) = &headers.frame_ancestors else {
        return Some("'self'".to_owned());
    };
    let OrNull(Some(Text(text))) = &given.value else {
        return None;
    };
    let source = |source: &str| {
        let quoted = source.contains('\'');
        let plain = source.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"<>".contains(&byte));
        plain && (!quoted || matches!(source, "'self'" | "'none'")) && !matches!(source, "self" | "none")
    };
    let alone = !text.contains("'none'") || text.trim() == "'none'";
    if !alone || !text.split_whitespace().all(source) || HeaderValue::from_str(text).is_err() {
        check.findings.error(
            given.at,
            format!("`frame_ancestors`: `{text}` is no list of sources (CSP Level 3)"),
            "write for example \"'self'\", \"'none'\" or \"'self' https://portal.example.com\"",
        );
    }
    if text.split_whitespace().any(|source| matches!(source, "*" | "http:" | "https:")) {
        check.findings.warning(
            Some(given.at),
            format!("`frame_ancestors`: `{text}` lets every site show this one in a frame, and trick people into clicks (clickjacking)"),
            "name the sites that may, such as \"'self' https://portal.example.com\"",
        );
    }
    Some(text.clone())
}
