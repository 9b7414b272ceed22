//! What happened, for people and machines: audit events, the access log, figures.

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where audit events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditSink {
    /// Standard error.
    Stderr,
    /// Appended to a file, which is made with mode 0600.
    File(std::path::PathBuf),
    /// Nowhere.
    Off,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The form of every line.
    pub format: Format,
    /// Whether each request gets a line on standard output.
    pub access: bool,
    /// Where audit events go.
    pub audit: AuditSink,
}
