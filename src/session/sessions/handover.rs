//! Handing a session over: from the host where somebody logged in to another host, where the same browser collects it.
//!
//! What travels is a token that is good for nothing but being exchanged, once, on the host it was made for. Once means
//! once on all gateways that share the store: the exchange is a change of one version of the session.

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::net::Host;
use crate::session::live::Session;
use crate::session::sessions::Begun;
use crate::session::sessions::Request;
use crate::session::sessions::Sessions;
use crate::session::sessions::is_elsewhere;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::token::Token;
use crate::session::tokens::Tokens;

/// So often a change is tried anew because others were quicker: more tabs than arrive in one moment.
const ATTEMPTS: u32 = 32;

impl<S: Store> Sessions<S> {
    /// A code that is good on `host` for a minute, for [`collect`](Self::collect); nothing if the session is over,
    /// or closed there.
    pub async fn hand_over(
        &self,
        session: &Arc<Session>,
        host: &Host,
        now: Timestamp,
    ) -> Result<Option<Token>, StoreError> {
        let (code, host) = (Token::generate(), self.shared_host(host));
        let key = self.key_for(session, &code);
        let waiting = |tokens: &Tokens| {
            let open = !tokens.is_closed(&host);
            let waiting = || tokens.handing_over(Arc::clone(&host), code.hash(), now);
            open.then(|| waiting().opened_by(key.clone()))
        };
        Ok(self.change(session, waiting).await?.then_some(code))
    }

    /// Exchanges a code for a token of the host it was made for. Nothing if it was exchanged before, if its minute or
    /// its session is over, or if it is for another host.
    pub async fn collect(&self, code: &Token, request: &Request<'_>) -> Result<Option<Begun>, StoreError> {
        let hash = code.hash();
        let Some(session) = self.session(&hash, request.now).await? else { return Ok(None) };
        if !session.with_tokens(|tokens| tokens.waits(&hash, request.host, request.now))
            || is_elsewhere(&session, request)
            || self.over(&session, request).await?.is_some()
        {
            return Ok(None);
        }
        self.unlock(&session, code).await?;
        let token = Token::generate();
        let key = self.key_for(&session, &token);
        let collected = |tokens: &Tokens| {
            let collected = tokens.collected(&hash, request.host, token.hash(), request.now)?;
            Some(collected.opened_by(key.clone()))
        };
        let done = self.change(&session, collected).await?;
        if done {
            self.touch(&session, request.now);
        }
        Ok(done.then_some(Begun { token, session, resumed: false }))
    }

    /// Changes the tokens of a session, whoever else does so at the same time. Whether it was done: not if the session is
    /// gone, or `change` finds nothing to be done.
    pub(super) async fn change(
        &self,
        session: &Arc<Session>,
        change: impl Fn(&Tokens) -> Option<Tokens>,
    ) -> Result<bool, StoreError> {
        for _ in 0..ATTEMPTS {
            let (version, before) = (session.version(), session.tokens());
            if session.why_ended().is_some() {
                return Ok(false);
            }
            let Some(tokens) = change(&before) else { return Ok(false) };
            if self.replace(session, version, &before, tokens).await? {
                return Ok(true);
            }
            let Some(stored) = self.store.load(session.id()).await? else { return Ok(false) };
            session.adopt(stored.tokens(), stored.version());
        }
        Err(StoreError::new("the session is changed by too many at once"))
    }
}
