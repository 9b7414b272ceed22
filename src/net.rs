//! Who is talking to whom: addresses, schemes and host names, each in a type that says its role.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use ipnet::IpNet;

/// Who opened a socket: ours, or that of a listed proxy which told us of it by the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// Who asked, after listed proxies were taken into account: limits, logs and forwarded headers use this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub IpAddr);

impl ClientAddr {
    /// The network that counts as one client for limits: the address itself for IPv4, its /64 for IPv6, where one
    /// subscriber owns at least that much.
    pub fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_canonical().fmt(formatter)
    }
}

/// How the browser reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme means when it names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host name or address as it stands in a `Host` field, in lower case and without port or final dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Box<str>);

impl Host {
    /// Reads a host without port: letters, digits, `-`, `_` and `.`, an IPv4 address, or an IPv6 address in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = inner.parse().ok()?;
            return Some(Self(format!("[{address}]").into()));
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        let fits = !text.is_empty() && text.len() <= 253;
        let labels = text.split('.').all(|label| {
            let legal =
                label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            !label.is_empty() && label.len() <= 63 && legal
        });
        // All-numeric names are addresses to a browser: only the dotted form with four parts is one to us.
        let last_numeric =
            text.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
        let address = !last_numeric || text.parse::<Ipv4Addr>().is_ok();
        (fits && labels && address).then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The host as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an address and no name.
    pub fn is_address(&self) -> bool {
        self.0.starts_with('[') || self.0.parse::<Ipv4Addr>().is_ok()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A host with the port it was reached on: what `Host` and `:authority` carry (RFC 9110 §7.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port, if one was written.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads `host` or `host:port`; user information, paths, spaces and empty ports are refused.
    pub fn parse(text: &str) -> Option<Self> {
        let end_of_host =
            if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (host, rest) = text.split_at_checked(end_of_host)?;
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            Some(digits) if (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None | Some(_) => return None,
        };
        Some(Self { host: Host::parse(host)?, port })
    }

    /// Whether `origin` is exactly the origin of this authority under `scheme` (RFC 6454 §6.2).
    pub fn is_origin(&self, scheme: Scheme, origin: &str) -> bool {
        let Some((written, rest)) = origin.split_once("://") else {
            return false;
        };
        let Some(other) = Self::parse(rest) else {
            return false;
        };
        let port = |authority: &Self| authority.port.unwrap_or_else(|| scheme.default_port());
        written.eq_ignore_ascii_case(scheme.as_str()) && other.host == self.host && port(&other) == port(self)
    }

    /// This authority's origin under `scheme`, without the port where it is the scheme's own.
    pub fn origin(&self, scheme: Scheme) -> String {
        match self.port {
            Some(port) if port != scheme.default_port() => {
                format!("{}://{}:{port}", scheme.as_str(), self.host)
            }
            Some(_) | None => format!("{}://{}", scheme.as_str(), self.host),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(formatter, "{}:{port}", self.host),
            None => self.host.fmt(formatter),
        }
    }
}

/// The proxies whose word about the client is believed; empty believes nobody.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Believes the machines in `networks`.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` is one of them; an IPv4 address written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        assert_eq!(Host::parse("App.Example.COM.").unwrap().as_str(), "app.example.com");
        assert_eq!(Host::parse("[0:0::1]").unwrap().as_str(), "[::1]");
        assert_eq!(Host::parse("127.0.0.1").unwrap().as_str(), "127.0.0.1");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "",
            ".",
            "a..b",
            "a b",
            "a/b",
            "a@b",
            "a#b",
            "é",
            "[::1",
            "::1",
            "[::1%25en0]",
            "0177.1",
            "1.2.3.4.5",
        ] {
            assert!(Host::parse(bad).is_none(), "{bad:?} was taken for a host");
        }
    }

    #[test]
    fn an_authority_takes_one_clean_port_or_none() {
        let with_port = Authority::parse("app:8443").unwrap();
        assert_eq!((with_port.host.as_str(), with_port.port), ("app", Some(8443)));
        assert_eq!(Authority::parse("[::1]:8443").unwrap().to_string(), "[::1]:8443");
        for bad in ["app:", "app:99999", "app:80:80", "u@app", "app/x", "app:+80", "[::1]x"] {
            assert!(Authority::parse(bad).is_none(), "{bad:?} was taken for an authority");
        }
    }

    #[test]
    fn only_the_exact_origin_is_the_own_origin() {
        let own = Authority::parse("app.example").unwrap();
        assert!(own.is_origin(Scheme::Https, "https://app.example"));
        assert!(own.is_origin(Scheme::Https, "https://app.example:443"));
        for other in [
            "http://app.example",
            "https://app.example:444",
            "https://evil@app.example",
            "null",
            "",
            "https://app.example.evil",
            "https://app.example/",
            "app.example",
        ] {
            assert!(!own.is_origin(Scheme::Https, other), "{other:?} passed for the own origin");
        }
    }

    #[test]
    fn trust_sees_through_mapped_addresses_and_defaults_to_nobody() {
        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        assert!(trusted.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!trusted.contains("192.168.0.1".parse().unwrap()));
        assert!(!TrustedProxies::default().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn an_ipv6_subscriber_is_one_client() {
        let client = |text: &str| ClientAddr(text.parse().unwrap());
        assert_eq!(client("2001:db8:1:2::1").network(), client("2001:db8:1:2:ffff::9").network());
        assert_ne!(client("192.0.2.1").network(), client("192.0.2.2").network());
    }
}
