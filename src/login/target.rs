//! Where somebody goes after the login: a path on the same host that the gateway itself noted down and sealed.
//!
//! Nothing a client writes is ever believed (no `return_to=/path`, no header, no `Referer`): a value that this gateway
//! did not seal for this very host leads to `/`. What opens is checked once more, so that even an odd path the app
//! was asked for cannot turn into another host in a browser's eyes.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::clock::Timestamp;
use crate::crypto::Keys;
use crate::crypto::Sealer;
use crate::login::PREFIX;
use crate::login::way::Way;
use crate::net::Host;
use crate::session::lifetime::Why;

/// A path, with its query, that a browser is sure to ask of the host it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(Box<str>);

impl Target {
    /// Longer ones are forgotten: they would not fit the links and headers they travel in.
    const MAX_BYTES: usize = 4096;

    /// Reads a target: an absolute path that begins with one `/` however a browser, a proxy or the app may decode and
    /// shorten it, without control characters, spaces and backslashes, and not one of our own places.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let path = text.split(['?', '#']).next()?;
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        let clean = |part: &str| !part.chars().any(|c| c.is_control() || c == '\\');
        let fits = text.len() <= Self::MAX_BYTES && clean(text) && !text.contains(' ') && clean(&decoded);
        (fits && stays_here(&decoded)).then(|| Self(text.into()))
    }

    /// `/`.
    pub(crate) fn home() -> Self {
        Self("/".into())
    }

    /// Whether a form waits there.
    pub(crate) fn holds_form(&self) -> bool {
        self.0.starts_with("/.vestibule/held")
    }

    /// The path as it was.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `path`, once its dot segments are gone (RFC 3986 §5.2.4), still begins with exactly one slash and is none
/// of our own. The places of ours that may be returned to are those that a GET only shows.
fn stays_here(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let mut segments: Vec<&str> = Vec::new();
    for segment in rest.split('/') {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let scheme_relative = segments.len() > 1 && segments.first().is_some_and(|first| first.is_empty());
    let own = segments.first().is_some_and(|first| first.eq_ignore_ascii_case(PREFIX.trim_matches('/')));
    let shown = [".vestibule/password", ".vestibule/sessions", ".vestibule/signed-in", ".vestibule/held"];
    !scheme_relative && (!own || shown.contains(&rest))
}

/// Why somebody stands before the login page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There was no session.
    NoSession,
    /// There was one, and this ended it.
    Ended(Why),
    /// There is one, but what was asked for wants a login younger than it.
    Fresh,
}

/// What the gateway noted down when it sent somebody to the login page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Where to go afterwards.
    pub(crate) way: Way,
    /// Why they were sent.
    pub(crate) reason: Reason,
    /// When.
    pub(crate) issued: Timestamp,
}

/// Seals and opens destinations.
#[derive(Debug)]
pub(crate) struct Targets(Sealer);

impl Targets {
    /// A login tab left open over a long weekend still leads back; years-old links do not.
    const MAX_AGE: Duration = Duration::from_hours(7 * 24);

    /// With a key derived from the gateway's.
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(keys.sealer("return target"))
    }

    /// The sealed form of a destination on `host`.
    pub(crate) fn seal(&self, destination: &Destination, host: &Host) -> String {
        let mut plain = destination.issued.as_millis().to_be_bytes().to_vec();
        plain.push(code(destination.reason));
        plain.extend_from_slice(destination.way.to_text().as_bytes());
        self.0.seal(&plain, host.as_str().as_bytes())
    }

    /// The destination in `sealed`, if this gateway sealed it for `host` not too long ago and it is still a place to
    /// go.
    pub(crate) fn open(&self, sealed: &str, host: &Host, now: Timestamp) -> Option<Destination> {
        let plain = self.0.open(sealed.as_bytes(), host.as_str().as_bytes())?;
        let (issued, rest) = plain.split_first_chunk::<8>()?;
        let (reason, way) = rest.split_first()?;
        let issued = Timestamp::from_millis(u64::from_be_bytes(*issued));
        let way = Way::parse(std::str::from_utf8(way).ok()?)?;
        (now.since(issued) <= Self::MAX_AGE).then_some(Destination {
            way,
            reason: reason_of(*reason)?,
            issued,
        })
    }
}

const REASONS: [(u8, Reason); 14] = [
    (0, Reason::NoSession),
    (1, Reason::Ended(Why::Idle)),
    (2, Reason::Ended(Why::Absolute)),
    (3, Reason::Ended(Why::LoggedOut)),
    (4, Reason::Ended(Why::Replaced)),
    (5, Reason::Ended(Why::UserRemoved)),
    (6, Reason::Ended(Why::Administrator)),
    (7, Reason::Fresh),
    (8, Reason::Ended(Why::TooMany)),
    (9, Reason::Ended(Why::Stolen)),
    (10, Reason::Ended(Why::EndedElsewhere)),
    (11, Reason::Ended(Why::OtherGateway)),
    (12, Reason::Ended(Why::NotHeard)),
    (13, Reason::Ended(Why::VaultLost)),
];

