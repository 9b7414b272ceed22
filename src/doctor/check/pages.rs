//! What pages say to browsers, and to whoever asks for them.

use http::HeaderName;
use http::header;

use crate::doctor::catalogue;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Status;
use crate::doctor::look::FOREIGN;
use crate::doctor::page::Form;
use crate::doctor::page::Method;
use crate::doctor::seen::Seen;
use crate::doctor::seen::Visit;
use crate::doctor::shown::shown;
use crate::doctor::shown::shown_url;

pub(super) fn check(seen: &Seen) -> Vec<Finding> {
    vec![
        login_form(seen),
        of_pages(
            seen,
            &catalogue::FRAMING,
            "other sites can show its pages in a frame and have people click there",
            &framing,
        ),
        of_pages(
            seen,
            &catalogue::NOSNIFF,
            "browsers may guess a type, and run what was sent as something else",
            &nosniff,
        ),
        of_pages(
            seen,
            &catalogue::REFERRER_POLICY,
            "nothing says how much of its addresses other sites are told",
            &referrer,
        ),
        cors(seen),
        banner(seen),
        error_page(seen),
    ]
}

fn of_pages(
    seen: &Seen,
    check: &'static crate::doctor::finding::Check,
    says: &str,
    judge: &dyn Fn(&Visit) -> Option<String>,
) -> Finding {
    if let Some(why) = seen.no_page() {
        return check.skipped(why);
    }
    let evidence = seen.pages().filter_map(|page| Some(format!("{}: {}", page.label(), judge(page)?)));
    check.unless(evidence.collect(), Status::Warn, says)
}

/// What is wrong with how a page may be framed. `frame-ancestors` goes before `X-Frame-Options` (CSP Level 3 §6.4.2).
pub(crate) fn framing(page: &Visit) -> Option<String> {
    let policy = page.field(&header::CONTENT_SECURITY_POLICY).to_ascii_lowercase();
    let ancestors: Vec<&str> = policy
        .split([';', ','])
        .filter_map(|directive| directive.trim().strip_prefix("frame-ancestors"))
        .map(str::trim)
        .collect();
    if !ancestors.is_empty() {
        let open = ancestors
            .iter()
            .all(|sources| sources.split_whitespace().any(|one| ["*", "http:", "https:"].contains(&one)));
        return open.then(|| "frame-ancestors lets every site in".to_owned());
    }
    let options = page.field(&header::X_FRAME_OPTIONS);
    let known = ["deny", "sameorigin"].iter().any(|word| options.trim().eq_ignore_ascii_case(word));
    match (known, options.is_empty()) {
        (true, _) => None,
        (false, true) => Some("neither frame-ancestors nor X-Frame-Options".to_owned()),
        (false, false) => Some(format!("X-Frame-Options: {}, which browsers ignore", shown(&options))),
    }
}

/// What is wrong with how a page's type is taken.
pub(crate) fn nosniff(page: &Visit) -> Option<String> {
    let value = page.field(&header::X_CONTENT_TYPE_OPTIONS);
    let first = value.split(',').next().unwrap_or_default().trim();
    (!first.eq_ignore_ascii_case("nosniff")).then(|| "no X-Content-Type-Options: nosniff".to_owned())
}

fn referrer(page: &Visit) -> Option<String> {
    let value = page.field(&header::REFERRER_POLICY);
    // The last policy that is known counts (W3C Referrer Policy §8.1).
    let known = [
        "no-referrer",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
        "origin",
        "origin-when-cross-origin",
        "no-referrer-when-downgrade",
        "unsafe-url",
    ];
    let last = value.split(',').map(str::trim).rfind(|word| known.contains(word));
    match last {
        None => Some("no Referrer-Policy".to_owned()),
        Some(open @ ("unsafe-url" | "no-referrer-when-downgrade")) => {
            Some(format!("Referrer-Policy: {open} tells whole addresses"))
        }
        Some(_) => None,
    }
}

fn login_form(seen: &Seen) -> Finding {
    let check = &catalogue::LOGIN_FORM;
    let pages = seen.front.iter().chain(&seen.login);
    let forms: Vec<(&Visit, &Form)> =
        pages.filter_map(|visit| Some((visit, visit.page.login_form()?))).collect();
    if forms.is_empty() {
        let elsewhere = seen.elsewhere(&seen.login).or_else(|| seen.elsewhere(&seen.front));
        let why = elsewhere.unwrap_or_else(|| "no form that asks for a password was seen".to_owned());
        return check.skipped(why);
    }
    let by_script =
        forms.iter().find(|(_, form)| form.method == Method::Script).map(|(visit, _)| visit.label());
    let (mut fails, mut warns) = (Vec::new(), Vec::new());
    for (visit, form) in forms {
        let action = visit.url.join(&form.action).unwrap_or_else(|_odd| visit.url.clone());
        if visit.url.scheme() == "http" {
            fails.push(format!("{}: the page with the form comes over plain HTTP", visit.label()));
        } else if action.scheme() == "http" {
            fails.push(format!("{}: the form is sent in the clear to {}", visit.label(), shown_url(&action)));
        }
        if form.method == Method::Get {
            fails.push(format!(
                "{}: the form is sent by GET, so the password is in its address",
                visit.label()
            ));
        }
        if action.host() != visit.url.host() {
            warns.push(format!("{}: the form is sent to {}", visit.label(), shown_url(&action)));
        }
    }
    if let (Some(page), true, true) = (by_script, fails.is_empty(), warns.is_empty()) {
        return check
            .skipped(format!("{page}: a script sends the password, and to where is not in the page"));
    }
    if fails.is_empty() {
        return check.unless(warns, Status::Warn, "the password is sent to another host");
    }
    check.is(Status::Fail, "the password can be seen on its way").seen_all(fails).seen_all(warns)
}

