//! The suite of all stores, and what only a file can get wrong.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use redb::ReadableTable;
use redb::TableDefinition;
use tempfile::TempDir;

use super::tables::HASHES;
use super::tables::META;
use super::tables::SESSIONS;
use super::*;
use crate::crypto::Key;
use crate::crypto::Keys;
use crate::session::lifetime::Lifetime;
use crate::session::store::conformance;
use crate::session::store::conformance::session_of;

/// A folder for a file that shall be quick rather than safe: what is tried here is not the disk.
pub(crate) fn folder() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_none| TempDir::new()).unwrap()
}

pub(crate) fn rows() -> Rows {
    Rows::new(&Keys::from(Key::from_bytes([7; 32])))
}

fn open(path: &Path) -> Result<Disk, DiskError> {
    Disk::open(path, rows())
}

/// Why the file is refused.
fn refusal(path: &Path) -> OpenError {
    match open(path) {
        Err(DiskError::Open(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

fn ada() -> Arc<Session> {
    session_of("ada", Lifetime::new(Duration::from_secs(10), Duration::from_mins(1)).unwrap(), at(100))
}

fn hash(session: &Session) -> TokenHash {
    session.tokens().hosts()[0].current
}

async fn create(store: &Disk, session: &Arc<Session>) {
    assert_eq!(store.create(session, 10_000).await.unwrap(), Created::Done);
}

/// A file with so many sessions in it, closed.
async fn filled(path: &Path, count: usize) -> Vec<Arc<Session>> {
    let store = open(path).unwrap();
    let sessions: Vec<_> = (0..count).map(|_| ada()).collect();
    for session in &sessions {
        create(&store, session).await;
    }
    sessions
}

/// Changes the file behind the store's back.
fn tamper(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn disk_is_a_store() {
    let (folder, made) = (folder(), AtomicUsize::new(0));
    conformance::run(async || {
        let name = made.fetch_add(1, Ordering::Relaxed).to_string();
        open(&folder.path().join(name)).unwrap()
    })
    .await;
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let folder = folder();
    let path = folder.path().join("sessions.redb");
    let (used, ended, renewed) = (ada(), ada(), ada());
    let offering = {
        let store = open(&path).unwrap();
        for session in [&used, &ended, &renewed] {
            create(&store, session).await;
        }
        used.touch(at(105), Duration::ZERO);
        store.touch(&[Arc::clone(&used)]).await.unwrap();
        assert!(store.remove(&ended).await.unwrap());
        let next = crate::session::tokens::Next { hash: hash(&ada()), sealed: "sealed".into() };
        let offering = renewed.tokens().offering(&hash(&renewed), next);
        assert!(store.replace(&renewed, 0, &offering).await.unwrap());
        offering
    };
    let store = open(&path).unwrap();
    assert_eq!(store.count(), 2);
    assert_eq!(store.find(&hash(&used)).await.unwrap().unwrap().times(), used.times());
    assert!(store.find(&hash(&ended)).await.unwrap().is_none());
    let found = store.find(&hash(&renewed)).await.unwrap().unwrap();
    assert_eq!((found.tokens(), found.version()), (offering, 1));
    assert_eq!(store.overdue(at(114), 9).await.unwrap().len(), 1);
    assert_eq!(store.overdue(at(115), 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn many_at_once_are_all_answered_and_capacity_holds() {
    let folder = folder();
    let store = Arc::new(open(&folder.path().join("sessions.redb")).unwrap());
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let store = Arc::clone(&store);
        logins.spawn(async move { store.create(&ada(), 150).await.unwrap() });
    }
    let answers = logins.join_all().await;
    let done = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    assert_eq!((done(Created::Done), done(Created::Full), store.count()), (150, 50, 150));
}

#[tokio::test]
async fn the_file_is_private_and_one_process_has_it() {
    let folder = folder();
    let path = folder.path().join("sessions.redb");
    let store = open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let said = refusal(&path).to_string();
    assert!(said.contains(&format!("(pid {})", std::process::id())), "{said}");
    drop(store);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let said = refusal(&path).to_string();
    assert!(said.contains("(mode 0640)") && said.contains("chmod 600"), "{said}");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    open(&path).unwrap();
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("sessions.redb");
    let other = folder.path().join("other.redb");
    drop(Database::create(&other).unwrap());
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("text", b"my only copy of the thesis\n".repeat(9000)),
        ("zeros", vec![0; 100_000]),
        ("another's", fs::read(&other).unwrap()),
    ] {
        fs::write(&path, &bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let refusal = refusal(&path);
        assert!(matches!(refusal, OpenError::Damaged { .. }), "{what}: {refusal}");
        assert!(what == "another's" || fs::read(&path).unwrap() == bytes, "{what} was changed");
    }
    let nowhere = refusal(&folder.path().join("no/such/folder"));
    assert!(matches!(nowhere, OpenError::Io { .. }), "{nowhere}");
}

#[tokio::test]
async fn a_damaged_file_is_refused_or_whole() {
    let folder = folder();
    let (path, damaged) = (folder.path().join("sessions.redb"), folder.path().join("damaged.redb"));
    let sessions = filled(&path, 60).await;
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for place in (0..whole.len()).step_by(1 + whole.len() / 200) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        fs::write(&damaged, &bytes).unwrap();
        fs::set_permissions(&damaged, Permissions::from_mode(0o600)).unwrap();
        match open(&damaged) {
            Err(error) => refused += usize::from(matches!(error, DiskError::Open(OpenError::Damaged { .. }))),
            Ok(store) => {
                for session in &sessions {
                    let found = store.find(&hash(session)).await.unwrap();
                    assert!(found.is_some(), "a flipped byte {place} took a session away");
                }
            }
        }
    }
    assert!(refused > 20, "only {refused} were refused");
    for length in [1, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(&damaged, &whole[..length]).unwrap();
        let refusal = refusal(&damaged);
        assert!(matches!(refusal, OpenError::Damaged { .. }), "{length} bytes: {refusal}");
    }
}

#[tokio::test]
async fn a_later_format_is_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("sessions.redb");
    let sessions = filled(&path, 1).await;
    let note = |format: u64| {
        tamper(&path, |transaction| {
            transaction.open_table(META).unwrap().insert("format", format).unwrap();
        });
    };
    note(2);
    let refusal = refusal(&path);
    assert!(matches!(refusal, OpenError::Newer { format: 2, .. }), "{refusal}");
    note(1);
    assert!(open(&path).unwrap().find(&hash(&sessions[0])).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_written_into_the_file_by_others_gives_nobody_a_session() {
    let folder = folder();
    let path = folder.path().join("sessions.redb");
    let sessions = filled(&path, 3).await;
    let [swapped, with, redirected] = [0, 1, 2].map(|place| tables::key(sessions[place].id()));
    tamper(&path, |transaction| {
        let mut table = transaction.open_table(SESSIONS).unwrap();
        let row = |key: u64| table.get(key).unwrap().unwrap().value().4.to_vec();
        let rows = [row(swapped), row(with)];
        for (key, row) in [(with, &rows[0]), (swapped, &rows[1])] {
            let entry = table.get(key).unwrap().unwrap();
            let (end, seen, user, hashes, _) = entry.value();
            let (seen, user, hashes) = (seen.to_vec(), user.to_owned(), hashes.to_vec());
            drop(entry);
            table.insert(key, (end, &*seen, &*user, &*hashes, &**row)).unwrap();
        }
        let mut table = transaction.open_table(HASHES).unwrap();
        table.insert(hash(&ada()).as_bytes(), redirected).unwrap();
        table.insert(hash(&sessions[0]).as_bytes(), redirected).unwrap();
    });
    let store = open(&path).unwrap();
    for session in &sessions[..2] {
        assert!(store.find(&hash(session)).await.unwrap().is_none());
        assert!(store.load(session.id()).await.unwrap().is_none());
    }
    assert!(store.find(&hash(&sessions[2])).await.unwrap().is_some());
    let Page { sessions: listed, next } = store.list(None, 9).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(next.is_some());
    assert_eq!(store.of_user(&sessions[2].user().name).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_nobody_can_read_is_removed_at_its_end() {
    let folder = folder();
    let path = folder.path().join("sessions.redb");
    filled(&path, 3).await;
    let other_key = Rows::new(&Keys::from(Key::from_bytes([8; 32])));
    let store = Disk::open(&path, other_key).unwrap();
    let mine = ada();
    create(&store, &mine).await;
    assert_eq!((store.overdue(at(109), 9).await.unwrap().len(), store.count()), (0, 4));
    assert_eq!(store.overdue(at(110), 9).await.unwrap().len(), 1);
    // In the order in which they were asked for.
    assert!(store.remove(&mine).await.unwrap());
    assert_eq!(store.count(), 0);
    drop(store);
    let empty = Database::open(&path).unwrap();
    let reading = redb::ReadableDatabase::begin_read(&empty).unwrap();
    let left = |definition: TableDefinition<'_, (u64, u64), ()>| {
        redb::ReadableTableMetadata::len(&reading.open_table(definition).unwrap()).unwrap()
    };
    assert_eq!(left(tables::ENDS), 0);
}

#[tokio::test]
async fn a_copy_has_all_that_lives_and_no_byte_of_what_was_removed() {
    let folder = folder();
    let (path, to) = (folder.path().join("sessions.redb"), folder.path().join("copy.redb"));
    let kept = filled(&path, 30).await;
    let gone = session_of("somebody who left", *ada().lifetime(), at(100));
    let name = gone.user().name.as_str().as_bytes();
    let holds = |file: &Path| fs::read(file).unwrap().windows(name.len()).any(|bytes| bytes == name);
    {
        let store = open(&path).unwrap();
        create(&store, &gone).await;
        // Its pages are only free when it is removed: by chance they are written over at once, or much later.
        assert!(holds(&path), "this would show nothing");
        assert!(matches!(backup(&path, &to), Err(CopyError::Open(OpenError::InUse { .. }))));
        assert!(matches!(compact(&path), Err(CopyError::Open(OpenError::InUse { .. }))));
        store.remove(&gone).await.unwrap();
    }
    backup(&path, &to).unwrap();
    assert!(!holds(&to));
    let again = backup(&path, &to);
    assert!(matches!(again, Err(CopyError::Write { .. })), "{again:?}");
    let (before, after) = compact(&path).unwrap();
    assert!(after <= before && !holds(&path));
    for file in [&path, &to] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        let store = open(file).unwrap();
        assert_eq!(store.count(), 30);
        for session in &kept {
            assert!(store.find(&hash(session)).await.unwrap().is_some());
            assert!(store.remove(session).await.unwrap());
        }
        assert_eq!((store.count(), store.overdue(at(999), 9).await.unwrap().len()), (0, 0));
    }
    let missing = folder.path().join("none.redb");
    assert!(backup(&missing, &folder.path().join("other")).is_err() && !missing.exists());
}
