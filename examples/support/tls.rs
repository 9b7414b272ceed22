//! TLS to a server on this machine whose certificate is trusted by file: what every load client here begins with.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use anyhow::Result;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where to connect, as whom to check it, and what to speak.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Target {
    /// Trusts the certificate in the PEM file `ca` and nothing else.
    pub(crate) fn new(address: SocketAddr, host: &str, ca: &Path, http2: bool) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let certificate =
            CertificateDer::from_pem_file(ca).with_context(|| format!("reading {}", ca.display()))?;
        roots.add(certificate).context("trusting the certificate")?;
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from(host.to_owned()).context("the host's name")?;
        Ok(Self { address, name, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// A connection after its handshake.
    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.address).await.context("connecting")?;
        socket.set_nodelay(true).context("setting TCP_NODELAY")?;
        self.tls.connect(self.name.clone(), socket).await.context("TLS handshake")
    }
}
