//! What a session keeps of the apps, going over to the same person's next login in the same browser.
//!
//! A session that has idled out stays *locked* for a while where its site says so (`resume_window`): its record is there,
//! and opens nothing. It is over for everybody who looks; only a new login by the same user that brings its token takes
//! over its vault, and that removes it. Anybody else who logs in with that token destroys it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::net::Host;
use crate::session::NewLogin;
use crate::session::agent::Family;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::sessions::Sessions;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::token::Token;
use crate::session::tokens::Role;
use crate::session::tokens::Tokens;
use crate::vault::Jar;

/// So often the lock is tried anew because others were quicker with a change of their own.
const ATTEMPTS: u32 = 32;

/// What a login takes over: the cookies of each site.
pub(super) type Estate = Vec<(Arc<str>, Jar)>;

impl<S: Store> Sessions<S> {
    /// Removes a session that a limit has ended, or locks it for as long as it may be resumed. Whether it was for us to
    /// do.
    pub(super) async fn retire(&self, session: &Arc<Session>, now: Timestamp) -> Result<bool, StoreError> {
        let Some(why) = session.why_ended() else { return Ok(false) };
        let keeps = session.with_tokens(|tokens| tokens.vault().is_some());
        if why == Why::Idle && keeps && session.is_resumable(*session.lifetime(), now) {
            return self.lock_up(session).await;
        }
        let was_locked = session.is_locked();
        let removed = self.store.remove(session).await?;
        self.bury(session, why, removed && !was_locked);
        Ok(removed && !was_locked)
    }

    /// Locks a session that has idled out. Whether it was for us to do: of several gateways one does, and tells.
    async fn lock_up(&self, session: &Arc<Session>) -> Result<bool, StoreError> {
        // The window is counted from the last use, which the store need not have heard of.
        self.store.touch(std::slice::from_ref(session)).await?;
        for _ in 0..ATTEMPTS {
            let (version, tokens) = (session.version(), session.tokens());
            if tokens.is_locked() {
                self.bury(session, Why::Idle, false);
                return Ok(false);
            }
            let locked = tokens.locked();
            if self.store.replace(session, version, &locked).await? {
                session.adopt(locked, version.wrapping_add(1));
                self.bury(session, Why::Idle, true);
                return Ok(true);
            }
            let Some(stored) = self.store.load(session.id()).await? else {
                self.lose(session).await;
                return Ok(false);
            };
            session.adopt(stored.tokens(), stored.version());
        }
        Err(StoreError::new("the session is changed by too many at once"))
    }

    /// What a login takes over from the live session that it replaces, and from the locked one whose token its browser
    /// has brought. Both are gone when this returns, whoever logs in; taken over is what the same user had.
    pub(super) async fn inherit(
        &self,
        login: &NewLogin,
        replaces: Option<&Arc<Session>>,
        now: Timestamp,
    ) -> Result<Estate, StoreError> {
        if let Some(old) = replaces {
            let estate = if is_of(old, login) { self.estate(old, |_site| true) } else { Estate::new() };
            self.end(old, Why::Replaced).await?;
            return Ok(estate);
        }
        match &login.brought {
            Some(token) => self.resume(login, token, now).await,
            None => Ok(Estate::new()),
        }
    }

    async fn resume(&self, login: &NewLogin, token: &Token, now: Timestamp) -> Result<Estate, StoreError> {
        let Some(locked) = self.locked(token, &login.host).await? else { return Ok(Estate::new()) };
        let same_browser =
            locked.record().family() == Family::of(login.user_agent.as_deref().unwrap_or_default());
        let resumes = is_of(&locked, login) && same_browser && locked.is_resumable(login.lifetime, now);
        // Gone before anything of it is used: of two logins at once one takes it over.
        let removed = self.store.remove(&locked).await?;
        self.bury(&locked, Why::Idle, false);
        let open = self.vault_keys.as_ref().is_some_and(|keys| {
            let unlocked =
                |tokens: &Tokens| tokens.vault().is_some_and(|vault| vault.unlock(locked.id(), token, keys));
            removed && resumes && locked.with_tokens(unlocked)
        });
        let in_time = |site: &Lifetime| locked.is_resumable(*site, now);
        Ok(if open { self.estate(&locked, in_time) } else { Estate::new() })
    }

    /// Destroys the locked session that this token leads to on `host`, if there is one: its person wants nothing of it
    /// any more.
    pub async fn discard(&self, token: &Token, host: &Host) -> Result<(), StoreError> {
        let Some(locked) = self.locked(token, host).await? else { return Ok(()) };
        self.store.remove(&locked).await?;
        self.bury(&locked, Why::Idle, false);
        Ok(())
    }

    /// What an open session keeps for the sites whose limits allow it, and that are not closed to it: those begin anew.
    fn estate(&self, session: &Session, allows: impl Fn(&Lifetime) -> bool) -> Estate {
        let Some(open) = session.vault() else { return Estate::new() };
        let mut estate = open.jars();
        estate.retain(|(site, _)| {
            let Some((host, limits)) = self.sites.of(site) else { return true };
            allows(limits) && !session.with_tokens(|tokens| tokens.is_closed(host))
        });
        estate
    }

    /// The locked session that this token leads to on `host`.
    async fn locked(&self, token: &Token, host: &Host) -> Result<Option<Arc<Session>>, StoreError> {
        let hash = token.hash();
        let Some(stored) = self.store.find(&hash).await? else { return Ok(None) };
        let session = self.cache.shared(stored);
        let leads = |tokens: &Tokens| {
            let role = tokens.role(&hash, host);
            tokens.is_locked() && role.is_some_and(|role| role != Role::Closed)
        };
        Ok(session.with_tokens(leads).then_some(session))
    }
}

/// Whether it is the session of who logs in.
fn is_of(session: &Session, login: &NewLogin) -> bool {
    session.user().name == login.user.name
}
