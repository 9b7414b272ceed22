//! Finding out whose token was sent, and giving sessions new ones while they go on.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::net::Host;
use crate::session::agent::Family;
use crate::session::grant::Finding;
use crate::session::grant::Grant;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::record::Client;
use crate::session::renewal::Sender;
use crate::session::renewal::Standing;
use crate::session::renewal::judge;
use crate::session::sessions::Request;
use crate::session::sessions::Sessions;
use crate::session::sessions::is_elsewhere;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::token::Token;
use crate::session::token::TokenHash;
use crate::session::tokens::Next;
use crate::session::tokens::Role;
use crate::session::tokens::Tokens;
use crate::telemetry::causes;

/// How soon a token is looked at again whose renewal was begun or has failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What [`judge`] says, without its hold on the session's tokens.
enum Judged {
    Elsewhere,
    Good { until: Timestamp },
    Due,
    Offer(Box<str>),
    Arrived,
    Closed,
    Refused,
    Stolen,
}

impl Judged {
    /// Whether whoever brings the token is served.
    fn is_good(&self) -> bool {
        match self {
            Self::Good { .. } | Self::Due | Self::Offer(_) | Self::Arrived => true,
            Self::Elsewhere | Self::Closed | Self::Refused | Self::Stolen => false,
        }
    }
}

impl<S: Store> Sessions<S> {
    /// Whose token this is. A session that has reached a limit is ended, and so is one whose token comes from a
    /// thief; a token that is due is renewed beside the request. A token that is not ours, or not good on this host,
    /// is nobody's; nothing is kept about it.
    pub async fn find(self: &Arc<Self>, token: &Token, request: &Request<'_>) -> Result<Finding, StoreError> {
        let hash = token.hash();
        let Some(session) = self.session(&hash, request.now).await? else {
            return Ok(self.farewell(&hash, request.host));
        };
        let Some((judged, host, version)) = judge_token(&session, &hash, request) else {
            return Ok(Finding::Nobody);
        };
        if let Some(why) = self.over(&session, request).await? {
            return Ok(Finding::Ended(why));
        }
        if judged.is_good() && !self.unlock(&session, token).await? {
            // Which happens to a token of another host of a login from before there was a vault, and to one that was
            // replaced a while ago, whose browser has another.
            if session
                .with_tokens(|tokens| matches!(tokens.role(&hash, request.host), Some(Role::Retired(_))))
            {
                return Ok(Finding::Retired);
            }
            self.end(&session, Why::VaultLost).await?;
            return Ok(Finding::Ended(Why::VaultLost));
        }
        let version = session.version().max(version);
        let soon = request.now.after(LOOK_AGAIN);
        let until = |until| Grant::new(Arc::clone(&session), Arc::clone(&host), version, until);
        Ok(Finding::Active(match judged {
            Judged::Elsewhere => return Ok(Finding::Elsewhere),
            Judged::Refused => return Ok(Finding::Retired),
            Judged::Closed => return Ok(Finding::Ended(Why::Idle)),
            Judged::Stolen => {
                self.end(&session, Why::Stolen).await?;
                return Ok(Finding::Ended(Why::Stolen));
            }
            Judged::Good { until: end } => until(end),
            Judged::Offer(sealed) => {
                let grant = until(Timestamp::END);
                match token.unseal(&sealed) {
                    Some(next) => grant.offering(next),
                    None => grant,
                }
            }
            Judged::Due => {
                self.begin_renewal(&session, &host, token);
                until(soon)
            }
            Judged::Arrived => {
                // If it cannot be noted now, the next request will: until then the older token lives on beside it.
                if let Err(error) = self.promote(&session, &hash, request.now).await {
                    tracing::warn!(
                        error = causes(&error),
                        "a renewed session id could not be noted as received"
                    );
                }
                until(soon)
            }
        }))
    }

