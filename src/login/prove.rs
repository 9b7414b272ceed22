//! Proving who one is: throttle, hash, verdict, and the session that follows.

use std::sync::Arc;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use http::StatusCode;
use http::header;

use crate::identity::user::UserName;
use crate::login::Login;
use crate::login::conversation::Answer;
use crate::login::conversation::Leftovers;
use crate::login::conversation::Outcome;
use crate::login::conversation::SessionCookie;
use crate::login::conversation::Visit;
use crate::login::cookies::Pre;
use crate::login::directory::ReplaceError;
use crate::login::directory::Replacement;
use crate::login::hash::Hash;
use crate::login::hash::Password;
use crate::login::throttle::Attempt;
use crate::login::throttle::HARD_STOP;
use crate::login::throttle::Refused;
use crate::login::throttle::Subject;
use crate::login::throttle::Throttle;
use crate::login::users::Account;
use crate::login::words;
use crate::session::NewLogin;
use crate::session::Presence;
use crate::session::Session;
use crate::session::lifetime::Why;
use crate::session::sessions::BeginError;
use crate::session::sessions::Begun;
use crate::session::token::Token;
use crate::telemetry::audit::Event;
use crate::telemetry::causes;

/// Why a password did not prove anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is wrong, or there is no such account, or it is disabled: nobody outside learns which.
    Wrong,
    /// It was not looked at.
    Refused(Refused),
    /// It could not be looked at.
    Busy,
}

impl Failure {
    /// The status of the answer.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            // 401 would need a challenge (RFC 9110 §15.5.2); 403 says that these credentials do not suffice.
            Self::Wrong => StatusCode::FORBIDDEN,
            Self::Refused(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// When trying again makes sense.
    pub(crate) const fn wait(self) -> Option<Duration> {
        match self {
            Self::Wrong | Self::Refused(Refused::Stopped) => None,
            Self::Refused(Refused::Account(wait) | Refused::Network(wait)) => Some(wait),
            Self::Busy => Some(Duration::from_secs(5)),
        }
    }

    /// What the person is told; `wrong` is the sentence for a wrong password.
    pub(crate) fn text(self, wrong: &str) -> String {
        match self {
            Self::Wrong => wrong.to_owned(),
            Self::Refused(Refused::Account(wait)) => format!(
                "There were too many failed attempts for this account. Wait {}, then try again.",
                words::duration(wait)
            ),
            Self::Refused(Refused::Stopped) => {
                "There were too many failed attempts for this account, so it is closed. Ask an administrator for a new password.".to_owned()
            }
            Self::Refused(Refused::Network(wait)) => format!(
                "There were too many failed attempts from your network. Wait {}, then try again.",
                words::duration(wait)
            ),
            Self::Busy => "Many people are signing in just now. Wait a few seconds, then try again.".to_owned(),
        }
    }

    /// For the figures.
    pub(crate) const fn outcome(self) -> Outcome {
        match self {
            Self::Wrong => Outcome::Failure,
            Self::Refused(_) => Outcome::Throttled,
            Self::Busy => Outcome::Busy,
        }
    }

    /// Marks an answer with it.
    pub(crate) fn mark(self, answer: Answer) -> Answer {
        let answer = answer.outcome(self.outcome());
        match self.wait() {
            Some(wait) => answer.retry_after(words::retry_after(wait)),
            None => answer,
        }
    }
}

/// Somebody whose password was right.
#[derive(Debug)]
pub(crate) struct Proven {
    /// Their account.
    pub(crate) account: Account,
    /// How many failures in a row came before.
    pub(crate) failures: u32,
}

/// Why a right password did not become a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSession {
    /// The user has as many as one may have.
    TooMany,
    /// There are as many sessions as there may be, or the store failed.
    Unavailable,
    /// The account was taken away or changed in this very moment.
    AccountChanged,
}

