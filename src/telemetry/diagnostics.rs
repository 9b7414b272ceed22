//! Diagnostics for whoever runs the gateway: what `tracing` says, on standard error.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::telemetry::Format;
use crate::telemetry::line::escape;
use crate::telemetry::outlet::Outlet;
use crate::telemetry::outlet::Plan;

/// What is told unless somebody asks for something else.
pub const DEFAULT_FILTER: &str = "warn,vestibule=info";

/// What may be told at all: libraries see heads and keys go by, and tell of trouble alone, whatever is asked for
/// (ASVS 16.2.5). A filter of its own, because in the other one a directive for a part of a library is stronger than
/// one for the whole.
fn discretion() -> Targets {
    Targets::new().with_default(LevelFilter::WARN).with_target("vestibule", LevelFilter::TRACE)
}

/// The outlet waits for nobody: a pipe that nobody reads must not stop a worker that has something to say.
const PLAN: Plan =
    Plan { name: "diagnostics", shards: 1, capacity: 1 << 20, gather: Some(Duration::from_millis(5)) };

/// Why diagnostics cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TracingError {
    /// The filter is not one.
    #[error("the log filter is not understood")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody else already listens.
    #[error("diagnostics are already set up")]
    Taken(#[from] tracing_subscriber::util::TryInitError),
    /// The system gives no thread.
    #[error("no thread for diagnostics")]
    Thread(#[from] io::Error),
}

/// Writes what is left when it goes; keep it until the end of `main`.
#[derive(Debug)]
#[must_use = "what is still in memory is lost unless this lives to the end"]
pub struct Diagnostics(Arc<Outlet>);

impl Drop for Diagnostics {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Sends what `tracing` says, as far as `filter` (in the syntax of `RUST_LOG`) lets it through, to standard error.
///
/// # Errors
/// If the filter cannot be read, or this was done before.
pub fn init_tracing(format: Format, filter: Option<&str>) -> Result<Diagnostics, TracingError> {
    let outlet = Arc::new(Outlet::start(PLAN, io::stderr())?);
    subscriber(format, filter.unwrap_or(DEFAULT_FILTER), Arc::clone(&outlet))?.try_init()?;
    Ok(Diagnostics(outlet))
}

fn subscriber(
    format: Format,
    filter: &str,
    outlet: Arc<Outlet>,
) -> Result<Box<dyn Subscriber + Send + Sync>, TracingError> {
    let allowed = tracing_subscriber::registry().with(EnvFilter::try_new(filter)?).with(discretion());
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Lines(outlet));
    Ok(match format {
        Format::Text => Box::new(allowed.with(lines)),
        Format::Json => Box::new(allowed.with(lines.json().flatten_event(true))),
    })
}

/// Gives each event a writer of its own.
struct Lines(Arc<Outlet>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = OneLine<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(&self.0)
    }
}

/// Takes one event, which the formatter writes in one piece, and keeps it on one line whatever values are in it.
struct OneLine<'a>(&'a Outlet);

impl Write for OneLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.line(|out| {
            one_line(out, text.trim_end_matches('\n'));
            out.push(b'\n');
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes what is hidden, but leaves alone the quotes and backslashes that belong to the formatter.
fn one_line(out: &mut Vec<u8>, text: &str) {
    for piece in text.split_inclusive(['"', '\\']) {
        let inside = piece.trim_end_matches(['"', '\\']);
        escape(out, inside);
        out.extend_from_slice(piece.get(inside.len()..).unwrap_or_default().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::line::tests::INJECTIONS;
    use crate::telemetry::outlet::tests::Paper;

    fn said(format: Format, filter: &str, say: impl FnOnce()) -> String {
        let paper = Paper::default();
        let outlet = Arc::new(Outlet::start(PLAN, paper.clone()).unwrap());
        tracing::subscriber::with_default(subscriber(format, filter, Arc::clone(&outlet)).unwrap(), say);
        outlet.flush();
        paper.text()
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        for evil in INJECTIONS {
            let say = || tracing::warn!(shown = %evil, quoted = evil, "{evil}");
            let text = said(Format::Text, DEFAULT_FILTER, say);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.trim_end_matches('\n').contains(char::is_control), "{text}");
            let json = said(Format::Json, DEFAULT_FILTER, say);
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(value["shown"], evil);
            assert_eq!(value["quoted"], evil);
            assert_eq!(value["message"], evil);
        }
    }

    #[test]
    fn the_filter_decides_but_libraries_that_see_secrets_stay_quiet() {
        let say = || {
            tracing::debug!("ours");
            tracing::debug!(target: "hyper::proto", "theirs");
            tracing::trace!(target: "h2::codec::framed_read", "theirs");
            tracing::warn!(target: "hyper::proto", "trouble");
        };
        for loud in ["trace", "trace,hyper::proto=trace,h2::codec=debug,h2::codec::framed_read=trace"] {
            let text = said(Format::Text, loud, say);
            assert!(text.contains("ours") && text.contains("trouble") && !text.contains("theirs"), "{loud}");
        }
        assert!(!said(Format::Text, DEFAULT_FILTER, say).contains("ours"));
        assert!(init_tracing(Format::Text, Some("no=such=filter")).is_err());
    }
}
