//! Where a name leads that nobody can look up yet.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::str::FromStr;

use url::Host;

/// A port of a host, and the address where it is, written as curl has it: `HOST:PORT:ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// The name.
    pub(crate) host: String,
    /// The address and the port.
    pub(crate) at: SocketAddr,
}

impl FromStr for Resolve {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write it as HOST:PORT:ADDRESS, such as app.example.com:443:192.0.2.1";
        let mut parts = text.splitn(3, ':');
        let (Some(host), Some(port), Some(address)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(FORM);
        };
        let Ok(Host::Domain(host)) = Host::parse(host) else { return Err(FORM) };
        let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let (Ok(port), Ok(address)) = (port.parse::<u16>(), address.parse::<IpAddr>()) else {
            return Err(FORM);
        };
        Ok(Self { host, at: SocketAddr::new(address, port) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_curl_has_it() {
        for (text, host, at) in [
            ("app.example.com:443:192.0.2.1", "app.example.com", "192.0.2.1:443"),
            ("App.Example.com:80:2001:db8::1", "app.example.com", "[2001:db8::1]:80"),
            ("b\u{fc}cher.example:8443:[::1]", "xn--bcher-kva.example", "[::1]:8443"),
        ] {
            let expected = Resolve { host: host.to_owned(), at: at.parse().unwrap() };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in
            ["", "a", "a:443", "a:443:", "a:443:b", "a:x:::1", "a:70000:::1", ":443:::1", "127.0.0.1:443:::1"]
        {
            assert!(text.parse::<Resolve>().is_err(), "{text}");
        }
    }
}
