//! Settings that are written as text and mean something more exact: lengths of time, sizes, rates, addresses, names.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use http::HeaderName;
use http::Method;
use ipnet::IpNet;
use schemars::JsonSchema;

use crate::config::findings::Findings;
use crate::config::read;
use crate::config::read::Read;
use crate::config::tree::Node;
use crate::net::Host;

/// Makes a type that is read from text. `$parse` gives the value, or what to write instead where that can be said
/// better than by `$write`.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident($inner:ty), $wanted:literal, $write:literal, $parse:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, JsonSchema)]
        #[schemars(inline)]
        pub(crate) struct $name(#[schemars(with = "String")] pub(crate) $inner);

        impl Read for $name {
            fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
                let text = read::text(node, path, $wanted, $write, findings)?;
                match $parse(text) {
                    Ok(value) => Some(Self(value)),
                    Err(Unfit(write)) => {
                        read::wrong_type(node, path, $wanted, write.as_deref().unwrap_or($write), findings);
                        None
                    }
                }
            }
        }
    };
}

/// The text is not of the type; what to write instead, where it can be guessed.
struct Unfit(Option<String>);

impl Unfit {
    const PLAIN: Self = Self(None);

    fn write(text: String) -> Self {
        Self(Some(text))
    }
}

text_type!(
    /// Text of at least one character.
    Text(String), "text", "it in quotes: \"…\"", plain_text
);
text_type!(
    /// A length of time, such as `90s`, `30m` or `24h`.
    Span(Duration), "a length of time", "a number with a unit, such as `30s`, `30m` or `24h`", span
);
text_type!(
    /// A size in bytes, such as `32KiB` or `10MiB`.
    Size(u64), "a size", "a number with a unit, such as `32KiB` or `10MiB`", size
);
text_type!(
    /// So many within a length of time, such as `30/15m`.
    Rate((u32, Duration)), "a rate", "a number and a length of time, such as `30/15m`", rate
);
text_type!(
    /// An address to listen on, such as `0.0.0.0:8443` or `[::]:8443`.
    Address(SocketAddr), "an address with a port", "for example \"0.0.0.0:8443\" or \"[::]:8443\"", address
);
text_type!(
    /// A network, such as `10.0.0.0/8`, or one address.
    Network(IpNet), "a network", "for example `10.0.0.0/8`, or one address such as `192.0.2.1`", network
);
text_type!(
    /// The name of a header field: letters, digits and `-`.
    FieldName(HeaderName), "the name of a header", "letters, digits and `-`, such as `X-Forwarded-User`", field_name
);
text_type!(
    /// A host name or address, without scheme and port.
    HostName(Host), "a host name", "the name alone, such as `app.example.com`", host_name
);
text_type!(
    /// A method of HTTP, such as `GET`.
    MethodName(Method), "a method of HTTP", "it in capitals, such as `GET`", method
);

/// The same for those who type an address: the error says what to type instead.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    address(text).map_err(|Unfit(write)| {
        format!("write {}", write.as_deref().unwrap_or("an address with a port, such as 127.0.0.1:8443"))
    })
}

fn plain_text(text: &str) -> Result<String, Unfit> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Unfit::write("at least one character, and none that is invisible".to_owned()));
    }
    Ok(text.to_owned())
}

fn span(text: &str) -> Result<Duration, Unfit> {
    humantime::parse_duration(text).map_err(|_no_duration| match text.parse::<u32>() {
        Ok(number) => Unfit::write(format!("`{number}s` or `{number}m`")),
        Err(_no_number) => Unfit::PLAIN,
    })
}

fn size(text: &str) -> Result<u64, Unfit> {
    let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
    let size: Option<ByteSize> = text.parse().ok().filter(|_| has_unit);
    size.map(|size| size.as_u64()).ok_or(Unfit::PLAIN)
}

fn rate(text: &str) -> Result<(u32, Duration), Unfit> {
    let (count, window) = text.split_once('/').ok_or(Unfit::PLAIN)?;
    let count: Option<u32> = count.trim().parse().ok().filter(|count| *count > 0);
    let window = humantime::parse_duration(window.trim()).ok().filter(|window| !window.is_zero());
    count.zip(window).ok_or(Unfit::PLAIN)
}

