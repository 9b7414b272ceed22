//! Signing out: GET asks, POST acts. The record on the server goes first, then the cookie.

use std::sync::Arc;

use http::StatusCode;

use crate::login::Login;
use crate::login::conversation::Answer;
use crate::login::conversation::Leftovers;
use crate::login::conversation::SessionCookie;
use crate::login::conversation::Source;
use crate::login::conversation::Visit;
use crate::login::form::Form;
use crate::login::form::Purpose;
use crate::login::form::Shown;
use crate::login::form::Standing;
use crate::login::words;
use crate::pages::see_other;
use crate::session::Presence;
use crate::session::Session;
use crate::session::lifetime::Why;
use crate::session::store::StoreError;
use crate::telemetry::audit::Event;

impl Login {
    /// Asks whoever is logged in; tells everybody else that they are signed out. Changes nothing, so that a prefetch or
    /// an `<img src=…/logout>` does no harm.
    pub(crate) fn ask_logout(&self, visit: &Visit) -> Answer {
        let host = visit.host().as_str();
        let text = match &visit.presence {
            Presence::Active(session) => {
                let token = self.tokens.issue(&shown(visit, session), visit.now);
                let page = self.pages.logout(host, session.user().name.as_str(), &token);
                return Answer::new(page);
            }
            Presence::Ended(why) => words::ended(*why),
            Presence::Anonymous => "This browser has no session here any more.",
        };
        Answer::new(self.pages.signed_out(host, text))
    }

    /// Ends the session. A plain form in the app's own page will do, where the browser vouches for its origin; else the
    /// token of our page must.
    pub(crate) async fn log_out(&self, visit: &Visit) -> Answer {
        let source = visit.source();
        if let Source::Foreign(reason) = source {
            self.tell(visit, &Event::MaliciousCsrf { reason, enforced: true });
            return self.fail(visit, StatusCode::FORBIDDEN, None);
        }
        let session = match &visit.presence {
            Presence::Active(session) => session,
            Presence::Ended(_) if source == Source::Own => {
                if let Err(error) = self.discard(visit).await {
                    self.store_failed(visit, &error);
                    return self.fail(visit, StatusCode::SERVICE_UNAVAILABLE, Some(NOT_ENDED));
                }
                return signed_out().session(SessionCookie::Clear).leftovers(Leftovers::Nobodys);
            }
            // Without a cookie there is nothing to delete: another site's form arrives without our cookie, and must not
            // make the browser throw it away.
            Presence::Ended(_) | Presence::Anonymous => return signed_out(),
        };
        if source == Source::Unknown && self.standing(visit, session) != Standing::Good {
            return self.ask_logout(visit);
        }
        self.leave(visit, session).await
    }

    /// Destroys what is locked of the session that this browser came with.
    async fn discard(&self, visit: &Visit) -> Result<(), StoreError> {
        match &visit.brought {
            Some(token) => self.sessions.discard(token, visit.host()).await,
            None => Ok(()),
        }
    }

    /// Ends the session that this browser came with, and takes from the browser what belongs to it.
    pub(crate) async fn leave(&self, visit: &Visit, session: &Arc<Session>) -> Answer {
        if let Err(error) = self.sessions.end(session, Why::LoggedOut).await {
            self.store_failed(visit, &error);
            return self.fail(visit, StatusCode::SERVICE_UNAVAILABLE, Some(NOT_ENDED));
        }
        self.tell(visit, &Event::SessionLogout);
        let name = session.user().name.clone();
        let emptied = self.devices.emptied(&visit.headers, &name);
        signed_out().session(SessionCookie::Clear).cookies(emptied).by(name).leftovers(Leftovers::Nobodys)
    }

    fn standing(&self, visit: &Visit, session: &Session) -> Standing {
        let form = Form::parse(&visit.body);
        let token = form.as_ref().and_then(|form| form.get("form_token"));
        self.tokens.check(token.unwrap_or_default(), &shown(visit, session), visit.now)
    }
}

/// To the page that GET shows, so that neither reloading it nor going back sends the form again.
fn signed_out() -> Answer {
    Answer::new(see_other("/.vestibule/logout"))
}

fn shown<'a>(visit: &'a Visit, session: &Session) -> Shown<'a> {
    Shown { holder: session.reference().to_string(), purpose: Purpose::Logout, host: visit.host() }
}

const NOT_ENDED: &str = "Your session could not be ended just now, so you are still signed in. Try again in a moment, and do not leave this device to others before.";
