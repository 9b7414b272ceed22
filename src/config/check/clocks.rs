//! The two limits of a session, and the profile that sets and bounds them.

use std::time::Duration;

use humantime::format_duration;

use crate::config::check::Check;
use crate::config::file::SessionFile;
use crate::config::file::site::SiteSessionFile;
use crate::config::read::Given;
use crate::config::read::OrNull;
use crate::config::tree::At;
use crate::config::units::Span;
use crate::config::words::Choice;
use crate::route::SiteLogin;
use crate::session::lifetime::Lifetime;
use crate::session::profile::Clocks;
use crate::session::profile::Profile;

/// Half an hour for ordinary apps, as ASVS and NIST agree; a day, which is one login a working day.
const DEFAULT: Clocks = Clocks { idle: Duration::from_mins(30), absolute: Duration::from_hours(24) };

/// Browsers keep no cookie longer (draft-ietf-httpbis-rfc6265bis §5.5), and no session should want to.
const LONGEST: Duration = Duration::from_hours(400 * 24);

/// People must be able to extend a session ten times (WCAG 2.2.1): the absolute limit must leave room for it.
const ROOM: u32 = 11;

/// The limits where a site sets none of its own.
pub(super) fn of_all(all: &SessionFile, check: &mut Check<'_>) -> Lifetime {
    let written = Written::from(all);
    let none = Written::default();
    written.bounded(written.profile(), check);
    written.prove(written.over(&none), check).resumable_for(written.resume(&none))
}

/// The limits of one site, most specific first: its own, those of its own profile, those of all sites, those of the
/// profile of all sites. `login` is how people log in there.
pub(super) fn of_site(
    site: &SiteSessionFile,
    all: &SessionFile,
    login: &SiteLogin,
    check: &mut Check<'_>,
) -> Lifetime {
    let (own, all) = (Written::from(site), Written::from(all));
    let profile = own.profile.or(all.profile);
    if let Some(Given { value: OrNull(Some(profile)), at }) = profile {
        match login {
            SiteLogin::None => {}
            SiteLogin::Own => strong_enough(*profile, *at, check),
            SiteLogin::App(_) => unknown_strength(*profile, *at, check),
        }
    }
    let (clocks, resume) = (own.over(&all), own.resume(&all));
    if own.is_empty() {
        // Judged once, at the top level.
        return lifetime(clocks).resumable_for(resume);
    }
    own.bounded(profile.and_then(|given| given.value.0), check);
    own.prove(clocks, check).resumable_for(resume)
}

/// What is written in one place: for all sites, or for one.
#[derive(Clone, Copy, Default)]
struct Written<'a> {
    idle: Option<&'a Given<Span>>,
    absolute: Option<&'a Given<Span>>,
    resume: Option<&'a Given<Span>>,
    /// `null` is none, also in a site where all sites have one.
    profile: Option<&'a Given<OrNull<Profile>>>,
}

impl<'a> From<&'a SessionFile> for Written<'a> {
    fn from(file: &'a SessionFile) -> Self {
        let (idle, absolute) = (file.idle_timeout.as_ref(), file.absolute_timeout.as_ref());
        Self { idle, absolute, resume: file.resume_window.as_ref(), profile: file.profile.as_ref() }
    }
}

impl<'a> From<&'a SiteSessionFile> for Written<'a> {
    fn from(file: &'a SiteSessionFile) -> Self {
        let (idle, absolute) = (file.idle_timeout.as_ref(), file.absolute_timeout.as_ref());
        Self { idle, absolute, resume: file.resume_window.as_ref(), profile: file.profile.as_ref() }
    }
}

