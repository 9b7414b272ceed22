//! Hearing what other gateways do to sessions: what they ended is over here, what they changed is read again, and what
//! nothing was heard of for too long is not believed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use crate::clock::Timestamp;
use crate::session::id::SessionId;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::sessions::Sessions;
use crate::session::store::News;
use crate::session::store::Store;
use crate::session::store::StoreError;

/// How long it can take until a store that says nothing any more is taken for one that is not heard.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);

/// How often it is looked whether anything was heard of late.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// So long before a session would be idle by what is known here, it is asked whether it was used elsewhere: two sweeps.
const BEFORE_IDLE: Duration = Duration::from_secs(10);

/// So many sessions are read again at once.
const STEP: usize = 128;

/// So many changes are taken together at most, where they come faster than they can be looked at one by one.
const TOGETHER: usize = 1024;

/// Whether a store that others use too can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It can.
    Up,
    /// It cannot, for this reason.
    Down(String),
}

/// What was changed and could not be read again yet.
#[derive(Default)]
struct Behind {
    all: bool,
    some: BTreeSet<SessionId>,
}

impl<S: Store> Sessions<S> {
    /// Follows what is heard of the store, for ever, and tells `told` when it can no longer be asked and when it can
    /// again. To be run once; for a store that nobody else uses it never does anything.
    pub async fn follow(&self, now: impl Fn() -> Timestamp + Send, told: impl Fn(StoreState) + Send) {
        let mut behind = Behind::default();
        // Whether something may wait here for the end of a session.
        let mut waits = false;
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if waits && !self.believes(now()) {
                self.let_go();
                waits = false;
            }
            // However much is heard, the look comes around.
            let mut news = tokio::select! {
                biased;
                _ = look.tick() => continue,
                news = self.store.news() => Some(news),
            };
            let mut changed = Vec::new();
            while let Some(News::Changed(id)) = news {
                changed.push(id);
                news = if changed.len() < TOGETHER { self.store.news().now_or_never() } else { None };
            }
            let here: Vec<_> = changed.iter().filter_map(|id| self.cache.changed(*id)).collect();
            if self.read_again(&here).await.is_err() {
                behind.some.extend(changed);
            }
            let Some(news) = news else { continue };
            match news {
                News::Changed(id) => behind.some.extend([id]),
                News::Everything => behind = Behind { all: true, some: BTreeSet::new() },
                // Only what was heard and acted upon is a reason to believe the rest.
                News::Sound(then) => {
                    if self.catch_up(&mut behind).await.is_ok() {
                        let until = then.after(NOTICED_WITHIN).after(self.serve_cached);
                        self.believed_until.store(until.as_millis(), Ordering::Release);
                        waits = true;
                    }
                }
                News::Down { reason } => {
                    // Also what began after an outage, before anything was sound.
                    waits = true;
                    told(StoreState::Down(reason));
                }
                News::Up => told(StoreState::Up),
            }
        }
    }

    async fn catch_up(&self, behind: &mut Behind) -> Result<(), StoreError> {
        if behind.all {
            self.read_again(&self.cache.all_changed()).await?;
            behind.all = false;
        }
        while let Some(id) = behind.some.first().copied() {
            self.read_again(self.cache.changed(id).as_slice()).await?;
            behind.some.remove(&id);
        }
        Ok(())
    }

    /// Lets go of what is known here and may be over elsewhere: streams and sockets end, and who comes again is looked
    /// up in the store.
    fn let_go(&self) {
        for session in self.cache.all_changed().into_iter().filter(|session| session.is_kept()) {
            // Out of the cache first: whoever finds it in the store from now on has it anew.
            self.cache.remove(&session);
            session.end(Why::NotHeard);
        }
    }

    /// Asks when sessions were last seen elsewhere that would soon be idle by what is known here: what waits for their
    /// end on this gateway must not take them for idle.
    pub(super) async fn ask_before_idle(&self, now: Timestamp) -> Result<(), StoreError> {
        let soon = now.after(BEFORE_IDLE);
        let mut here = self.cache.all();
        here.retain(|session| {
            let idle_end = session.times().last_seen.after(self.shortest_idle(session));
            session.is_kept() && session.why_ended().is_none() && idle_end <= soon
        });
        self.read_again(&here).await
    }

    /// Asks when a session was last seen by others who share the store, for somebody who is to be told how long it has.
    pub async fn ask_last_seen(&self, session: &Session) -> Result<(), StoreError> {
        if self.store.is_shared()
            && let Some(seen) = self.store.last_seen(session).await?
        {
            session.seen_elsewhere(seen);
        }
        Ok(())
    }

    /// Takes over what the store has; others may have locked it.
    fn compare(&self, stored: Arc<Session>) {
        let session = self.cache.shared(stored);
        if session.is_locked() {
            self.bury(&session, Why::Idle, false);
        }
    }

    /// Compares sessions that are in use here with the store's.
    pub(super) async fn read_again(&self, sessions: &[Arc<Session>]) -> Result<(), StoreError> {
        for some in sessions.chunks(STEP) {
            let read = some.iter().map(|session| async {
                match self.store.load(session.id()).await? {
                    Some(stored) => self.compare(stored),
                    None if session.is_kept() => self.lose(session).await,
                    // It is being begun at this moment; whoever does so looks again.
                    None => {}
                }
                Ok(())
            });
            join_all(read).await.into_iter().collect::<Result<(), StoreError>>()?;
        }
        Ok(())
    }
}
