//! How long before its end a session is warned of it.

use std::time::Duration;

use humantime::format_duration;

use crate::config::check::Check;
use crate::config::file::SessionFile;
use crate::config::file::site::SiteSessionFile;
use crate::config::file::warn::WarnFile;
use crate::config::read::Given;
use crate::config::tree::At;
use crate::config::units::Span;
use crate::pages::warning::Before;
use crate::route::Mode;
use crate::session::lifetime::Lifetime;

/// WCAG 2.2.1 asks for twenty seconds; two minutes let somebody come back to the screen.
const IDLE: Duration = Duration::from_mins(2);

/// Time to finish a sentence and to sign in again beside it.
const ABSOLUTE: Duration = Duration::from_mins(5);

/// Less is no warning (WCAG 2.2.1, "Extend").
const LEAST: Duration = Duration::from_secs(20);

/// What a site warns of whose sessions live for `lifetime`: by its own word, else by that for all sites.
pub(super) fn before(
    site: &SiteSessionFile,
    all: &SessionFile,
    lifetime: Lifetime,
    check: &mut Check<'_>,
) -> Option<Before> {
    let Given { value: WarnFile(block), at } = site.warn.as_ref().or(all.warn.as_ref())?;
    let block = block.as_ref()?;
    let idle = one(("idle", IDLE, lifetime.idle()), block.idle.as_ref(), *at, check);
    let absolute = one(("absolute", ABSOLUTE, lifetime.absolute()), block.absolute.as_ref(), *at, check);
    Some(Before { idle, absolute })
}

/// Notes a site's own word that cannot have an effect.
pub(super) fn without_effect(site: &SiteSessionFile, login: bool, mode: Mode, check: &mut Check<'_>) {
    let Some(given) = site.warn.as_ref().filter(|given| given.value.0.is_some()) else { return };
    let why = match (login, mode) {
        (true, Mode::Enforce) => return,
        (false, _) => "nobody logs in at this site",
        (true, Mode::Observe) => "`mode: observe` leaves the app's pages as they are",
    };
    check.findings.warning(
        Some(given.at),
        format!("`warn` warns nobody: {why}"),
        "remove the line, or what stands against it",
    );
}

/// One of the two times, after what speaks against it was noted.
fn one(
    (name, default, limit): (&str, Duration, Duration),
    given: Option<&Given<Span>>,
    at: At,
    check: &mut Check<'_>,
) -> Duration {
    let span = given.map_or(default, |given| given.value.0);
    let at = given.map_or(at, |given| given.at);
    let (shown, whole) = (format_duration(span), format_duration(limit));
    if span >= limit {
        let least = format_duration((limit / 4).max(Duration::from_secs(1)));
        check.findings.warning(
            Some(at),
            format!("people are warned {shown} before `{name}_timeout` ({whole}) ends a session: the warning would always be there"),
            &format!("write a shorter time, such as `warn: {{ {name}: {least} }}`, or a longer `{name}_timeout`"),
        );
    } else if span < LEAST {
        check.findings.warning(
            Some(at),
            format!("people are warned {shown} before `{name}_timeout` ends a session, which is too late for many of them"),
            "WCAG 2.2.1 asks for at least `20s`",
        );
    }
    span
}
