//! Any sequence of logins, uses, renewals and ends on two gateways that share a real server, compared with a list.
//!
//! What one gateway has not heard of yet leaves room: between a session's idle end and the moment until which somebody
//! elsewhere may have used it (3 s here), it may be over or not. The model takes over what it turns out to be; everywhere
//! else there is one right answer.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;

use proptest::prelude::ProptestConfig;
use proptest::prelude::Strategy;
use proptest::prop_oneof;
use proptest::test_runner::TestCaseError;
use proptest::test_runner::TestRunner;
use tokio::time::timeout;

use super::*;
use crate::session::AtLimit;
use crate::session::NewLogin;
use crate::session::SameSite;
use crate::session::id::SessionId;
use crate::session::renewal::Pace;
use crate::session::sessions::tests::host;
use crate::session::sessions::tests::limits;
use crate::session::sessions::tests::login;
use crate::session::sessions::tests::request;
use crate::session::sessions::vault::tests::keep;
use crate::session::sessions::vault::tests::keys;
use crate::session::vault::VaultKeys;

const USERS: [&str; 3] = ["ada", "bob", "eve"];
const HOST: &str = "app";

/// So long after its idle end somebody elsewhere may have used a session and not told yet.
const UNHEARD: Duration = Duration::from_secs(3);

const LIMITS: [Why; 2] = [Why::Idle, Why::Absolute];

/// Short enough for sessions to get new ids within their lives; what a browser holds is never refused.
const POLICY: Policy = Policy {
    pace: Pace {
        renew_after: Duration::from_secs(4),
        overlap: Duration::from_secs(4),
        theft_after: Duration::from_mins(1),
    },
    activity: crate::session::Activity::Requests,
    bind: Bind::Nothing,
};

/// Sessions are named by the order they were begun in, gateways by 0 and 1; a number that is too high means none.
#[derive(Clone, Debug)]
enum Step {
    Advance {
        millis: u64,
    },
    Begin {
        on: usize,
        user: usize,
        limits: usize,
        replaces: usize,
        /// Whose id the browser has brought, if it replaces none.
        brings: usize,
    },
    /// A request, whose answer may be lost on its way back.
    Use {
        on: usize,
        which: usize,
        limits: usize,
        lost: bool,
    },
    /// A request on one gateway while the session is ended on the other.
    UseAndEnd {
        on: usize,
        which: usize,
    },
    /// A request on both at once.
    UseOnBoth {
        which: usize,
    },
    End {
        on: usize,
        which: usize,
    },
    EndUser {
        on: usize,
        user: usize,
    },
    Sweep {
        on: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (on, which) = (0..2_usize, 0..8_usize);
    let step = prop_oneof![
        5 => (0..6000_u64).prop_map(|millis| Step::Advance { millis }),
        4 => (on.clone(), 0..3_usize, 0..2_usize, 0..16_usize, 0..8_usize)
            .prop_map(|(on, user, limits, replaces, brings)| Step::Begin { on, user, limits, replaces, brings }),
        8 => (on.clone(), which.clone(), 0..2_usize, proptest::bool::weighted(0.3))
            .prop_map(|(on, which, limits, lost)| Step::Use { on, which, limits, lost }),
        2 => (on.clone(), which.clone()).prop_map(|(on, which)| Step::UseAndEnd { on, which }),
        2 => which.clone().prop_map(|which| Step::UseOnBoth { which }),
        1 => (on.clone(), which).prop_map(|(on, which)| Step::End { on, which }),
        1 => (on.clone(), 0..3_usize).prop_map(|(on, user)| Step::EndUser { on, user }),
        1 => on.prop_map(|on| Step::Sweep { on }),
    ];
    proptest::collection::vec(step, 0..60)
}

fn site_limits(number: usize) -> Lifetime {
    [limits(5, 20).resumable_for(Duration::from_secs(6)), limits(8, 12)][number]
}

/// What a session is, said as plainly as possible, and the browser that has it.
struct Plain {
    id: SessionId,
    user: usize,
    lifetime: Lifetime,
    began: Timestamp,
    seen: Timestamp,
    /// When it was last seen, as both gateways know.
    told: Timestamp,
    token: Arc<Token>,
    /// For one of these reasons, if at all.
    ended: Option<Vec<Why>>,
    /// Whether a login has taken over what it kept.
    taken: bool,
    /// As the gateways know it.
    known: [Option<Arc<Session>>; 2],
}

impl Plain {
    fn end(&mut self, why: Why) {
        self.ended.get_or_insert_with(|| vec![why]);
    }

