//! Diagnostics for whoever runs the gateway: what `tracing` says, on standard error.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::telemetry::Format;
use crate::telemetry::line::escape;
use crate::telemetry::outlet::Outlet;
use crate::telemetry::outlet::Plan;

/// What is told unless somebody asks for something else.
pub const DEFAULT_FILTER: &str = "warn,vestibule=info";

/// Libraries that see heads and keys go by; whatever is asked for, they tell no more than this (ASVS 16.2.5).
const DISCREET: &str = "hyper=warn,h2=warn,rustls=warn,tokio_rustls=warn";

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
    let filter = EnvFilter::try_new(format!("{filter},{DISCREET}"))?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Lines(outlet));
    Ok(match format {
        Format::Text => Box::new(builder.finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
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
            tracing::warn!(target: "hyper::proto", "trouble");
        };
        let text = said(Format::Text, "trace", say);
        assert!(text.contains("ours") && text.contains("trouble") && !text.contains("theirs"));
        assert!(!said(Format::Text, DEFAULT_FILTER, say).contains("ours"));
        assert!(init_tracing(Format::Text, Some("no=such=filter")).is_err());
    }
}
