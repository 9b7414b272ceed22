//! Sites that share a host.

use crate::config::check::Check;
use crate::config::file::site::SiteFile;
use crate::config::read::Given;
use crate::route::Site;

/// Two apps on one origin can read each other's cookies and script each other's pages (ASVS 3.5.4): only different
/// paths are possible, and only with everybody's word for it.
pub(super) fn conflicts(files: &[Given<SiteFile>], sites: &[Site], check: &mut Check<'_>) {
    for (place, (given, site)) in files.iter().zip(sites).enumerate() {
        for (other_given, other) in files.iter().zip(sites).take(place) {
            let Some(host) = site.hosts.iter().find(|host| other.hosts.contains(host)) else {
                continue;
            };
            if site.mount == other.mount {
                check.findings.error(
                    given.at,
                    format!(
                        "site {} is never reached: site {} already answers `{host}{}`",
                        place + 1,
                        other.id + 1,
                        site.mount
                    ),
                    "give each site its own `hosts`; or, with `shared_origin: true` on both, its own `path`",
                );
                continue;
            }
            if site.login.app().or_else(|| other.login.app()).is_some() {
                check.findings.error(
                    given.at,
                    format!(
                        "site {} shares `{host}` with site {}: an app that people log in to at its own page has its host for itself",
                        place + 1,
                        other.id + 1
                    ),
                    "give each app a host of its own: who logs in to one would be logged in to the other",
                );
                continue;
            }
            if site.login.is_some() && other.login.is_some() && site.lifetime != other.lifetime {
                check.findings.warning(
                    Some(given.at),
                    format!(
                        "site {} and site {} share `{host}`, and so one session: the shorter of their `session` limits hold in both",
                        place + 1,
                        other.id + 1
                    ),
                    "write the same limits in both, or give each app a host of its own",
                );
            }
            for (at, number, file) in
                [(given.at, place + 1, &given.value), (other_given.at, other.id + 1, &other_given.value)]
            {
                if !file.shared_origin.as_ref().is_some_and(|shared| shared.value) {
                    check.findings.error(
                        at,
                        format!("site {number} shares `{host}` with another site, and so its cookies and scripts"),
                        "give each app a host of its own; or write `shared_origin: true` in both if they trust each other fully",
                    );
                }
            }
        }
    }
}
