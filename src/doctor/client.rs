//! One request at a time, each on a connection of its own, bounded in number, rate, time and size: what looks at a site
//! must not be a burden to it, and whatever the site does must not be one to us.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::header;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::net::lookup_host;
use tokio::time::Interval;
use tokio::time::MissedTickBehavior;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::doctor::target::Target;
use crate::doctor::tls::Handshake;
use crate::doctor::tls::Tls;

/// What a request may take, from the connection to the last byte of the answer's head.
const PATIENCE: Duration = Duration::from_secs(10);
/// And its body after that.
const BODY_PATIENCE: Duration = Duration::from_secs(3);
/// So much of a body is read.
const MOST_BODY: usize = 256 << 10;
const MOST_HEAD: usize = 256 << 10;
const MOST_FIELDS: usize = 1000;
/// And so much of anything: interim answers without end are read without a pause, in which no timer would run.
const MOST_BYTES: u64 = 1 << 20;

/// Who is asking: a browser as far as sites tell them apart, and honest about what it is.
const AGENT: &str = concat!("Mozilla/5.0 (compatible; vestibule-doctor/", env!("CARGO_PKG_VERSION"), ")");

/// A request to make.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Ask {
    /// A page, as somebody asks for it who types its address.
    pub(crate) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: Vec::new(), body: Bytes::new() }
    }

    /// The same with one field more, or another value of one.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// An answer, as far as it was read. It holds cookies, so it cannot be printed.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Nothing on plain HTTP.
    pub(crate) tls: Option<Handshake>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The look has made all the requests it may.
    #[error("no request is left")]
    NoneLeft,
    /// It would have gone to another host.
    #[error("it is on another host, or on another port or scheme of this one")]
    OtherHost,
    /// Nobody took the connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// TLS did not come about.
    #[error("no TLS: {0}")]
    Tls(io::Error),
    /// It took too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TimedOut,
    /// What came was no answer.
    #[error("no readable answer: {0}")]
    BadAnswer(hyper::Error),
    /// The request cannot be written.
    #[error("the request cannot be written")]
    BadRequest,
    /// It is busy, broken, or has had enough of us.
    #[error("it answers {0}: wait a while, and see that nothing in front of it limits requests")]
    NotNow(u16),
    /// A login that worked before does not any more.
    #[error(
        "logging in worked at first and does not now: the site may allow one session a user, or slow logins down"
    )]
    NotInAgain,
}

/// Asks.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    tls: Tls,
    left: usize,
    made: usize,
    pace: Interval,
}

impl Client {
    /// One that makes at most `most` requests to the target's host, no two within `pace`.
    pub(crate) fn new(target: Target, tls: Tls, most: usize, pace: Duration) -> Self {
        let mut pace = tokio::time::interval(pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { target, tls, left: most, made: 0, pace }
    }

    /// Allows for so many more.
    pub(crate) fn grant(&mut self, more: usize) {
        self.left += more;
    }

    /// How many requests were made.
    pub(crate) fn made(&self) -> usize {
        self.made
    }

    /// Waits for its turn, and asks.
    pub(crate) async fn send(&mut self, ask: Ask) -> Result<Answer, Trouble> {
        let socket = self.turn(&ask.url).await?;
        let Ok(begun) = timeout(PATIENCE, self.begin(socket, ask)).await else {
            return Err(Trouble::TimedOut);
        };
        let (connection, response, tls) = begun?;
        let (head, body) = response.into_parts();
        let body = read(body).await;
        drop(connection);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, tls })
    }

    /// A connection that counts as a request.
    pub(crate) async fn turn(&mut self, url: &Url) -> Result<TcpStream, Trouble> {
        if !self.target.has_host_of(url) {
            return Err(Trouble::OtherHost);
        }
        self.left = self.left.checked_sub(1).ok_or(Trouble::NoneLeft)?;
        self.pace.tick().await;
        let connecting = async {
            let addresses = addresses(&self.target, url).await?;
            self.made += 1;
            TcpStream::connect(&*addresses).await
        };
        match timeout(PATIENCE, connecting).await {
            Ok(connected) => connected.map_err(Trouble::Connect),
            Err(_elapsed) => Err(Trouble::TimedOut),
        }
    }

    async fn begin(&self, socket: TcpStream, ask: Ask) -> Result<Begun, Trouble> {
        let request = request(&ask).ok_or(Trouble::BadRequest)?;
        if ask.url.scheme() == "http" {
            let (connection, response) = exchange(socket, request).await?;
            return Ok((connection, response, None));
        }
        let (stream, handshake) =
            self.tls.connect(bare_host(&ask.url), socket).await.map_err(Trouble::Tls)?;
        let (connection, response) = exchange(stream, request).await?;
        Ok((connection, response, Some(handshake)))
    }
}

/// What came of a connection.
#[derive(Debug)]
pub(crate) enum Reach {
    /// Somebody took it.
    Taken,
    /// So did this machine itself.
    Own,
    /// Nobody did, and this shows it.
    NotTaken(String),
    /// Whether anybody would was not learnt.
    Unknown(String),
}

/// What shows that an address takes no connection. That this machine has no way to it (no IPv6, say) shows nothing.
const SHUT: [io::ErrorKind; 4] = [
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::TimedOut,
];

