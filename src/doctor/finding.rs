//! What a look finds: checks that have names, and what each came to.

use serde::Serialize;

/// One thing that is looked at. The table of all of them is [`catalogue`](crate::doctor::catalogue).
#[derive(Debug)]
pub struct Check {
    /// Its name in reports; public interface, never changed.
    pub name: &'static str,
    /// What it stands for in `docs/conformance.md`.
    pub standard: &'static str,
    /// Where that is written.
    pub source: &'static str,
    /// What is so when all is well.
    pub good: &'static str,
    /// How Vestibule mends it; nothing where it cannot.
    pub mend: Option<Mend>,
}

/// A setting that mends a finding.
#[derive(Debug, Serialize)]
pub struct Mend {
    /// Its key; `sites[]` stands for the site's block.
    pub setting: &'static str,
    /// What to write there, as YAML.
    pub value: &'static str,
    /// Whether that is so without being written.
    pub default: bool,
    /// What it does.
    pub says: &'static str,
}

/// What a check came to, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Something the standards demand (MUST, SHALL, ASVS level 1) is not so.
    Fail,
    /// Something they advise is not so.
    Warn,
    /// Worth knowing.
    Info,
    /// As it should be, as far as this can be seen from outside.
    Pass,
    /// Not checked, and why: it could not be asked, or what was seen proves neither one nor the other.
    Skip,
}

/// A check with its outcome.
#[derive(Debug)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static Check,
    /// What it came to.
    pub status: Status,
    /// The outcome in a sentence.
    pub says: String,
    /// What shows it; nothing in it is secret, and every character can be printed.
    pub evidence: Vec<String>,
}

/// So many pieces of evidence are enough.
const MOST_EVIDENCE: usize = 5;

impl Check {
    /// This check, come to `status`.
    pub(crate) fn is(&'static self, status: Status, says: impl Into<String>) -> Finding {
        Finding { check: self, status, says: says.into(), evidence: Vec::new() }
    }

    /// This check, passed.
    pub(crate) fn passes(&'static self) -> Finding {
        self.is(Status::Pass, self.good)
    }

    /// This check, not made.
    pub(crate) fn skipped(&'static self, why: impl Into<String>) -> Finding {
        self.is(Status::Skip, why)
    }

    /// `status` and `says` if there is any `evidence`, else passed.
    pub(crate) fn unless(&'static self, evidence: Vec<String>, status: Status, says: &str) -> Finding {
        if evidence.is_empty() { self.passes() } else { self.is(status, says).seen_all(evidence) }
    }
}

impl Finding {
    /// The setting that mends it, if there is something to mend.
    pub fn mend(&self) -> Option<&'static Mend> {
        self.check.mend.as_ref().filter(|_| self.status <= Status::Info)
    }

    /// The same, with a piece of evidence.
    #[must_use]
    pub(crate) fn seen(self, evidence: impl Into<String>) -> Self {
        self.seen_all([evidence.into()])
    }

    /// The same, with evidence; what is beyond a handful is counted.
    #[must_use]
    pub(crate) fn seen_all(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        if self.evidence.len() > MOST_EVIDENCE {
            let more = self.evidence.len() - MOST_EVIDENCE;
            self.evidence.truncate(MOST_EVIDENCE);
            self.evidence.push(format!("and {more} more"));
        }
        self
    }
}
