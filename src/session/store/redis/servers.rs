//! Which servers there are, how one is reached, and what is asked of it before it is used.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::Client;
use redis::ClientTlsConfig;
use redis::ConnectionAddr;
use redis::ConnectionInfo;
use redis::IntoConnectionInfo;
use redis::ProtocolVersion;
use redis::RedisError;
use redis::TlsCertificates;
use redis::TlsMode;
use redis::aio::AsyncPushSender;
use redis::aio::MultiplexedConnection;
use redis::sentinel::SentinelClientBuilder;
use redis::sentinel::SentinelServerType;
use thiserror::Error;
use zeroize::Zeroizing;

/// How long a connection may take to be made, and a server to answer on it.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);

/// Where the sessions of several gateways are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The servers, of which the first that answers and takes writes is used; none where a Sentinel names it.
    pub servers: Vec<ConnectionInfo>,
    /// Who knows which server is in charge.
    pub sentinel: Option<Sentinel>,
    /// The user of an ACL; nothing for the default user.
    pub username: Option<String>,
    /// A file with the user's password, read at each connection.
    pub password_file: Option<PathBuf>,
    /// What a TLS connection is made with, beside what the system has.
    pub tls: TlsFiles,
    /// What all keys begin with.
    pub prefix: String,
}

impl fmt::Display for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = match &self.sentinel {
            None => &self.servers,
            Some(sentinel) => {
                write!(formatter, "{} by Sentinel ", sentinel.master)?;
                &sentinel.servers
            }
        };
        for (place, server) in servers.iter().enumerate() {
            write!(formatter, "{}{}", if place == 0 { "" } else { ", " }, server.addr())?;
        }
        Ok(())
    }
}

/// Sentinels that watch over one set of servers.
#[derive(Clone, Debug)]
pub struct Sentinel {
    /// What they call it.
    pub master: String,
    /// Where they are.
    pub servers: Vec<ConnectionInfo>,
}

/// Files for TLS, read at each connection so that new ones are used.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// The authorities that may vouch for the servers; without one, those of the system.
    pub ca_file: Option<PathBuf>,
    /// A certificate to show, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Reads the address of a server; nothing if it is none.
pub fn parse(url: &str) -> Option<ConnectionInfo> {
    url.into_connection_info().ok()
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    /// A file is not there.
    #[error("cannot read {0}: {1}")]
    File(PathBuf, #[source] io::Error),
    /// The server is there, but another is in charge.
    #[error("the server is a replica, which takes no writes")]
    Replica,
    /// The server is not there, or does not want us.
    #[error(transparent)]
    Server(#[from] RedisError),
    /// None is named.
    #[error("no server is named")]
    None,
}

impl Settings {
    /// A client for each server that may be in charge.
    pub(super) async fn clients(&self) -> Result<Vec<Client>, ConnectError> {
        let password = self.password_file.as_deref().map(read_line).transpose()?;
        let certificates = self.certificates()?;
        match &self.sentinel {
            Some(sentinel) => {
                let client = self.through(sentinel, password.as_ref(), &certificates).await?;
                Ok(vec![client])
            }
            None => {
                self.servers.iter().map(|info| self.client(info, password.as_ref(), &certificates)).collect()
            }
        }
    }

    fn client(
        &self,
        info: &ConnectionInfo,
        password: Option<&Zeroizing<String>>,
        certificates: &TlsCertificates,
    ) -> Result<Client, ConnectError> {
        // RESP3, in which the server may speak without being asked.
        let mut settings =
            info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = password {
            settings = settings.set_password(password.as_str());
        }
        let info = info.clone().set_redis_settings(settings);
        let encrypted = is_encrypted(&info);
        Ok(if encrypted { Client::build_with_tls(info, certificates.clone())? } else { Client::open(info)? })
    }

    /// A client for the server that the Sentinels name.
    async fn through(
        &self,
        sentinel: &Sentinel,
        password: Option<&Zeroizing<String>>,
        certificates: &TlsCertificates,
    ) -> Result<Client, ConnectError> {
        let addresses = sentinel.servers.iter().map(|info| info.addr().clone());
        let mut builder =
            SentinelClientBuilder::new(addresses, &sentinel.master, SentinelServerType::Master)?
                .set_client_to_redis_protocol(ProtocolVersion::RESP3);
        if let Some(info) = sentinel.servers.first() {
            builder = builder.set_client_to_redis_db(info.redis_settings().db());
        }
        if let Some(username) = &self.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = password {
            builder = builder.set_client_to_redis_password(password.as_str());
        }
        if sentinel.servers.iter().any(is_encrypted) {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        Ok(builder.build()?.async_get_client().await?)
    }

    fn certificates(&self) -> Result<TlsCertificates, ConnectError> {
        let root_cert = self.tls.ca_file.as_deref().map(read).transpose()?;
        let client_tls = match &self.tls.identity {
            Some((cert, key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
            None => None,
        };
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

/// Whether this address is reached by TLS.
pub fn is_encrypted(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// A connection on which many can ask at once. What the server says unasked, and the connection's end, go to `pushes`.
pub(super) async fn connect(
    client: &Client,
    pushes: impl AsyncPushSender,
) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(DEADLINE))
        .set_response_timeout(Some(DEADLINE))
        .set_push_sender(pushes);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// What speaks against keeping sessions in this server, in sentences.
pub(super) async fn doubts(connection: &mut MultiplexedConnection) -> Vec<String> {
    let mut doubts = Vec::new();
    let info: Result<String, RedisError> = redis::cmd("INFO").query_async(connection).await;
    let info = info.unwrap_or_default();
    let value =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    match value("maxmemory_policy") {
        Some("noeviction") => {}
        Some(policy) => doubts.push(format!(
            "its `maxmemory-policy` is `{policy}`: it may throw sessions away; set `noeviction`"
        )),
        None => doubts.push(
            "it does not say how it is set up: allow the user `+info`, so that this can be looked at"
                .to_owned(),
        ),
    }
    if value("aof_enabled") == Some("0") {
        doubts.push(
            "its `appendonly` is off: if it is restarted, the last sessions and the last ends are lost; set `appendonly yes`"
                .to_owned(),
        );
    }
    doubts
}

fn read(file: &Path) -> Result<Vec<u8>, ConnectError> {
    fs::read(file).map_err(|error| ConnectError::File(file.to_owned(), error))
}

fn read_line(file: &Path) -> Result<Zeroizing<String>, ConnectError> {
    let text = fs::read_to_string(file).map(Zeroizing::new);
    let text = text.map_err(|error| ConnectError::File(file.to_owned(), error))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
