//! From what was seen to findings: pure, each check by itself.

pub(crate) mod acted;
mod cookies;
mod ids;
mod pages;
pub(crate) mod transport;

use crate::doctor::finding::Finding;
use crate::doctor::seen::Seen;

/// What a passive look comes to, one finding for each of [`PASSIVE`](crate::doctor::catalogue::PASSIVE).
pub(crate) fn passive(seen: &Seen) -> Vec<Finding> {
    let mut findings = transport::check(seen);
    findings.extend(cookies::check(seen));
    findings.extend(ids::check(seen));
    findings.extend(pages::check(seen));
    findings
}

#[cfg(test)]
pub(crate) mod tests;
