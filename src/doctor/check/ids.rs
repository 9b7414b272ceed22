//! Session ids: what they give away, and what becomes of one that somebody made up.

use percent_encoding::percent_decode_str;

use crate::doctor::catalogue;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Status;
use crate::doctor::samples::Comparison;
use crate::doctor::seen::Seen;
use crate::doctor::seen::Visit;
use crate::doctor::shown::count;
use crate::doctor::shown::shown;
use crate::doctor::value::Reading;

/// ASVS 7.2.3.
const ASKED_BITS: f64 = 128.0;
/// NIST SP 800-63B-4 §5.1.
const LEAST_BITS: f64 = 64.0;
/// With fewer, nothing shows whether ids count, or are the same for all.
const ENOUGH: usize = 3;

pub(super) fn check(seen: &Seen) -> Vec<Finding> {
    vec![entropy(&seen.samples(), seen), meaning(seen), adopted(seen), in_url(seen), cached(seen)]
}

const NO_SESSION: &str = "strangers were given no session";

/// How guessable ids are, as far as `samples` of them tell.
pub(crate) fn entropy(samples: &[&str], seen: &Seen) -> Finding {
    let check = &catalogue::ID_ENTROPY;
    if samples.is_empty() {
        return check.skipped(NO_SESSION);
    }
    let ids: Option<Vec<String>> = samples.iter().map(|value| Reading::of(value, seen.now).id).collect();
    let Some(ids) = ids else {
        return check.skipped("the session is no id but its contents, with a signature to vouch for them");
    };
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let Some(compared) = Comparison::of(&ids) else { return check.skipped(NO_SESSION) };
    let seen = evidence(&compared);
    if let Some(step) = compared.step {
        let says = format!("ids count: the next visitor's is the last one's and at most {step} more or less");
        return check.is(Status::Fail, says).seen(seen);
    }
    if compared.samples > 1 && compared.distinct < compared.samples {
        let says = "different visitors were given the same id: what one does, the other is taken for";
        return check.is(Status::Fail, says).seen(seen);
    }
    if compared.bits < LEAST_BITS {
        let says = format!("at most {:.0} bits of the id can be unguessable", compared.bits);
        return check.is(Status::Fail, says).seen(seen);
    }
    if compared.bits < ASKED_BITS {
        let says =
            format!("at most {:.0} bits of the id can be unguessable; 128 are asked for", compared.bits);
        return check.is(Status::Warn, says).seen(seen);
    }
    if compared.samples < ENOUGH {
        return check.skipped("too few ids were given to compare them").seen(seen);
    }
    check.passes().seen(format!("{seen}; that can prove ids bad, never good"))
}

fn evidence(compared: &Comparison) -> String {
    let ids = count(compared.samples, "id", "ids");
    let fixed = match compared.fixed {
        0 => String::new(),
        fixed => format!(", {fixed} of which are the same in all"),
    };
    let characters = count(compared.length, "character", "characters");
    format!("{ids} of {characters}{fixed}; at most {:.0} bits", compared.bits)
}

fn meaning(seen: &Seen) -> Finding {
    let check = &catalogue::ID_MEANING;
    let Some((_, cookie)) = seen.session() else { return check.skipped(NO_SESSION) };
    let reading = Reading::of(cookie.value.expose(), seen.now);
    let evidence =
        reading.meaning.iter().map(|meaning| format!("`{}`: {}", shown(&cookie.name), meaning.says()));
    let says = "the session cookie means something to whoever sees it";
    check.unless(evidence.collect(), Status::Fail, says)
}

fn adopted(seen: &Seen) -> Finding {
    let check = &catalogue::ID_ADOPTED;
    let Some((giving, cookie)) = seen.session() else { return check.skipped(NO_SESSION) };
    let Some((made_up, visit)) = &seen.planted else {
        return check.skipped(NO_SESSION);
    };
    let answered = visit.cookies.iter().find(|other| other.name == cookie.name);
    let name = shown(&cookie.name);
    match answered {
        Some(given) if given.value.expose() == made_up => check
            .is(Status::Fail, "an id that was made up outside is taken over as a session")
            .seen(format!("{}: `{name}` came back with the value that was sent", visit.label())),
        Some(_) => check.passes(),
        None if visit.answer.status != giving.answer.status => check.skipped(format!(
            "{}: with a made-up session it is answered {}, without one {}",
            visit.label(),
            visit.answer.status,
            giving.answer.status
        )),
        None => check
            .is(Status::Warn, "an id that was made up outside seems to be taken over as a session")
            .seen(format!(
                "{}: strangers without `{name}` are given one here, one with a made-up value was not",
                visit.label()
            )),
    }
}

