//! The tokens of one session: one for each host it is good on, with the one that shall follow it and the last few that
//! went before; and those that were handed over to another host and not collected there yet; and what only they open. A
//! value that is replaced as a whole, never changed: what is not yet in the store is not yet so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::net::Host;
use crate::session::id::SessionId;
use crate::session::token::Token;
use crate::session::token::TokenHash;
use crate::session::vault::Vault;
use crate::session::vault::WrappedKey;

/// So many retired tokens of a host are remembered: enough for requests that were long under way, and for a thief who
/// waited.
const MAX_RETIRED: usize = 4;

/// So many tokens of one host may be on their way at once, or just arrived: tabs that are opened together.
const MAX_YOUNG: usize = 8;

/// So long a token that is handed over to another host waits there for its browser, which is on its way.
pub const HANDED_OVER_FOR: Duration = Duration::from_mins(1);

/// So many tokens that went before still open the vault: those of requests that are under way.
const MAX_LINGERING: usize = 2;

/// The tokens of one session, and the vault that they open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    hosts: Box<[HostToken]>,
    /// The apps' cookies; most sessions have none.
    vault: Option<Arc<Vault>>,
}

/// The token of one host. A host has one, but for the minute in which tabs that were opened together may each bring
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostToken {
    /// The one host it is good on.
    pub host: Arc<Host>,
    /// The token in force.
    pub current: TokenHash,
    /// When it was made.
    pub issued: Timestamp,
    /// What else is to be said of it; nothing in a young session.
    pub course: Option<Box<Course>>,
}

/// Where a token stands on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// It was handed over to its host, and nobody has collected it there yet: it is good for that alone.
    Waiting,
    /// It is in force, and has neighbours in time.
    Renewed(Renewal),
    /// The login rested for longer than this host allows, though not than others do: nothing is good here until the next.
    Closed,
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
    /// No longer good, since the host is closed to this login.
    Closed,
}

impl Tokens {
    /// The one token a session begins with.
    pub fn first(host: Arc<Host>, hash: TokenHash, now: Timestamp) -> Self {
        Self::of_hosts(vec![HostToken { host, current: hash, issued: now, course: None }])
    }

    /// The tokens that a store has kept.
    pub(super) fn of_hosts(hosts: Vec<HostToken>) -> Self {
        Self { hosts: hosts.into(), vault: None }
    }

    /// Of a session that has idled out and stays for what its vault keeps: they open nothing but that, for a new login.
    #[must_use]
    pub fn locked(self) -> Self {
        let vault = self.vault.map(|vault| Arc::new(vault.locked()));
        Self { vault, ..self }
    }

    /// Whether they open nothing but what a new login takes over.
    pub fn is_locked(&self) -> bool {
        self.vault.as_ref().is_some_and(|vault| vault.is_locked())
    }

    /// Each host's token.
    pub fn hosts(&self) -> &[HostToken] {
        &self.hosts
    }

    /// The apps' cookies, if any are kept.
    pub fn vault(&self) -> Option<&Arc<Vault>> {
        self.vault.as_ref()
    }

    /// The same with `vault`.
    #[must_use]
    pub fn with_vault(self, vault: Option<Vault>) -> Self {
        Self { vault: vault.map(Arc::new), ..self }
    }

    /// With one more token that opens the vault, if there is one.
    #[must_use]
    pub fn opened_by(self, key: Option<WrappedKey>) -> Self {
        match (&self.vault, key) {
            (Some(vault), Some(key)) => Self { vault: Some(Arc::new(vault.opened_by(key))), ..self },
            (Some(_), None) | (None, _) => self,
        }
    }

    /// What is here, as the next version of `older` in this process.
    #[must_use]
    pub(super) fn succeeding(self, id: SessionId, older: &Self) -> Self {
        match (&self.vault, &older.vault) {
            (Some(new), Some(old)) if !Arc::ptr_eq(new, old) => {
                Self { vault: Some(Arc::new(new.succeeding(id, old))), ..self }
            }
            (Some(_), Some(_) | None) | (None, _) => self,
        }
    }

    /// These hosts' tokens in the place of ours. The vault is opened by those alone that are good for something, and by
    /// the last that went before.
    fn with_hosts(&self, hosts: Vec<HostToken>) -> Self {
        let mut next = Self { hosts: hosts.into(), vault: None };
        next.vault = self.vault.as_ref().map(|vault| {
            let live = |hash: &TokenHash| next.hosts.iter().any(|token| token.opens(hash));
            if vault.keys().iter().all(|key| live(&key.token)) {
                return Arc::clone(vault);
            }
            Arc::new(vault.opened_only_by(live))
        });
        next
    }

