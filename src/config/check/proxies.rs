//! Whose word about the client is taken: nobody's but the proxies' own.

use std::net::IpAddr;

use ipnet::IpNet;
use ipnet::Ipv4Net;

use crate::config::check::Check;
use crate::config::file::ListenFile;
use crate::net::TrustedProxies;

/// The networks of `listen.trusted_proxies`.
pub(super) fn trusted(file: &ListenFile, check: &mut Check<'_>) -> TrustedProxies {
    let given = file.trusted_proxies.as_ref().map_or(&[][..], |given| &given.value);
    let networks: Vec<IpNet> = given.iter().map(|network| network.value.0).collect();
    for (network, at) in networks.iter().zip(given.iter().map(|network| network.at)) {
        if network.prefix_len() == 0 {
            check.findings.error(
                at,
                format!("`{network}` is everyone: any client could claim any address"),
                ALONE,
            );
        } else if let Some(short) = unmapped(*network) {
            check.findings.warning(
                Some(at),
                format!("`{network}` never matches: who comes by IPv4 is known by an IPv4 address"),
                &if is_vast(short.into()) { ALONE.to_owned() } else { format!("write `{short}`") },
            );
        } else if is_vast(*network) {
            check.findings.warning(
                Some(at),
                format!("`{network}` is a large part of the internet: whoever has an address in it can claim any other"),
                ALONE,
            );
        }
    }
    if let Some(all) = &file.trusted_proxies
        && networks.iter().all(|network| network.prefix_len() > 0)
        && IpNet::aggregate(&networks).iter().any(|network| network.prefix_len() == 0)
    {
        check.findings.error(
            all.at,
            "these networks together are everyone: any client could claim any address".to_owned(),
            ALONE,
        );
    }
    TrustedProxies::new(networks)
}

const ALONE: &str = "name the networks of your own proxies alone";

/// Whether nobody owns a network as large. `fc00::/7` and `fe80::/10` are everybody's own (RFC 4193, RFC 4291).
fn is_vast(network: IpNet) -> bool {
    match network.addr() {
        IpAddr::V4(_) => network.prefix_len() < 8,
        IpAddr::V6(address) => {
            let local = address.is_unique_local() && network.prefix_len() >= 7
                || address.is_unicast_link_local() && network.prefix_len() >= 10;
            network.prefix_len() < 16 && !local
        }
    }
}

/// The network of IPv4 that is written as one of IPv6 (RFC 4291 §2.5.5.2).
fn unmapped(network: IpNet) -> Option<Ipv4Net> {
    let IpAddr::V6(address) = network.addr() else { return None };
    Ipv4Net::new(address.to_ipv4_mapped()?, network.prefix_len().checked_sub(96)?).ok()
}
