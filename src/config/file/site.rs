//! A site as it is written: an app behind the gateway.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::access::csrf::Csrf;
use crate::access::rules;
use crate::access::rules::CrossSite;
use crate::access::rules::Unauthenticated;
use crate::config::file::IdentityFile;
use crate::config::file::app::LogoutFile;
use crate::config::file::app::SiteLoginFile;
use crate::config::file::warn::WarnFile;
use crate::config::findings::Findings;
use crate::config::read;
use crate::config::read::Given;
use crate::config::read::OneOrMany;
use crate::config::read::OrNull;
use crate::config::read::Read;
use crate::config::tree::Node;
use crate::config::tree::Value;
use crate::config::units::HostName;
use crate::config::units::MethodName;
use crate::config::units::Size;
use crate::config::units::Span;
use crate::config::units::Text;
use crate::config::words::AllowWord;
use crate::config::words::BindWord;
use crate::config::words::Choice;
use crate::headers::app_cookies::Keeping;
use crate::headers::harden::CachePolicy;
use crate::headers::harden::SiteData;
use crate::route::Mode;
use crate::route::ServiceWorkers;
use crate::session;
use crate::session::profile::Profile;
use crate::upstream::Balancing;
use crate::upstream::PresentScheme;

shape! {
    /// An app behind the gateway.
    SiteFile {
        /// The hosts it answers to. Default: the names on the certificates.
        hosts: OneOrMany<HostName>,
        /// The path it is mounted at. Default: /.
        path: Text,
        /// Admits that several apps share one host, and so each other's cookies and scripts. Default: false.
        shared_origin: bool,
        /// Where the app is: `http://…`, `https://…`, `unix:/…`, a list of them, or a block.
        upstream: UpstreamFile,
        /// `enforce`, or `observe`: proxy everything and log what would have been refused. Default: enforce.
        mode: Mode,
        /// How people log in here: by `all` methods of the gateway, `[password]`, `none` for a site without login, or `{ app: … }`: the app's own login page, observed. Default: all.
        login: SiteLoginFile,
        /// The app's own logout, which ends the gateway's session too: a path such as /logout, several, or a block. Default: none.
        logout: LogoutFile,
        /// The app's own cookies: made safe (`harden`), kept on the server (`vault`) or left alone (`pass`); or a block. Default: harden.
        cookies: CookiesFile,
        /// Unsafe requests that another site made: refused, logged (`report`) or let through (`off`). Default: `same_origin`.
        csrf: Csrf,
        /// Whether the app may register service workers. Default: deny.
        service_workers: ServiceWorkers,
        /// Who may do what; the first rule that matches counts, and where none does, any logged-in user may.
        rules: Vec<Given<RuleFile>>,
    }
    blocks {
        /// What is added to the app's answers.
        headers: HeadersFile,
        /// This site's own times; what is absent is taken from the top level.
        session: SiteSessionFile,
        /// This site's own identity headers; what is absent is taken from the top level.
        identity: IdentityFile,
        /// This site's own limits; what is absent is taken from the top level.
        limits: SiteLimitsFile,
    }
    required ["upstream"]
    filled ["upstream"]
}

shape! {
    /// What becomes of the app's own cookies, by their names.
    CookiesBlock {
        /// Those that are not named: `harden`, `vault` or `pass`. Default: harden.
        default: Keeping,
        /// Those in the vault that the browser gets as well, since scripts must read them.
        expose: OneOrMany<Text>,
        /// A word for a cookie of its own.
        per_cookie: PerCookie,
    }
}

shape! {
    /// How an app is reached.
    UpstreamBlock {
        /// Its servers. One that cannot be reached is left out for a moment.
        servers: OneOrMany<Text>,
        /// How requests are spread over the servers: `round_robin`, or `least_connections`, to the one with the fewest under way. Default: `round_robin`.
        balance: Balancing,
        /// Asks each server for this path again and again, and leaves out those that fail: a path such as /healthz, or a block. Default: null.
        health: OrNull<HealthFile>,
        /// The scheme the app is shown in `Origin`, `Referer` and forwarded headers. Default: https.
        present_scheme: PresentScheme,
        /// Connections to the app at most. Default: null (no limit).
        max_connections: u64,
        /// How long an unused connection is kept; shorter than the app's own keep-alive. Default: 1s.
        idle: Span,
        /// Certificate authorities (PEM) to trust for `https` servers instead of the system's. Default: null.
        ca_file: Text,
        /// Admits plain `http` to another machine, where everyone on the way can read and change it. Default: false.
        allow_plaintext: bool,
    }
    required ["servers"]
}

