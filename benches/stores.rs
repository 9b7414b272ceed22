//! What the stores on disk and in Redis cost, by how many sessions are in them: room, logins, look-ups, starting, sweeping.
//!
//! ```sh
//! cargo bench --bench stores -- disk 1000000 FOLDER [MINUTES]
//! cargo bench --bench stores -- redis 1000000 FOLDER [MINUTES]
//! ```
//!
//! Not criterion: each figure is of one long run over a store that is filled once. FOLDER is on the disk in question; the
//! `redis-server` that is started for this keeps its file there too. Filling ends after MINUTES at the latest, with as many
//! sessions as there are then.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench has nobody to answer to, and measures"
)]

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use tokio::runtime::Handle;
use vestibule::clock::Clock;
use vestibule::clock::Timestamp;
use vestibule::crypto::Key;
use vestibule::crypto::Keys;
use vestibule::identity::user::Profile;
use vestibule::identity::user::User;
use vestibule::identity::user::UserName;
use vestibule::net::ClientAddr;
use vestibule::net::Host;
use vestibule::session::Session;
use vestibule::session::id::SessionId;
use vestibule::session::lifetime::Lifetime;
use vestibule::session::record::Record;
use vestibule::session::record::UserAgent;
use vestibule::session::store::Store;
use vestibule::session::store::disk;
use vestibule::session::store::disk::Disk;
use vestibule::session::store::redis;
use vestibule::session::store::redis::Redis;
use vestibule::session::store::row::Rows;
use vestibule::session::token::Token;
use vestibule::session::token::TokenHash;
use vestibule::session::tokens::Tokens;

/// So many logins wait at the same time while a store is filled: on disk they share a commit.
const LOADERS: usize = 1024;
/// A server that has more to do at once answers some too late on a busy machine.
const LOADERS_OF_SERVER: usize = 64;
/// So many sessions are told of at a time.
const STEP: usize = 250_000;
/// So many are looked up.
const SAMPLE: usize = 20_000;
/// An ordinary browser's description of itself.
const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36";

