//! The app's own cookies, where they are kept for the browser: out of the vault into the request, out of the answer into
//! the vault. What the browser sends under a name that it cannot have from us goes no further (COOKIE-19).
//!
//! Whoever is logged in has them in the session. Whoever is not has them sealed in a cookie of ours ([`visitor`]), and
//! nothing of them is left on the server.

mod news;
pub(crate) mod visitor;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::header::COOKIE;
use http::header::Entry;
use http::header::SET_COOKIE;

use crate::headers::app_cookies::AppCookies;
use crate::headers::app_cookies::Keeping;
use crate::headers::cookies;
use crate::headers::harden;
use crate::headers::harden::is_token_for_scripts;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::kept::visitor::Visitors;
use crate::pipeline::reject::Reject;
use crate::route::Desk;
use crate::route::Site;
use crate::session::Session;
use crate::session::store::StoreError;
use crate::session::vault::open::Change;
use crate::session::vault::open::Open;
use crate::telemetry::audit::Event;
use crate::telemetry::causes;
use crate::vault::Cookie;
use crate::vault::Jar;
use crate::vault::Place;
use crate::vault::Refused;
use crate::vault::Stored;
use crate::vault::cookie_name;

/// The names of our cookies that go with the vaults of these sites: never passed to an app, never taken from one.
pub fn reserved_cookies(sites: &[Option<VaultSite>]) -> impl Iterator<Item = &'static str> {
    std::iter::once(news::COOKIE).chain(sites.iter().flatten().map(|site| site.cookie))
}

/// A site whose cookies are kept for the browser.
#[derive(Debug)]
pub struct VaultSite {
    /// What sessions know it by.
    pub name: Arc<str>,
    /// The cookie of ours that holds the app's for who is not logged in.
    pub cookie: &'static str,
}

/// Where the cookies of one request are kept.
pub(crate) struct Kept<'a> {
    id: usize,
    site: &'a VaultSite,
    policy: &'a AppCookies,
    place: Place<'a>,
    keeper: Keeper,
    /// What a session that has just begun takes over.
    taken_over: Option<TakenOver>,
}

/// What moves into the vault of a session that begins at the app's own login.
struct TakenOver {
    cookies: Vec<Change>,
    /// Only if the answer sets nothing.
    unless_set: bool,
}

enum Keeper {
    Session(Arc<Session>, Arc<Open>),
    Visitor { jar: Box<Jar>, had_one: bool },
}

