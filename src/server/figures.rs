//! What the way from the browser counts.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;

/// What a server counts. Touched once a connection, never by a request.
#[derive(Debug, Default)]
pub struct Figures {
    /// Connections open now, tunnels included.
    pub open: AtomicUsize,
    /// Connections that, since the start, ended before HTTP began: TLS or PROXY header failed, or took too long.
    pub handshakes_failed: AtomicU64,
}
