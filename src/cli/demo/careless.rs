//! The careless app: everything a legacy app does wrong about sessions, in one page, so that the difference is seen.
//!
//! It counts its session ids, sends them in bare cookies, never lets them end, and its logout forgets the cookie but
//! not the session. It knows nothing of the gateway; it only shows what it received.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use askama::Template;
use http::HeaderMap;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// The first session, somebody else's: whoever guesses its number reads it.
const OLDEST: u32 = 1000;

/// The page, as the app fills it in.
#[derive(Template)]
#[template(path = "careless.html")]
struct Page<'a> {
    behind_gateway: bool,
    user: &'a str,
    id: u32,
    next: u32,
    note: &'a str,
    set_cookie: &'a str,
    cookies: &'a str,
    gateway: &'a str,
    bare: &'a str,
}

/// The app's memory: a note for each session, for ever.
#[derive(Debug)]
pub(crate) struct Careless {
    notes: Mutex<BTreeMap<u32, String>>,
    /// Where the gateway in front of it is, and where the app itself is: both are linked on the page.
    gateway: String,
    bare: String,
}

impl Careless {
    /// An app that says it can be reached at `bare` without and at `gateway` with the gateway.
    pub(crate) fn new(gateway: String, bare: String) -> Arc<Self> {
        let first = (OLDEST, String::from("Ada's note: the spare key is under the blue pot."));
        Arc::new(Self { notes: Mutex::new(BTreeMap::from([first])), gateway, bare })
    }

    /// Answers on `listener` for ever.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<Infallible> {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(Arc::clone(&self).converse(stream));
        }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(move |request| {
            let app = Arc::clone(&self);
            async move { Ok::<_, Infallible>(app.answer(request).await) }
        });
        // A demo's client that goes away mid-answer is nobody's concern.
        drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        match (&head.method, head.uri.path()) {
            (&Method::GET | &Method::HEAD, "/") => self.page(&head.headers),
            (&Method::POST, "/note") => self.keep_note(&head.headers, body).await,
            (&Method::GET, "/become") => to_front("sid=1000; Path=/"),
            (&Method::GET, "/logout") => to_front("sid=; Path=/; Max-Age=0"),
            _ => answer(StatusCode::NOT_FOUND, String::from("Not found")),
        }
    }

    fn page(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let (id, is_new) = self.session(headers);
        let set_cookie = format!("sid={id}; Path=/");
        let user = text(headers, "x-forwarded-user");
        let page = Page {
            behind_gateway: !user.is_empty(),
            user,
            id,
            next: self.next(),
            note: &self.note(id),
            set_cookie: &set_cookie,
            cookies: text(headers, "cookie"),
            gateway: &self.gateway,
            bare: &self.bare,
        };
        let Ok(html) = page.render() else {
            return answer(StatusCode::INTERNAL_SERVER_ERROR, String::from("The page could not be made"));
        };
        let mut response = answer(StatusCode::OK, html);
        if is_new {
            add_cookie(&mut response, &set_cookie);
        }
        response
    }

    async fn keep_note(&self, headers: &HeaderMap, body: Incoming) -> Response<Full<Bytes>> {
        let (id, _) = self.session(headers);
        let form = Limited::new(body, 4096)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let note = String::from_utf8_lossy(&form).strip_prefix("note=").unwrap_or("").replace('+', " ");
        let note = percent_encoding::percent_decode_str(&note).decode_utf8_lossy().into_owned();
        self.notes().insert(id, note);
        to_front(&format!("sid={id}; Path=/"))
    }

    /// The session the cookie names, whoever sent it; otherwise the next number.
    fn session(&self, headers: &HeaderMap) -> (u32, bool) {
        let named = text(headers, "cookie")
            .split(';')
            .find_map(|pair| pair.trim().strip_prefix("sid=")?.parse().ok());
        if let Some(id) = named.filter(|id| self.notes().contains_key(id)) {
            return (id, false);
        }
        let id = self.next();
        self.notes().insert(id, String::new());
        (id, true)
    }

    fn next(&self) -> u32 {
        self.notes().keys().next_back().map_or(OLDEST, |last| last.saturating_add(1))
    }

    fn note(&self, id: u32) -> String {
        self.notes().get(&id).cloned().unwrap_or_default()
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, String>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn answer(status: StatusCode, html: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::SERVER, http::HeaderValue::from_static("CarelessApp/0.1"));
    response
}

fn to_front(cookie: &str) -> Response<Full<Bytes>> {
    let mut response = answer(StatusCode::SEE_OTHER, String::new());
    response.headers_mut().insert(header::LOCATION, http::HeaderValue::from_static("/"));
    add_cookie(&mut response, cookie);
    response
}

fn add_cookie(response: &mut Response<Full<Bytes>>, cookie: &str) {
    if let Ok(cookie) = http::HeaderValue::try_from(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
