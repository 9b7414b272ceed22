//! How sessions are renewed, counted and bound, and their cookie.

use std::time::Duration;

use humantime::format_duration;

use crate::config::check::Check;
use crate::config::check::clocks;
use crate::config::check::count;
use crate::config::file::CookieFile;
use crate::config::file::SessionFile;
use crate::config::file::site::SiteSessionFile;
use crate::config::read::Given;
use crate::config::tree::At;
use crate::config::units::Span;
use crate::login;
use crate::pipeline;
use crate::pipeline::Visitors;
use crate::session::AtLimit;
use crate::session::Bind;
use crate::session::Policy;
use crate::session::SameSite;
use crate::session::Settings;
use crate::session::lifetime::Lifetime;
use crate::session::renewal::Pace;

/// The name that browsers protect best: never without `Secure`, never for a script.
pub(crate) const COOKIE: &str = "__Host-Http-session";
/// So many live sessions are about half a gigabyte.
pub(crate) const MAX_SESSIONS: u64 = 1_000_000;

/// A person's devices, twice over.
pub(crate) const MAX_PER_USER: u64 = 10;

/// Long enough for a store to be restarted, short enough for what was ended elsewhere meanwhile.
pub(crate) const SERVE_CACHED: Duration = Duration::from_secs(10);

/// Long enough for a server's restart. Beyond it people notice that what they ended goes on.
const SERVE_CACHED_LONG: Duration = Duration::from_mins(5);

/// The settings of all sessions.
pub(super) fn sessions(file: &SessionFile, check: &mut Check<'_>) -> Settings {
    let renewal = Renewal::of_all(file);
    if let Some(at) = renewal.at() {
        renewal.prove(at, check);
    }
    let lifetime = clocks::of_all(file, check);
    renewal.within(lifetime, check);
    Settings {
        cookie_name: cookie_name(&file.cookie, check),
        same_site: same_site(file),
        lifetime,
        max_sessions: count(check.number(
            file.max_sessions.as_ref(),
            "session.max_sessions",
            (1, 100_000_000),
            MAX_SESSIONS,
        )),
        max_per_user: count(check.number(
            file.max_per_user.as_ref(),
            "session.max_per_user",
            (1, 10_000),
            MAX_PER_USER,
        )),
        at_limit: file.at_limit.as_ref().map_or(AtLimit::EndOldest, |given| given.value),
        serve_cached: serve_cached(file, check),
    }
}

fn serve_cached(file: &SessionFile, check: &mut Check<'_>) -> Duration {
    let Some(given) = &file.on_store_failure.serve_cached else {
        return SERVE_CACHED;
    };
    let span = given.value.0;
    if span > SERVE_CACHED_LONG {
        let shown = format_duration(span);
        check.findings.warning(
            Some(given.at),
            format!("`serve_cached` is {shown}: while the store is down, sessions that were ended elsewhere go on for so long"),
            "write what a restart of the store takes, such as `1m`; the default is `10s`",
        );
    }
    span
}

/// Notes what a site's own words about renewal cannot bring about in sessions of this lifetime.
pub(super) fn within(site: &SiteSessionFile, lifetime: Lifetime, check: &mut Check<'_>) {
    Renewal::of_site(site).within(lifetime, check);
}

/// The session cookie's attribute.
pub(super) fn same_site(file: &SessionFile) -> SameSite {
    file.cookie.same_site.as_ref().map_or(SameSite::Lax, |given| given.value)
}

/// What a site asks of its sessions beside their limits: its own where it says something, else what holds for all.
pub(super) fn policy(site: &SiteSessionFile, all: &SessionFile, check: &mut Check<'_>) -> Policy {
    let default = Policy::default();
    let of_all = Renewal::of_all(all);
    let own = Renewal::of_site(site);
    let pace = match own.at() {
        Some(at) => own.or(&of_all).prove(at, check),
        // Judged once, at the top level.
        None => of_all.pace(),
    };
    let activity = site.activity.as_ref().or(all.activity.as_ref());
    let bind = site.bind.as_ref().or(all.bind.as_ref());
    Policy {
        pace,
        activity: activity.map_or(default.activity, |given| given.value),
        bind: if bind.is_some_and(|given| !given.value.is_empty()) { Bind::UserAgent } else { default.bind },
    }
}

/// How ids are renewed, as it is written.
struct Renewal<'a> {
    after: Option<&'a Given<Span>>,
    overlap: Option<&'a Given<Span>>,
    theft: Option<&'a Given<Span>>,
}

impl<'a> Renewal<'a> {
    fn of_all(file: &'a SessionFile) -> Self {
        let (after, overlap) = (file.renew_after.as_ref(), file.renew_overlap.as_ref());
        Self { after, overlap, theft: file.theft_after.as_ref() }
    }

