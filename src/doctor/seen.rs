//! What was seen: requests that were made, and their answers. Checks read this and nothing else.

use http::HeaderMap;
use http::HeaderName;
use http::Method;
use http::header::CONTENT_TYPE;
use url::Url;

use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::doctor::client::Answer;
use crate::doctor::client::Trouble;
use crate::doctor::cookie::SetCookie;
use crate::doctor::page::Page;
use crate::doctor::shown::shown_path;
use crate::doctor::shown::shown_url;
use crate::doctor::target::Target;

/// All that a passive look saw.
pub(crate) struct Seen {
    pub(crate) target: Target,
    /// When.
    pub(crate) now: Timestamp,
    /// The session cookie's name, if whoever asks knows it.
    pub(crate) named: Option<String>,
    /// The page that was named and where it led, without a cookie at the beginning.
    pub(crate) front: Vec<Visit>,
    /// The page that gave the session, as further strangers see it.
    pub(crate) again: Vec<Visit>,
    /// The same page with a made-up session.
    pub(crate) planted: Option<(String, Visit)>,
    /// The front page as scripts of these other origins ask for it.
    pub(crate) foreign: Vec<(&'static str, Visit)>,
    /// The page over plain HTTP.
    pub(crate) plain: Option<Result<Visit, Trouble>>,
    /// A page that is not there.
    pub(crate) missing: Option<Visit>,
    /// The page with the login, if it is not the front page.
    pub(crate) login: Vec<Visit>,
    /// What a login added: its answers and the private page.
    pub(crate) inside: Vec<Visit>,
    /// Values of the session's cookie that were collected for their own sake.
    pub(crate) samples: Vec<Secret<String>>,
    /// Whether TLS 1.1 is spoken, if that could be asked.
    pub(crate) old_tls: Option<bool>,
    /// Where the site sent a browser that was not followed.
    pub(crate) led_away: Vec<Url>,
    /// What went wrong on the way.
    pub(crate) troubles: Vec<String>,
}

/// A page that was asked for, and the answer.
pub(crate) struct Visit {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) answer: Answer,
    pub(crate) cookies: Vec<SetCookie>,
    /// Lines of `Set-Cookie`, also those that are not among `cookies`.
    pub(crate) cookie_lines: usize,
    pub(crate) page: Page,
}

impl Seen {
    /// Nothing yet.
    pub(crate) fn nothing(target: Target, named: Option<String>, now: Timestamp) -> Self {
        Self {
            target,
            now,
            named,
            front: Vec::new(),
            again: Vec::new(),
            planted: None,
            foreign: Vec::new(),
            plain: None,
            missing: None,
            login: Vec::new(),
            inside: Vec::new(),
            samples: Vec::new(),
            old_tls: None,
            led_away: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// All answers over the site's own scheme, in order.
    pub(crate) fn visits(&self) -> impl Iterator<Item = &Visit> {
        let planted = self.planted.iter().map(|(_, visit)| visit);
        let foreign = self.foreign.iter().map(|(_, visit)| visit);
        self.front
            .iter()
            .chain(&self.inside)
            .chain(&self.login)
            .chain(&self.again)
            .chain(planted)
            .chain(foreign)
            .chain(&self.missing)
    }

    /// The pages that people look at.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Visit> {
        self.front.iter().chain(&self.inside).chain(&self.login).filter(|visit| visit.is_page())
    }

    /// Why there is nothing to say of what `visits` came to; see [`elsewhere`].
    pub(crate) fn elsewhere(&self, visits: &[Visit]) -> Option<String> {
        elsewhere(&self.target, visits)
    }

    /// Why no page was seen, if none was.
    pub(crate) fn no_page(&self) -> Option<String> {
        let why = || self.elsewhere(&self.front).unwrap_or_else(|| "no page was seen".to_owned());
        self.pages().next().is_none().then(why)
    }

    /// Whether a cookie of this name is the session.
    pub(crate) fn is_session(&self, name: &str) -> bool {
        match &self.named {
            Some(named) => named == name,
            None => crate::doctor::cookie::looks_like_session(name),
        }
    }

    /// The first answer that gave a session, and the cookie.
    pub(crate) fn session(&self) -> Option<(&Visit, &SetCookie)> {
        // The one that a login gave before those of strangers.
        self.inside.iter().chain(&self.front).chain(&self.login).find_map(|visit| {
            let mut given = visit.cookies.iter();
            let cookie = given.find(|cookie| self.is_session(&cookie.name) && !cookie.is_deletion())?;
            Some((visit, cookie))
        })
    }

    /// The values that the session's cookie had for one stranger after the other.
    pub(crate) fn samples(&self) -> Vec<&str> {
        if !self.samples.is_empty() {
            return self.samples.iter().map(|value| value.expose().as_str()).collect();
        }
        let Some((_, cookie)) = self.session() else {
            return Vec::new();
        };
        let further = self.again.iter().filter_map(|visit| {
            let given = visit.cookies.iter().find(|other| other.name == cookie.name && !other.is_deletion());
            given.map(|cookie| cookie.value.expose().as_str())
        });
        std::iter::once(cookie.value.expose().as_str()).chain(further).collect()
    }
}

impl Visit {
    /// What an answer to a GET of `url` shows.
    pub(crate) fn new(url: Url, answer: Answer, now: Timestamp) -> Self {
        let (cookies, cookie_lines) = SetCookie::all(&answer.headers, now);
        let is_html = text(&answer.headers, &CONTENT_TYPE).to_ascii_lowercase().contains("html");
        let page = if is_html { Page::read(&answer.body) } else { Page::default() };
        Self { method: Method::GET, url, answer, cookies, cookie_lines, page }
    }

    /// Whether it is a page for people, and not a redirect or an error.
    pub(crate) fn is_page(&self) -> bool {
        let html = self.field(&CONTENT_TYPE).to_ascii_lowercase().contains("html");
        html && (200..300).contains(&self.answer.status)
    }

    /// Whether it was turned away for a while, or the site is broken: that tells nothing of what it does otherwise.
    pub(crate) fn is_turned_away(&self) -> bool {
        matches!(self.answer.status, 429 | 500..)
    }

    /// Where it leads, if it does.
    pub(crate) fn leads_to(&self) -> Option<Url> {
        let redirect = [301, 302, 303, 307, 308].contains(&self.answer.status);
        let location = self.answer.headers.get(http::header::LOCATION).filter(|_| redirect)?;
        self.url.join(&String::from_utf8_lossy(location.as_bytes())).ok()
    }

    /// A field's value; empty if it is absent.
    pub(crate) fn field(&self, name: &HeaderName) -> String {
        text(&self.answer.headers, name)
    }

    /// How this request is named in evidence.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.method, shown_path(&self.url))
    }
}

/// All values of a field, joined as RFC 9110 §5.3 allows.
fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
        .collect();
    lines.join(", ")
}

/// Why there is nothing to say of what `visits` came to, if they end in a redirect that was not followed.
pub(crate) fn elsewhere(target: &Target, visits: &[Visit]) -> Option<String> {
    let last = visits.last()?;
    let next = last.leads_to().filter(|next| !target.may_follow(&last.url, next))?;
    let given = if target.has_host_of(&next) { "scheme and port" } else { "host" };
    let (label, next) = (last.label(), shown_url(&next));
    Some(format!("{label} leads to {next}, and doctor looks only at the {given} it was given"))
}
