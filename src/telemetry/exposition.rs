//! Figures as text: a snapshot of them, and how each is named for Prometheus.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;

use crate::telemetry::counters::Durations;
use crate::telemetry::metrics::Classes;
use crate::telemetry::metrics::Reading;

/// The values of the label `class`, in the order of [`Classes`].
const CLASSES: Classes<&str> = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// All figures at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// By site.
    pub(crate) answers: Vec<(String, Classes<u64>)>,
    pub(crate) latency: Durations,
    pub(crate) refusals: BTreeMap<&'static str, u64>,
    pub(crate) upstream_failures: BTreeMap<&'static str, u64>,
    /// By site: servers of its app, and whether each is well.
    pub(crate) servers: Vec<(String, Vec<(String, bool)>)>,
    pub(crate) logins: BTreeMap<&'static str, u64>,
    pub(crate) forms: BTreeMap<&'static str, u64>,
    pub(crate) sweeps: u64,
    pub(crate) swept: u64,
    pub(crate) readings: Vec<(Reading, u64)>,
}

impl Snapshot {
    /// The figures in the `OpenMetrics` text format.
    pub(crate) fn render(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut out = String::new();
        // Writing to a string cannot fail; half a page would be refused for its missing end.
        match text::encode(&mut out, &registry) {
            Ok(()) => out,
            Err(fmt::Error) => String::new(),
        }
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        to.encode_descriptor("vestibule_build", "What runs here.", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        answers(to, &self.answers)?;
        latency(to, &self.latency)?;
        let by_reason = "reason";
        let refusals = ("vestibule_refusals", "Requests the gateway refused.");
        counts(to, refusals, by_reason, &self.refusals)?;
        let failures = ("vestibule_upstream_failures", "Requests the app did not answer properly.");
        counts(to, failures, by_reason, &self.upstream_failures)?;
        servers(to, &self.servers)?;
        let logins = ("vestibule_logins", "Attempts to log in.");
        counts(to, logins, "outcome", &self.logins)?;
        let forms = ("vestibule_held_forms", "Forms that came when their session was over.");
        counts(to, forms, "outcome", &self.forms)?;
        count(to, ("vestibule_sweeps", "Searches for sessions that are over."), self.sweeps)?;
        count(to, ("vestibule_sessions_swept", "Sessions those searches ended."), self.swept)?;
        for (reading, value) in &self.readings {
            encode_reading(to, *reading, *value)?;
        }
        Ok(())
    }
}

type Named<'a> = (&'a str, &'a str);

fn answers(to: &mut DescriptorEncoder<'_>, answers: &[(String, Classes<u64>)]) -> fmt::Result {
    let mut metric =
        to.encode_descriptor("vestibule_requests", "Answered requests.", None, MetricType::Counter)?;
    for (site, counts) in answers {
        for (class, count) in CLASSES.iter().zip(counts) {
            metric
                .encode_family(&[("site", site.as_str()), ("class", class)])?
                .encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
    }
    Ok(())
}

fn latency(to: &mut DescriptorEncoder<'_>, latency: &Durations) -> fmt::Result {
    let help = "How long answers took.";
    let kind = MetricType::Histogram;
    to.encode_descriptor("vestibule_request_duration", help, Some(&Unit::Seconds), kind)?
        .encode_histogram::<NoLabelSet>(latency.seconds(), latency.count(), &latency.buckets(), None)
}

fn servers(to: &mut DescriptorEncoder<'_>, sites: &[(String, Vec<(String, bool)>)]) -> fmt::Result {
    let help = "Whether the health check has nothing against a server.";
    let mut metric = to.encode_descriptor("vestibule_upstream_healthy", help, None, MetricType::Gauge)?;
    for (site, servers) in sites {
        for (server, well) in servers {
            metric
                .encode_family(&[("site", site.as_str()), ("server", server.as_str())])?
                .encode_gauge(&u64::from(*well))?;
        }
    }
    Ok(())
}

fn counts(
    to: &mut DescriptorEncoder<'_>,
    (name, help): Named<'_>,
    label: &str,
    counts: &BTreeMap<&'static str, u64>,
) -> fmt::Result {
    let mut metric = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in counts {
        metric.encode_family(&[(label, *value)])?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
    }
    Ok(())
}

fn count(to: &mut DescriptorEncoder<'_>, (name, help): Named<'_>, value: u64) -> fmt::Result {
    to.encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn encode_reading(to: &mut DescriptorEncoder<'_>, reading: Reading, value: u64) -> fmt::Result {
    let gauge = |to: &mut DescriptorEncoder<'_>, (name, help): Named<'_>, unit: Option<Unit>| {
        to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
    };
    match reading {
        Reading::SessionsLive => gauge(to, ("vestibule_sessions_live", "Sessions that live."), None),
        Reading::SessionsBelieved => gauge(
            to,
            ("vestibule_sessions_believed", "Whether known sessions are served without asking the store."),
            None,
        ),
        Reading::UsersCurrent => gauge(
            to,
            ("vestibule_users_current", "Whether the users file could be used when it was last looked at."),
            None,
        ),
        Reading::ConnectionsOpen => {
            gauge(to, ("vestibule_connections_open", "Connections from browsers."), None)
        }
        Reading::HandshakesFailed => {
            count(to, ("vestibule_handshakes_failed", "TLS handshakes that failed."), value)
        }
        Reading::AccessLinesLost => {
            count(to, ("vestibule_access_lines_lost", "Access log lines that were lost."), value)
        }
        Reading::AuditLinesLost => {
            count(to, ("vestibule_audit_lines_lost", "Audit log lines that were lost."), value)
        }
        Reading::CertificateExpiry => {
            let help = "When the first certificate expires, in seconds since the Unix epoch.";
            gauge(to, ("vestibule_certificate_expiry_timestamp", help), Some(Unit::Seconds))
        }
        Reading::ProcessStart => {
            let help = "When the process started, in seconds since the Unix epoch.";
            gauge(to, ("process_start_time", help), Some(Unit::Seconds))
        }
    }
}
