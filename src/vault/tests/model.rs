//! The jar against a reference that keeps every line it was ever given and works out each answer anew from all of them.

use proptest::prelude::*;

use super::NOW;
use super::after;
use super::sent;
use super::set;
use crate::vault::Jar;

#[derive(Clone, Debug)]
struct Given {
    name: char,
    value: u8,
    /// `Path`, if one is given.
    path: Option<&'static str>,
    domain: Option<&'static str>,
    max_age: Option<i64>,
    /// Where and when it was set.
    host: &'static str,
    at: &'static str,
    second: u64,
}

impl Given {
    fn line(&self) -> String {
        let mut line = format!("{}={}", self.name, self.value);
        line.extend(self.path.map(|path| format!("; Path={path}")));
        line.extend(self.domain.map(|domain| format!("; Domain={domain}")));
        line.extend(self.max_age.map(|secs| format!("; Max-Age={secs}")));
        line
    }

    fn path(&self) -> String {
        match self.path {
            Some(path) => path.to_owned(),
            None => match self.at.rfind('/') {
                Some(0) | None => "/".to_owned(),
                Some(last) => self.at.split_at(last).0.to_owned(),
            },
        }
    }

    fn domain(&self) -> String {
        self.domain.unwrap_or(self.host).to_owned()
    }

    fn is_taken(&self) -> bool {
        self.domain.is_none_or(|domain| self.host == domain || self.host.ends_with(&format!(".{domain}")))
    }

    fn is_same(&self, other: &Self) -> bool {
        let key = |given: &Self| (given.name, given.path(), given.domain(), given.domain.is_none());
        key(self) == key(other)
    }

    fn lives(&self, second: u64) -> bool {
        self.max_age.is_none_or(|secs| i64::try_from(second - self.second).unwrap() < secs)
    }

    fn goes_to(&self, host: &str, path: &str) -> bool {
        let at_home = match self.domain {
            None => self.host == host,
            Some(domain) => host == domain || host.ends_with(&format!(".{domain}")),
        };
        let own = self.path();
        let below = path.starts_with(&format!("{}/", own.trim_end_matches('/')));
        at_home && (path == own || below)
    }
}

fn reference(all: &[Given], host: &str, path: &str, second: u64) -> String {
    // The birth of a cookie is the first line of an unbroken life under its name, domain and path.
    let mut alive: Vec<&Given> = Vec::new();
    for given in all.iter().filter(|given| given.is_taken()) {
        alive.retain(|old| old.lives(given.second));
        match alive.iter().position(|old| old.is_same(given)) {
            Some(place) if given.lives(given.second) => alive[place] = given,
            Some(place) => drop(alive.remove(place)),
            None if given.lives(given.second) => alive.push(given),
            None => {}
        }
    }
    alive.retain(|given| given.lives(second) && given.goes_to(host, path));
    alive.sort_by_key(|given| std::cmp::Reverse(given.path().len()));
    alive.iter().map(|given| format!("{}={}", given.name, given.value)).collect::<Vec<_>>().join("; ")
}

const HOSTS: [&str; 3] = ["app.example", "sub.app.example", "other.example"];
const PATHS: [&str; 5] = ["/", "/a", "/a/", "/a/b", "/ab"];

prop_compose! {
    fn given()(
        name in prop::char::range('a', 'd'),
        value in any::<u8>(),
        path in prop::option::of(prop::sample::select(&PATHS[..])),
        domain in prop::option::of(prop::sample::select(&["app.example", "sub.app.example"][..])),
        max_age in prop::option::of(prop::sample::select(&[-1_i64, 0, 1, 5, 30, 1000][..])),
        host in prop::sample::select(&HOSTS[..]),
        at in prop::sample::select(&PATHS[..]),
        step in 0_u64..4,
    ) -> (Given, u64) {
        (Given { name, value, path, domain, max_age, host, at, second: 0 }, step)
    }
}

proptest! {
    #[test]
    fn a_jar_sends_what_the_reference_sends(steps in prop::collection::vec(given(), 1..25)) {
        let (mut jar, mut all, mut second) = (Jar::default(), Vec::new(), 0);
        for (mut given, step) in steps {
            second += step;
            given.second = second;
            let taken = set(&mut jar, (given.host, given.at), &given.line(), after(second));
            prop_assert_eq!(taken.is_ok(), given.is_taken());
            all.push(given);
            // As a store would give it back.
            if step == 3 {
                jar = Jar::from_bytes(&jar.to_bytes()).unwrap();
            }
            for (host, path) in HOSTS.iter().flat_map(|host| PATHS.map(|path| (*host, path))) {
                let expected = reference(&all, host, path, second);
                prop_assert_eq!(sent(&mut jar, (host, path), after(second)), expected, "{} {}", host, path);
            }
        }
    }

    #[test]
    fn no_bytes_are_too_odd(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let line = String::from_utf8_lossy(&line);
        let mut jar = Jar::default();
        let taken = set(&mut jar, HOSTS_AND_ROOT, &line, NOW);
        prop_assert_eq!(jar.is_empty(), taken.map_or(true, |stored| !stored.changed));
    }
}

const HOSTS_AND_ROOT: (&str, &str) = ("app.example", "/");
