//! Which app a request is for: host and path find the site.

mod app;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::access::csrf::Csrf;
use crate::access::path::CanonicalPath;
use crate::access::rules::Rules;
use crate::headers::app_cookies::AppCookies;
use crate::headers::app_cookies::Keeping;
use crate::headers::harden::ResponsePolicy;
use crate::headers::harden::SiteData;
use crate::identity::headers::IdentityHeaders;
use crate::net::Host;
use crate::pages::warning::Before;
use crate::session::Policy;
use crate::session::lifetime::Lifetime;

pub use crate::route::app::AppLogin;
pub use crate::route::app::AppLogout;
pub use crate::route::app::FieldPath;
pub use crate::route::app::SiteLogin;
pub use crate::route::app::Success;
pub use crate::route::app::TellApp;
pub use crate::route::app::UserSource;

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
#[derive(Clone, Debug)]
pub struct Site {
    /// Its place in the configuration, from 0.
    pub id: usize,
    /// The hosts it answers to.
    pub hosts: Vec<Host>,
    /// The path it is mounted at: `/`, or a prefix such as `/wiki` that matches whole segments.
    pub mount: String,
    /// Whether decisions take effect.
    pub mode: Mode,
    /// How people log in here.
    pub login: SiteLogin,
    /// The app's own logout, if it ends our session too.
    pub logout: Option<AppLogout>,
    /// How long sessions live here.
    pub lifetime: Lifetime,
    /// What else it asks of them.
    pub session: Policy,
    /// Who may do what.
    pub rules: Rules,
    /// How the app is told who is asking.
    pub identity: IdentityHeaders,
    /// Requests from other origins.
    pub csrf: Csrf,
    /// How answers are hardened.
    pub responses: ResponsePolicy,
    /// How long before its end people are warned of it, in pages of the app; nothing: they are not.
    pub warning: Option<Before>,
    /// So long a form is held that comes when the session is over; zero: it is not.
    pub hold_forms: Duration,
    /// Whether service workers may be registered.
    pub service_workers: ServiceWorkers,
    /// Bytes of a request's body; nothing means no limit.
    pub body_limit: Option<u64>,
    /// How the app is reached.
    pub upstream: crate::upstream::Settings,
}

impl Site {
    /// What a site is called that answers to `hosts` and is mounted at `mount`, whatever its place in the configuration.
    pub fn name_of(hosts: &[Host], mount: &str) -> Option<String> {
        hosts.first().map(|host| format!("{host}{mount}"))
    }

    /// The realm of those who log in here: nothing where they do so at the gateway's own pages.
    pub fn realm(&self) -> Option<&str> {
        self.login.app().map(|app| &*app.realm)
    }

    fn tells_app(&self) -> bool {
        self.logout.as_ref().is_some_and(|logout| logout.tell_app != TellApp::Off)
    }

    /// What the vault knows the site by, whatever its place in the configuration; nothing if none of its cookies are
    /// kept there.
    pub fn vault_name(&self) -> Option<String> {
        let keeps = self.mode == Mode::Enforce && self.responses.cookies.keep_any();
        Self::name_of(&self.hosts, &self.mount).filter(|_| keeps)
    }
}

/// The one place to log in for all sites, on a host of its own.
#[derive(Clone, Debug)]
pub struct LoginHost {
    /// Its name.
    pub host: Host,
    /// What it asks of sessions.
    pub session: Policy,
    /// The hosts that send people there, with the limits of sessions on each.
    pub sites: BTreeMap<Host, Lifetime>,
}

impl LoginHost {
    /// The one at `host` for all of `sites` that have a login and not the app's own.
    pub fn new(host: Host, session: Policy, sites: &[Site]) -> Self {
        let own = sites.iter().filter(|site| site.login.is_own()).cloned();
        let desks = Routes::new(own.collect(), None).desks;
        let sites = desks.into_iter().map(|(host, desk)| (host, desk.lifetime)).collect();
        Self { host, session, sites }
    }