    fn of_site(file: &'a SiteSessionFile) -> Self {
        let (after, overlap) = (file.renew_after.as_ref(), file.renew_overlap.as_ref());
        Self { after, overlap, theft: file.theft_after.as_ref() }
    }

    fn or(&self, other: &Self) -> Self {
        Self {
            after: self.after.or(other.after),
            overlap: self.overlap.or(other.overlap),
            theft: self.theft.or(other.theft),
        }
    }

    fn at(&self) -> Option<At> {
        self.overlap.or(self.theft).or(self.after).map(|given| given.at)
    }

    fn pace(&self) -> Pace {
        let Pace { renew_after, overlap, theft_after } = Pace::default();
        Pace {
            renew_after: self.after.map_or(renew_after, |given| given.value.0),
            overlap: self.overlap.map_or(overlap, |given| given.value.0),
            theft_after: self.theft.map_or(theft_after, |given| given.value.0),
        }
    }

    /// The pace, after what speaks against it was noted.
    fn prove(&self, at: At, check: &mut Check<'_>) -> Pace {
        let pace = self.pace();
        if pace.renew_after < Duration::from_secs(1) {
            check.findings.error(
                at,
                "`renew_after` is less than a second: every answer would carry a new id".to_owned(),
                "write at least `1s`; the default is `15m`",
            );
        } else if pace.overlap > pace.renew_after {
            let (overlap, after) = (format_duration(pace.overlap), format_duration(pace.renew_after));
            check.findings.error(
                at,
                format!("`renew_overlap` ({overlap}) is longer than `renew_after` ({after})"),
                "an id cannot work on while the one after it is replaced in turn: write a shorter `renew_overlap`",
            );
        } else if pace.theft_after < pace.overlap {
            let (theft, overlap) = (format_duration(pace.theft_after), format_duration(pace.overlap));
            check.findings.error(
                at,
                format!("`theft_after` ({theft}) is shorter than `renew_overlap` ({overlap})"),
                "an id cannot betray a thief while it still works: write a longer `theft_after`",
            );
        }
        pace
    }
}

impl Renewal<'_> {
    /// Notes each time written here that a session does not live to see.
    fn within(&self, lifetime: Lifetime, check: &mut Check<'_>) {
        let absolute = lifetime.absolute();
        let told = [
            ("renew_after", self.after, "no session ever gets a new id"),
            ("theft_after", self.theft, "no stolen id is ever noticed"),
        ];
        for (key, given, so) in told {
            let Some(given) = given.filter(|given| given.value.0 >= absolute) else { continue };
            let (span, absolute) = (format_duration(given.value.0), format_duration(absolute));
            check.findings.warning(
                Some(given.at),
                format!("`{key}` ({span}) is not shorter than `absolute_timeout` ({absolute}): {so}"),
                "write a shorter time, or remove the line for the default",
            );
        }
    }
}

/// Whether another cookie of ours is called so: one of the two would be taken for the other, or away.
fn is_taken(name: &str) -> bool {
    let visitors = Visitors::cookie_name("/");
    let of_visitors = name.get(..visitors.len()).is_some_and(|start| start.eq_ignore_ascii_case(&visitors));
    let mut fixed = login::reserved_cookies().into_iter().chain(pipeline::reserved_cookies(&[]));
    of_visitors || fixed.any(|own| own.eq_ignore_ascii_case(name))
}

fn cookie_name(file: &CookieFile, check: &mut Check<'_>) -> String {
    let Some(given) = &file.name else {
        return COOKIE.to_owned();
    };
    let name = given.value.0.as_str();
    // RFC 9110 §5.6.2: the characters of a token.
    let token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    let rest = name.strip_prefix("__Host-").unwrap_or_default();
    if rest.is_empty() || rest == "Http-" {
        check.findings.error(
            given.at,
            format!("`session.cookie.name`: `{name}` does not begin with `__Host-`"),
            &format!("without it other hosts of the domain can plant a session: write `{COOKIE}`, or `__Host-Http-` and a name of your own"),
        );
    } else if !token || name.len() > 64 {
        check.findings.error(
            given.at,
            "`session.cookie.name` is no name of a cookie".to_owned(),
            "write at most 64 letters, digits and `-`, beginning with `__Host-Http-`",
        );
    } else if is_taken(name) {
        check.findings.error(
            given.at,
            format!("`session.cookie.name`: the gateway has another cookie that is called `{name}`"),
            &format!("write `{COOKIE}`, or `__Host-Http-` and a name of your own"),
        );
    }
    name.to_owned()
}
