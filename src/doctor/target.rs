//! The site that is looked at, and how far a look may go: one host, whatever the host says.

use std::net::SocketAddr;

use url::Host;
use url::Url;

use crate::doctor::resolve::Resolve;
use crate::doctor::shown::shown_url;

/// Where looking begins.
#[derive(Clone, Debug)]
pub struct Target {
    url: Url,
    /// Where the host's ports are. If there are any, its name is not looked up: it may lead to another site yet.
    told: Vec<SocketAddr>,
}

/// A text that names no site.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no URL.
    #[error("{0:?} is no address: write it as https://app.example.com/")]
    NotUrl(String),
    /// Only web sites are looked at.
    #[error("{0:?} is no web site: its address begins with https:// or http://")]
    NotHttp(String),
    /// What is typed on a command line stays in its history.
    #[error("leave user and password out of the address")]
    Credentials,
}

impl Target {
    /// Reads an address; without a scheme, https is meant.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let mut url = Url::parse(&full).map_err(|_error| TargetError::NotUrl(text.to_owned()))?;
        if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
            return Err(TargetError::NotHttp(text.to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        url.set_fragment(None);
        Ok(Self { url, told: Vec::new() })
    }

    /// Takes note of where its host is; whether that was about its host.
    pub fn take(&mut self, resolve: &Resolve) -> bool {
        let is_own = self.url.host() == Some(Host::Domain(resolve.host.as_str()));
        self.told.extend(is_own.then_some(resolve.at));
        is_own
    }

    /// The address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether `url` is on the host that was named. Nothing else is ever asked for.
    pub(crate) fn has_host_of(&self, url: &Url) -> bool {
        self.url.host() == url.host() && ["http", "https"].contains(&url.scheme())
    }

    /// Whether a redirect from `from` to `to` is followed: within an origin, and from http to https.
    pub(crate) fn may_follow(&self, from: &Url, to: &Url) -> bool {
        let same_origin = from.origin() == to.origin();
        let upgrade = from.scheme() == "http" && to.scheme() == "https";
        self.has_host_of(to) && (same_origin || upgrade)
    }

    /// Another page of the host, named by a path with its query; nothing if that leads elsewhere.
    pub(crate) fn page(&self, path: &str) -> Option<Url> {
        let url = self.url.join(path).ok()?;
        (url.origin() == self.url.origin()).then_some(url)
    }

    /// Where its ports are, as far as this was told.
    pub(crate) fn told(&self) -> &[SocketAddr] {
        &self.told
    }

    /// Whether it is the machine that looks.
    pub(crate) fn is_this_machine(&self) -> bool {
        if self.told.iter().any(|at| at.ip().to_canonical().is_loopback()) {
            return true;
        }
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
            None => false,
        }
    }

    /// Whether browsers would remember strict transport security for this host: not for addresses (RFC 6797 §8.1.1), and
    /// `localhost` is no public name.
    pub(crate) fn has_public_name(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name.contains('.') && !name.ends_with(".localhost"),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => false,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&shown_url(&self.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn an_address_without_a_scheme_is_of_https() {
        assert_eq!(target("app.example.com").url().as_str(), "https://app.example.com/");
        assert_eq!(target("localhost:8443/x").url().as_str(), "https://localhost:8443/x");
    }

    #[test]
    fn what_is_no_site_is_refused() {
        assert!(matches!(Target::parse("ftp://app.example/"), Err(TargetError::NotHttp(_))));
        assert!(matches!(Target::parse("https://"), Err(TargetError::NotUrl(_))));
        assert_eq!(Target::parse("https://ann:pw@app.example/").unwrap_err(), TargetError::Credentials);
    }

    #[test]
    fn a_look_stays_on_its_host() {
        let site = target("https://app.example/");
        let url = |text: &str| Url::parse(text).unwrap();
        let from = url("https://app.example/");
        for (to, follows) in [
            ("https://app.example/login", true),
            ("https://app.example:444/", false),
            ("https://evil.example/", false),
            ("https://app.example.evil.example/", false),
            ("http://app.example/", false),
            ("ftp://app.example/", false),
        ] {
            assert_eq!(site.may_follow(&from, &url(to)), follows, "{to}");
        }
        assert!(site.may_follow(&url("http://app.example/"), &url("https://app.example:8443/")));
        assert!(site.page("//evil.example/x").is_none());
        assert_eq!(site.page("/login?a=b").unwrap().as_str(), "https://app.example/login?a=b");
    }

    #[test]
    fn loopback_is_this_machine_in_every_spelling() {
        for own in [
            "http://localhost:5000",
            "http://127.0.0.2",
            "http://[::1]",
            "http://[::ffff:127.0.0.1]",
            "http://0x7f.1",
        ] {
            assert!(target(own).is_this_machine(), "{own}");
        }
        assert!(!target("http://192.0.2.1").is_this_machine());
    }

    #[test]
    fn only_names_of_the_internet_have_strict_transport() {
        assert!(target("https://app.example.com").has_public_name());
        for local in ["https://localhost", "https://127.0.0.1", "https://[::1]", "https://app.localhost"] {
            assert!(!target(local).has_public_name(), "{local}");
        }
    }
}