    /// How long a login lives there: as long as on any of its sites, each of which judges for itself. Nothing if there
    /// is no site.
    pub fn lifetime(&self) -> Option<Lifetime> {
        self.sites.values().copied().reduce(|one, other| one.longer(&other))
    }
}

/// Where people log in and out on a host. The gateway's own pages belong to the host, whatever is mounted where: sites
/// that share one share its session too, so where they differ the stricter word holds.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The first site with a login, in the order of the configuration: what the pages are logged and sent under. Nothing
    /// on the login's own host.
    pub site: Option<Rc<Site>>,
    /// What is asked of sessions here: by the first site.
    pub session: Policy,
    /// The shortest limits of all sites with a login here.
    pub lifetime: Lifetime,
    /// What becomes of the apps' cookies on each of these sites: they go with their user if one of them says so.
    pub cookies: Vec<Arc<AppCookies>>,
    /// What browsers are asked to throw away at logout: whatever one of these sites asks for.
    pub clear_at_logout: Vec<SiteData>,
    /// The app's own login, where people log in there. It has its hosts for itself.
    pub app: Option<Arc<AppLogin>>,
    /// Those of the sites whose apps are told when somebody logs out.
    pub told: Vec<Rc<Site>>,
}

impl Desk {
    /// Whether a cookie of an app's goes with its user.
    pub fn takes_away(&self, name: &[u8]) -> bool {
        self.cookies.iter().any(|cookies| cookies.of(name) != Keeping::Pass)
    }

    fn of(sites: &[Rc<Site>]) -> Option<Self> {
        let mut with_login: Vec<&Rc<Site>> = sites.iter().filter(|site| site.login.is_some()).collect();
        with_login.sort_by_key(|site| site.id);
        let (first, rest) = with_login.split_first()?;
        let alone = Self {
            site: Some(Rc::clone(first)),
            session: first.session,
            lifetime: first.lifetime,
            cookies: with_login.iter().map(|site| Arc::clone(&site.responses.cookies)).collect(),
            clear_at_logout: with_login
                .iter()
                .flat_map(|site| &site.responses.clear_at_logout)
                .copied()
                .collect(),
            app: first.login.app().cloned(),
            told: with_login.iter().copied().filter(|site| site.tells_app()).map(Rc::clone).collect(),
        };
        Some(
            rest.iter()
                .fold(alone, |desk, site| Self { lifetime: desk.lifetime.shorter(&site.lifetime), ..desk }),
        )
    }
}

/// All sites, found by host and then by the longest mount that holds the path. Each worker has its own: a request
/// holds its site, and a count of holders that workers share would be fought over.
#[derive(Debug)]
pub struct Routes {
    /// For each host its sites, longest mount first.
    by_host: HashMap<Host, Vec<Rc<Site>>>,
    /// The hosts that have a login.
    desks: HashMap<Host, Desk>,
}

impl Routes {
    /// Builds the tables. Where there is one place to log in for all sites, it is found like a site without an app.
    pub fn new(sites: Vec<Site>, login: Option<&LoginHost>) -> Self {
        let mut by_host: HashMap<Host, Vec<Rc<Site>>> = HashMap::new();
        for site in sites.into_iter().map(Rc::new) {
            for host in &site.hosts {
                let mounted = by_host.entry(host.clone()).or_default();
                let longer = |other: &Rc<Site>| depth(other) >= depth(&site);
                mounted.insert(mounted.partition_point(longer), Rc::clone(&site));
            }
        }
        let desk = |(host, sites): (&Host, &Vec<Rc<Site>>)| Some((host.clone(), Desk::of(sites)?));
        let mut desks: HashMap<Host, Desk> = by_host.iter().filter_map(desk).collect();
        if let Some((login, lifetime)) = login.and_then(|login| Some((login, login.lifetime()?))) {
            by_host.insert(login.host.clone(), Vec::new());
            let session = login.session;
            let desk = Desk {
                site: None,
                session,
                lifetime,
                cookies: Vec::new(),
                clear_at_logout: Vec::new(),
                app: None,
                told: Vec::new(),
            };
            desks.insert(login.host.clone(), desk);
        }
        Self { by_host, desks }
    }

