//! What becomes of the app's own cookies, by their names.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// What becomes of a cookie of the app's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It stays on the server: no browser ever sees it.
    Vault,
    /// Its attributes are made safe; name and value stay.
    Harden,
    /// It passes as it is.
    Pass,
}

/// What becomes of all cookies of an app. Names are told apart by case, as browsers do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppCookies {
    /// What becomes of those that are not named.
    pub default: Keeping,
    /// What becomes of those that are.
    pub per_cookie: BTreeMap<Box<str>, Keeping>,
    /// Those in the vault that the browser has as well, since scripts must read them.
    pub expose: BTreeSet<Box<str>>,
}

impl AppCookies {
    /// The same for all.
    pub const fn all(default: Keeping) -> Self {
        Self { default, per_cookie: BTreeMap::new(), expose: BTreeSet::new() }
    }

    /// What becomes of the cookie called `name`.
    pub fn of(&self, name: &[u8]) -> Keeping {
        str::from_utf8(name).ok().and_then(|name| self.per_cookie.get(name)).copied().unwrap_or(self.default)
    }

    /// Whether the browser has the cookie as well.
    pub fn exposes(&self, name: &[u8]) -> bool {
        str::from_utf8(name).is_ok_and(|name| self.expose.contains(name))
    }

    /// Whether the browser may have a cookie of this name, and send it to the app.
    pub fn lets_through(&self, name: &[u8]) -> bool {
        self.of(name) != Keeping::Vault || self.exposes(name)
    }

    /// Whether any cookie is kept in the vault.
    pub fn keep_any(&self) -> bool {
        self.default == Keeping::Vault || self.per_cookie.values().any(|keeping| *keeping == Keeping::Vault)
    }

    /// Whether any cookie is anything but passed on.
    pub fn touch_any(&self) -> bool {
        self.default != Keeping::Pass || self.per_cookie.values().any(|keeping| *keeping != Keeping::Pass)
    }

    /// The names that browsers must not send, where they may send any other; nothing where they may send only what is
    /// named.
    pub(crate) fn withheld(&self) -> Option<Vec<&str>> {
        let named = self.per_cookie.iter().filter(|(name, _)| !self.lets_through(name.as_bytes()));
        (self.default != Keeping::Vault).then(|| named.map(|(name, _)| &**name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_own_word_and_the_others_the_common_one() {
        let named = |name: &str| Box::from(name);
        let mut cookies = AppCookies::all(Keeping::Vault);
        cookies.per_cookie.extend([(named("lang"), Keeping::Pass), (named("theme"), Keeping::Harden)]);
        cookies.expose.insert(named("csrftoken"));
        let through = |name: &str| cookies.lets_through(name.as_bytes());
        assert!(through("lang") && through("theme") && through("csrftoken"));
        assert!(!through("session") && !through("LANG") && !through(""));
        assert!(cookies.keep_any() && cookies.touch_any() && cookies.withheld().is_none());
        let mut cookies = AppCookies::all(Keeping::Pass);
        assert!(!cookies.keep_any() && !cookies.touch_any() && cookies.withheld() == Some(Vec::new()));
        cookies.per_cookie.insert(named("session"), Keeping::Vault);
        assert!(cookies.keep_any() && cookies.touch_any());
        assert_eq!(cookies.withheld(), Some(vec!["session"]));
    }
}
