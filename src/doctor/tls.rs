//! TLS towards the site: a certificate that does not verify is something to report, not a reason to see nothing.
//!
//! It is still a reason to keep secrets back: [`Trust::Demanded`] ends the handshake, and logging in demands it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rustls::ClientConfig;
use rustls::DigitallySignedStruct;
use rustls::ProtocolVersion;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use webpki::EndEntityCert;

use crate::clock::Timestamp;
use crate::server::certificate::expiry;

/// Whether a certificate that does not verify ends the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It does not: nothing secret is sent.
    Observed,
    /// It does.
    Demanded,
}

/// What a handshake told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// TLS 1.2 or 1.3; nothing else is offered.
    pub(crate) version: &'static str,
    /// Why the certificate does not verify; nothing if it does.
    pub(crate) untrusted: Option<String>,
    /// When the certificate ends.
    pub(crate) expires: Option<Timestamp>,
}

/// Makes TLS connections.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    /// Nothing where the system has no authorities and none were named.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates named: one that is its own issuer may be among them.
    named: Vec<CertificateDer<'static>>,
    trust: Trust,
}

impl Tls {
    /// Trusts the system's authorities and the certificates in `named`.
    ///
    /// # Errors
    /// If the file holds none.
    pub(crate) fn new(named: Option<&Path>, trust: Trust) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let named = named.map(read).transpose()?.unwrap_or_default();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(named.iter().cloned());
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok();
        Ok(Self { provider, authorities, named, trust })
    }

    /// Shakes hands with `host` on `socket`.
    pub(crate) async fn connect(
        &self,
        host: &str,
        socket: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Handshake)> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let judge = Arc::new(Judge {
            provider: Arc::clone(&self.provider),
            authorities: self.authorities.clone(),
            named: self.named.clone(),
            trust: self.trust,
            verdict: Mutex::new(None),
        });
        let verifier: Arc<dyn ServerCertVerifier> = Arc::<Judge>::clone(&judge);
        #[expect(clippy::expect_used, reason = "aws-lc-rs supports the default protocol versions")]
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
        let session = stream.get_ref().1;
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            Some(_) | None => "1.2",
        };
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let expires = leaf.and_then(|leaf| expiry::not_after(leaf));
        let untrusted = judge.verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok((stream, Handshake { version, untrusted, expires }))
    }
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    all.ok()
        .filter(|all| !all.is_empty())
        .ok_or_else(|| format!("{} holds no certificate in PEM form", file.display()))
}

/// Judges the certificate of one connection, and remembers what is wrong with it.
#[derive(Debug)]
struct Judge {
    provider: Arc<CryptoProvider>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    named: Vec<CertificateDer<'static>>,
    trust: Trust,
    verdict: Mutex<Option<String>>,
}

impl Judge {
    /// A certificate that was named itself needs no issuer, but the right name and time. Many of those that people make
    /// for themselves are marked as authorities, which no authority check lets pass for a server.
    fn is_named(&self, leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> bool {
        let is_for = EndEntityCert::try_from(leaf)
            .is_ok_and(|cert| cert.verify_is_valid_for_subject_name(name).is_ok());
        let lives = expiry::not_after(leaf).is_some_and(|end| end.as_secs() > now.as_secs());
        is_for && lives && self.named.iter().any(|named| named == leaf)
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = match &self.authorities {
            Some(authorities) => authorities.verify_server_cert(leaf, issuers, name, ocsp, now),
            None => Err(rustls::Error::General("this system has no certificate authorities".to_owned())),
        };
        match judged {
            Err(_) if self.is_named(leaf, name, now) => Ok(ServerCertVerified::assertion()),
            Err(error) if self.trust == Trust::Observed => {
                *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(in_words(&error));
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What is wrong with a certificate, for whoever runs the site.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's list of them grows, and it has words for each"
)]
fn in_words(error: &rustls::Error) -> String {
    use rustls::CertificateError as Wrong;
    let rustls::Error::InvalidCertificate(wrong) = error else {
        return error.to_string();
    };
    let told = wrong.to_string();
    let known = match wrong {
        _ if told.contains("CaUsedAsEndEntity") => "it is self-signed, and marked as an authority's own",
        Wrong::Expired | Wrong::ExpiredContext { .. } => "it has expired",
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => "it is not valid yet",
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => "it is for another name",
        Wrong::UnknownIssuer => "nobody this system trusts has issued it",
        _ => &told,
    };
    known.to_owned()
}
