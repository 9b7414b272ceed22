//! A search: several acts at once, in every order that their steps can take.
//!
//! The store takes a step for each question and one for each answer; all that happens between two steps is one (it is
//! short, and under a lock where it must be). So an order of steps is an order of everything, and there are only so many:
//! each is tried, with sessions of its own.

use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use futures_util::FutureExt;

use super::tests::ada;
use super::tests::ask;
use super::tests::at;
use super::tests::begin;
use super::tests::find;
use super::tests::limits;
use super::tests::sessions;
use super::trouble::Unsteady;
use super::*;
use crate::session::token::Token;

type Act = Pin<Box<dyn Future<Output = ()>>>;

/// One of the worlds in which an order is tried: a session that the store has and the cache has forgotten.
struct World {
    sessions: Arc<Sessions<Unsteady>>,
    session: Arc<Session>,
    token: Token,
    ends: Arc<AtomicUsize>,
}

impl World {
    fn new() -> Self {
        let ends = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&ends);
        let sessions = Arc::into_inner(sessions(9, Unsteady::default())).unwrap();
        let sessions = Arc::new(sessions.tell_ends(move |_, _| {
            told.fetch_add(1, Ordering::SeqCst);
        }));
        let (token, session) = begin(&sessions, ada(), 0).now_or_never().unwrap();
        sessions.cache.forget(&token.hash());
        sessions.store.in_steps.store(true, Ordering::SeqCst);
        Self { sessions, session, token, ends }
    }

    fn token(&self) -> Token {
        Token::parse(self.token.encode().expose().as_bytes()).unwrap()
    }

    fn request(&self, secs: u64) -> Act {
        let (sessions, token) = (Arc::clone(&self.sessions), self.token());
        Box::pin(async move {
            if let Finding::Active(grant) = find(&sessions, &token, secs).await {
                sessions.touch(grant.session(), at(secs));
            }
        })
    }

    /// Two requests, one after the other: once nobody was found, nobody is.
    fn requests(&self) -> Act {
        let (sessions, token) = (Arc::clone(&self.sessions), self.token());
        Box::pin(async move {
            let [first, second] = [find(&sessions, &token, 1).await, find(&sessions, &token, 1).await];
            let active = |found: &Finding| matches!(found, Finding::Active(_));
            assert!(active(&first) || !active(&second), "found again after it was over");
        })
    }

    fn end(&self, why: Why) -> Act {
        let (sessions, session) = (Arc::clone(&self.sessions), Arc::clone(&self.session));
        Box::pin(async move {
            sessions.end(&session, why).await.unwrap();
            assert!(session.why_ended().is_some());
        })
    }

    /// Ends it, after which no request that begins finds it.
    fn end_and_look(&self) -> Act {
        let (end, sessions, token) = (self.end(Why::LoggedOut), Arc::clone(&self.sessions), self.token());
        Box::pin(async move {
            end.await;
            let found = find(&sessions, &token, 1).await;
            assert!(matches!(found, Finding::Ended(_)), "{found:?} after the end");
        })
    }

    fn end_user(&self) -> Act {
        let (sessions, name) = (Arc::clone(&self.sessions), self.session.user().name.clone());
        Box::pin(async move {
            sessions.end_user(&name, Why::UserRemoved).await.unwrap();
        })
    }

    fn sweep(&self, secs: u64) -> Act {
        let sessions = Arc::clone(&self.sessions);
        Box::pin(async move {
            sessions.sweep(at(secs)).await.unwrap();
        })
    }

    fn flush(&self) -> Act {
        let sessions = Arc::clone(&self.sessions);
        Box::pin(async move { sessions.flush().await.unwrap() })
    }

    /// What must be so when all is done and the session was ended.
    fn assert_over(&self) {
        self.sessions.store.in_steps.store(false, Ordering::SeqCst);
        let found =
            ask(&self.sessions, &self.token, "app", limits(10, 25), 1).now_or_never().unwrap().unwrap();
        assert!(matches!(found, Finding::Ended(_)), "{found:?} in the end");
        assert!(self.session.why_ended().is_some(), "who holds it does not know");
        assert_eq!((self.sessions.live(), self.sessions.cache.count()), (0, 0));
        assert_eq!(self.ends.load(Ordering::SeqCst), 1, "told once");
    }
}

