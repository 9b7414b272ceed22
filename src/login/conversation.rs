//! One visit to a place of ours: what comes in, what goes out, and what every visit is checked for first.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Response;
use http::StatusCode;
use http::header;

use crate::access::csrf::Provenance;
use crate::access::csrf::provenance;
use crate::clock::Timestamp;
use crate::identity::user::UserName;
use crate::login::Login;
use crate::login::PREFIX;
use crate::login::form::Form;
use crate::net::Authority;
use crate::net::ClientAddr;
use crate::net::Host;
use crate::net::Scheme;
use crate::pages::ErrorView;
use crate::pages::ScriptError;
use crate::pages::error_json;
use crate::pages::see_other;
use crate::route::AppLogin;
use crate::session::Policy;
use crate::session::Presence;
use crate::session::id::SessionIdText;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Why;
use crate::session::store::StoreError;
use crate::session::token::Token;
use crate::telemetry::audit::Context;
use crate::telemetry::audit::Event;
use crate::telemetry::causes;

/// A place of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `login`: the sign-in page.
    Login,
    /// `logout`: asks on GET, acts on POST.
    Logout,
    /// `password`: change one's own.
    Password,
    /// `sessions`: one's own sessions, and ending them.
    Sessions,
    /// `session`: the session as JSON.
    Session,
    /// `session/extend`: the same, after moving the idle clock.
    SessionExtend,
    /// `signed-in`: for whoever signed in beside an open page of the app.
    SignedIn,
    /// `held`: what is to become of a form that came when the session was over.
    Held,
    /// `handover`: where the login's own host sends people back to.
    Handover,
}

impl Action {
    const ALL: [Self; 9] = [
        Self::Login,
        Self::Logout,
        Self::Password,
        Self::Sessions,
        Self::Session,
        Self::SessionExtend,
        Self::SignedIn,
        Self::Held,
        Self::Handover,
    ];

    /// Whether asking for it is using the session: looking at its clocks is not (LIFE-7), nor is being led on by the login,
    /// which looks at them first.
    pub fn is_use(self) -> bool {
        !matches!(self, Self::Session | Self::Login | Self::Handover)
    }

    /// The place at this path below [`crate::login::PREFIX`], compared byte by byte.
    pub fn of(path_below_prefix: &str) -> Option<Self> {
        let below = |action: &Self| action.path().strip_prefix(PREFIX) == Some(path_below_prefix);
        Self::ALL.into_iter().find(below)
    }

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Login => "/.vestibule/login",
            Self::Logout => "/.vestibule/logout",
            Self::Password => "/.vestibule/password",
            Self::Sessions => "/.vestibule/sessions",
            Self::Session => "/.vestibule/session",
            Self::SessionExtend => "/.vestibule/session/extend",
            Self::SignedIn => "/.vestibule/signed-in",
            Self::Held => "/.vestibule/held",
            Self::Handover => "/.vestibule/handover",
        }
    }

    const fn allow(self) -> &'static str {
        match self {
            Self::Login | Self::Logout | Self::Password | Self::Sessions | Self::Held => "GET, HEAD, POST",
            Self::Session | Self::SignedIn => "GET, HEAD",
            Self::SessionExtend => "POST",
            Self::Handover => "GET",
        }
    }
}

/// A request to a place of ours. It owns what it is made of: what a person asked for is done to its end, even if they
/// leave before the answer.
#[derive(Debug)]
pub struct Visit {
    /// The present moment.
    pub now: Timestamp,
    /// Who asks.
    pub client: ClientAddr,
    /// How long sessions live on this host.
    pub lifetime: Lifetime,
    /// What else is asked of them here.
    pub policy: Policy,
    /// How the browser came in.
    pub scheme: Scheme,
    /// The host and port it used.
    pub authority: Authority,
    /// The method.
    pub method: Method,
    /// The headers as the browser sent them.
    pub headers: HeaderMap,
    /// The query.
    pub query: Option<String>,
    /// The body of a POST, at most 16 KiB.
    pub body: Bytes,
    /// The session. Its idle clock must not have been moved for this visit.
    pub presence: Presence,
    /// The token that the browser brought along, where it leads to no session that lives.
    pub brought: Option<Arc<Token>>,
    /// The number of the request in the logs.
    pub request_id: String,
    /// Which place.
    pub action: Action,
    /// The app's own login, where people log in there and not here.
    pub app: Option<Arc<AppLogin>>,
}

