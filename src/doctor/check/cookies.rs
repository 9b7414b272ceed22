//! How cookies are set.

use std::collections::BTreeSet;
use std::time::Duration;

use cookie::SameSite;

use crate::doctor::catalogue;
use crate::doctor::cookie::Life;
use crate::doctor::cookie::MOST;
use crate::doctor::cookie::SetCookie;
use crate::doctor::cookie::days;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Status;
use crate::doctor::seen::Seen;
use crate::doctor::seen::Visit;
use crate::doctor::shown::shown;

/// Names that tell what software a site runs on (OWASP Session Management, "Session ID Name Fingerprinting").
const TELLING: [(&str, &str); 13] = [
    ("phpsessid", "PHP"),
    ("jsessionid", "Java"),
    ("asp.net_sessionid", "ASP.NET"),
    ("aspsessionid", "ASP"),
    ("cfid", "ColdFusion"),
    ("cftoken", "ColdFusion"),
    ("connect.sid", "Express"),
    ("koa:sess", "Koa"),
    ("rack.session", "Ruby"),
    ("laravel_session", "Laravel"),
    ("ci_session", "CodeIgniter"),
    ("wordpress_logged_in", "WordPress"),
    ("sessionid", "Django"),
];

/// No browser keeps a cookie longer (RFC 6265bis §5.5).
const LONGEST: Duration = Duration::from_hours(400 * 24);

pub(super) fn check(seen: &Seen) -> Vec<Finding> {
    let mut findings = vec![secure(seen)];
    let sessions = distinct(seen, |cookie| seen.is_session(&cookie.name) && !cookie.is_deletion());
    let all = [http_only, same_site, host_only, prefix, lifetime, name];
    findings.extend(all.map(|check| check(&sessions)));
    findings.push(grammar(seen));
    findings
}

/// A cookie, and where it was set first.
type Set<'a> = (&'a Visit, &'a SetCookie);

/// Each way in which a cookie was set, once.
fn distinct(seen: &Seen, wanted: impl Fn(&SetCookie) -> bool) -> Vec<Set<'_>> {
    let mut known = BTreeSet::new();
    let all = seen.visits().flat_map(|visit| visit.cookies.iter().map(move |cookie| (visit, cookie)));
    all.filter(|(_, cookie)| wanted(cookie) && known.insert((cookie.name.clone(), cookie.attributes())))
        .collect()
}

