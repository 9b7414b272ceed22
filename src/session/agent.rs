//! Which browser a `User-Agent` names, as coarsely as a change of it means something.

/// A browser and the kind of system it runs on. Versions are left out, since browsers update themselves under a running
/// session; what is left changes only if the cookie moved to another program or machine (BIND-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family(u8);

/// The first that occurs decides: newer browsers name the older ones they are like. Stores keep the places in these
/// lists: what is added goes to the end, and where its place in the order matters, sessions begin anew.
const BROWSERS: [&str; 8] =
    ["Edg", "OPR/", "SamsungBrowser", "Firefox/", "Chrome/", "CriOS/", "Safari/", "curl/"];
/// Likewise: a phone's Android also says Linux.
const SYSTEMS: [&str; 7] = ["Android", "iPhone", "iPad", "Windows", "Macintosh", "CrOS", "Linux"];

impl Family {
    /// The family of who says nothing.
    pub const UNKNOWN: Self = Self(0);

    /// The family as stores keep it.
    pub(super) const fn number(self) -> u8 {
        self.0
    }

    /// A family that a store has kept.
    pub(super) const fn from_number(number: u8) -> Self {
        Self(number)
    }

    /// The family a `User-Agent` field belongs to.
    pub fn of(agent: &str) -> Self {
        let place = |names: &[&str]| {
            let found = names.iter().position(|name| agent.contains(name));
            found.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0)
        };
        Self(place(&BROWSERS) << 4 | place(&SYSTEMS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

    #[test]
    fn an_update_is_the_same_browser_and_another_browser_or_system_is_not() {
        assert_eq!(Family::of(FIREFOX), Family::of(&FIREFOX.replace("140", "141")));
        assert_eq!(Family::of(CHROME), Family::of(&CHROME.replace("140", "141")));
        assert_ne!(Family::of(FIREFOX), Family::of(CHROME));
        assert_ne!(Family::of(CHROME), Family::of(&CHROME.replace("Windows NT 10.0; Win64", "Macintosh")));
        let edge = format!("{CHROME} Edg/140.0");
        assert_ne!(Family::of(CHROME), Family::of(&edge));
        assert_eq!(Family::of(""), Family::UNKNOWN);
    }
}
