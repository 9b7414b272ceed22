//! A gateway with a users file, and browsers with cookie jars.

use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::crypto::Key;
use crate::login::Action;
use crate::login::Answer;
use crate::login::Attempts;
use crate::login::Login;
use crate::login::Missing;
use crate::login::SessionCookie;
use crate::login::Settings;
use crate::login::Theme;
use crate::login::Visit;
use crate::net::Authority;
use crate::route::AppLogin;
use crate::session::sessions::Request;
use crate::session::sessions::Sessions;
use crate::telemetry::audit::Audit;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Response;
use http::StatusCode;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use tempfile::TempDir;

use crate::login::hash::Hash;
use crate::login::hash::Password;
use crate::net::ClientAddr;
use crate::net::Scheme;
use crate::session;
use crate::session::AtLimit;
use crate::session::Finding;
use crate::session::Policy;
use crate::session::Presence;
use crate::session::SameSite;
use crate::session::lifetime::Lifetime;
use crate::session::store::memory::Memory;
use crate::session::token::Token;

pub(super) const SECRET: &str = "violet tractor humming seven kettles";
pub(super) const NEXT: &str = "nine purple anvils sing underwater";
pub(super) const SESSION: &str = "__Host-Http-session";

pub(super) struct Gateway {
    pub(super) login: Arc<Login>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) clock: Clock,
    pub(super) lifetime: Lifetime,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) users: PathBuf,
    /// The app's own login, where people log in there.
    pub(super) app: Option<Arc<AppLogin>>,
    _directory: TempDir,
}

/// One browser: its cookies, its address.
#[derive(Clone)]
pub(super) struct Browser {
    pub(super) cookies: BTreeMap<String, String>,
    pub(super) client: ClientAddr,
}

impl Gateway {
    pub(super) fn start(users: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.yaml");
        let hash = Hash::make(&Password::new(SECRET).unwrap()).text();
        fs::write(&path, users.replace("HASH", &format!("'{hash}'"))).unwrap();
        let keys = Key::generate().into();
        let lifetime = Lifetime::new(Duration::from_mins(30), Duration::from_hours(24)).unwrap();
        let session_settings = session::Settings {
            cookie_name: SESSION.to_owned(),
            same_site: SameSite::Lax,
            lifetime,
            max_sessions: 100,
            max_per_user: 10,
            at_limit: AtLimit::EndOldest,
            serve_cached: Duration::ZERO,
        };
        let sessions = Arc::new(Sessions::new(&session_settings, Memory::new().into()));
        let settings = Settings {
            host: None,
            same_site: SameSite::Lax,
            users: path.clone(),
            missing_users: Missing::Error,
            seen: directory.path().join("users.seen"),
            realms: BTreeSet::new(),
            attempts: Attempts {
                per_account: 5,
                per_address: 30,
                per_address_window: Duration::from_mins(15),
            },
            theme: Theme { title: "Sign in".to_owned(), logo: None, css: None },
        };
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let login =
            Login::new(&settings, &keys, Arc::clone(&sessions), Audit::silent(), clock.clone()).unwrap();
        Self {
            login: Arc::new(login),
            sessions,
            clock,
            lifetime,
            scheme: Scheme::Https,
            authority: Authority::parse("app.example").unwrap(),
            users: path,
            app: None,
            _directory: directory,
        }
    }

    pub(super) fn alice() -> Self {
        Self::start("users:\n  alice: { password: HASH, groups: [staff] }\n  bob: { password: HASH }\n")
    }

    pub(super) async fn presence(&self, browser: &Browser) -> Presence {
        let token = browser.cookies.get(SESSION).and_then(|value| Token::parse(value.as_bytes()));
        let Some(token) = token else { return Presence::Anonymous };
        let request = Request {
            host: &self.authority.host,
            lifetime: &self.lifetime,
            policy: &Policy::default(),
            client: browser.client,
            user_agent: "",
            now: self.clock.now(),
        };
        match self.sessions.find(&token, &request).await.unwrap() {
            Finding::Active(grant) => Presence::Active(Arc::clone(grant.session())),
            Finding::Ended(why) => Presence::Ended(why),
            Finding::Nobody | Finding::Retired | Finding::Elsewhere => Presence::Anonymous,
        }
    }

