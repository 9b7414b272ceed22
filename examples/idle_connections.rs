//! Holds many idle TLS connections, each after one answered request, so that somebody else can look at what they
//! cost the server. After each step it prints `holding N` and waits for a line on standard input.
//!
//! ```text
//! idle_connections --address 127.0.0.1:8443 --ca cert.pem --cookie 'name=value' --steps 1000,10000 [--http2]
//! ```

#![expect(clippy::print_stdout, reason = "the steps are told on standard output")]

#[path = "support/tls.rs"]
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::ensure;
use bytes::Bytes;
use clap::Parser;
use http_body_util::BodyExt as _;
use http_body_util::Empty;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http2;
use hyper::header;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::task::spawn_blocking;

use crate::tls::Target;

/// Open connections, ask once on each, and hold them.
#[derive(Parser)]
struct Arguments {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// Its name, for SNI, certificate and Host.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// PEM file with the certificate to trust.
    #[arg(long)]
    ca: PathBuf,
    /// What to ask for; the answer must be 200.
    #[arg(long, default_value = "/")]
    path: String,
    /// The Cookie header.
    #[arg(long)]
    cookie: Option<String>,
    /// HTTP/2 instead of HTTP/1.1.
    #[arg(long)]
    http2: bool,
    /// How many connections to hold, rising.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    steps: Vec<usize>,
    /// Handshakes at a time.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
}

/// Keeps a connection open for as long as it lives. The handle is held and never used again.
#[expect(dead_code, reason = "dropping it closes the connection")]
enum Held {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arc::new(Arguments::parse());
    let target = Target::new(arguments.address, &arguments.host, &arguments.ca, arguments.http2)?;
    let mut held = Vec::new();
    for &step in &arguments.steps {
        let mut opening = JoinSet::new();
        while held.len() < step {
            while opening.len() < arguments.at_once && held.len() + opening.len() < step {
                opening.spawn(open(target.clone(), Arc::clone(&arguments)));
            }
            if let Some(opened) = opening.join_next().await {
                let number = held.len() + 1;
                held.push(opened?.with_context(|| format!("connection {number}"))?);
            }
        }
        println!("holding {step}");
        if spawn_blocking(|| io::stdin().lines().next()).await?.is_none() {
            break;
        }
    }
    Ok(())
}

async fn open(target: Target, arguments: Arc<Arguments>) -> Result<Held> {
    let stream = TokioIo::new(target.connect().await?);
    if arguments.http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        take(sender.send_request(request(&arguments)?).await?).await?;
        Ok(Held::Two(sender))
    } else {
        let (mut sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        take(sender.send_request(request(&arguments)?).await?).await?;
        Ok(Held::One(sender))
    }
}

fn request(arguments: &Arguments) -> Result<Request<Empty<Bytes>>> {
    let authority = format!("{}:{}", arguments.host, arguments.address.port());
    let mut request = if arguments.http2 {
        Request::get(format!("https://{authority}{}", arguments.path))
    } else {
        Request::get(&arguments.path).header(header::HOST, authority)
    };
    if let Some(cookie) = &arguments.cookie {
        request = request.header(header::COOKIE, cookie);
    }
    request.body(Empty::new()).context("building the request")
}

async fn take(response: Response<Incoming>) -> Result<()> {
    let status = response.status();
    ensure!(status == 200, "the answer was {status}");
    response.into_body().collect().await.context("reading the answer")?;
    Ok(())
}
