//! What came of logging in and out.

use cookie::SameSite;

use crate::doctor::active::Acted;
use crate::doctor::active::person::ForeignLogin;
use crate::doctor::catalogue::active;
use crate::doctor::check::ids::judge_caching;
use crate::doctor::finding::Check;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Status;
use crate::doctor::shown::shown;

/// One finding for each of [`ACTIVE`](crate::doctor::catalogue::active::ACTIVE).
pub(crate) fn check(acted: &Acted) -> Vec<Finding> {
    vec![
        new_id(acted),
        planted(acted),
        logout_ends(acted),
        logout_clears(acted),
        if_logout_works(acted, logout_by_get(acted)),
        if_logout_works(acted, foreign_logout(acted)),
        foreign_login(acted),
        yes_is(
            &active::ID_FROM_URL,
            acted.id_from_url,
            Status::Fail,
            "the session is also taken from the address, where anybody can put one",
        ),
        private_cached(acted),
        yes_is(
            &active::OTHER_BROWSER,
            acted.other_browser,
            Status::Info,
            "the session works in another kind of browser: a stolen one is not noticed by that",
        ),
        yes_is(
            &active::TWO_AT_ONCE,
            acted.two_at_once,
            Status::Info,
            "one account can have several sessions; see that there is a limit, and that it is written down",
        ),
    ]
}

const NOT_TRIED: &str = "the look did not get that far, or the recipe has no `logout`";

/// `status` and `says` if something is so, else passed.
fn yes_is(check: &'static Check, so: Option<bool>, status: Status, says: &str) -> Finding {
    match so {
        None => check.skipped(NOT_TRIED),
        Some(false) => check.passes(),
        Some(true) => check.is(status, says).seen(seen_as(check)),
    }
}

