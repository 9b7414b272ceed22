//! Settings that are one word of a few, read straight into the type of the module that acts on it.

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;

use crate::access::csrf::Csrf;
use crate::access::rules;
use crate::access::rules::CrossSite;
use crate::access::rules::Unauthenticated;
use crate::config::findings::Findings;
use crate::config::read;
use crate::config::read::Read;
use crate::config::tree::Node;
use crate::headers::app_cookies::Keeping;
use crate::headers::harden::CachePolicy;
use crate::headers::harden::SiteData;
use crate::route::Mode;
use crate::route::ServiceWorkers;
use crate::route::TellApp;
use crate::server::MinTls;
use crate::session;
use crate::session::AtLimit;
use crate::session::SameSite;
use crate::session::profile::Profile;
use crate::telemetry::Format;
use crate::upstream::Balancing;
use crate::upstream::PresentScheme;

/// A well-known set of identity header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// `Remote-User` and its like.
    RemoteUser,
    /// `X-Auth-Request-User` and its like.
    XAuthRequest,
}

/// Where sessions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreName {
    /// In this process; a restart ends them.
    Memory,
    /// In a file in `state_dir`.
    Disk,
}

/// What a session can be tied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindWord {
    /// The kind of browser.
    UserAgent,
}

/// Whether a site has a login, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SiteLoginWord {
    /// By every method there is.
    All,
    /// Not at all.
    None,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginMethod {
    /// By name and password.
    Password,
}

/// Who a rule is about, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AllowWord {
    /// Everybody, logged in or not.
    Anyone,
    /// Everybody who is logged in.
    Authenticated,
    /// Nobody at all.
    Nobody,
}

/// A type that is chosen by a word: `$later` are the words of later versions.
macro_rules! choice {
    ($type:ty { $($word:literal => $value:expr,)* } $(later [$($later:literal),*])?) => {
        impl Choice for $type {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $value),)*];
        }

        impl Read for $type {
            fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
                read::choice(node, path, (Self::WORDS, &[$($($later),*)?]), findings)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                json_schema!({ "enum": [$($word),*] })
            }
        }
    };
}

/// What can be chosen by a word, both ways: read from it and shown as it.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// The words and what they mean.
    const WORDS: &'static [(&'static str, Self)];

    /// The word that means this.
    fn word(self) -> &'static str {
        let entry = Self::WORDS.iter().find(|(_, value)| *value == self);
        entry.map_or("", |(word, _)| word)
    }
}

choice!(Mode { "enforce" => Self::Enforce, "observe" => Self::Observe, });
choice!(Csrf { "same_origin" => Self::SameOrigin, "report" => Self::Report, "off" => Self::Off, });
choice!(Keeping { "harden" => Self::Harden, "vault" => Self::Vault, "pass" => Self::Pass, });
choice!(CachePolicy { "no-store" => Self::NoStore, "private" => Self::Private, "app" => Self::App, });
choice!(SiteData { "cache" => Self::Cache, "storage" => Self::Storage, });
choice!(ServiceWorkers { "deny" => Self::Deny, "allow" => Self::Allow, });
choice!(MinTls { "1.2" => Self::V1_2, "1.3" => Self::V1_3, });
choice!(SameSite { "lax" => Self::Lax, "strict" => Self::Strict, });
choice!(Format { "text" => Self::Text, "json" => Self::Json, });
choice!(PresentScheme { "https" => Self::Https, "http" => Self::Http, });
choice!(Balancing { "round_robin" => Self::RoundRobin, "least_connections" => Self::LeastConnections, });
choice!(Preset { "remote-user" => Self::RemoteUser, "x-auth-request" => Self::XAuthRequest, });
choice!(AtLimit { "end_oldest" => Self::EndOldest, "refuse" => Self::Refuse, });
choice!(session::Activity { "requests" => Self::Requests, "navigations" => Self::Navigations, });
choice!(rules::Activity { "count" => Self::Count, "ignore" => Self::Ignore, });
choice!(Profile { "aal2" => Self::Aal2, "aal3" => Self::Aal3, "critical" => Self::Critical, });
choice!(BindWord { "user_agent" => Self::UserAgent, });
choice!(StoreName { "disk" => Self::Disk, "memory" => Self::Memory, });
choice!(SiteLoginWord { "all" => Self::All, "none" => Self::None, });
choice!(TellApp { "off" => Self::Off, "get" => Self::Get, "post" => Self::Post, });
choice!(LoginMethod { "password" => Self::Password, });
choice!(AllowWord { "anyone" => Self::Anyone, "authenticated" => Self::Authenticated, "nobody" => Self::Nobody, });
choice!(CrossSite { "as_site" => Self::AsSite, "resubmit" => Self::Resubmit, });
choice!(Unauthenticated { "auto" => Self::Auto, "401" => Self::Status401, });