fn code(reason: Reason) -> u8 {
    REASONS.iter().find(|(_, known)| *known == reason).map_or(0, |(code, _)| *code)
}

fn reason_of(code: u8) -> Option<Reason> {
    REASONS.iter().find(|(known, _)| *known == code).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;

    fn host(name: &str) -> Host {
        Host::parse(name).unwrap()
    }

    #[test]
    fn honest_targets_are_kept_to_the_byte() {
        for good in [
            "/",
            "/a",
            "/a/",
            "/a/b?x=1",
            "/?next=//x",
            "/a?next=//x&u=https://y",
            "/cb?error_description=https://idp.example/why",
            "/p#frag",
            "/ü",
            "/a%2fb",
            "/a%20b",
            "/a//b",
            "/a/../b",
            "/a?q=%0d%0a",
            "/a?path=/.vestibule/logout",
            "/x/.vestibule/y",
            "/vestibule/",
            "/@evil.test",
            "/:80",
            "/a;b=c",
            "/a?b=c\u{e9}",
            "/.vestibule/password",
            "/.vestibule/sessions",
            "/.vestibule/signed-in",
            "/.vestibule/held?form=00",
        ] {
            assert_eq!(Target::parse(good).as_ref().map(Target::as_str), Some(good), "{good:?} was lost");
        }
    }

    #[test]
    fn whatever_could_lead_elsewhere_is_refused() {
        let long = format!("/{}", "a".repeat(4096));
        for bad in [
            "",
            "a",
            "evil.test",
            "//evil.test",
            "///evil.test",
            "////evil.test",
            "/\\evil.test",
            "\\/evil.test",
            "\\\\evil.test",
            "/\t/evil.test",
            "/\t/\\\\evil.test",
            "\t//evil.test",
            "/%09/evil.test",
            "%09//evil.test",
            "/ /evil.test",
            " //evil.test",
            "/\u{b}/evil.test",
            "/\n/evil.test",
            "/\r\nSet-Cookie: a=b",
            "/%0d%0aSet-Cookie:a=b",
            "/\0",
            "/a%00",
            "/.//evil.test",
            "/./\\evil.test",
            "/..//evil.test",
            "/a/..//evil.test",
            "/%2e//evil.test",
            "/%2e%2e//evil.test",
            "/%2f%2fevil.test",
            "/%2fevil.test",
            "/%2Fevil.test",
            "/%5cevil.test",
            "/%5Cevil.test",
            "/a\\b",
            "/\u{85}/evil.test",
            "javascript:alert(1)",
            "data:text/html,x",
            "https:evil.test",
            "https://evil.test",
            "http:///evil.test",
            "HTTPS://evil.test",
            "x:1/:///%01javascript:alert(1)",
            "@evil.test",
            "?a",
            "#a",
            "/.vestibule/",
            "/.vestibule",
            "/.vestibule/login",
            "/.vestibule/logout",
            "/.Vestibule/logout",
            "/%2evestibule/logout",
            "/a/../.vestibule/logout",
            "/./.vestibule/logout",
            "/.vestibule/./sessions",
            &long,
        ] {
            assert_eq!(Target::parse(bad), None, "{bad:?} passed");
        }
    }

    #[test]
    fn a_sealed_destination_opens_on_its_host_for_a_week() {
        let targets = Targets::new(&Key::generate().into());
        let issued = Timestamp::from_millis(1_000_000);
        let app = host("app.example");
        for (_, reason) in REASONS {
            let destination =
                Destination { way: Way::here(Target::parse("/reports?id=7&u=//x").unwrap()), reason, issued };
            let sealed = targets.seal(&destination, &app);
            let open = |host: &Host, now| targets.open(&sealed, host, now);
            assert_eq!(open(&app, issued.after(Targets::MAX_AGE)), Some(destination));
            assert_eq!(open(&host("other.example"), issued), None);
            let late = issued.after(Targets::MAX_AGE + Duration::from_millis(1));
            assert_eq!(open(&app, late), None);
        }
    }

    #[test]
    fn every_end_of_a_session_is_told_at_the_login() {
        for why in Why::ALL {
            assert_eq!(reason_of(code(Reason::Ended(why))), Some(Reason::Ended(why)));
        }
    }

    #[test]
    fn what_was_not_sealed_here_does_not_open() {
        let targets = Targets::new(&Key::generate().into());
        for bad in ["", "/", "/a", "//evil.test", "AAAA", "%2Fa"] {
            assert_eq!(targets.open(bad, &host("app.example"), Timestamp::from_millis(0)), None);
        }
    }
}
