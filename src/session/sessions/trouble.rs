//! What sessions promise when the store fails, and when things happen at once.

use std::future::poll_fn;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Poll;

use futures_util::FutureExt;
use tokio::sync::Notify;

use super::tests::ada;
use super::tests::ask;
use super::tests::assert_active;
use super::tests::assert_ended;
use super::tests::at;
use super::tests::begin;
use super::tests::find;
use super::tests::host;
use super::tests::limits;
use super::tests::listened_to;
use super::tests::request;
use super::tests::sessions;
use super::*;
use crate::session::id::SessionId;
use crate::session::sessions::begin::BeginError;
use crate::session::store::Created;
use crate::session::store::Cursor;
use crate::session::store::Held;
use crate::session::store::HeldKey;
use crate::session::store::Page;
use crate::session::store::conformance::Copies;
use crate::session::token::Token;
use crate::session::tokens::Tokens;

#[tokio::test]
async fn a_broken_store_is_an_error_and_never_nobody() {
    let sessions = sessions(9, Unsteady::default());
    let (token, session) = begin(&sessions, ada(), 0).await;
    sessions.store.down.store(true, Ordering::SeqCst);
    assert_active(&find(&sessions, &token, 1).await, &session);
    let unknown = Token::generate();
    let asked = ask(&sessions, &unknown, "app", limits(10, 25), 1);
    assert!(asked.await.is_err());
    assert!(sessions.end(&session, Why::LoggedOut).await.is_err());
    assert!(sessions.end_user(&session.user().name, Why::UserRemoved).await.is_err());
    assert_eq!(session.why_ended(), None);
    assert!(sessions.sweep(at(1)).await.is_err());
    let begun = sessions.begin(ada(), None, at(1)).await;
    assert!(matches!(begun, Err(BeginError::Store(_))));
    let again = sessions.begin(ada(), Some(&session), at(1)).await;
    assert!(matches!(again, Err(BeginError::Store(_))));
    sessions.store.down.store(false, Ordering::SeqCst);
    assert_active(&find(&sessions, &token, 1).await, &session);
    assert_eq!(sessions.live(), 1);
}

#[tokio::test]
async fn what_is_over_stays_over_when_the_store_fails_to_remove_it() {
    let sessions = sessions(9, Unsteady::default());
    let (token, session) = begin(&sessions, ada(), 0).await;
    sessions.store.down.store(true, Ordering::SeqCst);
    let found = ask(&sessions, &token, "app", limits(10, 25), 10);
    assert!(found.await.is_err());
    assert_eq!(session.why_ended(), Some(Why::Idle));
    sessions.store.down.store(false, Ordering::SeqCst);
    assert_ended(&find(&sessions, &token, 10).await, Why::Idle);
    assert_eq!((sessions.sweep(at(10)).await.unwrap(), sessions.live()), (1, 0));
    assert_ended(&find(&sessions, &token, 10).await, Why::Idle);
}

#[tokio::test]
async fn an_end_whose_answer_was_lost_is_found_out_and_told_once() {
    let (sessions, told) = listened_to(sessions(9, Unsteady::default()));
    let (token, session) = begin(&sessions, ada(), 0).await;
    let Finding::Active(grant) = find(&sessions, &token, 1).await else { panic!("the session is alive") };
    sessions.store.loses_answers.store(true, Ordering::SeqCst);
    assert!(sessions.end(&session, Why::LoggedOut).await.is_err());
    let (app, limits) = (host("app"), limits(10, 25));
    assert_eq!(sessions.check(&grant, &request(&app, &limits, 1)).await.unwrap(), Checked::Stale);
    assert_ended(&find(&sessions, &token, 1).await, Why::LoggedOut);
    assert_ended(&find(&sessions, &token, 2).await, Why::LoggedOut);
    assert_eq!(*told.lock().unwrap(), [("ada".to_owned(), Why::LoggedOut)]);
}

#[tokio::test]
async fn a_look_up_that_began_before_a_revocation_does_not_bring_the_session_back() {
    let sessions = sessions(9, Unsteady::default());
    let (token, session) = begin(&sessions, ada(), 0).await;
    let (look_up, token) = overtaken_look_up(&sessions, token).await;
    sessions.end_user(&session.user().name, Why::UserRemoved).await.unwrap();
    sessions.store.go_on.notify_one();
    assert_ended(&look_up.await.unwrap(), Why::UserRemoved);
    assert!(sessions.cache.get(&token.hash()).is_none());
    assert_ended(&find(&sessions, &token, 1).await, Why::UserRemoved);
}

#[tokio::test]
async fn two_look_ups_at_once_end_up_with_one_session() {
    let sessions = sessions(9, Unsteady::default());
    let (token, _) = begin(&sessions, ada(), 0).await;
    let (look_up, token) = overtaken_look_up(&sessions, token).await;
    let Finding::Active(faster) = find(&sessions, &token, 1).await else {
        panic!("the session is alive");
    };
    sessions.store.go_on.notify_one();
    assert_active(&look_up.await.unwrap(), faster.session());
}

fn is_active(finding: &Finding) -> bool {
    matches!(finding, Finding::Active(_))
}

