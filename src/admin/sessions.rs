//! The sessions API on the admin socket: look at sessions, and end them.
//!
//! Who may connect is the file's business (`socket.rs`); who did is told to the audit log with every act. Browsers
//! cannot reach a unix socket, so nothing here is about pages.

mod act;
mod entry;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use serde::Deserialize;
use serde::Serialize;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::admin::CONNECTIONS;
use crate::admin::HEAD_TIMEOUT;
use crate::admin::pause_after;
use crate::admin::sessions::act::Act;
use crate::admin::sessions::act::Refusal;
use crate::admin::socket::Socket;
use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::identity::user::UserName;
use crate::session::Session;
use crate::session::id::SessionId;
use crate::session::lifetime::Why;
use crate::session::sessions::NotAllEnded;
use crate::session::sessions::Sessions;
use crate::session::store::Cursor;
use crate::session::store::StoreError;
use crate::telemetry::audit::Audit;
use crate::telemetry::audit::Context;
use crate::telemetry::audit::Event;
use crate::telemetry::causes;

pub use crate::admin::sessions::entry::Ended;
pub use crate::admin::sessions::entry::Entry;
pub use crate::admin::sessions::entry::Listing;

/// How long a whole connection, which is one request and its answer, may take: a copy of ten million sessions.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(10);

/// So many sessions one request ends at most: whoever ends all of them asks again, and sees how far it is.
const END_STEP: usize = 1000;

/// What the API looks at and acts on.
#[derive(Clone)]
pub struct Desk {
    /// All sessions.
    pub sessions: Arc<Sessions>,
    /// Where acts are told.
    pub audit: Audit,
    /// The source of `now`.
    pub clock: Clock,
}

/// Answers on the socket until `shutdown`; then its file goes.
pub async fn serve(socket: Socket, desk: Desk, shutdown: CancellationToken) {
    let Socket { listener, file } = socket;
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin socket cannot be served"),
    };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return drop(file),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
                        connections.spawn(converse(stream, desk.clone(), permit));
                    }
                }
                Err(error) => pause_after(&error).await,
            }
        }
    }
}