fn in_url(seen: &Seen) -> Finding {
    const TELLING: [&str; 7] =
        ["jsessionid=", "phpsessid=", "sid=", "sessionid=", "session_id=", "aspsessionid", "(s("];
    let values: Vec<&str> = seen.samples().into_iter().filter(|value| value.len() >= 8).collect();
    let carries = |visit: &Visit, address: &str| {
        // Encoded where a page says so, and as often as it does.
        let address = percent_decode_str(address).decode_utf8_lossy();
        let lower = address.to_ascii_lowercase();
        let named =
            lower.split(['?', '&', ';', '/']).any(|part| TELLING.iter().any(|word| part.starts_with(word)));
        // Another host's address may carry a session of that host; ours is nowhere well there either.
        let is_here = || visit.url.join(&address).is_ok_and(|url| seen.target.has_host_of(&url));
        named && is_here() || values.iter().any(|value| address.contains(value))
    };
    let mut evidence = Vec::new();
    for visit in seen.visits() {
        let location = visit.field(&http::header::LOCATION);
        if carries(visit, &location) {
            evidence.push(format!("{}: its Location carries a session", visit.label()));
        }
        let page = &visit.page;
        let forms = page.forms.iter().map(|form| &form.action);
        let links = page.links.iter().chain(&page.resources).chain(forms);
        let carrying = links.filter(|link| carries(visit, link)).count();
        if carrying > 0 {
            let links = count(carrying, "link or form carries", "links and forms carry");
            evidence.push(format!("{}: {links} a session", visit.label()));
        }
    }
    evidence.dedup();
    if let (Some(why), true) = (seen.no_page(), evidence.is_empty()) {
        return catalogue::ID_IN_URL.skipped(why);
    }
    let says = "a session is carried in addresses, which end up in logs, histories and other sites' Referer";
    catalogue::ID_IN_URL.unless(evidence, Status::Fail, says)
}

fn cached(seen: &Seen) -> Finding {
    let check = &catalogue::ID_CACHED;
    let giving = seen.visits().filter(|visit| visit.cookies.iter().any(|cookie| !cookie.is_deletion()));
    let judged: Vec<(Status, String)> = giving.map(judge_caching).collect();
    let Some(worst) = judged.iter().map(|(status, _)| *status).min() else {
        return check.skipped("strangers were given no cookie");
    };
    let mut evidence: Vec<String> =
        judged.into_iter().filter(|(status, _)| *status == worst).map(|(_, evidence)| evidence).collect();
    evidence.dedup();
    match worst {
        Status::Pass | Status::Info | Status::Skip => check.passes(),
        Status::Fail => check
            .is(worst, "caches may keep answers that set a cookie, and give it to the next person too")
            .seen_all(evidence),
        Status::Warn => check
            .is(worst, "answers that set a cookie do not say no-store: caches may keep them")
            .seen_all(evidence),
    }
}

/// Whether caches may keep an answer (RFC 9111 §5.2.2).
pub(crate) fn judge_caching(visit: &Visit) -> (Status, String) {
    let control = visit.field(&http::header::CACHE_CONTROL);
    let lower = control.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(',').map(str::trim).collect();
    let has = |word: &str| words.iter().any(|other| other.split('=').next() == Some(word));
    let lives = words.iter().any(|word| word.strip_prefix("max-age=").is_some_and(|age| age.trim() != "0"));
    let shared = has("public") || has("s-maxage") || lives && !has("private");
    let status = match (has("no-store"), shared) {
        (true, _) => Status::Pass,
        (false, true) => Status::Fail,
        (false, false) => Status::Warn,
    };
    let said = if control.is_empty() {
        "no Cache-Control".to_owned()
    } else {
        format!("Cache-Control: {}", shown(&control))
    };
    (status, format!("{}: {said}", visit.label()))
}
