//! Logging in, logging out, and changing one's password.

use std::path::PathBuf;
use std::time::Duration;

/// How guessing is slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// So many failures in a row are free for an account; each further one doubles a delay that begins at a second.
    pub per_account: u32,
    /// So many failures are allowed from one client network …
    pub per_address: u32,
    /// … within this time.
    pub per_address_window: Duration,
}

/// What the login page looks like.
#[derive(Clone, Debug)]
pub struct Theme {
    /// The heading.
    pub title: String,
    /// An image file shown above it.
    pub logo: Option<PathBuf>,
    /// A style sheet file used after our own.
    pub css: Option<PathBuf>,
}

/// How people log in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The users file.
    pub users: PathBuf,
    /// How guessing is slowed down.
    pub attempts: Attempts,
    /// What the page looks like.
    pub theme: Theme,
}
