//! One request and its answer, checked to the last byte.

use anyhow::Context as _;
use anyhow::Result;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http2;
use hyper::header;
use hyper::header::HeaderMap;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;

use crate::pattern::Direction;
use crate::pattern::Pattern;
use crate::pattern::PatternBody;
use crate::plan::Plan;
use crate::plan::Size;
use crate::tally::Fault;
use crate::tls::Target;
use crate::upstream;

/// Somebody who is logged in.
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) cookie: String,
}

/// How an exchange ended well.
pub(crate) enum Ending {
    /// All bytes were there.
    Whole,
    /// The client went away in the middle, as planned.
    Left,
    /// Nothing was sent: the connection had closed before.
    Unsent,
}

/// A connection to the gateway.
pub(crate) enum Sender {
    One(http1::SendRequest<PatternBody>),
    Two(http2::SendRequest<PatternBody>),
}

impl Sender {
    pub(crate) async fn open_http1(target: &Target) -> Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(target.connect().await?)).await?;
        tokio::spawn(connection);
        Ok(Self::One(sender))
    }

    pub(crate) async fn open_http2(target: &Target) -> Result<http2::SendRequest<PatternBody>> {
        let io = TokioIo::new(target.connect().await?);
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), io).await.context("HTTP/2 preface")?;
        tokio::spawn(connection);
        Ok(sender)
    }

    pub(crate) async fn is_ready(&mut self) -> bool {
        match self {
            Self::One(sender) => sender.ready().await.is_ok(),
            Self::Two(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Whether one request that goes wrong takes the connection with it.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Self::One(_))
    }

    async fn send(&mut self, request: Request<PatternBody>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::One(sender) => sender.send_request(request).await,
            Self::Two(sender) => sender.send_request(request).await,
        }
    }

    fn request(
        &self,
        authority: &str,
        number: u64,
        plan: &Plan,
        session: &Session,
    ) -> http::Result<Request<PatternBody>> {
        let path = upstream::path(number, plan.down);
        let request = match self {
            Self::One(_) => Request::builder().uri(path).header(header::HOST, authority),
            Self::Two(_) => Request::builder().uri(format!("https://{authority}{path}")),
        };
        let request = request.header(header::COOKIE, &session.cookie).header("sec-fetch-site", "same-origin");
        let pattern = Pattern::new(&session.user, number, Direction::Up);
        match plan.up {
            None => request.body(PatternBody::new(pattern, Size { bytes: 0, told: true })),
            Some(up) => request
                .method("POST")
                .header(header::ORIGIN, format!("https://{authority}"))
                .body(PatternBody::new(pattern, up)),
        }
    }
}

/// Sends request `number` and checks what comes back.
pub(crate) async fn exchange(
    sender: &mut Sender,
    authority: &str,
    number: u64,
    plan: &Plan,
    session: &Session,
) -> Result<Ending, Fault> {
    let failed = |error: &dyn std::fmt::Display| Fault::Failed(error.to_string());
    let request = sender.request(authority, number, plan, session).map_err(|error| failed(&error))?;
    let response = match sender.send(request).await {
        Ok(response) => response,
        Err(error) if error.is_canceled() => return Ok(Ending::Unsent),
        Err(error) => return Err(failed(&error)),
    };
    if response.status() != 200 {
        return Err(Fault::Failed(format!("status {}", response.status())));
    }
    check_head(response.headers(), number, plan, session)?;
    let pattern = Pattern::new(&session.user, number, Direction::Down);
    check_body(response.into_body(), &pattern, plan).await
}

fn check_head(headers: &HeaderMap, number: u64, plan: &Plan, session: &Session) -> Result<(), Fault> {
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("nothing");
    let (user, answered) = (said(upstream::USER), said(upstream::NUMBER));
    if user != session.user || answered != number.to_string() {
        let text = format!("{} got the answer to request {answered} of {user}", session.user);
        return Err(Fault::MixedUp(text));
    }
    let length = plan.up.map_or(0, |up| up.bytes);
    let uploaded = said(upstream::UPLOADED);
    if uploaded != length.to_string() {
        return Err(Fault::Lost(format!("of {length} bytes sent up, {uploaded} arrived")));
    }
    if said(upstream::SUM) != Pattern::new(&session.user, number, Direction::Up).sum(length) {
        return Err(Fault::MixedUp(format!("other bytes arrived than the {length} sent up")));
    }
    Ok(())
}

async fn check_body(mut body: Incoming, pattern: &Pattern, plan: &Plan) -> Result<Ending, Fault> {
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Fault::Lost(format!("{received} of {} bytes, then {error}", plan.down.bytes)))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if *data != pattern.bytes(received, data.len()) {
            return Err(Fault::MixedUp(format!(
                "foreign bytes after byte {received} of {}",
                plan.down.bytes
            )));
        }
        received += data.len() as u64;
        if plan.leaves && received < plan.down.bytes {
            return Ok(Ending::Left);
        }
    }
    if received == plan.down.bytes {
        Ok(Ending::Whole)
    } else {
        Err(Fault::Lost(format!("{received} of {} bytes", plan.down.bytes)))
    }
}
