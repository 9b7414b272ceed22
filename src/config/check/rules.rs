//! A site's rules.

use crate::access::path::Pattern;
use crate::access::path::usual_spelling;
use crate::access::rules::Activity;
use crate::access::rules::Allow;
use crate::access::rules::CrossSite;
use crate::access::rules::Rule;
use crate::access::rules::Rules;
use crate::access::rules::Unauthenticated;
use crate::config::check::Check;
use crate::config::check::app;
use crate::config::check::traps;
use crate::config::check::traps::Placed;
use crate::config::file::site::AllowFile;
use crate::config::file::site::AllowSome;
use crate::config::file::site::RuleFile;
use crate::config::file::site::SiteFile;
use crate::config::read::Given;
use crate::config::read::OneOrMany;
use crate::config::tree::At;
use crate::config::units::Text;
use crate::config::words::AllowWord;
use crate::route::SiteLogin;

/// The rules of a site at `mount`; without a login everything they do not forbid is open.
pub(super) fn rules(file: &SiteFile, how: &SiteLogin, mount: &str, check: &mut Check<'_>) -> Rules {
    let login = how.is_some();
    let list = file.rules.as_ref().map_or(&[][..], |given| &given.value);
    let rules: Vec<Placed> = list
        .iter()
        .filter_map(|given| {
            let rule = rule(&given.value, check)?;
            prove(&given.value, &rule.allow, login, check);
            prove_resubmit(&given.value, &rule.allow, check);
            let at = given.value.path.as_ref().map_or(given.at, |path| path.at);
            Some(Placed { at, rule })
        })
        .collect();
    let otherwise = if login { Allow::Authenticated } else { Allow::Anyone };
    traps::traps(&rules, mount, &otherwise, check);
    if let Some(app) = how.app() {
        for Placed { at, rule } in &rules {
            app::rule(*at, rule, app, check);
        }
    }
    let rules = rules.into_iter().map(|placed| placed.rule).collect();
    if login { Rules::new(rules) } else { Rules::without_login(rules) }
}

/// Whether a path is the gateway's own, or of other letter case and so nearly that.
pub(super) fn is_own(path: &str) -> bool {
    const OWN: &str = "/.vestibule";
    path.get(..OWN.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(OWN))
}

/// The rule, or nothing after what is wrong was noted (what is missing was noted when the file was read).
fn rule(file: &RuleFile, check: &mut Check<'_>) -> Option<Rule> {
    let path = file.path.as_ref()?;
    let pattern = Pattern::parse(&path.value.0);
    if let Err(error) = &pattern {
        check.findings.error(
            path.at,
            format!("`{}` is not a pattern of paths: {error}", path.value.0),
            "write `/reports` for one path, or `/reports/*` for it and everything below",
        );
    } else if path.value.0.split('/').nth(1).is_some_and(|first| first.eq_ignore_ascii_case(".vestibule")) {
        check.findings.warning(
            Some(path.at),
            "`/.vestibule/` is the gateway's own and asks no rule; in other letter case it is the app's"
                .to_owned(),
            "remove the rule; a page of the app's that is nearly called so is better off with another name",
        );
    } else if let Some(usual) = usual_spelling(&path.value.0) {
        check.findings.warning(
            Some(path.at),
            "this path is spelled with marks apart from their letters (NFD) or with odd blanks, as text has it that was copied: a rule that opens something is for this spelling alone".to_owned(),
            &format!("write {}", escaped(&usual)),
        );
    }
    let methods = file.methods.as_ref().map(|given| {
        if given.value.is_empty() {
            check.findings.error(
                given.at,
                "the rule is about no method".to_owned(),
                "name some, such as `[GET, HEAD]`, or remove the line for all",
            );
        }
        given.value.values.iter().map(|method| method.value.0.clone()).collect()
    });
    let allow = match (&file.allow, &file.cross_site) {
        (Some(given), _) => allow(&given.value, given.at, check),
        (None, Some(_)) => Allow::Authenticated,
        (None, None) => return None,
    };
    Some(Rule {
        path: pattern.ok()?,
        methods,
        allow,
        reauth_after: file.reauth_after.as_ref().map(|given| given.value.0),
        unauthenticated: file.unauthenticated.as_ref().map_or(Unauthenticated::Auto, |given| given.value),
        cross_site: file.cross_site.as_ref().map_or(CrossSite::AsSite, |given| given.value),
        activity: file.activity.as_ref().map_or(Activity::Count, |given| given.value),
    })
}

