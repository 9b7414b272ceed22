//! One site as it takes effect.

use crate::access::rules::CrossSite;
use crate::config::effective::Origin;
use crate::config::effective::Table;
use crate::config::effective::app;
use crate::config::effective::bytes;
use crate::config::effective::list;
use crate::config::effective::optional;
use crate::config::effective::time;
use crate::config::file::File;
use crate::config::file::site::AllowFile;
use crate::config::file::site::HealthFile;
use crate::config::file::site::RuleFile;
use crate::config::file::site::SiteFile;
use crate::config::file::site::UpstreamBlock;
use crate::config::read::Given;
use crate::config::read::OneOrMany;
use crate::config::read::OrNull;
use crate::config::units::Span;
use crate::config::units::Text;
use crate::config::words::AllowWord;
use crate::config::words::Choice;
use crate::headers::app_cookies::AppCookies;
use crate::headers::harden::Hsts;
use crate::pages::warning::Before;
use crate::route::Site;
use crate::session::Bind;
use crate::session::Policy;
use crate::session::profile::Profile;
use crate::upstream::Settings;

/// Every setting of `site`, which was written as `file` in a configuration of `all`.
pub(super) fn describe(file: &SiteFile, all: &File, site: &Site, table: &mut Table) {
    table.title(&format!("site {}", site.id + 1));
    table.row("hosts", list(&site.hosts), Origin::of(file.hosts.as_ref()));
    table.row("path", &site.mount, Origin::of(file.path.as_ref()));
    table.row("mode", site.mode.word(), Origin::of(file.mode.as_ref()));
    app::login(file, &site.login, table);
    app::logout(file, site.logout.as_ref(), table);
    cookies(file, &site.responses.cookies, table);
    table.row("csrf", site.csrf.word(), Origin::of(file.csrf.as_ref()));
    table.row("service_workers", site.service_workers.word(), Origin::of(file.service_workers.as_ref()));
    upstream(file, all, site, table);
    responses(file, site, table);
    sessions(file, all, site, table);
    identity(file, all, site, table);
    rules(file, site, table);
}

fn cookies(file: &SiteFile, cookies: &AppCookies, table: &mut Table) {
    let written = file.cookies.as_ref().map(|given| &given.value.0);
    let default = Origin::of(written.and_then(|block| block.default.as_ref()));
    if cookies.per_cookie.is_empty() && cookies.expose.is_empty() {
        return table.row("cookies", cookies.default.word(), default);
    }
    table.row("cookies.default", cookies.default.word(), default);
    if !cookies.expose.is_empty() {
        let names: Vec<&str> = cookies.expose.iter().map(|name| &**name).collect();
        table.row("cookies.expose", list(&names), Origin::Written);
    }
    for (name, keeping) in &cookies.per_cookie {
        table.row(&format!("cookies.per_cookie.{name}"), keeping.word(), Origin::Written);
    }
}

fn upstream(file: &SiteFile, all: &File, site: &Site, table: &mut Table) {
    let settings = &site.upstream;
    let servers: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
    table.row("upstream.servers", list(&servers), Origin::Written);
    let written = file.upstream.as_ref().map(|given| &given.value.0);
    balance(written, settings, table);
    table.row(
        "upstream.present_scheme",
        settings.present_scheme.word(),
        Origin::of(written.and_then(|block| block.present_scheme.as_ref())),
    );
    table.row(
        "upstream.max_connections",
        optional(settings.max_connections),
        Origin::of(written.and_then(|block| block.max_connections.as_ref())),
    );
    table.row(
        "upstream.idle",
        time(settings.idle),
        Origin::of(written.and_then(|block| block.idle.as_ref())),
    );
    let authorities = optional(settings.ca_file.as_ref().map(|path| path.display()));
    table.row("upstream.ca_file", authorities, Origin::of(written.and_then(|block| block.ca_file.as_ref())));
    let limits = &all.limits;
    let origin = |written| Origin::merged(None::<&()>, written);
    table.row(
        "limits.upstream_connect",
        time(settings.connect_timeout),
        origin(limits.upstream_connect.as_ref()),
    );
    table.row(
        "limits.upstream_response",
        time(settings.response_timeout),
        origin(limits.upstream_response.as_ref()),
    );
    let body = optional(site.body_limit.map(bytes));
    table.row("limits.body", body, Origin::merged(file.limits.body.as_ref(), limits.body.as_ref()));
}

