//! The app's own login and logout on their way through: what a site watches beside passing it on.
//!
//! An attempt to log in is counted before the app is asked, and begins a session when the app says yes. Somebody who has
//! yet to log in is not sent away from the login page for what an earlier session has left. The app's logout ends our
//! session too.

mod login;
mod logout;
mod page;

use http::HeaderMap;
use http::header;
use http::request::Parts;
use hyper::body::Incoming;

use crate::access::csrf;
use crate::access::path::CanonicalPath;
use crate::login::Login;
use crate::login::observed::Caller;
use crate::login::observed::Landing;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Audience;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::forward;
use crate::pipeline::gate::Passage;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;
use crate::route::AppLogin;
use crate::route::Mode;
use crate::route::Site;

/// What is watched of a request.
#[derive(Clone, Copy)]
pub(crate) struct Watched<'a> {
    /// The login that it may be an attempt at by another way than the form.
    byway: Option<&'a AppLogin>,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    /// An attempt to log in.
    Attempt(&'a AppLogin),
    /// The login page, for a person who has yet to log in.
    Page(&'a AppLogin),
    /// The end of a session.
    Logout,
    /// Nothing beside that.
    Nothing,
}

impl<'a> Watched<'a> {
    /// What is to be watched of this request, which may have no body; nothing of most, and nothing at all on most sites.
    pub(crate) fn of(
        exchange: &Exchange,
        (site, path): (&'a Site, &CanonicalPath),
        head: &Parts,
        is_bodiless: bool,
    ) -> Option<Self> {
        let byway = site.login.app().filter(|app| {
            app.is_byway(path, &head.method, exchange.session().is_some())
                && (!is_bodiless || Login::names_user(app, head.uri.query()))
        });
        let what = What::of(exchange, (site, path), head);
        (byway.is_some() || !matches!(what, What::Nothing))
            .then_some(Self { byway: byway.map(|app| &**app), what })
    }
}

impl<'a> What<'a> {
    fn of(exchange: &Exchange, (site, path): (&'a Site, &CanonicalPath), head: &Parts) -> Self {
        if let Some(app) = site.login.app() {
            if app.is_attempt(path, &head.method) {
                return Self::Attempt(app);
            }
            let waits = exchange.session().is_none() && site.mode == Mode::Enforce;
            let looks = exchange.audience == Audience::Navigation && app.is_page(path);
            if waits && app.is_door(path, &head.method) {
                return if looks { Self::Page(app) } else { Self::Nothing };
            }
        }
        let leaves = site.logout.as_ref().is_some_and(|logout| logout.is_at(path))
            && exchange.session().is_some()
            && exchange
                .authority()
                .is_some_and(|own| csrf::is_logout(&head.headers, &head.method, own, exchange.scheme));
        if leaves { Self::Logout } else { Self::Nothing }
    }
}

impl Gateway {
    /// Passes on what is watched.
    pub(crate) async fn watch(
        &self,
        exchange: &mut Exchange,
        (site, watched): (&Site, Watched<'_>),
        (mut head, body): (Parts, Incoming),
        passage: Passage,
    ) -> Result<Reply, Reject> {
        let Watched { byway, what } = watched;
        if matches!(what, What::Logout) {
            // Else it broke off with the session that it ends.
            exchange.outlives_session = true;
        }
        let mut body = self.upload(exchange, site, body).await.map_err(|error| Reject::App(error.into()))?;
        if let Some(app) = byway {
            let caller = self.caller(exchange, site, &head.headers)?;
            self.step((exchange, &caller), (site, app), &head, &mut body).await?;
        }
        match what {
            What::Attempt(app) => self.watch_login(exchange, (site, app), (head, body), passage).await,
            What::Page(app) => self.watch_page(exchange, (site, app), (head, body), passage).await,
            What::Logout => self.watch_logout(exchange, site, (head, body), passage).await,
            What::Nothing => self.pass_on(exchange, site, (&mut head, body), passage).await,
        }
    }

    /// Who makes this request.
    fn caller(&self, exchange: &Exchange, site: &Site, headers: &HeaderMap) -> Result<Caller, Reject> {
        Ok(Caller {
            now: exchange.now,
            client: exchange.client,
            authority: exchange.authority().ok_or(Reject::BadHost)?.clone(),
            lifetime: site.lifetime,
            method: exchange.method.clone(),
            target: exchange.target().to_owned(),
            headers: headers.clone(),
            presence: exchange.presence.clone(),
            brought: self.brought(exchange, headers),
            request_id: exchange.id.to_string(),
        })
    }

    /// Where an answer leads, if it is a redirect.
    fn landing(exchange: &Exchange, site: &Site, headers: &HeaderMap) -> Option<Landing> {
        let mut lines = headers.get_all(header::LOCATION).iter();
        let written = lines.next()?;
        if lines.next().is_some() {
            return Some(Landing::Unclear);
        }
        let outward = forward::outward(exchange, site, headers);
        let location = outward.as_ref().unwrap_or(written);
        Some(Landing::of(location, exchange.authority()?, exchange.scheme, exchange.uri.path()))
    }
}
