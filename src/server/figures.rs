//! What the way from the browser counts.

use std::sync::atomic::AtomicU64;

/// Counters of a server since its start. Touched once a connection, never by a request.
#[derive(Debug, Default)]
pub struct Figures {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections that ended before HTTP began: TLS or PROXY header failed, or took too long.
    pub handshakes_failed: AtomicU64,
}