fn balance(file: Option<&UpstreamBlock>, settings: &Settings, table: &mut Table) {
    table.row(
        "upstream.balance",
        settings.balance.word(),
        Origin::of(file.and_then(|block| block.balance.as_ref())),
    );
    let written = file.and_then(|block| block.health.as_ref());
    let Some(health) = &settings.health else {
        table.row("upstream.health", "none", Origin::of(written));
        return;
    };
    let block = written.and_then(|given| given.value.0.as_ref()).map(|HealthFile(block)| block);
    table.row("upstream.health.path", &health.path, Origin::Written);
    table.row(
        "upstream.health.interval",
        time(health.interval),
        Origin::of(block.and_then(|block| block.interval.as_ref())),
    );
    table.row(
        "upstream.health.timeout",
        time(health.timeout),
        Origin::of(block.and_then(|block| block.timeout.as_ref())),
    );
    table.row(
        "upstream.health.healthy_after",
        health.healthy_after,
        Origin::of(block.and_then(|block| block.healthy_after.as_ref())),
    );
    table.row(
        "upstream.health.unhealthy_after",
        health.unhealthy_after,
        Origin::of(block.and_then(|block| block.unhealthy_after.as_ref())),
    );
}

fn responses(file: &SiteFile, site: &Site, table: &mut Table) {
    let (written, policy) = (&file.headers, &site.responses);
    let hsts = match &policy.hsts {
        Hsts::Auto => "auto",
        Hsts::Off => "off",
        Hsts::Always(value) => value.to_str().unwrap_or_default(),
    };
    table.row("headers.hsts", hsts, Origin::of(written.hsts.as_ref()));
    table.row(
        "headers.frame_ancestors",
        optional(policy.frame_ancestors.as_ref()),
        Origin::of(written.frame_ancestors.as_ref()),
    );
    table.row("headers.cache", policy.cache.word(), Origin::of(written.cache.as_ref()));
    let cleared: Vec<&str> = policy.clear_at_logout.iter().map(|data| data.word()).collect();
    table.row("headers.clear_at_logout", list(&cleared), Origin::of(written.clear_at_logout.as_ref()));
}

fn sessions(file: &SiteFile, all: &File, site: &Site, table: &mut Table) {
    let (own, of_all) = (&file.session, &all.session);
    let named = |given: &Given<OrNull<Profile>>| given.value.0;
    let profile = own.profile.as_ref().or(of_all.profile.as_ref()).and_then(named);
    let profiles = (own.profile.as_ref().and_then(named), profile);
    let origin = Origin::merged(own.profile.as_ref(), of_all.profile.as_ref());
    table.row("session.profile", profile.map_or("none", Choice::word), origin);
    let origin = clock((own.idle_timeout.as_ref(), of_all.idle_timeout.as_ref()), profiles);
    table.row("session.idle_timeout", time(site.lifetime.idle()), origin);
    let origin = clock((own.absolute_timeout.as_ref(), of_all.absolute_timeout.as_ref()), profiles);
    table.row("session.absolute_timeout", time(site.lifetime.absolute()), origin);
    let origin = Origin::merged(own.resume_window.as_ref(), of_all.resume_window.as_ref());
    table.row("session.resume_window", time(site.lifetime.resume()), origin);
    let origin = Origin::merged(own.hold_forms.as_ref(), of_all.hold_forms.as_ref());
    table.row("session.hold_forms", time(site.hold_forms), origin);
    let Policy { pace, activity, bind } = site.session;
    let origin = Origin::merged(own.renew_after.as_ref(), of_all.renew_after.as_ref());
    table.row("session.renew_after", time(pace.renew_after), origin);
    let origin = Origin::merged(own.renew_overlap.as_ref(), of_all.renew_overlap.as_ref());
    table.row("session.renew_overlap", time(pace.overlap), origin);
    let origin = Origin::merged(own.theft_after.as_ref(), of_all.theft_after.as_ref());
    table.row("session.theft_after", time(pace.theft_after), origin);
    let origin = Origin::merged(own.activity.as_ref(), of_all.activity.as_ref());
    table.row("session.activity", activity.word(), origin);
    let origin = Origin::merged(own.bind.as_ref(), of_all.bind.as_ref());
    let bound = if bind == Bind::UserAgent { "user_agent" } else { "nothing" };
    table.row("session.bind", bound, origin);
    let origin = Origin::merged(own.warn.as_ref(), of_all.warn.as_ref());
    let before = |before: Before| format!("idle {}, absolute {}", time(before.idle), time(before.absolute));
    table.row("session.warn", site.warning.map_or_else(|| "false".to_owned(), before), origin);
}