fn address(text: &str) -> Result<SocketAddr, Unfit> {
    text.parse().map_err(|_no_address| match text.rsplit_once(':') {
        Some(("", port)) => Unfit::write(format!(
            "\"0.0.0.0:{port}\" for all of this machine's IPv4 addresses, or \"[::]:{port}\""
        )),
        Some(("localhost", port)) => Unfit::write(format!("\"127.0.0.1:{port}\"")),
        Some(("*", port)) => Unfit::write(format!("\"0.0.0.0:{port}\"")),
        None if text.parse::<IpAddr>().is_ok() => {
            Unfit::write(format!("the port too, such as \"{text}:8443\""))
        }
        Some(_) | None => Unfit::PLAIN,
    })
}

fn network(text: &str) -> Result<IpNet, Unfit> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = text.parse().ok().or_else(address).ok_or(Unfit::PLAIN)?;
    if network.trunc() == network {
        return Ok(network);
    }
    // `10.1.2.3/8` is either a slip in the length or in the address: both readings are offered.
    Err(Unfit::write(format!(
        "`{}` for the network, or `{}` for the one address",
        network.trunc(),
        network.addr()
    )))
}

fn field_name(text: &str) -> Result<HeaderName, Unfit> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| plain);
    name.ok_or_else(|| {
        // Many servers read `_` and `-` as the same character: a client could then send a name we did not strip.
        let dashed = text.contains('_').then(|| format!("`{}`", text.replace('_', "-")));
        Unfit(dashed)
    })
}

fn host_name(text: &str) -> Result<Host, Unfit> {
    if text.contains('*') {
        return Err(Unfit::write("each host by its name: there are no wildcards".to_owned()));
    }
    let bare = text.rsplit("://").next().unwrap_or(text);
    let bare = bare.split('/').next().unwrap_or(bare);
    Host::parse(text).ok_or_else(|| match crate::net::Authority::parse(bare) {
        Some(authority) => Unfit::write(format!("`{}`, without scheme, port or path", authority.host)),
        None => Unfit::PLAIN,
    })
}

fn method(text: &str) -> Result<Method, Unfit> {
    let known = text.bytes().all(|byte| byte.is_ascii_uppercase());
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| known);
    method.ok_or_else(|| Unfit::write(format!("`{}`", text.to_ascii_uppercase())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice<T>(result: Result<T, Unfit>) -> String {
        result.err().and_then(|Unfit(write)| write).unwrap_or_default()
    }

    #[test]
    fn units_are_read_as_people_write_them() {
        assert_eq!(span("1h 30m").ok(), Some(Duration::from_mins(90)));
        assert_eq!(span("0s").ok(), Some(Duration::ZERO));
        assert_eq!(size("32KiB").ok(), Some(32768));
        assert_eq!(rate("30/15m").ok(), Some((30, Duration::from_mins(15))));
        assert_eq!(network("192.0.2.1").ok(), "192.0.2.1/32".parse().ok());
    }

    #[test]
    fn what_was_meant_is_offered() {
        assert_eq!(advice(span("30")), "`30s` or `30m`");
        assert!(advice(address(":8443")).contains("\"0.0.0.0:8443\""));
        assert_eq!(advice(address("localhost:80")), "\"127.0.0.1:80\"");
        assert!(advice(address("10.0.0.1")).contains("10.0.0.1:8443"));
        assert!(advice(network("10.1.2.3/8")).contains("10.0.0.0/8"));
        assert_eq!(advice(field_name("X_User")), "`X-User`");
        assert!(advice(host_name("https://app.example:8443/x")).contains("`app.example`"));
        assert_eq!(advice(method("get")), "`GET`");
    }

    #[test]
    fn what_has_no_unit_or_no_sense_is_refused() {
        for bad in ["32768", "-1KiB", "", "KiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for bad in ["30", "0/15m", "30/0s", "/15m", "30/15", "-1/15m"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        for bad in ["GET POST", "", "G{T"] {
            assert!(method(bad).is_err(), "{bad}");
        }
    }
}
