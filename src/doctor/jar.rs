//! The cookies of one browser that looks: the vault's jar, which keeps and sends them as browsers do (RFC 6265bis §5).

use http::HeaderValue;
use url::Url;

use crate::clock::Timestamp;
use crate::doctor::seen::Visit;
use crate::net::Host;
use crate::vault;
use crate::vault::Cookie;
use crate::vault::Place;
use crate::vault::Room;

/// The cookies of one browser.
#[derive(Clone, Default)]
pub(crate) struct Jar(vault::Jar);

impl Jar {
    /// Takes what an answer sets, if it may.
    pub(crate) fn take(&mut self, visit: &Visit, now: Timestamp) {
        for line in visit.answer.headers.get_all(http::header::SET_COOKIE).iter().take(Room::MOST_COOKIES) {
            self.store(line.as_bytes(), &visit.url, now);
        }
    }

    /// Puts a cookie in that goes to every page of the host of `url`, whatever its name promises.
    pub(crate) fn put(&mut self, (name, value): (&str, &str), url: &Url, now: Timestamp) {
        self.store(format!("{name}={value}; Path=/; Secure; HttpOnly").as_bytes(), url, now);
    }

    fn store(&mut self, line: &[u8], url: &Url, now: Timestamp) {
        let Some(host) = url.host_str().and_then(Host::parse) else { return };
        // What a browser would not take, and say nothing of, is not taken here either.
        if let Ok(cookie) = Cookie::parse(line, &place(&host, url), now) {
            let _room = self.0.store(cookie, Room::OF_SESSION, now);
        }
    }

    /// The `Cookie` field of a request for `url`; nothing if no cookie goes there.
    pub(crate) fn field(&mut self, url: &Url, now: Timestamp) -> Option<HeaderValue> {
        let host = url.host_str().and_then(Host::parse)?;
        self.0.line(&place(&host, url), |_| false, now)
    }

    /// The value under which a request for `url` carries a cookie, if it is text.
    pub(crate) fn get(&self, name: &str, url: &Url, now: Timestamp) -> Option<&str> {
        let host = url.host_str().and_then(Host::parse)?;
        let cookie = self.0.find(name.as_bytes(), &place(&host, url), now)?;
        std::str::from_utf8(cookie.value().expose()).ok()
    }

    /// The names of the cookies.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.cookies().filter_map(|cookie| std::str::from_utf8(cookie.name()).ok())
    }

    /// All but those of one name.
    pub(crate) fn without(&self, name: &str) -> Self {
        Self(self.0.without(name.as_bytes()))
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn place<'a>(host: &'a Host, url: &'a Url) -> Place<'a> {
    Place { host, path: url.path(), cross_site: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::tests::visit;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn url(path: &str) -> Url {
        Url::parse(&format!("https://app.example{path}")).unwrap()
    }

    #[test]
    fn cookies_go_where_browsers_send_them() {
        let mut jar = Jar::default();
        let fields = [
            ("set-cookie", "sid=1; Path=/app"),
            ("set-cookie", "theirs=2; Domain=other.example"),
            ("set-cookie", "__Host-odd=3; Path=/app; Secure"),
            ("set-cookie", "all=4; Path=/"),
        ];
        jar.take(&visit("https://app.example/app/login", 200, &fields, ""), NOW);
        let mut sent = |path| jar.field(&url(path), NOW).map(|field| field.to_str().unwrap().to_owned());
        assert_eq!(sent("/app/x").as_deref(), Some("sid=1; all=4"));
        assert_eq!(sent("/login").as_deref(), Some("all=4"));
        assert_eq!(jar.names().collect::<Vec<_>>(), ["sid", "all"]);
        assert_eq!(jar.without("sid").get("sid", &url("/app"), NOW), None);
    }

    #[test]
    fn a_cookie_is_planted_under_any_name() {
        for name in ["sid", "__Host-Http-session", "__Secure-x"] {
            let mut jar = Jar::default();
            jar.put((name, "made-up"), &url("/login"), NOW);
            assert_eq!(jar.get(name, &url("/"), NOW), Some("made-up"), "{name}");
            assert!(jar.field(&url("/x"), NOW).is_some(), "{name}");
        }
    }
}
