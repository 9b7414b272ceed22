//! Who the client is and how it reached us: read from listed proxies, told to the app.
//!
//! Forwarding fields are believed only when the socket's peer is a listed proxy, and then from right to left only as
//! far as listed proxies vouch (FWD-10, attacks D09 to D11). One family of them counts: where there is any of
//! `X-Forwarded-For`, `-Proto` and `-Host`, `Forwarded` is not read, since a proxy that sets the former often passes on
//! what its client wrote into the latter. What the app gets is made anew, never appended to.

use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Version;
use http::header::FORWARDED;
use http::header::VIA;

use crate::net::Authority;
use crate::net::ClientAddr;
use crate::net::PeerAddr;
use crate::net::Scheme;
use crate::net::TrustedProxies;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The name that stands for this gateway in `Via` (RFC 9110 §7.6.3).
pub const VIA_PSEUDONYM: &str = "vestibule";

/// More proxies in a row than this are no chain but an attack; the first ones are looked at.
const MOST_HOPS: usize = 32;

/// How a request arrived, as the app is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who asked.
    pub client: ClientAddr,
    /// The scheme the app is shown.
    pub scheme: Scheme,
    /// The host, and the port if it was written.
    pub authority: Authority,
    /// The version of HTTP that the request came in with.
    pub version: Version,
}

/// Who asked: the socket's peer, or whom listed proxies vouch for.
///
/// What cannot be read ends the chain at the last proxy before it.
pub fn client(peer: PeerAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> ClientAddr {
    let peer = peer.0.ip().to_canonical();
    if !trusted.contains(peer) {
        return ClientAddr(peer);
    }
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let plain = hops.map(|hop| node(hop.trim_ascii()));
    let standard = elements(headers).into_iter().rev().map(|element| element.client);
    // Where one of the two speaks, the other is empty.
    ClientAddr(walk(peer, plain.chain(standard), trusted))
}

/// The scheme by which the browser reached a listed proxy in front of our plain listener; without its word, `http`.
pub fn scheme(peer: PeerAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Scheme {
    if !trusted.contains(peer.0.ip()) {
        return Scheme::Http;
    }
    let lines = headers.get_all(X_FORWARDED_PROTO).iter();
    let mut told: Vec<Vec<u8>> = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(|word| word.trim_ascii().to_vec())
        .collect();
    if told.is_empty() {
        told.extend(elements(headers).into_iter().map(|element| element.proto.unwrap_or_default()));
    }
    // All must agree: in a list, the part that a client may have sent cannot be told from the proxies' own.
    let https = !told.is_empty() && told.iter().all(|word| word.eq_ignore_ascii_case(b"https"));
    if https { Scheme::Https } else { Scheme::Http }
}

/// The host by which the browser reached a listed proxy in front of our plain listener, if that proxy names one.
/// Without, `Host` holds.
pub fn authority(peer: PeerAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Option<Authority> {
    if !trusted.contains(peer.0.ip()) {
        return None;
    }
    let mut lines = headers.get_all(X_FORWARDED_HOST).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => Authority::parse(line.to_str().ok()?),
        (Some(_), Some(_)) => None,
        (None, _) => match elements(headers).as_slice() {
            [Element { host: Some(host), .. }] => Authority::parse(std::str::from_utf8(host).ok()?),
            _ => None,
        },
    }
}

/// Whether the request has been through this gateway before (HTTP-11); the answer is 508.
pub fn loops(headers: &HeaderMap) -> bool {
    let hops = headers.get_all(VIA).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut names =
        hops.filter_map(|hop| hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1));
    names.any(|name| name.eq_ignore_ascii_case(VIA_PSEUDONYM.as_bytes()))
}

/// The values of the forwarding fields, made once for all requests that arrive the same way.
#[derive(Clone, Debug)]
pub struct ForwardedFields {
    address: HeaderValue,
    proto: HeaderValue,
    host: HeaderValue,
    port: HeaderValue,
    forwarded: HeaderValue,
    via: HeaderValue,
}

impl ForwardedFields {
    /// Makes the values for requests that arrive as `arrival` says.
    pub fn new(arrival: &Arrival) -> Self {
        let scheme = arrival.scheme.as_str();
        let (authority, client) = (&arrival.authority, arrival.client);
        // RFC 7239 §6: an IPv6 address stands in brackets, and brackets and colons need quotes.
        let node = match client.0.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let host = authority.to_string();
        let quoted = if host.contains(['[', ':']) { format!("\"{host}\"") } else { host.clone() };
        let port = authority.port.unwrap_or_else(|| arrival.scheme.default_port());
        Self {
            address: value(&client.to_string()),
            proto: HeaderValue::from_static(scheme),
            host: value(&host),
            port: HeaderValue::from(port),
            forwarded: value(&format!("for={node};host={quoted};proto={scheme}")),
            via: value(&format!("{} {VIA_PSEUDONYM}", number(arrival.version))),
        }
    }

    /// Sets the fields, in the place of whatever stands there; `Via` grows by a line.
    pub fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(X_FORWARDED_FOR, self.address.clone());
        headers.insert(X_FORWARDED_PROTO, self.proto.clone());
        headers.insert(X_FORWARDED_HOST, self.host.clone());
        headers.insert(X_FORWARDED_PORT, self.port.clone());
        headers.insert(X_REAL_IP, self.address.clone());
        headers.insert(FORWARDED, self.forwarded.clone());
        headers.append(VIA, self.via.clone());
    }
}

