//! Where a redirect of the app's leads, as browsers read it.

use http::HeaderValue;
use url::Url;

use crate::access::path::CanonicalPath;
use crate::net::Authority;
use crate::net::Scheme;
use crate::route::AppLogin;

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// To a path of the host it came from.
    Here(CanonicalPath),
    /// There too, to a path with more than one reading; or nobody knows where to.
    Unclear,
    /// To another host, or by another scheme.
    Elsewhere,
}

/// What a redirect says of whoever asked for the login, or tried to get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// They are to log in, or to try once more.
    Back,
    /// They have business elsewhere on the site: the app knows them.
    On,
    /// What it means cannot be told from where it leads.
    Unknown,
}

impl Landing {
    /// Where `location` leads in the answer to a request for `path` on `own`.
    pub fn of(location: &HeaderValue, own: &Authority, scheme: Scheme, path: &str) -> Self {
        let line = location.as_bytes();
        let target = || {
            // Bytes that are no UTF-8 are common in a query, where old apps write what went wrong, and have no one
            // reading in a path.
            let end = line.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(line.len());
            str::from_utf8(line.get(..end)?).ok()?;
            let base = Url::parse(&format!("{}{path}", own.origin(scheme))).ok()?;
            base.join(&String::from_utf8_lossy(line)).ok()
        };
        let Some(target) = target() else { return Self::Unclear };
        if !own.is_origin(scheme, &target.origin().ascii_serialization()) {
            return Self::Elsewhere;
        }
        CanonicalPath::parse(&plain(target.path())).map_or(Self::Unclear, Self::Here)
    }

    /// What it says at the login of `app`: everything that asks whether a redirect is a no asks here.
    pub fn leads(&self, app: &AppLogin) -> Leads {
        match self {
            Self::Here(path) if app.is_own_path(path) => Leads::Back,
            Self::Here(_) => Leads::On,
            Self::Unclear | Self::Elsewhere => Leads::Unknown,
        }
    }

    /// The path, if it is one of the same host.
    pub fn here(&self) -> Option<&CanonicalPath> {
        match self {
            Self::Here(path) => Some(path),
            Self::Unclear | Self::Elsewhere => None,
        }
    }
}

/// A path as apps read their own redirects: without the parameters that servlet containers write session ids into, and
/// without the empty segments of a base address that ends in a slash.
fn plain(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut ends_open = true;
    for segment in path.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        ends_open = name.is_empty();
        if !ends_open {
            plain.push('/');
            plain.push_str(name);
        }
    }
    if ends_open {
        plain.push('/');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_read_as_browsers_do() {
        let own = Authority::parse("app.example:8443").unwrap();
        for (location, expected) in [
            ("/", Some("/")),
            ("/a%20b?next=//evil.example#x", Some("/a b")),
            ("login", Some("/konto/login")),
            ("../x/./y", Some("/x/y")),
            ("?again", Some("/konto/anmelden")),
            ("https://app.example:8443/x", Some("/x")),
            ("//app.example:8443/x", Some("/x")),
            ("/\\app.example:8443/x", Some("/x")),
            ("/a;b", Some("/a")),
            ("/a;jsessionid=1/;b?x", Some("/a/")),
            ("https://app.example:8443//x//y/", Some("/x/y/")),
            ("/;x", Some("/")),
            ("/a?error=Ung\u{fc}ltig", Some("/a")),
            ("/a%2Fb", None),
            ("//evil.example/", None),
            ("\\\\evil.example/", None),
            ("http://app.example:8443/", None),
            ("https://app.example/", None),
            ("javascript:x", None),
        ] {
            let header = HeaderValue::from_bytes(location.as_bytes()).unwrap();
            let landing = Landing::of(&header, &own, Scheme::Https, "/konto/anmelden");
            assert_eq!(landing.here().map(CanonicalPath::as_str), expected, "{location}");
            let elsewhere = expected.is_none() && location != "/a%2Fb";
            assert_eq!(landing == Landing::Elsewhere, elsewhere, "{location}");
        }
    }

    #[test]
    fn bytes_of_an_old_encoding_may_stand_in_a_query_alone() {
        let own = Authority::parse("app.example").unwrap();
        let landing =
            |line: &[u8]| Landing::of(&HeaderValue::from_bytes(line).unwrap(), &own, Scheme::Https, "/login");
        assert_eq!(landing(b"/login?fehler=Ung\xfcltig").here().map(CanonicalPath::as_str), Some("/login"));
        assert_eq!(landing(b"/Anmeldung-f\xfcr-alle"), Landing::Unclear);
    }
}
