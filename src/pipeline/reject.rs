//! Refusals: every reason for which a request gets an answer of ours instead of the app's, and how it is told.

use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;

use crate::access::path::AmbiguousPath;
use crate::body::RequestBodyError;
use crate::pages;
use crate::pages::ErrorView;
use crate::pages::ScriptError;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Audience;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reply::Reply;
use crate::pipeline::reply::ReplyBody;
use crate::server::Refusal;
use crate::session::lifetime::Why;
use crate::session::store::StoreError;
use crate::telemetry::audit::Event;
use crate::upstream::SendError;

/// Why a request was not passed on, or got no answer from the app.
#[derive(Debug)]
pub(crate) enum Reject {
    AmbiguousPath(AmbiguousPath),
    App(SendError),
    BadHandshake,
    BadHost,
    BadTarget,
    CrossSite,
    Forbidden,
    FormBroken,
    FormTooLarge,
    Loop,
    MethodNotAllowed,
    Misdirected,
    NeedsFreshLogin,
    NeedsLogin { why: Option<Why>, lead: bool },
    NotFound,
    PlainHttp,
    Refused(Refusal),
    ServiceWorker,
    StoreDown(StoreError),
    ToHttps(String),
    TooManyHeaders,
    UntrustedTerminator,
}

impl Reject {
    /// The status the refusal is told with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::AmbiguousPath(_)
            | Self::BadHost
            | Self::BadTarget
            | Self::FormBroken
            | Self::PlainHttp
            | Self::UntrustedTerminator => StatusCode::BAD_REQUEST,
            Self::App(error) => app_status(error),
            Self::BadHandshake => StatusCode::BAD_GATEWAY,
            Self::CrossSite | Self::Forbidden | Self::ServiceWorker => StatusCode::FORBIDDEN,
            Self::FormTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NeedsFreshLogin | Self::NeedsLogin { .. } => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Refused(refusal) => refusal.status(),
            Self::StoreDown(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::ToHttps(_) => StatusCode::PERMANENT_REDIRECT,
            Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }

    /// One word for logs and figures.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::AmbiguousPath(_) => "ambiguous_path",
            Self::App(error) => app_reason(error),
            Self::BadHandshake => "bad_handshake",
            Self::BadHost => "bad_host",
            Self::BadTarget => "bad_target",
            Self::CrossSite => "cross_site",
            Self::Forbidden => "forbidden",
            Self::FormBroken => "form_broken",
            Self::FormTooLarge => "form_too_large",
            Self::Loop => "loop",
            Self::MethodNotAllowed => "method",
            Self::Misdirected => "unknown_host",
            Self::NeedsFreshLogin => "fresh_login_required",
            Self::NeedsLogin { .. } => "login_required",
            Self::NotFound => "not_found",
            Self::PlainHttp => "plain_http",
            Self::Refused(_) => "malformed",
            Self::ServiceWorker => "service_worker",
            Self::StoreDown(_) => "store_down",
            Self::ToHttps(_) => "to_https",
            Self::TooManyHeaders => "too_many_headers",
            Self::UntrustedTerminator => "untrusted_terminator",
        }
    }

    /// What to tell beyond what the status says by itself.
    fn text(&self) -> Option<&'static str> {
        match self {
            Self::CrossSite => Some(
                "This request was started by another site, so it was not carried out. \
                 Open the page on this site and do it there.",
            ),
            Self::NeedsFreshLogin => {
                Some("This page asks for a login of a moment ago. Sign in again to go on.")
            }
            Self::PlainHttp => Some("This address is only for https. Use https:// in front of it."),
            Self::ServiceWorker => Some("This site does not let its pages register service workers."),
            _ => None,
        }
    }
}

fn app_status(error: &SendError) -> StatusCode {
    match error {
        SendError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        SendError::Connect(_) | SendError::NoAnswer(_) | SendError::UnaskedUpgrade => StatusCode::BAD_GATEWAY,
        SendError::RequestBody(RequestBodyError::Broken) => StatusCode::BAD_REQUEST,
        SendError::RequestBody(RequestBodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        SendError::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
    }
}

fn app_reason(error: &SendError) -> &'static str {
    match error {
        SendError::Busy => "app_busy",
        SendError::Connect(_) => "app_unreachable",
        SendError::NoAnswer(_) => "app_no_answer",
        SendError::RequestBody(RequestBodyError::Broken) => "body_broken",
        SendError::RequestBody(RequestBodyError::TooLarge) => "body_too_large",
        SendError::TimedOut { .. } => "app_timed_out",
        SendError::UnaskedUpgrade => "app_unasked_upgrade",
    }
}