/// Addresses, hosts and schemes are made of characters that a field may hold.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_invalid| HeaderValue::from_static("unknown"))
}

fn number(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    }
}

/// Follows the hops, nearest first, as long as listed proxies vouch for them.
fn walk(peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>, trusted: &TrustedProxies) -> IpAddr {
    let mut current = peer;
    for hop in hops.take(MOST_HOPS) {
        let Some(address) = hop else { break };
        current = address;
        if !trusted.contains(current) {
            break;
        }
    }
    current
}

/// Reads an address with or without port; an IPv6 address may stand in brackets.
fn node(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let address = text.parse::<IpAddr>().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

/// One proxy's element of `Forwarded` (RFC 7239 §4).
#[derive(Debug, Default, PartialEq, Eq)]
struct Element {
    client: Option<IpAddr>,
    host: Option<Vec<u8>>,
    proto: Option<Vec<u8>>,
}

/// The elements of all `Forwarded` lines, first to last; one that cannot be read is empty, and ends its line. None where
/// the other family speaks.
fn elements(headers: &HeaderMap) -> Vec<Element> {
    let mut elements = Vec::new();
    if [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST].iter().any(|name| headers.contains_key(name)) {
        return elements;
    }
    for line in headers.get_all(FORWARDED) {
        let mut rest = Some(line.as_bytes());
        while let Some(text) = rest {
            let Some((element, after)) = element(text) else {
                elements.push(Element::default());
                break;
            };
            elements.push(element);
            rest = after;
        }
    }
    elements
}

/// Reads one element, and gives what follows its comma.
fn element(text: &[u8]) -> Option<(Element, Option<&[u8]>)> {
    let mut element = Element::default();
    let (mut seen, mut rest) = ((false, false, false), text);
    loop {
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let (name, after) = rest.split_at_checked(equals)?;
        let (value, after) = word(after.get(1..)?)?;
        let twice = match name.trim_ascii().to_ascii_lowercase().as_slice() {
            b"for" => {
                element.client = node(&value);
                std::mem::replace(&mut seen.0, true)
            }
            b"host" => {
                element.host = Some(value);
                std::mem::replace(&mut seen.1, true)
            }
            b"proto" => {
                element.proto = Some(value);
                std::mem::replace(&mut seen.2, true)
            }
            _ => false,
        };
        match after.trim_ascii_start().split_first() {
            _ if twice => return None,
            None => return Some((element, None)),
            Some((b',', after)) => return Some((element, Some(after))),
            Some((b';', after)) => rest = after,
            Some(_) => return None,
        }
    }
}

/// Reads a token or quoted string, and gives what follows it.
fn word(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end =
            text.iter().position(|byte| matches!(byte, b',' | b';' | b' ' | b'\t')).unwrap_or(text.len());
        let (token, rest) = text.split_at_checked(end)?;
        return (!token.contains(&b'"')).then(|| (token.to_vec(), rest));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    loop {
        match bytes.next()? {
            (at, b'"') => return Some((value, quoted.get(at + 1..)?)),
            (_, b'\\') => value.push(*bytes.next()?.1),
            (_, byte) => value.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests;
