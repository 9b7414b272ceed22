//! What the app sends, made safe for the browser.

use http::HeaderValue;

/// `Strict-Transport-Security` (RFC 6797) of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hsts {
    /// One day, and only where the browser came in on port 443 with a certificate that is not our own development one.
    Auto,
    /// Never sent; the app's own is removed.
    Off,
    /// Sent as it stands on every https answer.
    Always(HeaderValue),
}

/// What caches may keep of a protected answer (RFC 9111 §5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// Pages and data the app says nothing about are `no-store`, other types `private`; `public` becomes `private`.
    NoStore,
    /// What the app says nothing about is `private`; `public` becomes `private`.
    Private,
    /// The app decides.
    App,
}

/// What becomes of the app's own cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppCookies {
    /// Attributes are made safe; names and values stay.
    Harden,
    /// They pass as they are.
    Pass,
}

/// How a site's answers are hardened.
#[derive(Clone, Debug)]
pub struct ResponsePolicy {
    /// Transport security.
    pub hsts: Hsts,
    /// The sources of `frame-ancestors`, such as `'self'`; nothing leaves framing to the app.
    pub frame_ancestors: Option<String>,
    /// Caching of protected answers.
    pub cache: CachePolicy,
    /// The app's own cookies.
    pub cookies: AppCookies,
}
