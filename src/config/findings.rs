//! The notebook of a check: problems by the number of the value they concern. Places are looked up at the end.

use crate::config::problem::Problem;
use crate::config::problem::Severity;
use crate::config::tree;
use crate::config::tree::At;

/// This version, as people call it.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));

/// More problems than this are not listed: each costs a look-up, and nobody reads on.
const MOST: usize = 100;

/// Problems as they are found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    /// Whether an error was found after the list was full.
    more: bool,
    /// Settings that somebody meant to write, by their paths: what takes their default's place was not asked for.
    unread: Vec<String>,
}

#[derive(Debug)]
struct Finding {
    severity: Severity,
    at: Option<At>,
    /// Another place that belongs to it, and what it is.
    beside: Option<(At, &'static str)>,
    text: String,
    help: String,
}

impl Findings {
    /// Notes an error at a value.
    pub(crate) fn error(&mut self, at: At, text: String, help: &str) {
        self.note(Severity::Error, Some(at), text, help);
    }

    /// Notes an error at a value, or at the file as a whole for what was not written.
    pub(crate) fn missing(&mut self, at: Option<At>, text: String, help: &str) {
        self.note(Severity::Error, at, text, help);
    }

    /// Notes what a person should know and may leave as it is.
    pub(crate) fn warning(&mut self, at: Option<At>, text: String, help: &str) {
        self.note(Severity::Warning, at, text, help);
    }

    /// Notes a warning at a value that has to do with another, which is shown too.
    pub(crate) fn beside(&mut self, at: At, text: String, help: &str, other: (At, &'static str)) {
        self.put(Finding {
            severity: Severity::Warning,
            at: Some(at),
            beside: Some(other),
            text,
            help: help.to_owned(),
        });
    }

    /// Notes the use of something that a later version brings.
    pub(crate) fn later(&mut self, at: At, what: &str) {
        let text = format!("`{what}` is not part of this version ({VERSION})");
        self.note(Severity::Error, Some(at), text, "remove the line");
    }

    /// Notes that the setting at `path` stands there, but could not be read, which was told.
    pub(crate) fn unread(&mut self, path: String) {
        // Whoever has more than that to mend looks again.
        if self.unread.len() < MOST {
            self.unread.push(path);
        }
    }

    /// Whether the setting at `path`, a block it would stand in, or something in it could not be read.
    pub(crate) fn is_unread(&self, path: &str) -> bool {
        let is_in = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.unread.iter().any(|unread| is_in(path, unread) || is_in(unread, path))
    }

    /// Whether something was noted at a value.
    pub(crate) fn concern(&self, at: At) -> bool {
        self.list.iter().any(|finding| finding.at == Some(at))
    }

    /// Whether an error was noted.
    pub(crate) fn stop(&self) -> bool {
        self.more || self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn note(&mut self, severity: Severity, at: Option<At>, text: String, help: &str) {
        self.put(Finding { severity, at, beside: None, text, help: help.to_owned() });
    }

    fn put(&mut self, new: Finding) {
        // What holds for all sites is judged at each of them.
        if self.list.iter().any(|finding| finding.at == new.at && finding.text == new.text) {
            return;
        }
        if self.list.len() == MOST {
            self.more |= new.severity == Severity::Error;
            return;
        }
        self.list.push(new);
    }

    /// The findings with their places in `text`.
    pub(crate) fn into_problems(self, text: &str) -> Vec<Problem> {
        self.list
            .into_iter()
            .map(|finding| Problem {
                severity: finding.severity,
                // What was not written stands nowhere: a line that is shown for it would be taken for the culprit.
                span: finding.at.and_then(|at| tree::locate(text, at)),
                beside: finding.beside.and_then(|(at, what)| Some((tree::locate(text, at)?, what))),
                text: finding.text,
                help: Some(finding.help),
            })
            .collect()
    }
}
