//! The tokens of one session: one for each host it is good on, with the one that shall follow it and the last few that
//! went before. A value that is replaced as a whole, never changed: what is not yet in the store is not yet so.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::net::Host;
use crate::session::token::TokenHash;

/// So many retired tokens of a host are remembered: enough for requests that were long under way, and for a thief who
/// waited.
const MAX_RETIRED: usize = 4;

/// The tokens of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens(Box<[HostToken]>);

/// The token of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostToken {
    /// The one host it is good on.
    pub host: Arc<Host>,
    /// The token in force.
    pub current: TokenHash,
    /// When it was made.
    pub issued: Timestamp,
    /// What comes of renewing it; nothing in a young session.
    pub renewal: Option<Box<Renewal>>,
}

/// A token's neighbours in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// The token that is offered in place of the current one and was not seen yet.
    pub next: Option<Next>,
    /// Those that went before, the latest first.
    pub retired: Vec<Retired>,
}

/// A token that is on its way to the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// What it will be known by.
    pub hash: TokenHash,
    /// The token, sealed under the current one: whoever brings that one can be offered it again, by any gateway.
    pub sealed: Box<str>,
}

/// A token that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// What it was known by.
    pub hash: TokenHash,
    /// When the one after it was first seen.
    pub at: Timestamp,
}

/// What a token is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// In force since `issued`; `next` waits to follow it.
    Current {
        /// When it was made.
        issued: Timestamp,
        /// The token offered in its place.
        next: Option<&'a Next>,
    },
    /// The one that was offered, seen for the first time.
    Next,
    /// Replaced at that time.
    Retired(Timestamp),
}

impl Tokens {
    /// The one token a session begins with.
    pub fn first(host: Arc<Host>, hash: TokenHash, now: Timestamp) -> Self {
        Self(Box::new([HostToken { host, current: hash, issued: now, renewal: None }]))
    }

    /// The tokens that a store has kept, one a host.
    pub(super) fn of_hosts(hosts: Vec<HostToken>) -> Self {
        Self(hosts.into())
    }

    /// Each host's token.
    pub fn hosts(&self) -> &[HostToken] {
        &self.0
    }

    /// All hashes by which the session is to be found, those that are no longer good included: they must not come to
    /// be taken for a stranger's.
    pub fn hashes(&self) -> impl Iterator<Item = &TokenHash> {
        self.0.iter().flat_map(|token| {
            let renewal = token.renewal.iter();
            let others = renewal.flat_map(|renewal| {
                let next = renewal.next.iter().map(|next| &next.hash);
                next.chain(renewal.retired.iter().map(|retired| &retired.hash))
            });
            std::iter::once(&token.current).chain(others)
        })
    }

    /// The host whose token this is, whatever its role.
    pub fn host_of(&self, hash: &TokenHash) -> Option<&Arc<Host>> {
        self.0.iter().find(|token| token.role(hash).is_some()).map(|token| &token.host)
    }

    /// What this token is on `host`; nothing if it is no token of that host.
    pub fn role(&self, hash: &TokenHash, host: &Host) -> Option<Role<'_>> {
        self.of(host)?.role(hash)
    }

    /// With `next` on offer in place of the current token of `host`.
    #[must_use]
    pub fn offering(&self, host: &Host, next: Next) -> Self {
        self.changed(host, |token| {
            let retired = token.renewal.as_ref().map(|renewal| renewal.retired.clone()).unwrap_or_default();
            HostToken { renewal: Some(Box::new(Renewal { next: Some(next), retired })), ..token.clone() }
        })
    }

    /// With the offered token of `host` in force since `now`, and the one before it retired.
    #[must_use]
    pub fn promoted(&self, host: &Host, now: Timestamp) -> Self {
        self.changed(host, |token| {
            let Some(Renewal { next: Some(next), retired }) = token.renewal.as_deref() else {
                return token.clone();
            };
            let just_now = Retired { hash: token.current, at: now };
            let retired =
                std::iter::once(just_now).chain(retired.iter().copied()).take(MAX_RETIRED).collect();
            HostToken {
                host: Arc::clone(&token.host),
                current: next.hash,
                issued: now,
                renewal: Some(Box::new(Renewal { next: None, retired })),
            }
        })
    }

    fn of(&self, host: &Host) -> Option<&HostToken> {
        self.0.iter().find(|token| *token.host == *host)
    }

    fn changed(&self, host: &Host, change: impl FnOnce(&HostToken) -> HostToken) -> Self {
        let mut all = self.0.clone();
        if let Some(token) = all.iter_mut().find(|token| *token.host == *host) {
            *token = change(token);
        }
        Self(all)
    }
}

impl HostToken {
    fn role(&self, hash: &TokenHash) -> Option<Role<'_>> {
        let renewal = self.renewal.as_deref();
        let next = renewal.and_then(|renewal| renewal.next.as_ref());
        if self.current == *hash {
            return Some(Role::Current { issued: self.issued, next });
        }
        if next.is_some_and(|next| next.hash == *hash) {
            return Some(Role::Next);
        }
        let mut retired = renewal?.retired.iter();
        retired.find(|retired| retired.hash == *hash).map(|retired| Role::Retired(retired.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::token::Token;

    fn host(name: &str) -> Arc<Host> {
        Arc::new(Host::parse(name).unwrap())
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn next(hash: TokenHash) -> Next {
        Next { hash, sealed: "sealed".into() }
    }

    #[test]
    fn a_token_is_followed_by_the_one_on_offer_once_that_was_seen() {
        let (app, other) = (host("app"), host("other"));
        let [first, second] = [Token::generate().hash(), Token::generate().hash()];
        let tokens = Tokens::first(Arc::clone(&app), first, at(0));
        assert_eq!(tokens.role(&first, &app), Some(Role::Current { issued: at(0), next: None }));
        assert_eq!((tokens.role(&first, &other), tokens.role(&second, &app)), (None, None));
        let offering = tokens.offering(&app, next(second));
        assert!(matches!(offering.role(&first, &app), Some(Role::Current { next: Some(_), .. })));
        assert_eq!(offering.role(&second, &app), Some(Role::Next));
        let promoted = offering.promoted(&app, at(5));
        assert_eq!(promoted.role(&first, &app), Some(Role::Retired(at(5))));
        assert_eq!(promoted.role(&second, &app), Some(Role::Current { issued: at(5), next: None }));
        assert_eq!(promoted.promoted(&app, at(6)), promoted);
        assert_eq!(promoted.hashes().count(), 2);
    }

    #[test]
    fn the_last_few_are_remembered() {
        let app = host("app");
        let hashes: Vec<TokenHash> = (0..9).map(|_| Token::generate().hash()).collect();
        let mut tokens = Tokens::first(Arc::clone(&app), hashes[0], at(0));
        for (renewals, hash) in hashes.iter().enumerate().skip(1) {
            tokens = tokens.offering(&app, next(*hash)).promoted(&app, at(renewals as u64));
        }
        assert_eq!(tokens.hashes().count(), 1 + MAX_RETIRED);
        assert_eq!(tokens.role(&hashes[7], &app), Some(Role::Retired(at(8))));
        assert_eq!(tokens.role(&hashes[0], &app), None);
    }
}
