//! Watching the users file: what changes there takes effect within about a second.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::login::Login;
use crate::login::users::file::UsersError;
use crate::telemetry::audit::Context;
use crate::telemetry::audit::Event;

/// How often the file is looked at. Looking beats being notified: it works on every file system and mount.
const EVERY: Duration = Duration::from_secs(1);

impl Login {
    /// Reads the users file whenever it changes, until `shutdown`. Sessions of users who were removed, disabled, or got
    /// another password, groups or mail address end. A broken file changes nothing, and is told of once.
    pub async fn watch_users(self: Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = None;
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.look_at_users(&mut told).await;
        }
    }

    /// Whether the users file could be used when it was last looked at: else those it named before stay.
    pub fn users_are_current(&self) -> bool {
        self.directory.is_current()
    }

    pub(crate) async fn look_at_users(&self, told: &mut Option<String>) {
        match self.directory.reload().await {
            Ok(None) => {
                if told.take().is_some() {
                    let users = self.directory.current().users.len();
                    self.announce(&Event::UsersReloaded { users });
                }
            }
            Ok(Some(change)) => {
                self.apply_foreign(&change).await;
                let users = change.users;
                self.announce(&Event::UsersReloaded { users });
                *told = None;
            }
            Err(error) => {
                let reason = with_cause(&error);
                if told.as_deref() != Some(&*reason) {
                    if !self.audit.is_beside_diagnostics() {
                        tracing::error!("the users file stays as it was read before: {reason}");
                    }
                    self.announce(&Event::UsersReloadFailed { reason: &reason });
                    *told = Some(reason);
                }
            }
        }
    }

    fn announce(&self, event: &Event<'_>) {
        self.audit.record(&Context::at(self.clock.now()), event);
    }
}

fn with_cause(error: &UsersError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
