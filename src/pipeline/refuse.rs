//! How a refusal is told: a page load is led to the login, a person gets a page, a script gets JSON.

use bytes::Bytes;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;

use crate::access::path::CanonicalPath;
use crate::pages;
use crate::pages::ErrorView;
use crate::pages::ScriptError;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Audience;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reject::Need;
use crate::pipeline::reject::Reject;
use crate::pipeline::reject::app_reason;
use crate::pipeline::reply::Reply;
use crate::telemetry::audit::Event;
use crate::telemetry::causes;
use crate::upstream::SendError;

/// When to ask again, where the cause is likely to pass.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// What may be used where a method may not (RFC 9110 §15.5.6).
pub(crate) const ALLOWED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// RFC 9110 §11.6.1 wants a challenge with every 401; not `Basic`, for which a browser would ask by itself.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Login realm=\"session\"");

impl Gateway {
    /// Tells a refusal to whoever asked, and to the logs.
    pub(crate) fn refuse(&self, exchange: &Exchange, reject: &Reject) -> Reply {
        self.note(exchange, reject);
        if let Reject::ToHttps(location) | Reject::ToSite(location) = reject {
            return redirect(reject.status(), location);
        }
        if let Reject::NeedsLogin(need) | Reject::FormLost(need, _) = reject {
            return self.ask_for_login(exchange, reject, *need);
        }
        let login = if let Reject::LoginDenied(denied) = reject { denied.login.as_deref() } else { None };
        let mut reply = self.tell(exchange, reject, login);
        let headers = reply.response.headers_mut();
        if matches!(reject, Reject::MethodNotAllowed) {
            headers.insert(header::ALLOW, ALLOWED);
        }
        if let Reject::LoginDenied(denied) = reject {
            self.shared.metrics.login(denied.outcome.as_str());
            denied.retry_after.map(|secs| headers.insert(header::RETRY_AFTER, secs.into()));
        }
        if matches!(reject, Reject::StoreDown(_) | Reject::App(SendError::Busy)) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        reply
    }

    fn ask_for_login(&self, exchange: &Exchange, reject: &Reject, need: Need) -> Reply {
        let Some(authority) = exchange.authority() else {
            return self.tell(exchange, &Reject::BadHost, None);
        };
        let navigation = exchange.audience == Audience::Navigation;
        // Only a page load can be taken up where it was; anything else begins anew at the front page. So does a logout that
        // came too late: it would undo the login.
        let target = if navigation && !logs_out(exchange) { exchange.target() } else { "/" };
        let (login, now) = (&self.shared.login, exchange.now);
        let (entrance, lead) = match need {
            Need::Login { why, lead } => (login.entrance(target, authority, why, now), lead),
            Need::FreshLogin => (login.fresh_entrance(target, authority, now), true),
        };
        if navigation && lead {
            return redirect(StatusCode::SEE_OTHER, &entrance);
        }
        let mut reply = self.tell(exchange, reject, Some(&entrance));
        reply.response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
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
            Audience::Navigation | Audience::Page => self.shared.login.pages().error(&view),
            Audience::Script => {
                let (error, message) = (reject.reason(), view.text);
                pages::error_json(status, &ScriptError { error, message, login, request_id: &id })
            }
        })
    }

    fn note(&self, exchange: &Exchange, reject: &Reject) {
        self.metrics.refusal(reject.reason());
        let audit = &self.shared.audit;
        match reject {
            Reject::App(error) if !matches!(error, SendError::RequestBody(_)) => {
                self.metrics.upstream_failure(app_reason(error));
                exchange.record(audit, &Event::UpstreamFailed { reason: &causes(error) });
            }
            Reject::BadHandshake => {
                exchange.record(audit, &Event::UpstreamFailed { reason: "a wrong WebSocket handshake" });
            }
            Reject::StoreDown(error) => {
                exchange.record(audit, &Event::StoreFailed { reason: &causes(error) });
            }
            Reject::LoginLeadsAway => {
                exchange.record(audit, &Event::UpstreamFailed { reason: "its login page leads away" });
            }
            Reject::Forbidden => exchange.record(audit, &Event::AuthzFail { required: "a rule of the site" }),
            Reject::ServiceWorker => {
                exchange.record(audit, &Event::AuthzFail { required: "service_workers: allow" });
            }
            Reject::AmbiguousPath(why) => reject_input(self, exchange, why.reason()),
            Reject::Refused(refusal) => reject_input(self, exchange, refusal.reason()),
            Reject::BadHost
            | Reject::BadTarget
            | Reject::Loop
            | Reject::TooManyHeaders
            | Reject::UntrustedTerminator => reject_input(self, exchange, reject.reason()),
            Reject::App(_)
            | Reject::CrossSite
            | Reject::Fault
            | Reject::FormBroken
            | Reject::FormLost(..)
            | Reject::FormTooLarge
            | Reject::LoginDenied(_)
            | Reject::MethodNotAllowed
            | Reject::Misdirected
            | Reject::NeedsLogin(_)
            | Reject::NotFound
            | Reject::PlainHttp
            | Reject::Resubmit
            | Reject::ToHttps(_)
            | Reject::ToSite(_) => {}
        }
    }
}

fn logs_out(exchange: &Exchange) -> bool {
    let logout = exchange.site.as_ref().and_then(|site| site.logout.as_ref());
    logout
        .is_some_and(|logout| CanonicalPath::parse(exchange.uri.path()).is_ok_and(|path| logout.is_at(&path)))
}

fn reject_input(gateway: &Gateway, exchange: &Exchange, reason: &str) {
    exchange.record(&gateway.shared.audit, &Event::InputRejected { reason });
}

/// A redirect. `location` is made of parts that are fit for a header, or the answer says no more than its status.
pub(crate) fn redirect(status: StatusCode, location: &str) -> Reply {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    match HeaderValue::try_from(location) {
        Ok(location) => drop(response.headers_mut().insert(header::LOCATION, location)),
        Err(_unfit) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Reply::own(response)
}