impl Login {
    /// Whether `password` is that of `typed`, by way of the throttle and the hashing threads.
    pub(crate) async fn prove(&self, visit: &Visit, typed: &str, password: &str) -> Result<Proven, Failure> {
        let name = UserName::parse(typed);
        let device = name.as_ref().and_then(|name| self.devices.known(&visit.headers, name));
        let begun = self.throttle().begin(Subject::new(typed, device), visit.client, visit.now);
        let attempt = begun.map_err(|refused| self.refused(visit, name.as_ref(), refused))?;
        let loaded = self.directory.current();
        let secret = Password::new(password);
        let asked = name.clone();
        let verdict = self
            .pool
            .run(move || {
                let secret = secret?;
                let account = loaded.users.verify(asked.as_ref(), &secret)?.clone();
                let renewed = account.password.is_outdated().then(|| account.password.succeeded_by(&secret));
                Some((account, renewed))
            })
            .await;
        match verdict {
            Err(_busy) => {
                self.throttle().give_back(&attempt);
                let limit = "password_hashing";
                self.tell(visit, &Event::RateLimitExceeded { limit });
                Err(Failure::Busy)
            }
            Ok(None) => {
                self.failed(visit, name.as_ref(), &attempt);
                Err(Failure::Wrong)
            }
            Ok(Some((account, renewed))) => {
                let account = match renewed {
                    Some(hash) => self.renew_hash(account, hash, password).await,
                    None => Some(account),
                };
                let Some(account) = account else {
                    self.failed(visit, name.as_ref(), &attempt);
                    return Err(Failure::Wrong);
                };
                self.throttle().succeeded(&attempt);
                let failures = attempt.failures - 1;
                Ok(Proven { account, failures })
            }
        }
    }

    /// Begins a session for the account, in place of the one this browser came with.
    pub(crate) async fn begin(
        &self,
        visit: &Visit,
        account: &Account,
    ) -> Result<(Token, Arc<Session>), NoSession> {
        let replaces = match &visit.presence {
            Presence::Active(session) => Some(session),
            Presence::Anonymous | Presence::Ended(_) => None,
        };
        let user_agent = visit.headers.get(header::USER_AGENT);
        let login = NewLogin {
            user: Arc::clone(&account.user),
            host: visit.host().clone(),
            client: visit.client,
            user_agent: user_agent.and_then(|value| value.to_str().ok()).map(str::to_owned),
            lifetime: visit.lifetime,
            brought: visit.brought.clone(),
        };
        let begun = self.sessions.begin(login, replaces, visit.now).await;
        let Begun { token, session, resumed } = begun.map_err(|error| self.not_begun(visit, &error))?;
        // The users may have changed while the password was checked: see `Directory::swap`.
        let name = &account.user.name;
        let unchanged = self
            .directory
            .account(name)
            .is_some_and(|current| account.password == current.password && account.goes_on_as(&current));
        if !unchanged {
            if let Err(error) = self.sessions.end(&session, Why::UserRemoved).await {
                let reason = &causes(&error);
                self.tell(visit, &Event::StoreFailed { reason });
            }
            return Err(NoSession::AccountChanged);
        }
        let reference = session.reference();
        self.tell_of(visit, Some(name.as_str()), Some(reference.as_str()), &Event::SessionCreated);
        self.tell_destroyed(visit, self.destroy_held(&visit.headers, name).await);
        if resumed {
            self.tell_of(visit, Some(name.as_str()), Some(reference.as_str()), &Event::SessionResumed);
        }
        Ok((token, session))
    }