impl Written<'_> {
    fn is_empty(&self) -> bool {
        self.idle.is_none() && self.absolute.is_none() && self.resume.is_none() && self.profile.is_none()
    }

    fn profile(&self) -> Option<Profile> {
        self.profile?.value.0
    }

    /// The clocks of a place with this written, inside one with `wider`.
    fn over(&self, wider: &Self) -> Clocks {
        let own = self.profile().map(Profile::clocks);
        let rest =
            self.profile.or(wider.profile).and_then(|given| given.value.0).map_or(DEFAULT, Profile::clocks);
        let span = |given: &Given<Span>| given.value.0;
        // What is written here, else what the profile here sets, else what is written for all.
        let first = |written: [Option<Duration>; 3]| written.into_iter().flatten().next();
        let idle = first([self.idle.map(span), own.map(|own| own.idle), wider.idle.map(span)]);
        let absolute =
            first([self.absolute.map(span), own.map(|own| own.absolute), wider.absolute.map(span)]);
        Clocks { idle: idle.unwrap_or(rest.idle), absolute: absolute.unwrap_or(rest.absolute) }
    }

    /// How long what idled out stays locked: nothing where the profile wants it gone at once.
    fn resume(&self, wider: &Self) -> Duration {
        let forbidden = self.profile().is_some_and(|profile| !profile.resumes());
        let wider = wider.resume.filter(|_| !forbidden);
        self.resume.or(wider).map_or(Duration::ZERO, |given| given.value.0)
    }

    /// Notes each limit of this place that is longer than `profile` allows (LIFE-5).
    fn bounded(&self, profile: Option<Profile>, check: &mut Check<'_>) {
        let Some(profile) = profile else { return };
        let longest = profile.longest();
        if let Some(given) = self.resume.filter(|given| !given.value.0.is_zero() && !profile.resumes()) {
            let word = profile.word();
            check.findings.error(
                given.at,
                format!("`resume_window` keeps what an ended session held, and `profile: {word}` wants it gone at once (ASVS 14.3.1)"),
                "remove one of the two lines",
            );
        }
        for (key, given, most) in
            [("idle_timeout", self.idle, longest.idle), ("absolute_timeout", self.absolute, longest.absolute)]
        {
            if let Some(Given { value: Span(span), at }) = given
                && *span > most
            {
                let (span, most) = (format_duration(*span), format_duration(most));
                let (word, source) = (profile.word(), profile.source());
                check.findings.error(
                    *at,
                    format!("`{key}` ({span}) is longer than `profile: {word}` allows ({source})"),
                    &format!("write `{key}: {most}` or less, or remove the line for the profile's own"),
                );
            }
        }
    }

    /// The limits, after what speaks against them was noted at the value that brought them together.
    fn prove(&self, Clocks { idle, absolute }: Clocks, check: &mut Check<'_>) -> Lifetime {
        if let Some(given) = self.resume.filter(|given| given.value.0 > Lifetime::MAX_RESUME) {
            let shown = format_duration(given.value.0);
            check.findings.error(
                given.at,
                format!("`resume_window` ({shown}) is longer than an hour"),
                "what an ended session kept is not to wait for long: write `1h` or less",
            );
        }
        let at = self.absolute.or(self.idle).map(|given| given.at);
        let at = at.or_else(|| self.profile.map(|given| given.at));
        let findings = &mut *check.findings;
        let (shown_idle, shown_absolute) = (format_duration(idle), format_duration(absolute));
        if idle < Duration::from_secs(1) {
            findings.missing(
                self.idle.map(|given| given.at).or(at),
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
        lifetime(Clocks { idle, absolute })
    }
}

/// A session never ranks above its login, and a password is one factor.
fn strong_enough(profile: Profile, at: At, check: &mut Check<'_>) {
    if let Some(clause) = profile.second_factor() {
        let Clocks { idle, absolute } = profile.clocks();
        let (idle, absolute) = (format_duration(idle), format_duration(absolute));
        check.findings.error(
            at,
            format!(
                "`profile: {}` asks for two factors at the login ({clause}), and a password alone is one",
                profile.word()
            ),
            &format!(
                "this version knows no second factor: write `profile: critical`, or the clocks without the name: `idle_timeout: {idle}` and `absolute_timeout: {absolute}`"
            ),
        );
    }
}

/// Nobody knows how an app asks its users who they are.
fn unknown_strength(profile: Profile, at: At, check: &mut Check<'_>) {
    let (word, Clocks { idle, absolute }) = (profile.word(), profile.clocks());
    let (idle, absolute) = (format_duration(idle), format_duration(absolute));
    check.findings.error(
        at,
        format!("`profile: {word}` asks for a login of known strength, and this site's is its app's own"),
        &format!(
            "write `profile: null` in the site, with the clocks alone: `idle_timeout: {idle}` and `absolute_timeout: {absolute}`"
        ),
    );
}

/// The same as a lifetime; where the limits make no sense, which was noted, the default's.
#[expect(clippy::expect_used, reason = "half an hour is less than a day")]
fn lifetime(Clocks { idle, absolute }: Clocks) -> Lifetime {
    Lifetime::new(idle, absolute).unwrap_or_else(|| {
        Lifetime::new(DEFAULT.idle, DEFAULT.absolute).expect("the defaults make sense together")
    })
}