/// Where a limit comes from: what a site itself has, its profile included, goes before what all sites have.
fn clock(
    (own, all): (Option<&Given<Span>>, Option<&Given<Span>>),
    (own_profile, profile): (Option<Profile>, Option<Profile>),
) -> Origin {
    let by_profile = own.is_none() && (own_profile.is_some() || all.is_none() && profile.is_some());
    if by_profile { Origin::Profile } else { Origin::merged(own, all) }
}

fn identity(file: &SiteFile, all: &File, site: &Site, table: &mut Table) {
    let (own, of_all, names) = (&file.identity.headers, &all.identity.headers, &site.identity);
    let preset = Origin::merged(file.identity.preset.as_ref(), all.identity.preset.as_ref());
    let origin = |written: Origin| {
        if written == Origin::Default { preset } else { written }
    };
    let user = origin(Origin::merged(own.user.as_ref(), of_all.user.as_ref()));
    table.row("identity.headers.user", &names.user, user);
    let email = origin(Origin::merged(own.email.as_ref(), of_all.email.as_ref()));
    table.row("identity.headers.email", optional(names.email.as_ref()), email);
    let groups = origin(Origin::merged(own.groups.as_ref(), of_all.groups.as_ref()));
    table.row("identity.headers.groups", optional(names.groups.as_ref()), groups);
    let name = origin(Origin::merged(own.name.as_ref(), of_all.name.as_ref()));
    table.row("identity.headers.name", optional(names.name.as_ref()), name);
}

fn rules(file: &SiteFile, site: &Site, table: &mut Table) {
    for given in file.rules.iter().flat_map(|given| &given.value) {
        let path = given.value.path.as_ref().map_or("", |path| &path.value.0);
        table.row("rule", format!("{path}  {}", rule(&given.value)), Origin::Written);
    }
    let rest = if site.login.is_some() { "any logged-in user" } else { "anyone" };
    table.row("rule", format!("everything else  {rest}"), Origin::Default);
}

fn rule(file: &RuleFile) -> String {
    let names = |given: &OneOrMany<Text>| {
        let names: Vec<&str> = given.values.iter().map(|name| name.value.0.as_str()).collect();
        names.join(", ")
    };
    let who = match file.allow.as_ref().map(|given| &given.value) {
        None => AllowWord::Authenticated.word().to_owned(),
        Some(AllowFile::Word(word)) => word.word().to_owned(),
        Some(AllowFile::Some(some)) => match (&some.groups, &some.users) {
            (Some(groups), _) => format!("groups {}", names(&groups.value)),
            (None, Some(users)) => format!("users {}", names(&users.value)),
            (None, None) => String::new(),
        },
    };
    let methods = file.methods.as_ref().map(|given| {
        let methods: Vec<&str> = given.value.values.iter().map(|method| method.value.0.as_str()).collect();
        format!("for {}", methods.join(", "))
    });
    let age = file.reauth_after.as_ref().map(|given| format!("login not older than {}", time(given.value.0)));
    let others =
        file.unauthenticated.as_ref().map(|given| format!("unauthenticated: {}", given.value.word()));
    let resubmits = file.cross_site.as_ref().filter(|given| given.value == CrossSite::Resubmit);
    let forms = resubmits.map(|_| "forms of other sites are sent once more".to_owned());
    let parts = [Some(who), methods, age, others, forms];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}
