//! Rules that say less than they seem to: each is a warning, with the line to write.

use http::Method;

use crate::access::path::Pattern;
use crate::access::rules::Allow;
use crate::access::rules::CrossSite;
use crate::access::rules::Rule;
use crate::config::check::Check;
use crate::config::tree::At;

/// A rule and where its path stands.
pub(super) struct Placed {
    pub(super) at: At,
    pub(super) rule: Rule,
}

/// Warns of the traps among a site's rules, below its `mount`; `otherwise` is for whom the rest is.
pub(super) fn traps(list: &[Placed], mount: &str, otherwise: &Allow, check: &mut Check<'_>) {
    for (place, own) in list.iter().enumerate() {
        let before = list.get(..place).unwrap_or_default();
        if outside(own, mount, check) || shadowed(own, before, check) {
            continue;
        }
        opened(own, before, check);
        let same = |other: &Placed| other.rule.path.is_same(&own.rule.path);
        if !before.iter().any(|other| same(other) && other.rule.methods.is_some()) {
            left_over(own, list, otherwise, check);
        }
        alone(own, list, otherwise, check);
    }
}

/// Rules name whole paths, also in a site that is mounted below `/`.
fn outside(own: &Placed, mount: &str, check: &mut Check<'_>) -> bool {
    let below = format!("{}/*", mount.strip_suffix('/').unwrap_or(mount));
    let Ok(site) = Pattern::parse(&below) else { return false };
    let path = &own.rule.path;
    let never = !site.covers(path) && !path.covers(&site);
    if never {
        check.findings.warning(
            Some(own.at),
            format!("this rule is never reached: the site holds `{mount}` and what is below it"),
            &format!("rules name the whole path: write `{mount}{path}`"),
        );
    }
    never
}

/// The first match counts: a rule of which an earlier one takes every request is never reached.
fn shadowed(own: &Placed, before: &[Placed], check: &mut Check<'_>) -> bool {
    let takes =
        |earlier: &&Placed| earlier.rule.path.covers(&own.rule.path) && includes(&earlier.rule, &own.rule);
    let Some(earlier) = before.iter().find(takes) else { return false };
    let opens = weight(&earlier.rule.allow) < weight(&own.rule.allow);
    let so = if opens { format!(" to {}", whom(&earlier.rule.allow)) } else { String::new() };
    let verb = if opens { "opens" } else { "is about" };
    check.findings.beside(
        own.at,
        format!("this rule is never reached: an earlier one {verb} `{}`{so}", earlier.rule.path),
        "the first rule that matches counts: put the narrower one first",
        (earlier.at, "the earlier rule"),
    );
    true
}

/// An earlier, wider rule lets more people in for some of the methods.
fn opened(own: &Placed, before: &[Placed], check: &mut Check<'_>) {
    let opens = |earlier: &&Placed| {
        let wider = earlier.rule.path.covers(&own.rule.path) && !own.rule.path.covers(&earlier.rule.path);
        wider && weight(&earlier.rule.allow) < weight(&own.rule.allow)
    };
    for earlier in before.iter().filter(opens) {
        let methods = shared(&earlier.rule, &own.rule);
        if !methods.is_empty() {
            let (path, whom) = (&own.rule.path, whom(&earlier.rule.allow));
            check.findings.beside(
                own.at,
                format!("{} of `{path}` is open to {whom}: an earlier rule says so", named(&methods)),
                "the first rule that matches counts: put the narrower one first",
                (earlier.at, "the earlier rule"),
            );
        }
    }
}

/// A rule for some methods says nothing of the others, and the rest of the rules may be kinder.
fn left_over(own: &Placed, list: &[Placed], otherwise: &Allow, check: &mut Check<'_>) {
    let Some(methods) = &own.rule.methods else { return };
    if methods.is_empty() || matches!(own.rule.allow, Allow::Nobody) {
        return;
    }
    let rest = list.iter().map(|other| &other.rule);
    let rest = rest.filter(|other| other.methods.is_none());
    let mut rest = rest.filter(|other| other.path.covers(&own.rule.path));
    let found = rest.next();
    if found.is_some_and(|found| found.path.is_same(&own.rule.path)) {
        return;
    }
    let kind = found.map_or(otherwise, |found| &found.allow);
    if weight(kind) < weight(&own.rule.allow) {
        let (path, word) =
            (&own.rule.path, if matches!(kind, Allow::Anyone) { "anyone" } else { "authenticated" });
        check.findings.warning(
            Some(own.at),
            format!("requests for `{path}` by other methods than {} are open to {}", named(methods), whom(kind)),
            &format!(
                "add, below its other rules, `- {{ path: {path}, allow: nobody }}`; or, if that is meant, `- {{ path: {path}, allow: {word} }}`"
            ),
        );
    }
}

/// A rule for one path says nothing of what is below it, which many apps answer alike (`PATH_INFO`).
fn alone(own: &Placed, list: &[Placed], otherwise: &Allow, check: &mut Check<'_>) {
    let path = &own.rule.path;
    let Some(below) = path.with_below().filter(|_| own.rule.cross_site != CrossSite::Resubmit) else {
        return;
    };
    let rules = || list.iter().map(|other| &other.rule);
    if rules().any(|other| other.path.is_same(&below)) {
        return;
    }
    let found = rules().find(|other| other.path.covers(&below) && includes(other, &own.rule));
    let kind = found.map_or(otherwise, |found| &found.allow);
    if weight(kind) < weight(&own.rule.allow) {
        let word = if matches!(kind, Allow::Anyone) { "anyone" } else { "authenticated" };
        check.findings.warning(
            Some(own.at),
            format!("this rule is about `{path}` alone: what is below it is open to {}", whom(kind)),
            &format!("write `path: {below}`, which is about both; or, if that is meant, add `- {{ path: {below}, allow: {word} }}`"),
        );
    }
}

/// How few are let in.
fn weight(allow: &Allow) -> u8 {
    match allow {
        Allow::Anyone => 0,
        Allow::Authenticated => 1,
        Allow::Groups(_) | Allow::Users(_) => 2,
        Allow::Nobody => 3,
    }
}

fn whom(allow: &Allow) -> &'static str {
    match allow {
        Allow::Anyone => "anyone",
        Allow::Authenticated => "everybody who is logged in",
        Allow::Groups(_) | Allow::Users(_) => "others",
        Allow::Nobody => "nobody",
    }
}

/// Whether `wide` is about every method that `narrow` is about.
fn includes(wide: &Rule, narrow: &Rule) -> bool {
    match (&wide.methods, &narrow.methods) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow.iter().all(|method| Rule::lists(wide, method)),
    }
}

/// The methods that `earlier` lists and both are about.
fn shared(earlier: &Rule, own: &Rule) -> Vec<Method> {
    let listed = earlier.methods.iter().flatten();
    let both = listed.filter(|method| own.methods.as_ref().is_none_or(|own| Rule::lists(own, method)));
    both.cloned().collect()
}

fn named(methods: &[Method]) -> String {
    let names: Vec<String> = methods.iter().map(|method| format!("`{method}`")).collect();
    names.join(", ")
}