impl Visit {
    /// The host the browser is on.
    pub(crate) fn host(&self) -> &Host {
        &self.authority.host
    }

    /// Whether a document of this very origin sent the request.
    pub(crate) fn source(&self) -> Source {
        match provenance(&self.headers, &self.authority, self.scheme) {
            Provenance::Foreign(reason) => Source::Foreign(reason),
            Provenance::Own => {
                let said = self.headers.get("sec-fetch-site");
                let vouched = match said {
                    Some(site) => site.as_bytes() == b"same-origin",
                    // The origin was compared; where it is absent nobody vouched for anything.
                    None => self.headers.contains_key(header::ORIGIN),
                };
                if vouched { Source::Own } else { Source::Unknown }
            }
        }
    }

    /// What the browser says it is.
    pub(crate) fn user_agent(&self) -> &str {
        let field = self.headers.get(header::USER_AGENT);
        field.and_then(|agent| agent.to_str().ok()).unwrap_or_default()
    }

    /// Whether the answer will be a page of its own, as far as the browser says: no frame, no image, no script's fetch.
    fn is_document(&self) -> bool {
        self.headers.get("sec-fetch-dest").is_none_or(|dest| dest.as_bytes() == b"document")
    }
}

/// Where a POST came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// From our own origin: the browser says so.
    Own,
    /// The browser says nothing: a token must prove it.
    Unknown,
    /// From elsewhere.
    Foreign(&'static str),
}

/// What becomes of the session cookie.
#[derive(Debug)]
pub enum SessionCookie {
    /// It stays.
    Keep,
    /// This is the new one.
    Set(Token),
    /// It is deleted.
    Clear,
}

/// Whose the cookies are that apps left in a browser, as whoever uses it next sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// Their own.
    Theirs,
    /// Nobody's now, or nobody knows whose: they go, as far as the apps' sites take cookies away with their user.
    Nobodys,
    /// Somebody else's, or what their own app must forget: they go, every one.
    Anothers,
}

/// How an attempt to log in went, for the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The password was right.
    Success,
    /// It was wrong, or there is no such account.
    Failure,
    /// It was not looked at, because of too many failures.
    Throttled,
    /// It was not looked at, because there is too much to do.
    Busy,
}

impl Outcome {
    /// The outcome as a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Throttled => "throttled",
            Self::Busy => "busy",
        }
    }
}

/// What a visit comes to.
#[derive(Debug)]
pub struct Answer {
    /// The answer, all headers of the page included.
    pub response: Response<Bytes>,
    /// What becomes of the session cookie.
    pub session: SessionCookie,
    /// Other cookies to set: complete `Set-Cookie` values.
    pub cookies: Vec<HeaderValue>,
    /// Who it was, for the log.
    pub user: Option<UserName>,
    /// How an attempt to log in went, if there was one.
    pub outcome: Option<Outcome>,
    /// What became of a form that was held, for the figures.
    pub form: Option<&'static str>,
    /// Whose the cookies are that apps left in the browser, as whoever uses it next sees them.
    pub leftovers: Leftovers,
}

impl Answer {
    /// This answer, with all cookies as they are.
    pub(crate) fn new(response: Response<Bytes>) -> Self {
        Self {
            response,
            session: SessionCookie::Keep,
            cookies: Vec::new(),
            user: None,
            outcome: None,
            form: None,
            leftovers: Leftovers::Theirs,
        }
    }

    /// With this done to the session cookie.
    pub(crate) fn session(self, session: SessionCookie) -> Self {
        Self { session, ..self }
    }

    /// With these cookies set, as far as there are any.
    pub(crate) fn cookies(mut self, cookies: impl IntoIterator<Item = HeaderValue>) -> Self {
        self.cookies.extend(cookies);
        self
    }

    /// By this user.
    pub(crate) fn by(self, user: UserName) -> Self {
        Self { user: Some(user), ..self }
    }

