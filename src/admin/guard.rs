//! Who may ask the admin listener: programs that call it by its address, not pages that lead a browser to it
//! (attacks N06).

use http::HeaderMap;
use http::Request;
use http::StatusCode;
use http::Version;
use http::header;

use crate::net::Authority;

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The host is missing, written twice, or not a host.
    #[error("bad request")]
    Malformed,
    /// Called by a name that somebody else may have given this address.
    #[error("call this listener by its address or as localhost")]
    ForeignName,
    /// A page sent the browser here.
    #[error("not for web pages")]
    ForeignPage,
}

impl Refused {
    /// The answer's status.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::ForeignName | Self::ForeignPage => StatusCode::FORBIDDEN,
        }
    }
}

/// Whether a request may be answered.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Refused> {
    let headers = request.headers();
    // A target with a host of its own is a proxy's form, which nobody needs here.
    if request.uri().authority().is_some() {
        return Err(Refused::Malformed);
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let text = host.to_str().map_err(|_not_ascii| Refused::Malformed)?;
            let own = Authority::parse(text).ok_or(Refused::Malformed)?;
            if !is_address_or_localhost(&own) {
                return Err(Refused::ForeignName);
            }
        }
        // Old health checkers speak HTTP/1.0 without a host; no browser does.
        (None, _) if request.version() == Version::HTTP_10 => {}
        (None, _) | (Some(_), Some(_)) => return Err(Refused::Malformed),
    }
    if comes_from_a_page(headers) {
        return Err(Refused::ForeignPage);
    }
    Ok(())
}

/// Listeners are bound to addresses, so that an address is the one name they have besides `localhost`. Any other name
/// gets its address from somebody's DNS.
fn is_address_or_localhost(authority: &Authority) -> bool {
    let host = authority.host.as_str();
    let last_label = host.rsplit('.').next().unwrap_or_default();
    let address = host.starts_with('[') || last_label.bytes().all(|byte| byte.is_ascii_digit());
    address || host == "localhost"
}

fn comes_from_a_page(headers: &HeaderMap) -> bool {
    let typed_or_own = |site: &http::HeaderValue| matches!(site.as_bytes(), b"none" | b"same-origin");
    headers.contains_key(header::ORIGIN) || !headers.get_all("sec-fetch-site").iter().all(typed_or_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(target: &str, version: Version, fields: &[(&str, &str)]) -> Result<(), Refused> {
        let mut request = Request::builder().uri(target).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap())
    }

    #[test]
    fn an_address_or_localhost_is_answered() {
        for host in
            ["127.0.0.1:9180", "10.1.2.3", "[::1]:9180", "[2001:db8::1]", "localhost:9180", "LOCALHOST"]
        {
            assert_eq!(verdict("/metrics", Version::HTTP_11, &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(verdict("/health/live", Version::HTTP_10, &[]), Ok(()));
    }

    #[test]
    fn a_rebound_name_is_refused() {
        for host in ["evil.example:9180", "127.0.0.1.evil.example", "localhost.evil.example", "gateway"] {
            let answer = verdict("/metrics", Version::HTTP_11, &[("host", host)]);
            assert_eq!(answer, Err(Refused::ForeignName), "{host}");
        }
    }

    #[test]
    fn a_host_that_is_none_is_malformed() {
        for fields in [
            &[][..],
            &[("host", "")],
            &[("host", "127.0.0.1"), ("host", "127.0.0.1")],
            &[("host", "user@127.0.0.1")],
            &[("host", "2130706433")],
        ] {
            assert_eq!(verdict("/metrics", Version::HTTP_11, fields), Err(Refused::Malformed), "{fields:?}");
        }
        let absolute = verdict("http://127.0.0.1/metrics", Version::HTTP_11, &[("host", "127.0.0.1")]);
        assert_eq!(absolute, Err(Refused::Malformed));
    }

    #[test]
    fn a_page_is_refused_and_a_person_is_not() {
        let with =
            |name, value| verdict("/metrics", Version::HTTP_11, &[("host", "localhost"), (name, value)]);
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "anything"),
        ] {
            assert_eq!(with(name, value), Err(Refused::ForeignPage), "{name}: {value}");
        }
        assert_eq!(with("sec-fetch-site", "none"), Ok(()));
        assert_eq!(with("sec-fetch-site", "same-origin"), Ok(()));
    }
}
