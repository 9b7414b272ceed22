//! `kill -9` in the middle of as many changes of the store on disk as it can make: what was answered is kept, what was
//! removed stays removed. This test starts itself as the process that is killed.
//!
//! KILLS says how often. `tests/gateway/test_kill.py` does the same to a whole gateway, with people in place of changes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use vestibule::clock::Timestamp;
use vestibule::crypto::Key;
use vestibule::crypto::Keys;
use vestibule::identity::user::User;
use vestibule::identity::user::UserName;
use vestibule::net::ClientAddr;
use vestibule::net::Host;
use vestibule::session::Session;
use vestibule::session::id::SessionId;
use vestibule::session::lifetime::Lifetime;
use vestibule::session::record::Record;
use vestibule::session::store::Created;
use vestibule::session::store::Store;
use vestibule::session::store::disk::Disk;
use vestibule::session::store::row::Rows;
use vestibule::session::token::Token;
use vestibule::session::token::TokenHash;
use vestibule::session::tokens::Next;
use vestibule::session::tokens::Tokens;

/// The file that the killed process works on.
const FILE: &str = "STORE_TO_KILL";

/// What a process tells before or after a change: a letter and a hash.
type Word = [u8; 33];

fn open(path: &Path) -> Disk {
    Disk::open(path, Rows::new(&Keys::from(Key::from_bytes([7; 32])))).unwrap()
}

fn session() -> Arc<Session> {
    let user = User::named(UserName::parse("ada").unwrap());
    let now = Timestamp::from_millis(1_800_000_000_000);
    let record = Record {
        user: Arc::new(user),
        client: ClientAddr([192, 0, 2, 7].into()).into(),
        user_agent: None,
        began: now,
        lifetime: Lifetime::new(Duration::from_mins(30), Duration::from_hours(24)).unwrap(),
    };
    let host = Arc::new(Host::parse("app.example").unwrap());
    let tokens = Tokens::first(host, Token::generate().hash(), now);
    Arc::new(Session::new(SessionId::generate(), record, tokens, now, 0))
}

fn hash(session: &Session) -> TokenHash {
    session.tokens().hosts()[0].current
}

/// One write, so that the words of several threads do not mix.
fn say(letter: u8, hash: &TokenHash) {
    let mut word = [letter; 33];
    word[1..].copy_from_slice(hash.as_bytes());
    io::stderr().write_all(&word).unwrap();
}

/// Creates, renews and removes sessions until it is killed, and tells what was answered.
async fn work(store: &Disk) {
    loop {
        let session = session();
        let first = hash(&session);
        assert_eq!(store.create(&session, usize::MAX).await.unwrap(), Created::Done);
        say(b'C', &first);
        let next = Next { hash: Token::generate().hash(), sealed: "sealed".into() };
        let renewed = next.hash;
        assert!(store.replace(&session, 0, &session.tokens().offering(&first, next)).await.unwrap());
        say(b'C', &renewed);
        if first.as_bytes()[0].is_multiple_of(2) {
            // From here on nobody can say, until there is an answer.
            say(b'?', &first);
            say(b'?', &renewed);
            assert!(store.remove(&session).await.unwrap());
            say(b'R', &first);
            say(b'R', &renewed);
        }
    }
}

#[test]
fn child() {
    let Some(path) = env::var_os(FILE) else { return };
    let store = Arc::new(open(Path::new(&path)));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let store = Arc::clone(&store);
            workers.spawn(async move { work(&store).await });
        }
        workers.join_next().await
    });
}

/// Lets a process work until it has told so many words, kills it, and gives back all it told.
fn killed_after(words: usize, path: &Path) -> Vec<Word> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut heard = child.stderr.take().unwrap();
    let mut bytes = vec![0; words * size_of::<Word>()];
    let alive = heard.read_exact(&mut bytes);
    child.kill().unwrap();
    heard.read_to_end(&mut bytes).unwrap();
    child.wait().unwrap();
    assert!(alive.is_ok(), "the child ended by itself: {}", String::from_utf8_lossy(&bytes));
    bytes.as_chunks().0.to_vec()
}

/// What became of each hash by what was told last.
fn fates(told: &[Word]) -> BTreeMap<[u8; 32], u8> {
    told.iter().map(|word| (word[1..].try_into().unwrap(), word[0])).collect()
}

async fn check(store: &Disk, fates: &BTreeMap<[u8; 32], u8>) {
    for (hash, fate) in fates {
        let found = store.find(&TokenHash::from_bytes(*hash)).await.unwrap().is_some();
        assert!(*fate != b'C' || found, "a session that was answered is lost");
        assert!(*fate != b'R' || !found, "a session that was removed is back");
    }
}

#[test]
fn nothing_that_was_answered_is_lost_and_nothing_removed_returns() {
    let kills = env::var_os("KILLS").map_or(50, |kills| kills.to_str().unwrap().parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut all = BTreeMap::new();
    for kill in 0..kills {
        let new = fates(&killed_after(20 + kill * 131 % 1000, &path));
        runtime.block_on(check(&open(&path), &new));
        all.extend(new);
    }
    let store = open(&path);
    runtime.block_on(check(&store, &all));
    let removed = all.values().filter(|fate| **fate == b'R').count();
    println!("{kills} kills, {} ids, {removed} of them removed, {} sessions left", all.len(), store.count());
}
