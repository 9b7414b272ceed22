//! Forms that another site sends, sent once more by a page of ours: a payment or a sign-on elsewhere ends in one, and it
//! arrives without our `SameSite=Lax` cookie. Only where a rule says `cross_site: resubmit`.
//!
//! Once and no more: the second sending is marked in its address, and a marked one that is still another site's is
//! refused, so that a page that cannot become ours (a sandboxed window) does not send for ever.

use std::str::FromStr;

use http::Method;
use http::Uri;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use hyper::body::Incoming;

use crate::access::csrf::Provenance;
use crate::access::csrf::provenance;
use crate::login::posted_fields;
use crate::pages::ResubmitView;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::own;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;

/// The longest form that is sent once more.
const MOST_BYTES: usize = 64 * 1024;

/// The most fields it may have: each becomes an element of the page.
const MOST_FIELDS: usize = 512;

/// What the second sending's query ends with. The app does not see it.
const MARK: &str = "vestibule-resubmitted";

/// Whether this is a form that another site made the browser send here in a window of its own, for the first time.
pub(crate) fn is_due(exchange: &Exchange, head: &Parts) -> bool {
    let Some(authority) = exchange.authority() else { return false };
    let field = |name: &str| head.headers.get(name).map(http::HeaderValue::as_bytes);
    let form = field(CONTENT_TYPE.as_str()).and_then(|kind| kind.split(|byte| *byte == b';').next());
    head.method == Method::POST
        && matches!(provenance(&head.headers, authority, exchange.scheme), Provenance::Foreign(_))
        && field("sec-fetch-mode").is_none_or(|mode| mode == b"navigate")
        && field("sec-fetch-dest").is_none_or(|dest| dest == b"document")
        && form
            .is_some_and(|form| form.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded"))
        && !is_marked(&head.uri)
}

/// Whether this is the second sending of another site's form.
pub(crate) fn is_marked(uri: &Uri) -> bool {
    without_mark(uri.query().unwrap_or_default()).is_some()
}

/// The query without the mark; nothing if it has none.
fn without_mark(query: &str) -> Option<&str> {
    let rest = query.strip_suffix(MARK)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_suffix('&') }
}

/// Takes the mark out of the address.
pub(crate) fn unmark(head: &mut Parts) -> Result<(), Reject> {
    let Some(query) = head.uri.query().and_then(without_mark) else { return Ok(()) };
    let joint = if query.is_empty() { "" } else { "?" };
    let target = format!("{}{joint}{query}", head.uri.path());
    head.uri = Uri::from_str(&target).map_err(|_impossible| Reject::BadTarget)?;
    Ok(())
}

impl Gateway {
    /// The page that sends the form once more, to the same address.
    pub(crate) async fn resubmit(
        &self,
        exchange: &Exchange,
        head: &Parts,
        body: Incoming,
    ) -> Result<Reply, Reject> {
        let body = own::read(body, MOST_BYTES).await?;
        let fields = posted_fields(&body, MOST_FIELDS).ok_or(Reject::FormBroken)?;
        let joint = if head.uri.query().is_some_and(|query| !query.is_empty()) { "&" } else { "?" };
        let target = exchange.target().trim_end_matches('?');
        let view = ResubmitView {
            host: exchange.authority().map_or("", |authority| authority.host.as_str()),
            action: &format!("{target}{joint}{MARK}"),
            fields: &fields,
        };
        Ok(Reply::own(self.shared.login.pages().resubmit(&view)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_goes_and_the_rest_stays_to_the_byte() {
        for (with, without) in [
            ("/a?vestibule-resubmitted", Some("/a")),
            ("/a?x=%2f&vestibule-resubmitted", Some("/a?x=%2f")),
            ("/a?x=1&&vestibule-resubmitted", Some("/a?x=1&")),
            ("/a?vestibule-resubmitted&x", None),
            ("/a?not-vestibule-resubmitted", None),
            ("/a?vestibule-resubmitted=1", None),
            ("/a", None),
        ] {
            let mut head = http::Request::get(with).body(()).unwrap().into_parts().0;
            assert_eq!(is_marked(&head.uri), without.is_some(), "{with}");
            unmark(&mut head).unwrap();
            assert_eq!(head.uri.to_string(), without.unwrap_or(with));
        }
    }
}
