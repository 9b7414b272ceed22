//! Refusals: every reason for which a request gets an answer of ours instead of the app's.

use http::StatusCode;

use crate::access::path::AmbiguousPath;
use crate::body::RequestBodyError;
use crate::login::held::fields::Unfit;
use crate::login::observed::Denied;
use crate::server::Refusal;
use crate::session::lifetime::Why;
use crate::session::store::StoreError;
use crate::upstream::BadAnswer;
use crate::upstream::SendError;

/// What is missing where somebody must log in first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A login; `why` the last one ended, if it is known, and whether page loads are to be led to the login page.
    Login { why: Option<Why>, lead: bool },
    /// A login of a moment ago: the session is too old for this rule.
    FreshLogin,
}

/// Why a request was not passed on, or got no answer from the app.
#[derive(Debug)]
pub(crate) enum Reject {
    AmbiguousPath(AmbiguousPath),
    App(SendError),
    BadHandshake,
    BadHost,
    BadTarget,
    CrossSite,
    /// A panic; the audit log was told where.
    Fault,
    Forbidden,
    FormBroken,
    /// It came without a login, and is not kept either.
    FormLost(Need, Unfit),
    FormTooLarge,
    /// The app's own login, of which nothing came.
    LoginDenied(Denied),
    /// The app's login page sends away whoever has yet to log in.
    LoginLeadsAway,
    Loop,
    MethodNotAllowed,
    Misdirected,
    NeedsLogin(Need),
    NotFound,
    PlainHttp,
    Refused(Refusal),
    Resubmit,
    ServiceWorker,
    StoreDown(StoreError),
    ToHttps(String),
    ToSite(String),
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
            Self::BadHandshake | Self::LoginLeadsAway => StatusCode::BAD_GATEWAY,
            Self::CrossSite | Self::Forbidden | Self::ServiceWorker => StatusCode::FORBIDDEN,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
            Self::FormTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LoginDenied(denied) => denied.status,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::FormLost(..) | Self::NeedsLogin(_) => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Resubmit => StatusCode::OK,
            Self::Refused(refusal) => refusal.status(),
            Self::StoreDown(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::ToHttps(_) => StatusCode::PERMANENT_REDIRECT,
            Self::ToSite(_) => StatusCode::SEE_OTHER,
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
            Self::Fault => "fault",
            Self::Forbidden => "forbidden",
            Self::FormBroken => "form_broken",
            Self::FormLost(..) => "form_lost",
            Self::FormTooLarge => "form_too_large",
            Self::LoginDenied(denied) => denied.reason,
            Self::LoginLeadsAway => "login_leads_away",
            Self::Loop => "loop",
            Self::MethodNotAllowed => "method",
            Self::Misdirected => "unknown_host",
            Self::NeedsLogin(Need::FreshLogin) => "fresh_login_required",
            Self::NeedsLogin(Need::Login { .. }) => "login_required",
            Self::NotFound => "not_found",
            Self::PlainHttp => "plain_http",
            Self::Refused(_) => "malformed",
            Self::Resubmit => "resubmit",
            Self::ServiceWorker => "service_worker",
            Self::StoreDown(_) => "store_down",
            Self::ToHttps(_) => "to_https",
            Self::ToSite(_) => "to_site",
            Self::TooManyHeaders => "too_many_headers",
            Self::UntrustedTerminator => "untrusted_terminator",
        }
    }

    /// What to tell a person, where the status does not say enough by itself.
    #[expect(clippy::wildcard_enum_match_arm, reason = "for all others the status says enough")]
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::FormLost(_, why) => Some(why.text()),
            Self::CrossSite => Some(
                "This request was started by another site, so it was not carried out. \
                 Open the page on this site and do it there.",
            ),
            Self::LoginDenied(denied) => Some(&denied.text),
            Self::LoginLeadsAway => Some(
                "The app's own login page leads to a place that asks for a login, so nobody can sign in. Tell whoever runs this site.",
            ),
            Self::NeedsLogin(Need::FreshLogin) => {
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
        SendError::BadAnswer(_)
        | SendError::Connect(_)
        | SendError::NoAnswer(_)
        | SendError::UnaskedUpgrade => StatusCode::BAD_GATEWAY,
        SendError::RequestBody(RequestBodyError::Broken) => StatusCode::BAD_REQUEST,
        SendError::RequestBody(RequestBodyError::SessionEnded) => StatusCode::UNAUTHORIZED,
        SendError::RequestBody(RequestBodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        SendError::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// One word for what went wrong with the app.
pub(crate) fn app_reason(error: &SendError) -> &'static str {
    match error {
        SendError::BadAnswer(BadAnswer::Framing) => "app_bad_framing",
        SendError::BadAnswer(BadAnswer::Malformed(_)) => "app_bad_answer",
        SendError::Busy => "app_busy",
        SendError::Connect(_) => "app_unreachable",
        SendError::NoAnswer(_) => "app_no_answer",
        SendError::RequestBody(RequestBodyError::Broken) => "body_broken",
        SendError::RequestBody(RequestBodyError::SessionEnded) => "session_ended",
        SendError::RequestBody(RequestBodyError::TooLarge) => "body_too_large",
        SendError::TimedOut { .. } => "app_timed_out",
        SendError::UnaskedUpgrade => "app_unasked_upgrade",
    }
}
