//! Forms that were sent when the session was over: held until their person has logged in again and says what is to
//! become of them (WCAG 2.2.5).
//!
//! A form lies in the store under two keys, one inside the other: one that a cookie of its browser has, and the gateway's.
//! It is for the browser it came from, and for the user who was logged in there last: the cookie by which a device is known
//! again tells that, whoever has noticed the end of the session first, and on whichever gateway. It is taken out once.

pub mod fields;
pub(crate) mod seal;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::header::REFERER;

use crate::clock::Timestamp;
use crate::identity::user::UserName;
use crate::login::Login;
use crate::login::conversation::Answer;
use crate::login::conversation::Source;
use crate::login::conversation::Visit;
use crate::login::cookies::Vouched;
use crate::login::form::Form;
use crate::login::form::Purpose;
use crate::login::form::Shown;
use crate::login::form::Standing;
use crate::login::held::fields::Unfit;
use crate::login::held::seal::Holder;
use crate::login::held::seal::Inside;
use crate::login::held::seal::inside;
use crate::login::held::seal::key_of;
use crate::login::words;
use crate::net::Authority;
use crate::net::Host;
use crate::pages::HeldView;
use crate::pages::see_other;
use crate::session::Presence;
use crate::session::Session;
use crate::session::id::SessionId;
use crate::session::lifetime::Why;
use crate::session::store::Created;
use crate::session::store::Held;
use crate::session::store::HeldKey;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::telemetry::audit::Event;

/// What the address of a form that is sent once more ends with, before its key.
pub const MARK: &str = "vestibule-held=";

/// Where people are asked about it.
pub const PLACE: &str = "/.vestibule/held";

/// So many forms of one user are held at once: nobody leaves others without room, with as many browsers as they like.
const PER_USER: u8 = 16;

/// So many are held at all: 32 MiB at the most.
const MOST: usize = 512;

/// So many names are shown.
const SHOWN: usize = 20;

/// A form that could not be passed on.
#[derive(Debug)]
pub struct Posted<'a> {
    /// The present moment.
    pub now: Timestamp,
    /// The host and port it was sent to.
    pub authority: &'a Authority,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Path and query.
    pub target: &'a str,
    /// It is held until then.
    pub until: Timestamp,
    /// The form.
    pub body: &'a Bytes,
}

/// A form that is held.
#[derive(Debug)]
pub struct Holding {
    /// Where its person is to go.
    pub place: String,
    /// The cookie without which nobody opens it, if the browser has none yet.
    pub cookie: Option<HeaderValue>,
}

