//! Requests that another site made the browser send.

/// What a site does about unsafe requests and WebSocket handshakes that come from another origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Csrf {
    /// They are refused.
    SameOrigin,
    /// They pass and are logged.
    Report,
    /// They pass.
    Off,
}
