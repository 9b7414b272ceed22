//! One place to log in for all sites: a site sends the browser to the login's own host, and gets it back with a code.
//!
//! The site ties the request to the browser by a cookie of its own, and to itself by sealing its name into it; the
//! login's host seals both into the code. So a code is of no use on another host, in another browser, a second time, or
//! after a minute, whoever saw it on its way or had it planted (login CSRF, RFC 9700 §4.7). Nothing is kept of a visitor
//! who is not logged in.

use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::REFERRER_POLICY;

use crate::access::csrf;
use crate::crypto::Keys;
use crate::crypto::Sealer;
use crate::login::Login;
use crate::login::PREFIX;
use crate::login::conversation::Action;
use crate::login::conversation::Answer;
use crate::login::conversation::Leftovers;
use crate::login::conversation::Visit;
use crate::login::cookies::Pre;
use crate::login::form::Form;
use crate::login::target::Destination;
use crate::login::target::Reason;
use crate::login::target::Target;
use crate::login::way::Browser;
use crate::login::way::Origin;
use crate::login::way::Way;
use crate::net::Authority;
use crate::net::Host;
use crate::net::Scheme;
use crate::pages::see_other;
use crate::route::LoginHost;
use crate::session::Presence;
use crate::session::SameSite;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Why;
use crate::session::sessions::Begun;
use crate::session::sessions::Request;
use crate::session::token::Token;
use crate::telemetry::audit::Event;

/// A browser that comes back without its cookie so often keeps none: sending it round once more would go on for ever.
const TRIES: u8 = 2;

/// Seals and opens codes.
#[derive(Debug)]
pub(crate) struct Codes(Sealer);

/// What is in a code.
struct Code {
    token: Token,
    origin: Origin,
    target: Target,
}

impl Codes {
    /// With a key derived from the gateway's.
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(keys.sealer("hand-over code"))
    }

    fn seal(&self, token: &Token, way: &Way, host: &Host) -> String {
        let plain = format!("{} {}", token.encode().expose(), way.to_text());
        self.0.seal(plain.as_bytes(), host.as_str().as_bytes())
    }

    fn open(&self, sealed: &str, host: &Host) -> Option<Code> {
        let plain = self.0.open(sealed.as_bytes(), host.as_str().as_bytes())?;
        let (token, way) = std::str::from_utf8(&plain).ok()?.split_once(' ')?;
        let Way { target, site } = Way::parse(way)?;
        Some(Code { token: Token::parse(token.as_bytes())?, origin: site?, target })
    }
}

impl Login {
    /// The login's own host, for who is on another.
    pub(crate) fn elsewhere(&self, host: &Host) -> Option<&LoginHost> {
        self.host.as_ref().filter(|login| login.host != *host)
    }

    /// Whether this is the login's own host.
    pub(crate) fn is_own_host(&self, host: &Host) -> bool {
        self.host.as_ref().is_some_and(|login| login.host == *host)
    }

    /// The limits of sessions on the site somebody came from.
    pub(crate) fn limits_of(&self, way: &Way) -> Option<&Lifetime> {
        self.host.as_ref()?.sites.get(&way.site.as_ref()?.host)
    }

    /// The sites, as a browser reaches them from here.
    pub(crate) fn sites(&self, visit: &Visit) -> Vec<String> {
        let hosts = self.host.iter().flat_map(|login| login.sites.keys());
        hosts.map(|host| origin(visit, host)).collect()
    }

    /// Sends whoever would log in here, or change their password, to the login's own host.
    pub(crate) fn lead_away(&self, visit: &Visit, login: &LoginHost) -> Answer {
        if visit.action == Action::Password {
            let there = origin(visit, &login.host);
            return Answer::new(see_other(&format!("{there}{PREFIX}password")));
        }
        let query = visit.query.as_deref().and_then(|query| Form::parse(query.as_bytes()));
        let sealed = query.as_ref().and_then(|query| query.get("return_to"));
        let noted = sealed.and_then(|sealed| self.targets.open(sealed, visit.host(), visit.now));
        let destination = noted.unwrap_or_else(|| Destination::unknown(visit));
        match &visit.presence {
            Presence::Active(session) if !self.must_confirm(visit, session, &destination) => {
                Answer::new(see_other(destination.way.target.as_str()))
            }
            Presence::Active(_) | Presence::Anonymous | Presence::Ended(_) => {
                // Who signed out on another site could not be told to leave nothing of the app's here.
                let leftovers = match visit.presence {
                    Presence::Ended(Why::LoggedOut) => Leftovers::Nobodys,
                    Presence::Active(_) | Presence::Anonymous | Presence::Ended(_) => Leftovers::Theirs,
                };
                self.send_to(visit, login, destination, 0).leftovers(leftovers)
            }
        }
    }

    fn send_to(&self, visit: &Visit, login: &LoginHost, destination: Destination, tries: u8) -> Answer {
        let pre = Pre::of(&visit.headers);
        let site = Some(Origin { host: visit.host().clone(), browser: Browser::of(&pre), tries });
        let way = Way { site, ..destination.way };
        let sealed = self.targets.seal(&Destination { way, ..destination }, &login.host);
        let there = origin(visit, &login.host);
        Answer::new(see_other(&format!("{there}{PREFIX}login?return_to={sealed}"))).cookies(pre.to_set())
    }

