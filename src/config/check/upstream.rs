//! How an app is reached.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::PathAndQuery;

use crate::config::check::Check;
use crate::config::check::count;
use crate::config::check::limits;
use crate::config::file::LimitsFile;
use crate::config::file::site::HealthFile;
use crate::config::file::site::UpstreamBlock;
use crate::config::read::Given;
use crate::config::units::Text;
use crate::net::Authority;
use crate::net::Host;
use crate::upstream::Balancing;
use crate::upstream::Endpoint;
use crate::upstream::HealthCheck;
use crate::upstream::PresentScheme;
use crate::upstream::Settings;

/// Shorter than the keep-alive of every known app server (gunicorn: 2 s), so that none closes what we are about to use.
pub(crate) const IDLE: Duration = Duration::from_secs(1);

/// How often servers are asked whether they are well.
pub(crate) const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// How long the answer may take.
pub(crate) const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// So many answers in a row make a server well again.
pub(crate) const HEALTHY_AFTER: u64 = 2;
/// So many failures in a row make it ill.
pub(crate) const UNHEALTHY_AFTER: u64 = 3;

/// The way to the app of a site with these hosts.
pub(super) fn upstream(
    file: &UpstreamBlock,
    all: &LimitsFile,
    hosts: &[Host],
    check: &mut Check<'_>,
) -> Settings {
    let given = file.servers.as_ref();
    let list = given.map_or(&[][..], |given| &given.value.values);
    if let Some(given) = given
        && given.value.is_empty()
    {
        check.findings.error(
            given.at,
            "the app has no server".to_owned(),
            "name at least one, such as `[http://127.0.0.1:5000]`",
        );
    }
    let allow_plaintext = file.allow_plaintext.as_ref().is_some_and(|given| given.value);
    let mut servers = Vec::new();
    for server in list {
        if let Some(endpoint) = endpoint(server, allow_plaintext, check) {
            if servers.contains(&endpoint) {
                check.findings.error(
                    server.at,
                    format!("the server `{}` stands here twice", server.value.0),
                    "remove one of the two",
                );
            }
            servers.push(endpoint);
        }
    }
    let max = file.max_connections.as_ref();
    Settings {
        ca_file: ca_file(file, &servers, check),
        servers,
        balance: file.balance.as_ref().map_or(Balancing::RoundRobin, |given| given.value),
        health: health(file, hosts, check),
        present_scheme: file.present_scheme.as_ref().map_or(PresentScheme::Https, |given| given.value),
        max_connections: max
            .map(|given| count(check.number(Some(given), "max_connections", (1, 1_000_000), 100))),
        idle: file.idle.as_ref().map_or(IDLE, |given| given.value.0),
        connect_timeout: check.some_time(
            all.upstream_connect.as_ref(),
            "limits.upstream_connect",
            limits::UPSTREAM_CONNECT,
        ),
        response_timeout: check.some_time(
            all.upstream_response.as_ref(),
            "limits.upstream_response",
            limits::UPSTREAM_RESPONSE,
        ),
    }
}

fn health(file: &UpstreamBlock, hosts: &[Host], check: &mut Check<'_>) -> Option<HealthCheck> {
    let given = file.health.as_ref()?;
    let HealthFile(block) = given.value.0.as_ref()?;
    let path = block.path.as_ref().and_then(|given| health_path(given, check));
    let interval = check.some_time(block.interval.as_ref(), "upstream.health.interval", HEALTH_INTERVAL);
    let timeout = check.some_time(block.timeout.as_ref(), "upstream.health.timeout", HEALTH_TIMEOUT);
    let mut times = |given: Option<&Given<u64>>, name: &str, default| {
        u32::try_from(check.number(given, name, (1, 100), default)).unwrap_or(1)
    };
    let healthy_after = times(block.healthy_after.as_ref(), "upstream.health.healthy_after", HEALTHY_AFTER);
    let unhealthy_after =
        times(block.unhealthy_after.as_ref(), "upstream.health.unhealthy_after", UNHEALTHY_AFTER);
    Some(HealthCheck {
        path: path?,
        host: hosts.first()?.clone(),
        interval,
        timeout,
        healthy_after,
        unhealthy_after,
    })
}

fn health_path(given: &Given<Text>, check: &mut Check<'_>) -> Option<PathAndQuery> {
    let text = given.value.0.as_str();
    let path = text.starts_with('/').then(|| text.parse().ok()).flatten();
    if path.is_none() {
        check.findings.error(
            given.at,
            format!("`health`: `{text}` is not a path"),
            "write what the servers are asked for from the root: `/healthz`",
        );
    }
    path
}

