//! `WebSocket`s: after both sides have agreed, bytes pass both ways until one side or the session ends.

mod farewell;
mod frames;

use std::pin::pin;

use aws_lc_rs::digest;
use data_encoding::BASE64;
use http::HeaderMap;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::headers::hop;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;
use crate::pipeline::reply::ReplyBody;
use crate::pipeline::tunnel::farewell::Farewell;
use crate::pipeline::tunnel::frames::Tracked;
use crate::route::Site;
use crate::upstream::Tunnel;

/// What a browser offered: its key, and its side of the connection.
pub(crate) struct Handshake {
    pub(crate) key: HeaderValue,
    pub(crate) browser: OnUpgrade,
}

/// The browser's side of a connection that may be taken over after the answer.
pub(crate) fn take_upgrade(head: &mut Parts) -> Option<OnUpgrade> {
    head.extensions.remove::<OnUpgrade>()
}

impl Gateway {
    /// Joins the two sides after the app has answered 101, if it really accepted this handshake.
    pub(crate) fn tunnel(
        &self,
        exchange: &Exchange,
        site: &Site,
        handshake: Handshake,
        (answer, app): (Response<()>, Tunnel),
    ) -> Result<Reply, Reject> {
        let Handshake { key, browser } = handshake;
        if !accepts(answer.headers(), &key) {
            return Err(Reject::BadHandshake);
        }
        let bond = self.bond(exchange, site);
        tokio::spawn(async move {
            let ended = async {
                match bond {
                    Some(bond) => bond.end().await,
                    None => std::future::pending().await,
                }
            };
            let mut ended = pin!(ended);
            let upgraded = tokio::select! {
                _why = &mut ended => return,
                upgraded = browser => upgraded,
            };
            let Ok(upgraded) = upgraded else { return };
            let (mut browser, mut app) = (Tracked::new(TokioIo::new(upgraded)), Tracked::new(app));
            let why = tokio::select! {
                why = ended => why,
                // How a tunnel ends, its two ends know; there is no one else to tell.
                _done = tokio::io::copy_bidirectional(&mut browser, &mut app) => return,
            };
            farewell::part(browser, app, Farewell::of(why)).await;
        });
        let (mut head, ()) = answer.into_parts();
        hop::clean_response(&mut head.headers);
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        head.status = StatusCode::SWITCHING_PROTOCOLS;
        Ok(Reply::app(Response::from_parts(head, ReplyBody::empty()), true))
    }
}

/// Whether the app's answer belongs to the handshake with `key` (RFC 6455 §4.2.2).
fn accepts(headers: &HeaderMap, key: &HeaderValue) -> bool {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(GUID);
    let expected = BASE64.encode(hash.finish().as_ref());
    let mut given = headers.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
    let fits = given.next().is_some_and(|given| given.as_bytes() == expected.as_bytes());
    let upgrade =
        headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    fits && given.next().is_none() && upgrade
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_answer_to_the_handshake_is_accepted() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        assert!(!accepts(&headers, &key));
        headers
            .insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(accepts(&headers, &key));
        assert!(!accepts(&headers, &HeaderValue::from_static("another")));
    }
}
