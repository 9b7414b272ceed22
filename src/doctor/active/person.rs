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
use crate::doctor::active::recipe::Recipe;
use crate::doctor::active::recipe::Source;
use crate::doctor::client::Ask;
use crate::doctor::client::Client;
use crate::doctor::client::Trouble;
use crate::doctor::jar::Jar;
use crate::doctor::page::Form;
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
    is_foreign_script: bool,
}

/// What became of a login that another site's page made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignLogin {
    /// It was turned away for a while, with this status.
    Unclear(u16),
    /// Nobody is in.
    Refused,
    /// Its form got in.
    ByForm,
    /// Text that does not say it is JSON did.
    ByText,
    /// A script that the site lets in did, and browsers keep what it got.
    ByScript,
    /// Such a script did, but browsers keep no cookie of what it got.
    ByScriptInVain,
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
        Self { jar, ..Self::default() }
    }

    /// The same in another kind of browser.
    pub(crate) fn in_another_browser(&self) -> Self {
        Self { other_agent: true, ..self.clone() }
    }

    /// Makes a request and takes what the answer sets.
    async fn ask(&mut self, site: &mut Site, mut ask: Ask) -> Result<Visit, Trouble> {
        if let Some(cookies) = self.jar.field(&ask.url, site.now) {
            ask = ask.with(header::COOKIE, cookies);
        }
        if self.other_agent {
            ask = ask.with(header::USER_AGENT, HeaderValue::from_static(OTHER_AGENT));
        }
        let (method, url) = (ask.method.clone(), ask.url.clone());
        let visit = Visit { method, ..Visit::new(url, site.client.send(ask).await?, site.now) };
        if self.is_foreign_script {
            self.jar.take_from_elsewhere(&visit, site.now);
        } else {
            self.jar.take(&visit, site.now);
        }
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

    /// Opens the page that was named.
    pub(crate) async fn arrive(&mut self, site: &mut Site) -> Result<(), Trouble> {
        let url = site.target.url().clone();
        self.go(site, Ask::get(url)).await.map(drop)
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
        // Whoever is turned away for a while is neither in nor out.
        if visit.is_turned_away() {
            return Err(Trouble::NotNow(visit.answer.status));
        }
        Ok(((200..300).contains(&visit.answer.status) && shown, visit))
    }

    /// Whether the page that needs the login is shown.
    pub(crate) async fn is_in(&mut self, site: &mut Site, private: &Private) -> Result<bool, Trouble> {
        Ok(self.enter(site, private).await?.0)
    }

    /// Logs in by the site's own form.
    pub(crate) async fn log_in(&mut self, site: &mut Site, login: &Login) -> Result<Entry, Trouble> {
        let page = self.open(site, &login.page).await?.pop();
        let (action, base, mut fields) = form_of(site, login, page.as_ref())?;
        let mut ask = from(Ask::get(action), &base, Origin::Own);
        if let Some((value, place)) = page.as_ref().and_then(|page| self.token(login, page, site.now)) {
            match place {
                Place::Field(name) => fields.push((name.clone(), value)),
                Place::Header(name) => {
                    let value = HeaderValue::try_from(value).map_err(|_odd| Trouble::BadRequest)?;
                    ask = ask.with(name.clone(), value);
                }
            }
        }
        fields.extend(typed(login));
        let before = self.jar.clone();
        let answers = self.go(site, posting(ask, &fields, login.format)).await?;
        Ok(Entry { before, answers })
    }

    /// Logs in from a page of another site, as far as such a page can: it knows what the form says to everybody alike, and
    /// makes the requests that browsers let it make. The way that got in, if one did.
    pub(crate) async fn log_in_from_elsewhere(
        &mut self,
        site: &mut Site,
        recipe: &Recipe,
    ) -> Result<ForeignLogin, Trouble> {
        let login = &recipe.login;
        let (mut one, mut other) = (Self::default(), Self::default());
        let pages = (one.open(site, &login.page).await?.pop(), other.open(site, &login.page).await?.pop());
        let (action, base, mut fields) = form_of(site, login, pages.0.as_ref())?;
        // What is another for the next visitor is a token.
        let (.., others) = form_of(site, login, pages.1.as_ref())?;
        fields.retain(|field| others.contains(field));
        fields.extend(typed(login));
        let ask = || from(Ask::get(action.clone()), &base, Origin::Foreign);
        if login.format == Format::Form {
            let answers = self.go(site, posting(ask(), &fields, Format::Form)).await?;
            let is_in = self.is_in(site, &recipe.private).await?;
            return Ok(if is_in { ForeignLogin::ByForm } else { refused(&answers) });
        }
        // A form can send any text, though it cannot say that it is JSON.
        let written = posting(ask(), &fields, Format::Json);
        let plain = HeaderValue::from_static("text/plain");
        let as_text = Ask { headers: ask().headers, ..written.clone() }.with(header::CONTENT_TYPE, plain);
        let answers = self.go(site, as_text).await?;
        if self.is_in(site, &recipe.private).await? {
            return Ok(ForeignLogin::ByText);
        }
        // A script that does say so is let by the site itself, or not at all (Fetch, CORS-preflight).
        let asked = Ask { method: Method::OPTIONS, ..ask() }
            .with(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"))
            .with(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("content-type"));
        let preflight = Self::default().ask(site, asked).await?;
        let says = |name| preflight.field(&name).trim().to_ascii_lowercase();
        let lets = (200..300).contains(&preflight.answer.status)
            && says(header::ACCESS_CONTROL_ALLOW_ORIGIN) == ELSEWHERE
            && says(header::ACCESS_CONTROL_ALLOW_CREDENTIALS) == "true"
            && says(header::ACCESS_CONTROL_ALLOW_HEADERS).contains("content-type");
        if lets {
            let mut script = Self { is_foreign_script: true, ..Self::default() };
            let got = script.go(site, written).await?;
            for visit in &got {
                self.jar.take(visit, site.now);
            }
            if script.is_in(site, &recipe.private).await? {
                return Ok(ForeignLogin::ByScript);
            }
            if self.is_in(site, &recipe.private).await? {
                return Ok(ForeignLogin::ByScriptInVain);
            }
        }
        Ok(refused(&answers))
    }

    /// Logs out, likewise.
    pub(crate) async fn log_out(
        &mut self,
        site: &mut Site,
        logout: &Logout,
        origin: Origin,
    ) -> Result<Vec<Visit>, Trouble> {
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
        self.go(site, ask).await
    }

    /// Asks for an address as an image of somebody else's page would.
    pub(crate) async fn fetch(&mut self, site: &mut Site, path: &str) -> Result<(), Trouble> {
        let url = site.target.page(path).ok_or(Trouble::OtherHost)?;
        let mut ask = Ask::get(url);
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
            ("sec-fetch-dest", "image"),
            ("referer", ELSEWHERE),
        ] {
            ask = ask.with(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        self.ask(site, ask).await.map(drop)
    }

    /// Asks for the private page with a session in its address and nowhere else: in the query, and behind the path as
    /// servlets do.
    pub(crate) async fn enter_by_url(
        site: &mut Site,
        private: &Private,
        (name, value): (&str, &str),
    ) -> Result<bool, Trouble> {
        let url = site.target.page(&private.page).ok_or(Trouble::OtherHost)?;
        let mut in_query = url.clone();
        in_query.query_pairs_mut().append_pair(name, value);
        let mut behind = url.clone();
        behind.set_path(&format!("{};{}={value}", url.path(), name.to_ascii_lowercase()));
        for url in [in_query, behind] {
            let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
            let page = format!("{}{query}", url.path());
            let private = Private { page, shows: private.shows.clone() };
            if Self::default().is_in(site, &private).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn token<'a>(&self, login: &'a Login, page: &Visit, now: Timestamp) -> Option<(String, &'a Place)> {
        let token = login.token.as_ref()?;
        let value = match &token.from {
            Source::Cookie(name) => self.jar.get(name, &page.url, now)?.to_owned(),
            Source::Meta(name) => page.page.metas.iter().find(|(other, _)| other == name)?.1.clone(),
        };
        Some((value, &token.to))
    }
}

/// Where a login is sent, from which page, and the hidden fields of its form.
fn form_of(site: &Site, login: &Login, page: Option<&Visit>) -> Result<(Url, Url, Fields), Trouble> {
    let form = page.and_then(|page| page.page.login_form().or_else(|| page.page.forms.first()));
    let own = site.target.page(&login.page).ok_or(Trouble::OtherHost)?;
    let base = page.map_or_else(|| own.clone(), |page| page.url.clone());
    let action = match (&login.action, form) {
        (Some(action), _) => site.target.page(action),
        (None, Some(form)) => base.join(&form.action).ok(),
        (None, None) => Some(own.clone()),
    };
    // The password goes to no other port, and not from https to http.
    let action = action.filter(|action| action.origin() == own.origin());
    Ok((action.ok_or(Trouble::OtherHost)?, base, hidden(form)))
}

/// What answers say that let nobody in.
fn refused(answers: &[Visit]) -> ForeignLogin {
    match answers.iter().find(|answer| answer.is_turned_away()) {
        Some(answer) => ForeignLogin::Unclear(answer.answer.status),
        None => ForeignLogin::Refused,
    }
}

/// What somebody types who logs in.
fn typed(login: &Login) -> Fields {
    let (name, password) = &login.password;
    let password = (name.clone(), password.expose().clone());
    login.fields.iter().cloned().chain([password]).collect()
}

/// Names and values.
type Fields = Vec<(String, String)>;

fn hidden(form: Option<&Form>) -> Fields {
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