/// Why one is not.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// It is not to be.
    #[error("the form is not to be held: {}", .0.as_str())]
    Unfit(Unfit),
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Unfit> for HoldError {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

/// A form that has been taken out.
#[derive(Debug)]
pub struct Taken {
    key: HeldKey,
    by: SessionId,
    held: Held,
    /// Its `Content-Type`.
    pub kind: Box<str>,
    /// The page it was sent from.
    pub referer: Option<Box<str>>,
    /// The form.
    pub body: Bytes,
}

/// What became of looking for a form.
enum Look {
    Here(Held, Vec<u8>),
    Gone,
    Anothers(Held),
}

impl Login {
    /// Holds a form for whoever was logged in last in the browser that sent it.
    ///
    /// # Errors
    /// If it is not to be held, or cannot be.
    pub async fn hold(&self, posted: &Posted<'_>) -> Result<Holding, HoldError> {
        let Vouched { device, owner } = self.devices.vouched(posted.headers).ok_or(Unfit::Stranger)?;
        let text = |name| posted.headers.get(name).and_then(|value| value.to_str().ok());
        let kind = text(&CONTENT_TYPE).ok_or(Unfit::Unreadable)?;
        fields::names(kind, posted.body)?;
        let holder = Holder::of(posted.headers);
        let form = Inside {
            // Forms that say `action="?"` end so. A query is added to it and taken off again.
            host: posted.authority.host.as_str(),
            target: posted.target.strip_suffix('?').unwrap_or(posted.target),
            kind,
            referer: text(&REFERER),
            device: &device,
            until: posted.until.as_millis(),
            body: posted.body,
        };
        let plain = postcard::to_stdvec(&form).map_err(|_too_long| Unfit::TooLarge)?;
        let store = self.sessions.store();
        for place in 0..PER_USER {
            let key = key_of(&owner, place);
            let sealed = self.held.seal(&plain, &holder, key);
            let held = Held { until: posted.until, sealed: sealed.into() };
            match store.hold(key, &held, posted.now, MOST).await? {
                Created::Done => {
                    return Ok(Holding { place: format!("{PLACE}?form={key}"), cookie: holder.to_set() });
                }
                Created::Full => break,
                Created::Exists => {}
            }
        }
        Err(Unfit::Full.into())
    }

    /// Puts a form back that no app was sent. Whether there was room.
    ///
    /// # Errors
    /// If the store cannot answer.
    pub async fn hold_again(&self, taken: &Taken, now: Timestamp) -> Result<bool, StoreError> {
        self.sent.invalidate(&(taken.key, taken.by));
        let put = self.sessions.store().hold(taken.key, &taken.held, now, MOST).await?;
        Ok(matches!(put, Created::Done))
    }

    /// Takes a form out, for the app's address `target`: once, whoever asks for it at the same time. `posted` is what our
    /// page has sent. Nothing if it is not there for this session, or the page is not ours; then there is a page to be shown.
    ///
    /// # Errors
    /// If the store cannot answer.
    pub async fn take(
        &self,
        (key, target): (HeldKey, &str),
        (session, authority, headers): (&Session, &Authority, &HeaderMap),
        posted: &Bytes,
        now: Timestamp,
    ) -> Result<Result<Taken, Answer>, StoreError> {
        let Look::Here(held, plain) = self.look(key, (session, &authority.host, headers), now).await? else {
            return Ok(Err(self.taken_before(key, session, authority)));
        };
        let form = Form::parse(posted).unwrap_or_else(Form::empty);
        let ours = self.tokens.check(
            form.get("form_token").unwrap_or_default(),
            &shown(key, session, &authority.host),
            now,
        );
        let fits = inside(&plain).filter(|form| form.target == target);
        let (Some(form), Standing::Good) = (fits, ours) else {
            return Ok(Err(self.page((key, &plain), (session, authority), now, Some(ASK_AGAIN))));
        };
        // The store says who of several has it: whoever took out the very one that was looked at.
        if !self.sessions.store().take_held(key, &held).await? {
            return Ok(Err(self.taken_before(key, session, authority)));
        }
        self.sent.insert((key, session.id()), ());
        let body = Bytes::copy_from_slice(form.body);
        let (kind, referer) = (form.kind.into(), form.referer.map(Box::from));
        Ok(Ok(Taken { key, by: session.id(), held, kind, referer, body }))
    }

    /// Asks what is to become of a form.
    pub(crate) async fn show_held(&self, visit: &Visit) -> Answer {
        let query = visit.query.as_deref().and_then(|query| Form::parse(query.as_bytes()));
        let key = query.as_ref().and_then(|query| query.get("form")).and_then(HeldKey::parse);
        let Some(key) = key else { return self.gone(&visit.authority) };
        let session = match &visit.presence {
            Presence::Active(session) => session,
            Presence::Anonymous => return self.to_login_for(visit, key, None),
            Presence::Ended(why) => return self.to_login_for(visit, key, Some(*why)),
        };
        match self.look(key, (session, visit.host(), &visit.headers), visit.now).await {
            Ok(Look::Here(_, plain)) => {
                self.page((key, &plain), (session, &visit.authority), visit.now, None)
            }
            Ok(Look::Gone) => self.taken_before(key, session, &visit.authority),
            Ok(Look::Anothers(held)) => {
                let taken = self.sessions.store().take_held(key, &held).await;
                self.tell_destroyed(visit, taken.map(usize::from));
                self.gone(&visit.authority)
            }
            Err(error) => {
                self.store_failed(visit, &error);
                self.fail(visit, StatusCode::SERVICE_UNAVAILABLE, None).retry_after(5)
            }
        }
    }

    /// Drops a form that its person does not want to be sent.
    pub(crate) async fn drop_held(&self, visit: &Visit) -> Answer {
        let form = match self.posted(visit) {
            Ok(form) => form,
            Err(refusal) => return *refusal,
        };
        let Presence::Active(session) = &visit.presence else { return self.to_login(visit, None) };
        let Some(key) = form.get("form").and_then(HeldKey::parse) else { return self.gone(&visit.authority) };
        let token = form.get("form_token").unwrap_or_default();
        let ours = self.tokens.check(token, &shown(key, session, visit.host()), visit.now);
        let found = match self.look(key, (session, visit.host(), &visit.headers), visit.now).await {
            Ok(Look::Here(held, plain)) if ours == Standing::Good => {
                self.sessions.store().take_held(key, &held).await.map(|taken| (taken, plain))
            }
            Ok(Look::Here(_, plain)) => {
                if visit.source() != Source::Own {
                    let reason = "no_token";
                    self.tell(visit, &Event::MaliciousCsrf { reason, enforced: true });
                }
                return self.page((key, &plain), (session, &visit.authority), visit.now, Some(ASK_AGAIN));
            }
            Ok(Look::Gone | Look::Anothers(_)) => return self.gone(&visit.authority),
            Err(error) => Err(error),
        };
        match found {
            Ok((true, _)) => {
                self.tell(visit, &Event::FormDropped { reason: "by_person" });
                let page = self.pages.held_gone(StatusCode::OK, visit.host().as_str(), DROPPED);
                Answer::new(page).form("dropped")
            }
            Ok((false, _)) => self.gone(&visit.authority),
            Err(error) => {
                self.store_failed(visit, &error);
                self.fail(visit, StatusCode::SERVICE_UNAVAILABLE, None).retry_after(5)
            }
        }
    }

    /// Destroys what is held of somebody else in the browser with these `headers`, in which `name` has just logged in. How
    /// much that was.
    ///
    /// # Errors
    /// If the store cannot answer. What is left is sealed for a user who is not this one, and its time is short.
    pub(crate) async fn destroy_held(
        &self,
        headers: &HeaderMap,
        name: &UserName,
    ) -> Result<usize, StoreError> {
        let (Some(last), Some(holder)) = (self.devices.last(headers), Holder::known(headers)) else {
            return Ok(0);
        };
        if self.devices.is_of(&last.device, name) {
            return Ok(0);
        }
        let store = self.sessions.store();
        let mut destroyed = 0;
        for place in 0..PER_USER {
            let key = key_of(&last.owner, place);
            // What the same user has sent from other browsers stays theirs.
            if let Some(held) = store.held(key).await?
                && self.held.open(&held.sealed, &holder, key).is_some()
            {
                destroyed += usize::from(store.take_held(key, &held).await?);
            }
        }
        Ok(destroyed)
    }

    /// Tells of what was destroyed when somebody else logged in.
    pub(crate) fn tell_destroyed(&self, visit: &Visit, destroyed: Result<usize, StoreError>) {
        match destroyed {
            Ok(forms) => (0..forms).for_each(|_| self.tell(visit, &DESTROYED)),
            Err(error) => self.store_failed(visit, &error),
        }
    }

    fn to_login_for(&self, visit: &Visit, key: HeldKey, why: Option<Why>) -> Answer {
        let target = format!("{PLACE}?form={key}");
        Answer::new(see_other(&self.entrance(&target, &visit.authority, why, visit.now)))
    }

    async fn look(
        &self,
        key: HeldKey,
        (session, host, headers): (&Session, &Host, &HeaderMap),
        now: Timestamp,
    ) -> Result<Look, StoreError> {
        let Some(holder) = Holder::known(headers) else { return Ok(Look::Gone) };
        let Some(held) = self.sessions.store().held(key).await? else { return Ok(Look::Gone) };
        let Some(plain) = self.held.open(&held.sealed, &holder, key) else {
            return Ok(Look::Gone);
        };
        Ok(match inside(&plain) {
            Some(form) if form.until <= now.as_millis() || form.host != host.as_str() => Look::Gone,
            Some(form) if self.devices.is_of(form.device, &session.user().name) => Look::Here(held, plain),
            Some(_) => Look::Anothers(held),
            None => Look::Gone,
        })
    }

    fn page(
        &self,
        (key, plain): (HeldKey, &[u8]),
        (session, authority): (&Session, &Authority),
        now: Timestamp,
        error: Option<&str>,
    ) -> Answer {
        let Some(form) = inside(plain) else { return self.gone(authority) };
        let names = fields::names(form.kind, form.body).unwrap_or_default();
        let joint = if form.target.contains('?') { "&" } else { "?" };
        let left = Timestamp::from_millis(form.until).since(now);
        let status = if error.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
        Answer::new(self.pages.held(
            status,
            &HeldView {
                host: authority.host.as_str(),
                user: session.user().name.as_str(),
                path: form.target.split('?').next().unwrap_or_default(),
                count: &words::counted(names.len() as u64, "field"),
                names: names.get(..SHOWN).unwrap_or(&names),
                more: names.len().saturating_sub(SHOWN),
                action: &format!("{}{joint}{MARK}{key}", form.target),
                form: &key.to_string(),
                token: &self.tokens.issue(&shown(key, session, &authority.host), now),
                left: &words::duration(left),
                error,
            },
        ))
    }

    /// Who presses twice sees the answer to the second time alone, and is to know that the first one counted.
    fn taken_before(&self, key: HeldKey, session: &Session, authority: &Authority) -> Answer {
        let why = if self.sent.contains_key(&(key, session.id())) { SENT } else { GONE };
        Answer::new(self.pages.held_gone(StatusCode::GONE, authority.host.as_str(), why))
    }

    fn gone(&self, authority: &Authority) -> Answer {
        Answer::new(self.pages.held_gone(StatusCode::GONE, authority.host.as_str(), GONE))
    }
}

fn shown<'a>(key: HeldKey, session: &Session, host: &'a Host) -> Shown<'a> {
    Shown { holder: format!("{} {key}", session.reference()), purpose: Purpose::Held, host }
}

/// Of a form of whoever was logged in before.
pub(crate) const DESTROYED: Event<'_> = Event::FormDropped { reason: "another_user" };

const ASK_AGAIN: &str = "This page was open for too long, so here is a new one. Nothing was sent yet.";
const GONE: (&str, &str) = (
    "Nothing to send",
    "There is nothing to be sent any more: it was sent already, its time is over, or it is somebody else's.",
);
const SENT: (&str, &str) = ("It was sent", "It was sent a moment ago, and once only.");
const DROPPED: (&str, &str) = ("Not sent", "It was not sent, and is not kept any more.");
