//! Ending TLS: versions, suites, groups, tickets, and the handshake (ASVS 12.1, RFC 9325, Mozilla's intermediate list).

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::Acceptor;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS12;
use rustls::version::TLS13;
use tokio::io::AsyncWriteExt;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::clock::Timestamp;
use crate::net::Host;
use crate::server::MinTls;
use crate::server::TlsSettings;
use crate::server::certificate::CertificateError;
use crate::server::certificate::development;
use crate::server::peer::TlsInfo;
use crate::server::reload::CertificateEvent;
use crate::server::reload::Certificates;
use crate::server::socket::Socket;

// A fatal `unrecognized_name` (RFC 6066 §3) in a record of its own. rustls would say `access_denied`, which tells a
// client that it is not welcome, when it has only come to the wrong house.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// How TLS is ended, with the certificates in use now. Cheap to clone; all clones see a reload.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl Tls {
    /// Loads the certificates. With `settings.generate` the first one is made for `hosts` and this machine if it is
    /// missing, and made anew if it is ours and over.
    pub fn load(settings: &TlsSettings, hosts: &[Host], now: Timestamp) -> Result<Self, CertificateError> {
        if let (true, Some(first)) = (settings.generate, settings.certificates.first()) {
            development::ensure(first, hosts, now)?;
        }
        let provider = Arc::new(provider());
        let certificates = Arc::new(Certificates::load(&settings.certificates, Arc::clone(&provider))?);
        let versions: &[&SupportedProtocolVersion] = match settings.min_version {
            MinTls::V1_2 => &[&TLS13, &TLS12],
            MinTls::V1_3 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(CertificateError::Tls)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Tickets that hold all state, under keys that rotate (RFC 9325 §3.4); no early data (RFC 8470).
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(CertificateError::Tls)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), certificates })
    }

    /// Follows the certificates' files for ever, and tells `on_event` what came of each change. To be run beside the
    /// server; reading is done in the blocking pool.
    pub async fn watch(&self, on_event: impl Fn(&CertificateEvent)) {
        Arc::clone(&self.certificates).watch(on_event).await;
    }

    /// When the first of the certificates in use ends.
    pub fn expires(&self) -> Option<Timestamp> {
        self.certificates.expires()
    }

    /// Shakes hands. A name that no certificate is for is refused before any certificate is shown.
    pub(super) async fn accept(&self, socket: Socket) -> io::Result<(TlsStream<Socket>, TlsInfo)> {
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let hello = start.client_hello();
        let sni = hello.server_name();
        let Some(entry) = self.certificates.find(sni) else {
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            start.io.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::NotFound, "no certificate for the name asked for"));
        };
        let info =
            TlsInfo { sni: sni.and_then(Host::parse), development_certificate: entry.is_development() };
        let stream = start.into_stream(Arc::clone(&self.config)).await?;
        Ok((stream, info))
    }
}

/// aws-lc-rs with exactly the suites and groups we want, given explicitly: what is installed for the process, or what a
/// dependency's feature adds, changes nothing (TLS-2, TLS-3).
pub(super) fn provider() -> CryptoProvider {
    use rustls::crypto::aws_lc_rs::cipher_suite;
    use rustls::crypto::aws_lc_rs::kx_group;
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    }
}