/// What was done to find out.
fn seen_as(check: &'static Check) -> &'static str {
    match check.name {
        "logout_by_get" => "after GET of the logout's address, the private page was closed",
        "foreign_logout" => {
            "after the form with another site's Origin and no token, the private page was closed"
        }
        "id_from_url" => "the private page was open with the session in its address and no cookie",
        "other_browser" => "the private page was open with the same cookies and another User-Agent",
        "two_at_once" => "after a second login, the first one's private page was open",
        _ => "it was tried",
    }
}

fn new_id(acted: &Acted) -> Finding {
    let check = &active::LOGIN_NEW_ID;
    match (acted.kept_id, acted.old_id_opens) {
        (None, _) if acted.session.is_some() => check
            .is(Status::Pass, "there is no session before the login, and one with an id of its own after it"),
        (None, _) => check.skipped("no cookie was found that is the session"),
        (Some(true), _) => check
            .is(Status::Fail, "the id stays the same at login: whoever knew or planted it before is in too")
            .seen(format!("`{}` had the same value before and after the login", name(acted))),
        (Some(false), Some(true)) => check
            .is(Status::Fail, "the id from before the login opens the private page too")
            .seen(format!("the private page was open with `{}` as it was before the login", name(acted))),
        (Some(false), Some(false)) => check.passes(),
        (Some(false), None) => check.skipped(NOT_TRIED),
    }
}

fn planted(acted: &Acted) -> Finding {
    let check = &active::LOGIN_PLANTED_ID;
    match (acted.planted_kept, acted.planted_opens) {
        (None, _) if acted.session.is_none() => check.skipped("no cookie was found that is the session"),
        (None, _) | (_, None) => check.skipped(NOT_TRIED),
        (_, Some(true)) => check
            .is(
                Status::Fail,
                "a session that was planted in a browser is logged in with it: whoever planted it is in too",
            )
            .seen(format!("the private page was open with the made-up `{}` alone", name(acted))),
        (Some(true), Some(false)) => check
            .is(Status::Warn, "a made-up id stays in the browser at login, though it opens nothing by itself")
            .seen(format!("`{}` still had the made-up value", name(acted))),
        (Some(false), Some(false)) => check.passes(),
    }
}

fn logout_ends(acted: &Acted) -> Finding {
    let check = &active::LOGOUT_ENDS;
    if let (Some(why), true) =
        (&acted.logout_elsewhere, [acted.still_in, acted.old_opens].contains(&Some(true)))
    {
        return check.skipped(why);
    }
    match (acted.still_in, acted.old_opens) {
        (None, _) | (Some(false), None) => check.skipped(NOT_TRIED),
        (Some(true), _) => check
            .is(Status::Fail, "after logging out, the browser is still in")
            .seen("after the recipe's logout, the private page was open; see that its `action` and `page` are right"),
        (Some(false), Some(true)) => check
            .is(Status::Fail, "logout only forgets the cookie: the session lives on, and whoever has a copy is still in")
            .seen("after logout, the private page was open with the cookies from before it"),
        (Some(false), Some(false)) => check.passes(),
    }
}

fn logout_clears(acted: &Acted) -> Finding {
    match acted.cookie_left {
        None => active::LOGOUT_CLEARS.skipped(NOT_TRIED),
        Some(false) => active::LOGOUT_CLEARS.passes(),
        Some(true) => active::LOGOUT_CLEARS
            .is(Status::Warn, "logout leaves the session cookie in the browser")
            .seen(format!("`{}` was neither deleted nor replaced", name(acted))),
    }
}

/// How bad a logout from elsewhere is depends on which requests of other sites carry the session.
fn same_site(acted: &Acted) -> Option<SameSite> {
    let mut cookies = acted.inside.iter().flat_map(|visit| &visit.cookies);
    cookies.rfind(|cookie| Some(&cookie.name) == acted.session.as_ref())?.same_site
}

fn logout_by_get(acted: &Acted) -> Finding {
    let (status, says) = match same_site(acted) {
        Some(SameSite::None) => {
            (Status::Fail, "an address alone logs out: any picture on any page can do it")
        }
        None => (
            Status::Fail,
            "an address alone logs out: a link on any page does it, and in some browsers a picture",
        ),
        Some(SameSite::Lax) => {
            (Status::Warn, "an address alone logs out: a link does it that somebody follows on any page")
        }
        Some(SameSite::Strict) => (
            Status::Warn,
            "an address alone logs out; the cookie's SameSite is all that keeps other sites from it",
        ),
    };
    yes_is(&active::LOGOUT_BY_GET, acted.logout_by_get, status, says)
}

fn foreign_logout(acted: &Acted) -> Finding {
    let (status, says) = match same_site(acted) {
        Some(SameSite::Lax | SameSite::Strict) => (
            Status::Warn,
            "the server itself carries out forms of other sites; the cookie's SameSite is all that is in the way",
        ),
        None | Some(SameSite::None) => (
            Status::Fail,
            "a form on another site's page logs out; others that change something may be carried out likewise",
        ),
    };
    yes_is(&active::FOREIGN_LOGOUT, acted.foreign_logout, status, says)
}

/// That nothing logged out is something only if the recipe's own logout does.
fn if_logout_works(acted: &Acted, finding: Finding) -> Finding {
    if finding.status == Status::Pass && acted.still_in != Some(false) {
        return finding.check.skipped("the recipe's own logout did not log out either");
    }
    finding
}

fn foreign_login(acted: &Acted) -> Finding {
    let check = &active::FOREIGN_LOGIN;
    let how = match acted.foreign_login {
        None => return check.skipped(NOT_TRIED),
        Some(ForeignLogin::Unclear(status)) => {
            return check.skipped(format!("the login from elsewhere was answered {status}"));
        }
        Some(ForeignLogin::Refused) => return check.passes(),
        Some(ForeignLogin::ByForm) => "the form with another site's Origin and no token",
        Some(ForeignLogin::ByText) => {
            "the same JSON as text/plain, which any form can send, with another site's Origin"
        }
        Some(ForeignLogin::ByScript) => {
            "JSON with another site's Origin, for which the site answers that its scripts may"
        }
        Some(ForeignLogin::ByScriptInVain) => {
            return check
                .is(Status::Warn, "the site lets another site's scripts log in; that browsers keep no cookie of it is all that is in the way")
                .seen("JSON with another site's Origin was taken, but its cookie does not say SameSite=None; Secure");
        }
    };
    check
        .is(Status::Fail, "another site's page logs a browser in, as whomever that page likes")
        .seen(format!("after {how}, the private page was open"))
}

fn private_cached(acted: &Acted) -> Finding {
    let check = &active::PRIVATE_CACHED;
    let Some(page) = acted.inside.last() else { return check.skipped(NOT_TRIED) };
    let (status, evidence) = judge_caching(page);
    match status {
        Status::Pass | Status::Info | Status::Skip => check.passes(),
        Status::Fail => {
            check.is(status, "caches may keep the private page, and show it to others").seen(evidence)
        }
        Status::Warn => check
            .is(status, "the private page does not say no-store: it stays in the browser after logout")
            .seen(evidence),
    }
}

fn name(acted: &Acted) -> String {
    acted.session.as_deref().map(shown).unwrap_or_default()
}

#[cfg(test)]
mod tests;