shape! {
    /// How servers are asked whether they are well.
    HealthBlock {
        /// What is asked for; any answer below 400 means well.
        path: Text,
        /// How often. Default: 5s.
        interval: Span,
        /// How long an answer may take. Default: 2s.
        timeout: Span,
        /// So many answers in a row make an ill server well. Default: 2.
        healthy_after: u64,
        /// So many failures in a row make it ill. Default: 3.
        unhealthy_after: u64,
    }
    required ["path"]
}

shape! {
    /// What is added to the app's answers.
    HeadersFile {
        /// Strict-Transport-Security: `auto`, `off`, or its value such as `max-age=31536000`. Default: auto.
        hsts: Text,
        /// Who may show the app in a frame; `null` leaves it to the app. Default: 'self'.
        frame_ancestors: OrNull<Text>,
        /// What caches may keep of protected answers: `no-store`, `private`, or what the `app` says. Default: no-store.
        cache: CachePolicy,
        /// What browsers are asked to throw away of the site at logout: `cache`, `storage`, or both. Default: [].
        clear_at_logout: OneOrMany<SiteData>,
    }
}

shape! {
    /// Times of a site's own.
    SiteSessionFile {
        /// A session ends so long after its last request.
        idle_timeout: Span,
        /// A session ends so long after the login, whatever happens.
        absolute_timeout: Span,
        /// A name that sets both and refuses longer ones: `aal2`, `aal3` or `critical`; before the clocks of all sites. `null`: none, whatever holds for all sites.
        profile: OrNull<Profile>,
        /// A session that has idled out stays locked so long: the same user's next login in the same browser takes over the app's cookies that the vault keeps.
        resume_window: Span,
        /// A form that somebody sends when their session is over is held so long, until they have signed in again and say that it is to be sent; `0s`: it is not held.
        hold_forms: Span,
        /// A session gets a new id so often, without anybody noticing.
        renew_after: Span,
        /// So long the old id still works once the new one was seen.
        renew_overlap: Span,
        /// An old id that comes so long after it was replaced ends the session.
        theft_after: Span,
        /// What moves the idle clock: all `requests`, or `navigations`, the pages a person opens.
        activity: session::Activity,
        /// What a session is tied to: `[user_agent]` asks for a new login in another kind of browser.
        bind: Vec<Given<BindWord>>,
        /// Warns people in the app's pages before their session ends, and lets them stay: `true`, how long before it is idle, or a block.
        warn: WarnFile,
    }
}

shape! {
    /// Limits of a site's own.
    SiteLimitsFile {
        /// Size of a request's body; `null` is no limit.
        body: OrNull<Size>,
    }
}

shape! {
    /// Who may do what at which paths.
    RuleFile {
        /// The paths it is about: `/reports` alone, or `/reports/*` with everything below.
        path: Text,
        /// The methods it is about. Default: all.
        methods: OneOrMany<MethodName>,
        /// Who may: `anyone`, `authenticated`, `nobody`, `{ groups: […] }` or `{ users: […] }`. Default, beside `cross_site` alone: `authenticated`.
        allow: AllowFile,
        /// Asks for the login again where the last one is older. Default: never.
        reauth_after: Span,
        /// What people who are not logged in get: `auto` (login page, or 401 for scripts) or "401" always. Default: auto.
        unauthenticated: Unauthenticated,
        /// Forms that other sites make browsers send here, such as a payment's return: `as_site` (see `csrf`), or `resubmit`: sent once more by a page of ours, with the browser's cookies. Default: `as_site`.
        cross_site: CrossSite,
        /// Whether a request here moves the idle clock: `count`, or `ignore` for what a page asks by itself. Default: count.
        activity: rules::Activity,
    }
    required ["path"]
    unless ["allow" by "cross_site"]
    filled ["path", "methods", "allow", "reauth_after", "unauthenticated"]
}

shape! {
    /// A choice of users.
    AllowSome {
        /// Members of one of these groups.
        groups: OneOrMany<Text>,
        /// These users.
        users: OneOrMany<Text>,
    }
    filled ["groups", "users"]
}