    /// Sends somebody who is logged in back to the site they came from, with a code. Nothing if their session has just
    /// ended.
    pub(crate) async fn hand_over(&self, visit: &Visit, way: &Way, site: &Origin) -> Option<Answer> {
        let Presence::Active(session) = &visit.presence else { return None };
        if visit.method != Method::GET || !csrf::is_navigation(&visit.headers, &visit.method) {
            return Some(self.fail(visit, StatusCode::FORBIDDEN, None));
        }
        match self.sessions.hand_over(session, &site.host, visit.now).await {
            Ok(Some(token)) => {
                let code = self.codes.seal(&token, way, &site.host);
                let there = origin(visit, &site.host);
                Some(Answer::new(see_other(&format!("{there}{PREFIX}handover?code={code}"))))
            }
            Ok(None) => None,
            Err(error) => {
                self.store_failed(visit, &error);
                Some(self.fail(visit, StatusCode::SERVICE_UNAVAILABLE, None).retry_after(5))
            }
        }
    }

    /// Takes in whoever comes back with a code. One that is no good leads on all the same: into the site, where they are
    /// logged in already, else to the login once more.
    pub(crate) async fn take_in(&self, visit: &Visit) -> Answer {
        let Some(login) = self.elsewhere(visit.host()) else {
            return self.fail(visit, StatusCode::NOT_FOUND, None);
        };
        let mut answer = if csrf::is_navigation(&visit.headers, &visit.method) {
            self.redeem(visit, login).await
        } else {
            self.fail(visit, StatusCode::FORBIDDEN, None)
        };
        // The address has the code in it.
        answer.response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        answer
    }

    async fn redeem(&self, visit: &Visit, login: &LoginHost) -> Answer {
        let query = visit.query.as_deref().and_then(|query| Form::parse(query.as_bytes()));
        let sealed = query.as_ref().and_then(|query| query.get("code")).unwrap_or_default();
        let Some(code) = self.codes.open(sealed, visit.host()) else {
            return self.refuse_code(visit, login, (Target::home(), 0), "not_ours");
        };
        let way_on = (code.target.clone(), code.origin.tries);
        if let Presence::Active(session) = &visit.presence
            && session.tokens().waits(&code.token.hash(), visit.host(), visit.now)
        {
            // Another tab of the same login was quicker.
            return self.go_in(visit, &code.target);
        }
        if Browser::of(&Pre::of(&visit.headers)) != code.origin.browser {
            return self.refuse_code(visit, login, way_on, "another_browser");
        }
        let request = Request {
            host: visit.host(),
            lifetime: &visit.lifetime,
            policy: &visit.policy,
            client: visit.client,
            user_agent: visit.user_agent(),
            now: visit.now,
        };
        match self.sessions.collect(&code.token, &request).await {
            Ok(Some(begun)) => self.let_in(visit, begun, &code.target).await,
            Ok(None) => self.refuse_code(visit, login, way_on, "used_or_old"),
            Err(error) => {
                self.store_failed(visit, &error);
                self.fail(visit, StatusCode::SERVICE_UNAVAILABLE, None).retry_after(5)
            }
        }
    }

    async fn let_in(&self, visit: &Visit, begun: Begun, target: &Target) -> Answer {
        let Begun { token, session, resumed: _ } = begun;
        // This very session may have had a token here already, of which the browser came back for another.
        if let Presence::Active(old) = &visit.presence
            && old.id() != session.id()
            && let Err(error) = self.sessions.end(old, Why::Replaced).await
        {
            self.store_failed(visit, &error);
            return self.fail(visit, StatusCode::SERVICE_UNAVAILABLE, None).retry_after(5);
        }
        let (name, reference) = (&session.user().name, session.reference());
        self.tell_of(visit, Some(name.as_str()), Some(reference.as_str()), &Event::SessionHandedOver);
        self.tell_destroyed(visit, self.destroy_held(&visit.headers, name).await);
        self.admit(visit, name, token, self.go_in(visit, target))
    }

    fn go_in(&self, visit: &Visit, target: &Target) -> Answer {
        Answer::new(match self.same_site {
            SameSite::Lax => see_other(target.as_str()),
            // A redirect would still be the other host's doing, and come without the cookie: a page of this very site
            // has to lead on.
            SameSite::Strict => self.pages.onward(visit.host().as_str(), target.as_str()),
        })
    }

    fn refuse_code(
        &self,
        visit: &Visit,
        login: &LoginHost,
        (target, tries): (Target, u8),
        reason: &'static str,
    ) -> Answer {
        if let Presence::Active(_) = &visit.presence {
            return self.go_in(visit, &target);
        }
        self.tell(visit, &Event::HandoverRefused { reason });
        if tries >= TRIES {
            return self.fail(visit, StatusCode::FORBIDDEN, Some(NO_COOKIES));
        }
        let destination = Destination { way: Way::here(target), ..Destination::unknown(visit) };
        self.send_to(visit, login, destination, tries + 1)
    }
}

impl Destination {
    /// What is known of somebody who was not sent.
    pub(crate) fn unknown(visit: &Visit) -> Self {
        let reason = match &visit.presence {
            Presence::Ended(why) => Reason::Ended(*why),
            Presence::Active(_) | Presence::Anonymous => Reason::NoSession,
        };
        Self { way: Way::here(Target::home()), reason, issued: visit.now }
    }
}

/// The origin of `host` as this browser reaches it: all hosts are behind the same ports.
fn origin(visit: &Visit, host: &Host) -> String {
    Authority { host: host.clone(), port: visit.authority.port }.origin(Scheme::Https)
}

const NO_COOKIES: &str = "You are signed in, but your browser does not keep cookies for this site, or you were sent here by somebody else. Allow cookies for this site and sign in again.";
