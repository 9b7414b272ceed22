//! Figures for Prometheus. What happens on every request is counted by each worker for itself, in plain relaxed
//! atomics on cache lines of its own, and added up when somebody asks: no counter is shared by workers.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::telemetry::counters::Histogram;
use crate::telemetry::counters::Tally;
use crate::telemetry::exposition::Snapshot;

/// The media type of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The label of answers that belong to no site: unknown hosts, refused requests.
const NO_SITE: &str = "none";

/// Answers by the first digit of their status.
pub(crate) type Classes<T> = [T; 5];

/// A figure that somebody else keeps and is asked for when it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Sessions that live.
    SessionsLive,
    /// Whether what is known of sessions here is believed: 1, or 0 while a store that others use too is not heard.
    SessionsBelieved,
    /// Whether the users file could be used when it was last looked at: 1, or 0 while those it named before stay.
    UsersCurrent,
    /// Connections from browsers that are open.
    ConnectionsOpen,
    /// TLS handshakes that failed since the start.
    HandshakesFailed,
    /// Access log lines lost since the start.
    AccessLinesLost,
    /// Audit log lines lost since the start.
    AuditLinesLost,
    /// When the first certificate expires, in seconds since the Unix epoch.
    CertificateExpiry,
    /// When the process started, in seconds since the Unix epoch.
    ProcessStart,
}

type Source = Box<dyn Fn() -> u64 + Send + Sync>;

/// Servers of an app by their addresses, and whether each is well.
type Servers = Box<dyn Fn() -> Vec<(String, bool)> + Send + Sync>;

/// All figures of the process.
#[derive(Default)]
pub struct Metrics {
    sites: Vec<String>,
    shards: Mutex<Vec<Arc<Shard>>>,
    logins: Tally,
    forms: Tally,
    sweeps: AtomicU64,
    swept: AtomicU64,
    readings: Mutex<Vec<(Reading, Source)>>,
    /// By the place of the site.
    servers: Mutex<Vec<(usize, Servers)>>,
}

/// One worker's figures; clones count into the same place.
#[derive(Clone, Debug)]
pub struct WorkerMetrics(Arc<Shard>);

#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    latency: Histogram,
    /// For each site, and last for none.
    answers: Box<[Classes<AtomicU64>]>,
    refusals: Tally,
    upstream_failures: Tally,
}

impl Metrics {
    /// Figures without sites.
    pub fn new() -> Arc<Self> {
        Self::with_sites(Vec::new())
    }

    /// Figures in which requests are counted by site. The names are labels; a site's place is its number in
    /// [`WorkerMetrics::request`].
    pub fn with_sites(sites: Vec<String>) -> Arc<Self> {
        Arc::new(Self { sites, ..Self::default() })
    }

    /// A place for one more worker to count in.
    pub fn worker(&self) -> WorkerMetrics {
        let shard = Arc::new(Shard {
            latency: Histogram::default(),
            answers: (0..=self.sites.len()).map(|_| Classes::default()).collect(),
            refusals: Tally::default(),
            upstream_failures: Tally::default(),
        });
        lock(&self.shards).push(Arc::clone(&shard));
        WorkerMetrics(shard)
    }

    /// Counts an attempt to log in by its outcome.
    pub fn login(&self, outcome: &'static str) {
        self.logins.add(outcome);
    }

    /// Counts a form that came when its session was over by what became of it.
    pub fn form(&self, outcome: &'static str) {
        self.forms.add(outcome);
    }

    /// Counts a sweep that found so many sessions over.
    pub fn sweep(&self, ended: usize) {
        self.sweeps.fetch_add(1, Ordering::Relaxed);
        self.swept.fetch_add(ended as u64, Ordering::Relaxed);
    }

    /// Where a reading comes from. What nobody keeps is not shown.
    pub fn read_from(&self, reading: Reading, source: impl Fn() -> u64 + Send + Sync + 'static) {
        let mut readings = lock(&self.readings);
        readings.retain(|(known, _)| *known != reading);
        readings.push((reading, Box::new(source)));
    }

    /// Where it comes from which servers of a site's app are well.
    pub fn servers_from(
        &self,
        site: usize,
        source: impl Fn() -> Vec<(String, bool)> + Send + Sync + 'static,
    ) {
        lock(&self.servers).push((site, Box::new(source)));
    }

    /// All figures in the `OpenMetrics` text format.
    pub fn render(&self) -> String {
        self.snapshot().render()
    }

