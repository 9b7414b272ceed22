//! The gateway's own pages, below `/.vestibule/` on every host with a login. Nothing below it ever reaches an app.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::Method;
use http::header;
use http::request::Parts;
use http_body_util::BodyExt;
use http_body_util::LengthLimitError;
use http_body_util::Limited;
use hyper::body::Incoming;

use crate::access::path::CanonicalPath;
use crate::headers::harden;
use crate::headers::harden::CLEAR_SITE_DATA;
use crate::headers::harden::SiteData;
use crate::login;
use crate::login::Action;
use crate::login::Leftovers;
use crate::login::SessionCookie;
use crate::login::Visit;
use crate::pages::warning;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;
use crate::pipeline::reply::ReplyBody;
use crate::route::Desk;

/// The longest form we read.
const FORM_BYTES: usize = 16 * 1024;

/// How long a form may take to arrive.
const FORM_TIME: Duration = Duration::from_secs(10);

/// What is at a path of ours.
pub(crate) enum Place {
    /// A page, or what a page's scripts ask for.
    Page(Action),
    /// The script that warns of a session's end, which is nobody's.
    Script,
}

/// Our page at `path`: nothing if the path is an app's, an error if it is ours and there is no such page. `raw` is
/// the same path as it was written: ours have one spelling.
pub(crate) fn page(path: &CanonicalPath, raw: &str) -> Option<Result<Place, Reject>> {
    let path = path.as_str();
    let prefix = login::PREFIX.trim_end_matches('/');
    let (first, rest) = path.split_at_checked(prefix.len())?;
    // An app that ignores case must not be reached by another spelling of our prefix.
    if !first.eq_ignore_ascii_case(prefix) || !(rest.is_empty() || rest.starts_with('/')) {
        return None;
    }
    let named = || {
        let page = Action::of(rest.strip_prefix('/')?).map(Place::Page);
        page.or_else(|| (path == warning::SCRIPT).then_some(Place::Script))
    };
    Some((first == prefix && path == raw).then(named).flatten().ok_or(Reject::NotFound))
}

impl Gateway {
    /// Where people log in on the host of this exchange. A host without a login has no pages of ours.
    pub(crate) fn desk(&self, exchange: &mut Exchange) -> Result<Desk, Reject> {
        let host = &exchange.authority().ok_or(Reject::BadHost)?.host;
        let Some(desk) = self.routes.desk(host).cloned() else {
            return Err(if self.routes.knows(host) { Reject::NotFound } else { Reject::Misdirected });
        };
        exchange.site.clone_from(&desk.site);
        Ok(desk)
    }

    /// Answers a page of our own.
    pub(crate) async fn own_page(
        &self,
        exchange: &Exchange,
        desk: &Desk,
        action: Action,
        (head, body): (Parts, Incoming),
    ) -> Result<Reply, Reject> {
        let authority = exchange.authority().ok_or(Reject::BadHost)?;
        let form = if head.method == Method::POST { read(body, FORM_BYTES).await? } else { Bytes::new() };
        let ends = head.method == Method::POST && !desk.told.is_empty();
        let notices = if ends { self.notices(exchange, desk, &head.headers).await? } else { Vec::new() };
        let brought: HeaderMap = (head.headers.get_all(header::COOKIE).iter())
            .map(|line| (header::COOKIE, line.clone()))
            .collect();
        let user_agent = head.headers.get(header::USER_AGENT).cloned();
        let token = self.brought(exchange, &head.headers);
        let visit = Visit {
            now: exchange.now,
            client: exchange.client,
            lifetime: desk.lifetime,
            policy: desk.session,
            scheme: exchange.scheme,
            authority: authority.clone(),
            query: head.uri.query().map(str::to_owned),
            method: head.method,
            headers: head.headers,
            body: form,
            presence: exchange.presence.clone(),
            brought: token,
            request_id: exchange.id.to_string(),
            action,
            app: desk.app.clone(),
        };
        let answer = Box::pin(Arc::clone(&self.shared.login).visit(visit)).await;
        if let Some(outcome) = answer.outcome {
            self.shared.metrics.login(outcome.as_str());
        }
        if let Some(form) = answer.form {
            self.shared.metrics.form(form);
        }
        let mut response = answer.response.map(ReplyBody::full);
        harden::part_from_opener(response.headers_mut(), user_agent.as_ref());
        let leaves = matches!(answer.session, SessionCookie::Clear);
        if leaves && let Some(data) = SiteData::header(&desk.clear_at_logout) {
            response.headers_mut().insert(CLEAR_SITE_DATA, data);
        }
        if leaves {
            self.give_notice(exchange, notices).await;
        }
        let mut cookies = answer.cookies;
        let all = answer.leftovers == Leftovers::Anothers;
        if answer.leftovers != Leftovers::Theirs {
            cookies.extend(self.leftovers(&brought, |name| all || desk.takes_away(name)));
        }
        match answer.session {
            SessionCookie::Set(_) => cookies.extend(self.visitors_leftovers(&brought)),
            SessionCookie::Keep if all => self.empty_vault(exchange, desk).await,
            SessionCookie::Keep | SessionCookie::Clear => {}
        }
        Ok(Reply { response, session: answer.session, cookies, ..Reply::own(http::Response::default()) })
    }
}

/// A form of at most `most` bytes, whole.
pub(crate) async fn read(body: Incoming, most: usize) -> Result<Bytes, Reject> {
    match tokio::time::timeout(FORM_TIME, Limited::new(body, most).collect()).await {
        Ok(Ok(form)) => Ok(form.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Reject::FormTooLarge),
        Ok(Err(_)) | Err(_) => Err(Reject::FormBroken),
    }
}
