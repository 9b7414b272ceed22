//! The way on from the login: to a path of this host, or back to the site that somebody was sent here from.

use crate::crypto::base64url;
use crate::crypto::from_base64url;
use crate::crypto::sha256;
use crate::login::cookies::Pre;
use crate::login::target::Target;
use crate::net::Host;

/// Where somebody goes after the login. It travels sealed: nobody else can make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The path.
    pub(crate) target: Target,
    /// The site it is on; nothing: this very host.
    pub(crate) site: Option<Origin>,
}

/// The site that sent somebody to the login's own host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Its host.
    pub(crate) host: Host,
    /// The browser as that host knows it: a code is of no use in any other.
    pub(crate) browser: Browser,
    /// How often it was tried before.
    pub(crate) tries: u8,
}

/// The hash of a pre-login cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Browser([u8; 32]);

impl Browser {
    /// The browser that has this pre-login cookie.
    pub(crate) fn of(pre: &Pre) -> Self {
        Self(sha256(pre.value().as_bytes()))
    }
}

impl Way {
    /// To a path of this host.
    pub(crate) fn here(target: Target) -> Self {
        Self { target, site: None }
    }

    /// As text without control characters.
    pub(crate) fn to_text(&self) -> String {
        let target = self.target.as_str();
        match &self.site {
            None => target.to_owned(),
            Some(Origin { host, browser, tries }) => {
                format!("{host} {} {tries} {target}", base64url(&browser.0))
            }
        }
    }

    /// What [`to_text`](Self::to_text) wrote. A path begins with a slash and no host does.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::here(Target::parse(text)?));
        }
        let mut parts = text.splitn(4, ' ');
        let host = Host::parse(parts.next()?)?;
        let browser = from_base64url(parts.next()?.as_bytes())?.try_into().ok()?;
        let tries = parts.next()?.parse().ok()?;
        let target = Target::parse(parts.next()?)?;
        let site = Some(Origin { host, browser: Browser(browser), tries });
        Some(Self { target, site })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_way_survives_being_written() {
        let target = Target::parse("/a?b=ü&c=//d").unwrap();
        let browser = Browser::of(&Pre::of(&HeaderMap::new()));
        let site = Origin { host: Host::parse("[::1]").unwrap(), browser, tries: 2 };
        for way in [Way::here(target.clone()), Way { target, site: Some(site) }] {
            assert_eq!(Way::parse(&way.to_text()), Some(way));
        }
        for bad in ["", "a.example", "a.example x 0 /", "a.example AAAA 0 /", "//evil.example"] {
            assert_eq!(Way::parse(bad), None, "{bad}");
        }
    }
}
