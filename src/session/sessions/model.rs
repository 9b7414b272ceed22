//! Any sequence of operations, compared with a model that is a list and an `if`.

use std::collections::BTreeMap;

use proptest::prelude::ProptestConfig;
use proptest::prelude::Strategy;
use proptest::prop_oneof;
use proptest::proptest;

use super::tests::at;
use super::tests::host;
use super::tests::limits;
use super::tests::login;
use super::tests::request;
use super::tests::sessions;
use super::vault::tests::keep;
use super::vault::tests::keys;
use super::vault::tests::owner;
use super::*;
use crate::session::NewLogin;
use crate::session::lifetime::Times;
use crate::session::lifetime::Verdict;
use crate::session::lifetime::is_resumable;
use crate::session::lifetime::verdict;
use crate::session::store::conformance::Copies;
use crate::session::store::disk;
use crate::session::store::disk::Disk;
use crate::session::store::memory::Memory;
use crate::session::token::Token;
use crate::session::vault::VaultKeys;

const USERS: [&str; 3] = ["ada", "bob", "eve"];
const HOSTS: [&str; 2] = ["app", "wiki"];
const MAX: usize = 4;

/// Sessions are named by the order they were begun in; a number that is too high means none.
#[derive(Clone, Debug)]
enum Step {
    Advance { millis: u64 },
    Begin { user: usize, host: usize, replaces: usize, brings: usize },
    End { which: usize, why: usize },
    EndUser { user: usize },
    Find { which: usize, host: usize, limits: usize },
    FindStranger,
    Sweep,
    Touch { which: usize, before: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6000_u64).prop_map(|millis| Step::Advance { millis }),
        4 => (0..3_usize, 0..2_usize, 0..16_usize, 0..16_usize)
            .prop_map(|(user, host, replaces, brings)| Step::Begin { user, host, replaces, brings }),
        1 => (0..8_usize, 0..2_usize).prop_map(|(which, why)| Step::End { which, why }),
        1 => (0..3_usize).prop_map(|user| Step::EndUser { user }),
        5 => (0..8_usize, 0..2_usize, 0..2_usize)
            .prop_map(|(which, host, limits)| Step::Find { which, host, limits }),
        1 => proptest::strategy::Just(Step::FindStranger),
        1 => proptest::strategy::Just(Step::Sweep),
        5 => (0..8_usize, 0..2000_u64).prop_map(|(which, before)| Step::Touch { which, before }),
    ];
    proptest::collection::vec(step, 0..80)
}

fn site_limits(host: usize) -> Lifetime {
    [limits(5, 20).resumable_for(Duration::from_secs(6)), limits(8, 12)][host]
}

fn asked<'a>(host: &'a Host, lifetime: &'a Lifetime, now: Timestamp) -> Request<'a> {
    Request { now, ..request(host, lifetime, 0) }
}

fn why(index: usize) -> Why {
    [Why::LoggedOut, Why::Administrator][index]
}

/// What a session is, said as plainly as possible.
struct Plain {
    user: usize,
    host: usize,
    times: Times,
    ended: Option<Why>,
    /// Whether its record stays, since what it kept may be taken over.
    locked: bool,
    /// Whose cookies of the app it keeps: those of the session that began them.
    keeps: usize,
}

impl Plain {
    fn end(&mut self, why: Why) {
        self.ended = self.ended.or(Some(why));
        self.locked = false;
    }

    fn is_resumable(&self, now: Timestamp) -> bool {
        is_resumable(&self.times, &site_limits(self.host), now)
    }

    fn expire(&mut self, lifetime: Lifetime, now: Timestamp) {
        if self.ended.is_none()
            && let Verdict::Ended(why) = verdict(&self.times, &lifetime, now)
        {
            self.end(why);
            self.locked = why == Why::Idle && self.is_resumable(now);
        }
    }
}

/// The model and the thing itself, side by side.
struct Pair<S> {
    now: Timestamp,
    plain: Vec<Plain>,
    real: BTreeMap<usize, (Token, Arc<Session>)>,
    sessions: Arc<Sessions<S>>,
}

impl<S: Store> Pair<S> {
    async fn run(store: S, steps: Vec<Step>) {
        let mut pair = Self {
            now: at(1_000_000),
            plain: Vec::new(),
            real: BTreeMap::new(),
            sessions: {
                let plain = Arc::into_inner(sessions(MAX, store)).unwrap();
                Arc::new(plain.keeping_cookies(VaultKeys::new(&keys(1, &[]))))
            },
        };
        for step in steps {
            pair.step(&step).await;
            pair.compare(&step);
        }
    }

