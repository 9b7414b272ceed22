//! What came of made-up logins.

use super::*;
use crate::doctor::check::tests::visit;

fn status(acted: &Acted, by: &'static Check) -> Status {
    check(acted).into_iter().find(|finding| finding.check.name == by.name).unwrap().status
}

/// Somebody logged in, and all was well.
fn well() -> Acted {
    let no = Some(false);
    Acted {
        session: Some("sid".to_owned()),
        inside: vec![visit("https://app.example/notes", 200, &[("cache-control", "no-store")], "")],
        kept_id: no,
        old_id_opens: no,
        planted_kept: no,
        planted_opens: no,
        two_at_once: no,
        other_browser: no,
        id_from_url: no,
        foreign_logout: no,
        logout_by_get: no,
        foreign_login: Some(ForeignLogin::Refused),
        logout_elsewhere: None,
        still_in: no,
        cookie_left: no,
        old_opens: no,
        samples: Vec::new(),
    }
}

#[test]
fn every_check_comes_to_something_once() {
    let names = |acted: &Acted| check(acted).iter().map(|finding| finding.check.name).collect::<Vec<_>>();
    let mut all: Vec<_> = active::ACTIVE.iter().map(|check| check.name).collect();
    all.sort_unstable();
    for acted in [Acted::default(), well()] {
        let mut names = names(&acted);
        names.sort_unstable();
        assert_eq!(names, all);
    }
    assert!(check(&well()).iter().all(|finding| finding.status == Status::Pass));
    assert!(check(&Acted::default()).iter().all(|finding| finding.status == Status::Skip));
}

#[test]
fn each_fault_is_found_by_its_check() {
    use Status::{Fail, Info, Skip, Warn};
    let yes = Some(true);
    for (acted, by, expected) in [
        (Acted { kept_id: yes, ..well() }, &active::LOGIN_NEW_ID, Fail),
        (Acted { old_id_opens: None, ..well() }, &active::LOGIN_NEW_ID, Skip),
        (Acted { planted_kept: None, ..well() }, &active::LOGIN_PLANTED_ID, Skip),
        (Acted { planted_opens: None, ..well() }, &active::LOGIN_PLANTED_ID, Skip),
        (Acted { old_opens: None, ..well() }, &active::LOGOUT_ENDS, Skip),
        (Acted { old_id_opens: yes, ..well() }, &active::LOGIN_NEW_ID, Fail),
        (Acted { planted_opens: yes, ..well() }, &active::LOGIN_PLANTED_ID, Fail),
        (Acted { planted_kept: yes, ..well() }, &active::LOGIN_PLANTED_ID, Warn),
        (Acted { old_opens: yes, ..well() }, &active::LOGOUT_ENDS, Fail),
        (Acted { cookie_left: yes, ..well() }, &active::LOGOUT_CLEARS, Warn),
        (Acted { logout_by_get: yes, ..well() }, &active::LOGOUT_BY_GET, Fail),
        (Acted { foreign_logout: yes, ..well() }, &active::FOREIGN_LOGOUT, Fail),
        (Acted { foreign_login: Some(ForeignLogin::ByText), ..well() }, &active::FOREIGN_LOGIN, Fail),
        (Acted { foreign_login: Some(ForeignLogin::ByScript), ..well() }, &active::FOREIGN_LOGIN, Fail),
        (Acted { foreign_login: Some(ForeignLogin::ByScriptInVain), ..well() }, &active::FOREIGN_LOGIN, Warn),
        (Acted { id_from_url: yes, ..well() }, &active::ID_FROM_URL, Fail),
        (Acted { other_browser: yes, ..well() }, &active::OTHER_BROWSER, Info),
        (Acted { two_at_once: yes, ..well() }, &active::TWO_AT_ONCE, Info),
    ] {
        assert_eq!(status(&acted, by), expected, "{}", by.name);
        let mut others = check(&acted).into_iter().filter(|finding| finding.check.name != by.name);
        // Where nobody gets out, nothing is proven by that nobody was thrown out.
        let is_well = |status| status == Status::Pass || acted.still_in == yes && status == Skip;
        assert!(others.all(|finding| is_well(finding.status)), "{}", by.name);
    }
}

#[test]
fn what_a_logout_proves_depends_on_whether_it_logs_out() {
    use Status::{Fail, Skip};
    let useless = Acted { still_in: Some(true), ..well() };
    assert_eq!(status(&useless, &active::LOGOUT_ENDS), Fail);
    assert_eq!(status(&useless, &active::FOREIGN_LOGOUT), Skip);
    assert_eq!(status(&useless, &active::LOGOUT_BY_GET), Skip);
    let elsewhere = Acted { logout_elsewhere: Some("it leads to x".to_owned()), ..useless };
    assert_eq!(status(&elsewhere, &active::LOGOUT_ENDS), Skip);
}

#[test]
fn a_cookie_that_other_sites_requests_lack_makes_a_forged_logout_less_bad() {
    let with = |line: &str| Acted {
        foreign_logout: Some(true),
        logout_by_get: Some(true),
        inside: vec![visit("https://app.example/login", 302, &[("set-cookie", line)], "")],
        ..well()
    };
    assert_eq!(status(&with("sid=1; SameSite=Lax"), &active::FOREIGN_LOGOUT), Status::Warn);
    assert_eq!(status(&with("sid=1"), &active::FOREIGN_LOGOUT), Status::Fail);
    assert_eq!(status(&with("other=1; SameSite=Lax"), &active::FOREIGN_LOGOUT), Status::Fail);
    for (line, expected) in [
        ("sid=1", Status::Fail),
        ("sid=1; SameSite=None; Secure", Status::Fail),
        ("sid=1; SameSite=Lax", Status::Warn),
        ("sid=1; SameSite=Strict", Status::Warn),
    ] {
        assert_eq!(status(&with(line), &active::LOGOUT_BY_GET), expected, "{line}");
        let finding = check(&with(line)).into_iter().find(|finding| finding.check.name == "logout_by_get");
        // Most browsers take a cookie that says nothing for Lax.
        let any_picture = finding.is_some_and(|finding| finding.says.contains("any picture"));
        assert_eq!(any_picture, line.contains("None"), "{line}");
    }
}

#[test]
fn a_private_page_is_not_for_caches() {
    let with = |control: &str| Acted {
        inside: vec![visit("https://app.example/notes", 200, &[("cache-control", control)], "")],
        ..well()
    };
    assert_eq!(status(&with("private"), &active::PRIVATE_CACHED), Status::Warn);
    assert_eq!(status(&with("public, max-age=60"), &active::PRIVATE_CACHED), Status::Fail);
}