fn endpoint(given: &Given<Text>, allow_plaintext: bool, check: &mut Check<'_>) -> Option<Endpoint> {
    let text = given.value.0.as_str();
    match parse(text) {
        Ok(Endpoint::Http(authority)) if !is_here(&authority.host) => {
            plaintext(given, &authority, allow_plaintext, check);
            Some(Endpoint::Http(authority))
        }
        Ok(endpoint) => Some(endpoint),
        Err(write) => {
            check.findings.error(given.at, format!("`{text}` is not the address of an app"), &write);
            None
        }
    }
}

/// FWD-7: between gateway and app, whoever can listen has every session and every password.
fn plaintext(given: &Given<Text>, authority: &Authority, allowed: bool, check: &mut Check<'_>) {
    if allowed {
        check.findings.warning(
            Some(given.at),
            format!("requests to `{authority}` travel unencrypted"),
            "fine inside one machine or an encrypted network; anywhere else use `https://`",
        );
        return;
    }
    check.findings.error(
        given.at,
        format!("plain HTTP to `{authority}`: whoever is on the way can read and change every session"),
        &format!(
            "use `https://{authority}`, a Unix socket or 127.0.0.1; or, where the network itself is safe, `upstream: {{ servers: [{}], allow_plaintext: true }}`",
            given.value.0
        ),
    );
}

fn parse(text: &str) -> Result<Endpoint, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.starts_with('/') && !path.ends_with('/') {
            return Ok(Endpoint::Unix(PathBuf::from(path)));
        }
        return Err("write the socket's path from the root: `unix:/run/app.sock`".to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(match Authority::parse(text) {
            Some(authority) => format!("write the scheme too: `http://{authority}`"),
            None => {
                "write `http://127.0.0.1:5000`, `https://app.internal` or `unix:/run/app.sock`".to_owned()
            }
        });
    };
    let bare = rest.strip_suffix('/').unwrap_or(rest);
    let Some(authority) = Authority::parse(bare) else {
        let only = bare.split(['/', '?', '#']).next().and_then(Authority::parse);
        return Err(match only {
            Some(only) => {
                format!("write `{scheme}://{only}` alone: the app gets the path that the browser asked for")
            }
            None => "write scheme, host and port alone, such as `http://127.0.0.1:5000`".to_owned(),
        });
    };
    match scheme {
        "http" => Ok(Endpoint::Http(authority)),
        "https" => Ok(Endpoint::Https(authority)),
        _ => Err(format!("write `http://{authority}` or `https://{authority}`")),
    }
}

/// Whether what is sent to `host` stays on this machine.
fn is_here(host: &Host) -> bool {
    let text = host.as_str();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_no_address) => text == "localhost" || text.ends_with(".localhost"),
    }
}

fn ca_file(file: &UpstreamBlock, servers: &[Endpoint], check: &mut Check<'_>) -> Option<PathBuf> {
    let given = file.ca_file.as_ref()?;
    if !servers.iter().any(|server| matches!(server, Endpoint::Https(_))) {
        check.findings.error(
            given.at,
            "`ca_file` has nothing to verify: no server is `https`".to_owned(),
            "remove the line, or write `https://` before the servers",
        );
    }
    Some(check.existing(given, "ca_file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_and_port() {
        for good in [
            "http://127.0.0.1:5000",
            "http://localhost/",
            "https://app.internal",
            "https://[::1]:8443",
            "unix:/run/a.sock",
            "unix:///run/a.sock",
        ] {
            assert!(parse(good).is_ok(), "{good} was refused");
        }
        for (bad, write) in [
            ("127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("http://a/app", "`http://a` alone"),
            ("http://user:secret@a", "scheme, host and port"),
            ("ftp://a", "`http://a`"),
            ("unix:app.sock", "from the root"),
            ("http://", "scheme, host and port"),
        ] {
            let said = parse(bad).unwrap_err();
            assert!(said.contains(write), "{bad} was answered by: {said}");
        }
    }

    #[test]
    fn only_loopback_is_here() {
        let here = |text: &str| is_here(&Host::parse(text).unwrap());
        for text in ["127.0.0.1", "127.9.9.9", "localhost", "app.localhost", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(here(text), "{text}");
        }
        for text in ["10.0.0.1", "192.168.1.1", "0.0.0.0", "app", "localhost.example", "[fd00::1]"] {
            assert!(!here(text), "{text}");
        }
    }
}