    /// All hashes by which the session is to be found, those that are no longer good included: they must not come to
    /// be taken for a stranger's.
    pub fn hashes(&self) -> impl Iterator<Item = &TokenHash> {
        self.hosts.iter().flat_map(|token| {
            let others = token.renewal().into_iter().flat_map(|renewal| {
                let next = renewal.next.iter().map(|next| &next.hash);
                next.chain(renewal.retired.iter().map(|retired| &retired.hash))
            });
            std::iter::once(&token.current).chain(others)
        })
    }

    /// The host whose token this is, whatever its role.
    pub fn host_of(&self, hash: &TokenHash) -> Option<&Arc<Host>> {
        self.hosts.iter().find(|token| token.names(hash)).map(|token| &token.host)
    }

    /// Whether this token was handed over to `host` and waits there.
    pub fn waits(&self, hash: &TokenHash, host: &Host, now: Timestamp) -> bool {
        self.hosts.iter().any(|token| {
            token.waits() && token.current == *hash && *token.host == *host && token.is_young(now)
        })
    }

    /// What this token is on `host`; nothing if it is no token of that host, or not yet.
    pub fn role(&self, hash: &TokenHash, host: &Host) -> Option<Role<'_>> {
        self.hosts.iter().filter(|token| *token.host == *host).find_map(|token| token.role(hash))
    }

    /// With `next` on offer in place of the token `current`.
    #[must_use]
    pub fn offering(&self, current: &TokenHash, next: Next) -> Self {
        self.changed(current, |token| {
            let retired = token.renewal().map(|renewal| renewal.retired.clone()).unwrap_or_default();
            let renewal = Renewal { next: Some(next), retired };
            HostToken { course: Some(Box::new(Course::Renewed(renewal))), ..token.clone() }
        })
    }

    /// With the token `offered` in force since `now`, and the one before it retired.
    #[must_use]
    pub fn promoted(&self, offered: &TokenHash, now: Timestamp) -> Self {
        self.changed(offered, |token| {
            let Some(Renewal { next: Some(next), retired }) = token.renewal() else {
                return token.clone();
            };
            let just_now = Retired { hash: token.current, at: now };
            let retired =
                std::iter::once(just_now).chain(retired.iter().copied()).take(MAX_RETIRED).collect();
            let renewal = Renewal { next: None, retired };
            HostToken {
                host: Arc::clone(&token.host),
                current: next.hash,
                issued: now,
                course: Some(Box::new(Course::Renewed(renewal))),
            }
        })
    }

    /// With a token that waits to be collected on `host`. Those that waited too long are gone.
    #[must_use]
    pub fn handing_over(&self, host: Arc<Host>, code: TokenHash, now: Timestamp) -> Self {
        let mut all: Vec<HostToken> =
            self.hosts.iter().filter(|token| !token.waits() || token.is_young(now)).cloned().collect();
        let waiting = |token: &HostToken| token.waits() && token.host == host;
        if all.iter().filter(|token| waiting(token)).count() >= MAX_YOUNG
            && let Some(oldest) = all.iter().position(waiting)
        {
            all.remove(oldest);
        }
        all.push(HostToken { host, current: code, issued: now, course: Some(Box::new(Course::Waiting)) });
        self.with_hosts(all)
    }

    /// With `token` in force on the host where `code` waited; nothing if it did not wait there, or too long. A browser
    /// that collects has lost what it had there: older tokens of that host are dead at once. Young ones stay beside it:
    /// of tabs that arrive together nobody knows whose cookie the browser keeps.
    pub fn collected(&self, code: &TokenHash, host: &Host, token: TokenHash, now: Timestamp) -> Option<Self> {
        if !self.waits(code, host, now) {
            return None;
        }
        let host = Arc::clone(self.host_of(code)?);
        let new = HostToken { host, current: token, issued: now, course: None };
        let stays = |other: &&HostToken| {
            let elsewhere = other.host != new.host && !other.waits();
            other.current != *code && (elsewhere || other.is_young(now))
        };
        let mut all: Vec<HostToken> = self.hosts.iter().filter(stays).cloned().collect();
        let in_force = |token: &HostToken| !token.waits() && token.host == new.host;
        if all.iter().filter(|token| in_force(token)).count() >= MAX_YOUNG
            && let Some(oldest) = all.iter().position(in_force)
        {
            all.remove(oldest);
        }
        all.push(new);
        Some(self.with_hosts(all))
    }

    /// With each of these hosts closed; nothing if they are already. One without a token of the login is closed too: it
    /// must not be opened by a login that it would have ended.
    pub fn closing(&self, hosts: &[Arc<Host>]) -> Option<Self> {
        let mut open = hosts.iter().filter(|host| !self.is_closed(host)).peekable();
        open.peek()?;
        let mut all = self.hosts.to_vec();
        for host in open {
            let in_force = |token: &&HostToken| token.host == *host && !token.waits();
            let known = all.iter().rev().find(in_force).cloned();
            all.retain(|token| token.host != *host);
            let closed = known.unwrap_or_else(|| HostToken {
                host: Arc::clone(host),
                current: Token::generate().hash(),
                issued: Timestamp::from_millis(0),
                course: None,
            });
            all.push(HostToken { course: Some(Box::new(Course::Closed)), ..closed });
        }
        Some(self.with_hosts(all))
    }

    /// The hosts that the session is good on, each once and in order.
    pub fn good_on(&self) -> BTreeSet<&Host> {
        self.hosts.iter().filter(|token| token.is_in_force()).map(|token| &*token.host).collect()
    }

    /// Whether `host` is closed to this login.
    pub fn is_closed(&self, host: &Host) -> bool {
        self.hosts.iter().any(|token| *token.host == *host && token.is_closed())
    }

    fn changed(&self, hash: &TokenHash, change: impl FnOnce(&HostToken) -> HostToken) -> Self {
        let mut all = self.hosts.to_vec();
        let open = |token: &&mut HostToken| !token.is_closed() && token.role(hash).is_some();
        if let Some(token) = all.iter_mut().find(open) {
            *token = change(token);
        }
        self.with_hosts(all)
    }
}

