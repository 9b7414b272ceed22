//! The session as JSON, for apps that want to warn their users before it ends.

use http::StatusCode;
use serde::Serialize;

use crate::login::Login;
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
    pub(crate) fn session_status(visit: &Visit) -> Answer {
        if let Source::Foreign(_) = visit.source() {
            return foreign(visit);
        }
        status(visit)
    }

    /// The same after moving the idle clock, for a "stay signed in" button.
    pub(crate) fn extend_session(&self, visit: &Visit) -> Answer {
        match (visit.source(), &visit.presence) {
            (Source::Foreign(reason), _) => {
                self.tell(visit, &Event::MaliciousCsrf { reason, enforced: true });
                foreign(visit)
            }
            // A browser vouches for its own origin with every POST; whoever does not is no browser of today.
            (Source::Unknown, _) => foreign(visit),
            (Source::Own, Presence::Active(session)) => {
                self.sessions.touch(session, visit.now);
                status(visit)
            }
            (Source::Own, Presence::Anonymous | Presence::Ended(_)) => Self::fail_script(
                visit,
                StatusCode::UNAUTHORIZED,
                "login_required",
                "There is no session to extend. Sign in again.",
            ),
        }
    }
}

fn status(visit: &Visit) -> Answer {
    let (session, ended) = match &visit.presence {
        Presence::Active(session) => (Some(details(session, visit)), None),
        Presence::Ended(why) => (None, Some(why.as_str())),
        Presence::Anonymous => (None, None),
    };
    Answer::new(json(StatusCode::OK, &Status { authenticated: session.is_some(), session, ended }))
}

fn details<'a>(session: &'a Session, visit: &Visit) -> Details<'a> {
    let user = session.user();
    let times = session.times();
    let left = remaining(&times, &visit.lifetime, visit.now);
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