    /// The new token is in the store before anybody is offered it: it is made beside the request that found the old one
    /// due, and offered with the answer to a later one.
    fn begin_renewal(self: &Arc<Self>, session: &Arc<Session>, host: &Arc<Host>, token: &Token) {
        if !session.begin_renewal() {
            return;
        }
        let next = Token::generate();
        let offer = Next { hash: next.hash(), sealed: next.sealed_under(token) };
        let key = self.key_for(session, &next);
        let (sessions, session, current) = (Arc::clone(self), Arc::clone(session), token.hash());
        let host = Arc::clone(host);
        drop(tokio::spawn(async move {
            let (version, tokens) = (session.version(), session.tokens());
            // Since it was found due, another request or gateway may have been faster, and its offer be in the browser
            // already: none takes its place.
            if matches!(tokens.role(&current, &host), Some(Role::Current { next: None, .. })) {
                let tokens = tokens.offering(&current, offer).opened_by(key);
                sessions.offer(&session, version, tokens).await;
            }
            session.renewed();
        }));
    }

    async fn offer(&self, session: &Arc<Session>, version: u32, tokens: Tokens) {
        match self.store.replace(session, version, &tokens).await {
            Ok(true) => session.adopt(tokens, version.wrapping_add(1)),
            Ok(false) => self.refresh(session).await,
            Err(error) => {
                tracing::warn!(error = causes(&error), "a session id could not be renewed yet");
            }
        }
    }

    /// The token on offer has come back: it is in force, and the one before it retired.
    async fn promote(
        &self,
        session: &Arc<Session>,
        offered: &TokenHash,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let version = session.version();
        let before = session.tokens();
        let tokens = before.promoted(offered, now);
        if !self.replace(session, version, &before, tokens).await? {
            self.refresh(session).await;
        }
        Ok(())
    }

    /// Puts `tokens` in the place of those of `version`, here and in the store; whether it could be done.
    pub(super) async fn replace(
        &self,
        session: &Arc<Session>,
        version: u32,
        before: &Tokens,
        tokens: Tokens,
    ) -> Result<bool, StoreError> {
        if !self.store.replace(session, version, &tokens).await? {
            return Ok(false);
        }
        let gone = before.hashes().filter(|hash| tokens.host_of(hash).is_none());
        session.adopt(tokens.clone(), version.wrapping_add(1));
        gone.for_each(|hash| self.cache.forget(hash));
        Ok(true)
    }

    /// Somebody else changed the session: takes over what they made of it.
    async fn refresh(&self, session: &Arc<Session>) {
        match self.store.load(session.id()).await {
            Ok(Some(stored)) => session.adopt(stored.tokens(), stored.version()),
            // Whoever removed it tells why.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = causes(&error), "a changed session could not be read again");
            }
        }
    }
}

/// What the token is worth, the host it is for, and the session's version that says so; nothing if it is not for this
/// host.
fn judge_token(
    session: &Session,
    hash: &TokenHash,
    request: &Request<'_>,
) -> Option<(Judged, Arc<Host>, u32)> {
    let sender = sender(session, request.client.into(), Family::of(request.user_agent));
    session.with_tokens(|tokens| {
        let role = tokens.role(hash, request.host)?;
        let judged = match judge(role, sender, &request.policy.pace, request.now) {
            _ if is_elsewhere(session, request) => Judged::Elsewhere,
            Standing::Good { until } | Standing::Lingering { until } => Judged::Good { until },
            Standing::Due => Judged::Due,
            Standing::Offer(next) => Judged::Offer(next.sealed.clone()),
            Standing::Arrived => Judged::Arrived,
            Standing::Closed => Judged::Closed,
            Standing::Refused => Judged::Refused,
            Standing::Stolen => Judged::Stolen,
        };
        Some((judged, Arc::clone(tokens.host_of(hash)?), session.version()))
    })
}

/// Whether a token comes from where its session was begun, as far as can be told.
fn sender(session: &Session, client: Client, family: Family) -> Sender {
    let record = session.record();
    let same = record.family() == family && record.client.is_near(client);
    if same { Sender::Same } else { Sender::Different }
}
