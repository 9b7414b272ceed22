//! A server with a talkative handler, and clients that say exactly what they are told.

use bytes::Bytes;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use std::convert::Infallible;
use std::future::Future;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vestibule::clock::Clock;
use vestibule::net::Host;
use vestibule::net::TrustedProxies;
use vestibule::server::CertificateFiles;
use vestibule::server::Entrance;
use vestibule::server::Inherited;
use vestibule::server::Limits;
use vestibule::server::ListenSettings;
use vestibule::server::MinTls;
use vestibule::server::Options;
use vestibule::server::Peer;
use vestibule::server::Refusal;
use vestibule::server::Running;
use vestibule::server::Server;
use vestibule::server::Tls;
use vestibule::server::TlsSettings;

pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) type Reply = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>>>>;

/// Answers with what it saw; a few paths do something else.
pub(crate) fn answer(peer: Arc<Peer>, request: Request<Incoming>) -> Reply {
    Box::pin(async move {
        if let Some(refusal) = Refusal::of(&request) {
            return Ok(reply(refusal.status(), refusal.reason()));
        }
        let seen = format!(
            "{} {} from {} by {:?} dev {:?}",
            request.method(),
            request.uri().path(),
            peer.addr.0.ip(),
            peer.tls.as_ref().and_then(|tls| tls.sni.as_ref()).map(Host::as_str),
            peer.tls.as_ref().map(|tls| tls.development_certificate),
        );
        match request.uri().path() {
            "/panic" => panic!("asked to"),
            "/never" => pending().await,
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Ok(reply(StatusCode::OK, &seen))
            }
            "/large" => Ok(reply(StatusCode::OK, &"x".repeat(16 << 20))),
            "/echo" => Ok(match request.into_body().collect().await {
                Ok(body) => Response::new(Full::new(body.to_bytes())),
                Err(_) => reply(StatusCode::BAD_REQUEST, "body failed"),
            }),
            "/tunnel" => Ok(tunnel(request)),
            _ => Ok(reply(StatusCode::OK, &seen)),
        }
    })
}

pub(crate) fn reply(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}

pub(crate) fn tunnel(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = hyper_util::rt::TokioIo::new(upgraded.await.unwrap());
        let mut word = [0; 5];
        io.read_exact(&mut word).await.unwrap();
        io.write_all(&word).await.unwrap();
    });
    let mut response = reply(StatusCode::SWITCHING_PROTOCOLS, "");
    for (name, value) in [("upgrade", "websocket"), ("connection", "upgrade")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(crate) fn limits() -> Limits {
    Limits {
        header_bytes: 32 * 1024,
        headers: 100,
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        connections: 1000,
    }
}

pub(crate) struct Gateway {
    pub(crate) running: Running,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) tls: Tls,
    pub(crate) files: Vec<CertificateFiles>,
    _directory: TempDir,
}

pub(crate) fn files(directory: &TempDir, name: &str) -> CertificateFiles {
    CertificateFiles {
        cert: directory.path().join(format!("{name}.pem")),
        key: directory.path().join(format!("{name}.key")),
    }
}

pub(crate) fn write(files: &CertificateFiles, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
}

pub(crate) fn listen() -> ListenSettings {
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    ListenSettings {
        https: vec![local],
        http: vec![local],
        http_redirect: vec![],
        admin: None,
        admin_socket: None,
        health: None,
        trusted_proxies: TrustedProxies::default(),
    }
}

pub(crate) fn gateway_with(listen: &ListenSettings, limits: Limits) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let files = vec![files(&directory, "dev"), files(&directory, "other")];
    write(&files[1], &["other.test", "*.wild.test"]);
    let settings = TlsSettings { certificates: files.clone(), generate: true, min_version: MinTls::V1_2 };
    let tls = Tls::load(&settings, &[Host::parse("app.test").unwrap()], Clock::system().now()).unwrap();
    let server = Server::bind(listen, Inherited::default()).unwrap();
    let addrs = server.addrs();
    let find = |wanted| addrs.iter().find(|(entrance, _)| *entrance == wanted).unwrap().1;
    let options = Options { workers: 2, limits, tls: Some(tls.clone()) };
    let make = || |peer: Arc<Peer>| service_fn(move |request| answer(Arc::clone(&peer), request));
    Gateway {
        http: find(Entrance::Http),
        https: find(Entrance::Https),
        running: server.start(options, make).unwrap(),
        tls,
        files,
        _directory: directory,
    }
}

impl Gateway {
    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.running.figures().open.load(Ordering::Relaxed)
    }
}

pub(crate) fn gateway() -> Gateway {
    gateway_with(&listen(), limits())
}

pub(crate) async fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

/// Everything until the other side closes.
pub(crate) async fn rest<S: AsyncReadExt + Unpin>(stream: &mut S) -> String {
    let mut all = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut all)).await.expect("it was not closed");
    drop(read);
    String::from_utf8_lossy(&all).into_owned()
}

/// One answer with a `content-length`.
pub(crate) async fn one<S: AsyncReadExt + Unpin>(stream: &mut S) -> String {
    let mut all = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        let read = timeout(SOON, stream.read_buf(&mut all)).await.expect("no answer").unwrap();
        assert!(read > 0, "closed after {text:?}");
    }
}

pub(crate) async fn talk(addr: SocketAddr, input: &str) -> String {
    let mut stream = connect(addr).await;
    stream.write_all(input.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

pub(crate) async fn handshake(
    gateway: &Gateway,
    name: &str,
    cert: usize,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&gateway.files[cert].cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let tcp = connect(gateway.https).await;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

pub(crate) const GET: &str = "GET /x HTTP/1.1\r\nHost: app.test\r\n\r\n";
pub(crate) const LAST: &str = "GET /last HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";
