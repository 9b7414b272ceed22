//! The app's own login, observed: whom its form names, what its answer says, and the session that follows.
//!
//! The app alone knows who may log in. The gateway slows guessing down before the app is asked, and begins a session when
//! the answer says what the configuration calls a success; nothing else does (PWD-19).

mod claim;
mod json;
mod judge;
mod landing;
pub(crate) mod multipart;
mod sent;

use std::sync::Arc;

use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use unicode_normalization::UnicodeNormalization;

use crate::clock::Timestamp;
use crate::identity::user::User;
use crate::identity::user::UserName;
use crate::login::Login;
use crate::login::conversation::Leftovers;
use crate::login::conversation::Outcome;
use crate::login::cookies::Device;
use crate::login::cookies::Devices;
use crate::login::held::DESTROYED;
use crate::login::prove::Failure;
use crate::login::throttle::Attempt;
use crate::login::throttle::HARD_STOP;
use crate::login::throttle::Refused;
use crate::login::throttle::Subject;
use crate::login::words;
use crate::net::Authority;
use crate::net::ClientAddr;
use crate::route::AppLogin;
use crate::session::NewLogin;
use crate::session::Presence;
use crate::session::Session;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Why;
use crate::session::sessions::BeginError;
use crate::session::sessions::Begun;
use crate::session::store::StoreError;
use crate::session::token::Token;
use crate::telemetry::audit::Context;
use crate::telemetry::audit::Event;
use crate::telemetry::causes;

pub use crate::login::observed::claim::Claim;
pub use crate::login::observed::claim::Step;
pub use crate::login::observed::claim::Unheard;
pub use crate::login::observed::judge::Head;
pub use crate::login::observed::judge::MOST_ANSWER_BYTES;
pub use crate::login::observed::judge::body_says_yes;
pub use crate::login::observed::judge::head_says_yes;
pub use crate::login::observed::judge::read as read_answer;
pub use crate::login::observed::judge::user as user_of;
pub use crate::login::observed::landing::Landing;
pub use crate::login::observed::landing::Leads;
pub use crate::login::observed::sent::MOST_BYTES;

/// Who makes a request to an app's login or logout. It owns what it is made of: what begins or ends a session is done to
/// its end, even if they leave before the answer.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The present moment.
    pub now: Timestamp,
    /// Who asks.
    pub client: ClientAddr,
    /// The host and port the browser used.
    pub authority: Authority,
    /// How long sessions live there.
    pub lifetime: Lifetime,
    /// The method.
    pub method: http::Method,
    /// Path and query, as they came.
    pub target: String,
    /// The headers as the browser sent them.
    pub headers: HeaderMap,
    /// The session.
    pub presence: Presence,
    /// The token that the browser brought along, where it leads to no session that lives.
    pub brought: Option<Arc<Token>>,
    /// The number of the request in the logs.
    pub request_id: String,
}

/// An attempt that the app may judge.
#[derive(Debug)]
pub struct Observed {
    /// Nothing where it is not counted: nothing is enforced.
    attempt: Option<Attempt>,
    /// Whom the form names.
    sent: Option<String>,
}

impl Observed {
    /// One that is not counted.
    pub fn uncounted(sent: Option<String>) -> Self {
        Self { attempt: None, sent }
    }

    /// Whom the form names.
    pub fn sent(&self) -> Option<&str> {
        self.sent.as_deref()
    }
}

/// A login that is not to be, and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The status.
    pub status: StatusCode,
    /// One word for logs and figures.
    pub reason: &'static str,
    /// What the person is told.
    pub text: String,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u64>,
    /// Where trying again makes sense, if not right there.
    pub login: Option<String>,
    /// For the figures.
    pub outcome: Outcome,
}

/// A session that has begun at an app's login.
#[derive(Debug)]
pub struct Entered {
    /// Its token.
    pub token: Token,
    /// The session.
    pub session: Arc<Session>,
    /// Cookies of ours to set beside it.
    pub cookies: Vec<HeaderValue>,
    /// Whether what the app left in the browser before is another person's.
    pub others: bool,
}

impl Login {
    /// Whether the address of a request names a user to the login.
    pub fn names_user(app: &AppLogin, query: Option<&str>) -> bool {
        query.is_some_and(|query| sent::is_in_query(&app.field, query))
    }

    /// Counts an attempt before the app is asked; `sent` is whom the form names.
    ///
    /// # Errors
    /// If there were too many before it.
    pub fn observe(&self, caller: &Caller, app: &AppLogin, sent: Option<String>) -> Result<Observed, Denied> {
        let name = sent.as_deref().and_then(|sent| name_in(app, sent));
        let device = name.as_ref().and_then(|name| self.devices.known(&caller.headers, name));
        let mut throttle = self.throttle();
        let begun = match &sent {
            Some(sent) => throttle.begin(subject(app, sent, device), caller.client, caller.now),
            None => throttle.begin_unnamed(caller.client, caller.now),
        };
        drop(throttle);
        match begun {
            Ok(attempt) => Ok(Observed { attempt: Some(attempt), sent }),
            Err(refused) => {
                self.tell_refused(caller, refused);
                Err(Denied::throttled(refused))
            }
        }
    }

