//! One browser of the active look: its cookies, and what it does at the site.

use bytes::Bytes;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::header;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::clock::Timestamp;
use crate::doctor::active::recipe;
use crate::doctor::active::recipe::Format;
use crate::doctor::active::recipe::Login;
use crate::doctor::active::recipe::Logout;
use crate::doctor::active::recipe::Place;
use crate::doctor::active::recipe::Private;
use crate::doctor::active::recipe::Source;
use crate::doctor::client::Ask;
use crate::doctor::client::Client;
use crate::doctor::client::Trouble;
use crate::doctor::page::Form;
use crate::doctor::seen::Jar;
use crate::doctor::seen::Visit;
use crate::doctor::target::Target;

/// So many redirects are followed.
const MOST_REDIRECTS: usize = 4;

/// A site that is nobody's (RFC 6761 §6.4).
const ELSEWHERE: &str = "https://vestibule-doctor.invalid";

/// Another kind of browser than the one that logged in.
const OTHER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Where a request was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// On a page of the site, with the tokens that page has.
    Own,
    /// On a page of another site, which knows no tokens.
    Foreign,
}

/// The site, and how to talk to it.
pub(crate) struct Site {
    pub(crate) client: Client,
    pub(crate) target: Target,
    pub(crate) now: Timestamp,
}

/// One browser.
#[derive(Clone, Default)]
pub(crate) struct Person {
    pub(crate) jar: Jar,
    other_agent: bool,
}

/// A login, as far as it went.
pub(crate) struct Entry {
    /// The cookies before anything was typed.
    pub(crate) before: Jar,
    /// Every answer, from the one to the form on.
    pub(crate) answers: Vec<Visit>,
}

impl Person {
    /// One with these cookies.
    pub(crate) fn with(jar: Jar) -> Self {
        Self { jar, other_agent: false }
    }

    /// The same in another kind of browser.
    pub(crate) fn in_another_browser(&self) -> Self {
        Self { jar: self.jar.clone(), other_agent: true }
    }

    /// Makes a request and takes what the answer sets.
    async fn ask(&mut self, site: &mut Site, mut ask: Ask) -> Result<Visit, Trouble> {
        if let Some(cookies) = self.jar.field() {
            ask = ask.with(header::COOKIE, cookies);
        }
        if self.other_agent {
            ask = ask.with(header::USER_AGENT, HeaderValue::from_static(OTHER_AGENT));
        }
        let (method, url) = (ask.method.clone(), ask.url.clone());
        let visit = Visit { method, ..Visit::new(url, site.client.send(ask).await?, site.now) };
        self.jar.take(&visit);
        Ok(visit)
    }

    /// Makes a request and goes where the answer leads; what leads off the site is not followed.
    async fn go(&mut self, site: &mut Site, ask: Ask) -> Result<Vec<Visit>, Trouble> {
        let mut visits = vec![self.ask(site, ask).await?];
        for _ in 0..MOST_REDIRECTS {
            let last = visits.last().and_then(|last| Some((last.url.clone(), last.leads_to()?)));
            let Some((from, next)) = last else { break };
            if !site.target.may_follow(&from, &next) {
                break;
            }
            visits.push(self.ask(site, Ask::get(next)).await?);
        }
        Ok(visits)
    }

    /// Opens a page of the site.
    pub(crate) async fn open(&mut self, site: &mut Site, path: &str) -> Result<Vec<Visit>, Trouble> {
        let url = site.target.page(path).ok_or(Trouble::OtherHost)?;
        self.go(site, Ask::get(url)).await
    }

    /// The page that needs the login, and whether it was shown.
    pub(crate) async fn enter(
        &mut self,
        site: &mut Site,
        private: &Private,
    ) -> Result<(bool, Visit), Trouble> {
        let url = site.target.page(&private.page).ok_or(Trouble::OtherHost)?;
        let visit = self.ask(site, Ask::get(url)).await?;
        let shown = private
            .shows
            .as_ref()
            .is_none_or(|shows| memchr::memmem::find(&visit.answer.body, shows.as_bytes()).is_some());
        match visit.answer.status {
            // Whoever is sent away for a while is neither in nor out.
            429 | 500.. => Err(Trouble::NotNow(visit.answer.status)),
            status => Ok(((200..300).contains(&status) && shown, visit)),
        }
    }

    /// Whether the page that needs the login is shown.
    pub(crate) async fn is_in(&mut self, site: &mut Site, private: &Private) -> Result<bool, Trouble> {
        Ok(self.enter(site, private).await?.0)
    }

