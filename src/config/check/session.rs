//! How long sessions live, and their cookie.

use std::time::Duration;

use humantime::format_duration;

use crate::config::check::Check;
use crate::config::check::count;
use crate::config::file::CookieFile;
use crate::config::file::SessionFile;
use crate::config::file::site::SiteSessionFile;
use crate::config::read::Given;
use crate::config::tree::At;
use crate::config::units::Span;
use crate::session::AtLimit;
use crate::session::Bind;
use crate::session::Policy;
use crate::session::SameSite;
use crate::session::Settings;
use crate::session::lifetime::Lifetime;
use crate::session::renewal::Pace;

/// ASVS and NIST agree on half an hour for ordinary apps.
pub(crate) const IDLE: Duration = Duration::from_mins(30);
/// A day: one login a working day, and none is ever older.
pub(crate) const ABSOLUTE: Duration = Duration::from_hours(24);
/// The name that browsers protect best: never without `Secure`, never for a script.
pub(crate) const COOKIE: &str = "__Host-Http-session";
/// So many live sessions are about half a gigabyte.
pub(crate) const MAX_SESSIONS: u64 = 1_000_000;

/// A person's devices, twice over.
pub(crate) const MAX_PER_USER: u64 = 10;

/// Long enough for a store to be restarted, short enough for what was ended elsewhere meanwhile.
pub(crate) const SERVE_CACHED: Duration = Duration::from_secs(10);

/// Browsers keep no cookie longer (draft-ietf-httpbis-rfc6265bis §5.5), and no session should want to.
const LONGEST: Duration = Duration::from_hours(400 * 24);
/// People must be able to extend a session ten times (WCAG 2.2.1): the absolute limit must leave room for it.
const ROOM: u32 = 11;

/// The settings of all sessions.
pub(super) fn sessions(file: &SessionFile, check: &mut Check<'_>) -> Settings {
    let limits = Limits { idle: file.idle_timeout.as_ref(), absolute: file.absolute_timeout.as_ref() };
    let at = limits.absolute.or(limits.idle).map(|given| given.at);
    let renewal = Renewal::of_all(file);
    if let Some(at) = renewal.at() {
        renewal.prove(at, check);
    }
    Settings {
        cookie_name: cookie_name(&file.cookie, check),
        same_site: same_site(file),
        lifetime: limits.prove(at, check),
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
        serve_cached: file.on_store_failure.serve_cached.as_ref().map_or(SERVE_CACHED, |given| given.value.0),
    }
}

/// The session cookie's attribute.
pub(super) fn same_site(file: &SessionFile) -> SameSite {
    file.cookie.same_site.as_ref().map_or(SameSite::Lax, |given| given.value)
}

/// The limits of one site: its own where it has some, else those of all.
pub(super) fn lifetime(site: &SiteSessionFile, all: &SessionFile, check: &mut Check<'_>) -> Lifetime {
    let limits = Limits {
        idle: site.idle_timeout.as_ref().or(all.idle_timeout.as_ref()),
        absolute: site.absolute_timeout.as_ref().or(all.absolute_timeout.as_ref()),
    };
    let own = site.absolute_timeout.as_ref().or(site.idle_timeout.as_ref());
    match own {
        Some(given) => limits.prove(Some(given.at), check),
        // Judged once, at the top level.
        None => limits.lifetime(),
    }
}

/// What a site asks of its sessions beside their limits: its own where it says something, else what holds for all.
pub(super) fn policy(site: &SiteSessionFile, all: &SessionFile, check: &mut Check<'_>) -> Policy {
    let default = Policy::default();
    let of_all = Renewal::of_all(all);
    let own = Renewal {
        after: site.renew_after.as_ref(),
        overlap: site.renew_overlap.as_ref(),
        theft: site.theft_after.as_ref(),
    };
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

struct Limits<'a> {
    idle: Option<&'a Given<Span>>,
    absolute: Option<&'a Given<Span>>,
}

impl Limits<'_> {
    fn durations(&self) -> (Duration, Duration) {
        let idle = self.idle.map_or(IDLE, |given| given.value.0);
        let absolute = self.absolute.map_or(ABSOLUTE, |given| given.value.0);
        (idle, absolute)
    }

    fn lifetime(&self) -> Lifetime {
        let (idle, absolute) = self.durations();
        Lifetime::new(idle, absolute).unwrap_or_else(fallback)
    }

    /// The limits, after what speaks against them was noted `at` the value that brought them together.
    fn prove(&self, at: Option<At>, check: &mut Check<'_>) -> Lifetime {
        let (idle, absolute) = self.durations();
        let findings = &mut *check.findings;
        let (shown_idle, shown_absolute) = (format_duration(idle), format_duration(absolute));
        if idle < Duration::from_secs(1) {
            findings.missing(
                self.idle.map(|given| given.at),
                format!("`idle_timeout` is {shown_idle}: every session would be over at once"),
                "write at least `1s`; the default is `30m`",
            );
        } else if idle > absolute {
            findings.missing(
                at,
                format!("`idle_timeout` ({shown_idle}) is longer than `absolute_timeout` ({shown_absolute})"),
                "a session cannot be idle for longer than it lives: shorten the one or lengthen the other",
            );
        } else if absolute > LONGEST {
            findings.missing(
                at,
                format!("`absolute_timeout` ({shown_absolute}) is longer than 400 days"),
                "browsers keep no cookie longer than that: write `400d` or less; the default is `24h`",
            );
        } else if absolute < idle * ROOM {
            let minutes = absolute.as_secs() / 60 / u64::from(ROOM);
            findings.warning(
                at,
                format!("`absolute_timeout` ({shown_absolute}) is less than eleven times `idle_timeout` ({shown_idle})"),
                &format!(
                    "people who need longer must be able to go on ten times (WCAG 2.2.1): write `idle_timeout: {minutes}m` or a longer `absolute_timeout`"
                ),
            );
        }
        self.lifetime()
    }
}

/// Stands in for limits that were refused.
#[expect(clippy::expect_used, reason = "half an hour is less than a day")]
fn fallback() -> Lifetime {
    Lifetime::new(IDLE, ABSOLUTE).expect("the defaults make sense together")
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
    }
    name.to_owned()
}