fn evidence(sets: &[Set<'_>], bad: impl Fn(&SetCookie) -> bool) -> Vec<String> {
    let bad = sets.iter().filter(|(_, cookie)| bad(cookie));
    bad.map(|(visit, cookie)| format!("{}: {}", visit.label(), cookie.redacted())).collect()
}

const NO_SESSION: &str =
    "strangers were given no cookie that looks like a session; `--cookie NAME` says which one is";

fn secure(seen: &Seen) -> Finding {
    let sets = distinct(seen, |cookie| !cookie.is_deletion());
    if sets.is_empty() {
        return catalogue::COOKIE_SECURE.skipped("strangers were given no cookie");
    }
    let says = "cookies are set without Secure: browsers also send them in the clear, where anybody on the way reads them";
    catalogue::COOKIE_SECURE.unless(evidence(&sets, |cookie| !cookie.secure), Status::Fail, says)
}

fn http_only(sets: &[Set<'_>]) -> Finding {
    if sets.is_empty() {
        return catalogue::COOKIE_HTTP_ONLY.skipped(NO_SESSION);
    }
    let says = "the session cookie is not HttpOnly: any script on its pages can read and send it away";
    catalogue::COOKIE_HTTP_ONLY.unless(evidence(sets, |cookie| !cookie.http_only), Status::Fail, says)
}

fn same_site(sets: &[Set<'_>]) -> Finding {
    if sets.is_empty() {
        return catalogue::COOKIE_SAME_SITE.skipped(NO_SESSION);
    }
    let safe = |cookie: &SetCookie| matches!(cookie.same_site, Some(SameSite::Lax | SameSite::Strict));
    let says =
        "the session cookie does not say SameSite=Lax or Strict: requests that other sites make carry it";
    catalogue::COOKIE_SAME_SITE.unless(evidence(sets, |cookie| !safe(cookie)), Status::Fail, says)
}

fn host_only(sets: &[Set<'_>]) -> Finding {
    if sets.is_empty() {
        return catalogue::COOKIE_HOST_ONLY.skipped(NO_SESSION);
    }
    let says = "the session cookie has a Domain: every host below it is sent it, and the weakest of them can take it";
    catalogue::COOKIE_HOST_ONLY.unless(evidence(sets, |cookie| cookie.domain.is_some()), Status::Fail, says)
}

fn prefix(sets: &[Set<'_>]) -> Finding {
    if sets.is_empty() {
        return catalogue::COOKIE_PREFIX.skipped(NO_SESSION);
    }
    let starts = |name: &str| name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("__Host-"));
    let says =
        "the session cookie's name does not begin with __Host-: another host of the domain can plant one";
    catalogue::COOKIE_PREFIX.unless(evidence(sets, |cookie| !starts(&cookie.name)), Status::Warn, says)
}

fn lifetime(sets: &[Set<'_>]) -> Finding {
    if sets.is_empty() {
        return catalogue::COOKIE_LIFETIME.skipped(NO_SESSION);
    }
    let time = |cookie: &SetCookie| match cookie.life {
        Life::Persistent(time) => Some(time),
        Life::BrowserSession | Life::Deleted => None,
    };
    let longest = sets.iter().filter_map(|(_, cookie)| time(cookie)).max().unwrap_or_default();
    let cut = if longest > LONGEST { ", longer than any browser does" } else { "" };
    let says = format!(
        "the session cookie is kept for {}{cut}: also by the browser of a shared machine",
        days(longest)
    );
    catalogue::COOKIE_LIFETIME.unless(evidence(sets, |cookie| time(cookie).is_some()), Status::Warn, &says)
}

fn name(sets: &[Set<'_>]) -> Finding {
    if sets.is_empty() {
        return catalogue::COOKIE_NAME.skipped(NO_SESSION);
    }
    let software = |name: &str| {
        let name = name.to_ascii_lowercase();
        let exact = |known: &str| name == known || (known.len() > 9 && name.starts_with(known));
        TELLING.iter().find(|(known, _)| exact(known)).map(|(_, software)| *software)
    };
    let telling = sets.iter().filter_map(|(_, cookie)| Some((cookie, software(&cookie.name)?)));
    let mut evidence: Vec<_> = telling
        .map(|(cookie, software)| format!("`{}` is what {software} calls it", shown(&cookie.name)))
        .collect();
    evidence.dedup();
    let says = "the session cookie's name tells what software runs here";
    catalogue::COOKIE_NAME.unless(evidence, Status::Warn, says)
}

fn grammar(seen: &Seen) -> Finding {
    const MOST_BYTES: usize = 4096;
    let mut evidence = Vec::new();
    for visit in seen.visits() {
        let label = visit.label();
        let mut names = BTreeSet::new();
        for cookie in visit.cookies.iter().filter(|cookie| !cookie.is_deletion()) {
            if !names.insert(&cookie.name) {
                evidence.push(format!("{label}: `{}` is set twice in one answer", shown(&cookie.name)));
            }
            if cookie.name.len() + cookie.value.expose().len() > MOST_BYTES {
                evidence.push(format!("{label}: `{}` is longer than browsers keep", shown(&cookie.name)));
            }
            if cookie.same_site == Some(SameSite::None) && !cookie.secure {
                evidence.push(format!("{label}: `{}` is SameSite=None without Secure", shown(&cookie.name)));
            }
        }
        if visit.cookie_lines > MOST {
            evidence.push(format!(
                "{label}: {} cookies in one answer; {MOST} were looked at",
                visit.cookie_lines
            ));
        } else if visit.cookies.len() < visit.cookie_lines {
            let unreadable = visit.cookie_lines - visit.cookies.len();
            evidence.push(format!("{label}: {unreadable} unreadable Set-Cookie"));
        }
    }
    evidence.sort();
    evidence.dedup();
    if evidence.is_empty() && seen.visits().all(|visit| visit.cookies.is_empty()) {
        return catalogue::COOKIE_GRAMMAR.skipped("strangers were given no cookie");
    }
    catalogue::COOKIE_GRAMMAR.unless(
        evidence,
        Status::Warn,
        "cookies are written so that browsers read them differently, or drop them",
    )
}
