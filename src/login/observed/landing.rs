//! Where a redirect of the app's leads, as browsers read it.

use http::HeaderValue;
use url::Url;

use crate::access::path::CanonicalPath;
use crate::net::Authority;
use crate::net::Scheme;

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

impl Landing {
    /// Where `location` leads in the answer to a request for `path` on `own`.
    pub fn of(location: &HeaderValue, own: &Authority, scheme: Scheme, path: &str) -> Self {
        let target = || {
            let base = Url::parse(&format!("{}{path}", own.origin(scheme))).ok()?;
            base.join(location.to_str().ok()?).ok()
        };
        let Some(target) = target() else { return Self::Unclear };
        if !own.is_origin(scheme, &target.origin().ascii_serialization()) {
            return Self::Elsewhere;
        }
        CanonicalPath::parse(target.path()).map_or(Self::Unclear, Self::Here)
    }

    /// The path, if it is one of the same host.
    pub fn here(&self) -> Option<&CanonicalPath> {
        match self {
            Self::Here(path) => Some(path),
            Self::Unclear | Self::Elsewhere => None,
        }
    }
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
            ("/a;b", None),
            ("//evil.example/", None),
            ("\\\\evil.example/", None),
            ("http://app.example:8443/", None),
            ("https://app.example/", None),
            ("javascript:x", None),
        ] {
            let header = HeaderValue::from_str(location).unwrap();
            let landing = Landing::of(&header, &own, Scheme::Https, "/konto/anmelden");
            assert_eq!(landing.here().map(CanonicalPath::as_str), expected, "{location}");
            let elsewhere = expected.is_none() && location != "/a;b";
            assert_eq!(landing == Landing::Elsewhere, elsewhere, "{location}");
        }
    }
}