    /// Logs in, from the site's own form or from a page of somebody else's.
    pub(crate) async fn log_in(
        &mut self,
        site: &mut Site,
        login: &Login,
        origin: Origin,
    ) -> Result<Entry, Trouble> {
        let page = match origin {
            Origin::Own => self.open(site, &login.page).await?.pop(),
            Origin::Foreign => None,
        };
        let form = page.as_ref().and_then(|page| page.page.login_form().or_else(|| page.page.forms.first()));
        let own = site.target.page(&login.page).ok_or(Trouble::OtherHost)?;
        let base = page.as_ref().map_or(&own, |page| &page.url);
        let action = match (&login.action, form) {
            (Some(action), _) => site.target.page(action),
            (None, Some(form)) => base.join(&form.action).ok(),
            (None, None) => Some(own.clone()),
        };
        // The password goes to no other port, and not from https to http.
        let action = action.filter(|action| action.origin() == own.origin());
        let mut fields = hidden(form);
        let mut ask = from(Ask::get(action.ok_or(Trouble::OtherHost)?), base, origin);
        if let Some((value, place)) = page.as_ref().and_then(|page| self.token(login, page)) {
            match place {
                Place::Field(name) => fields.push((name.clone(), value)),
                Place::Header(name) => {
                    let value = HeaderValue::try_from(value).map_err(|_odd| Trouble::BadRequest)?;
                    ask = ask.with(name.clone(), value);
                }
            }
        }
        fields.extend(login.fields.iter().cloned());
        let (name, password) = &login.password;
        fields.push((name.clone(), password.expose().clone()));
        let before = self.jar.clone();
        let answers = self.go(site, posting(ask, &fields, login.format)).await?;
        Ok(Entry { before, answers })
    }

    /// Logs out, likewise.
    pub(crate) async fn log_out(
        &mut self,
        site: &mut Site,
        logout: &Logout,
        origin: Origin,
    ) -> Result<(), Trouble> {
        let action = site.target.page(&logout.action).ok_or(Trouble::OtherHost)?;
        let page = match (&logout.page, origin) {
            (Some(page), Origin::Own) => self.open(site, page).await?.pop(),
            (Some(_), Origin::Foreign) | (None, _) => None,
        };
        let leads_there =
            |page: &Visit, form: &Form| page.url.join(&form.action).is_ok_and(|url| url == action);
        let form = page.as_ref().and_then(|page| page.page.forms.iter().find(|form| leads_there(page, form)));
        let base = page.as_ref().map_or(&action, |page| &page.url);
        let ask = from(Ask::get(action.clone()), base, origin);
        let ask = match logout.method {
            recipe::Method::Get => ask,
            recipe::Method::Post => posting(ask, &hidden(form), Format::Form),
        };
        self.go(site, ask).await.map(drop)
    }

    /// Asks for an address as an image of somebody else's page would.
    pub(crate) async fn fetch(&mut self, site: &mut Site, path: &str) -> Result<(), Trouble> {
        let url = site.target.page(path).ok_or(Trouble::OtherHost)?;
        self.ask(site, Ask::get(url)).await.map(drop)
    }

    /// Asks for the private page with a session in its address and nowhere else.
    pub(crate) async fn enter_by_url(
        site: &mut Site,
        private: &Private,
        session: (&str, &str),
    ) -> Result<bool, Trouble> {
        let url = site.target.page(&private.page).ok_or(Trouble::OtherHost)?;
        let mut with = url;
        with.query_pairs_mut().append_pair(session.0, session.1);
        let page = format!("{}?{}", with.path(), with.query().unwrap_or_default());
        let private = Private { page, shows: private.shows.clone() };
        Self::default().is_in(site, &private).await
    }

    fn token<'a>(&self, login: &'a Login, page: &Visit) -> Option<(String, &'a Place)> {
        let token = login.token.as_ref()?;
        let value = match &token.from {
            Source::Cookie(name) => self.jar.get(name)?.to_owned(),
            Source::Meta(name) => page.page.metas.iter().find(|(other, _)| other == name)?.1.clone(),
        };
        Some((value, &token.to))
    }
}

fn hidden(form: Option<&Form>) -> Vec<(String, String)> {
    form.map(|form| form.hidden.clone()).unwrap_or_default()
}

/// The request as a browser makes it on a page at `base`, or on one of another site.
fn from(ask: Ask, base: &Url, origin: Origin) -> Ask {
    let own = base.origin().ascii_serialization();
    let (origin, site) = match origin {
        Origin::Own => (own.as_str(), "same-origin"),
        Origin::Foreign => (ELSEWHERE, "cross-site"),
    };
    let mut ask = ask.with(HeaderName::from_static("sec-fetch-site"), HeaderValue::from_static(site));
    let fields = [(header::ORIGIN, origin.to_owned()), (header::REFERER, format!("{origin}/"))];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::try_from(value) {
            ask = ask.with(name, value);
        }
    }
    ask
}

fn posting(ask: Ask, fields: &[(String, String)], format: Format) -> Ask {
    let (kind, body) = match format {
        Format::Form => {
            let mut form = Serializer::new(String::new());
            form.extend_pairs(fields);
            ("application/x-www-form-urlencoded", form.finish())
        }
        Format::Json => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), Value::from(value.clone())));
            ("application/json", Value::Object(fields.collect()).to_string())
        }
    };
    let ask = ask.with(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ask { method: Method::POST, body: Bytes::from(body), ..ask }
}
