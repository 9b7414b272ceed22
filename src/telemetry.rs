//! What happened, for people and machines: audit events, the access log, diagnostics, figures.
//!
//! `docs/logs-and-metrics.md` is the inventory of what leaves here (ASVS 16.1.1); a test compares it with the code.

pub mod audit;
pub mod crash;
pub mod diagnostics;
pub mod event;
pub mod log;
pub mod metrics;

mod causes;
mod counters;
mod exposition;
mod flood;
mod line;
mod mask;
mod outlet;

pub use crate::telemetry::causes::causes;

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    const INVENTORY: &str = include_str!("../docs/logs-and-metrics.md");

    /// The first column's names in every table below the heading `title`.
    pub(super) fn inventory(title: &str) -> BTreeSet<String> {
        INVENTORY
            .lines()
            .skip_while(|line| *line != format!("## {title}"))
            .skip(1)
            .take_while(|line| !line.starts_with("## "))
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}
