//! Which app a request is for: host and path find the site.

use std::sync::Arc;

use crate::access::csrf::Csrf;
use crate::headers::harden::ResponsePolicy;
use crate::net::Host;
use crate::session::lifetime::Lifetime;

/// Whether a site's decisions take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They do.
    Enforce,
    /// Everything is proxied as it is, and what would have been done is logged: for a roll-out without risk.
    Observe,
}

/// Whether a site's own app may register service workers, which could then stand before our login page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceWorkers {
    /// Their scripts are refused.
    Deny,
    /// Their scripts pass.
    Allow,
}

/// One app behind the gateway.
#[derive(Debug)]
pub struct Site {
    /// Its place in the configuration, from 0.
    pub id: usize,
    /// The hosts it answers to.
    pub hosts: Vec<Host>,
    /// The path it is mounted at: `/`, or a prefix such as `/wiki` that matches whole segments.
    pub mount: String,
    /// Whether decisions take effect.
    pub mode: Mode,
    /// Whether people log in here at all; without, every rule must allow anyone.
    pub login: bool,
    /// How long sessions live here.
    pub lifetime: Lifetime,
    /// Requests from other origins.
    pub csrf: Csrf,
    /// How answers are hardened.
    pub responses: ResponsePolicy,
    /// Whether service workers may be registered.
    pub service_workers: ServiceWorkers,
    /// Bytes of a request's body; nothing means no limit.
    pub body_limit: Option<u64>,
    /// How the app is reached.
    pub upstream: crate::upstream::Settings,
}

/// All sites.
#[derive(Debug)]
pub struct Routes {
    sites: Vec<Arc<Site>>,
}