    /// The app does not hear of an attempt.
    pub fn unheard(&self, caller: &Caller, app: &AppLogin, why: Unheard) -> Denied {
        self.tell_about(caller, None, None, &Event::LoginFail { reason: why.reason() });
        Denied::unheard(why, app)
    }

    /// The app has said no, or nothing that counts as yes.
    pub fn observed_failure(&self, caller: &Caller, observed: &Observed, reason: &'static str) {
        self.tell_about(caller, None, None, &Event::LoginFail { reason });
        let Some(attempt) = &observed.attempt else { return };
        if attempt.failures == self.attempts.per_account || attempt.failures == HARD_STOP {
            let limit = attempt.failures;
            self.tell_about(caller, None, None, &Event::LoginFailMax { limit });
        }
    }

    /// The app has said nothing at all.
    pub fn observed_nothing(&self, observed: &Observed) {
        if let Some(attempt) = &observed.attempt {
            self.throttle().give_back(attempt);
        }
    }

    /// The app has said yes to `user`: a session begins in place of the one this browser came with, which is dead before
    /// that.
    ///
    /// # Errors
    /// If the name is not fit for one, or none can begin.
    pub async fn observed_success(
        self: &Arc<Self>,
        caller: &Caller,
        app: &AppLogin,
        observed: &Observed,
        user: &str,
    ) -> Result<Entered, Denied> {
        let Some(name) = name_in(app, user) else {
            self.observed_nothing(observed);
            self.tell_about(caller, None, None, &Event::LoginFail { reason: "unusable_user_name" });
            return Err(Denied::unusable_name());
        };
        let failures = observed.attempt.as_ref().map_or(0, |attempt| attempt.failures.saturating_sub(1));
        if let Some(attempt) = &observed.attempt {
            self.throttle().succeeded(attempt);
        }
        let user_agent = caller.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let login = NewLogin {
            user: Arc::new(User::named(name.clone())),
            host: caller.authority.host.clone(),
            client: caller.client,
            user_agent: user_agent.map(str::to_owned),
            lifetime: caller.lifetime,
            brought: caller.brought.clone(),
        };
        let old = caller.session().cloned();
        let (sessions, now) = (Arc::clone(&self.sessions), caller.now);
        let begun = self.acts.spawn(async move { sessions.begin(login, old.as_ref(), now).await }).await;
        let begun = begun.unwrap_or_else(|panicked| Err(BeginError::Store(StoreError::new(panicked))));
        let Begun { token, session, resumed } = begun.map_err(|error| self.tell_not_begun(caller, &error))?;
        let (reference, event) = (session.reference(), Event::LoginSuccess);
        let event = if failures == 0 { event } else { Event::LoginSuccessAfterFail { failures } };
        let resumed = resumed.then_some(Event::SessionResumed);
        for event in [Event::SessionCreated, event].into_iter().chain(resumed) {
            self.tell_about(caller, Some(name.as_str()), Some(reference.as_str()), &event);
        }
        match self.destroy_held(&caller.headers, &name).await {
            Ok(forms) => (0..forms).for_each(|_| self.tell_about(caller, None, None, &DESTROYED)),
            Err(error) => {
                self.tell_about(caller, None, None, &Event::StoreFailed { reason: &causes(&error) });
            }
        }
        // What is nobody's came while nobody was logged in: the login under way is part of it.
        let others = match caller.session() {
            Some(old) => old.user().name != name,
            None => self.devices.leftovers(&caller.headers, &name) == Leftovers::Anothers,
        };
        let cookies = self.devices.remember(&name).into_iter().collect();
        Ok(Entered { token, session, cookies, others })
    }

    /// Ends the session that somebody leaves by the app's own logout, and gives the cookies of ours that go with it.
    ///
    /// # Errors
    /// If the store cannot answer: then they are still logged in.
    pub async fn observed_logout(
        self: &Arc<Self>,
        caller: &Caller,
        session: &Arc<Session>,
    ) -> Result<Vec<HeaderValue>, StoreError> {
        let (sessions, own) = (Arc::clone(&self.sessions), Arc::clone(session));
        let ended = self.acts.spawn(async move { sessions.end(&own, Why::LoggedOut).await }).await;
        ended.unwrap_or_else(|panicked| Err(StoreError::new(panicked)))?;
        let (user, reference) = (&session.user().name, session.reference());
        self.tell_about(caller, Some(user.as_str()), Some(reference.as_str()), &Event::SessionLogout);
        Ok(self.devices.emptied(&caller.headers, user).into_iter().collect())
    }

    /// The cookies of ours that say that the app's were deleted from a browser of nobody knows whom.
    pub fn observed_cleared(headers: &HeaderMap) -> Option<HeaderValue> {
        Devices::cleared(headers)
    }