impl Gateway {
    /// Tells a refusal to whoever asked: a page load is led to the login, a person gets a page, a script gets JSON.
    pub(crate) fn refuse(&self, exchange: &Exchange, reject: &Reject) -> Reply {
        self.note(exchange, reject);
        let mut reply = match reject {
            Reject::ToHttps(location) => redirect(StatusCode::PERMANENT_REDIRECT, location),
            Reject::NeedsLogin { .. } | Reject::NeedsFreshLogin => self.ask_for_login(exchange, reject),
            _ => self.tell(exchange, reject, None),
        };
        let headers = reply.response.headers_mut();
        match reject {
            Reject::MethodNotAllowed => {
                let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
                headers.insert(header::ALLOW, allowed);
            }
            Reject::StoreDown(_) | Reject::App(SendError::Busy) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        reply
    }

    fn ask_for_login(&self, exchange: &Exchange, reject: &Reject) -> Reply {
        let Some(authority) = exchange.authority() else {
            return self.tell(exchange, &Reject::BadHost, None);
        };
        let (why, lead) = match reject {
            Reject::NeedsLogin { why, lead } => (*why, *lead),
            _ => (None, true),
        };
        let fresh = matches!(reject, Reject::NeedsFreshLogin);
        // Only a page load can be taken up where it was; anything else begins anew at the front page.
        let target = if exchange.audience == Audience::Navigation { exchange.target() } else { "/" };
        let login = match fresh {
            true => self.shared.login.fresh_entrance(target, authority, exchange.now),
            false => self.shared.login.entrance(target, authority, why, exchange.now),
        };
        if exchange.audience == Audience::Navigation && lead {
            return redirect(StatusCode::SEE_OTHER, &login);
        }
        let mut reply = self.tell(exchange, reject, Some(&login));
        // Not `Basic`: a browser must not ask for a password by itself (RFC 9110 §11.6.1 wants a challenge).
        let challenge = HeaderValue::from_static("Login realm=\"session\"");
        reply.response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        reply
    }

    fn tell(&self, exchange: &Exchange, reject: &Reject, login: Option<&str>) -> Reply {
        let id = exchange.id.to_string();
        let status = reject.status();
        let mut view = ErrorView::new(status, &id);
        if let Some(text) = reject.text() {
            view = view.text(text);
        }
        if let Some(login) = login {
            view = view.sign_in(login);
        }
        Reply::own(match exchange.audience {
            Audience::Script => {
                let error =
                    ScriptError { error: reject.reason(), message: view.text, login, request_id: &id };
                pages::error_json(status, &error)
            }
            Audience::Navigation | Audience::Page => self.shared.login.pages().error(&view),
        })
    }

    fn note(&self, exchange: &Exchange, reject: &Reject) {
        self.metrics.refusal(reject.reason());
        let audit = &self.shared.audit;
        match reject {
            Reject::Forbidden => exchange.record(audit, &Event::AuthzFail { required: "a rule of the site" }),
            Reject::App(SendError::RequestBody(_)) => {}
            Reject::App(error) => {
                self.metrics.upstream_failure(app_reason(error));
                exchange.record(audit, &Event::UpstreamFailed { reason: &error.to_string() });
            }
            Reject::StoreDown(error) => {
                exchange.record(audit, &Event::StoreFailed { reason: &error.to_string() })
            }
            Reject::AmbiguousPath(why) => {
                exchange.record(audit, &Event::InputRejected { reason: why.reason() })
            }
            Reject::Refused(refusal) => {
                exchange.record(audit, &Event::InputRejected { reason: refusal.reason() })
            }
            Reject::BadHost
            | Reject::BadTarget
            | Reject::Loop
            | Reject::TooManyHeaders
            | Reject::UntrustedTerminator => {
                exchange.record(audit, &Event::InputRejected { reason: reject.reason() });
            }
            Reject::BadHandshake => {
                exchange.record(audit, &Event::UpstreamFailed { reason: "a wrong WebSocket handshake" });
            }
            Reject::ServiceWorker => {
                exchange.record(audit, &Event::AuthzFail { required: "service_workers: allow" });
            }
            Reject::CrossSite
            | Reject::FormBroken
            | Reject::FormTooLarge
            | Reject::MethodNotAllowed
            | Reject::Misdirected
            | Reject::NeedsFreshLogin
            | Reject::NeedsLogin { .. }
            | Reject::NotFound
            | Reject::PlainHttp
            | Reject::ToHttps(_) => {}
        }
    }
}

fn redirect(status: StatusCode, location: &str) -> Reply {
    let mut response = Response::new(bytes::Bytes::new());
    *response.status_mut() = status;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    } else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Reply { response: response.map(|_| ReplyBody::empty()), ..Reply::own(Response::new(bytes::Bytes::new())) }
}
