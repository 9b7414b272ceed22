//! Certificates, their reload, and HTTP/2.

use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use vestibule::server::CertificateEvent;

use crate::support::GET;
use crate::support::LAST;
use crate::support::SOON;
use crate::support::gateway;
use crate::support::handshake;
use crate::support::rest;
use crate::support::talk;
use crate::support::write;

#[tokio::test]
async fn tls_names_choose_the_certificate_and_unknown_ones_are_refused() {
    let gateway = gateway();
    for (name, cert, seen) in [
        ("app.test", 0, "by Some(\"app.test\") dev Some(true)"),
        ("localhost", 0, "by Some(\"localhost\") dev Some(true)"),
        ("127.0.0.1", 0, "by None dev Some(true)"),
        ("other.test", 1, "by Some(\"other.test\") dev Some(false)"),
        ("a.wild.test", 1, "by Some(\"a.wild.test\") dev Some(false)"),
    ] {
        let mut stream = handshake(&gateway, name, cert, &["http/1.1"]).await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(
            session.negotiated_key_exchange_group().unwrap().name(),
            rustls::NamedGroup::X25519MLKEM768
        );
        stream.write_all(LAST.as_bytes()).await.unwrap();
        let answers = rest(&mut stream).await;
        assert!(answers.ends_with(seen), "{name}: {answers}");
    }
    let refused = handshake(&gateway, "unknown.test", 0, &[]).await.unwrap_err().to_string();
    assert!(refused.contains("UnrecognisedName"), "{refused}");
    let refused = handshake(&gateway, "app.test", 0, &["spdy/3"]).await.unwrap_err().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    let told = talk(gateway.https, GET).await;
    assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("https://"), "no app answers there: {told}");
}

#[tokio::test]
async fn changed_certificates_come_into_use_while_it_runs() {
    let gateway = gateway();
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let tls = gateway.tls.clone();
    let watch = async move {
        let tell = |event: &CertificateEvent| {
            sender.send(matches!(event, CertificateEvent::Reloaded { .. })).unwrap();
        };
        tls.watch(tell).await;
    };
    let follow = async {
        assert!(handshake(&gateway, "fresh.test", 1, &[]).await.is_err());
        write(&gateway.files[1], &["fresh.test"]);
        assert_eq!(timeout(SOON, events.recv()).await.unwrap(), Some(true));
        handshake(&gateway, "fresh.test", 1, &[]).await.unwrap();
        std::fs::write(&gateway.files[0].cert, "broken").unwrap();
        assert_eq!(timeout(SOON, events.recv()).await.unwrap(), Some(false));
        handshake(&gateway, "fresh.test", 1, &[]).await.unwrap();
    };
    tokio::select! {
        () = watch => {}
        () = follow => {}
    }
}

#[tokio::test]
async fn http2_is_served_and_held_to_the_same_rules() {
    let gateway = gateway();
    let stream = handshake(&gateway, "app.test", 0, &["h2", "http/1.1"]).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for (uri, headers, expected) in [
        ("https://app.test/x", vec![], 200),
        ("https://app.test/x", vec![("host", "app.test")], 200),
        ("https://app.test/x", vec![("host", "other.test")], 400),
        ("https://app.test/x", vec![("pad", " x")], 400),
        ("https://app.test/x", vec![("x", ""); 101], 431),
    ] {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        client = client.ready().await.unwrap();
        let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        assert_eq!(timeout(SOON, response).await.unwrap().unwrap().status(), expected, "{uri}");
    }
}

#[tokio::test]
async fn requests_taken_back_by_the_hundred_end_an_http2_connection() {
    let gateway = gateway();
    let stream = handshake(&gateway, "app.test", 0, &["h2"]).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..1000 {
        let Ok(ready) = client.ready().await else { break };
        client = ready;
        let request = Request::get("https://app.test/never").body(()).unwrap();
        let Ok((response, mut body)) = client.send_request(request, true) else {
            break;
        };
        tokio::task::yield_now().await;
        body.send_reset(h2::Reason::CANCEL);
        drop(response);
    }
    let ended = timeout(SOON, connection).await.expect("it is still open").unwrap();
    drop(ended);
}
