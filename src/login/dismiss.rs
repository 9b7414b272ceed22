//! Ending the sessions that nothing vouches for any more: neither the users file nor an app's own login that is observed.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::identity::user::User;
use crate::login::Login;
use crate::login::directory::Change;
use crate::session::lifetime::Why;
use crate::session::store::StoreError;
use crate::telemetry::causes;

/// So many sessions are looked at in one go.
const PAGE: usize = 1024;

/// How soon it is tried again where the store cannot answer.
const AGAIN: Duration = Duration::from_secs(1);

impl Login {
    /// Ends the sessions of those who are no longer what they were, and forgets their failures: after a change of our own,
    /// whose session under it is yet to begin.
    pub(crate) async fn apply(&self, change: &Change) {
        self.apply_to(change, |_user| true).await;
    }

    /// Likewise after a change by somebody else: who has begun a session by what the file says now, on another gateway,
    /// keeps it.
    pub(crate) async fn apply_foreign(&self, change: &Change) {
        self.apply_to(change, |user| !self.vouches_for(user)).await;
    }

    /// Where the store cannot be told just now, it is as soon as it can.
    async fn apply_to(&self, change: &Change, is_meant: impl Fn(&User) -> bool) {
        for warning in &change.warnings {
            tracing::warn!("{warning}");
        }
        if let Err(error) = self.end_changed(change, is_meant).await {
            tracing::error!(
                error = causes(&error),
                "the sessions of a changed user could not be ended; it is tried again"
            );
            self.not_dismissed.notify_one();
        }
    }

    async fn end_changed(&self, change: &Change, is_meant: impl Fn(&User) -> bool) -> Result<(), StoreError> {
        for name in &change.ended {
            self.throttle().reset(name.key());
        }
        for name in &change.ended {
            self.sessions.end_user_where(name, Why::UserRemoved, &is_meant).await?;
        }
        self.end_of_old_passwords().await
    }

    /// Ends the sessions of everybody whose password is another than when this was last done, here or before a restart,
    /// unless they began with the new one.
    async fn end_of_old_passwords(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        let current = self.directory.current();
        for name in seen.changed(&current.users) {
            self.sessions.end_user_where(&name, Why::UserRemoved, |user| !self.vouches_for(user)).await?;
        }
        if let Err(error) = seen.acted_on(&current.users) {
            tracing::warn!("which passwords were acted on cannot be noted for the next start: {error}");
        }
        Ok(())
    }

    /// Ends every session that nothing vouches for: at the start, since users file and configuration may have changed
    /// while nothing ran (OUT-18), and again whenever the store could not be told of a change.
    pub async fn dismiss_strangers(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            let done = async { self.end_of_old_passwords().await.and(self.look_through().await) };
            let done = done.await;
            let next = async {
                match done {
                    Ok(()) => self.not_dismissed.notified().await,
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            };
            if shutdown.run_until_cancelled(next).await.is_none() {
                return;
            }
        }
    }

    async fn look_through(&self) -> Result<(), StoreError> {
        let mut from = None;
        loop {
            let page = self.sessions.list_stored(from.as_ref(), PAGE).await?;
            let mut strangers = page.sessions;
            strangers.retain(|session| !self.may_stay(session.user()));
            if !strangers.is_empty() {
                // Another gateway may know a newer file, and have begun them by that.
                self.look_at_users(&mut None).await;
            }
            strangers.retain(|session| !self.may_stay(session.user()));
            self.sessions.end_each(&strangers, Why::UserRemoved).await?;
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Gateways that share a store should share the users file. Where each has a file of its own the same password has
    /// another salt in each, and a session of another gateway would look as if its password had been changed: there
    /// [`crate::login::seen`] knows whose was.
    fn may_stay(&self, user: &User) -> bool {
        if !self.sessions.is_shared() {
            return self.vouches_for(user);
        }
        if user.name.realm().is_some() {
            // Others may serve sites that this one does not.
            return true;
        }
        self.directory.account(&user.name).is_some_and(|account| account.grants_rights_of(user))
    }

    fn vouches_for(&self, user: &User) -> bool {
        if let Some(realm) = user.name.realm() {
            return self.realms.contains(realm);
        }
        self.directory.account(&user.name).is_some_and(|account| account.vouches_for(user))
    }
}
