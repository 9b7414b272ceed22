//! Any sequence of hand-overs, compared with a model that is two lists.

use std::time::Duration;

use proptest::prelude::Strategy;
use proptest::prop_oneof;
use proptest::proptest;

use super::*;
use crate::session::Finding;
use crate::session::lifetime::Why;
use crate::session::sessions::tests::at;
use crate::session::sessions::tests::begin;
use crate::session::sessions::tests::host;
use crate::session::sessions::tests::limits;
use crate::session::sessions::tests::login;
use crate::session::sessions::tests::request;
use crate::session::sessions::tests::sessions;
use crate::session::store::conformance::Copies;
use crate::session::store::memory::Memory;

const HOSTS: [&str; 2] = ["app", "wiki"];
const YOUNG: Duration = Duration::from_mins(1);
const MOST: usize = 8;

/// Codes and tokens are named by the order they were made in; a number that is too high means none.
#[derive(Clone, Debug)]
enum Step {
    Advance { secs: u64 },
    HandOver { host: usize },
    Collect { which: usize, host: usize },
    Find { which: usize, host: usize },
    End,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..40_u64).prop_map(|secs| Step::Advance { secs }),
        8 => (0..2_usize).prop_map(|host| Step::HandOver { host }),
        8 => (0..24_usize, 0..2_usize).prop_map(|(which, host)| Step::Collect { which, host }),
        8 => (0..12_usize, 0..2_usize).prop_map(|(which, host)| Step::Find { which, host }),
        1 => proptest::strategy::Just(Step::End),
    ];
    proptest::collection::vec(step, 0..80)
}

/// A code or a token, said as plainly as possible.
struct Plain {
    token: Token,
    host: usize,
    made: Timestamp,
    good: bool,
}

impl Plain {
    fn is_young(&self, now: Timestamp) -> bool {
        now.since(self.made) < YOUNG
    }
}

/// Makes room for one more on `host`.
fn make_room(list: &mut [Plain], host: usize) {
    let mut good: Vec<&mut Plain> = list.iter_mut().filter(|one| one.good && one.host == host).collect();
    if good.len() >= MOST {
        good[0].good = false;
    }
}

struct Pair<S> {
    now: Timestamp,
    codes: Vec<Plain>,
    tokens: Vec<Plain>,
    ended: bool,
    session: Arc<Session>,
    sessions: Arc<Sessions<S>>,
}

impl<S: Store> Pair<S> {
    async fn run(store: S, steps: Vec<Step>) {
        let sessions = sessions(9, store);
        let (_, session) = begin(&sessions, login("ada", "login", limits(90_000, 90_000)), 0).await;
        let mut pair =
            Self { now: at(0), codes: Vec::new(), tokens: Vec::new(), ended: false, session, sessions };
        for step in steps {
            pair.step(&step).await;
        }
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Advance { secs } => self.now = self.now.after(Duration::from_secs(secs)),
            Step::HandOver { host } => self.hand_over(host).await,
            Step::Collect { which, host } => self.collect(which, host).await,
            Step::Find { which, host: on } => {
                let Some(plain) = self.tokens.get(which) else { return };
                let (here, lifetime) = (host(HOSTS[on]), limits(90_000, 90_000));
                let asked = Request { now: self.now, ..request(&here, &lifetime, 0) };
                let found = self.sessions.find(&plain.token, &asked).await.unwrap();
                let expected = plain.good && plain.host == on && !self.ended;
                assert_eq!(matches!(found, Finding::Active(_)), expected, "{found:?} by token {which}");
            }
            Step::End => {
                self.sessions.end(&self.session, Why::LoggedOut).await.unwrap();
                self.ended = true;
            }
        }
    }

    async fn hand_over(&mut self, on: usize) {
        let code = self.sessions.hand_over(&self.session, &host(HOSTS[on]), self.now).await.unwrap();
        assert_eq!(code.is_none(), self.ended);
        let Some(token) = code else { return };
        self.forget_old_codes();
        make_room(&mut self.codes, on);
        self.codes.push(Plain { token, host: on, made: self.now, good: true });
    }

    async fn collect(&mut self, which: usize, on: usize) {
        let now = self.now;
        let Some(code) = self.codes.get_mut(which) else { return };
        let (here, lifetime) = (host(HOSTS[on]), limits(90_000, 90_000));
        let asked = Request { now, ..request(&here, &lifetime, 0) };
        let begun = self.sessions.collect(&code.token, &asked).await.unwrap();
        let expected = code.good && code.host == on && code.is_young(now) && !self.ended;
        assert_eq!(begun.is_some(), expected, "code {which}");
        let Some(begun) = begun else { return };
        code.good = false;
        self.forget_old_codes();
        for token in self.tokens.iter_mut().filter(|token| token.host == on && !token.is_young(now)) {
            token.good = false;
        }
        make_room(&mut self.tokens, on);
        self.tokens.push(Plain { token: begun.token, host: on, made: now, good: true });
    }

    fn forget_old_codes(&mut self) {
        for code in self.codes.iter_mut().filter(|code| !code.is_young(self.now)) {
            code.good = false;
        }
    }
}

proptest! {
    #[test]
    fn a_login_is_handed_over_as_the_model_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Pair::run(Memory::new(), steps.clone()));
        runtime.block_on(Pair::run(Copies::default(), steps));
    }
}
