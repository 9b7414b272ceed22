//! Which browser a `User-Agent` names, as coarsely as a change of it means something.

use std::fmt;

/// A browser and the kind of system it runs on. Versions are left out, since browsers update themselves under a running
/// session; what is left changes only if the cookie moved to another program or machine (BIND-1).
///
/// It reads as a person says it, such as `Firefox on Linux`. A browser may claim to be another: it is a help to tell
/// one's own sessions apart, and no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family(u8);

/// What a `User-Agent` contains, and what people call it. The first that occurs decides: newer browsers name the older
/// ones they are like. Stores keep the places in these lists: what is added goes to the end, and where its place in the
/// order matters, sessions begin anew.
const BROWSERS: [(&str, &str); 9] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
];
/// Likewise: a phone's Android also says Linux.
const SYSTEMS: [(&str, &str); 7] = [
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

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
        let place = |names: &[(&str, &str)]| {
            let found = names.iter().position(|(word, _)| agent.contains(word));
            found.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0)
        };
        Self(place(&BROWSERS) << 4 | place(&SYSTEMS))
    }

    /// What people call the browser, if it is a known one.
    pub fn browser(self) -> Option<&'static str> {
        name(&BROWSERS, self.0 >> 4)
    }

    /// What people call the system, if it is a known one.
    pub fn system(self) -> Option<&'static str> {
        name(&SYSTEMS, self.0 & 0xf)
    }
}

fn name(names: &[(&'static str, &'static str)], number: u8) -> Option<&'static str> {
    let place = usize::from(number).checked_sub(1)?;
    names.get(place).map(|(_, name)| *name)
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let browser = self.browser().unwrap_or("Unknown browser");
        match self.system() {
            Some(system) => write!(formatter, "{browser} on {system}"),
            None => formatter.write_str(browser),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15";
    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/140.0 Mobile/15E148 Safari/605.1.15";
    const SAMSUNG: &str = "Mozilla/5.0 (Linux; Android 14; SM-S901B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36";

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

    #[test]
    fn a_family_reads_as_people_say_it() {
        for (agent, text) in [
            (FIREFOX, "Firefox on Linux"),
            (CHROME, "Chrome on Windows"),
            (&format!("{CHROME} Edg/140.0.0.0"), "Edge on Windows"),
            (SAFARI, "Safari on macOS"),
            (IPHONE, "Firefox on iPhone"),
            (SAMSUNG, "Samsung Internet on Android"),
            ("curl/8.5.0", "curl"),
            ("Mozilla/5.0 (X11; Linux x86_64) Something/1.0", "Unknown browser on Linux"),
            ("", "Unknown browser"),
        ] {
            assert_eq!(Family::of(agent).to_string(), text);
        }
    }
}