    /// Where people log in on `host`; nothing if nobody does.
    pub fn desk(&self, host: &Host) -> Option<&Desk> {
        self.desks.get(host)
    }

    /// The site a request is for; nothing if the host is unknown or nothing is mounted there.
    pub fn find(&self, host: &Host, path: &CanonicalPath) -> Option<&Rc<Site>> {
        let mut mounted = self.by_host.get(host)?.iter();
        mounted.find(|site| path.is_within(&site.mount))
    }

    /// Whether an app could take `path` for one of another site of the host than `found`: by letter case, say. That
    /// site may have stricter rules, and the app behind both may be one.
    pub fn is_between_sites(&self, host: &Host, path: &CanonicalPath, found: &Site) -> bool {
        let mounted = self.by_host.get(host).map_or(&[][..], Vec::as_slice);
        let longer = mounted.iter().take_while(|site| site.id != found.id);
        longer.into_iter().any(|site| path.is_loosely_within(&site.mount))
    }

    /// The site that has `host` to itself, whatever the path.
    pub fn only(&self, host: &Host) -> Option<&Rc<Site>> {
        match self.by_host.get(host)?.as_slice() {
            [site] if site.mount == "/" => Some(site),
            _ => None,
        }
    }

    /// Whether some site answers to `host`, or the login does.
    pub fn knows(&self, host: &Host) -> bool {
        self.by_host.contains_key(host)
    }
}