    /// With this become of a form that was held.
    pub(crate) fn form(self, form: &'static str) -> Self {
        Self { form: Some(form), ..self }
    }

    /// With this outcome of an attempt.
    pub(crate) fn outcome(self, outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    /// And what apps left in the browser is so regarded.
    pub(crate) fn leftovers(self, leftovers: Leftovers) -> Self {
        Self { leftovers, ..self }
    }

    /// With the seconds after which trying again makes sense (RFC 9110 §10.2.3).
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        self
    }
}

impl Login {
    /// Answers a visit to a place of ours. A store that fails makes a 503, never somebody anonymous.
    ///
    /// What changes something is carried out as a task of its own: whoever closes the connection meanwhile does not leave a
    /// password written but nobody told, or a session ended in the store alone. The gateway's end waits for it
    /// ([`finish`](Self::finish)).
    pub async fn visit(self: Arc<Self>, visit: Visit) -> Answer {
        let hands_over = matches!(visit.action, Action::Login | Action::Handover);
        if visit.method != Method::POST && !hands_over {
            return self.attend(&visit).await;
        }
        let (request_id, login) = (visit.request_id.clone(), Arc::clone(&self));
        let done = self.acts.spawn(async move { login.attend(&visit).await }).await;
        done.unwrap_or_else(|_panicked_or_shutting_down| {
            let view = ErrorView::new(StatusCode::INTERNAL_SERVER_ERROR, &request_id);
            Answer::new(self.pages.error(&view))
        })
    }

    async fn attend(&self, visit: &Visit) -> Answer {
        let get = visit.method == Method::GET || visit.method == Method::HEAD;
        let post = visit.method == Method::POST;
        match visit.action {
            Action::Session if get => self.session_status(visit).await,
            Action::SessionExtend if post => self.extend_session(visit).await,
            Action::Session | Action::SessionExtend => self.wrong_method(visit),
            Action::Handover if visit.method != Method::GET => self.wrong_method(visit),
            Action::SignedIn if !get => self.wrong_method(visit),
            Action::Login | Action::Logout | Action::Password | Action::Sessions | Action::Held
                if !(get || post) =>
            {
                self.wrong_method(visit)
            }
            Action::Login
            | Action::Logout
            | Action::Password
            | Action::Sessions
            | Action::SignedIn
            | Action::Held
            | Action::Handover
                if !visit.is_document() =>
            {
                let reason = "not_a_navigation";
                self.tell(visit, &Event::MaliciousCsrf { reason, enforced: true });
                self.fail(visit, StatusCode::FORBIDDEN, None)
            }
            Action::Login | Action::Password | Action::Handover if visit.scheme == Scheme::Http => {
                self.fail(visit, StatusCode::FORBIDDEN, Some(NOT_SECURE))
            }
            Action::Login if let Some(app) = &visit.app => self.lead_to_app(visit, app),
            // Whoever an app vouches for has no password here, and is handed over nowhere.
            Action::Password | Action::Handover if visit.app.is_some() => {
                self.fail(visit, StatusCode::NOT_FOUND, None)
            }
            Action::Handover => Box::pin(self.take_in(visit)).await,
            Action::Login | Action::Password if let Some(login) = self.elsewhere(visit.host()) => {
                self.lead_away(visit, login)
            }
            Action::Login if get => self.show_login(visit).await,
            Action::Login => Box::pin(self.log_in(visit)).await,
            Action::SignedIn => self.show_signed_in(visit),
            Action::Held if get => Box::pin(self.show_held(visit)).await,
            Action::Held => Box::pin(self.drop_held(visit)).await,
            Action::Logout if get => self.ask_logout(visit),
            Action::Logout => self.log_out(visit).await,
            Action::Password if get => self.show_password(visit),
            Action::Password => Box::pin(self.change_password(visit)).await,
            Action::Sessions if get => Box::pin(self.show_sessions(visit)).await,
            Action::Sessions => Box::pin(self.end_sessions(visit)).await,
        }
    }

