//! The rules of a site, and the decision that a rule makes about a visitor.

use std::time::Duration;

use http::Method;

use crate::access::path::CanonicalPath;
use crate::access::path::Pattern;
use crate::clock::Timestamp;
use crate::identity::user::User;

/// Whom a rule lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Everybody, logged in or not.
    Anyone,
    /// Everybody who is logged in.
    Authenticated,
    /// Nobody at all.
    Nobody,
    /// Members of one of these groups.
    Groups(Vec<Box<str>>),
    /// These users.
    Users(Vec<Box<str>>),
}

/// What somebody gets who should log in first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// Page loads go to the login, scripts get 401.
    Auto,
    /// Always 401.
    Status401,
}

/// What becomes of a form that another site's page sends here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossSite {
    /// The site's `csrf` setting decides.
    AsSite,
    /// It is sent once more, by a page of ours and so with the browser's cookies. The app must find out for itself
    /// whether what it is told is true: by a signature, or by asking the sender.
    Resubmit,
}

/// One rule of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it holds.
    pub path: Pattern,
    /// For which methods; nothing means all. `GET` includes `HEAD`.
    pub methods: Option<Vec<Method>>,
    /// Whom it lets in.
    pub allow: Allow,
    /// How old the login may be (ASVS 7.5.1, 7.5.3); nothing means as old as the session.
    pub reauth_after: Option<Duration>,
    /// What somebody gets who should log in first.
    pub unauthenticated: Unauthenticated,
    /// What becomes of forms from other sites.
    pub cross_site: CrossSite,
    /// Whether a request here is use of the session.
    pub activity: Activity,
}

/// Whether requests under a rule keep somebody logged in (LIFE-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// They do, as the site says.
    Count,
    /// They do not: the page asks by itself.
    Ignore,
}

impl Rule {
    /// Whether a form from another site is sent once more. An exemption holds for exactly what it names.
    pub fn resubmits(&self, path: &CanonicalPath) -> bool {
        self.cross_site == CrossSite::Resubmit && self.path.matches_exactly(path)
    }

    fn holds_for(&self, path: &CanonicalPath, method: &Method) -> bool {
        // A rule that opens something holds for exactly what it names, any other for whatever an app could take for it.
        let here = match self.allow {
            Allow::Anyone => self.path.matches_exactly(path),
            Allow::Authenticated | Allow::Nobody | Allow::Groups(_) | Allow::Users(_) => {
                self.path.matches_loosely(path)
            }
        };
        here && self.methods.as_ref().is_none_or(|methods| Self::lists(methods, method))
    }

    /// Whether a list of a rule's methods holds for `method`.
    pub fn lists(methods: &[Method], method: &Method) -> bool {
        methods.contains(method) || (method == Method::HEAD && methods.contains(&Method::GET))
    }
}

/// A site's rules, in order, with one at the end that holds for everything.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    otherwise: Rule,
}

impl Rules {
    /// Rules of a site where people log in: what none of them holds for needs a login.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self::with_default(rules, Allow::Authenticated)
    }

    /// Rules of a site where nobody logs in (`login: none`): what none of them holds for is open.
    pub fn without_login(rules: Vec<Rule>) -> Self {
        Self::with_default(rules, Allow::Anyone)
    }

    fn with_default(rules: Vec<Rule>, allow: Allow) -> Self {
        let otherwise = Rule {
            path: Pattern::everything(),
            methods: None,
            allow,
            reauth_after: None,
            unauthenticated: Unauthenticated::Auto,
            cross_site: CrossSite::AsSite,
            activity: Activity::Count,
        };
        Self { rules, otherwise }
    }

    /// The first rule that holds for a request.
    pub fn find(&self, path: &CanonicalPath, method: &Method) -> &Rule {
        let found = self.rules.iter().find(|rule| rule.holds_for(path, method));
        found.unwrap_or(&self.otherwise)
    }
}

/// Somebody with a live session.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// Who it is.
    pub user: &'a User,
    /// When they last proved it.
    pub authenticated: Timestamp,
}

/// The right to send one request to the app. Only a decision makes one, so that nothing is forwarded without.
#[derive(Debug)]
pub struct Permit(());

impl Permit {
    /// The right to an app's own login page, and to send its form: whoever has yet to log in must get there, whatever the
    /// rules say.
    pub fn to_log_in() -> Self {
        Self(())
    }

    /// The right that every request has on a site in observe mode, where decisions are only logged.
    pub fn in_observe_mode() -> Self {
        Self(())
    }
}

/// What a rule says about a visitor.
#[derive(Debug)]
pub enum Decision {
    /// The request may be forwarded.
    Granted(Permit),
    /// Somebody must log in first.
    NeedsLogin,
    /// The same person must log in again: their login is too old for this rule.
    NeedsFreshLogin,
    /// Logging in again would not help.
    Forbidden,
}

