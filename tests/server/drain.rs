//! Beginning and ending.

use http::Request;
use hyper::service::service_fn;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use vestibule::server::Drained;
use vestibule::server::Inherited;
use vestibule::server::ListenSettings;
use vestibule::server::Options;
use vestibule::server::Peer;
use vestibule::server::Server;
use vestibule::server::StartError;

use crate::support::GET;
use crate::support::answer;
use crate::support::connect;
use crate::support::gateway;
use crate::support::handshake;
use crate::support::limits;
use crate::support::listen;
use crate::support::one;
use crate::support::rest;
use crate::support::status;

#[tokio::test]
async fn draining_finishes_what_runs_closes_what_rests_and_cuts_what_stays() {
    let gateway = gateway();
    let http = gateway.http;
    let mut resting = connect(http).await;
    resting.write_all(GET.as_bytes()).await.unwrap();
    one(&mut resting).await;
    let mut busy = connect(http).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut stuck = connect(http).await;
    stuck.write_all(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let stream = handshake(&gateway, "app.test", 0, &["h2"]).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://app.test/slow").body(()).unwrap();
    let (response, _) = client.ready().await.unwrap().send_request(request, true).unwrap();
    // So that all of them have arrived when the end begins.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let figures = Arc::clone(gateway.running.figures());
    assert_eq!(figures.open.load(Ordering::Relaxed), 4);
    let drained = tokio::spawn(gateway.running.drain(Duration::from_secs(2), ready(())));
    assert_eq!(rest(&mut resting).await, "");
    // Its end is seen here a moment before it is counted there.
    let counted = async {
        while !(1..=3).contains(&figures.open.load(Ordering::Relaxed)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let counted = tokio::time::timeout(Duration::from_secs(1), counted).await;
    assert!(counted.is_ok(), "room that is waited for is not in use");
    let answer = rest(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.contains("GET /slow"), "{answer}");
    assert_eq!(response.await.unwrap().status(), 200);
    connection.await.unwrap().unwrap();
    assert_eq!(rest(&mut stuck).await, "");
    assert_eq!(drained.await.unwrap(), Drained { finished: 3, cut: 1 });
    assert!(TcpStream::connect(http).await.is_err(), "it still listens");
}

#[tokio::test]
async fn what_waits_in_the_queue_is_still_served_when_draining() {
    let gateway = gateway();
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = connect(gateway.http).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    let rest_is_done = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&rest_is_done);
    let drained =
        gateway.running.drain(Duration::from_secs(10), async move { done.store(true, Ordering::Relaxed) });
    assert_eq!(drained.await.cut, 0);
    assert!(rest_is_done.load(Ordering::Relaxed), "nobody waited");
    for stream in &mut streams {
        assert_eq!(status(&rest(stream).await), 200);
    }
}

#[test]
fn a_taken_port_and_a_missing_certificate_are_told_plainly() {
    let first = Server::bind(&listen(), Inherited::default()).unwrap();
    let taken = first.addrs()[0].1;
    let again = ListenSettings { https: vec![taken], ..listen() };
    let error = Server::bind(&again, Inherited::default()).unwrap_err().to_string();
    assert!(
        error.contains("listen.https")
            && error.contains(&taken.to_string())
            && error.contains("another program"),
        "{error}"
    );
    let options = Options { workers: 1, limits: limits(), tls: None };
    let make = || |peer: Arc<Peer>| service_fn(move |request| answer(Arc::clone(&peer), request));
    assert!(matches!(first.start(options, make), Err(StartError::NoCertificate)));
}
