//! Where the gateway listens, and whose word about the client it takes.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use crate::config::check::Check;
use crate::config::check::proxies;
use crate::config::file::ListenFile;
use crate::config::read::Given;
use crate::config::read::OneOrMany;
use crate::config::read::OrNull;
use crate::config::tree::At;
use crate::config::units::Address;
use crate::server::ListenSettings;

const HTTPS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8443);
const ADMIN_SOCKET: &str = "admin.sock";
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);

/// The listeners.
pub(super) fn listen(file: &ListenFile, state_dir: &Path, check: &mut Check<'_>) -> ListenSettings {
    let https = match &file.https {
        None => vec![HTTPS],
        Some(given) => given.value.0.as_ref().map_or_else(Vec::new, addresses),
    };
    let http = file.http.as_ref().map_or_else(Vec::new, |given| addresses(&given.value));
    // Judged by what was written: an address that could not be read was noted already.
    let plain = file.http.as_ref().is_some_and(|given| !given.value.is_empty());
    let off =
        |given: &Given<OrNull<OneOrMany<Address>>>| given.value.0.as_ref().is_none_or(OneOrMany::is_empty);
    if file.https.as_ref().is_some_and(off) && !plain {
        let at = file.https.as_ref().map(|given| given.at);
        check.findings.missing(
            at,
            "the gateway listens nowhere".to_owned(),
            "write `listen: { https: \"0.0.0.0:8443\" }`, or `http` behind a TLS terminator",
        );
    }
    let trusted_proxies = proxies::trusted(file, check);
    if let Some(given) = &file.http
        && plain
        && trusted_proxies.is_empty()
        && !check.findings.is_unread("listen.trusted_proxies")
    {
        check.findings.error(
            given.at,
            "`listen.http` is plain HTTP, but no TLS terminator is trusted to stand before it".to_owned(),
            "name its network in `listen.trusted_proxies`, or use `listen.https`; to send people on to https, use `listen.http_redirect`",
        );
    }
    twice(file, check);
    ListenSettings {
        https,
        http,
        http_redirect: file.http_redirect.as_ref().map_or_else(Vec::new, |given| addresses(&given.value)),
        admin: admin(file, check),
        admin_socket: admin_socket(file, state_dir, check),
        health: file.health.as_ref().map(|given| given.value.0),
        trusted_proxies,
    }
}

fn addresses(list: &OneOrMany<Address>) -> Vec<SocketAddr> {
    list.values.iter().map(|given| given.value.0).collect()
}

fn admin(file: &ListenFile, check: &mut Check<'_>) -> Option<SocketAddr> {
    let Some(given) = &file.admin else {
        return Some(ADMIN);
    };
    let address = given.value.0.as_ref()?.0;
    if !address.ip().is_loopback() {
        check.findings.warning(
            Some(given.at),
            format!("`listen.admin` shows metrics to whoever reaches {address}"),
            "for probes from outside, `listen.health` is enough; keep `admin` on 127.0.0.1 or a network of your own",
        );
    }
    Some(address)
}

fn admin_socket(file: &ListenFile, state_dir: &Path, check: &mut Check<'_>) -> Option<PathBuf> {
    let Some(given) = &file.admin_socket else {
        return Some(state_dir.join(ADMIN_SOCKET));
    };
    let path = state_dir.join(&given.value.0.as_ref()?.0);
    if path.file_name().is_none() || path.is_dir() {
        check.findings.error(
            given.at,
            format!("`listen.admin_socket`: `{}` is a folder", path.display()),
            "name a file; `admin.sock` is in `state_dir`",
        );
    }
    Some(path)
}

/// Two listeners of one address cannot both be opened; port 0 is a fresh port for each.
fn twice(file: &ListenFile, check: &mut Check<'_>) {
    let one = |given: &Option<Given<Address>>| given.iter().map(|given| (given.value.0, given.at)).collect();
    let many =
        |list: &OneOrMany<Address>| list.values.iter().map(|given| (given.value.0, given.at)).collect();
    let lists: [Vec<(SocketAddr, At)>; 5] = [
        file.https.as_ref().and_then(|given| given.value.0.as_ref()).map_or_else(Vec::new, many),
        file.http.as_ref().map_or_else(Vec::new, |given| many(&given.value)),
        file.http_redirect.as_ref().map_or_else(Vec::new, |given| many(&given.value)),
        file.admin.iter().filter_map(|given| Some((given.value.0.as_ref()?.0, given.at))).collect(),
        one(&file.health),
    ];
    let mut seen: Vec<SocketAddr> = Vec::new();
    for (address, at) in lists.into_iter().flatten() {
        if address.port() != 0 && seen.contains(&address) {
            check.findings.error(
                at,
                format!("two listeners share the address {address}"),
                "give each a port of its own",
            );
        }
        seen.push(address);
    }
}