impl HostToken {
    /// What came of renewing it.
    pub fn renewal(&self) -> Option<&Renewal> {
        match self.course.as_deref() {
            Some(Course::Renewed(renewal)) => Some(renewal),
            Some(Course::Waiting | Course::Closed) | None => None,
        }
    }

    /// Whether it is good on its host.
    fn is_in_force(&self) -> bool {
        !self.waits() && !self.is_closed()
    }

    /// Whether its host is closed to the login.
    pub fn is_closed(&self) -> bool {
        self.course.as_deref() == Some(&Course::Closed)
    }

    /// Whether the session is to be found by this token, whatever it is good for.
    fn names(&self, hash: &TokenHash) -> bool {
        self.current == *hash || self.role(hash).is_some()
    }

    /// Whether this token of the host opens the vault.
    fn opens(&self, hash: &TokenHash) -> bool {
        if self.is_closed() {
            return false;
        }
        let renewal = self.renewal().into_iter();
        let others = renewal.flat_map(|renewal| {
            let next = renewal.next.iter().map(|next| &next.hash);
            next.chain(renewal.retired.iter().take(MAX_LINGERING).map(|retired| &retired.hash))
        });
        std::iter::once(&self.current).chain(others).any(|token| token == hash)
    }

    /// Whether it waits for its browser on a host that it was handed over to.
    pub fn waits(&self) -> bool {
        self.course.as_deref() == Some(&Course::Waiting)
    }

    fn is_young(&self, now: Timestamp) -> bool {
        now < self.issued.after(HANDED_OVER_FOR)
    }