    /// The form of a POST that may have come from a page of ours; else the answer that refuses it.
    pub(crate) fn posted(&self, visit: &Visit) -> Result<Form, Box<Answer>> {
        if let Source::Foreign(reason) = visit.source() {
            self.tell(visit, &Event::MaliciousCsrf { reason, enforced: true });
            return Err(Box::new(self.fail(visit, StatusCode::FORBIDDEN, Some(FOREIGN))));
        }
        let content_type = visit.headers.get(header::CONTENT_TYPE);
        let essence =
            content_type.and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
        if !essence
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
        {
            return Err(Box::new(self.fail(visit, StatusCode::UNSUPPORTED_MEDIA_TYPE, None)));
        }
        Form::parse(&visit.body).ok_or_else(|| Box::new(self.fail(visit, StatusCode::BAD_REQUEST, None)))
    }

    /// To the login page, and back to this one afterwards; `why` the last session ended, if it is known.
    pub(crate) fn to_login(&self, visit: &Visit, why: Option<Why>) -> Answer {
        Answer::new(see_other(&self.entrance(visit.action.path(), &visit.authority, why, visit.now)))
    }

    /// The same for somebody who is signed in, but not recently enough for what they want to do.
    pub(crate) fn to_fresh_login(&self, visit: &Visit) -> Answer {
        Answer::new(see_other(&self.fresh_entrance(visit.action.path(), &visit.authority, visit.now)))
    }

    /// The session store did not answer, which is told to the log.
    pub(crate) fn store_failed(&self, visit: &Visit, error: &StoreError) {
        let reason = &causes(error);
        self.tell(visit, &Event::StoreFailed { reason });
    }

    /// An error page that leads on: to the login page for those who are not logged in, and to the start page.
    pub(crate) fn fail(&self, visit: &Visit, status: StatusCode, text: Option<&str>) -> Answer {
        let mut view = ErrorView::new(status, &visit.request_id);
        if let Some(text) = text {
            view = view.text(text);
        }
        if !matches!(visit.presence, Presence::Active(_)) {
            view = view.sign_in("/.vestibule/login");
        }
        Answer::new(self.pages.error(&view))
    }

    /// The same for scripts.
    pub(crate) fn fail_script(
        visit: &Visit,
        status: StatusCode,
        error: &'static str,
        message: &'static str,
    ) -> Answer {
        let login = (status == StatusCode::UNAUTHORIZED).then_some("/.vestibule/login");
        Answer::new(error_json(status, &ScriptError { error, message, login, request_id: &visit.request_id }))
    }

    pub(crate) fn wrong_method(&self, visit: &Visit) -> Answer {
        let mut answer = match visit.action {
            Action::Session | Action::SessionExtend => Self::fail_script(
                visit,
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This address does not know that method.",
            ),
            Action::Login
            | Action::Logout
            | Action::Password
            | Action::Sessions
            | Action::SignedIn
            | Action::Held
            | Action::Handover => self.fail(visit, StatusCode::METHOD_NOT_ALLOWED, None),
        };
        answer.response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(visit.action.allow()));
        answer
    }

    /// Records an event of the session the visit came with.
    pub(crate) fn tell(&self, visit: &Visit, event: &Event<'_>) {
        let session = match &visit.presence {
            Presence::Active(session) => Some(session),
            Presence::Anonymous | Presence::Ended(_) => None,
        };
        let user = session.map(|session| session.user().name.as_str());
        let reference = session.map(|session| session.reference());
        self.tell_of(visit, user, reference.as_ref().map(SessionIdText::as_str), event);
    }

    /// Records an event about this user and session.
    pub(crate) fn tell_of(
        &self,
        visit: &Visit,
        user: Option<&str>,
        session: Option<&str>,
        event: &Event<'_>,
    ) {
        let context = Context {
            now: visit.now,
            client: Some(visit.client),
            host: Some(visit.host().as_str()),
            method: Some(visit.method.as_str()),
            path: Some(visit.action.path()),
            request_id: Some(&visit.request_id),
            user,
            session,
        };
        self.audit.record(&context, event);
    }
}

const NOT_SECURE: &str =
    "Passwords are accepted over https only. Open this site with https:// in the address.";
const FOREIGN: &str = "This form was sent by another site, so nothing was done. Begin at the page itself.";
