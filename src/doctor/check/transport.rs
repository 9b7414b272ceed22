//! How bytes travel: TLS, its certificate, and what becomes of plain HTTP.

use std::io::ErrorKind;
use std::time::Duration;

use http::header::STRICT_TRANSPORT_SECURITY;

use crate::doctor::catalogue;
use crate::doctor::client::Reach;
use crate::doctor::client::Trouble;
use crate::doctor::cookie::days;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Status;
use crate::doctor::seen::Seen;
use crate::doctor::shown::shown;
use crate::doctor::shown::shown_url;
use crate::doctor::target::Target;
use crate::doctor::tls::Handshake;

/// A certificate that ends within this should have been renewed.
const SOON: Duration = Duration::from_hours(14 * 24);
/// ASVS 3.4.1.
const YEAR: u64 = 31_536_000;

pub(super) fn check(seen: &Seen) -> Vec<Finding> {
    vec![https_only(seen), certificate(seen), version(seen), hsts(seen)]
}

/// The first handshake of the look.
fn handshake(seen: &Seen) -> Option<&Handshake> {
    seen.front.iter().find_map(|visit| visit.answer.tls.as_ref())
}

const PLAIN: &str = "the site was reached over plain HTTP";

fn https_only(seen: &Seen) -> Finding {
    let check = &catalogue::HTTPS_ONLY;
    let Some(last) = seen.front.last() else { return check.skipped("the site was not reached") };
    let in_clear: Vec<String> = seen
        .front
        .iter()
        .chain(seen.plain.iter().flatten())
        .filter(|visit| visit.url.scheme() == "http")
        .flat_map(|visit| visit.cookies.iter().map(move |cookie| (visit, cookie)))
        .filter(|(_, cookie)| !cookie.is_deletion())
        .map(|(visit, cookie)| format!("{}: {}", shown_url(&visit.url), cookie.redacted()))
        .collect();
    if last.url.scheme() == "http" && seen.is_away(last) && in_clear.is_empty() {
        return check.skipped("it leads to another host, which was not looked at; name that one");
    }
    if last.url.scheme() == "http" {
        let says = "the site works over plain HTTP: everybody on the way reads and changes what is sent";
        return check
            .is(Status::Fail, says)
            .seen(format!("{} answered", shown_url(&last.url)))
            .seen_all(in_clear);
    }
    if !in_clear.is_empty() {
        return check.is(Status::Fail, "cookies are set over plain HTTP").seen_all(in_clear);
    }
    match &seen.plain {
        None if seen.target.url().scheme() == "http" => check.passes(),
        None => check.skipped(
            "plain HTTP was not asked, since the site's port is not 443; `--http-port PORT` says where it is",
        ),
        // Where nobody listens nothing is sent; anything else may be different for others.
        Some(Err(Trouble::Connect(error))) if error.kind() == ErrorKind::ConnectionRefused => {
            check.passes().seen(format!("plain HTTP: {error}"))
        }
        Some(Err(trouble)) => check.skipped(format!("plain HTTP could not be asked: {trouble}")),
        Some(Ok(visit)) => match visit.leads_to() {
            Some(next) if next.scheme() == "https" => {
                check.passes().seen(format!("{} leads to {}", shown_url(&visit.url), shown_url(&next)))
            }
            Some(_) | None if visit.answer.status < 400 => check
                .is(Status::Fail, "plain HTTP is answered and does not lead to https")
                .seen(format!("{} answered {}", shown_url(&visit.url), visit.answer.status)),
            Some(_) | None if visit.answer.status >= 500 || visit.answer.status == 429 => {
                check.skipped(format!("plain HTTP could not be asked: it answers {}", visit.answer.status))
            }
            Some(_) | None => {
                check.passes().seen(format!("{} refused with {}", shown_url(&visit.url), visit.answer.status))
            }
        },
    }
}

fn certificate(seen: &Seen) -> Finding {
    let check = &catalogue::TLS_CERTIFICATE;
    let Some(handshake) = handshake(seen) else { return check.skipped(PLAIN) };
    if let Some(reason) = &handshake.untrusted {
        let status = if seen.target.has_public_name() { Status::Fail } else { Status::Info };
        let says =
            "browsers do not trust the certificate; `--ca-file FILE` names one that is meant to be trusted";
        return check.is(status, says).seen(shown(reason));
    }
    let Some(end) = handshake.expires else { return check.passes() };
    let left = end.since(seen.now);
    if left < SOON {
        let says = format!("the certificate ends in {}", days(left));
        return check.is(Status::Warn, says).seen(format!("notAfter: {end}"));
    }
    check.passes().seen(format!("it ends in {}", days(left)))
}

fn version(seen: &Seen) -> Finding {
    let check = &catalogue::TLS_VERSION;
    let Some(handshake) = handshake(seen) else { return check.skipped(PLAIN) };
    let spoken = format!("TLS {} was agreed on", handshake.version);
    match seen.old_tls {
        Some(true) => check.is(Status::Fail, "TLS 1.1, or older, is still spoken").seen(spoken),
        Some(false) => check.passes().seen(spoken),
        None => check.skipped(format!("{spoken}; whether 1.1 is refused could not be asked")),
    }
}

fn hsts(seen: &Seen) -> Finding {
    let check = &catalogue::HSTS;
    let Some(handshake) = handshake(seen) else { return check.skipped(PLAIN) };
    if !seen.target.has_public_name() {
        return check.skipped("browsers remember it for public names alone (RFC 6797 §8.1)");
    }
    if handshake.untrusted.is_some() {
        return check.skipped("browsers ignore it where the certificate is not trusted (RFC 6797 §8.1)");
    }
    let Some(visit) = seen.front.iter().find(|visit| visit.url.scheme() == "https") else {
        return check.skipped(PLAIN);
    };
    let value = visit.field(&STRICT_TRANSPORT_SECURITY);
    let age = value.split([';', ',']).find_map(|part| {
        let (name, age) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("max-age")
            .then(|| age.trim().trim_matches('"').parse::<u64>().ok())?
    });
    match age {
        None | Some(0) => check
            .is(
                Status::Fail,
                "browsers are not told to use https alone: a first request can be caught in the clear",
            )
            .seen(format!("{}: no Strict-Transport-Security that counts", visit.label())),
        Some(age) if age < YEAR => check
            .is(
                Status::Warn,
                format!("browsers are told to use https alone for {} only", days(Duration::from_secs(age))),
            )
            .seen(format!("{}: Strict-Transport-Security: {}", visit.label(), shown(&value))),
        Some(_) => check.passes(),
    }
}

/// What became of a connection from here to the app's own address, which the gateway alone should reach.
pub(crate) fn app_reachable(app: &Target, site: &Target, reach: Reach) -> Finding {
    let check = &catalogue::APP_REACHABLE;
    if app.url().origin() == site.url().origin() {
        return check
            .skipped("that is the address of the site itself; `--app` is the one behind the gateway");
    }
    if app.is_this_machine() {
        return check.skipped("every program of a machine reaches its loopback: run this where browsers are");
    }
    match reach {
        Reach::Open => check
            .is(Status::Fail, "the app can be reached past the gateway: whoever does so says who they are")
            .seen(format!("{app} took a connection")),
        Reach::Closed(how) => check.passes().seen(format!("{app}, from this machine: {how}")),
        Reach::Unclear(why) => check.skipped(format!("{app} could not be tried: {why}")),
    }
}
