//! The PROXY protocol, versions 1 and 2, from machines in `listen.trusted_proxies`: who opened the proxy's own
//! connection. The header is optional; from anybody else it is a malformed handshake or request like any other.

use std::io;
use std::net::SocketAddr;

use proxy_header::Error;
use proxy_header::ParseConfig;
use proxy_header::ProxyHeader;
use tokio::io::AsyncReadExt;

use crate::server::socket::Socket;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

// Version 2 may carry 64 KiB of extensions we have no use for; honest proxies send some hundred bytes.
const MAX_HEADER: usize = 4 * 1024;

/// Reads a header if the connection begins with one, and gives the address it names; nothing if there is no header or it
/// says the proxy speaks for itself. Other bytes that were read are put back.
pub(super) async fn read(socket: &mut Socket) -> io::Result<Option<SocketAddr>> {
    let mut bytes = Vec::with_capacity(256);
    loop {
        if socket.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match parse(&bytes) {
            Found::Part => {}
            Found::Nothing => {
                socket.put_back(bytes);
                return Ok(None);
            }
            Found::Header(source, length) => {
                socket.put_back(bytes.split_off(length));
                return Ok(source);
            }
            Found::Malformed => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "malformed PROXY header"));
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It may become a header.
    Part,
    Nothing,
    Header(Option<SocketAddr>, usize),
    Malformed,
}

fn parse(bytes: &[u8]) -> Found {
    let begins = |mark: &[u8]| bytes.iter().zip(mark).all(|(one, other)| one == other);
    if !begins(V1) && !begins(V2) {
        return Found::Nothing;
    }
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, length)) => Found::Header(header.proxied_address().map(|address| address.source), length),
        Err(Error::BufferTooShort) if bytes.len() < MAX_HEADER => Found::Part,
        Err(_) => Found::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_versions_name_the_client() {
        let line = b"PROXY TCP4 192.0.2.7 10.0.0.1 5555 443\r\nGET";
        let source = Some("192.0.2.7:5555".parse().unwrap());
        assert_eq!(parse(line), Found::Header(source, line.len() - 3));
        let mut binary = V2.to_vec();
        binary.extend_from_slice(&[0x21, 0x11, 0, 12, 192, 0, 2, 7, 10, 0, 0, 1, 0x15, 0xB3, 1, 0xBB]);
        assert_eq!(parse(&binary), Found::Header(source, binary.len()));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Found::Header(None, 15));
    }

    #[test]
    fn what_is_no_header_is_left_alone() {
        for bytes in [&b"POST / HTTP/1.1\r\n"[..], b"PROPFIND", b"\x16\x03\x01", b"GET", b"\r\n\r\nGET"] {
            assert_eq!(parse(bytes), Found::Nothing);
        }
    }

    #[test]
    fn parts_wait_and_broken_ones_end() {
        for bytes in [&b"P"[..], b"PROXY ", b"PROXY TCP4 1.2.3.4", b"\r\n\r\n"] {
            assert_eq!(parse(bytes), Found::Part);
        }
        for bytes in [&b"PROXY TCP4 999.2.3.4 1.2.3.4 1 2\r\n"[..], b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"] {
            assert_eq!(parse(bytes), Found::Malformed);
        }
        let mut huge = V2.to_vec();
        huge.extend_from_slice(&[0x21, 0x11, 0xFF, 0xFF]);
        huge.resize(MAX_HEADER, 0);
        assert_eq!(parse(&huge), Found::Malformed);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_stumble(version in any::<bool>(), tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = if version { V1.to_vec() } else { V2.to_vec() };
            bytes.extend(tail);
            parse(&bytes);
        }
    }
}
