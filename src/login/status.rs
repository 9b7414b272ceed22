//! The session as JSON, for scripts that warn before it ends: the gateway's own in an app's pages, or an app's.

use http::StatusCode;
use serde::Serialize;

use crate::login::Login;
use crate::login::conversation::Action;
use crate::login::conversation::Answer;
use crate::login::conversation::Source;
use crate::login::conversation::Visit;
use crate::pages::json;
use crate::session::Presence;
use crate::session::Session;
use crate::session::lifetime::remaining;
use crate::telemetry::audit::Event;

#[derive(Serialize)]
struct Status<'a> {
    authenticated: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    session: Option<Details<'a>>,
    /// Why the last session ended, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<&'static str>,
    /// Where to sign in, or in again, beside the open page: it ends at one that leads back there.
    sign_in: String,
}

#[derive(Serialize)]
struct Details<'a> {
    user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    groups: &'a [Box<str>],
    /// RFC 3339.
    began: String,
    idle_seconds_left: u64,
    absolute_seconds_left: u64,
}

impl Login {
    /// Who is logged in and for how long yet. Looking is not being there: the idle clock does not move.
    pub(crate) async fn session_status(&self, visit: &Visit) -> Answer {
        if let Source::Foreign(_) = visit.source() {
            return foreign(visit);
        }
        self.status(visit).await
    }

    /// The same after moving the idle clock, for a "stay signed in" button.
    pub(crate) async fn extend_session(&self, visit: &Visit) -> Answer {
        match (visit.source(), &visit.presence) {
            (Source::Foreign(reason), _) => {
                self.tell(visit, &Event::MaliciousCsrf { reason, enforced: true });
                foreign(visit)
            }
            // A browser vouches for its own origin with every POST; whoever does not is no browser of today.
            (Source::Unknown, _) => foreign(visit),
            (Source::Own, Presence::Active(session)) => {
                self.sessions.touch(session, visit.now);
                self.status(visit).await
            }
            (Source::Own, Presence::Anonymous | Presence::Ended(_)) => Self::fail_script(
                visit,
                StatusCode::UNAUTHORIZED,
                "login_required",
                "There is no session to extend. Sign in again.",
            ),
        }
    }

    /// For whoever signed in beside an open page of the app.
    pub(crate) fn show_signed_in(&self, visit: &Visit) -> Answer {
        match &visit.presence {
            Presence::Active(session) => {
                Answer::new(self.pages.back(visit.host().as_str(), session.user().name.as_str()))
            }
            Presence::Ended(why) => self.to_login(visit, Some(*why)),
            Presence::Anonymous => self.to_login(visit, None),
        }
    }

    async fn status(&self, visit: &Visit) -> Answer {
        let (session, ended) = match &visit.presence {
            Presence::Active(session) => {
                // Nobody is to be warned of an end that a use on another gateway has put off. If the store cannot tell,
                // what is known here is at worst too soon.
                if let Err(error) = self.sessions.ask_last_seen(session).await {
                    self.store_failed(visit, &error);
                }
                (Some(details(session, visit)), None)
            }
            Presence::Ended(why) => (None, Some(why.as_str())),
            Presence::Anonymous => (None, None),
        };
        let sign_in = self.beside(visit);
        Answer::new(json(
            StatusCode::OK,
            &Status { authenticated: session.is_some(), session, ended, sign_in },
        ))
    }

    /// Where to sign in, or in again, in another tab.
    fn beside(&self, visit: &Visit) -> String {
        let (back, authority, now) = (Action::SignedIn.path(), &visit.authority, visit.now);
        match &visit.presence {
            Presence::Active(_) => self.fresh_entrance(back, authority, now),
            Presence::Ended(why) => self.entrance(back, authority, Some(*why), now),
            Presence::Anonymous => self.entrance(back, authority, None, now),
        }
    }
}

fn details<'a>(session: &'a Session, visit: &Visit) -> Details<'a> {
    let user = session.user();
    let times = session.times();
    // Both have a say: the limits may have been other ones at the login.
    let left = remaining(&times, &visit.lifetime.shorter(session.lifetime()), visit.now);
    Details {
        user: user.name.as_str(),
        email: user.email(),
        name: user.display_name(),
        groups: user.groups(),
        began: times.began.to_string(),
        idle_seconds_left: left.idle.as_secs(),
        absolute_seconds_left: left.absolute.as_secs(),
    }
}

fn foreign(visit: &Visit) -> Answer {
    Login::fail_script(
        visit,
        StatusCode::FORBIDDEN,
        "foreign_origin",
        "Only pages of this very site may ask.",
    )
}
