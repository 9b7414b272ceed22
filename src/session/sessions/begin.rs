//! Beginning a session, and what becomes of a user's others when there are too many.

use std::sync::Arc;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::session::AtLimit;
use crate::session::NewLogin;
use crate::session::Settings;
use crate::session::id::SessionId;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::record::Record;
use crate::session::record::UserAgent;
use crate::session::sessions::Sessions;
use crate::session::sessions::resume::Estate;
use crate::session::store::Created;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::token::Token;
use crate::session::tokens::Tokens;

/// So many sessions are looked at together for one that is locked.
const LOOK_AT: usize = 1024;

/// How many sessions there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    all: usize,
    per_user: usize,
    at_limit: AtLimit,
}

impl Limits {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { all: settings.max_sessions, per_user: settings.max_per_user, at_limit: settings.at_limit }
    }

    pub(super) fn per_user(&self) -> usize {
        self.per_user
    }
}

/// Why no session was begun.
#[derive(Debug, Error)]
pub enum BeginError {
    /// There are as many live sessions as there may be.
    #[error("there are as many sessions as `max_sessions` allows")]
    Full,
    /// The user has as many as one may have.
    #[error("the user has as many sessions as `max_per_user` allows")]
    TooMany,
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A session that was begun.
#[derive(Debug)]
pub struct Begun {
    /// Its token, which exists nowhere else.
    pub token: Token,
    /// The session.
    pub session: Arc<Session>,
    /// Whether it goes on with what the same user's locked session kept.
    pub resumed: bool,
}

impl<S: Store> Sessions<S> {
    /// Begins a session. The session it `replaces` in this browser, and the locked one that its browser brought, are
    /// dead before that (ASVS 7.2.4), and stay so if there is no room for the new one. What the same user's kept of the
    /// apps goes over to it.
    pub async fn begin(
        &self,
        login: NewLogin,
        replaces: Option<&Arc<Session>>,
        now: Timestamp,
    ) -> Result<Begun, BeginError> {
        let estate = self.inherit(&login, replaces, now).await?;
        let resumed = replaces.is_none() && !estate.is_empty();
        let token = Token::generate();
        let session = Arc::new(self.session_of(login, &token, estate, now));
        session.begin_keeping();
        // Into the cache first: whoever finds it in the store to end it must find there the one that is used here.
        let added = self.cache.add(&token.hash(), &session);
        let created = if added { self.create(&session, now).await } else { Ok(Created::Exists) };
        if added && !matches!(created, Ok(Created::Done)) {
            self.cache.remove(&session);
        }
        match created? {
            Created::Done => session.kept(),
            Created::Full => return Err(BeginError::Full),
            Created::Exists => return Err(StoreError::new("a new session id is already in use").into()),
        }
        if let Err(error) = self.keep_to_the_limit(&session, now).await {
            // Nobody will ever have its token. If it cannot be ended now, its idle limit does it.
            drop(self.end(&session, Why::Replaced).await);
            return Err(error);
        }
        // Where others could have ended it before it was known here to be there.
        if self.store.is_shared() {
            self.read_again(std::slice::from_ref(&session)).await?;
        }
        Ok(Begun { token, session, resumed })
    }

    async fn create(&self, session: &Arc<Session>, now: Timestamp) -> Result<Created, StoreError> {
        let created = self.store.create(session, self.limits.all).await?;
        if created != Created::Full {
            return Ok(created);
        }
        self.sweep(now).await?;
        let created = self.store.create(session, self.limits.all).await?;
        if created != Created::Full || !self.drop_locked().await? {
            return Ok(created);
        }
        self.store.create(session, self.limits.all).await
    }

    /// Removes locked sessions, so that they keep nobody out. Whether there were any.
    async fn drop_locked(&self) -> Result<bool, StoreError> {
        let mut from = None;
        loop {
            let page = self.store.list(from.as_ref(), LOOK_AT).await?;
            let mut dropped = false;
            for locked in page.sessions.into_iter().filter(|session| session.is_locked()) {
                let locked = self.cache.shared(locked);
                dropped |= self.store.remove(&locked).await?;
                self.bury(&locked, Why::Idle, false);
            }
            from = page.next;
            if dropped || from.is_none() {
                return Ok(dropped);
            }
        }
    }

    /// Counted once the new one is there: of logins at the same time each sees the others.
    async fn keep_to_the_limit(&self, new: &Arc<Session>, now: Timestamp) -> Result<(), BeginError> {
        let live = self.of_user(&new.user().name, now).await?;
        let surplus = live.len().saturating_sub(self.limits.per_user);
        if surplus > 0 && self.limits.at_limit == AtLimit::Refuse {
            self.end(new, Why::TooMany).await?;
            return Err(BeginError::TooMany);
        }
        let oldest = live.iter().rev().filter(|session| session.id() != new.id());
        for session in oldest.take(surplus) {
            self.end(session, Why::TooMany).await?;
        }
        Ok(())
    }

    fn session_of(&self, login: NewLogin, token: &Token, estate: Estate, now: Timestamp) -> Session {
        let agent = login.user_agent.as_deref().unwrap_or_default();
        let record = Record {
            user: login.user,
            client: login.client.into(),
            user_agent: UserAgent::clean(agent).map(Box::new),
            began: now,
            lifetime: login.lifetime,
        };
        let tokens = Tokens::first(self.shared_host(&login.host), token.hash(), now);
        let id = SessionId::generate();
        Session::new(id, record, tokens.with_vault(self.new_vault(id, token, estate)), now, 0)
    }
}
