//! The apps' cookies of a session: opened with a token in hand, changed as the apps say, and in the store before an answer
//! goes out.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::session::id::SessionId;
use crate::session::live::Session;
use crate::session::sessions::Sessions;
use crate::session::sessions::lock;
use crate::session::sessions::resume::Estate;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::token::Token;
use crate::session::tokens::Tokens;
use crate::session::vault::Vault;
use crate::session::vault::VaultKeys;
use crate::session::vault::WrappedKey;
use crate::session::vault::open::Applied;
use crate::session::vault::open::Change;
use crate::session::vault::open::Open;

impl<S: Store> Sessions<S> {
    /// Lets sessions keep cookies of apps, sealed with these keys beside their own.
    #[must_use]
    pub fn keeping_cookies(self, keys: VaultKeys) -> Self {
        Self { vault_keys: Some(keys), ..self }
    }

    /// The vault that a session begins with.
    pub(super) fn new_vault(&self, id: SessionId, token: &Token, estate: Estate) -> Option<Vault> {
        self.vault_keys.as_ref().map(|keys| Vault::new(id, token, keys, estate))
    }

    /// Opens the session's vault with one of its tokens. A session from before there were any is given one. Whether what
    /// it keeps can be used: not if this token does not open it.
    pub(super) async fn unlock(&self, session: &Arc<Session>, token: &Token) -> Result<bool, StoreError> {
        let Some(keys) = &self.vault_keys else { return Ok(true) };
        let unlocked = |vault: &Arc<Vault>| vault.unlock(session.id(), token, keys);
        if let Some(unlocked) = session.with_tokens(|tokens| tokens.vault().map(unlocked)) {
            return Ok(unlocked);
        }
        let vault = Vault::new(session.id(), token, keys, Estate::new());
        self.change(session, |tokens| {
            tokens.vault().is_none().then(|| tokens.clone().with_vault(Some(vault.clone())))
        })
        .await?;
        Ok(session.with_tokens(|tokens| tokens.vault().is_some_and(unlocked)))
    }

    /// The data key under a further token of an open session.
    pub(super) fn key_for(&self, session: &Session, token: &Token) -> Option<WrappedKey> {
        let keys = self.vault_keys.as_ref()?;
        session.with_tokens(|tokens| tokens.vault()?.key_for(session.id(), token, keys))
    }

    /// Applies what an answer of the site does to its cookies. The store has it when this returns, so that whatever
    /// gateway the browser asks next knows of it; if the store cannot answer, it is known here, and told later.
    pub async fn keep(
        self: &Arc<Self>,
        session: &Arc<Session>,
        open: &Arc<Open>,
        (site, changes): (&Arc<str>, Vec<Change>),
        now: Timestamp,
    ) -> (Applied, Result<(), StoreError>) {
        let applied = open.apply(site, changes, now);
        let Some(number) = applied.number else { return (applied, Ok(())) };
        let (sessions, session, open) = (Arc::clone(self), Arc::clone(session), Arc::clone(open));
        // A task of its own: what the app did is kept even if the browser does not wait for it.
        let told = tokio::spawn(async move {
            let told = sessions.tell_store(&session, &open, number).await;
            if told.is_err() {
                lock(&sessions.behind).push(session);
            }
            told
        });
        (applied, told.await.unwrap_or_else(|panicked| Err(StoreError::new(panicked))))
    }

    /// Reads the session again if others have a later version of it than is known here.
    pub async fn hear_of(&self, session: &Session, version: u32) -> Result<(), StoreError> {
        // As in `adopt`: the distance tells which is later.
        let ahead = version.wrapping_sub(session.version());
        if ahead == 0 || ahead >= u32::MAX / 2 {
            return Ok(());
        }
        if let Some(stored) = self.store.load(session.id()).await? {
            session.adopt(stored.tokens(), stored.version());
        }
        Ok(())
    }

    /// Tells the store of all changes up to `number`, unless it was told meanwhile.
    async fn tell_store(&self, session: &Arc<Session>, open: &Open, number: u64) -> Result<(), StoreError> {
        let _turn = open.turn().await;
        if open.has_kept(number) {
            return Ok(());
        }
        let keeping = |tokens: &Tokens| {
            let vault = tokens.vault()?.keeping(open.seal(session.id()));
            Some(tokens.clone().with_vault(Some(vault)))
        };
        self.change(session, keeping).await.map(drop)
    }

    /// Tells the store what it could not be told before.
    pub(super) async fn catch_up_vaults(&self) -> Result<(), StoreError> {
        let mut behind = std::mem::take(&mut *lock(&self.behind));
        while let Some(session) = behind.pop() {
            let open = session.vault().filter(|open| session.why_ended().is_none() && open.is_behind());
            let Some(open) = open else { continue };
            if let Err(error) = self.tell_store(&session, &open, u64::MAX).await {
                behind.push(session);
                lock(&self.behind).append(&mut behind);
                return Err(error);
            }
        }
        Ok(())
    }
}
