//! The audit log: one line for each event that somebody may have to account for (ASVS 16.2, 16.3).

use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::clock::Timestamp;
use crate::net::ClientAddr;
use crate::telemetry::AuditSink;
use crate::telemetry::Format;
pub use crate::telemetry::event::Event;
use crate::telemetry::flood::Floods;
use crate::telemetry::line::Key;
use crate::telemetry::line::Line;
use crate::telemetry::mask::masked;
use crate::telemetry::outlet::Outlet;
use crate::telemetry::outlet::Plan;

/// One buffer, so that the log keeps the order in which things happened; some ten thousand lines, written at once.
const PLAN: Plan = Plan { name: "audit", shards: 1, capacity: 4 << 20, gather: None };

/// A handle to the audit log; clones write to the same one.
#[derive(Clone, Debug)]
pub struct Audit(Option<Arc<Journal>>);

#[derive(Debug)]
struct Journal {
    outlet: Outlet,
    is_beside_diagnostics: bool,
    format: Format,
    node: String,
    ledger: Mutex<Ledger>,
}

/// What the log owes its reader: events held back, lines lost.
#[derive(Debug)]
struct Ledger {
    floods: Floods,
    reported_lost: u64,
}

/// When, who, from where, and on which request.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// When it happened.
    pub now: Timestamp,
    /// Who asked.
    pub client: Option<ClientAddr>,
    /// The host that was asked.
    pub host: Option<&'a str>,
    /// The request's method.
    pub method: Option<&'a str>,
    /// The request's target; secret values of its query are masked here.
    pub path: Option<&'a str>,
    /// The request's id, which the visitor sees on error pages.
    pub request_id: Option<&'a str>,
    /// The user, or who was claimed to be one.
    pub user: Option<&'a str>,
    /// The session's reference, never its token.
    pub session: Option<&'a str>,
}

impl Context<'_> {
    /// For what happens without a request.
    pub const fn at(now: Timestamp) -> Self {
        Self {
            now,
            client: None,
            host: None,
            method: None,
            path: None,
            request_id: None,
            user: None,
            session: None,
        }
    }
}

impl Audit {
    /// Opens the log.
    ///
    /// # Errors
    /// If the file cannot be opened for appending.
    pub fn start(sink: &AuditSink, format: Format) -> io::Result<Self> {
        match sink {
            AuditSink::Stderr => Self::open(io::stderr(), true, format),
            AuditSink::File(path) => Self::writing_to(open(path)?, format),
            AuditSink::Off => Ok(Self::silent()),
        }
    }

    /// A log that writes to `sink`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn writing_to(sink: impl Write + Send + 'static, format: Format) -> io::Result<Self> {
        Self::open(sink, false, format)
    }

    fn open(
        sink: impl Write + Send + 'static,
        is_beside_diagnostics: bool,
        format: Format,
    ) -> io::Result<Self> {
        Ok(Self(Some(Arc::new(Journal {
            outlet: Outlet::start(PLAN, sink)?,
            is_beside_diagnostics,
            format,
            node: node(),
            ledger: Mutex::new(Ledger { floods: Floods::new(), reported_lost: 0 }),
        }))))
    }

    /// A log of nothing.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Writes an event down. Never waits for the sink.
    pub fn record(&self, context: &Context<'_>, event: &Event<'_>) {
        let Some(journal) = &self.0 else { return };
        let mut ledger = journal.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        journal.settle(&mut ledger, context.now);
        if ledger.floods.admit(event.kind(), context.now) {
            journal.write(context, event);
        }
    }

    /// Says how much was held back or lost until now. Each event does so too; this is for when none comes.
    pub fn settle(&self, now: Timestamp) {
        let Some(journal) = &self.0 else { return };
        let mut ledger = journal.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        journal.settle(&mut ledger, now);
    }

    /// Whether its lines stand among those of the diagnostic log, which then need not say the same.
    pub fn is_beside_diagnostics(&self) -> bool {
        self.0.as_ref().is_some_and(|journal| journal.is_beside_diagnostics)
    }

    /// Lines that did not reach their place.
    pub fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |journal| journal.outlet.lost())
    }

    /// Waits, two seconds at most, until what was recorded is written.
    pub fn flush(&self) {
        if let Some(journal) = &self.0 {
            journal.outlet.flush();
        }
    }
}

impl Journal {
    fn settle(&self, ledger: &mut Ledger, now: Timestamp) {
        for (kind, events) in ledger.floods.settle(now) {
            self.write(&Context::at(now), &Event::Suppressed { kind, events });
        }
        let total = self.outlet.lost();
        let lines = total.saturating_sub(ledger.reported_lost);
        if lines > 0 && self.write(&Context::at(now), &Event::AuditLost { lines, total }) {
            ledger.reported_lost = total;
        }
    }

    fn write(&self, context: &Context<'_>, event: &Event<'_>) -> bool {
        self.outlet.line(|out| {
            let mut line = Line::open(out, self.format, context.now);
            line.text(Key::Bare("level"), event.kind().level().as_str());
            line.text(Key::Bare("event"), event.kind().name());
            line.text(Key::Named("node"), &self.node);
            line.text(Key::Named("result"), event.outcome().as_str());
            event.particulars(&mut line);
            line.maybe(Key::Named("user"), context.user);
            line.maybe(Key::Named("session"), context.session);
            if let Some(client) = context.client {
                line.address(Key::Named("client"), client);
            }
            line.maybe(Key::Named("method"), context.method);
            line.maybe(Key::Named("host"), context.host);
            line.maybe(Key::Named("path"), context.path.map(masked).as_deref());
            line.maybe(Key::Named("request_id"), context.request_id);
            line.close();
        })
    }
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// This machine's name, to tell gateways apart where their logs meet.
fn node() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
