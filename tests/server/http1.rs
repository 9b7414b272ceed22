//! What HTTP/1 requests get.

use tokio::io::AsyncWriteExt;

use crate::support::GET;
use crate::support::LAST;
use crate::support::connect;
use crate::support::gateway;
use crate::support::one;
use crate::support::rest;
use crate::support::status;
use crate::support::talk;

#[tokio::test]
async fn clean_requests_are_answered_in_order_on_one_connection() {
    let gateway = gateway();
    let answers = talk(gateway.http, &format!("{GET}{GET}{LAST}")).await;
    assert_eq!(answers.matches("GET /x from 127.0.0.1").count(), 2, "{answers}");
    assert!(answers.ends_with("GET /last from 127.0.0.1 by None dev None"), "{answers}");
}

#[tokio::test]
async fn a_bad_request_is_refused_through_the_handler_and_nothing_behind_it_is_read() {
    let gateway = gateway();
    for (head, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 417),
        ("\x16\x03\x01\x02\x00", 400),
    ] {
        let answers = talk(gateway.http, &format!("{head}{GET}")).await;
        assert_eq!(
            (status(&answers), answers.matches("HTTP/1.1 ").count()),
            (expected, 1),
            "{head:?}: {answers}"
        );
        assert!(answers.to_lowercase().contains("connection: close"), "{answers}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000));
    assert_eq!(status(&talk(gateway.http, &long).await), 414);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(100));
    assert_eq!(status(&talk(gateway.http, &many).await), 431);
}

#[tokio::test]
async fn a_bad_request_behind_a_good_one_leaves_the_good_one_alone() {
    let gateway = gateway();
    let slow = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = talk(gateway.http, &format!("{slow}GET / HTTP/1.1\r\n\r\n{GET}")).await;
    assert!(answers.contains("GET /slow from"), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{answers}");
    assert!(answers.contains("HTTP/1.1 400"), "{answers}");
}

#[tokio::test]
async fn bodies_pass_and_broken_framing_makes_them_fail() {
    let gateway = gateway();
    let post = |framing: &str, body: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n{body}")
    };
    let answers = talk(gateway.http, &post("Content-Length: 5", "hello")).await;
    assert!(answers.ends_with("\r\n\r\nhello"), "{answers}");
    let answers = talk(
        gateway.http,
        &post("Transfer-Encoding: chunked", "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: v\r\n\r\n"),
    )
    .await;
    assert!(answers.ends_with("hello world"), "{answers}");
    for body in ["5\r\nhelloXX0\r\n\r\n", "5\nhello\r\n", "0x5\r\nhello\r\n", "5 \r\nhello\r\n0\r\n\r\n"] {
        let input = format!("{}{GET}", post("Transfer-Encoding: chunked", body));
        let answers = talk(gateway.http, &input).await;
        assert_eq!((status(&answers), answers.matches("HTTP/1.1 ").count()), (400, 1), "{body:?}: {answers}");
    }
    let mut stream = connect(gateway.http).await;
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    assert!(one(&mut stream).await.starts_with("HTTP/1.1 100 "));
    stream.write_all(b"ok").await.unwrap();
    assert!(one(&mut stream).await.ends_with("ok"));
}

#[tokio::test]
async fn a_tunnel_opens_only_behind_a_clean_websocket_request() {
    let gateway = gateway();
    let ask = "GET /tunnel HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let mut stream = connect(gateway.http).await;
    stream.write_all(ask.as_bytes()).await.unwrap();
    assert_eq!(status(&one(&mut stream).await), 101);
    stream.write_all(b"h\0l\nx").await.unwrap();
    assert_eq!(rest(&mut stream).await, "h\0l\nx");
    // Refused by the handler: what was sent ahead is not read as a request.
    let refused = ask.replace("/tunnel", "/x");
    let answers = talk(gateway.http, &format!("{refused}{GET}")).await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    assert!(answers.contains("connection: close"), "{answers}");
}

#[tokio::test]
async fn a_panic_ends_one_connection_only() {
    let gateway = gateway();
    let mut bystanders = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(gateway.http).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(status(&one(&mut stream).await), 200);
        bystanders.push(stream);
    }
    for _ in 0..2 {
        assert_eq!(talk(gateway.http, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await, "");
    }
    for stream in &mut bystanders {
        stream.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(status(&one(stream).await), 200);
    }
}

#[tokio::test]
async fn a_long_head_in_many_pieces_passes_whole() {
    let gateway = gateway();
    let head =
        format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nPad: {}\r\n\r\n", "p".repeat(30_000));
    let mut stream = connect(gateway.http).await;
    stream.set_nodelay(true).unwrap();
    for piece in head.as_bytes().chunks(1_000) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&rest(&mut stream).await), 200);
    assert_eq!(status(&talk(gateway.http, &head).await), 200);
}