    fn tell_refused(&self, caller: &Caller, refused: Refused) {
        let event = match refused {
            Refused::Network(_) => Event::RateLimitExceeded { limit: "login_network" },
            Refused::Account(wait) => Event::LoginLocked { wait_secs: words::retry_after(wait) },
            Refused::Stopped => Event::LoginFailMax { limit: HARD_STOP },
        };
        self.tell_about(caller, None, None, &event);
    }

    fn tell_not_begun(&self, caller: &Caller, error: &BeginError) -> Denied {
        let (event, denied);
        let reason;
        match error {
            BeginError::Full => {
                (event, denied) =
                    (Event::ExcessSessions { limit: self.sessions.live() }, Denied::unavailable());
            }
            BeginError::TooMany => {
                let limit = self.sessions.max_per_user();
                (event, denied) = (Event::ExcessSessions { limit }, Denied::too_many());
            }
            BeginError::Store(error) => {
                reason = causes(error);
                (event, denied) = (Event::StoreFailed { reason: &reason }, Denied::unavailable());
            }
        }
        self.tell_about(caller, None, None, &event);
        denied
    }

    fn tell_about(&self, caller: &Caller, user: Option<&str>, session: Option<&str>, event: &Event<'_>) {
        let context = Context {
            now: caller.now,
            client: Some(caller.client),
            host: Some(caller.authority.host.as_str()),
            method: Some(caller.method.as_str()),
            path: Some(&caller.target),
            request_id: Some(&caller.request_id),
            user,
            session,
        };
        self.audit.record(&context, event);
    }
}

impl Caller {
    fn session(&self) -> Option<&Arc<Session>> {
        match &self.presence {
            Presence::Active(session) => Some(session),
            Presence::Anonymous | Presence::Ended(_) => None,
        }
    }
}

impl Denied {
    fn throttled(refused: Refused) -> Self {
        let failure = Failure::Refused(refused);
        let text = match refused {
            // Nobody can give an account of the app's another password here.
            Refused::Stopped => CLOSED.to_owned(),
            Refused::Account(_) | Refused::Network(_) => failure.text(""),
        };
        Self {
            status: failure.status(),
            reason: "login_throttled",
            text,
            retry_after: failure.wait().map(words::retry_after),
            login: None,
            outcome: failure.outcome(),
        }
    }

    fn unheard(why: Unheard, app: &AppLogin) -> Self {
        let (status, text) = match why {
            Unheard::Foreign => (
                StatusCode::FORBIDDEN,
                "Another site sent this sign-in, so it was not carried out. Open the login page on this site and sign in there.",
            ),
            Unheard::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "This form is longer than any login is, so it was not carried out.",
            ),
            Unheard::Unclear => (
                StatusCode::BAD_REQUEST,
                "It is not clear whom this sign-in is for, so it was not carried out. Open the login page and sign in there.",
            ),
        };
        let (reason, outcome) = (why.reason(), Outcome::Failure);
        Self {
            status,
            reason,
            text: text.to_owned(),
            retry_after: None,
            login: Some(app.entrance("/")),
            outcome,
        }
    }

    fn unusable_name() -> Self {
        let text = "The app has let you in, but under a name that cannot be used here, so you are not signed in. Tell whoever runs this site.";
        Self::after_success(StatusCode::FORBIDDEN, "unusable_user_name", text)
    }

    fn too_many() -> Self {
        let text = "The app has let you in, but you are signed in on as many devices as you may. Sign out on one of them first.";
        Self::after_success(StatusCode::FORBIDDEN, "too_many_sessions", text)
    }

    fn unavailable() -> Self {
        let text = "The app has let you in, but no session can begin just now. Try again in a moment.";
        let denied = Self::after_success(StatusCode::SERVICE_UNAVAILABLE, "no_session", text);
        Self { retry_after: Some(5), ..denied }
    }

    fn after_success(status: StatusCode, reason: &'static str, text: &str) -> Self {
        let text = text.to_owned();
        Self { status, reason, text, retry_after: None, login: None, outcome: Outcome::Failure }
    }
}

const CLOSED: &str = "There were too many failed attempts for this account, so it is closed here. Sign in with a browser that you have used here before, or ask whoever runs this site.";

/// A name as the app's own login vouches for it.
fn name_in(app: &AppLogin, name: &str) -> Option<UserName> {
    UserName::parse(name).map(|name| name.in_realm(&app.realm))
}

/// Whose failures are counted together: many apps take a name in any letters, so that a guesser must not gain attempts by
/// writing it in others. To other apps these are other people, whose successes are not each other's.
fn subject(app: &AppLogin, sent: &str, device: Option<Device>) -> Subject {
    let folded: String = sent.trim().nfkc().collect::<String>().to_lowercase();
    Subject::spelt(&format!("{}\u{1f}{folded}", app.realm), sent, device)
}
