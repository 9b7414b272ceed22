//! The cookies of one browser that looks: the vault's jar, which keeps and sends them as browsers do (RFC 6265bis §5).

use std::collections::BTreeSet;

use cookie::SameSite;
use http::HeaderValue;
use url::Url;

use crate::clock::Timestamp;
use crate::doctor::cookie::SetCookie;
use crate::doctor::seen::Visit;
use crate::net::Host;
use crate::vault;
use crate::vault::Cookie;
use crate::vault::Place;
use crate::vault::Room;

/// The cookies of one browser.
#[derive(Clone, Default)]
pub(crate) struct Jar {
    all: vault::Jar,
    /// The names of those that go over https alone. The vault's jar has no need to know.
    secure: BTreeSet<String>,
}

impl Jar {
    /// Takes what an answer sets, if it may.
    pub(crate) fn take(&mut self, visit: &Visit, now: Timestamp) {
        self.take_if(visit, now, |_| true);
    }

    /// Takes what a script on another site's page gets set, if it may: that says itself to be for other sites too (RFC
    /// 6265bis §5.7, `SameSite`).
    pub(crate) fn take_from_elsewhere(&mut self, visit: &Visit, now: Timestamp) {
        self.take_if(visit, now, |cookie| cookie.secure && cookie.same_site == Some(SameSite::None));
    }

    fn take_if(&mut self, visit: &Visit, now: Timestamp, may: impl Fn(&SetCookie) -> bool) {
        for line in visit.answer.headers.get_all(http::header::SET_COOKIE).iter().take(Room::MOST_COOKIES) {
            if SetCookie::parse(line.as_bytes(), now).is_some_and(|cookie| may(&cookie)) {
                self.store(line.as_bytes(), &visit.url, now);
            }
        }
    }

    /// Puts a cookie in that goes to every page of the host of `url`, whatever its name promises.
    pub(crate) fn put(&mut self, (name, value): (&str, &str), url: &Url, now: Timestamp) {
        let secure = if is_trustworthy(url) { "; Secure" } else { "" };
        self.store(format!("{name}={value}; Path=/{secure}; HttpOnly").as_bytes(), url, now);
    }

    fn store(&mut self, line: &[u8], url: &Url, now: Timestamp) {
        let Some(host) = url.host_str().and_then(Host::parse) else { return };
        // What a browser would not take, and say nothing of, is not taken here either.
        let (Ok(cookie), Some(read)) =
            (Cookie::parse(line, &place(&host, url), now), SetCookie::parse(line, now))
        else {
            return;
        };
        let old = self.secure.contains(&read.name);
        // RFC 6265bis §5.7: plain HTTP sets none that is secure, nor one in its place.
        if !is_trustworthy(url) && (read.secure || old) {
            return;
        }
        if read.secure {
            self.secure.insert(read.name);
        } else {
            self.secure.remove(&read.name);
        }
        let _room = self.all.store(cookie, Room::OF_SESSION, now);
    }

    /// The `Cookie` field of a request for `url`; nothing if no cookie goes there.
    pub(crate) fn field(&mut self, url: &Url, now: Timestamp) -> Option<HeaderValue> {
        let host = url.host_str().and_then(Host::parse)?;
        let kept_back = |name: &[u8]| {
            !is_trustworthy(url) && std::str::from_utf8(name).is_ok_and(|name| self.secure.contains(name))
        };
        self.all.line(&place(&host, url), kept_back, now)
    }

    /// The value under which a request for `url` carries a cookie, if it is text.
    pub(crate) fn get(&self, name: &str, url: &Url, now: Timestamp) -> Option<&str> {
        let host = url.host_str().and_then(Host::parse)?;
        let cookie = self.all.find(name.as_bytes(), &place(&host, url), now)?;
        std::str::from_utf8(cookie.value().expose()).ok()
    }

    /// The names of the cookies.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.cookies().filter_map(|cookie| std::str::from_utf8(cookie.name()).ok())
    }

    /// All but those of one name.
    pub(crate) fn without(&self, name: &str) -> Self {
        Self { all: self.all.without(name.as_bytes()), secure: self.secure.clone() }
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Whether browsers take and send secure cookies there: over https, and to this machine itself.
fn is_trustworthy(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || is_local
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
    fn secure_cookies_stay_off_plain_http() {
        let fields = [
            ("set-cookie", "sid=1; Secure"),
            ("set-cookie", "__Secure-x=2; Secure"),
            ("set-cookie", "all=3"),
        ];
        for (from, to, expected) in [
            ("https://app.example/", "https://app.example/", Some("sid=1; __Secure-x=2; all=3")),
            ("https://app.example/", "http://app.example/", Some("all=3")),
            ("http://app.example/", "https://app.example/", Some("all=3")),
            ("http://localhost:5000/", "http://localhost:5000/", Some("sid=1; __Secure-x=2; all=3")),
        ] {
            let mut jar = Jar::default();
            jar.take(&visit(from, 200, &fields, ""), NOW);
            let sent = jar.field(&Url::parse(to).unwrap(), NOW);
            assert_eq!(sent.as_ref().map(|field| field.to_str().unwrap()), expected, "{from} to {to}");
        }
        let mut jar = Jar::default();
        jar.take(&visit("https://app.example/", 200, &fields, ""), NOW);
        jar.take(&visit("http://app.example/", 200, &[("set-cookie", "sid=planted")], ""), NOW);
        assert_eq!(jar.get("sid", &url("/"), NOW), Some("1"));
    }

    #[test]
    fn a_script_of_another_site_is_set_only_what_says_so() {
        let fields = [
            ("set-cookie", "a=1; SameSite=None; Secure"),
            ("set-cookie", "b=2; SameSite=Lax"),
            ("set-cookie", "c=3"),
            ("set-cookie", "d=4; SameSite=None"),
        ];
        let mut jar = Jar::default();
        jar.take_from_elsewhere(&visit("https://app.example/", 200, &fields, ""), NOW);
        assert_eq!(jar.names().collect::<Vec<_>>(), ["a"]);
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
