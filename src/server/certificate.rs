//! A certificate chain and its key, from two PEM files: loaded, matched, and asked for whom and until when it is.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use thiserror::Error;
use webpki::EndEntityCert;

use crate::clock::Timestamp;
use crate::net::Host;
use crate::server::CertificateFiles;

pub mod development;
pub(crate) mod expiry;

/// A certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}; check `tls.certificates`, or set `tls.generate: true` for a development certificate", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate: it must be PEM, the server's own certificate first, then its issuers", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// A file's first certificate cannot be used.
    #[error("the first certificate in {} cannot be used: {reason}; ask its issuer for a TLS server certificate (X.509 version 3)", file.display())]
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file holds no usable key.
    #[error("{} holds no usable private key: it must be PEM and not encrypted (PKCS#8, or EC or RSA of its own form)", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// Key and certificate are not of one pair.
    #[error("the key in {} is not the one of the certificate in {}: give the two files that were issued together", key.display(), cert.display())]
    Mismatch {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// No certificate is named.
    #[error("`tls.certificates` is empty: name a certificate and its key, or set `tls.generate: true`")]
    None,
    /// A development certificate cannot be made.
    #[error("cannot make a development certificate: {0}")]
    Generate(#[source] rcgen::Error),
    /// A development certificate cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] rustls::Error),
}

/// What a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// The DNS names it carries, in its order, and this machine's own addresses if we made it.
    pub hosts: Vec<Host>,
    /// The domains of which it is for all direct children (`*.example.com`), which name no host.
    pub wildcards: Vec<Host>,
}

impl CertificateNames {
    /// Whether it is for `host`. A wildcard stands for one label (RFC 9525 §6.3).
    pub fn cover(&self, host: &Host) -> bool {
        let parent = host.as_str().split_once('.').map(|(_, parent)| parent);
        let in_domain = |domain: &Host| parent.is_some_and(|parent| parent == domain.as_str());
        self.hosts.contains(host) || self.wildcards.iter().any(in_domain)
    }
}

/// What a certificate is for.
pub fn certificate_names(files: &CertificateFiles) -> Result<CertificateNames, CertificateError> {
    let pem = read(&files.cert)?;
    let chain = chain(&pem, &files.cert)?;
    let names = names(&chain, &files.cert)?;
    let ours = chain.first().is_some_and(development::is_ours);
    let addresses = if ours { &development::ADDRESSES[..] } else { &[] };
    let single = names.iter().map(|name| &**name).filter(|name| !name.starts_with("*."));
    let wildcards = names.iter().filter_map(|name| name.strip_prefix("*."));
    Ok(CertificateNames {
        hosts: single.chain(addresses.iter().copied()).filter_map(Host::parse).collect(),
        wildcards: wildcards.filter_map(Host::parse).collect(),
    })
}

/// A certificate ready for use.
#[derive(Debug)]
pub(super) struct Entry {
    key: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
    development: bool,
    expires: Option<Timestamp>,
}

impl Entry {
    /// Makes one of the contents of its two files.
    pub(super) fn new(
        files: &CertificateFiles,
        cert: &[u8],
        key: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Self, CertificateError> {
        let chain = chain(cert, &files.cert)?;
        let names = names(&chain, &files.cert)?;
        let leaf = chain.first();
        let development = leaf.is_some_and(development::is_ours);
        let expires = leaf.and_then(|leaf| expiry::not_after(leaf));
        let no_key = || CertificateError::NoKey { file: files.key.clone() };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_not_pem| no_key())?;
        let key = provider.key_provider.load_private_key(key).map_err(|_not_a_key| no_key())?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => {
                return Err(CertificateError::Mismatch { cert: files.cert.clone(), key: files.key.clone() });
            }
        }
        Ok(Self { key: Arc::new(key), names, development, expires })
    }

    /// The chain and its key.
    pub(super) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// Its DNS names in lower case, wildcards included.
    pub(super) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Whether we made it for development.
    pub(super) fn is_development(&self) -> bool {
        self.development
    }

    /// When it ends.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.expires
    }
}

/// A file's contents.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(file).map_err(|source| CertificateError::Unreadable { file: file.to_owned(), source })
}

fn chain(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) | Err(_) => Err(CertificateError::NoCertificate { file: file.to_owned() }),
    }
}

fn names(chain: &[CertificateDer<'static>], file: &Path) -> Result<Vec<Box<str>>, CertificateError> {
    let bad = |reason: String| CertificateError::BadCertificate { file: file.to_owned(), reason };
    let leaf = chain.first().ok_or_else(|| bad("it is missing".to_owned()))?;
    let leaf = EndEntityCert::try_from(leaf).map_err(|error| bad(error.to_string()))?;
    Ok(leaf.valid_dns_names().map(|name| name.to_ascii_lowercase().into()).collect())
}

#[cfg(test)]
mod tests;