    fn is_known(&self, on: usize) -> bool {
        let hash = self.token.hash();
        self.known[on].as_ref().is_some_and(|session| session.tokens().host_of(&hash).is_some())
    }

    fn may_be_over(&self, lifetime: Lifetime, now: Timestamp) -> bool {
        self.is_over_after(Duration::ZERO, lifetime, now)
    }

    /// Whether a gateway may take it for over that has not heard of its last use, by limits that are not those of the
    /// gateway it was used on.
    fn may_seem_over(&self, lifetime: Lifetime, now: Timestamp) -> bool {
        let idle = self.lifetime.shorter(&lifetime).idle();
        self.may_be_over(lifetime, now) || now >= self.told.after(idle).after(UNHEARD)
    }

    fn must_be_over(&self, lifetime: Lifetime, now: Timestamp) -> bool {
        self.is_over_after(UNHEARD, lifetime, now)
    }

    fn is_over_after(&self, unheard: Duration, lifetime: Lifetime, now: Timestamp) -> bool {
        let lifetime = self.lifetime.shorter(&lifetime);
        now >= self.began.after(lifetime.absolute()) || now >= self.seen.after(lifetime.idle()).after(unheard)
    }
}

/// The model and the two gateways, side by side.
struct World {
    clock: Clock,
    gateways: [Gateway; 2],
    told: Arc<AtomicUsize>,
    plain: Vec<Plain>,
}

impl World {
    fn new(server: &Server, prefix: &str) -> Self {
        let (clock, told) = (Clock::manual(at(1_000_000)), Arc::new(AtomicUsize::new(0)));
        let gateway = || {
            let settings = Settings {
                cookie_name: "__Host-Http-session".to_owned(),
                same_site: SameSite::Lax,
                lifetime: limits(8, 20),
                max_sessions: 999,
                max_per_user: 99,
                at_limit: AtLimit::EndOldest,
                // The clock jumps here: what is cached is believed all the while, as it is where all is well.
                serve_cached: Duration::from_hours(24),
            };
            let told = Arc::clone(&told);
            let sessions = Sessions::new(&settings, server.store_by(clock.clone(), prefix, 1))
                .keeping_cookies(VaultKeys::new(&keys(1, &[])));
            Gateway::following(
                sessions.tell_ends(move |_session, _why| {
                    told.fetch_add(1, Ordering::SeqCst);
                }),
                &clock,
            )
        };
        let gateways = [gateway(), gateway()];
        Self { clock, gateways, told, plain: Vec::new() }
    }

    fn sessions(&self, on: usize) -> &Arc<Sessions<Redis>> {
        &self.gateways[on].sessions
    }

