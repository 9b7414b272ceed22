//! The app's cookies of somebody who is not logged in: sealed, in one cookie of ours, of bounded size.
//!
//! The browser can read nothing in it and change nothing. It can be copied, though, and brought into another browser by
//! whoever has that in his hands. So nothing of it passes into a session: whoever logs in begins with an empty vault, and
//! the cookie is deleted. Were it carried over, somebody could visit a public page, leave the cookie on a shared machine,
//! wait until the next person logs in, and go on with his own copy in what has become the other's session at the app
//! (fixation; RENEW-7). No server could tell the two apart without remembering every visitor.
//!
//! Of answers to one visitor that arrive together the last one's cookie is what the browser keeps.

use http::HeaderMap;
use http::HeaderValue;

use crate::clock::Timestamp;
use crate::crypto::Keys;
use crate::crypto::Sealer;
use crate::crypto::sha256;
use crate::headers::cookies::Found;
use crate::headers::cookies::find;
use crate::net::Host;
use crate::pipeline::kept::VaultSite;
use crate::session::vault::open::Change;
use crate::vault::Jar;
use crate::vault::Refused;
use crate::vault::Room;
use crate::vault::Stored;

/// The cookie of a site that has its host for itself.
const COOKIE: &str = "__Host-Http-visit";

/// What fits into a cookie once it is sealed.
const ROOM: Room = Room { cookies: 20, bytes: 2800 };

/// Seals and opens what visitors have of the apps.
#[derive(Debug)]
pub struct Visitors(Sealer);

impl Visitors {
    /// With a key derived from the gateway's.
    pub fn new(keys: &Keys) -> Self {
        Self(keys.sealer("visitor's cookies"))
    }

    /// What the cookie of a site at `mount` is called: several sites of one host have one each.
    pub fn cookie_name(mount: &str) -> String {
        if mount == "/" {
            return COOKIE.to_owned();
        }
        let [a, b, c, d, ..] = sha256(mount.as_bytes());
        format!("{COOKIE}-{a:02x}{b:02x}{c:02x}{d:02x}")
    }

    /// The jar that a request brings; nothing if it brings none that we made for this site and host, or one that was
    /// last changed before `oldest`.
    pub(super) fn find(
        &self,
        headers: &HeaderMap,
        site: &VaultSite,
        host: &Host,
        oldest: Timestamp,
    ) -> Option<Jar> {
        let Found::One(sealed) = find(headers, site.cookie) else { return None };
        let plain = self.0.open(sealed, &bound_to(site, host))?;
        let (then, jar) = plain.split_first_chunk()?;
        let young = Timestamp::from_millis(u64::from_be_bytes(*then)) > oldest;
        Jar::from_bytes(jar).filter(|_| young)
    }

    /// The `Set-Cookie` line that has the browser keep `jar`.
    pub(super) fn line(
        &self,
        jar: &Jar,
        site: &VaultSite,
        host: &Host,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let plain = [&now.as_millis().to_be_bytes(), jar.to_bytes().as_slice()].concat();
        let value = self.0.seal(&plain, &bound_to(site, host));
        let line = format!("{}={value}; Path=/; Secure; HttpOnly; SameSite=Lax", site.cookie);
        HeaderValue::try_from(line).ok()
    }

    /// The `Set-Cookie` line that takes the jar from the browser.
    pub(crate) fn deletion(site: &VaultSite) -> Option<HeaderValue> {
        let end = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        let line = format!("{}=; Path=/; Secure; HttpOnly; SameSite=Lax; {end}", site.cookie);
        HeaderValue::try_from(line).ok()
    }

    /// Applies what an answer does to a visitor's cookies.
    pub(super) fn apply(
        jar: &mut Jar,
        change: Change,
        now: Timestamp,
    ) -> Result<Stored, (Box<[u8]>, Refused)> {
        match change {
            Change::Set(cookie) => {
                let name = Box::from(cookie.name());
                jar.store(cookie, ROOM, now).map_err(|refused| (name, refused))
            }
            Change::Clear => Ok(jar.clear()),
        }
    }
}

fn bound_to(site: &VaultSite, host: &Host) -> Vec<u8> {
    format!("{host} {}", site.name).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;
    use crate::vault::Cookie;
    use crate::vault::Place;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn site(name: &str) -> VaultSite {
        VaultSite { name: name.into(), cookie: COOKIE }
    }

    fn host(name: &str) -> Host {
        Host::parse(name).unwrap()
    }

    fn set(jar: &mut Jar, line: &str) -> Stored {
        let host = host("app.test");
        let place = Place { host: &host, path: "/", cross_site: false };
        Visitors::apply(jar, Change::Set(Cookie::parse(line.as_bytes(), &place, NOW).unwrap()), NOW).unwrap()
    }

    fn brought(line: &HeaderValue) -> HeaderMap {
        let pair = line.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(http::header::COOKIE, HeaderValue::from_str(pair).unwrap())])
    }

    #[test]
    fn a_visitors_cookies_come_back_to_their_site_and_host_alone_and_not_for_ever() {
        let (visitors, mut jar) = (Visitors::new(&Key::generate().into()), Jar::default());
        assert!(set(&mut jar, "cart=7").changed);
        let line = visitors.line(&jar, &site("app.test/"), &host("app.test"), NOW).unwrap();
        let headers = brought(&line);
        let find = |name, at, oldest| visitors.find(&headers, &site(name), &host(at), oldest);
        let before = NOW.before(std::time::Duration::from_secs(1));
        assert!(!find("app.test/", "app.test", before).unwrap().is_empty());
        assert!(find("app.test/wiki", "app.test", before).is_none());
        assert!(find("app.test/", "other.test", before).is_none());
        assert!(find("app.test/", "app.test", NOW).is_none());
        let strangers = Visitors::new(&Key::generate().into());
        assert!(strangers.find(&headers, &site("app.test/"), &host("app.test"), before).is_none());
        assert!(!line.to_str().unwrap().contains("cart"));
    }

    #[test]
    fn the_fullest_jar_fits_into_a_cookie() {
        let (visitors, mut jar) = (Visitors::new(&Key::generate().into()), Jar::default());
        for number in 0..200 {
            set(&mut jar, &format!("c{number}={}; Path=/{number}", "v".repeat(number * 7 % 900)));
        }
        let line = visitors.line(&jar, &site("app.test/"), &host("app.test"), NOW).unwrap();
        let pair = line.to_str().unwrap().split(';').next().unwrap().len();
        assert!((2000..=4096).contains(&pair), "{pair}");
    }

    #[test]
    fn sites_of_one_host_have_a_cookie_each() {
        assert_eq!(Visitors::cookie_name("/"), COOKIE);
        assert_ne!(Visitors::cookie_name("/wiki"), Visitors::cookie_name("/shop"));
    }
}
