//! What finding a session costs, by how many there are: it must not depend on that, but for the time a processor
//! waits for memory it has not seen for long ("all in turn").
//!
//! ```sh
//! cargo bench --bench sessions
//! ```

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use futures_util::FutureExt;
use vestibule::clock::Timestamp;
use vestibule::identity::user::User;
use vestibule::identity::user::UserName;
use vestibule::net::ClientAddr;
use vestibule::net::Host;
use vestibule::session::AtLimit;
use vestibule::session::Finding;
use vestibule::session::NewLogin;
use vestibule::session::Policy;
use vestibule::session::SameSite;
use vestibule::session::Session;
use vestibule::session::Settings;
use vestibule::session::lifetime::Lifetime;
use vestibule::session::sessions::Request;
use vestibule::session::sessions::Sessions;
use vestibule::session::store::memory::Memory;
use vestibule::session::token::Token;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// So many sessions are in use at a time: what the processor has at hand.
const BUSY: usize = 1_000;
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

struct House {
    sessions: Arc<Sessions>,
    cookies: Vec<String>,
    last: String,
    host: Host,
    policy: Policy,
    lifetime: Lifetime,
}

#[expect(clippy::unwrap_used, reason = "a bench has nobody to answer to")]
fn house(size: usize) -> House {
    let lifetime = Lifetime::new(Duration::from_mins(30), Duration::from_hours(24)).unwrap();
    let host = Host::parse("app.example").unwrap();
    let settings = Settings {
        cookie_name: "__Host-Http-session".to_owned(),
        same_site: SameSite::Lax,
        lifetime,
        max_sessions: size,
        max_per_user: 10,
        at_limit: AtLimit::EndOldest,
        serve_cached: Duration::ZERO,
    };
    let sessions = Arc::new(Sessions::new(&settings, Memory::new().into()));
    let mut begun: Vec<(String, Arc<Session>)> = (0..size)
        .map(|number| {
            let user = User::named(UserName::parse(&format!("user {number:015}")).unwrap());
            let login = NewLogin {
                user: Arc::new(user),
                host: host.clone(),
                client: ClientAddr(Ipv4Addr::LOCALHOST.into()),
                user_agent: None,
                lifetime,
                brought: None,
            };
            let begun = sessions.begin(login, None, NOW).now_or_never().unwrap().unwrap();
            let (token, session) = (begun.token, begun.session);
            (token.encode().expose().clone(), session)
        })
        .collect();
    let last = begun.last().unwrap().0.clone();
    // In another order than that of the allocations, or the processor guesses the next session's place.
    begun.sort_by(|one, other| one.0.cmp(&other.0));
    House {
        sessions,
        cookies: begun.into_iter().map(|(cookie, _)| cookie).collect(),
        last,
        host,
        policy: Policy::default(),
        lifetime,
    }
}

impl House {
    #[expect(clippy::unwrap_used, reason = "a bench has nobody to answer to")]
    fn find(&self, cookie: &str) -> Finding {
        let token = Token::parse(cookie.as_bytes()).unwrap();
        let found = self.sessions.find(&token, &self.request()).now_or_never();
        found.unwrap().unwrap()
    }

    fn request(&self) -> Request<'_> {
        Request {
            host: &self.host,
            lifetime: &self.lifetime,
            policy: &self.policy,
            client: ClientAddr(Ipv4Addr::LOCALHOST.into()),
            user_agent: "",
            now: NOW,
        }
    }
}

#[expect(clippy::unwrap_used, reason = "a bench has nobody to answer to")]
fn find(criterion: &mut Criterion) {
    for size in SIZES {
        let house = house(size);
        let mut group = criterion.benchmark_group(format!("{size} sessions"));
        let mut cookies = house.cookies.iter().cycle();
        group.bench_function("find all in turn", |bencher| {
            bencher.iter(|| house.find(black_box(cookies.next().unwrap())));
        });
        let mut busy = house.cookies.iter().step_by(size / BUSY).cycle();
        group.bench_function("find the busy ones in turn", |bencher| {
            bencher.iter(|| house.find(black_box(busy.next().unwrap())));
        });
        let made_up = "A".repeat(Token::TEXT_LENGTH);
        group.bench_function("turn a made-up cookie away", |bencher| {
            bencher.iter(|| house.find(black_box(&made_up)));
        });
        group.bench_function("check the one a connection holds", |bencher| {
            let Finding::Active(grant) = house.find(&house.last) else { return };
            bencher.iter(|| {
                let grant = black_box(&grant);
                house.sessions.touch(grant.session(), NOW);
                let request = house.request();
                let checked = house.sessions.check(grant, &request).now_or_never();
                checked.unwrap().unwrap()
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = find
}
criterion_main!(benches);