    /// `answer` as every browser gets it that has logged in: the session is its own, its pre-login cookie goes, it is known
    /// from now on, and what apps left in it stays only where it is known to be of the same person. That of somebody
    /// else, of a stranger who knows the app's session id since, or of nobody knows whom, must not become theirs.
    pub(crate) fn admit(&self, visit: &Visit, name: &UserName, token: Token, answer: Answer) -> Answer {
        let leftovers = match &visit.presence {
            Presence::Active(session) if session.user().name == *name => Leftovers::Theirs,
            Presence::Active(_) => Leftovers::Anothers,
            Presence::Anonymous | Presence::Ended(_) => self.devices.leftovers(&visit.headers, name),
        };
        answer
            .session(SessionCookie::Set(token))
            .cookies(Pre::deletion().into_iter().chain(self.devices.remember(name)))
            .by(name.clone())
            .leftovers(leftovers)
    }

    pub(crate) fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a better hash of the same password. If that fails the old one serves on. Nothing if the account changed
    /// meanwhile and `password` is its password no more; another login may just have stored a better hash of it.
    async fn renew_hash(&self, account: Account, hash: Hash, password: &str) -> Option<Account> {
        let replacement = Replacement {
            name: account.user.name.clone(),
            old: account.password.clone(),
            new: hash.clone(),
            chosen: false,
        };
        match self.directory.replace(&self.pool, replacement).await {
            Ok(change) => {
                self.apply(&change).await;
                Some(account.with_password(hash))
            }
            Err(ReplaceError::Changed(change)) => {
                self.apply(&change).await;
                let secret = Password::new(password)?;
                let loaded = self.directory.current();
                let name = account.user.name.clone();
                let judge = move || loaded.users.verify(Some(&name), &secret).cloned();
                // Where there is no time to look, the caller finds that the account is another one now.
                self.pool.run(judge).await.unwrap_or(Some(account))
            }
            Err(error @ (ReplaceError::Busy(_) | ReplaceError::File(_))) => {
                tracing::warn!(%error, "an outdated password hash could not be replaced");
                Some(account)
            }
        }
    }

    fn refused(&self, visit: &Visit, name: Option<&UserName>, refused: Refused) -> Failure {
        let user = self.known(name);
        match refused {
            Refused::Network(_) => {
                let limit = "login_network";
                self.tell_of(visit, user.as_deref(), None, &Event::RateLimitExceeded { limit });
            }
            Refused::Account(wait) => {
                let wait_secs = words::retry_after(wait);
                self.tell_of(visit, user.as_deref(), None, &Event::LoginLocked { wait_secs });
            }
            Refused::Stopped => {
                let limit = HARD_STOP;
                self.tell_of(visit, user.as_deref(), None, &Event::LoginFailMax { limit });
            }
        }
        Failure::Refused(refused)
    }

    fn failed(&self, visit: &Visit, name: Option<&UserName>, attempt: &Attempt) {
        let account = name.and_then(|name| self.directory.account(name));
        let reason = match &account {
            None => "unknown_user",
            Some(account) if account.disabled => "disabled",
            Some(_) => "wrong_password",
        };
        let user = self.known(name);
        self.tell_of(visit, user.as_deref(), None, &Event::LoginFail { reason });
        let limit = self.attempts.per_account;
        if attempt.failures == limit || attempt.failures == HARD_STOP {
            let limit = attempt.failures;
            self.tell_of(visit, user.as_deref(), None, &Event::LoginFailMax { limit });
        }
    }

    /// The name for the log, if somebody has it: what is typed into the wrong field is often a password.
    fn known(&self, name: Option<&UserName>) -> Option<String> {
        let account = name.and_then(|name| self.directory.account(name))?;
        Some(account.user.name.to_string())
    }

    fn not_begun(&self, visit: &Visit, error: &BeginError) -> NoSession {
        match error {
            BeginError::Full => {
                let limit = self.sessions.live();
                self.tell(visit, &Event::ExcessSessions { limit });
            }
            BeginError::TooMany => {
                let limit = self.sessions.max_per_user();
                self.tell(visit, &Event::ExcessSessions { limit });
                return NoSession::TooMany;
            }
            BeginError::Store(error) => {
                let reason = &causes(error);
                self.tell(visit, &Event::StoreFailed { reason });
            }
        }
        NoSession::Unavailable
    }
}
