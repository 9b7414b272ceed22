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
use crate::session::SameSite;
use crate::session::Settings;
use crate::session::lifetime::Lifetime;

/// ASVS and NIST agree on half an hour for ordinary apps.
pub(crate) const IDLE: Duration = Duration::from_mins(30);
/// A day: one login a working day, and none is ever older.
pub(crate) const ABSOLUTE: Duration = Duration::from_hours(24);
/// The name that browsers protect best: never without `Secure`, never for a script.
pub(crate) const COOKIE: &str = "__Host-Http-session";
/// So many live sessions are about half a gigabyte.
pub(crate) const MAX_SESSIONS: u64 = 1_000_000;

/// Browsers keep no cookie longer (draft-ietf-httpbis-rfc6265bis §5.5), and no session should want to.
const LONGEST: Duration = Duration::from_hours(400 * 24);
/// People must be able to extend a session ten times (WCAG 2.2.1): the absolute limit must leave room for it.
const ROOM: u32 = 11;

/// The settings of all sessions.
pub(super) fn sessions(file: &SessionFile, check: &mut Check<'_>) -> Settings {
    let limits = Limits { idle: file.idle_timeout.as_ref(), absolute: file.absolute_timeout.as_ref() };
    let at = limits.absolute.or(limits.idle).map(|given| given.at);
    Settings {
        cookie_name: cookie_name(&file.cookie, check),
        same_site: file.cookie.same_site.as_ref().map_or(SameSite::Lax, |given| given.value),
        lifetime: limits.prove(at, check),
        max_sessions: count(check.number(
            file.max_sessions.as_ref(),
            "session.max_sessions",
            (1, 100_000_000),
            MAX_SESSIONS,
        )),
    }
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
