//! What the store on disk costs, by how many sessions are in it: room, logins, look-ups, opening, sweeping, copying.
//!
//! ```sh
//! cargo bench --bench disk -- 1000000 [FOLDER]
//! ```
//!
//! Not criterion: each figure is of one long run over a file that is made once. FOLDER is on the disk in question.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench has nobody to answer to, and measures"
)]

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use vestibule::clock::Timestamp;
use vestibule::crypto::Key;
use vestibule::crypto::Keys;
use vestibule::identity::user::User;
use vestibule::identity::user::UserName;
use vestibule::net::ClientAddr;
use vestibule::net::Host;
use vestibule::session::Session;
use vestibule::session::agent::Family;
use vestibule::session::id::SessionId;
use vestibule::session::lifetime::Lifetime;
use vestibule::session::record::Record;
use vestibule::session::record::UserAgent;
use vestibule::session::store::Store;
use vestibule::session::store::disk;
use vestibule::session::store::disk::Disk;
use vestibule::session::store::row::Rows;
use vestibule::session::token::Token;
use vestibule::session::token::TokenHash;
use vestibule::session::tokens::Tokens;

/// So many logins wait at the same time while the file is filled.
const LOADERS: usize = 1024;
/// An ordinary browser's description of itself.
const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36";

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let count = arguments.next().map_or(100_000, |text| text.parse().unwrap());
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(measure(count, &folder.path().join("sessions.redb")));
}

async fn measure(count: usize, path: &Path) {
    let store = Arc::new(open(path));
    let (hashes, took) = timed(fill(&store, count, LOADERS)).await;
    println!("{count} sessions written in {took:.1?}: {} a second, {LOADERS} waiting", rate(count, took));
    for waiting in [1, 16, 128, 1024] {
        let logins = (waiting * 200).min(20_000);
        let (_, took) = timed(fill(&store, logins, waiting)).await;
        println!(
            "{waiting:>5} logins at once: {} a second, {:.2?} each",
            rate(logins, took),
            took * u32::try_from(waiting).unwrap() / u32::try_from(logins).unwrap()
        );
    }
    let kept = store.count();
    drop(Arc::into_inner(store));
    let bytes = path.metadata().unwrap().len();
    println!("the file: {} MiB for {kept}, {} bytes a session", bytes >> 20, bytes / kept as u64);
    let began = Instant::now();
    let store = open(path);
    println!("opened and checked in {:.2?}", began.elapsed());
    let sample: Vec<_> = hashes.iter().step_by(1.max(count / 20_000)).collect();
    for name in ["first", "second"] {
        let ((), took) = timed(async {
            for hash in &sample {
                assert!(store.find(hash).await.unwrap().is_some());
            }
        })
        .await;
        println!("a look-up, {name} time: {:.1?}", took / u32::try_from(sample.len()).unwrap());
    }
    let (none, took) = timed(store.overdue(at(1000), 1024)).await;
    println!("a sweep that finds {}: {took:.1?}", none.unwrap().len());
    let (over, took) = timed(store.overdue(at(1000 + 3600), 1024)).await;
    let over = over.unwrap();
    println!("a sweep that finds {}: {took:.1?}", over.len());
    let (_, took) = timed(store.touch(&over)).await;
    println!("{} last-seen times written: {took:.1?}", over.len());
    drop(store);
    let copy = path.with_extension("copy");
    let began = Instant::now();
    disk::backup(path, &copy).unwrap();
    println!("copied in {:.1?}: {} MiB", began.elapsed(), copy.metadata().unwrap().len() >> 20);
}

fn open(path: &Path) -> Disk {
    Disk::open(path, Rows::new(&Keys::from(Key::from_bytes([7; 32])))).unwrap()
}

/// Creates so many sessions, so many of them at a time.
async fn fill(store: &Arc<Disk>, count: usize, at_once: usize) -> Vec<TokenHash> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut loaders = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let (store, next) = (Arc::clone(store), Arc::clone(&next));
        loaders.spawn(async move {
            let mut hashes = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return hashes;
                }
                let (session, hash) = session(number);
                store.create(&session, usize::MAX).await.unwrap();
                hashes.push(hash);
            }
        });
    }
    loaders.join_all().await.concat()
}

fn session(number: usize) -> (Arc<Session>, TokenHash) {
    let user = User {
        name: UserName::parse(&format!("user{:07}", number % 1_000_000)).unwrap(),
        email: Some(format!("user{number:07}@example.com").into()),
        display_name: Some("A Person's Name".into()),
        groups: vec!["staff".into(), "editors".into()],
    };
    let began = at(1000 + (number % 1800) as u64);
    let record = Record {
        user: Arc::new(user),
        client: ClientAddr([192, 0, 2, 7].into()).into(),
        user_agent: UserAgent::clean(BROWSER).map(Box::new),
        began,
        lifetime: Lifetime::new(Duration::from_mins(30), Duration::from_hours(24)).unwrap(),
        family: Family::of(BROWSER),
    };
    let hash = Token::generate().hash();
    let tokens = Tokens::first(Arc::new(Host::parse("app.example.com").unwrap()), hash, began);
    (Arc::new(Session::new(SessionId::generate(), record, tokens, began, 0)), hash)
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis((1_800_000_000 + secs) * 1000)
}

async fn timed<T>(what: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let done = what.await;
    (done, began.elapsed())
}

/// So many in a second.
fn rate(count: usize, took: Duration) -> u128 {
    count as u128 * 1_000_000 / took.as_micros().max(1)
}
