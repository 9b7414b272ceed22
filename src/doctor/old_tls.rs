//! Whether a server still speaks TLS 1.1, which no library of ours can say: one greeting, written by hand, and the first
//! bytes of the answer.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Host;
use url::Url;

use crate::crypto::random;

const PATIENCE: Duration = Duration::from_secs(5);

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const TLS_1_0: [u8; 2] = [3, 1];
const TLS_1_1: [u8; 2] = [3, 2];

/// Suites of TLS 1.0 and 1.1 that old servers know, with ECDHE, DHE and RSA.
const SUITES: [[u8; 2]; 8] =
    [[0xC0, 0x14], [0xC0, 0x13], [0xC0, 0x0A], [0xC0, 0x09], [0, 0x39], [0, 0x33], [0, 0x35], [0, 0x2F]];

/// Greets as a client whose best is TLS 1.1; nothing if the answer says neither yes nor no.
pub(crate) async fn speaks(mut socket: TcpStream, url: &Url) -> Option<bool> {
    let name = match url.host()? {
        Host::Domain(name) => Some(name),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    };
    let exchange = async {
        socket.write_all(&hello(name)?).await.ok()?;
        let mut first = [0; 11];
        let mut read = 0;
        while let Some(rest) = first.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match socket.read(rest).await {
                Ok(0) | Err(_) => break,
                Ok(more) => read += more,
            }
        }
        first.get(..read).and_then(verdict)
    };
    timeout(PATIENCE, exchange).await.ok()?
}

/// A server that closes or sends an alert refuses; one that greets back with 1.1 or less speaks it.
fn verdict(answer: &[u8]) -> Option<bool> {
    match answer {
        [] | [ALERT, ..] => Some(false),
        [HANDSHAKE, 3, _, _, _, SERVER_HELLO, _, _, _, major, minor] => Some([*major, *minor] <= TLS_1_1),
        _ => None,
    }
}

/// A `ClientHello` (RFC 4346 §7.4.1.2) in its record.
fn hello(name: Option<&str>) -> Option<Vec<u8>> {
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let entry = [&[0][..], &sized(name.as_bytes())?].concat();
        extensions.extend(extension(0, &sized(&entry)?)?);
    }
    // P-256, P-384, P-521; uncompressed points (RFC 8422 §5.1).
    extensions.extend(extension(10, &sized(&[0, 23, 0, 24, 0, 25])?)?);
    extensions.extend(extension(11, &[1, 0])?);
    let suites = sized(SUITES.as_flattened())?;
    // No session id, and no compression.
    let body = [&TLS_1_1[..], &random::<32>(), &[0], &suites, &[1, 0], &sized(&extensions)?].concat();
    let [high, low] = u16::try_from(body.len()).ok()?.to_be_bytes();
    let message = [&[CLIENT_HELLO, 0, high, low][..], &body].concat();
    Some([&[HANDSHAKE][..], &TLS_1_0, &sized(&message)?].concat())
}

fn extension(kind: u8, data: &[u8]) -> Option<Vec<u8>> {
    Some([&[0, kind][..], &sized(data)?].concat())
}

// Bytes behind their length.
fn sized(bytes: &[u8]) -> Option<Vec<u8>> {
    Some([&u16::try_from(bytes.len()).ok()?.to_be_bytes()[..], bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_or_a_close_is_a_no_and_a_greeting_a_yes() {
        let greeting = |minor| [22, 3, 1, 0, 90, 2, 0, 0, 86, 3, minor];
        assert_eq!(verdict(&greeting(2)), Some(true));
        assert_eq!(verdict(&greeting(1)), Some(true));
        assert_eq!(verdict(&greeting(3)), Some(false));
        assert_eq!(verdict(&[21, 3, 1, 0, 2, 2, 70]), Some(false));
        assert_eq!(verdict(&[]), Some(false));
        assert_eq!(verdict(b"HTTP/1.1 400"), None);
    }

    #[test]
    fn a_greeting_is_as_long_as_it_says() {
        let hello = hello(Some("app.example")).unwrap();
        let length = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
        assert_eq!(length(3), hello.len() - 5);
        assert_eq!(length(7), hello.len() - 9);
    }
}