/// How long a mount is, written with a slash at the end or without.
fn depth(site: &Site) -> usize {
    site.mount.trim_end_matches('/').len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::harden::CachePolicy;
    use crate::headers::harden::Hsts;
    use crate::net::Authority;
    use crate::upstream;

    fn site(id: usize, hosts: &[&str], mount: &str) -> Site {
        Site {
            id,
            hosts: hosts.iter().map(|host| Host::parse(host).unwrap()).collect(),
            mount: mount.to_owned(),
            mode: Mode::Enforce,
            login: SiteLogin::Own,
            logout: None,
            lifetime: Lifetime::new(Duration::from_mins(1), Duration::from_mins(10)).unwrap(),
            session: Policy::default(),
            rules: Rules::new(Vec::new()),
            identity: IdentityHeaders::default(),
            csrf: Csrf::SameOrigin,
            responses: ResponsePolicy {
                hsts: Hsts::Off,
                frame_ancestors: None,
                cache: CachePolicy::App,
                cookies: Arc::new(AppCookies::all(Keeping::Pass)),
                clear_at_logout: Vec::new(),
            },
            warning: None,
            hold_forms: Duration::ZERO,
            service_workers: ServiceWorkers::Deny,
            body_limit: None,
            upstream: upstream::Settings {
                balance: upstream::Balancing::RoundRobin,
                health: None,
                servers: vec![upstream::Endpoint::Http(Authority::parse("127.0.0.1:5000").unwrap())],
                ca_file: None,
                present_scheme: upstream::PresentScheme::Https,
                max_connections: None,
                idle: Duration::from_secs(1),
                connect_timeout: Duration::from_secs(5),
                response_timeout: Duration::from_mins(1),
            },
        }
    }

    #[test]
    fn a_host_has_one_desk_with_the_shortest_limits_of_its_logins() {
        let times =
            |idle, absolute| Lifetime::new(Duration::from_secs(idle), Duration::from_secs(absolute)).unwrap();
        let mut open = site(0, &["a.example", "open.example"], "/");
        open.login = SiteLogin::None;
        open.lifetime = times(1, 1);
        let mut wiki = site(1, &["a.example"], "/wiki");
        wiki.lifetime = times(60, 300);
        let mut shop = site(2, &["a.example"], "/shop/deep");
        shop.lifetime = times(90, 200);
        shop.responses.cookies = Arc::new(AppCookies::all(Keeping::Harden));
        let mut slow = site(3, &["slow.example"], "/");
        slow.lifetime = times(100, 150);
        let sites = vec![open, wiki, shop, slow];
        let host = |name: &str| Host::parse(name).unwrap();
        let login = LoginHost::new(host("login.example"), Policy::default(), &sites);
        let routes = Routes::new(sites, Some(&login));
        let found = routes.desk(&host("a.example")).unwrap();
        let id = found.site.as_ref().map(|site| site.id);
        assert_eq!((id, found.lifetime), (Some(1), times(60, 200)));
        assert!(found.takes_away(b"sid") && !routes.desk(&host("slow.example")).unwrap().takes_away(b"sid"));
        assert!(routes.desk(&host("open.example")).is_none() && routes.desk(&host("b.example")).is_none());
        let found = routes.desk(&login.host).unwrap();
        assert_eq!((found.site.is_none(), found.lifetime), (true, times(100, 200)));
        assert!(routes.knows(&login.host) && routes.only(&login.host).is_none());
        assert_eq!(login.sites.len(), 2);
    }

    #[test]
    fn a_path_that_is_nearly_another_sites_is_between_them() {
        let sites = vec![
            site(0, &["a.example", "b.example"], "/"),
            site(1, &["a.example"], "/wiki"),
            site(2, &["a.example"], "/wiki/old/"),
        ];
        let routes = Routes::new(sites, None);
        for (host, path, expected) in [
            ("a.example", "/", false),
            ("a.example", "/wiki", false),
            ("a.example", "/wiki/x", false),
            ("a.example", "/wikipedia", false),
            ("a.example", "/Wiki", true),
            ("a.example", "/wiki./x", true),
            ("a.example", "/wiki%20/x", true),
            ("a.example", "/wiki/old", false),
            ("a.example", "/wiki/OLD/x", true),
            ("b.example", "/Wiki", false),
        ] {
            let (host, path) = (Host::parse(host).unwrap(), CanonicalPath::parse(path).unwrap());
            let found = routes.find(&host, &path).unwrap();
            assert_eq!(routes.is_between_sites(&host, &path, found), expected, "{path} on {host}");
        }
    }

    #[test]
    fn host_and_longest_mount_find_the_site() {
        let sites = vec![
            site(0, &["a.example", "b.example"], "/"),
            site(1, &["a.example"], "/wiki"),
            site(2, &["a.example"], "/wiki/old/"),
            site(3, &["c.example"], "/only"),
        ];
        let routes = Routes::new(sites, None);
        for (host, path, expected) in [
            ("a.example", "/", Some(0)),
            ("a.example", "/wiki", Some(1)),
            ("a.example", "/wiki/", Some(1)),
            ("a.example", "/wiki/x", Some(1)),
            ("a.example", "/w%69ki/x", Some(1)),
            ("a.example", "/wikipedia", Some(0)),
            ("a.example", "/Wiki", Some(0)),
            ("a.example", "/wiki/old", Some(2)),
            ("a.example", "/wiki/old/x", Some(2)),
            ("a.example", "/wiki/older", Some(1)),
            ("b.example", "/wiki", Some(0)),
            ("c.example", "/only/x", Some(3)),
            ("c.example", "/", None),
            ("d.example", "/", None),
        ] {
            let (host, parsed) = (Host::parse(host).unwrap(), CanonicalPath::parse(path).unwrap());
            assert_eq!(routes.find(&host, &parsed).map(|site| site.id), expected, "{host}{path}");
        }
        assert!(routes.knows(&Host::parse("c.example").unwrap()));
        assert!(!routes.knows(&Host::parse("d.example").unwrap()));
    }
}
