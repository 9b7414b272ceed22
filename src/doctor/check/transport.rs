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
    if last.url.scheme() == "http" {
        let other_host = last.leads_to().is_some_and(|next| !seen.target.has_host_of(&next));
        if other_host && in_clear.is_empty() {
            return check.skipped(seen.elsewhere(&seen.front).unwrap_or_default());
        }
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
        Some(Err(Trouble::Connect(error))) if error.kind() == ErrorKind::ConnectionRefused => {
            check.passes().seen("plain HTTP: the connection is refused")
        }
        Some(Err(trouble)) => check.skipped(format!("plain HTTP could not be asked: {trouble}")),
        Some(Ok(visit)) if visit.is_turned_away() => {
            check.skipped(format!("plain HTTP could not be asked: it answered {}", visit.answer.status))
        }
        Some(Ok(visit)) => match visit.leads_to() {
            Some(next) if next.scheme() == "https" => {
                check.passes().seen(format!("{} leads to {}", shown_url(&visit.url), shown_url(&next)))
            }
            Some(next) if !seen.target.has_host_of(&next) => {
                check.skipped(seen.elsewhere(std::slice::from_ref(visit)).unwrap_or_default())
            }
            Some(_) | None if visit.answer.status < 400 => check
                .is(Status::Fail, "plain HTTP is answered and does not lead to https")
                .seen(format!("{} answered {}", shown_url(&visit.url), visit.answer.status)),
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
    let Some(end) = handshake.expires else {
        return check.skipped("when the certificate ends could not be read");
    };
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

/// Whether the app's own address, which the gateway alone should reach, took a connection from here.
pub(crate) fn app_reachable(app: &Target, site: &Target, reach: Reach) -> Finding {
    let check = &catalogue::APP_REACHABLE;
    let own = app.is_this_machine() || site.is_this_machine() || matches!(reach, Reach::Own);
    match reach {
        Reach::Unknown(why) => check.skipped(format!("{app} could not be tried: {}", shown(why))),
        _ if own => check.skipped(
            "this is the app's or the gateway's own machine, which may reach the app: run this where browsers are",
        ),
        _ if app.url().origin() == site.url().origin() => {
            check.skipped("this is the address of the site itself; name the one behind the gateway")
        }
        Reach::Taken | Reach::Own => check
            .is(Status::Fail, "the app can be reached past the gateway: whoever does so says who they are")
            .seen(format!("{app} took a connection")),
        Reach::NotTaken(shows) => check.passes().seen(format!("{app}: {}", shown(shows))),
    }
}
