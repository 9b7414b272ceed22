//! The jar against the vectors of RFC 6265bis, against a reference that is written to be read, and at its limits.

mod limits;
mod model;
mod vectors;

use crate::clock::Timestamp;
use crate::net::Host;
use crate::vault::Cookie;
use crate::vault::Jar;
use crate::vault::Place;
use crate::vault::Refused;
use crate::vault::Room;
use crate::vault::Stored;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn after(secs: u64) -> Timestamp {
    NOW.after(std::time::Duration::from_secs(secs))
}

fn set(jar: &mut Jar, (host, path): (&str, &str), line: &str, now: Timestamp) -> Result<Stored, Refused> {
    let host = Host::parse(host).unwrap();
    let place = Place { host: &host, path, cross_site: false };
    jar.store(Cookie::parse(line.as_bytes(), &place, now)?, Room::OF_SESSION, now)
}

fn sent(jar: &mut Jar, (host, path): (&str, &str), now: Timestamp) -> String {
    sent_from(jar, (host, path), false, now)
}

fn sent_from(jar: &mut Jar, (host, path): (&str, &str), cross_site: bool, now: Timestamp) -> String {
    let host = Host::parse(host).unwrap();
    let line = jar.line(&Place { host: &host, path, cross_site }, |_| false, now);
    line.map(|line| String::from_utf8(line.as_bytes().to_vec()).unwrap()).unwrap_or_default()
}