/// Decides on a request that `rule` holds for.
pub fn decide(rule: &Rule, visitor: Option<&Visitor<'_>>, now: Timestamp) -> Decision {
    match rule.allow {
        Allow::Anyone => return Decision::Granted(Permit(())),
        Allow::Nobody => return Decision::Forbidden,
        Allow::Authenticated | Allow::Groups(_) | Allow::Users(_) => {}
    }
    let Some(visitor) = visitor else {
        return Decision::NeedsLogin;
    };
    let welcome = match &rule.allow {
        Allow::Anyone | Allow::Authenticated => true,
        Allow::Nobody => false,
        Allow::Groups(groups) => groups.iter().any(|group| visitor.user.is_in(group)),
        Allow::Users(users) => users.iter().any(|name| **name == *visitor.user.name.as_str()),
    };
    if !welcome {
        return Decision::Forbidden;
    }
    let age = now.since(visitor.authenticated);
    if rule.reauth_after.is_some_and(|limit| age >= limit) {
        return Decision::NeedsFreshLogin;
    }
    Decision::Granted(Permit(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::user::Profile;
    use crate::identity::user::UserName;

    fn rule(path: &str, allow: Allow) -> Rule {
        Rule {
            path: Pattern::parse(path).unwrap(),
            methods: None,
            allow,
            reauth_after: None,
            unauthenticated: Unauthenticated::Auto,
            cross_site: CrossSite::AsSite,
            activity: Activity::Count,
        }
    }

    fn user() -> User {
        let profile = Profile { groups: vec!["staff".into()], ..Profile::default() };
        User::new(UserName::parse("ada").unwrap(), profile)
    }

    fn found<'a>(rules: &'a Rules, path: &str, method: &Method) -> &'a Allow {
        &rules.find(&CanonicalPath::parse(path).unwrap(), method).allow
    }

    fn judged(rule: &Rule, visitor: Option<&Visitor<'_>>) -> &'static str {
        match decide(rule, visitor, Timestamp::from_millis(1_000_000)) {
            Decision::Granted(_) => "granted",
            Decision::NeedsLogin => "login",
            Decision::NeedsFreshLogin => "fresh login",
            Decision::Forbidden => "forbidden",
        }
    }

    #[test]
    fn the_first_rule_that_holds_wins_and_the_default_is_closed() {
        let rules = Rules::new(vec![
            rule("/static/secret", Allow::Nobody),
            rule("/static/*", Allow::Anyone),
            rule("/admin/*", Allow::Groups(vec!["admins".into()])),
            rule("/*", Allow::Authenticated),
            rule("/late", Allow::Anyone),
        ]);
        for (path, allow) in [
            ("/static", Allow::Anyone),
            ("/static/x.css", Allow::Anyone),
            ("/Static/x.css", Allow::Authenticated),
            ("/static/secret", Allow::Nobody),
            ("/static/SECRET/", Allow::Nobody),
            ("/staticx", Allow::Authenticated),
            ("/ADMIN", Allow::Groups(vec!["admins".into()])),
            ("/late", Allow::Authenticated),
        ] {
            assert_eq!(*found(&rules, path, &Method::GET), allow, "{path}");
        }
        assert_eq!(*found(&Rules::new(Vec::new()), "/", &Method::GET), Allow::Authenticated);
        let open = Rules::without_login(vec![rule("/x", Allow::Nobody)]);
        assert_eq!(*found(&open, "/", &Method::POST), Allow::Anyone);
        assert_eq!(*found(&open, "/X/", &Method::POST), Allow::Nobody);
    }

    #[test]
    fn a_list_of_methods_holds_for_these_alone_but_get_means_head_too() {
        let mut listed = rule("/feed", Allow::Anyone);
        listed.methods = Some(vec![Method::GET]);
        let rules = Rules::new(vec![listed]);
        for (method, allow) in [
            ("GET", Allow::Anyone),
            ("HEAD", Allow::Anyone),
            ("POST", Allow::Authenticated),
            ("get", Allow::Authenticated),
            ("OPTIONS", Allow::Authenticated),
            ("BREW", Allow::Authenticated),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(*found(&rules, "/feed", &method), allow, "{method}");
        }
    }

    #[test]
    fn a_form_is_sent_once_more_for_exactly_the_path_that_is_named() {
        let mut named = rule("/payment/return", Allow::Authenticated);
        named.cross_site = CrossSite::Resubmit;
        for (path, resubmits) in
            [("/payment/return", true), ("/payment/return/", false), ("/Payment/Return", false)]
        {
            let path = CanonicalPath::parse(path).unwrap();
            assert!(named.holds_for(&path, &Method::POST));
            assert_eq!(named.resubmits(&path), resubmits, "{path:?}");
        }
    }

    #[test]
    fn decisions_depend_on_who_asks() {
        let user = user();
        let ada = Visitor { user: &user, authenticated: Timestamp::from_millis(0) };
        let groups = |name: &str| Allow::Groups(vec![name.into()]);
        let users = |name: &str| Allow::Users(vec![name.into()]);
        for (allow, anonymous, logged_in) in [
            (Allow::Anyone, "granted", "granted"),
            (Allow::Authenticated, "login", "granted"),
            (Allow::Nobody, "forbidden", "forbidden"),
            (groups("staff"), "login", "granted"),
            (groups("Staff"), "login", "forbidden"),
            (Allow::Groups(Vec::new()), "login", "forbidden"),
            (users("ada"), "login", "granted"),
            (users("bob"), "login", "forbidden"),
        ] {
            let rule = rule("/*", allow);
            assert_eq!(judged(&rule, None), anonymous, "{rule:?}");
            assert_eq!(judged(&rule, Some(&ada)), logged_in, "{rule:?}");
        }
    }

    #[test]
    fn an_old_login_is_not_fresh_and_freshness_is_asked_only_of_those_who_may_enter() {
        let user = user();
        let at = |millis| Visitor { user: &user, authenticated: Timestamp::from_millis(millis) };
        let mut rule = rule("/*", Allow::Authenticated);
        rule.reauth_after = Some(Duration::from_mins(10));
        assert_eq!(judged(&rule, Some(&at(400_001))), "granted");
        assert_eq!(judged(&rule, Some(&at(400_000))), "fresh login");
        assert_eq!(judged(&rule, Some(&at(2_000_000))), "granted");
        assert_eq!(judged(&rule, None), "login");
        rule.allow = Allow::Users(vec!["bob".into()]);
        assert_eq!(judged(&rule, Some(&at(0))), "forbidden");
    }
}
