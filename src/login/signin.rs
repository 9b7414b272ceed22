//! Signing in.

use http::StatusCode;

use crate::login::Login;
use crate::login::conversation::Answer;
use crate::login::conversation::Source;
use crate::login::conversation::Visit;
use crate::login::cookies::Pre;
use crate::login::form::Form;
use crate::login::form::Purpose;
use crate::login::form::Shown;
use crate::login::form::Standing;
use crate::login::prove::NoSession;
use crate::login::prove::Proven;
use crate::login::target::Destination;
use crate::login::target::Reason;
use crate::login::target::Target;
use crate::login::users::name_of;
use crate::login::words;
use crate::pages::LoginView;
use crate::pages::see_other;
use crate::session::Presence;
use crate::session::Session;
use crate::telemetry::audit::Event;

/// What the sign-in page is made of, beside what a single attempt adds.
#[derive(Debug)]
pub(crate) struct Screen {
    pre: Pre,
    destination: Destination,
    user: String,
}

/// What the page says about the last attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says<'a> {
    /// Why the page is there.
    Why,
    /// Something that is nobody's fault.
    Note(&'a str),
    /// What was wrong.
    Wrong(&'a str),
}

impl Login {
    /// The sign-in page; whoever is signed in already is sent on, so that the Back button and old tabs lead somewhere.
    pub(crate) fn show_login(&self, visit: &Visit) -> Answer {
        let query = visit
            .query
            .as_deref()
            .and_then(|query| Form::parse(query.as_bytes()))
            .unwrap_or_else(Form::empty);
        if query.has("password") {
            // A password in an address has been seen by too many eyes to be of use (ASVS 14.2.1).
            return self.wrong_method(visit);
        }
        let mut screen = self.screen(visit, query.get("return_to"), String::new());
        if let Presence::Active(session) = &visit.presence {
            if !must_confirm(session, &screen.destination) {
                return Answer::new(see_other(screen.destination.target.as_str()));
            }
            screen.user = session.user().name.to_string();
        }
        self.show(visit, &screen, StatusCode::OK, Says::Why)
    }

    /// An attempt to sign in.
    pub(crate) async fn log_in(&self, visit: &Visit) -> Answer {
        let form = match self.posted(visit) {
            Ok(form) => form,
            Err(refusal) => return *refusal,
        };
        let typed = name_of(form.get("username").unwrap_or_default());
        let screen = self.screen(visit, form.get("return_to"), typed);
        let token = form.get("form_token").unwrap_or_default();
        match self.tokens.check(token, &shown(visit, &screen.pre), visit.now) {
            Standing::Good => {}
            Standing::Old => return self.show(visit, &screen, StatusCode::OK, Says::Note(TOO_OLD)),
            Standing::Foreign => return self.unproven(visit, &screen),
        }
        let password = form.get("password").unwrap_or_default();
        if screen.user.is_empty() || password.is_empty() {
            return self.show(visit, &screen, StatusCode::OK, Says::Wrong(INCOMPLETE));
        }
        match self.prove(visit, &screen.user, password).await {
            Ok(proven) => self.welcome(visit, &screen, &proven).await,
            Err(failure) => {
                let text = failure.text(WRONG);
                failure.mark(self.show(visit, &screen, failure.status(), Says::Wrong(&text)))
            }
        }
    }

    /// The sign-in page with a sentence, for whoever was on their way elsewhere.
    pub(crate) fn sign_in_again(&self, visit: &Visit, note: &str) -> Answer {
        let screen = self.screen(visit, None, String::new());
        self.show(visit, &screen, StatusCode::OK, Says::Note(note))
    }

    /// Where a session that begins now leads, and the cookies that come with it.
    pub(crate) async fn enter(
        &self,
        visit: &Visit,
        proven: &Proven,
        target: &Target,
    ) -> Result<Answer, NoSession> {
        let account = &proven.account;
        let (token, session) = self.begin(visit, account).await?;
        let event = match proven.failures {
            0 => Event::LoginSuccess,
            failures => Event::LoginSuccessAfterFail { failures },
        };
        let name = &account.user.name;
        let reference = session.reference();
        self.tell_of(visit, Some(name.as_str()), Some(reference.as_str()), &event);
        // 303, so that no browser sends the password along (RFC 9700 §4.12).
        Ok(self.admit(visit, account, token, Answer::new(see_other(target.as_str()))))
    }

    async fn welcome(&self, visit: &Visit, screen: &Screen, proven: &Proven) -> Answer {
        let target = &screen.destination.target;
        if proven.account.must_change {
            return self.must_change(visit, &screen.pre, &proven.account, target);
        }
        match self.enter(visit, proven, target).await {
            Ok(answer) => answer,
            Err(NoSession::AccountChanged) => {
                self.show(visit, screen, StatusCode::FORBIDDEN, Says::Wrong(WRONG))
            }
            Err(NoSession::TooMany) => self.show(visit, screen, StatusCode::FORBIDDEN, Says::Wrong(TOO_MANY)),
            Err(NoSession::Unavailable) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                self.show(visit, screen, status, Says::Wrong(UNAVAILABLE)).retry_after(5)
            }
        }
    }

    /// A form without a token that fits this browser: nothing is believed, and the page is shown again.
    fn unproven(&self, visit: &Visit, screen: &Screen) -> Answer {
        if visit.source() == Source::Own {
            // Signing in in one tab uses up the forms in the others. Who is in already simply goes on.
            if let Presence::Active(session) = &visit.presence
                && session.user().name.as_str() == screen.user
                && !must_confirm(session, &screen.destination)
            {
                return Answer::new(see_other(screen.destination.target.as_str()));
            }
        } else {
            let reason = "no_token";
            self.tell(visit, &Event::MaliciousCsrf { reason, enforced: true });
        }
        self.show(visit, screen, StatusCode::FORBIDDEN, Says::Note(NO_TOKEN))
    }

    fn screen(&self, visit: &Visit, return_to: Option<&str>, user: String) -> Screen {
        let opened = return_to.and_then(|sealed| self.targets.open(sealed, visit.host(), visit.now));
        let destination = opened.unwrap_or_else(|| Destination {
            target: Target::home(),
            reason: match &visit.presence {
                Presence::Ended(why) => Reason::Ended(*why),
                Presence::Active(_) | Presence::Anonymous => Reason::NoSession,
            },
            issued: visit.now,
        });
        Screen { pre: Pre::of(&visit.headers), destination, user }
    }

    fn show(&self, visit: &Visit, screen: &Screen, status: StatusCode, says: Says<'_>) -> Answer {
        let signed_in = match &visit.presence {
            Presence::Active(session) => Some(session.user().name.as_str()),
            Presence::Anonymous | Presence::Ended(_) => None,
        };
        let why = words::because(screen.destination.reason, signed_in);
        let lifetime = &visit.lifetime;
        let page = self.pages.login(
            status,
            &LoginView {
                host: visit.host().as_str(),
                user: &screen.user,
                token: &self.tokens.issue(&shown(visit, &screen.pre), visit.now),
                return_to: &self.targets.seal(&screen.destination, visit.host()),
                idle: &words::duration(lifetime.idle()),
                absolute: &words::duration(lifetime.absolute()),
                notice: match says {
                    Says::Why => why.as_deref(),
                    Says::Note(note) => Some(note),
                    Says::Wrong(_) => None,
                },
                error: match says {
                    Says::Wrong(wrong) => Some(wrong),
                    Says::Why | Says::Note(_) => None,
                },
            },
        );
        Answer::new(page).cookies(screen.pre.to_set())
    }
}

/// Whether somebody who is signed in must show again that it is they: they were sent here for that, and have not signed
/// in since.
fn must_confirm(session: &Session, destination: &Destination) -> bool {
    destination.reason == Reason::Fresh && session.times().began < destination.issued
}

fn shown<'a>(visit: &'a Visit, pre: &Pre) -> Shown<'a> {
    Shown { holder: pre.value().to_owned(), purpose: Purpose::Login, host: visit.host() }
}

const WRONG: &str = "User name or password is wrong. Check both and try again.";
const INCOMPLETE: &str = "Enter your user name and your password.";
const TOO_OLD: &str =
    "This form was open for more than ten minutes, so here is a new one. Please sign in again.";
const NO_TOKEN: &str = "This form was used already, or your browser does not keep cookies for this site. Please sign in again; if you come back here, allow cookies.";
const TOO_MANY: &str = "Your password is right, but you are signed in on as many devices as you may. Sign out on one of them first.";
const UNAVAILABLE: &str = "Your password is right, but no session can begin just now. Try again in a moment.";