/// Where an app is: its servers alone, or a block.
#[derive(Debug, JsonSchema)]
#[schemars(inline, with = "UpstreamForms")]
pub(crate) struct UpstreamFile(pub(crate) UpstreamBlock);

#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "exists for the schema alone")]
enum UpstreamForms {
    Servers(OneOrMany<Text>),
    Block(Box<UpstreamBlock>),
}

impl Read for UpstreamFile {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        if matches!(node.value, Value::Map(_)) {
            return UpstreamBlock::read(node, path, findings).map(Self);
        }
        let servers = OneOrMany::read(node, path, findings)?;
        let servers = Some(Given { value: servers, at: node.at });
        Some(Self(UpstreamBlock { servers, ..UpstreamBlock::default() }))
    }
}

/// How servers are asked whether they are well: a path alone, or a block.
#[derive(Debug, JsonSchema)]
#[schemars(inline, with = "HealthForms")]
pub(crate) struct HealthFile(pub(crate) HealthBlock);

#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "exists for the schema alone")]
enum HealthForms {
    Path(Text),
    Block(HealthBlock),
}

impl Read for HealthFile {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        if matches!(node.value, Value::Map(_)) {
            return HealthBlock::read(node, path, findings).map(Self);
        }
        let value = Text::read(node, path, findings)?;
        Some(Self(HealthBlock { path: Some(Given { value, at: node.at }), ..HealthBlock::default() }))
    }
}

/// What becomes of the app's own cookies: a word for all, or a block.
#[derive(Debug, JsonSchema)]
#[schemars(inline, with = "CookiesForms")]
pub(crate) struct CookiesFile(pub(crate) CookiesBlock);

#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "exists for the schema alone")]
enum CookiesForms {
    Word(Keeping),
    Block(CookiesBlock),
}

impl Read for CookiesFile {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        if matches!(node.value, Value::Map(_)) {
            return CookiesBlock::read(node, path, findings).map(Self);
        }
        let value = Keeping::read(node, path, findings)?;
        Some(Self(CookiesBlock { default: Some(Given { value, at: node.at }), ..CookiesBlock::default() }))
    }
}

/// A word for each cookie by its name.
#[derive(Debug, JsonSchema)]
#[schemars(inline, with = "BTreeMap<String, Keeping>")]
pub(crate) struct PerCookie(pub(crate) Vec<(Given<String>, Keeping)>);

impl Read for PerCookie {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            read::wrong_type(node, path, "a block of names", "`{ csrftoken: harden }`", findings);
            return None;
        };
        let words = entries.iter().filter_map(|entry| {
            let keeping = Keeping::read(&entry.node, &read::join(path, &entry.key), findings)?;
            Some((Given { value: entry.key.clone(), at: entry.at }, keeping))
        });
        Some(Self(words.collect()))
    }
}

/// Who a rule is about.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
pub(crate) enum AllowFile {
    /// `anyone`, `authenticated` or `nobody`.
    Word(AllowWord),
    /// Groups or users.
    Some(AllowSome),
}

impl Read for AllowFile {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        if let Value::Map(entries) = &node.value {
            let some = AllowSome::read(node, path, findings)?;
            let unknown_alone = some.groups.is_none() && some.users.is_none() && !entries.is_empty();
            return (!unknown_alone).then_some(Self::Some(some));
        }
        let known = |text: &String| AllowWord::WORDS.iter().any(|(word, _)| word == text);
        if let Value::Text(text) = &node.value
            && !known(text)
        {
            let meant = match text.to_lowercase().as_str() {
                "everyone" | "everybody" | "anybody" | "all" | "any" | "public" | "*" => Some("anyone"),
                "user" | "users" | "logged_in" | "login" | "authorized" => Some("authenticated"),
                "none" | "noone" | "no_one" | "deny" => Some("nobody"),
                _ => None,
            };
            let wanted = "one of anyone, authenticated, nobody, or a choice of users";
            let write = match meant {
                Some(word) => format!("`{word}`"),
                // Most likely the name of a group, put where the word belongs.
                None => format!("one of them, or `{{ groups: [{text}] }}`"),
            };
            read::wrong_type(node, path, wanted, &write, findings);
            return None;
        }
        AllowWord::read(node, path, findings).map(Self::Word)
    }
}
