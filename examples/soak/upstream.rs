//! The app behind the gateway: says who it was told is calling and what arrived, and sends bytes that only this user
//! and this request get.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Context as _;
use anyhow::Result;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::pattern::Direction;
use crate::pattern::Pattern;
use crate::pattern::PatternBody;
use crate::pattern::Sum;
use crate::plan::Size;

/// The answer's fields.
pub(crate) const USER: &str = "x-soak-user";
pub(crate) const NUMBER: &str = "x-soak-number";
pub(crate) const UPLOADED: &str = "x-soak-uploaded";
pub(crate) const SUM: &str = "x-soak-sum";

/// What a request's path asks for: `/soak/NUMBER/BYTES`, with `?chunked` for an answer of untold length.
pub(crate) fn path(number: u64, size: Size) -> String {
    let query = if size.told { "" } else { "?chunked" };
    format!("/soak/{number}/{}{query}", size.bytes)
}

/// Serves on a free port until the process ends.
pub(crate) async fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("binding the app")?;
    let address = listener.local_addr().context("asking the app's address")?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // Without it the last packet of an answer waits for the gateway's delayed acknowledgement.
            if socket.set_nodelay(true).is_err() {
                continue;
            }
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer)));
        }
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<PatternBody>, Infallible> {
    let asked = asked(request.uri().path());
    let told = request.uri().query().is_none();
    let user = request.headers().get("x-forwarded-user").and_then(|user| user.to_str().ok());
    let (Some((number, bytes)), Some(user)) = (asked, user.map(str::to_owned)) else {
        return Ok(refusal());
    };
    let mut sum = Sum::new();
    let mut uploaded = 0;
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Ok(refusal());
        };
        if let Some(data) = frame.data_ref() {
            sum.add(data);
            uploaded += data.len() as u64;
        }
    }
    let pattern = Pattern::new(&user, number, Direction::Down);
    let mut response = Response::new(PatternBody::new(pattern, Size { bytes, told }));
    let headers = response.headers_mut();
    tell(headers, USER, &user);
    tell(headers, NUMBER, &number.to_string());
    tell(headers, UPLOADED, &uploaded.to_string());
    tell(headers, SUM, &sum.finish());
    Ok(response)
}

fn asked(path: &str) -> Option<(u64, u64)> {
    let (number, bytes) = path.strip_prefix("/soak/")?.split_once('/')?;
    Some((number.parse().ok()?, bytes.parse().ok()?))
}

fn tell(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// No user, no number, or half an upload: the client sees a status it does not expect.
fn refusal() -> Response<PatternBody> {
    let mut response =
        Response::new(PatternBody::new(Pattern::new("", 0, Direction::Down), Size { bytes: 0, told: true }));
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    response
}
