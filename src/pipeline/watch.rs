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
pub(crate) enum Watched<'a> {
    /// An attempt to log in.
    Attempt(&'a AppLogin),
    /// What may be one by its address.
    Address(&'a AppLogin),
    /// The login page, for a person who has yet to log in.
    Page(&'a AppLogin),
    /// The end of a session.
    Logout,
}

impl<'a> Watched<'a> {
    /// What is to be watched of this request; nothing of most, and nothing at all on most sites.
    pub(crate) fn of(
        exchange: &Exchange,
        site: &'a Site,
        path: &CanonicalPath,
        headers: &HeaderMap,
    ) -> Option<Self> {
        if let Some(app) = site.login.app() {
            if app.is_attempt(path, &exchange.method) {
                return Some(Self::Attempt(app));
            }
            let waits = exchange.session().is_none() && site.mode == Mode::Enforce;
            if waits && app.is_door(path, &exchange.method) {
                if Login::names_user(app, exchange.uri.query()) {
                    return Some(Self::Address(app));
                }
                let navigation = exchange.audience == Audience::Navigation;
                return (navigation && app.is_page(path)).then_some(Self::Page(app));
            }
        }
        let logout = site.logout.as_ref().filter(|logout| logout.is_at(path))?;
        let (_, authority) = (logout, exchange.authority()?);
        let leaves = csrf::is_logout(headers, &exchange.method, authority, exchange.scheme);
        (leaves && exchange.session().is_some()).then_some(Self::Logout)
    }
}

impl Gateway {
    /// Passes on what is watched.
    pub(crate) async fn watch(
        &self,
        exchange: &mut Exchange,
        (site, watched): (&Site, Watched<'_>),
        mut request: (Parts, Incoming),
        passage: Passage,
    ) -> Result<Reply, Reject> {
        match watched {
            Watched::Attempt(app) => self.watch_login(exchange, (site, app), request, passage).await,
            Watched::Address(app) => {
                self.count_address(exchange, (site, app), &request.0)?;
                if exchange.audience != Audience::Navigation {
                    return self.forward(exchange, site, (&mut request.0, request.1), passage).await;
                }
                self.watch_page(exchange, (site, app), request, passage).await
            }
            Watched::Page(app) => self.watch_page(exchange, (site, app), request, passage).await,
            Watched::Logout => self.watch_logout(exchange, site, request, passage).await,
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
        let written = headers.get(header::LOCATION)?;
        let outward = forward::outward(exchange, site, headers);
        let location = outward.as_ref().unwrap_or(written);
        Some(Landing::of(location, exchange.authority()?, exchange.scheme, exchange.uri.path()))
    }
}
