//! Making a connection to one server of an app.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

use crate::net::Authority;
use crate::upstream::Endpoint;
use crate::upstream::Settings;
use crate::upstream::stream::Stream;

/// Why the certificate authorities for an app could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The `ca_file` cannot be read or holds no certificate.
    #[error("cannot use the certificate authorities in {file}: {reason}")]
    File {
        /// The file as configured.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has none.
    #[error(
        "the system has no certificate authorities; install them (Debian: ca-certificates) or set `ca_file`"
    )]
    System,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server refused, is not there, or failed the TLS handshake (a certificate that does not verify included).
    #[error("cannot connect: {0}")]
    Io(#[from] io::Error),
    /// It took longer than `upstream_connect`.
    #[error("connecting took longer than {0:?}")]
    TimedOut(Duration),
}

/// Makes connections to the servers of one app.
#[derive(Debug)]
pub(crate) struct Connector {
    timeout: Duration,
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    pub(crate) fn new(settings: &Settings) -> Result<Self, RootsError> {
        let wants_tls = settings.servers.iter().any(|server| matches!(server, Endpoint::Https(_)));
        let tls = if wants_tls { Some(tls(settings)?) } else { None };
        Ok(Self { timeout: settings.connect_timeout, tls })
    }

    /// Connects within the limit.
    pub(crate) async fn connect(&self, endpoint: &Endpoint) -> Result<Stream, ConnectError> {
        tokio::time::timeout(self.timeout, self.open(endpoint))
            .await
            .map_err(|_elapsed| ConnectError::TimedOut(self.timeout))?
            .map_err(ConnectError::Io)
    }

    async fn open(&self, endpoint: &Endpoint) -> io::Result<Stream> {
        match endpoint {
            Endpoint::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
            Endpoint::Http(authority) => Ok(Stream::Tcp(tcp(authority, 80).await?)),
            Endpoint::Https(authority) => {
                let socket = tcp(authority, 443).await?;
                let config = self.tls.clone().ok_or_else(|| io::Error::other("TLS is not set up"))?;
                let name = server_name(authority)?;
                let stream = TlsConnector::from(config).connect(name, socket).await?;
                Ok(Stream::Tls(Box::new(stream)))
            }
        }
    }
}

async fn tcp(authority: &Authority, default_port: u16) -> io::Result<TcpStream> {
    let port = authority.port.unwrap_or(default_port);
    let host = bare_host(authority);
    let stream = match host.parse::<IpAddr>() {
        Ok(address) => TcpStream::connect((address, port)).await?,
        Err(_name) => TcpStream::connect((host, port)).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn server_name(authority: &Authority) -> io::Result<ServerName<'static>> {
    let name = bare_host(authority).to_owned();
    ServerName::try_from(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn bare_host(authority: &Authority) -> &str {
    authority.host.as_str().trim_start_matches('[').trim_end_matches(']')
}

fn tls(settings: &Settings) -> Result<Arc<ClientConfig>, RootsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = match &settings.ca_file {
        Some(file) => own_roots(file).map_err(|reason| RootsError::File { file: file.clone(), reason })?,
        None => system_roots()?,
    };
    #[expect(clippy::expect_used, reason = "aws-lc-rs supports the default protocol versions")]
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn own_roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(file).map_err(|error| error.to_string())?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err(String::from("it holds no certificate in PEM form"));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(RootsError::System);
    }
    Ok(roots)
}
