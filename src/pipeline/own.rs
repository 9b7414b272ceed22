//! The gateway's own pages, below `/.vestibule/` on every site with a login. Nothing below it ever reaches an app.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use http_body_util::BodyExt;
use http_body_util::LengthLimitError;
use http_body_util::Limited;
use hyper::body::Incoming;

use crate::access::path::CanonicalPath;
use crate::headers::cookies;
use crate::headers::harden::AppCookies;
use crate::login;
use crate::login::Action;
use crate::login::Answer;
use crate::login::SessionCookie;
use crate::login::Visit;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;
use crate::pipeline::reply::ReplyBody;
use crate::route::Site;
use crate::session::Session;

/// The longest form we read.
const FORM_BYTES: usize = 16 * 1024;

/// How long a form may take to arrive.
const FORM_TIME: Duration = Duration::from_secs(10);

/// Our page at `path`, nothing if the path is an app's; an error if it is ours and there is no such page. `raw` is the
/// same path as it was written: ours have one spelling.
pub(crate) fn page(path: &CanonicalPath, raw: &str) -> Result<Option<Action>, Reject> {
    let path = path.as_str();
    let prefix = login::PREFIX.trim_end_matches('/');
    let Some((first, rest)) = path.split_at_checked(prefix.len()) else { return Ok(None) };
    // An app that ignores case must not be reached by another spelling of our prefix.
    if !first.eq_ignore_ascii_case(prefix) || !(rest.is_empty() || rest.starts_with('/')) {
        return Ok(None);
    }
    let action =
        (first == prefix && path == raw).then_some(()).and_then(|()| Action::of(rest.strip_prefix('/')?));
    action.map(Some).ok_or(Reject::NotFound)
}

/// Whether a raw path asks for the session's state, which never counts as activity (LIFE-7).
pub(crate) fn is_status(path: &str) -> bool {
    path.strip_prefix(login::PREFIX) == Some("session")
}

impl Gateway {
    /// Answers a page of our own.
    pub(crate) async fn own_page(
        &self,
        exchange: &Exchange,
        site: &Site,
        action: Action,
        (head, body): (Parts, Incoming),
    ) -> Result<Reply, Reject> {
        if !site.login {
            return Err(Reject::NotFound);
        }
        let authority = exchange.authority().ok_or(Reject::BadHost)?;
        let form = if head.method == Method::POST { read(body).await? } else { Bytes::new() };
        let id = exchange.id.to_string();
        let visit = Visit {
            now: exchange.now,
            client: exchange.client,
            site,
            scheme: exchange.scheme,
            authority,
            method: &head.method,
            headers: &head.headers,
            query: head.uri.query(),
            body: &form,
            presence: &exchange.presence,
            request_id: &id,
            action,
        };
        let answer = Box::pin(self.shared.login.visit(visit)).await;
        if let Some(outcome) = answer.outcome {
            self.shared.metrics.login(outcome.as_str());
        }
        let parted = parts_with_user(exchange, &answer);
        let mut cookies = answer.cookies;
        if site.responses.cookies == AppCookies::Harden && parted {
            cookies.extend(cookies::expire_others(&head.headers, &self.shared.reserved_cookies));
        }
        Ok(Reply {
            response: answer.response.map(ReplyBody::full),
            session: answer.session,
            cookies,
            ..Reply::own(http::Response::default())
        })
    }
}

/// Whether after this answer the browser is nobody's, or somebody else's.
fn parts_with_user(exchange: &Exchange, answer: &Answer) -> bool {
    let other =
        |session: &Arc<Session>| answer.user.as_ref().is_some_and(|user| *user != session.user().name);
    match &answer.session {
        SessionCookie::Keep => false,
        SessionCookie::Clear => true,
        SessionCookie::Set(_) => exchange.session().is_some_and(other),
    }
}

async fn read(body: Incoming) -> Result<Bytes, Reject> {
    match tokio::time::timeout(FORM_TIME, Limited::new(body, FORM_BYTES).collect()).await {
        Ok(Ok(form)) => Ok(form.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Reject::FormTooLarge),
        Ok(Err(_)) | Err(_) => Err(Reject::FormBroken),
    }
}