async fn converse(stream: UnixStream, desk: Desk, permit: OwnedSemaphorePermit) {
    let actor =
        stream.peer_cred().map_or_else(|_| "unknown".to_owned(), |peer| format!("uid:{}", peer.uid()));
    let service = service_fn(move |request: Request<Incoming>| {
        let (desk, actor) = (desk.clone(), actor.clone());
        async move {
            // A task of its own: what was begun is done to its end, even if nobody waits for the answer.
            let done = tokio::spawn(async move { desk.answer(&request, &actor).await }).await;
            Ok::<_, Infallible>(done.unwrap_or_else(|_panicked| Refusal::Broken.reply()))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(64)
        .max_buf_size(16 * 1024)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection of the admin socket broke"),
        Err(_) => tracing::debug!("a connection of the admin socket took too long"),
    }
    drop(permit);
}

impl Desk {
    async fn answer<B>(&self, request: &Request<B>, actor: &str) -> Response<Full<Bytes>> {
        let act = match Act::parse(request.method(), request.uri().path(), request.uri().query()) {
            Ok(act) => act,
            Err(refusal) => return refusal.reply(),
        };
        let clerk = Clerk { desk: self, actor, now: self.clock.now() };
        let done = match act {
            Act::List { user: None, from, limit } => clerk.list(from.as_ref(), limit).await,
            Act::List { user: Some(user), from, limit } => clerk.list_user(&user, from.as_ref(), limit).await,
            Act::Show(id) => clerk.show(id).await,
            Act::End(id) => clerk.end(id).await,
            Act::EndUser(user) => clerk.end_user(&user).await,
            Act::EndAll { from } => clerk.end_all(from.as_ref()).await,
            Act::Backup { to } => Ok(clerk.backup(to).await),
        };
        done.unwrap_or_else(|error| {
            let reason = &causes(&error);
            self.audit.record(&Context::at(clerk.now), &Event::StoreFailed { reason });
            Refusal::StoreDown.reply()
        })
    }
}

/// The desk as it serves one request.
struct Clerk<'a> {
    desk: &'a Desk,
    actor: &'a str,
    now: Timestamp,
}

type Done = Result<Response<Full<Bytes>>, StoreError>;

impl Clerk<'_> {
    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Done {
        let page = self.desk.sessions.list(from, limit, self.now).await?;
        self.tell("list", None, self.context());
        Ok(listing(&page.sessions, page.next.as_ref()))
    }

    /// Those of one user, in the order of their ids.
    async fn list_user(&self, user: &UserName, from: Option<&Cursor>, limit: usize) -> Done {
        let mut sessions = self.desk.sessions.of_user(user, self.now).await?;
        sessions.sort_by_key(|session| session.id());
        if let Some(last) = from {
            sessions.retain(|session| session.id().to_bytes()[..] > *last.place());
        }
        let more = sessions.len() > limit;
        sessions.truncate(limit);
        let next = sessions.last().filter(|_| more).map(|last| Cursor::new(&last.id().to_bytes()));
        self.tell("list_user", None, self.about(user));
        Ok(listing(&sessions, next.as_ref()))
    }

    async fn show(&self, id: SessionId) -> Done {
        let Some(session) = self.desk.sessions.get(id, self.now).await? else {
            return Ok(Refusal::NoSuchSession.reply());
        };
        self.tell_of("show", None, &session);
        Ok(json(StatusCode::OK, &Entry::of(&session)))
    }

    async fn end(&self, id: SessionId) -> Done {
        let Some(session) = self.desk.sessions.get(id, self.now).await? else {
            return Ok(Refusal::NoSuchSession.reply());
        };
        self.desk.sessions.end(&session, Why::Administrator).await?;
        self.tell_of("end", Some(1), &session);
        Ok(json(StatusCode::OK, &Ended { ended: 1, next: None }))
    }

    async fn end_user(&self, user: &UserName) -> Done {
        let done = self.desk.sessions.end_user(user, Why::Administrator).await;
        self.tell("end_user", Some(ended(&done)), self.about(user));
        Ok(json(StatusCode::OK, &Ended { ended: done?, next: None }))
    }

    async fn end_all(&self, from: Option<&Cursor>) -> Done {
        let page = self.desk.sessions.list_stored(from, END_STEP).await?;
        let done = self.desk.sessions.end_each(&page.sessions, Why::Administrator).await;
        self.tell("end_all", Some(ended(&done)), self.context());
        Ok(json(StatusCode::OK, &Ended { ended: done?, next: page.next.as_ref().map(act::written) }))
    }

    async fn backup(&self, to: PathBuf) -> Response<Full<Bytes>> {
        let Some(disk) = self.desk.sessions.store().disk() else { return Refusal::NoFile.reply() };
        let file = to.display().to_string();
        let copied = disk.backup(to).await;
        self.tell("backup", None, self.context());
        match copied {
            Ok(()) => json(StatusCode::OK, &Copied { file }),
            Err(error) => {
                let failed = Failed { error: "not_copied", message: &error.to_string() };
                json(StatusCode::INTERNAL_SERVER_ERROR, &failed)
            }
        }
    }

    fn context(&self) -> Context<'static> {
        Context::at(self.now)
    }

    fn tell(&self, action: &'static str, ended: Option<usize>, context: Context<'_>) {
        let event = Event::Administration { actor: self.actor, action, ended };
        self.desk.audit.record(&context, &event);
    }

    fn tell_of(&self, action: &'static str, ended: Option<usize>, session: &Session) {
        let reference = session.reference();
        let context = self.about(&session.user().name);
        self.tell(action, ended, Context { session: Some(reference.as_str()), ..context });
    }

    /// The site whose own login vouches for a user stands where the audit log has the host: a name may look like anything.
    fn about<'b>(&'b self, user: &'b UserName) -> Context<'b> {
        Context { user: Some(user.as_str()), host: user.realm(), ..self.context() }
    }
}

/// How many were ended, also where not all could be.
fn ended(done: &Result<usize, NotAllEnded>) -> usize {
    done.as_ref().map_or_else(|error| error.ended, |ended| *ended)
}

fn listing(sessions: &[Arc<Session>], next: Option<&Cursor>) -> Response<Full<Bytes>> {
    let sessions = sessions.iter().map(|session| Entry::of(session)).collect();
    json(StatusCode::OK, &Listing { sessions, next: next.map(act::written) })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    // Serialising plain structs of text and numbers cannot fail.
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    for (name, value) in [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Refusal {
    /// The answer that says so.
    fn reply(self) -> Response<Full<Bytes>> {
        let mut response = json(self.status(), &Failed { error: self.word(), message: &self.to_string() });
        if let Self::Method(allowed) = self {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

/// A copy that was written.
#[derive(Debug, Serialize, Deserialize)]
pub struct Copied {
    /// The file it is in.
    pub file: String,
}

#[derive(Serialize)]
struct Failed<'a> {
    error: &'a str,
    message: &'a str,
}

#[cfg(test)]
mod tests;
