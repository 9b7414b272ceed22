//! The admin listener over real sockets.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use super::*;

struct Running {
    addr: SocketAddr,
    state: Arc<State>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(what: Exposed) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let metrics = Metrics::with_sites(vec!["app.example".to_owned()]);
    metrics.worker().request(Some(0), 200, Duration::from_millis(1));
    let state = Arc::new(State::new(metrics));
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(listener, what, Arc::clone(&state), shutdown.clone()));
    Running { addr, state, shutdown, task }
}

impl Running {
    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn ask(&self, method: &str, path: &str) -> String {
        let host = self.addr;
        self.send(&format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[tokio::test]
async fn it_tells_health_and_figures() {
    let admin = start(Exposed::All).await;
    let live = admin.ask("GET", "/health/live").await;
    assert_eq!((status(&live), body(&live)), ("200", "live"));
    assert!(
        live.contains("cache-control: no-store\r\n") && live.contains("x-content-type-options: nosniff\r\n")
    );
    let figures = admin.ask("GET", "/metrics").await;
    assert!(figures.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(body(&figures).contains("vestibule_requests_total{site=\"app.example\",class=\"2xx\"} 1\n"));
    let head = admin.ask("HEAD", "/metrics").await;
    assert_eq!((status(&head), body(&head)), ("200", ""));
}

#[tokio::test]
async fn it_is_ready_until_it_is_told_otherwise() {
    let admin = start(Exposed::HealthOnly).await;
    let answer = admin.ask("GET", "/health/ready").await;
    assert_eq!((status(&answer), body(&answer)), ("200", r#"{"ready":true,"reasons":[]}"#));
    admin.state.hold("draining");
    let answer = admin.ask("GET", "/health/ready").await;
    assert_eq!((status(&answer), body(&answer)), ("503", r#"{"ready":false,"reasons":["draining"]}"#));
}

#[tokio::test]
async fn it_shows_nothing_else_and_takes_no_other_method() {
    let (all, health) = (start(Exposed::All).await, start(Exposed::HealthOnly).await);
    for path in ["/", "/metrics/", "/health", "/debug/pprof", "//metrics", "/health/../metrics"] {
        assert_eq!(status(&all.ask("GET", path).await), "404", "{path}");
    }
    assert_eq!(status(&health.ask("GET", "/metrics").await), "404");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get"] {
        assert_eq!(status(&all.ask(method, "/metrics").await), "405", "{method}");
    }
}

#[tokio::test]
async fn a_browser_that_was_led_here_gets_nothing() {
    let admin = start(Exposed::All).await;
    for (request, expected) in [
        ("GET /metrics HTTP/1.1\r\nhost: evil.example\r\n\r\n", "403"),
        ("GET /metrics HTTP/1.1\r\nhost: localhost\r\norigin: null\r\n\r\n", "403"),
        ("GET /metrics HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: cross-site\r\n\r\n", "403"),
        ("GET /metrics HTTP/1.1\r\n\r\n", "400"),
        ("GET http://evil.example/metrics HTTP/1.1\r\nhost: localhost\r\n\r\n", "400"),
    ] {
        let answer = admin.send(request).await;
        assert_eq!(status(&answer), expected, "{request}");
        assert!(!answer.contains("vestibule_"), "{answer}");
    }
}

#[tokio::test]
async fn too_many_connections_are_closed_and_the_listener_goes_on() {
    let admin = start(Exposed::All).await;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(TcpStream::connect(admin.addr).await.unwrap());
    }
    let mut extra = TcpStream::connect(admin.addr).await.unwrap();
    assert!(matches!(extra.read(&mut [0; 1]).await, Ok(0) | Err(_)), "the one too many is closed");
    // One of the others ends, and is seen to have ended when its socket is closed from the far side too.
    let mut first = open.swap_remove(0);
    first.shutdown().await.unwrap();
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).await.unwrap();
    let mut answer = String::new();
    while status(&answer) != "200" {
        tokio::task::yield_now().await;
        answer = admin.ask_or_be_closed("/health/live").await;
    }
}

impl Running {
    async fn ask_or_be_closed(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).await.is_ok()
            && stream.read_to_string(&mut answer).await.is_err()
        {
            answer.clear();
        }
        answer
    }
}

#[tokio::test]
async fn it_ends_when_told() {
    let admin = start(Exposed::All).await;
    let mut open = TcpStream::connect(admin.addr).await.unwrap();
    admin.ask("GET", "/health/live").await;
    admin.shutdown.cancel();
    admin.task.await.unwrap();
    assert!(matches!(open.read(&mut [0; 1]).await, Ok(0) | Err(_)));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_comes_is_not_waited_for() {
    let admin = start(Exposed::All).await;
    let mut stream = TcpStream::connect(admin.addr).await.unwrap();
    stream.write_all(b"GET /metrics HTT").await.unwrap();
    let mut answer = Vec::new();
    // The paused clock jumps to the deadline as soon as nothing else is left to do.
    let read = timeout(HEAD_TIMEOUT * 2, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection was still open after its deadline");
}