    /// Takes a step; the store may be too slow to answer, and then nothing is known of it.
    async fn step(&mut self, step: &Step) -> Result<(), BeginError> {
        match *step {
            Step::Advance { millis } => {
                // Told once a second, so before more time passes than others allow for.
                self.tell().await?;
                self.clock.advance(Duration::from_millis(millis));
            }
            Step::Begin { on, user, limits, replaces, brings } => {
                self.begin((on, user), limits, replaces, brings).await?;
            }
            Step::Use { on, which, limits, lost } => {
                if which < self.plain.len() {
                    let found = self.request(on, which, limits).await?;
                    self.judge(on, which, limits, &found);
                    self.browse(which, &found, lost);
                }
            }
            Step::UseAndEnd { on, which } => {
                let Some(session) = self.known(1 - on, which) else { return Ok(()) };
                let (found, ended) = tokio::join!(
                    self.request(on, which, 0),
                    self.sessions(1 - on).end(&session, Why::Administrator)
                );
                ended?;
                let found = found?;
                let plain = &mut self.plain[which];
                // Whichever came first is the reason.
                let limits =
                    if plain.may_seem_over(site_limits(0), self.clock.now()) { &LIMITS[..] } else { &[] };
                plain.ended.get_or_insert_with(|| [&[Why::Administrator], limits].concat());
                self.browse(which, &found, false);
            }
            Step::UseOnBoth { which } => {
                if which < self.plain.len() {
                    let (one, other) = tokio::join!(self.request(0, which, 0), self.request(1, which, 0));
                    let (one, other) = (one?, other?);
                    self.judge_both(which, &one, &other);
                    self.browse(which, &one, true);
                    self.browse(which, &other, false);
                }
            }
            Step::End { on, which } => {
                let Some(session) = self.known(on, which) else { return Ok(()) };
                self.sessions(on).end(&session, Why::LoggedOut).await?;
                self.plain[which].end(Why::LoggedOut);
            }
            Step::EndUser { on, user } => {
                let name = UserName::parse(USERS[user]).unwrap();
                let found =
                    self.sessions(on).end_user(&name, Why::UserRemoved).await.map_err(StoreError::from)?;
                let theirs =
                    self.plain.iter_mut().filter(|plain| plain.user == user && plain.ended.is_none());
                assert_eq!(theirs.map(|plain| plain.end(Why::UserRemoved)).count(), found);
            }
            Step::Sweep { on } => {
                self.sessions(on).sweep(self.clock.now()).await?;
            }
        }
        Ok(())
    }

    async fn tell(&mut self) -> Result<(), StoreError> {
        for gateway in &self.gateways {
            gateway.sessions.flush().await?;
        }
        self.plain.iter_mut().for_each(|plain| plain.told = plain.seen);
        Ok(())
    }

    async fn begin(
        &mut self,
        (on, user): (usize, usize),
        limits: usize,
        replaces: usize,
        brings: usize,
    ) -> Result<(), BeginError> {
        let (old, lifetime) = (self.known(on, replaces), site_limits(limits));
        let brought = self.plain.get(brings).map(|plain| Arc::clone(&plain.token));
        let login = NewLogin { brought, ..login(USERS[user], HOST, lifetime) };
        let begun = self.sessions(on).begin(login, old.as_ref(), self.clock.now()).await?;
        if begun.resumed {
            let locked = &mut self.plain[brings];
            assert_eq!(locked.user, user, "another's was taken over");
            assert!(!std::mem::replace(&mut locked.taken, true), "it was taken over twice");
            assert!(locked.may_be_over(locked.lifetime, self.clock.now()), "it was taken over alive");
        }
        keep(self.sessions(on), &begun.session, "sid=1", self.clock.now()).await;
        if old.is_some() {
            self.plain[replaces].end(Why::Replaced);
        }
        let mut known = [None, None];
        known[on] = Some(Arc::clone(&begun.session));
        self.plain.push(Plain {
            id: begun.session.id(),
            user,
            lifetime,
            began: self.clock.now(),
            seen: self.clock.now(),
            told: self.clock.now(),
            token: Arc::new(begun.token),
            ended: None,
            taken: false,
            known,
        });
        Ok(())
    }

    /// What a request does: it finds the session, and is a use of it.
    async fn request(&self, on: usize, which: usize, limits: usize) -> Result<Finding, StoreError> {
        let (here, lifetime, now) = (host(HOST), site_limits(limits), self.clock.now());
        let request = Request { now, policy: &POLICY, ..request(&here, &lifetime, 0) };
        let found = self.sessions(on).find(&self.plain[which].token, &request).await?;
        if let Finding::Active(grant) = &found {
            self.sessions(on).touch(grant.session(), now);
        }
        Ok(found)
    }

    /// Whether that is what may be found; what it says about the session is taken over.
    fn judge(&mut self, on: usize, which: usize, limits: usize, found: &Finding) {
        let (now, lifetime, plain) = (self.clock.now(), site_limits(limits), &mut self.plain[which]);
        match (found, &plain.ended) {
            (Finding::Active(grant), None) => {
                assert!(!plain.must_be_over(lifetime, now), "{which} is found after its end");
                assert_eq!(grant.session().id(), plain.id);
                plain.seen = plain.seen.max(now);
                plain.known[on] = Some(Arc::clone(grant.session()));
            }
            (Finding::Ended(why), Some(whys)) => assert!(whys.contains(why), "{which}: {why:?}"),
            // Which of the two was reached first depends on what a gateway has heard.
            (Finding::Ended(Why::Idle | Why::Absolute), None) => {
                assert!(plain.may_seem_over(lifetime, now), "{which} is over before its end");
                plain.ended = Some(LIMITS.to_vec());
            }
            // A gateway that never knew it, or not by this id, has nothing to say.
            (Finding::Nobody, Some(_)) if !plain.is_known(on) => {}
            (found, ended) => panic!("{which} on {on}: found {found:?}, expected {ended:?}"),
        }
    }