    async fn step(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Advance { millis } => self.now = now.after(Duration::from_millis(millis)),
            Step::Begin { user, host, replaces, brings } => self.begin((user, host), replaces, brings).await,
            Step::End { which, why: reason } => {
                if let Some((_, session)) = self.real.get(&which) {
                    self.sessions.end(session, why(reason)).await.unwrap();
                    self.plain[which].end(why(reason));
                }
            }
            Step::EndUser { user } => {
                let name = UserName::parse(USERS[user]).unwrap();
                let found = self.sessions.end_user(&name, Why::UserRemoved).await.unwrap();
                let theirs = self.plain.iter_mut().filter(|plain| plain.user == user);
                let ended = theirs.map(|plain| {
                    let alive = plain.ended.is_none();
                    plain.end(Why::UserRemoved);
                    usize::from(alive)
                });
                assert_eq!(ended.sum::<usize>(), found);
            }
            Step::Find { which, host, limits } => self.find(which, host, limits).await,
            Step::FindStranger => {
                let stranger = Token::generate();
                let (host, lifetime) = (host(HOSTS[0]), site_limits(0));
                let found = self.sessions.find(&stranger, &asked(&host, &lifetime, now)).await.unwrap();
                assert!(matches!(found, Finding::Nobody));
            }
            Step::Sweep => {
                let ended = self.sessions.sweep(now).await.unwrap();
                assert_eq!(self.sweep_plain(), ended);
            }
            Step::Touch { which, before } => self.touch(which, before),
        }
    }

    async fn begin(&mut self, (user, host): (usize, usize), replaces: usize, brings: usize) {
        let number = self.plain.len();
        let old = self.real.get(&replaces).map(|(_, session)| Arc::clone(session));
        let mut keeps = number;
        if old.is_some() {
            let old = &mut self.plain[replaces];
            // What is open in memory goes over also from one whose end nobody has noticed.
            if old.user == user {
                keeps = old.keeps;
            }
            old.end(Why::Replaced);
        }
        let brought = self.real.get(&brings).map(|(token, _)| token.encode().expose().clone());
        let brought = brought.and_then(|text| Token::parse(text.as_bytes())).map(Arc::new);
        let mut resumes = false;
        if let (None, Some(_)) = (&old, &brought)
            && self.plain[brings].locked
            && self.plain[brings].host == host
        {
            let locked = &mut self.plain[brings];
            resumes = locked.user == user && locked.is_resumable(self.now);
            if resumes {
                keeps = locked.keeps;
            }
            locked.locked = false;
        }
        if self.kept() >= MAX {
            self.sweep_plain();
        }
        if self.kept() >= MAX {
            self.plain.iter_mut().for_each(|plain| plain.locked = false);
        }
        let login = NewLogin { brought, ..login(USERS[user], HOSTS[host], site_limits(host)) };
        let begun = self.sessions.begin(login, old.as_ref(), self.now).await;
        assert_eq!(begun.is_ok(), self.alive() < MAX, "wrong about being full");
        if let Ok(begun) = begun {
            assert_eq!(begun.resumed, resumes);
            if keeps == number {
                keep(&self.sessions, &begun.session, &format!("sid={number}"), self.now).await;
            }
            self.real.insert(number, (begun.token, begun.session));
            // Counting a user's sessions brings to light which of them are over.
            for plain in self.plain.iter_mut().filter(|plain| plain.user == user) {
                plain.expire(site_limits(plain.host), self.now);
            }
            let times = Times { began: self.now, last_seen: self.now };
            self.plain.push(Plain { user, host, times, ended: None, locked: false, keeps });
        }
    }

    async fn find(&mut self, which: usize, on: usize, limits: usize) {
        let Some((token, session)) = self.real.get(&which) else {
            return;
        };
        let (here, lifetime) = (host(HOSTS[on]), site_limits(limits));
        let found = self.sessions.find(token, &asked(&here, &lifetime, self.now)).await.unwrap();
        let plain = &mut self.plain[which];
        if plain.host != on {
            assert!(matches!(found, Finding::Nobody), "{found:?}");
            return;
        }
        plain.expire(lifetime.shorter(&site_limits(plain.host)), self.now);
        match (found, plain.ended) {
            (Finding::Active(found), None) => assert!(Arc::ptr_eq(found.session(), session)),
            (Finding::Ended(found), Some(expected)) => assert_eq!(found, expected),
            (found, expected) => panic!("found {found:?}, expected {expected:?}"),
        }
    }

    fn touch(&mut self, which: usize, before: u64) {
        let Some((_, session)) = self.real.get(&which) else {
            return;
        };
        let when = Timestamp::from_millis(self.now.as_millis() - before);
        self.sessions.touch(session, when);
        let plain = &mut self.plain[which];
        let alive = verdict(&plain.times, &site_limits(plain.host), when) == Verdict::Active;
        if plain.ended.is_none() && alive {
            plain.times.last_seen = plain.times.last_seen.max(when);
        }
    }

    fn sweep_plain(&mut self) -> usize {
        let before = self.alive();
        for plain in &mut self.plain {
            plain.expire(site_limits(plain.host), self.now);
            plain.locked &= plain.is_resumable(self.now);
        }
        before - self.alive()
    }

    fn kept(&self) -> usize {
        self.alive() + self.plain.iter().filter(|plain| plain.locked).count()
    }

    fn alive(&self) -> usize {
        self.plain.iter().filter(|plain| plain.ended.is_none()).count()
    }

    fn compare(&self, step: &Step) {
        assert_eq!(self.sessions.live(), self.kept(), "after {step:?}");
        for (which, (_, session)) in &self.real {
            let plain = &self.plain[*which];
            assert_eq!(session.why_ended(), plain.ended, "{which} after {step:?}");
            assert_eq!(session.times(), plain.times, "{which} after {step:?}");
            if plain.ended.is_none() {
                assert_eq!(owner(session), plain.keeps, "{which} after {step:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn sessions_do_what_the_model_does_whatever_is_asked(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Pair::run(Memory::new(), steps.clone()));
        runtime.block_on(Pair::run(Copies::default(), steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn sessions_on_disk_do_it_too(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let folder = disk::tests::folder();
        let store = Disk::open(&folder.path().join("sessions.redb"), disk::tests::rows()).unwrap();
        runtime.block_on(Pair::run(store, steps));
    }
}
