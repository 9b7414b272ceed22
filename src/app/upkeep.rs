//! What goes on beside the requests: expired sessions are swept away, stores are followed.

use std::sync::Arc;
use std::time::Duration;

use crate::admin;
use crate::clock::Timestamp;
use crate::pipeline::Shared;
use crate::server::CertificateEvent;
use crate::session::Session;
use crate::session::lifetime::Why;
use crate::session::sessions::StoreState;
use crate::telemetry::audit::Audit;
use crate::telemetry::audit::Context;
use crate::telemetry::audit::Event;
use crate::telemetry::causes;

/// How often expired sessions are removed: what they hold must not outlive them by more than this (REST-5).
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Why the gateway is not ready while its store cannot be asked.
pub(crate) const NO_STORE: &str = "no session store";

/// How often a disk that fails is tried: what is tried fails too, and what others write at that moment with it.
const TRY_DISK_EVERY: Duration = Duration::from_secs(10);

/// How often the store hears when sessions were last seen.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Tells the store for ever when sessions were last seen. A store that fails is told again, and told of by those who
/// need its answer.
pub(crate) async fn flush(shared: Arc<Shared>) {
    let mut beat = tokio::time::interval(FLUSH_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if let Err(error) = shared.sessions.flush().await {
            tracing::debug!(
                error = causes(&error),
                "the store could not be told when sessions were last seen"
            );
        }
    }
}

/// Sweeps for ever.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    let mut beat = tokio::time::interval(SWEEP_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let now = shared.clock.now();
        match shared.sessions.sweep(now).await {
            Ok(ended) => shared.metrics.sweep(ended),
            // Its failures are told once, by who follows it.
            Err(error) if shared.sessions.is_shared() => {
                tracing::debug!(error = causes(&error), "sessions could not be swept");
            }
            Err(error) => {
                let event = Event::StoreFailed { reason: &causes(&error) };
                shared.audit.record(&Context::at(now), &event);
            }
        }
        shared.audit.settle(now);
    }
}

/// Watches for ever over a store on disk, and tells once when it fails and once when it works again.
pub(crate) async fn watch_disk(shared: Arc<Shared>, state: Arc<admin::State>) {
    let Some(disk) = shared.sessions.store().disk() else { return };
    let mut beat = tokio::time::interval(FLUSH_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut down = false;
    loop {
        beat.tick().await;
        let context = Context::at(shared.clock.now());
        match disk.works().await {
            Err(error) if !down => {
                down = true;
                state.hold(NO_STORE);
                shared.audit.record(&context, &Event::StoreFailed { reason: &causes(&error) });
            }
            Ok(()) if down => {
                down = false;
                state.release(NO_STORE);
                shared.audit.record(&context, &Event::StoreConnected);
            }
            Ok(()) | Err(_) => {}
        }
        if down {
            tokio::time::sleep(TRY_DISK_EVERY).await;
        }
    }
}

/// Follows for ever what other gateways do to sessions, and tells once when the store fails and once when it is back.
pub(crate) async fn follow(shared: Arc<Shared>, state: Arc<admin::State>) {
    let told = |store: StoreState| {
        let context = Context::at(shared.clock.now());
        match store {
            StoreState::Down(reason) => {
                state.hold(NO_STORE);
                shared.audit.record(&context, &Event::StoreFailed { reason: &reason });
            }
            StoreState::Up => {
                state.release(NO_STORE);
                shared.audit.record(&context, &Event::StoreConnected);
            }
        }
    };
    shared.sessions.follow(|| shared.clock.now(), told).await;
}

/// Tells the audit log that a session is over. What its own user did has an event of its own.
pub(crate) fn tell_end(audit: &Audit, now: Timestamp, session: &Session, why: Why) {
    if why == Why::LoggedOut {
        return;
    }
    let reference = session.reference();
    let tokens = session.tokens();
    let context = Context {
        host: tokens.good_on().first().map(|host| host.as_str()),
        user: Some(session.user().name.as_str()),
        session: Some(reference.as_str()),
        ..Context::at(now)
    };
    audit.record(&context, &Event::SessionExpired { reason: why.as_str() });
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
            if !shared.audit.is_beside_diagnostics() {
                tracing::error!("the certificate {file} stays as it was read before: {reason}");
            }
            shared.audit.record(&context, &Event::CertificateReloadFailed { file: &file, reason: &reason });
        }
    }
}