#[test]
fn no_thread_finds_a_session_again_once_it_was_ended() {
    let sessions = sessions(9, Copies::default());
    let find_now = |token: &Token| find(&sessions, token, 1).now_or_never().unwrap();
    let watch = |token: &Token| {
        while is_active(&find_now(token)) {}
        is_active(&find_now(token))
    };
    for _ in 0..300 {
        let (token, session) = begin(&sessions, ada(), 0).now_or_never().unwrap();
        // Cold, so that the look-ups race with the end for the store's answer.
        sessions.cache.forget(&token.hash());
        std::thread::scope(|scope| {
            let watches = [(); 3].map(|()| scope.spawn(|| watch(&token)));
            let ended = sessions.end(&session, Why::LoggedOut).now_or_never();
            assert!(ended.unwrap().is_ok());
            assert_ended(&find_now(&token), Why::LoggedOut);
            assert_eq!(watches.map(|watch| watch.join().unwrap()), [false; 3]);
        });
    }
    assert_eq!(sessions.live(), 0);
}

/// A look-up with a cold cache that has its answer from the store and has not gone on yet.
async fn overtaken_look_up(
    sessions: &Arc<Sessions<Unsteady>>,
    token: Token,
) -> (tokio::task::JoinHandle<Finding>, Token) {
    sessions.cache.forget(&token.hash());
    let again = Token::parse(token.encode().expose().as_bytes()).unwrap();
    let slow = Arc::clone(sessions);
    slow.store.pause.store(true, Ordering::SeqCst);
    let look_up = tokio::spawn(async move { find(&slow, &token, 1).await });
    sessions.store.answered.notified().await;
    (look_up, again)
}

/// A store that breaks, and dawdles, when it is told to.
#[derive(Default)]
pub(super) struct Unsteady {
    copies: Copies,
    down: AtomicBool,
    /// What is to be removed is removed, and the answer lost.
    loses_answers: AtomicBool,
    /// Every question and every answer takes a step of its own, until which others have their turn.
    pub(super) in_steps: AtomicBool,
    /// The next answer to a look-up waits for `go_on` on its way.
    pause: AtomicBool,
    answered: Notify,
    go_on: Notify,
}

impl Unsteady {
    async fn step(&self) {
        if self.in_steps.load(Ordering::SeqCst) {
            // Wakes nobody: whoever searches takes the next step when it likes.
            let mut waited = false;
            poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending })
                .await;
        }
    }

    async fn up(&self) -> Result<&Copies, StoreError> {
        self.step().await;
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::new("down"));
        }
        Ok(&self.copies)
    }
}

impl Store for Unsteady {
    async fn create(&self, session: &Arc<Session>, capacity: usize) -> Result<Created, StoreError> {
        let answer = self.up().await?.create(session, capacity).await;
        self.step().await;
        answer
    }

    async fn find(&self, token: &TokenHash) -> Result<Option<Arc<Session>>, StoreError> {
        let answer = self.up().await?.find(token).await?;
        self.step().await;
        if self.pause.swap(false, Ordering::SeqCst) {
            self.answered.notify_one();
            self.go_on.notified().await;
        }
        Ok(answer)
    }

    async fn load(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        let answer = self.up().await?.load(id).await;
        self.step().await;
        answer
    }

    async fn replace(
        &self,
        session: &Arc<Session>,
        version: u32,
        tokens: &Tokens,
    ) -> Result<bool, StoreError> {
        let answer = self.up().await?.replace(session, version, tokens).await;
        self.step().await;
        answer
    }

    async fn touch(&self, sessions: &[Arc<Session>]) -> Result<(), StoreError> {
        let answer = self.up().await?.touch(sessions).await;
        self.step().await;
        answer
    }

    async fn remove(&self, session: &Session) -> Result<bool, StoreError> {
        let answer = self.up().await?.remove(session).await;
        self.step().await;
        if self.loses_answers.load(Ordering::SeqCst) {
            Err(StoreError::new("the answer is lost"))
        } else {
            answer
        }
    }

    async fn of_user(&self, user: &UserName) -> Result<Vec<Arc<Session>>, StoreError> {
        let answer = self.up().await?.of_user(user).await;
        self.step().await;
        answer
    }

    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<Session>>, StoreError> {
        let answer = self.up().await?.overdue(now, limit).await;
        self.step().await;
        answer
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let answer = self.up().await?.list(from, limit).await;
        self.step().await;
        answer
    }

    async fn hold(
        &self,
        key: HeldKey,
        held: &Held,
        now: Timestamp,
        room: usize,
    ) -> Result<Created, StoreError> {
        self.up().await?.hold(key, held, now, room).await
    }

    async fn held(&self, key: HeldKey) -> Result<Option<Held>, StoreError> {
        self.up().await?.held(key).await
    }

    async fn take_held(&self, key: HeldKey, held: &Held) -> Result<bool, StoreError> {
        self.up().await?.take_held(key, held).await
    }

    async fn sweep_held(&self, now: Timestamp) -> Result<(), StoreError> {
        self.up().await?.sweep_held(now).await
    }

    fn count(&self) -> usize {
        self.copies.count()
    }

    fn cache_bound(&self) -> u64 {
        self.copies.cache_bound()
    }
}
