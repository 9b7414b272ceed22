//! One's own sessions: where one is signed in, and ending that.
//!
//! Nobody sees or ends another's: what a form names is looked for among the sessions of whoever sent it, so that
//! somebody else's is as unknown as one that never was (ASVS 8.2.2).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;

use crate::clock::Timestamp;
use crate::login::Login;
use crate::login::conversation::Answer;
use crate::login::conversation::Source;
use crate::login::conversation::Visit;
use crate::login::form::Purpose;
use crate::login::form::Shown;
use crate::login::form::Standing;
use crate::login::words;
use crate::net::Host;
use crate::pages::SessionRow;
use crate::pages::SessionsView;
use crate::pages::Time;
use crate::session::Presence;
use crate::session::Session;
use crate::session::lifetime::Why;
use crate::session::store::StoreError;
use crate::telemetry::audit::Event;

/// Whoever signed in less than this ago need not do so again to end a session of theirs (ASVS 7.5.2).
const FRESH: Duration = Duration::from_mins(5);

/// So many are shown at most, lest a page be as long as `max_per_user` allows.
const SHOWN: usize = 100;

/// Ends all but the one that asks.
const OTHERS: &str = "others";

/// What the page says about what was asked.
#[derive(Clone, Copy, Debug)]
enum Says<'a> {
    Nothing,
    Done(&'a str),
    Wrong(&'a str),
}

impl Login {
    /// The page; whoever is not signed in signs in first.
    pub(crate) async fn show_sessions(&self, visit: &Visit) -> Answer {
        match &visit.presence {
            Presence::Active(session) => self.list(visit, session, StatusCode::OK, Says::Nothing).await,
            Presence::Anonymous => self.to_login(visit, None),
            Presence::Ended(why) => self.to_login(visit, Some(*why)),
        }
    }

    /// Ends the one that is named, or all others.
    pub(crate) async fn end_sessions(&self, visit: &Visit) -> Answer {
        let form = match self.posted(visit) {
            Ok(form) => form,
            Err(refusal) => return *refusal,
        };
        let session = match &visit.presence {
            Presence::Active(session) => session,
            Presence::Anonymous => return self.to_login(visit, None),
            Presence::Ended(why) => return self.to_login(visit, Some(*why)),
        };
        let token = form.get("form_token").unwrap_or_default();
        match self.tokens.check(token, &shown(visit, session), visit.now) {
            Standing::Good => {}
            Standing::Old => return self.list(visit, session, StatusCode::OK, Says::Wrong(TOO_OLD)).await,
            Standing::Foreign => {
                if visit.source() != Source::Own {
                    let reason = "no_token";
                    self.tell(visit, &Event::MaliciousCsrf { reason, enforced: true });
                }
                return self.list(visit, session, StatusCode::FORBIDDEN, Says::Wrong(NO_TOKEN)).await;
            }
        }
        let wanted = form.get("end").unwrap_or_default();
        if wanted == session.reference().as_str() {
            return self.leave(visit, session).await;
        }
        if visit.now.since(session.times().began) >= FRESH {
            return self.to_fresh_login(visit);
        }
        match self.end_wanted(visit, session, wanted).await {
            Ok(Some(done)) => self.list(visit, session, StatusCode::OK, Says::Done(&done)).await,
            Ok(None) => self.list(visit, session, StatusCode::NOT_FOUND, Says::Wrong(NOT_THERE)).await,
            Err(error) => {
                self.store_failed(visit, &error);
                self.fail(visit, StatusCode::SERVICE_UNAVAILABLE, Some(NOT_ENDED))
            }
        }
    }

    /// What was ended, in words; nothing if there is no such session of the same user.
    async fn end_wanted(
        &self,
        visit: &Visit,
        own: &Session,
        wanted: &str,
    ) -> Result<Option<String>, StoreError> {
        let mut others = self.sessions.of_user(&own.user().name, visit.now).await?;
        others.retain(|other| other.id() != own.id());
        if wanted == OTHERS {
            let revoked = join_all(others.iter().map(|other| self.revoke(visit, other))).await;
            revoked.into_iter().collect::<Result<(), StoreError>>()?;
            self.sessions.end_others(own, Why::EndedElsewhere).await.map_err(|some_left| some_left.source)?;
            let ended = words::counted(others.len() as u64, "other session");
            return Ok(Some(format!("Done: {ended} ended.")));
        }
        let Some(other) = others.iter().find(|other| other.reference().as_str() == wanted) else {
            return Ok(None);
        };
        self.revoke(visit, other).await?;
        Ok(Some(format!("Done: {} is signed out.", other.record().family())))
    }

    async fn revoke(&self, visit: &Visit, other: &Arc<Session>) -> Result<(), StoreError> {
        self.sessions.end(other, Why::EndedElsewhere).await?;
        let target = other.reference();
        self.tell(visit, &Event::SessionRevoked { target: target.as_str() });
        Ok(())
    }

    async fn list(&self, visit: &Visit, own: &Arc<Session>, status: StatusCode, says: Says<'_>) -> Answer {
        let mut sessions = match self.sessions.of_user(&own.user().name, visit.now).await {
            Ok(sessions) => sessions,
            Err(error) => {
                self.store_failed(visit, &error);
                return self.fail(visit, StatusCode::SERVICE_UNAVAILABLE, Some(NOT_LISTED));
            }
        };
        sessions.retain(|other| other.id() != own.id());
        let others: Vec<_> = sessions.iter().take(SHOWN).map(|session| row(session, visit.now)).collect();
        let page = self.pages.sessions(
            status,
            &SessionsView {
                host: visit.host().as_str(),
                user: own.user().name.as_str(),
                token: &self.tokens.issue(&shown(visit, own), visit.now),
                own: &row(own, visit.now),
                others: &others,
                more: sessions.len() - others.len(),
                own_password: visit.app.is_none(),
                asks_again: visit.now.since(own.times().began) >= FRESH,
                notice: match says {
                    Says::Done(done) => Some(done),
                    Says::Nothing | Says::Wrong(_) => None,
                },
                error: match says {
                    Says::Wrong(wrong) => Some(wrong),
                    Says::Nothing | Says::Done(_) => None,
                },
            },
        );
        Answer::new(page)
    }
}

fn row(session: &Session, now: Timestamp) -> SessionRow {
    let times = session.times();
    let tokens = session.tokens();
    let hosts: Vec<_> = tokens.good_on().into_iter().map(Host::as_str).collect();
    SessionRow {
        id: session.reference().to_string(),
        client: session.record().family().to_string(),
        address: session.client().0.to_string(),
        hosts: hosts.join(", "),
        began: Time { text: words::moment(times.began), machine: times.began.to_string() },
        last_used: Time { text: words::ago(times.last_seen, now), machine: times.last_seen.to_string() },
    }
}

fn shown<'a>(visit: &'a Visit, session: &Session) -> Shown<'a> {
    Shown { holder: session.reference().to_string(), purpose: Purpose::Sessions, host: visit.host() }
}

const TOO_OLD: &str =
    "This page was open for more than ten minutes, so here is a new one. Nothing was ended yet.";
const NO_TOKEN: &str = "This page was used already. Nothing was ended yet.";
const NOT_THERE: &str = "That session is not among yours: it may have ended by itself. Nothing was ended.";
const NOT_LISTED: &str = "Your sessions cannot be listed just now. Try again in a moment.";
const NOT_ENDED: &str =
    "Not all that you asked for could be ended just now. Look at your sessions again in a moment.";
