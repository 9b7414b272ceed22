//! What goes on beside the requests: expired sessions are swept away, signals are heard.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::pipeline::Shared;
use crate::server::CertificateEvent;
use crate::telemetry::audit::Context;
use crate::telemetry::audit::Event;

/// How often expired sessions are removed: what they hold must not outlive them by more than this (REST-5).
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Sweeps for ever.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    let mut beat = tokio::time::interval(SWEEP_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let now = shared.clock.now();
        match shared.sessions.sweep(now).await {
            Ok(ended) => shared.metrics.sweep(ended),
            Err(error) => {
                let event = Event::StoreFailed { reason: &error.to_string() };
                shared.audit.record(&Context::at(now), &event);
            }
        }
        shared.audit.settle(now);
    }
}

/// Tells the audit log what became of a certificate's files.
pub(crate) fn tell(shared: &Shared, event: &CertificateEvent) {
    let context = Context::at(shared.clock.now());
    match event {
        CertificateEvent::Reloaded { file } => {
            shared.audit.record(&context, &Event::CertificateReloaded { file: &file.display().to_string() });
        }
        CertificateEvent::ReloadFailed { file, error } => {
            let (file, reason) = (file.display().to_string(), error.to_string());
            shared.audit.record(&context, &Event::CertificateReloadFailed { file: &file, reason: &reason });
        }
    }
}

/// Completes when the process is asked to stop: SIGTERM, or Ctrl-C in a terminal.
///
/// # Errors
/// If the system lets no handler be installed.
pub async fn stop_signal() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
