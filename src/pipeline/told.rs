//! What was told of the apps' cookies already: once is enough, since they come with every answer.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;

/// So much is remembered; an app that invents a name for each answer is told of no more.
const MOST: usize = 512;

/// What there is to say of which site's cookie.
type Thing = (usize, Box<[u8]>, &'static str);

/// What was told since the gateway started. Only an answer that sets a cookie with something to tell of asks.
#[derive(Debug, Default)]
pub struct ToldCookies(Mutex<BTreeSet<Thing>>);

impl ToldCookies {
    /// Whether this is to be told of the cookie `name` of a site for the first time.
    pub(super) fn is_first(&self, site: usize, name: &[u8], what: &'static str) -> bool {
        // Whatever a panic left half done: at worst something is told twice.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MOST && told.insert((site, name.into(), what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_told_once_and_not_without_end() {
        let told = ToldCookies::default();
        assert!(told.is_first(0, b"a", "readable") && !told.is_first(0, b"a", "readable"));
        assert!(told.is_first(1, b"a", "readable") && told.is_first(0, b"a", "cross-site"));
        let more = (0..2000).filter(|number: &u32| told.is_first(0, &number.to_be_bytes(), "readable"));
        assert_eq!(more.count(), MOST - 3);
    }
}