/// So many addresses of a name are tried.
const MOST_ADDRESSES: usize = 4;

/// Tries a connection to each address of a name, and sends nothing. One that is taken settles it, one that could not be
/// tried leaves it open.
pub(crate) async fn reach(app: &Target) -> Reach {
    let addresses = match timeout(PATIENCE, addresses(app, app.url())).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Reach::Unknown(error.to_string()),
        Err(_elapsed) => return Reach::Unknown("its name took too long to look up".to_owned()),
    };
    let too_many = || Reach::Unknown("its name has more addresses than are tried".to_owned());
    let mut so_far = (addresses.len() > MOST_ADDRESSES).then(too_many);
    for address in addresses.into_iter().take(MOST_ADDRESSES) {
        match (reach_address(address).await, &so_far) {
            (taken @ (Reach::Taken | Reach::Own), _) => return taken,
            (_, Some(Reach::Unknown(_))) => {}
            (other, _) => so_far = Some(other),
        }
    }
    so_far.unwrap_or_else(|| Reach::Unknown("its name has no address".to_owned()))
}

async fn reach_address(address: SocketAddr) -> Reach {
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(socket)) => match (socket.local_addr(), socket.peer_addr()) {
            (Ok(here), Ok(there)) if here.ip() == there.ip() => Reach::Own,
            _ => Reach::Taken,
        },
        Ok(Err(error)) if SHUT.contains(&error.kind()) => Reach::NotTaken(error.to_string()),
        Ok(Err(error)) => Reach::Unknown(error.to_string()),
        // What a firewall does that drops packets.
        Err(_elapsed) => Reach::NotTaken(Trouble::TimedOut.to_string()),
    }
}

/// Where `url`, which is on the target's host, is.
async fn addresses(target: &Target, url: &Url) -> io::Result<Vec<SocketAddr>> {
    let port = url.port_or_known_default().unwrap_or(443);
    if target.told().is_empty() {
        return lookup_host((reached_as(url), port)).await.map(Iterator::collect);
    }
    let told: Vec<_> = target.told().iter().filter(|at| at.port() == port).copied().collect();
    if told.is_empty() {
        let untold = format!("--resolve does not say where port {port} of {} is", bare_host(url));
        return Err(io::Error::new(io::ErrorKind::NotFound, untold));
    }
    Ok(told)
}

type Connection = AbortOnDropHandle<Result<(), hyper::Error>>;
type Begun = (Connection, http::Response<Incoming>, Option<Handshake>);

/// The name that is looked up. All names below `localhost` are this machine's, as browsers have it (RFC 6761 §6.3); many
/// resolvers do not know them.
fn reached_as(url: &Url) -> &str {
    let host = bare_host(url);
    if host.ends_with(".localhost") { "localhost" } else { host }
}

fn bare_host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn request(ask: &Ask) -> Option<Request<Full<Bytes>>> {
    let path = url_path(&ask.url);
    let host = ask.url.port().map_or_else(
        || ask.url.host_str().unwrap_or_default().to_owned(),
        |port| format!("{}:{port}", ask.url.host_str().unwrap_or_default()),
    );
    let mut request =
        Request::builder().method(&ask.method).uri(path).body(Full::new(ask.body.clone())).ok()?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::try_from(host).ok()?);
    for (name, value) in [
        ("user-agent", AGENT),
        ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
        ("accept-language", "en"),
        // Nothing is unpacked here: a small answer stays small.
        ("accept-encoding", "identity"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-user", "?1"),
        ("upgrade-insecure-requests", "1"),
        ("connection", "close"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for (name, value) in &ask.headers {
        headers.insert(name, value.clone());
    }
    Some(request)
}

fn url_path(url: &Url) -> String {
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", url.path())
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(Connection, http::Response<Incoming>), Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (reader, writer) = tokio::io::split(stream);
    let io = tokio::io::join(reader.take(MOST_BYTES), writer);
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(MOST_FIELDS)
        .max_buf_size(MOST_HEAD)
        .handshake(TokioIo::new(io))
        .await
        .map_err(Trouble::BadAnswer)?;
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(Trouble::BadAnswer)?;
    Ok((connection, response))
}

// As much of a body as comes in time and is not too much.
async fn read(mut body: Incoming) -> Vec<u8> {
    let mut read = Vec::new();
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            let data = frame.into_data().unwrap_or_default();
            let room = MOST_BODY.saturating_sub(read.len());
            read.extend_from_slice(data.get(..room).unwrap_or(&data));
            if read.len() >= MOST_BODY {
                break;
            }
        }
    };
    // What came until then is enough.
    drop(timeout(BODY_PATIENCE, all).await);
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_reached_as_long_as_somebody_listens() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let app = Target::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        assert!(matches!(reach(&app).await, Reach::Own));
        drop(listener);
        assert!(matches!(reach(&app).await, Reach::NotTaken(_)));
        // Longer than a name may be, so that nobody is asked for it.
        let nobody = Target::parse(&format!("http://{}.invalid/", "x".repeat(64))).unwrap();
        assert!(matches!(reach(&nobody).await, Reach::Unknown(_)));
    }
}