/// Lets `acts` take their steps in every order there is, `check` what came of each, and tells how many there were.
fn in_every_order(acts: impl Fn(&World) -> Vec<Act>, check: impl Fn(&World)) -> usize {
    let mut orders = 0;
    // Which of the acts that are not done takes each step: an odometer, its last figure turning fastest.
    let mut choices: Vec<usize> = Vec::new();
    loop {
        let world = World::new();
        let open = run(acts(&world), &mut choices);
        check(&world);
        orders += 1;
        // The last step at which another act could have gone first.
        let Some(step) = (0..choices.len()).rev().find(|step| choices[*step] + 1 < open[*step]) else {
            return orders;
        };
        choices.truncate(step + 1);
        choices[step] += 1;
    }
}

/// Takes steps as `choices` say, and the first act's where they say nothing yet; tells how many acts were open at each.
fn run(mut acts: Vec<Act>, choices: &mut Vec<usize>) -> Vec<usize> {
    let mut open = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while !acts.is_empty() {
        let step = open.len();
        if step == choices.len() {
            choices.push(0);
        }
        open.push(acts.len());
        let mut act = acts.remove(choices[step]);
        if act.as_mut().poll(&mut context).is_pending() {
            acts.insert(choices[step], act);
        }
    }
    open
}

#[test]
fn an_end_beats_every_look_up_that_began_before_it() {
    let orders = in_every_order(|world| vec![world.requests(), world.end_and_look()], World::assert_over);
    assert!(orders > 50, "{orders}");
}

#[test]
fn of_two_who_end_it_one_tells() {
    let acts = |world: &World| vec![world.request(1), world.end(Why::LoggedOut), world.end_user()];
    let orders = in_every_order(acts, World::assert_over);
    assert!(orders > 1000, "{orders}");
}

#[test]
fn nothing_that_was_on_its_way_brings_it_back() {
    let acts = |world: &World| {
        world.sessions.touch(&world.session, at(2));
        vec![world.request(3), world.flush(), world.end(Why::Administrator)]
    };
    let orders = in_every_order(acts, World::assert_over);
    assert!(orders > 1000, "{orders}");
}

#[test]
fn a_sweep_ends_it_unless_a_request_came_first_and_then_not_at_all() {
    let acts = |world: &World| vec![world.request(9), world.sweep(11), world.flush()];
    let orders = in_every_order(acts, |world| {
        world.sessions.store.in_steps.store(false, Ordering::SeqCst);
        let alive = world.session.why_ended().is_none();
        assert_eq!(world.sessions.live(), usize::from(alive));
        assert_eq!(world.ends.load(Ordering::SeqCst), usize::from(!alive));
        let found = find(&world.sessions, &world.token, 12).now_or_never().unwrap();
        assert_eq!(matches!(found, Finding::Active(_)), alive, "{found:?}");
    });
    assert!(orders > 1000, "{orders}");
}

/// How many steps it takes to end a user's sessions.
fn steps_to_end(count: usize) -> usize {
    let sessions = sessions(99, Unsteady::default());
    for _ in 0..count {
        begin(&sessions, ada(), 0).now_or_never().unwrap();
    }
    sessions.store.in_steps.store(true, Ordering::SeqCst);
    let name = ada().user.name.clone();
    let mut end = Box::pin(sessions.end_user(&name, Why::UserRemoved));
    let mut context = Context::from_waker(Waker::noop());
    let mut steps = 0;
    loop {
        steps += 1;
        if let Poll::Ready(ended) = end.as_mut().poll(&mut context) {
            assert_eq!((ended.unwrap(), sessions.live()), (count, 0));
            return steps;
        }
    }
}

#[test]
fn many_sessions_are_ended_in_as_many_steps_as_one() {
    assert_eq!(steps_to_end(20), steps_to_end(1));
}
