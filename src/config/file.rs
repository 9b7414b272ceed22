//! The configuration as it is written: every key of this version, what may stand there, and nothing decided yet.
//!
//! A shape is read from the tree (`read.rs`) and gives the JSON Schema; its sentences are what editors show. What
//! the values mean together is judged in `check.rs`.

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;

use crate::config::findings::Findings;
use crate::config::read;
use crate::config::read::Given;
use crate::config::read::Keys;
use crate::config::read::OneOrMany;
use crate::config::read::OrNull;
use crate::config::read::Read;
use crate::config::tree::Node;
use crate::config::tree::Value;
use crate::config::units::Address;
use crate::config::units::FieldName;
use crate::config::units::HostName;
use crate::config::units::Network;
use crate::config::units::Rate;
use crate::config::units::Size;
use crate::config::units::Span;
use crate::config::units::Text;
use crate::config::words::BindWord;
use crate::config::words::Preset;
use crate::server::MinTls;
use crate::session::Activity;
use crate::session::AtLimit;
use crate::session::SameSite;
use crate::session::profile::Profile;
use crate::telemetry::Format;

/// Makes a block of settings: plain keys first, then keys that are blocks themselves, then those that must be there,
/// then those that only a later version knows.
macro_rules! shape {
    (
        $(#[$doc:meta])*
        $name:ident {
            $( $(#[$setting_doc:meta])* $setting:ident: $type:ty, )*
        }
        $( blocks { $( $(#[$block_doc:meta])* $block:ident: $block_type:ty, )* } )?
        $( required [$($required:literal),*] )?
        $( unless [$($needed:literal by $instead:literal),*] )?
        $( filled [$($filled:literal),*] )?
        $( later [$($later:literal),*] )?
    ) => {
        #[derive(Debug, Default, schemars::JsonSchema)]
        $(#[$doc])*
        #[schemars(deny_unknown_fields, transform = Self::require)]
        pub(crate) struct $name {
            $( $(#[$setting_doc])* pub(crate) $setting: Option<crate::config::read::Given<$type>>, )*
            $( $( $(#[$block_doc])* pub(crate) $block: $block_type, )* )?
        }

        impl $name {
            pub(crate) const KEYS: crate::config::read::Keys = crate::config::read::Keys {
                known: &[$(stringify!($setting),)* $($(stringify!($block),)*)?],
                required: &[$($($required),*)?],
                unless: &[$($(($needed, $instead)),*)?],
                filled: &[$($($filled),*)?],
                later: &[$($($later),*)?],
            };

            fn require(schema: &mut schemars::Schema) {
                schema.remove("required");
                if !Self::KEYS.required.is_empty() {
                    schema.insert("required".to_owned(), Self::KEYS.required.into());
                }
            }
        }

        impl crate::config::read::Read for $name {
            fn read(
                node: &crate::config::tree::Node,
                path: &str,
                findings: &mut crate::config::findings::Findings,
            ) -> Option<Self> {
                let section = crate::config::read::Section::open(node, path, Self::KEYS, findings)?;
                Some(Self {
                    $( $setting: section.setting(stringify!($setting), findings), )*
                    $( $( $block: section.block(stringify!($block), findings), )* )?
                })
            }
        }
    };
}

pub(crate) mod app;
pub(crate) mod site;
pub(crate) mod store;
pub(crate) mod warn;

use crate::config::file::site::SiteFile;
use crate::config::file::store::StoreFile;
use crate::config::file::warn::WarnFile;

shape! {
    /// The configuration of the Vestibule session gateway.
    #[schemars(title = "Vestibule configuration")]
    File {
        /// Folder of the gateway's own keys and development certificate. Default: `$STATE_DIRECTORY`, else `state` beside this file.
        state_dir: Text,
        /// Event loops, each on a thread of its own: a number, or `auto` for one per core. Default: auto.
        workers: Workers,
        /// File of the gateway's own 32-byte keys, one a line in base64url or hex, newest first. Default: made in `state_dir`.
        keys: Text,
        /// The apps behind the gateway.
        sites: Vec<Given<SiteFile>>,
    }
    blocks {
        /// Where the gateway listens.
        listen: ListenFile,
        /// How TLS is ended.
        tls: TlsFile,
        /// How sessions live.
        session: SessionFile,
        /// How people log in.
        login: LoginFile,
        /// How the app is told who is calling.
        identity: IdentityFile,
        /// What a connection and a request may take.
        limits: LimitsFile,
        /// What is logged.
        log: LogFile,
    }
    required ["sites"]
}

shape! {
    /// Where the gateway listens.
    ListenFile {
        /// TLS: one address or a list; `null` where TLS ends before us. Default: 0.0.0.0:8443.
        https: OrNull<OneOrMany<Address>>,
        /// Plain HTTP, only behind a TLS terminator listed in `trusted_proxies`. Default: off.
        http: OneOrMany<Address>,
        /// Plain HTTP that only redirects to https. Default: off.
        http_redirect: OneOrMany<Address>,
        /// Metrics and health; `null` turns it off. Default: 127.0.0.1:9180.
        admin: OrNull<Address>,
        /// Health alone, where probes come from outside. Default: off.
        health: Address,
        /// Unix socket for looking at sessions and ending them, for the gateway's user and root: a file in `state_dir`; `null` turns it off. Default: admin.sock.
        admin_socket: OrNull<Text>,
        /// Networks whose word about the client (`X-Forwarded-*`, `Forwarded`, PROXY protocol) is believed. Default: none.
        trusted_proxies: Vec<Given<Network>>,
    }
}

shape! {
    /// How TLS is ended.
    TlsFile {
        /// Chosen by the name the browser asks for; the first serves all others. Default: certs/localhost.pem and .key.
        certificates: Vec<Given<CertificateFile>>,
        /// Make a development certificate where the first one's files are missing. Default: false.
        generate: bool,
        /// The oldest TLS version accepted: "1.2" or "1.3". Default: "1.2".
        min_version: MinTls,
    }
    later ["client_ca"]
}

shape! {
    /// A certificate and its key, as PEM files.
    CertificateFile {
        /// The chain, the site's own certificate first.
        cert: Text,
        /// The private key.
        key: Text,
    }
    required ["cert", "key"]
}

shape! {
    /// How sessions live.
    SessionFile {
        /// A session ends so long after its last request. Default: 30m.
        idle_timeout: Span,
        /// A session ends so long after the login, whatever happens. Default: 24h.
        absolute_timeout: Span,
        /// A name that sets both and refuses longer ones: `aal2` (30m, 24h; at most 1h, 24h) and `aal3` (15m, 8h; at most 15m, 12h), which ask for two factors at the login (NIST SP 800-63B), or `critical` (5m, 8h). Default: null.
        profile: OrNull<Profile>,
        /// So many live sessions at most; then new logins are refused and nobody is evicted. Default: 1000000.
        max_sessions: u64,
        /// So many live sessions of one user at most. Default: 10.
        max_per_user: u64,
        /// What a login beyond that does: `end_oldest` of the user's sessions, or `refuse` the new one. Default: `end_oldest`.
        at_limit: AtLimit,
        /// A session that has idled out stays locked so long: the same user's next login in the same browser takes over the app's cookies that the vault keeps. Default: 0s.
        resume_window: Span,
        /// A form that somebody sends when their session is over is held so long, until they have signed in again and say that it is to be sent; `0s`: it is not held. Default: 10m.
        hold_forms: Span,
        /// A session gets a new id so often, without anybody noticing. Default: 15m.
        renew_after: Span,
        /// So long the old id still works once the new one was seen. Default: 60s.
        renew_overlap: Span,
        /// An old id that comes so long after it was replaced ends the session. Default: 10m.
        theft_after: Span,
        /// What moves the idle clock: all `requests`, or `navigations`, the pages a person opens. Default: requests.
        activity: Activity,
        /// What a session is tied to: `[user_agent]` asks for a new login in another kind of browser. Default: [].
        bind: Vec<Given<BindWord>>,
        /// Warns people in the app's pages before their session ends, and lets them stay: `true`, how long before it is idle, or a block. Default: false.
        warn: WarnFile,
        /// Where sessions are kept: on `disk` in `state_dir`, in a file `{ disk: PATH }`, on a server that gateways share `{ redis: … }`, or in `memory`, where a restart ends them. Default: disk.
        store: StoreFile,
    }
    blocks {
        /// The session cookie.
        cookie: CookieFile,
        /// What happens while the store cannot be asked.
        on_store_failure: StoreFailureFile,
    }
}

shape! {
    /// What happens while the store cannot be asked.
    StoreFailureFile {
        /// So long sessions known to this gateway are served while it does not hear what others do. Default: 10s.
        serve_cached: Span,
    }
}

shape! {
    /// The session cookie.
    CookieFile {
        /// Its name, which begins with `__Host-`. Default: __Host-Http-session.
        name: Text,
        /// Whether it comes along when another site links here (`lax`) or not (`strict`). Default: lax.
        same_site: SameSite,
    }
}

shape! {
    /// How people log in.
    LoginFile {
        /// A host of its own where people log in for all sites, such as `login.example.com`; `null`: each host has its own login. Default: null.
        host: OrNull<HostName>,
    }
    blocks {
        /// Logging in by name and password.
        password: PasswordFile,
        /// What the login page looks like.
        theme: ThemeFile,
        /// How guessing passwords is slowed down.
        attempts: AttemptsFile,
    }
    later ["oidc"]
}

shape! {
    /// Logging in by name and password.
    PasswordFile {
        /// The users file, kept by `vestibule users`. Default: users.yaml.
        users: Text,
    }
}

shape! {
    /// What the login page looks like.
    ThemeFile {
        /// The heading. Default: Sign in.
        title: Text,
        /// An image file shown above it. Default: none.
        logo: Text,
        /// A style sheet file used after the gateway's own. Default: none.
        css: Text,
    }
}

shape! {
    /// How guessing passwords is slowed down.
    AttemptsFile {
        /// Failures in a row that are free for an account; each further one doubles a delay. Default: 5.
        per_account: u64,
        /// Failures allowed from one client network within a time. Default: 30/15m.
        per_address: Rate,
    }
}

shape! {
    /// How the app is told who is calling.
    IdentityFile {
        /// A set of header names that apps already know; `headers` changes single ones. Default: none.
        preset: Preset,
    }
    blocks {
        /// The names of the headers.
        headers: IdentityHeadersFile,
    }
    later ["assertion"]
}

shape! {
    /// The names of the identity headers.
    IdentityHeadersFile {
        /// The user's name. Default: X-Forwarded-User.
        user: FieldName,
        /// The mail address; `null` sends none. Default: X-Forwarded-Email.
        email: OrNull<FieldName>,
        /// The groups, separated by commas; `null` sends none. Default: X-Forwarded-Groups.
        groups: OrNull<FieldName>,
        /// The name a person would say; `null` sends none. Default: X-Forwarded-Preferred-Username.
        name: OrNull<FieldName>,
    }
}

shape! {
    /// What a connection and a request may take.
    LimitsFile {
        /// Size of a request's head. Default: 32KiB.
        header_bytes: Size,
        /// Header fields of a request. Default: 100.
        headers: u64,
        /// Size of a request's body; `null` is no limit. Default: null.
        body: OrNull<Size>,
        /// How long a TLS handshake, and then a request's head, may take. Default: 10s.
        header_timeout: Span,
        /// How long a connection may wait for its next request, a body for its next byte, and an answer for its
        /// client to take more of it; over HTTP/2 a stream is reset by itself. Default: 75s.
        idle_timeout: Span,
        /// How long connecting to the app may take. Default: 5s.
        upstream_connect: Span,
        /// How long the app may take to begin its answer. Default: 60s.
        upstream_response: Span,
        /// Open connections over all listeners; fewer where the process may not open twice as many files. Default: 65536.
        connections: u64,
    }
}

shape! {
    /// What is logged.
    LogFile {
        /// For people (`text`) or machines (`json`). Default: text.
        format: Format,
        /// A line on standard output for each request. Default: true.
        access: bool,
        /// Where security events go: `stderr`, `off`, or a file. Default: stderr.
        audit: Text,
    }
}

/// A number of event loops; nothing stands for one per core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workers(pub(crate) Option<u64>);

impl Read for Workers {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        match &node.value {
            Value::Whole(count @ 1..=1024) => return Some(Self(Some(*count))),
            Value::Text(text) if text == "auto" => return Some(Self(None)),
            Value::Text(_)
            | Value::Whole(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::List(_)
            | Value::Map(_) => {}
        }
        read::wrong_type(node, path, "`auto` or a number from 1 to 1024", "`auto`", findings);
        None
    }
}

impl JsonSchema for Workers {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Workers".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1, "maximum": 1024 }] })
    }
}

/// Where `key` is a setting, for those who wrote it in the wrong place.
pub(crate) fn home_of(key: &str) -> Option<&'static str> {
    let homes: [(Keys, &'static str); 13] = [
        (File::KEYS, "at the top level"),
        (SiteFile::KEYS, "in a site"),
        (ListenFile::KEYS, "in `listen`"),
        (TlsFile::KEYS, "in `tls`"),
        (SessionFile::KEYS, "in `session` at the top level"),
        (CookieFile::KEYS, "in `session.cookie`"),
        (LoginFile::KEYS, "in `login` at the top level"),
        (IdentityFile::KEYS, "in `identity`"),
        (site::HeadersFile::KEYS, "in a site's `headers`"),
        (site::UpstreamBlock::KEYS, "in a site's `upstream: { servers: …, … }`"),
        (site::HealthBlock::KEYS, "in a site's `upstream: { health: { path: …, … } }`"),
        (site::RuleFile::KEYS, "in a rule of a site"),
        (LimitsFile::KEYS, "in `limits`"),
    ];
    let home = homes.into_iter().find(|(keys, _)| keys.known.contains(&key))?;
    Some(home.1)
}
