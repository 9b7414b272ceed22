//! Where sessions are kept.

use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;

use ::redis::ConnectionAddr;
use ::redis::ConnectionInfo;

use crate::config::check::Check;
use crate::config::file::File;
use crate::config::file::store::RedisBlock;
use crate::config::file::store::RedisTlsFile;
use crate::config::file::store::StoreBlock;
use crate::config::file::store::StoreFile;
use crate::config::read::Given;
use crate::config::read::OneOrMany;
use crate::config::tree::At;
use crate::config::units::Text;
use crate::config::words::StoreName;
use crate::files;
use crate::session::store::Place;
use crate::session::store::redis;
use crate::session::store::redis::Sentinel;
use crate::session::store::redis::Settings;
use crate::session::store::redis::TlsFiles;

/// The file of the store on disk, in `state_dir`.
const STORE: &str = "sessions.redb";

/// What keys begin with where nothing else is written.
pub(crate) const PREFIX: &str = "vestibule:";

/// The store that is asked for.
pub(super) fn store(file: &File, state_dir: &Path, check: &mut Check<'_>) -> Place {
    let usual = || Place::Disk(state_dir.join(STORE));
    let Some(given) = &file.session.store else { return usual() };
    match &given.value {
        StoreFile::Name(StoreName::Memory) => Place::Memory,
        StoreFile::Name(StoreName::Disk) => usual(),
        StoreFile::Block(block) => {
            let StoreBlock { disk, redis } = &**block;
            if let (Some(_), Some(redis)) = (disk, redis) {
                check.findings.error(
                    redis.at,
                    "`session.store` names two stores".to_owned(),
                    "remove one of `disk` and `redis`",
                );
            }
            if let Some(disk) = disk {
                return in_file(disk, state_dir, check);
            }
            let Some(redis) = redis else { return usual() };
            if file.keys.is_none() {
                check.findings.warning(
                    Some(given.at),
                    "`keys` is not set: each gateway makes keys of its own, and finds no session of the others".to_owned(),
                    "write `keys: FILE`, with the same file for all gateways: a line from `openssl rand -hex 32`",
                );
            }
            Place::Redis(Box::new(settings(&redis.value.0, redis.at, check)))
        }
    }
}

fn in_file(given: &Given<Text>, state_dir: &Path, check: &mut Check<'_>) -> Place {
    let path = check.path(&given.value.0);
    let folder = files::folder(&path);
    // `state_dir` is made at the start.
    if path.is_dir() || (folder != state_dir && !folder.is_dir()) {
        check.findings.error(
            given.at,
            format!("`session.store.disk`: no file can be made at `{}`", path.display()),
            "write a file in a folder that exists, or `disk` alone for one in `state_dir`",
        );
    }
    Place::Disk(path)
}

fn settings(file: &RedisBlock, at: At, check: &mut Check<'_>) -> Settings {
    let servers = addresses(file.urls.as_ref(), check);
    let sentinels = addresses(file.sentinel.urls.as_ref(), check);
    let sentinel = (file.sentinel.master.as_ref())
        .map(|master| Sentinel { master: master.value.0.clone(), servers: sentinels });
    if let (Some(urls), Some(_)) = (&file.urls, &sentinel) {
        check.findings.error(
            urls.at,
            "`urls` and `sentinel` both say where the server is".to_owned(),
            "remove `urls`: the Sentinels know which server is in charge",
        );
    }
    if file.username.is_some() && file.password_file.is_none() {
        check.findings.error(
            at,
            "there is a `username` and no `password_file`".to_owned(),
            "name the file with the user's password: `password_file: FILE`",
        );
    }
    let encrypted = servers.iter().chain(sentinel.iter().flat_map(|sentinel| &sentinel.servers));
    let tls = tls(&file.tls, check);
    if (tls.ca_file.is_some() || tls.identity.is_some()) && !encrypted.clone().any(redis::is_encrypted) {
        check.findings.error(
            at,
            "there is `tls`, but no address begins with `rediss://`".to_owned(),
            "write `rediss://` in place of `redis://`",
        );
    }
    Settings {
        servers,
        sentinel,
        username: file.username.as_ref().map(|given| given.value.0.clone()),
        password_file: file.password_file.as_ref().map(|given| password_file(given, check)),
        tls,
        prefix: prefix(file.prefix.as_ref(), check),
    }
}

fn password_file(given: &Given<Text>, check: &mut Check<'_>) -> PathBuf {
    let path = check.existing(given, "password_file");
    check.private(&path, Some(given.at), "the password file", "with it all sessions are read and ended");
    path
}

fn addresses(given: Option<&Given<OneOrMany<Text>>>, check: &mut Check<'_>) -> Vec<ConnectionInfo> {
    let Some(given) = given else { return Vec::new() };
    if given.value.is_empty() {
        check.findings.error(
            given.at,
            "there is no address".to_owned(),
            "name at least one, such as `rediss://redis.internal:6379`",
        );
    }
    given.value.values.iter().filter_map(|given| address(given, check)).collect()
}

fn address(given: &Given<Text>, check: &mut Check<'_>) -> Option<ConnectionInfo> {
    let text = given.value.0.as_str();
    let Some(info) = redis::parse(text) else {
        check.findings.error(
            given.at,
            "this is not the address of a Redis server".to_owned(),
            "write `rediss://redis.internal:6379`, `redis://127.0.0.1:6379` or `redis+unix:///run/redis/redis.sock`",
        );
        return None;
    };
    if info.redis_settings().password().is_some() || info.redis_settings().username().is_some() {
        check.findings.error(
            given.at,
            "an address holds no user and no password: it is shown in messages".to_owned(),
            "write `redis: { urls: …, username: …, password_file: … }`",
        );
        return None;
    }
    if let ConnectionAddr::Tcp(host, _) = info.addr()
        && !is_here(host)
    {
        check.findings.warning(
            Some(given.at),
            format!("what is asked of `{host}` travels unencrypted"),
            "fine inside an encrypted network; anywhere else write `rediss://`",
        );
    }
    if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
        check.findings.error(
            given.at,
            "`#insecure`: anybody could pass for the server".to_owned(),
            "remove it, and name the authority that vouches for the server: `tls: { ca_file: FILE }`",
        );
    }
    Some(info)
}

fn is_here(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_no_address) => host == "localhost" || host.ends_with(".localhost"),
    }
}

fn tls(file: &RedisTlsFile, check: &mut Check<'_>) -> TlsFiles {
    let ca_file = file.ca_file.as_ref().map(|given| check.existing(given, "ca_file"));
    let identity = match (&file.cert, &file.key) {
        (Some(cert), Some(key)) => Some((check.existing(cert, "cert"), check.existing(key, "key"))),
        (Some(given), None) | (None, Some(given)) => {
            check.findings.error(
                given.at,
                "a certificate to show needs `cert` and `key`".to_owned(),
                "name both files, or neither",
            );
            None
        }
        (None, None) => None,
    };
    TlsFiles { ca_file, identity }
}

fn prefix(given: Option<&Given<Text>>, check: &mut Check<'_>) -> String {
    let Some(given) = given else { return PREFIX.to_owned() };
    let text = &given.value.0;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":._-/".contains(&byte);
    if !text.bytes().all(plain) || text.len() > 64 {
        check.findings.error(
            given.at,
            "`prefix` must be at most 64 letters, digits and `: . _ - /`".to_owned(),
            "write one such as `vestibule:`",
        );
    }
    text.clone()
}