/// A text for YAML in which every character can be told from those that look the same.
fn escaped(text: &str) -> String {
    let escape = |char: char| match u32::from(char) {
        0x20..=0x7e => char.to_string(),
        code if code <= 0xffff => format!("\\u{code:04X}"),
        code => format!("\\U{code:08X}"),
    };
    let ascii: String = text.chars().map(escape).collect();
    if ascii == text { format!("`{text}`") } else { format!("`{text}`, which is `\"{ascii}\"` in ASCII") }
}

fn allow(file: &AllowFile, at: At, check: &mut Check<'_>) -> Allow {
    let some = match file {
        AllowFile::Word(AllowWord::Anyone) => return Allow::Anyone,
        AllowFile::Word(AllowWord::Authenticated) => return Allow::Authenticated,
        AllowFile::Word(AllowWord::Nobody) => return Allow::Nobody,
        AllowFile::Some(some) => some,
    };
    let AllowSome { groups, users } = some;
    let names = |given: &Given<OneOrMany<Text>>| {
        given.value.values.iter().map(|name| name.value.0.as_str().into()).collect()
    };
    match (groups, users) {
        (Some(groups), None) if !groups.value.is_empty() => Allow::Groups(names(groups)),
        (None, Some(users)) if !users.value.is_empty() => Allow::Users(names(users)),
        (Some(_), Some(_)) => {
            check.findings.error(
                at,
                "a rule allows groups or users, not both".to_owned(),
                "put the users into a group of their own, or name users alone",
            );
            Allow::Nobody
        }
        (None | Some(_), None) | (None, Some(_)) => {
            check.findings.error(
                at,
                "the rule allows nobody".to_owned(),
                "name some, such as `{ groups: [admins] }`; if nobody is meant, write `allow: nobody`",
            );
            Allow::Nobody
        }
    }
}

/// What a rule says must be possible, and safe.
fn prove(file: &RuleFile, allow: &Allow, login: bool, check: &mut Check<'_>) {
    let needs_user = match allow {
        Allow::Anyone | Allow::Nobody => false,
        Allow::Authenticated | Allow::Groups(_) | Allow::Users(_) => true,
    };
    let instead = || file.cross_site.as_ref().map(|given| given.at);
    let stands = file.allow.as_ref().map(|given| given.at).or_else(instead);
    if let Some(at) = stands {
        if needs_user && !login {
            check.findings.error(
                at,
                "the rule asks for a user, but this site has no login".to_owned(),
                "remove `login: none`, or write `allow: anyone` or `allow: nobody`",
            );
        }
        let everything = file.path.as_ref().is_some_and(|path| path.value.0 == "/*");
        if login && everything && matches!(allow, Allow::Anyone) {
            check.findings.warning(
                Some(at),
                "this rule opens the whole site to anyone: no page asks for a login".to_owned(),
                "if that is meant, write `login: none` for the site; else narrow the path",
            );
        }
    }
    let (reauth, unauthenticated) = (file.reauth_after.as_ref(), file.unauthenticated.as_ref());
    let pointless = reauth.map(|given| given.at).or_else(|| unauthenticated.map(|given| given.at));
    if let Some(at) = pointless.filter(|_| !needs_user) {
        let name = if reauth.is_some() { "reauth_after" } else { "unauthenticated" };
        check.findings.error(
            at,
            format!("`{name}` has no meaning in a rule that asks for no user"),
            "remove the line, or allow `authenticated`, groups or users",
        );
    }
    if let Some(given) = reauth.filter(|given| given.value.0.is_zero()) {
        check.findings.error(
            given.at,
            "`reauth_after: 0s` would ask for the login again at every request".to_owned(),
            "write how old the login may be, such as `10m`",
        );
    }
}

/// A form that is sent once more acts with the user's rights: said where it reaches further than one address.
fn prove_resubmit(file: &RuleFile, allow: &Allow, check: &mut Check<'_>) {
    let Some(given) = file.cross_site.as_ref().filter(|given| given.value == CrossSite::Resubmit) else {
        return;
    };
    let posts = file
        .methods
        .as_ref()
        .is_none_or(|methods| methods.value.values.iter().any(|method| method.value.0 == http::Method::POST));
    if !posts || matches!(allow, Allow::Nobody) {
        check.findings.error(
            given.at,
            "`cross_site: resubmit` has no meaning in a rule that lets no POST through".to_owned(),
            "add POST to `methods`, or remove the line",
        );
    }
    if file.path.as_ref().is_some_and(|path| path.value.0.ends_with("/*")) {
        check.findings.warning(
            Some(given.at),
            "`cross_site: resubmit`: other sites can act in the name of whoever is logged in, at every address below this path".to_owned(),
            "name the one address that the other site sends its form to",
        );
    }
}
