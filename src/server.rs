//! The way from the browser: listeners, TLS, connections, workers, draining. Knows no session and no app.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::net::TrustedProxies;

/// The oldest TLS version accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinTls {
    /// TLS 1.2 and 1.3.
    V1_2,
    /// TLS 1.3 alone.
    V1_3,
}

/// A certificate chain and its key, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, leaf first.
    pub cert: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// How TLS is ended.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Chosen by SNI; the first serves addresses and clients without SNI.
    pub certificates: Vec<CertificateFiles>,
    /// Whether a missing first certificate is made for development, for the hosts named here.
    pub generate: bool,
    /// The oldest version accepted.
    pub min_version: MinTls,
}

/// What a connection may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Fields of a request's head.
    pub headers: usize,
    /// Bytes of a request's body; nothing means no limit.
    pub body: Option<u64>,
    /// How long a TLS handshake, and then a request's head, may take.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request, and a body for its next byte.
    pub idle_timeout: Duration,
    /// Open connections over all listeners.
    pub connections: usize,
}

/// Where we listen.
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// TLS.
    pub https: Vec<SocketAddr>,
    /// Plain HTTP behind a TLS terminator that is listed in `trusted_proxies`.
    pub http: Vec<SocketAddr>,
    /// Plain HTTP that only redirects to https.
    pub http_redirect: Vec<SocketAddr>,
    /// Metrics and health.
    pub admin: Option<SocketAddr>,
    /// Health alone.
    pub health: Option<SocketAddr>,
    /// Whose word about the client is believed.
    pub trusted_proxies: TrustedProxies,
}