    pub(super) fn entrance(&self, target: &str) -> String {
        let location = self.login.entrance(target, &self.authority, None, self.clock.now());
        location.strip_prefix("/.vestibule/login?").unwrap().to_owned()
    }
}

impl Browser {
    pub(super) fn new(address: &str) -> Self {
        Self { cookies: BTreeMap::new(), client: ClientAddr(address.parse().unwrap()) }
    }

    pub(super) async fn get(&mut self, gateway: &Gateway, path: &str) -> Response<Bytes> {
        self.send(gateway, Method::GET, path, &[("sec-fetch-dest", "document")], "").await
    }

    pub(super) async fn post(
        &mut self,
        gateway: &Gateway,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Response<Bytes> {
        let own = [("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "document")];
        self.send(gateway, Method::POST, path, &own, &encoded(fields)).await
    }

    #[expect(clippy::too_many_arguments, reason = "a request has that many parts")]
    pub(super) async fn send(
        &mut self,
        gateway: &Gateway,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Response<Bytes> {
        let mut map = HeaderMap::new();
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !jar.is_empty() {
            map.insert("cookie", jar.join("; ").parse().unwrap());
        }
        if method == Method::POST {
            map.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let (place, query) = match path.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (path, None),
        };
        let presence = gateway.presence(self).await;
        let answer = Arc::clone(&gateway.login)
            .visit(Visit {
                now: gateway.clock.now(),
                client: self.client,
                lifetime: gateway.lifetime,
                policy: Policy::default(),
                scheme: gateway.scheme,
                authority: gateway.authority.clone(),
                method,
                headers: map,
                query: query.map(str::to_owned),
                body: Bytes::copy_from_slice(body.as_bytes()),
                presence,
                brought: None,
                request_id: "r1".to_owned(),
                action: Action::of(place).unwrap(),
                app: gateway.app.clone(),
            })
            .await;
        self.keep(&answer);
        answer.response
    }

    fn keep(&mut self, answer: &Answer) {
        for cookie in &answer.cookies {
            let text = cookie.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        match &answer.session {
            SessionCookie::Keep => {}
            SessionCookie::Set(token) => {
                self.cookies.insert(SESSION.to_owned(), token.encode().expose().clone());
            }
            SessionCookie::Clear => {
                self.cookies.remove(SESSION);
            }
        }
    }

    /// Opens the sign-in page, fills it in and sends it.
    pub(super) async fn log_in(&mut self, gateway: &Gateway, user: &str, password: &str) -> Response<Bytes> {
        let page = self.get(gateway, &format!("login?{}", gateway.entrance("/reports?id=7&u=//x"))).await;
        self.fill_in(gateway, &page, user, password).await
    }

    pub(super) async fn fill_in(
        &mut self,
        gateway: &Gateway,
        page: &Response<Bytes>,
        user: &str,
        password: &str,
    ) -> Response<Bytes> {
        let token = hidden(page, "form_token");
        let return_to = hidden(page, "return_to");
        let fields =
            [("form_token", &*token), ("return_to", &*return_to), ("username", user), ("password", password)];
        self.post(gateway, "login", &fields).await
    }

    pub(super) async fn user(&self, gateway: &Gateway) -> Option<String> {
        match gateway.presence(self).await {
            Presence::Active(session) => Some(session.user().name.to_string()),
            Presence::Anonymous | Presence::Ended(_) => None,
        }
    }
}

pub(super) fn encoded(fields: &[(&str, &str)]) -> String {
    let pair =
        |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

pub(super) fn html(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

pub(super) fn hidden(page: &Response<Bytes>, name: &str) -> String {
    let field = html(page).split(&format!("name=\"{name}\" value=\"")).nth(1);
    field.unwrap_or_else(|| panic!("no {name} in {}", html(page))).split('"').next().unwrap().to_owned()
}

pub(super) fn location(response: &Response<Bytes>) -> &str {
    assert_eq!(response.status(), StatusCode::SEE_OTHER, "{}", html(response));
    response.headers()["location"].to_str().unwrap()
}

pub(super) fn json(response: &Response<Bytes>) -> serde_json::Value {
    serde_json::from_slice(response.body()).unwrap()
}