    fn snapshot(&self) -> Snapshot {
        let names = self.sites.iter().map(String::as_str).chain([NO_SITE]);
        let mut snapshot = Snapshot {
            answers: names.map(|name| (name.to_owned(), Classes::default())).collect(),
            sweeps: self.sweeps.load(Ordering::Relaxed),
            swept: self.swept.load(Ordering::Relaxed),
            servers: lock(&self.servers)
                .iter()
                .filter_map(|(site, source)| Some((self.sites.get(*site)?.clone(), source())))
                .collect(),
            readings: lock(&self.readings).iter().map(|(reading, source)| (*reading, source())).collect(),
            ..Snapshot::default()
        };
        self.logins.add_to(&mut snapshot.logins);
        self.forms.add_to(&mut snapshot.forms);
        for shard in &*lock(&self.shards) {
            shard.add_to(&mut snapshot);
        }
        snapshot
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl WorkerMetrics {
    /// Counts an answered request: which site it was for, how it was answered, and how long that took.
    pub fn request(&self, site: Option<usize>, status: u16, duration: Duration) {
        self.0.latency.add(duration);
        let own = site.and_then(|site| self.0.answers.get(site));
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        if let Some(count) = own.or_else(|| self.0.answers.last()).and_then(|classes| classes.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request that the gateway answered with no.
    pub fn refusal(&self, reason: &'static str) {
        self.0.refusals.add(reason);
    }

    /// Counts a request that the app did not answer properly.
    pub fn upstream_failure(&self, reason: &'static str) {
        self.0.upstream_failures.add(reason);
    }
}

impl Shard {
    fn add_to(&self, snapshot: &mut Snapshot) {
        snapshot.latency.add(&self.latency);
        self.refusals.add_to(&mut snapshot.refusals);
        self.upstream_failures.add_to(&mut snapshot.upstream_failures);
        for ((_, sums), classes) in snapshot.answers.iter_mut().zip(&self.answers) {
            for (sum, count) in sums.iter_mut().zip(classes) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Behind these locks things are only added: there is no state that a panic could leave half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const READINGS: [Reading; 9] = [
        Reading::SessionsLive,
        Reading::SessionsBelieved,
        Reading::UsersCurrent,
        Reading::ConnectionsOpen,
        Reading::HandshakesFailed,
        Reading::AccessLinesLost,
        Reading::AuditLinesLost,
        Reading::CertificateExpiry,
        Reading::ProcessStart,
    ];

    #[test]
    fn what_workers_count_is_added_up() {
        let metrics = Metrics::with_sites(vec!["app.example".to_owned()]);
        let (one, other) = (metrics.worker(), metrics.worker());
        one.request(Some(0), 200, Duration::from_millis(1));
        other.request(Some(0), 204, Duration::from_millis(2));
        other.request(None, 404, Duration::from_mins(1));
        other.request(Some(7), 999, Duration::ZERO);
        one.refusal("needs_login");
        other.refusal("needs_login");
        other.upstream_failure("connect");
        metrics.login("success");
        metrics.sweep(3);
        metrics.read_from(Reading::SessionsLive, || 1);
        metrics.read_from(Reading::SessionsLive, || 42);
        metrics.servers_from(0, || vec![("http://a".to_owned(), true), ("http://b".to_owned(), false)]);
        let text = metrics.render();
        for line in [
            "vestibule_requests_total{site=\"app.example\",class=\"2xx\"} 2",
            "vestibule_requests_total{site=\"app.example\",class=\"5xx\"} 0",
            "vestibule_requests_total{site=\"none\",class=\"4xx\"} 1",
            "vestibule_requests_total{site=\"none\",class=\"5xx\"} 1",
            "vestibule_request_duration_seconds_count 4",
            "vestibule_request_duration_seconds_bucket{le=\"0.001\"} 2",
            "vestibule_request_duration_seconds_bucket{le=\"10.0\"} 3",
            "vestibule_request_duration_seconds_bucket{le=\"+Inf\"} 4",
            "vestibule_refusals_total{reason=\"needs_login\"} 2",
            "vestibule_upstream_failures_total{reason=\"connect\"} 1",
            "vestibule_logins_total{outcome=\"success\"} 1",
            "vestibule_sweeps_total 1",
            "vestibule_sessions_swept_total 3",
            "vestibule_sessions_live 42",
            "vestibule_upstream_healthy{site=\"app.example\",server=\"http://a\"} 1",
            "vestibule_upstream_healthy{site=\"app.example\",server=\"http://b\"} 0",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(!text.contains("connections_open"), "nobody keeps that figure here");
    }

    #[test]
    fn the_inventory_names_every_figure_and_no_other() {
        let metrics = Metrics::new();
        for reading in READINGS {
            metrics.read_from(reading, || 1);
        }
        let text = metrics.render();
        let names: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|rest| rest.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            })
            .collect();
        assert_eq!(crate::telemetry::tests::inventory("Metrics"), names);
        assert!(text.contains(concat!(
            "vestibule_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        )));
    }
}