    fn role(&self, hash: &TokenHash) -> Option<Role<'_>> {
        if self.waits() {
            return None;
        }
        if self.is_closed() {
            return (self.current == *hash).then_some(Role::Closed);
        }
        let renewal = self.renewal();
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
        let offering = tokens.offering(&first, next(second));
        assert!(matches!(offering.role(&first, &app), Some(Role::Current { next: Some(_), .. })));
        assert_eq!(offering.role(&second, &app), Some(Role::Next));
        let promoted = offering.promoted(&second, at(5));
        assert_eq!(promoted.role(&first, &app), Some(Role::Retired(at(5))));
        assert_eq!(promoted.role(&second, &app), Some(Role::Current { issued: at(5), next: None }));
        assert_eq!(promoted.promoted(&second, at(6)), promoted);
        assert_eq!(promoted.hashes().count(), 2);
    }

    #[test]
    fn the_last_few_are_remembered() {
        let app = host("app");
        let hashes: Vec<TokenHash> = (0..9).map(|_| Token::generate().hash()).collect();
        let mut tokens = Tokens::first(Arc::clone(&app), hashes[0], at(0));
        for (renewals, hash) in hashes.iter().enumerate().skip(1) {
            tokens = tokens.offering(&hashes[renewals - 1], next(*hash)).promoted(hash, at(renewals as u64));
        }
        assert_eq!(tokens.hashes().count(), 1 + MAX_RETIRED);
        assert_eq!(tokens.role(&hashes[7], &app), Some(Role::Retired(at(8))));
        assert_eq!(tokens.role(&hashes[0], &app), None);
    }

    #[test]
    fn a_token_that_waits_is_good_for_being_collected_once_on_its_host() {
        let (login, app, other) = (host("login"), host("app"), host("other"));
        let [first, code, token] = [(); 3].map(|()| Token::generate().hash());
        let tokens = Tokens::first(Arc::clone(&login), first, at(0));
        let waiting = tokens.handing_over(Arc::clone(&app), code, at(10));
        assert_eq!((waiting.role(&code, &app), waiting.host_of(&code)), (None, Some(&app)));
        assert!(waiting.hashes().any(|hash| *hash == code));
        assert_eq!(waiting.collected(&code, &other, token, at(11)), None);
        assert_eq!(waiting.collected(&first, &login, token, at(11)), None);
        assert_eq!(waiting.collected(&code, &app, token, at(70)), None);
        let collected = waiting.collected(&code, &app, token, at(69)).unwrap();
        assert_eq!(collected.role(&token, &app), Some(Role::Current { issued: at(69), next: None }));
        assert!(collected.role(&first, &login).is_some() && collected.host_of(&code).is_none());
        assert_eq!(collected.collected(&code, &app, first, at(69)), None);
    }

    #[test]
    fn tabs_that_arrive_together_keep_what_they_brought_and_older_tokens_die() {
        let (login, app) = (host("login"), host("app"));
        let hashes: Vec<TokenHash> = (0..20).map(|_| Token::generate().hash()).collect();
        let mut tokens = Tokens::first(login, hashes[0], at(0));
        for code in &hashes[1..4] {
            tokens = tokens.handing_over(Arc::clone(&app), *code, at(1));
        }
        for (code, token) in hashes[1..4].iter().zip(&hashes[4..7]) {
            tokens = tokens.collected(code, &app, *token, at(2)).unwrap();
        }
        assert!(hashes[4..7].iter().all(|token| tokens.role(token, &app).is_some()));
        let later = tokens.handing_over(Arc::clone(&app), hashes[7], at(100));
        let later = later.collected(&hashes[7], &app, hashes[8], at(101)).unwrap();
        assert!(hashes[4..7].iter().all(|token| later.role(token, &app).is_none()));
        assert_eq!(later.hashes().count(), 2);
    }

    #[test]
    fn what_nobody_collects_does_not_pile_up() {
        let app = host("app");
        let mut tokens = Tokens::first(host("login"), Token::generate().hash(), at(0));
        for second in 0..100 {
            tokens = tokens.handing_over(Arc::clone(&app), Token::generate().hash(), at(second / 10));
        }
        assert_eq!(tokens.hosts().len(), 1 + MAX_YOUNG);
        let later = tokens.handing_over(app, Token::generate().hash(), at(300));
        assert_eq!(later.hosts().len(), 2);
    }

    #[test]
    fn a_closed_host_stays_closed_and_the_others_go_on() {
        let (login, app, wiki) = (host("login"), host("app"), host("wiki"));
        let [first, code, token, next] = [(); 4].map(|()| Token::generate().hash());
        let tokens = Tokens::first(login, first, at(0)).handing_over(Arc::clone(&app), code, at(1));
        let tokens = tokens.collected(&code, &app, token, at(2)).unwrap();
        let closed = tokens.closing(&[Arc::clone(&app), Arc::clone(&wiki)]).unwrap();
        assert_eq!(closed.closing(&[Arc::clone(&app), Arc::clone(&wiki)]), None);
        assert!(closed.is_closed(&app) && closed.is_closed(&wiki) && !closed.is_closed(&host("login")));
        assert_eq!(closed.role(&token, &app), Some(Role::Closed));
        assert!(matches!(closed.role(&first, &host("login")), Some(Role::Current { .. })));
        // A renewal that was under way does not open it again.
        let offer = Next { hash: next, sealed: "sealed".into() };
        assert_eq!(closed.offering(&token, offer), closed);
        let waiting =
            tokens.handing_over(Arc::clone(&app), code, at(3)).closing(&[Arc::clone(&app)]).unwrap();
        assert_eq!(waiting.collected(&code, &app, next, at(4)), None);
    }
}
