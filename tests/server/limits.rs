//! Deadlines, counts, and whose word is believed.

use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use vestibule::net::TrustedProxies;
use vestibule::server::Limits;
use vestibule::server::ListenSettings;

use crate::support::GET;
use crate::support::LAST;
use crate::support::SOON;
use crate::support::connect;
use crate::support::gateway;
use crate::support::gateway_with;
use crate::support::handshake;
use crate::support::limits;
use crate::support::listen;
use crate::support::one;
use crate::support::rest;
use crate::support::status;
use crate::support::talk;

#[tokio::test]
async fn the_silent_and_the_slow_are_cut_at_their_deadlines() {
    let short = Limits {
        header_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_millis(800),
        ..limits()
    };
    let gateway = gateway_with(&listen(), short);
    // Before TLS, before a request, between requests.
    assert_eq!(rest(&mut connect(gateway.https).await).await, "");
    assert_eq!(rest(&mut connect(gateway.http).await).await, "");
    assert_eq!(
        rest(&mut handshake(&gateway, "app.test", 0, &["h2"]).await.unwrap()).await.find("HTTP/1"),
        None
    );
    assert_eq!(talk(gateway.http, GET).await.matches("HTTP/1.1 200").count(), 1);
    // Half a head, half a body.
    assert_eq!(status(&talk(gateway.http, "GET / HTTP/1.1\r\nHost:").await), 408);
    let half = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
    assert_eq!(status(&talk(gateway.http, half).await), 400);
    // A reader that stops reading; a handler that takes its time is not a slow client.
    let mut stream = connect(gateway.http).await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut waiting = connect(gateway.http).await;
    waiting.write_all(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let count = async |wanted: usize| {
        while gateway.open() != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, count(2)).await.expect("they were not accepted");
    timeout(SOON, count(1)).await.expect("the slow reader is still there");
    assert!(rest(&mut stream).await.len() < 16 << 20);
    assert_eq!(gateway.open(), 1, "the waiting one was cut");
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let gateway = gateway();
    let mut stream = connect(gateway.http).await;
    stream.write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n").await.unwrap();
    let chunk = vec![b'x'; 16 * 1024];
    for _ in 0..3 {
        // What was not wanted is taken for a while, or the reset would swallow the answer.
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status(&rest(&mut stream).await), 200);
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_their_turn() {
    let gateway = gateway_with(&listen(), Limits { connections: 2, ..limits() });
    let mut first = connect(gateway.http).await;
    first.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(status(&one(&mut first).await), 200);
    let second = connect(gateway.http).await;
    let mut third = connect(gateway.http).await;
    third.write_all(GET.as_bytes()).await.unwrap();
    let early = timeout(Duration::from_millis(200), third.readable()).await;
    assert!(early.is_err(), "a third connection was served");
    drop(second);
    assert_eq!(status(&one(&mut third).await), 200);
}

#[tokio::test]
async fn listed_proxies_name_their_client_and_nobody_else_does() {
    let trusted = ListenSettings {
        trusted_proxies: TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]),
        ..listen()
    };
    let header = "PROXY TCP4 192.0.2.7 10.0.0.1 5555 443\r\n";
    let gateway_behind = gateway_with(&trusted, limits());
    let answers = talk(gateway_behind.http, &format!("{header}{LAST}")).await;
    assert!(answers.contains("from 192.0.2.7"), "{answers}");
    let answers = talk(gateway_behind.http, LAST).await;
    assert!(answers.contains("from 127.0.0.1"), "{answers}");
    let gateway_alone = gateway();
    assert_eq!(status(&talk(gateway_alone.http, &format!("{header}{LAST}")).await), 400);
}
