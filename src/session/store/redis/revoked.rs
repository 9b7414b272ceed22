//! The sessions that this gateway has ended: what a server that did not hear of it would bring back.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::clock::Timestamp;
use crate::identity::user::User;
use crate::session::id::SessionId;
use crate::session::live::Session;

/// So many are remembered; of more, the earliest ends are forgotten. About 10 MiB.
const MOST: usize = 65_536;

/// Ends of our own, until the sessions would have been over anyway.
#[derive(Debug, Default)]
pub(super) struct Revoked(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_id: BTreeMap<SessionId, Ended>,
    in_order: VecDeque<SessionId>,
}

#[derive(Debug)]
struct Ended {
    user: Arc<User>,
    until: Timestamp,
}

impl Revoked {
    /// Remembers that `session` was ended.
    pub(super) fn note(&self, session: &Session, now: Timestamp) {
        let until = session.times().began.after(session.lifetime().absolute());
        let ended = Ended { user: Arc::clone(session.user()), until };
        let mut inner = self.lock();
        if inner.by_id.insert(session.id(), ended).is_none() {
            inner.in_order.push_back(session.id());
        }
        while let Some(first) = inner.in_order.front().copied() {
            let stays = inner.by_id.get(&first).is_some_and(|ended| ended.until > now);
            if stays && inner.in_order.len() <= MOST {
                break;
            }
            inner.in_order.pop_front();
            inner.by_id.remove(&first);
        }
    }

    /// Whether this session was ended.
    pub(super) fn has(&self, id: SessionId) -> bool {
        self.lock().by_id.contains_key(&id)
    }

    /// All that would not be over by themselves, with their users.
    pub(super) fn all(&self, now: Timestamp) -> Vec<(SessionId, Arc<User>)> {
        let inner = self.lock();
        let lasting = inner.by_id.iter().filter(|(_, ended)| ended.until > now);
        lasting.map(|(id, ended)| (*id, Arc::clone(&ended.user))).collect()
    }

    /// What the lock guards is as right after a panic as before.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::lifetime::Lifetime;
    use crate::session::store::conformance::session_of;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn session(began: u64) -> Arc<Session> {
        let lifetime = Lifetime::new(Duration::from_secs(10), Duration::from_mins(1)).unwrap();
        session_of("ada", lifetime, at(began))
    }

    #[test]
    fn an_end_is_remembered_until_the_session_would_be_over() {
        let (revoked, early, late) = (Revoked::default(), session(100), session(150));
        revoked.note(&early, at(110));
        revoked.note(&early, at(110));
        revoked.note(&late, at(155));
        assert!(revoked.has(early.id()) && revoked.has(late.id()));
        assert_eq!(revoked.all(at(160)).len(), 1);
        revoked.note(&session(160), at(160));
        assert!(!revoked.has(early.id()) && revoked.has(late.id()));
    }

    #[test]
    fn of_too_many_the_earliest_ends_are_forgotten() {
        let (revoked, first) = (Revoked::default(), session(100));
        revoked.note(&first, at(100));
        for _ in 0..MOST {
            revoked.note(&session(100), at(100));
        }
        assert!(!revoked.has(first.id()));
        assert_eq!(revoked.all(at(100)).len(), MOST);
    }
}