impl Gateway {
    /// Where the app's cookies are kept for this request; nothing if its browser keeps them. A vault that cannot be opened
    /// is an error: the app must not take somebody for a stranger because something failed.
    pub(crate) async fn kept<'a>(
        &'a self,
        exchange: &'a Exchange,
        policy: &'a AppCookies,
        (site, headers, path): (&Site, &HeaderMap, &'a str),
    ) -> Result<Option<Kept<'a>>, Reject> {
        let Some(vault) = self.shared.vaults.get(site.id).and_then(Option::as_ref) else { return Ok(None) };
        let host = &exchange.authority().ok_or(Reject::BadHost)?.host;
        let from = headers.get("sec-fetch-site");
        let cross_site = from.is_some_and(|from| from.as_bytes() == b"cross-site");
        let place = Place { host, path, cross_site };
        let keeper = if let (Some(session), Some(known)) = (exchange.session(), &exchange.known) {
            self.hear_news(session, headers).await;
            let closed = || Reject::StoreDown(StoreError::new("the session's vault is closed"));
            Keeper::Session(Arc::clone(session), known.vault.clone().ok_or_else(closed)?)
        } else {
            let oldest = exchange.now.before(site.lifetime.absolute());
            let jar = self.shared.visitors.find(headers, vault, host, oldest);
            Keeper::Visitor { had_one: jar.is_some(), jar: Box::new(jar.unwrap_or_default()) }
        };
        Ok(Some(Kept { id: site.id, site: vault, policy, place, keeper, taken_over: None }))
    }

    /// Takes out of an answer what is kept, and gives back what the browser is to keep for us.
    pub(crate) async fn take_out(
        &self,
        exchange: &Exchange,
        kept: Option<Kept<'_>>,
        headers: &mut HeaderMap,
    ) -> Vec<HeaderValue> {
        let Some(mut kept) = kept else { return Vec::new() };
        let mut changes = self.changes(exchange, &kept, headers);
        if let Some(TakenOver { cookies, unless_set }) = kept.taken_over.take()
            && (changes.is_empty() || !unless_set)
        {
            changes.splice(..0, cookies);
        }
        if changes.is_empty() {
            return Vec::new();
        }
        match &mut kept.keeper {
            Keeper::Session(session, open) => {
                let site = (&kept.site.name, changes);
                let sessions = &self.shared.sessions;
                let (applied, told) = Box::pin(sessions.keep(session, open, site, exchange.now)).await;
                for (name, refused) in &applied.refused {
                    self.note_dropped(exchange, name, *refused);
                }
                self.note_evicted(exchange, applied.evicted);
                if let Err(error) = told {
                    let reason = causes(&error);
                    exchange.record(&self.shared.audit, &Event::StoreFailed { reason: &reason });
                }
                self.news(session).filter(|_| applied.number.is_some()).into_iter().collect()
            }
            Keeper::Visitor { jar, had_one } => {
                let mut all = Stored::default();
                for change in changes {
                    match Visitors::apply(jar, change, exchange.now) {
                        Ok(stored) => {
                            all.changed |= stored.changed;
                            all.evicted += stored.evicted;
                        }
                        Err((name, refused)) => self.note_dropped(exchange, &name, refused),
                    }
                }
                self.note_evicted(exchange, all.evicted);
                let line = match (all.changed, jar.is_empty()) {
                    (false, _) => None,
                    (true, true) => had_one.then(|| Visitors::deletion(kept.site)).flatten(),
                    (true, false) => self.shared.visitors.line(jar, kept.site, kept.place.host, exchange.now),
                };
                line.into_iter().collect()
            }
        }
    }

    /// Empties what a live session keeps for the app of a desk: it is to ask once more who somebody is.
    pub(crate) async fn empty_vault(&self, exchange: &Exchange, desk: &Desk) {
        let site = desk.site.as_ref().and_then(|site| self.shared.vaults.get(site.id)?.as_ref());
        let open = exchange.known.as_ref().and_then(|known| known.vault.as_ref());
        if let (Some(site), Some(open), Some(session)) = (site, open, exchange.session()) {
            let change = (&site.name, vec![Change::Clear]);
            let (_, told) = self.shared.sessions.keep(session, open, change, exchange.now).await;
            if let Err(error) = told {
                let reason = causes(&error);
                exchange.record(&self.shared.audit, &Event::StoreFailed { reason: &reason });
            }
        }
    }

    /// What the answer does to the cookies that are kept; their lines are gone from it, but for those that scripts read.
    fn changes(&self, exchange: &Exchange, kept: &Kept<'_>, headers: &mut HeaderMap) -> Vec<Change> {
        let mut changes = Vec::new();
        if harden::clears_cookies(headers) {
            changes.push(Change::Clear);
        }
        let lines: Vec<HeaderValue> = match headers.entry(SET_COOKIE) {
            Entry::Vacant(_) => return changes,
            Entry::Occupied(entry) => entry.remove_entry_mult().1.collect(),
        };
        for line in lines {
            let name = cookie_name(line.as_bytes());
            // What names one of ours is taken out where all answers are.
            let ours = cookies::reads_as_any(pair_of(&line), &self.shared.reserved_cookies);
            if ours || kept.policy.of(name) != Keeping::Vault {
                headers.append(SET_COOKIE, line);
                continue;
            }
            match Cookie::parse(line.as_bytes(), &kept.place, exchange.now) {
                Ok(cookie) => {
                    let is_new = !kept.policy.exposes(name) && !cookie.is_over(exchange.now);
                    if is_new && is_token_for_scripts(line.as_bytes()) {
                        self.note_hidden(exchange, kept, name);
                    }
                    changes.push(Change::Set(cookie));
                }
                Err(refused) => self.note_dropped(exchange, name, refused),
            }
            if kept.policy.exposes(name) {
                headers.append(SET_COOKIE, line);
            }
        }
        changes
    }

    fn note_hidden(&self, exchange: &Exchange, kept: &Kept<'_>, name: &[u8]) {
        const REASON: &str =
            "scripts cannot read it: if the app then refuses what they send, name it in cookies.expose";
        if self.shared.told_cookies.is_first(kept.id, name, REASON) {
            let name = String::from_utf8_lossy(name);
            exchange.record(&self.shared.audit, &Event::AppCookieHidden { name: &name, reason: REASON });
        }
    }

    fn note_dropped(&self, exchange: &Exchange, name: &[u8], refused: Refused) {
        let name = String::from_utf8_lossy(name);
        let event = Event::AppCookieDropped { name: &name, reason: &refused.to_string() };
        exchange.record(&self.shared.audit, &event);
    }

    fn note_evicted(&self, exchange: &Exchange, cookies: usize) {
        if cookies > 0 {
            exchange.record(&self.shared.audit, &Event::AppCookieEvicted { cookies });
        }
    }
}

