//! A report for machines. Its names are public interface.

use serde::Serialize;

use crate::doctor::Report;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Mend;
use crate::doctor::finding::Status;

#[derive(Serialize)]
struct Document<'a> {
    url: &'a str,
    at: String,
    mode: &'static str,
    requests: usize,
    summary: Summary,
    checks: Vec<Entry<'a>>,
    troubles: &'a [String],
}

#[derive(Serialize)]
struct Summary {
    fail: usize,
    warn: usize,
    info: usize,
    pass: usize,
    skip: usize,
}

#[derive(Serialize)]
struct Entry<'a> {
    check: &'a str,
    status: Status,
    standard: &'a str,
    source: &'a str,
    says: &'a str,
    evidence: &'a [String],
    /// Only where there is something to mend, and a setting that does.
    mend: Option<&'a Mend>,
}

/// The report as JSON.
pub(super) fn render(report: &Report) -> serde_json::Result<String> {
    let document = Document {
        url: &report.url,
        at: report.at.to_string(),
        mode: if report.active { "active" } else { "passive" },
        requests: report.requests,
        summary: Summary {
            fail: report.count(Status::Fail),
            warn: report.count(Status::Warn),
            info: report.count(Status::Info),
            pass: report.count(Status::Pass),
            skip: report.count(Status::Skip),
        },
        checks: report.findings.iter().map(entry).collect(),
        troubles: &report.troubles,
    };
    serde_json::to_string_pretty(&document)
}

fn entry(finding: &Finding) -> Entry<'_> {
    Entry {
        check: finding.check.name,
        status: finding.status,
        standard: finding.check.standard,
        source: finding.check.source,
        says: &finding.says,
        evidence: &finding.evidence,
        mend: finding.mend(),
    }
}