    /// The same for two requests at once, of which one may have ended it while the other still was in time.
    fn judge_both(&mut self, which: usize, one: &Finding, other: &Finding) {
        let (now, plain) = (self.clock.now(), &mut self.plain[which]);
        let active = |found: &Finding| matches!(found, Finding::Active(_));
        if plain.ended.is_none() && !(active(one) && active(other)) {
            assert!(plain.may_seem_over(site_limits(0), now), "{which}: {one:?} and {other:?}");
            plain.ended = Some(LIMITS.to_vec());
            return;
        }
        self.judge(0, which, 0, one);
        self.judge(1, which, 0, other);
    }

    /// The browser keeps the new id that came with an answer, unless that was lost.
    fn browse(&mut self, which: usize, found: &Finding, lost: bool) {
        if let Finding::Active(grant) = found
            && let Some(next) = grant.next()
            && !lost
        {
            self.plain[which].token = Arc::clone(next);
        }
    }

    fn known(&self, on: usize, which: usize) -> Option<Arc<Session>> {
        self.plain.get(which)?.known[on].clone()
    }

    /// What must be so after each step.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let (now, kept) = (self.clock.now(), self.kept().await?);
        for (which, plain) in self.plain.iter_mut().enumerate() {
            if plain.ended.is_none() && !kept.contains(&plain.id) {
                assert!(plain.may_be_over(plain.lifetime, now), "{which} is gone before its end");
                plain.ended = Some(LIMITS.to_vec());
            }
            assert_eq!(plain.ended.is_some(), !kept.contains(&plain.id), "{which} in the store");
            for (on, session) in plain.known.iter().enumerate() {
                match (session, &plain.ended) {
                    (None, _) => {}
                    (Some(session), None) => assert_eq!(session.why_ended(), None, "{which} on {on}"),
                    (Some(session), Some(whys)) => {
                        let heard = timeout(Duration::from_secs(30), session.ended()).await;
                        let why =
                            heard.unwrap_or_else(|_never| panic!("{on} never heard of the end of {which}"));
                        assert!(whys.contains(&why), "{which} on {on}: {why:?}");
                    }
                }
            }
        }
        let over = self.plain.iter().filter(|plain| plain.ended.is_some()).count();
        assert_eq!(self.told.load(Ordering::SeqCst), over, "each end is told once");
        Ok(())
    }

    /// What the store has. A gateway does not see what it has ended itself, whether it is there or not.
    async fn kept(&self) -> Result<BTreeSet<SessionId>, StoreError> {
        let mut kept = BTreeSet::new();
        for gateway in &self.gateways {
            let mut from = None;
            loop {
                let page = gateway.sessions.store.list(from.as_ref(), 100).await?;
                let alive = page.sessions.iter().filter(|session| !session.is_locked());
                kept.extend(alive.map(|session| session.id()));
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
        }
        Ok(kept)
    }
}

#[test]
fn two_gateways_do_what_the_model_does_whatever_is_asked() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, cases) = (Server::start(), AtomicUsize::new(0));
    // A machine that is too busy for the server to answer in time proves nothing; a few times that is no failure.
    let config = ProptestConfig { cases: 48, max_global_rejects: 12, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        let prefix = format!("case-{}:", cases.fetch_add(1, Ordering::SeqCst));
        runtime.block_on(async {
            let mut world = World::new(&server, &prefix);
            for step in &steps {
                world.step(step).await.map_err(|error| TestCaseError::reject(error.to_string()))?;
                world.settle().await.map_err(|error| TestCaseError::reject(error.to_string()))?;
            }
            Ok(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
