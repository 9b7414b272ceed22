//! Signing in.

use http::StatusCode;

use crate::login::Login;
use crate::login::PREFIX;
use crate::login::conversation::Answer;
use crate::login::conversation::Outcome;
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
use crate::login::way::Way;
use crate::login::words;
use crate::pages::LoginView;
use crate::pages::see_other;
use crate::session::Presence;
use crate::session::Session;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Verdict;
use crate::session::lifetime::verdict;
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
    pub(crate) async fn show_login(&self, visit: &Visit) -> Answer {
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
            if !self.must_confirm(visit, session, &screen.destination)
                && let Some(answer) = self.go_on(visit, session, &screen.destination.way).await
            {
                return answer;
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
    pub(crate) async fn enter(&self, visit: &Visit, proven: &Proven, way: &Way) -> Result<Answer, NoSession> {
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
        let answer = Answer::new(see_other(&self.onward(visit, way)));
        Ok(self.admit(visit, name, token, answer).outcome(Outcome::Success))
    }

    async fn welcome(&self, visit: &Visit, screen: &Screen, proven: &Proven) -> Answer {
        let way = &screen.destination.way;
        if proven.account.must_change {
            return self.must_change(visit, &screen.pre, &proven.account, way);
        }
        match self.enter(visit, proven, way).await {
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
                && !self.must_confirm(visit, session, &screen.destination)
            {
                return Answer::new(see_other(&self.onward(visit, &screen.destination.way)));
            }
        } else {
            let reason = "no_token";
            self.tell(visit, &Event::MaliciousCsrf { reason, enforced: true });
        }
        self.show(visit, screen, StatusCode::FORBIDDEN, Says::Note(NO_TOKEN))
    }

    /// Whether somebody who is signed in must show again that it is they: they were sent here for that and have not
    /// signed in since, or the site they come from ends sessions sooner than others do, and this one would be over.
    pub(crate) fn must_confirm(&self, visit: &Visit, session: &Session, destination: &Destination) -> bool {
        let times = session.times();
        let over = |limits: &Lifetime| verdict(&times, limits, visit.now) != Verdict::Active;
        destination.reason == Reason::Fresh && times.began < destination.issued
            || self.limits_of(&destination.way).is_some_and(over)
            || destination.way.site.as_ref().is_some_and(|site| session.tokens().is_closed(&site.host))
    }

    /// Where whoever has just signed in goes: to the path they wanted, or once more here, to be handed over.
    fn onward(&self, visit: &Visit, way: &Way) -> String {
        if way.site.is_none() {
            return way.target.as_str().to_owned();
        }
        let destination = Destination { way: way.clone(), reason: Reason::NoSession, issued: visit.now };
        format!("{PREFIX}login?return_to={}", self.targets.seal(&destination, visit.host()))
    }

    /// The answer to somebody who is signed in and need not do so again; nothing if they no longer are.
    async fn go_on(&self, visit: &Visit, session: &Session, way: &Way) -> Option<Answer> {
        if let Some(site) = &way.site {
            return self.hand_over(visit, way, site).await;
        }
        if self.is_own_host(visit.host()) && way.target == Target::home() {
            let sites = self.sites(visit);
            let name = session.user().name.as_str();
            return Some(Answer::new(self.pages.signed_in(visit.host().as_str(), name, &sites)));
        }
        Some(Answer::new(see_other(way.target.as_str())))
    }

    fn screen(&self, visit: &Visit, return_to: Option<&str>, user: String) -> Screen {
        let opened = return_to.and_then(|sealed| self.targets.open(sealed, visit.host(), visit.now));
        let known = |way: &Way| way.site.is_none() || self.limits_of(way).is_some();
        let opened = opened.filter(|destination| known(&destination.way));
        let destination = opened.unwrap_or_else(|| Destination::unknown(visit));
        Screen { pre: Pre::of(&visit.headers), destination, user }
    }

    fn show(&self, visit: &Visit, screen: &Screen, status: StatusCode, says: Says<'_>) -> Answer {
        let signed_in = match &visit.presence {
            Presence::Active(session) => Some(session.user().name.as_str()),
            Presence::Anonymous | Presence::Ended(_) => None,
        };
        // Whoever is signed in and sees this page has to confirm it.
        let reason = if signed_in.is_some() { Reason::Fresh } else { screen.destination.reason };
        let why = words::because(reason, signed_in);
        let way = &screen.destination.way;
        let why = if way.target.holds_form() { Some(words::kept(why.as_deref())) } else { why };
        let lifetime = self.limits_of(way).unwrap_or(&visit.lifetime);
        let wanted = way.site.as_ref().map(|site| &site.host);
        let page = self.pages.login(
            status,
            &LoginView {
                host: wanted.unwrap_or_else(|| visit.host()).as_str(),
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