fn main() {
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let arguments: Vec<String> = arguments.collect();
    let word = |place: usize| arguments.get(place).map(String::as_str);
    let wanted = Wanted {
        count: word(1).map_or(100_000, |text| text.parse().unwrap()),
        time: Duration::from_mins(word(3).map_or(u64::MAX / 60, |text| text.parse().unwrap())),
    };
    let folder = word(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    match word(0).unwrap_or("disk") {
        "disk" => runtime.block_on(on_disk(&wanted, &folder.path().join("sessions.redb"))),
        "redis" => runtime.block_on(in_redis(&wanted, folder.path())),
        other => println!("`{other}` is no store: write `disk` or `redis`"),
    }
}

/// How far a store is filled.
struct Wanted {
    count: usize,
    time: Duration,
}

async fn on_disk(wanted: &Wanted, path: &Path) {
    let store = Arc::new(open(path));
    let size = || path.metadata().unwrap().len();
    let hashes = fill(&store, wanted, LOADERS, async || size()).await;
    logins(&store, &[1, 16, 128, 1024]).await;
    let kept = store.count();
    drop(Arc::into_inner(store));
    println!("the file: {} MiB for {kept}, {} bytes a session", size() >> 20, size() / kept as u64);
    let began = Instant::now();
    let store = open(path);
    println!("opened and checked in {:.2?}", began.elapsed());
    look_up(&store, &hashes).await;
    sweep(&store).await;
    drop(store);
    let copy = path.with_extension("copy");
    let began = Instant::now();
    disk::backup(path, &copy).unwrap();
    println!("copied in {:.1?}: {} MiB", began.elapsed(), copy.metadata().unwrap().len() >> 20);
}

async fn in_redis(wanted: &Wanted, folder: &Path) {
    let server = Server::start(folder);
    let store = Arc::new(server.store());
    let empty = server.memory().await;
    let hashes = fill(&store, wanted, LOADERS_OF_SERVER, async || server.memory().await - empty).await;
    logins(&store, &[1, 16, 64]).await;
    let (kept, memory) = (store.count(), server.memory().await - empty);
    println!(
        "the server's memory: {} MiB for {kept}, {} bytes a session",
        memory >> 20,
        memory / kept as u64
    );
    println!("and as the system sees it: {} MiB", server.info("used_memory_rss").await >> 20);
    let began = Instant::now();
    let store = server.store();
    assert!(store.find(hashes.first().unwrap()).await.unwrap().is_some());
    println!("a gateway that starts has its first session after {:.1?}", began.elapsed());
    look_up(&store, &hashes).await;
    sweep(&store).await;
    drop(store);
    let (_, took) = timed(server.say::<String>(&["SAVE"])).await;
    let file = folder.join("dump.rdb").metadata().unwrap().len();
    println!("saved in {took:.1?}: {} MiB", file >> 20);
    let (_, took) = timed(server.say::<String>(&["DEBUG", "RELOAD", "NOSAVE"])).await;
    println!("loaded again in {took:.1?}");
}

/// Fills `store`, and tells after each quarter of a million what it takes by `size`. Some of the hashes, evenly spread.
async fn fill<S: Store>(
    store: &Arc<S>,
    wanted: &Wanted,
    at_once: usize,
    size: impl AsyncFn() -> u64,
) -> Vec<TokenHash> {
    let (began, every) = (Instant::now(), 1.max(wanted.count / SAMPLE));
    let mut sample = Vec::new();
    for first in (0..wanted.count).step_by(STEP) {
        if began.elapsed() > wanted.time {
            println!("stopped: the time is over");
            break;
        }
        let step = STEP.min(wanted.count - first);
        let (hashes, took) = timed(create(store, first, step, at_once)).await;
        sample.extend(hashes.into_iter().filter(|(number, _)| number % every == 0).map(|(_, hash)| hash));
        let (kept, bytes) = (store.count(), size().await);
        let each = bytes / kept as u64;
        println!("{kept} sessions, {} MiB, {each} bytes each; {} a second", bytes >> 20, rate(step, took));
    }
    sample
}

/// What logins cost a store that has as many sessions as it will have.
async fn logins<S: Store>(store: &Arc<S>, at_once: &[usize]) {
    for waiting in at_once.iter().copied() {
        let logins = (waiting * 200).min(20_000);
        let (_, took) = timed(create(store, 0, logins, waiting)).await;
        println!(
            "{waiting:>5} logins at once: {} a second, {:.2?} each",
            rate(logins, took),
            took * u32::try_from(waiting).unwrap() / u32::try_from(logins).unwrap()
        );
    }
}

async fn look_up(store: &impl Store, sample: &[TokenHash]) {
    for name in ["first", "second"] {
        let ((), took) = timed(async {
            for hash in sample {
                assert!(store.find(hash).await.unwrap().is_some());
            }
        })
        .await;
        println!("a look-up, {name} time: {:.1?}", took / u32::try_from(sample.len()).unwrap());
    }
}

async fn sweep(store: &impl Store) {
    let (none, took) = timed(store.overdue(at(1000), 1024)).await;
    println!("a sweep that finds {}: {took:.1?}", none.unwrap().len());
    let (over, took) = timed(store.overdue(at(1000 + 3600), 1024)).await;
    let over = over.unwrap();
    println!("a sweep that finds {}: {took:.1?}", over.len());
    let (told, took) = timed(store.touch(&over)).await;
    told.unwrap();
    println!("{} last-seen times written: {took:.1?}", over.len());
    let (_, took) = timed(futures_util::future::join_all(over.iter().map(|one| store.remove(one)))).await;
    println!("{} removed: {took:.1?}", over.len());
}

fn rows() -> Rows {
    Rows::new(&Keys::from(Key::from_bytes([7; 32])))
}

fn open(path: &Path) -> Disk {
    Disk::open(path, rows()).unwrap()
}

/// A server for this bench alone, ended with it.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let socket = folder.join("socket");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]);
        command.arg("--dir").arg(folder).arg("--unixsocket").arg(&socket).stdout(Stdio::null());
        let process = command.spawn().unwrap();
        while fs::metadata(&socket).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, url: format!("redis+unix://{}", socket.display()) }
    }

    fn store(&self) -> Redis {
        let settings = redis::Settings {
            servers: vec![redis::parse(&self.url).unwrap()],
            sentinel: None,
            username: None,
            password_file: None,
            tls: redis::TlsFiles::default(),
            prefix: "vestibule:".to_owned(),
        };
        Redis::start(settings, rows(), Clock::manual(at(1000)), &Handle::current())
    }

    async fn say<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = ::redis::Client::open(self.url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        connection.set_response_timeout(Duration::from_hours(1));
        let (name, rest) = words.split_first().unwrap();
        ::redis::cmd(name).arg(rest).query_async(&mut connection).await.unwrap()
    }

    async fn info(&self, name: &str) -> u64 {
        let info: String = self.say(&["INFO", "memory"]).await;
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap().trim().parse().unwrap()
    }

    async fn memory(&self) -> u64 {
        self.info("used_memory").await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Creates `count` sessions from number `first` on, `at_once` at a time.
async fn create<S: Store>(
    store: &Arc<S>,
    first: usize,
    count: usize,
    at_once: usize,
) -> Vec<(usize, TokenHash)> {
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
                let (session, hash) = session(first + number);
                store.create(&session, usize::MAX).await.unwrap();
                hashes.push((first + number, hash));
            }
        });
    }
    loaders.join_all().await.concat()
}

fn session(number: usize) -> (Arc<Session>, TokenHash) {
    let name = UserName::parse(&format!("user{:07}", number % 1_000_000)).unwrap();
    let profile = Profile {
        email: Some(format!("user{number:07}@example.com").into()),
        display_name: Some("A Person's Name".into()),
        groups: vec!["staff".into(), "editors".into()],
    };
    let began = at(1000 + (number % 1800) as u64);
    let record = Record {
        user: Arc::new(User::new(name, profile)),
        client: ClientAddr([192, 0, 2, 7].into()).into(),
        user_agent: UserAgent::clean(BROWSER).map(Box::new),
        began,
        lifetime: Lifetime::new(Duration::from_mins(30), Duration::from_hours(24)).unwrap(),
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