impl Kept<'_> {
    /// Keeps what comes in a session that has just begun at the app's own login. It takes over what the same person's
    /// session before it had. Of a visitor's cookies it takes nothing ([`visitor`] says why), but where the answer sets
    /// none: then the app has let in whoever has those that it was sent.
    pub(crate) fn move_to(&mut self, session: &Arc<Session>, open: Arc<Open>) {
        let set = |cookies: Vec<Cookie>| cookies.into_iter().map(Change::Set).collect();
        self.taken_over = match &self.keeper {
            Keeper::Session(old, before) if old.user().name == session.user().name => {
                Some(TakenOver { cookies: set(before.cookies(&self.site.name)), unless_set: false })
            }
            Keeper::Session(..) => None,
            Keeper::Visitor { jar, .. } => {
                Some(TakenOver { cookies: set(jar.cookies().cloned().collect()), unless_set: true })
            }
        };
        self.keeper = Keeper::Session(Arc::clone(session), open);
    }

    /// Whether a visitor's cookies go with a request.
    pub(crate) fn is_a_visitors(&self) -> bool {
        matches!(&self.keeper, Keeper::Visitor { jar, .. } if !jar.is_empty())
    }

    /// Puts the app's cookies into a request, whose own are those alone that the browser may have. Gives back these.
    pub(crate) fn put_in(&mut self, exchange: &Exchange, headers: &mut HeaderMap) -> Option<HeaderValue> {
        let policy = self.policy;
        match policy.withheld() {
            Some(withheld) => cookies::strip(headers, &withheld),
            None => cookies::keep_only(headers, |name| policy.lets_through(name)),
        }
        let brought = headers.get(COOKIE).cloned();
        let browsers =
            |name: &[u8]| policy.exposes(name) && brought.as_ref().is_some_and(|line| has(line, name));
        let line = match &mut self.keeper {
            Keeper::Session(_, open) => open.line(&self.site.name, &self.place, browsers, exchange.now),
            Keeper::Visitor { jar, .. } => jar.line(&self.place, browsers, exchange.now),
        };
        if let Some(line) = line.and_then(|line| joined(line, brought.as_ref())) {
            headers.insert(COOKIE, line);
        }
        brought
    }
}

fn pair_of(line: &HeaderValue) -> &[u8] {
    line.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default()
}

fn has(line: &HeaderValue, name: &[u8]) -> bool {
    let mut pairs = line.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    pairs.any(|pair| pair.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"=")))
}

fn joined(kept: HeaderValue, brought: Option<&HeaderValue>) -> Option<HeaderValue> {
    let Some(brought) = brought else { return Some(kept) };
    let line = [kept.as_bytes(), brought.as_bytes()].join(&b"; "[..]);
    HeaderValue::from_maybe_shared(Bytes::from(line)).ok()
}