fn cors(seen: &Seen) -> Finding {
    const ALLOW: [HeaderName; 2] =
        [header::ACCESS_CONTROL_ALLOW_ORIGIN, header::ACCESS_CONTROL_ALLOW_CREDENTIALS];
    let check = &catalogue::CORS;
    if seen.foreign.is_empty() {
        return check.skipped("no request was left for another origin");
    }
    let [allow_origin, allow_credentials] = ALLOW;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for (origin, visit) in &seen.foreign {
        if visit.field(&allow_origin).trim() != *origin {
            continue;
        }
        let evidence = format!(
            "{} with Origin: {origin} was answered with Access-Control-Allow-Origin: {origin}",
            visit.label()
        );
        match visit.field(&allow_credentials).trim() {
            "true" => with.push(format!("{evidence} and credentials")),
            _ => without.push(evidence),
        }
    }
    if with.is_empty() && without.is_empty() {
        let turned_away = seen.foreign.iter().map(|(_, visit)| visit).find(|visit| visit.is_turned_away());
        let why =
            turned_away.map(|visit| format!("another origin's request was answered {}", visit.answer.status));
        let unasked =
            || (seen.foreign.len() < FOREIGN.len()).then(|| "not every origin could be tried".to_owned());
        if let Some(why) = why.or_else(unasked).or_else(|| seen.elsewhere(&seen.front)) {
            return check.skipped(why);
        }
    }
    if with.is_empty() {
        let says = "scripts of any origin may read its pages, though without cookies";
        return check.unless(without, Status::Warn, says);
    }
    check
        .is(Status::Fail, "scripts of any site may read its pages in the name of whoever is logged in")
        .seen_all(with)
}

fn banner(seen: &Seen) -> Finding {
    const TELLING: [&str; 7] = [
        "x-powered-by",
        "x-aspnet-version",
        "x-aspnetmvc-version",
        "x-generator",
        "x-runtime",
        "x-drupal-cache",
        "x-version",
    ];
    let mut evidence = Vec::new();
    for visit in seen.visits() {
        let server = visit.field(&header::SERVER);
        if server.bytes().any(|byte| byte.is_ascii_digit()) {
            evidence.push(format!("Server: {}", shown(&server)));
        }
        for name in TELLING.map(HeaderName::from_static) {
            let value = visit.field(&name);
            if !value.is_empty() {
                evidence.push(format!("{name}: {}", shown(&value)));
            }
        }
    }
    evidence.sort();
    evidence.dedup();
    catalogue::BANNER.unless(evidence, Status::Warn, "answers name the software that runs here")
}

fn error_page(seen: &Seen) -> Finding {
    const INSIDE: [(&str, &str); 8] = [
        ("Traceback (most recent call last)", "a Python traceback"),
        ("werkzeug.debug", "Werkzeug's debugger"),
        ("DEBUG = True", "Django's debug page"),
        ("Whitelabel Error Page", "Spring's default page"),
        ("<b>Fatal error</b>:", "a PHP error"),
        ("at Object.<anonymous>", "a Node stack"),
        ("at java.", "a Java stack"),
        ("Microsoft .NET Framework Version", "an ASP.NET error"),
    ];
    let check = &catalogue::ERROR_PAGE;
    let Some(missing) = &seen.missing else {
        return check.skipped("no request was left for a page that is not there");
    };
    let mut evidence = Vec::new();
    for (sign, what) in INSIDE {
        if memchr::memmem::find(&missing.answer.body, sign.as_bytes()).is_some() {
            evidence.push(format!("a page that is not there shows {what}"));
        }
    }
    let fine_elsewhere =
        |judge: fn(&Visit) -> Option<String>| seen.pages().next().is_some_and(|page| judge(page).is_none());
    for judge in [framing, nosniff, referrer] {
        if missing.answer.status >= 400
            && fine_elsewhere(judge)
            && let Some(wrong) = judge(missing)
        {
            evidence.push(format!("status {}: {wrong}, other than on its pages", missing.answer.status));
        }
    }
    let status = missing.answer.status;
    let unproven = (status < 400)
        .then(|| format!("a page that is not there is answered {status}: no error page was seen"))
        .or_else(|| seen.no_page());
    if let (Some(why), true) = (unproven, evidence.is_empty()) {
        return check.skipped(why);
    }
    check.unless(evidence, Status::Warn, "error pages are less careful than others")
}
