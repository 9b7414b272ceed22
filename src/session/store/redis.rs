//! Sessions in Redis or Valkey, for several gateways that share them.
//!
//! Every step is one script that the server runs whole (`scripts.rs`); what is where is told in `keys.rs`. One task on
//! the background runtime keeps the connections (`link.rs`), so that they outlive the workers' requests, and hears what
//! other gateways do. Whatever is asked of the server has a bounded time, and is an error behind it.
//!
//! What is written is acknowledged by one server. It replicates to others a moment later, so a failover can lose the
//! last logins, renewals and ends. Each gateway remembers the sessions it has ended itself, does not find them again,
//! and ends them once more on the server it is connected to next.

mod keys;
mod link;
mod revoked;
mod scripts;
#[cfg(test)]
pub(crate) mod server;
mod servers;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::FromRedisValue;
use redis::ScriptInvocation;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::identity::user::UserName;
use crate::session::id::SessionId;
use crate::session::lifetime::Why;
use crate::session::live::Session;
use crate::session::store::Created;
use crate::session::store::Cursor;
use crate::session::store::Held;
use crate::session::store::HeldKey;
use crate::session::store::News;
use crate::session::store::Page;
use crate::session::store::Store;
use crate::session::store::StoreError;
use crate::session::store::redis::keys::Keys;
use crate::session::store::redis::link::Link;
use crate::session::store::redis::link::Shared;
use crate::session::store::redis::revoked::Revoked;
use crate::session::store::redis::scripts::Scripts;
use crate::session::store::row::Rows;
use crate::session::token::TokenHash;
use crate::session::tokens::Tokens;

pub use crate::session::store::redis::servers::Sentinel;
pub use crate::session::store::redis::servers::Settings;
pub use crate::session::store::redis::servers::TlsFiles;
pub use crate::session::store::redis::servers::is_encrypted;
pub use crate::session::store::redis::servers::parse;

/// What somebody waits for takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// What goes on beside the requests, and looks at many sessions, no longer than this.
const LONG_PATIENCE: Duration = Duration::from_secs(5);

/// So much longer than a session its keys stay: a gateway has time to end it and to say so, even one whose clock is
/// behind; and if there is none, nothing stays for ever.
const MARGIN: Duration = Duration::from_mins(10);

/// So long other gateways can learn why a session was ended.
const TELLS_WHY_FOR: Duration = Duration::from_hours(1);

/// So many uses are told in one step, that others wait for.
const TOUCH_STEP: usize = 128;

/// So many tokens are cached in front of it: about 100 MiB.
const CACHED: u64 = 150_000;

/// A store in Redis or Valkey.
#[derive(Debug)]
pub struct Redis {
    rows: Rows,
    scripts: Scripts,
    shared: Arc<Shared>,
    link: watch::Receiver<Link>,
    news: Mutex<UnboundedReceiver<News>>,
}

/// A session as the scripts give it: id, row, last-seen time.
type Kept = (Vec<u8>, Vec<u8>, Option<Vec<u8>>);

impl Redis {
    /// A store on the servers that `settings` name. Nothing is waited for: they may be down now and come up later.
    pub fn start(settings: Settings, rows: Rows, clock: Clock, background: &Handle) -> Self {
        let shared = Arc::new(Shared {
            keys: Keys::new(&settings.prefix),
            kept: AtomicUsize::new(0),
            revoked: Revoked::default(),
            clock,
        });
        let (told, news) = unbounded_channel();
        let link = link::keep(settings, Arc::clone(&shared), told, background);
        Self { rows, scripts: Scripts::new(), shared, link, news: Mutex::new(news) }
    }

    /// Runs a script, within `patience`. One that only reads is run `again` if the connection broke meanwhile.
    async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        again: Again,
        patience: Duration,
    ) -> Result<T, StoreError> {
        let mut link = self.link.clone();
        let run = async {
            loop {
                let mut connection = link::connection(&mut link).await?;
                match script.invoke_async(&mut connection).await {
                    // The one who keeps the connections notices it too, and makes another.
                    Err(error) if again == Again::Yes && error.is_unrecoverable_error() => {
                        link.changed().await.map_err(StoreError::new)?;
                    }
                    done => return done.map_err(StoreError::new),
                }
            }
        };
        let late = || StoreError::new(format!("no answer within {} s", patience.as_secs()));
        timeout(patience, run).await.unwrap_or_else(|_elapsed| Err(late()))
    }

    /// The sessions among `all` that a gateway with our keys has written and that we did not end.
    fn sessions(&self, all: &[Kept]) -> Vec<Arc<Session>> {
        all.iter().filter_map(|kept| self.session(kept)).map(Arc::new).collect()
    }

    fn session(&self, (id, row, seen): &Kept) -> Option<Session> {
        let id = SessionId::parse(str::from_utf8(id).ok()?)?;
        let session = self.rows.read(id, row, seen.as_deref()?)?;
        (!self.shared.revoked.has(id)).then_some(session)
    }

    /// What a session's key holds.
    fn value(&self, session: &Session, tokens: &Tokens, version: u32) -> Vec<u8> {
        // More than a byte can count are those of dozens of hosts; what is not named here goes by itself in time.
        let hashes: Vec<&TokenHash> = tokens.hashes().take(u8::MAX.into()).collect();
        let mut value = vec![u8::try_from(hashes.len()).unwrap_or(u8::MAX)];
        value.extend(hashes.iter().flat_map(|hash| hash.as_bytes()));
        value.extend(self.rows.write(session, tokens, version));
        value
    }

    /// Removes a session that is over and cannot be read. Its user's index loses it when it is next read.
    async fn discard(&self, id: &[u8]) -> Result<(), StoreError> {
        let Some(id) = str::from_utf8(id).ok().and_then(SessionId::parse) else { return Ok(()) };
        let keys = &self.shared.keys;
        let remove = removal(&self.scripts, keys, (id, &keys.nothing()), None);
        let (_removed, count): (bool, usize) = self.run(&remove, Again::No, LONG_PATIENCE).await?;
        self.counted(count);
        Ok(())
    }

    fn counted(&self, count: usize) {
        self.shared.kept.store(count, Ordering::Relaxed);
    }
}

/// Whether a script may be run a second time if nobody knows what became of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

/// The script that removes a session, which is in the index `user`, and leaves word why.
fn removal<'a>(
    scripts: &'a Scripts,
    keys: &Keys,
    (id, user): (SessionId, &str),
    why: Option<Why>,
) -> ScriptInvocation<'a> {
    let mut remove = scripts.remove.prepare_invoke();
    remove.key(keys.session(id)).key(keys.seen(id)).key(user).key(keys.due()).key(keys.why(id));
    remove.arg(keys.prefix()).arg(id.text().as_str());
    remove.arg(why.map_or("", Why::as_str)).arg(millis(TELLS_WHY_FOR));
    remove
}

/// A held form as its key has it: until when, and sealed.
fn written(held: &Held) -> Vec<u8> {
    [&held.until.as_millis().to_be_bytes()[..], &held.sealed].concat()
}

/// The earliest moment at which a session with these tokens can be over.
fn due(session: &Session, tokens: &Tokens) -> u64 {
    session.due(tokens, session.times().last_seen).as_millis()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Store for Redis {
    async fn create(&self, session: &Arc<Session>, capacity: usize) -> Result<Created, StoreError> {
        let (keys, id, tokens) = (&self.shared.keys, session.id(), session.tokens());
        let mut create = self.scripts.create.prepare_invoke();
        create.key(keys.session(id)).key(keys.seen(id)).key(keys.user(&session.user().name)).key(keys.due());
        for hash in tokens.hashes() {
            create.key(keys.token(hash));
        }
        create.arg(keys.prefix()).arg(id.text().as_str());
        create.arg(self.value(session, &tokens, session.version()));
        create.arg(&self.rows.write_seen(id, session.times().last_seen)[..]);
        create.arg(millis(session.lifetime().absolute().saturating_add(MARGIN)));
        create.arg(due(session, &tokens)).arg(capacity);
        let (outcome, count): (u8, usize) = self.run(&create, Again::No, PATIENCE).await?;
        self.counted(count);
        Ok(match outcome {
            0 => Created::Done,
            2 => Created::Full,
            _ => Created::Exists,
        })
    }

    async fn find(&self, token: &TokenHash) -> Result<Option<Arc<Session>>, StoreError> {
        let mut find = self.scripts.find.prepare_invoke();
        find.key(self.shared.keys.token(token)).arg(self.shared.keys.prefix());
        let found = self.sessions(&self.run::<Vec<Kept>>(&find, Again::Yes, PATIENCE).await?);
        // Whoever can write to the server could lead any token to any session.
        let named = |session: &Arc<Session>| session.tokens().host_of(token).is_some();
        Ok(found.into_iter().find(named))
    }

    async fn load(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        let mut load = self.scripts.load.prepare_invoke();
        load.key(self.shared.keys.session(id)).arg(self.shared.keys.prefix()).arg(id.text().as_str());
        Ok(self.sessions(&self.run::<Vec<Kept>>(&load, Again::Yes, PATIENCE).await?).pop())
    }

    async fn replace(
        &self,
        session: &Arc<Session>,
        version: u32,
        tokens: &Tokens,
    ) -> Result<bool, StoreError> {
        let (keys, id) = (&self.shared.keys, session.id());
        let mut replace = self.scripts.replace.prepare_invoke();
        replace.key(keys.session(id)).key(keys.due());
        for hash in tokens.hashes() {
            replace.key(keys.token(hash));
        }
        replace.arg(keys.prefix()).arg(id.text().as_str());
        replace.arg(self.value(session, tokens, version.wrapping_add(1))).arg(&version.to_be_bytes()[..]);
        let due = if tokens.is_locked() { due(session, tokens).to_string() } else { String::new() };
        replace.arg(due);
        self.run(&replace, Again::No, PATIENCE).await
    }

    async fn touch(&self, sessions: &[Arc<Session>]) -> Result<(), StoreError> {
        let keys = &self.shared.keys;
        for some in sessions.chunks(TOUCH_STEP) {
            let mut touch = self.scripts.touch.prepare_invoke();
            touch.key(keys.due()).key(keys.nothing()).arg(keys.prefix());
            for session in some {
                let id = session.id();
                touch.key(keys.session(id)).key(keys.seen(id));
                touch.arg(id.text().as_str());
                touch
                    .arg(&self.rows.write_seen(id, session.times().last_seen)[..])
                    .arg(due(session, &session.tokens()));
            }
            let _done: u8 = self.run(&touch, Again::Yes, LONG_PATIENCE).await?;
        }
        Ok(())
    }

    async fn remove(&self, session: &Session) -> Result<bool, StoreError> {
        let keys = &self.shared.keys;
        let user = keys.user(&session.user().name);
        // That it was let go here is no reason to anybody.
        let known = session.why_ended().filter(|why| *why != Why::NotHeard);
        let why = known.or_else(|| session.ending());
        let remove = removal(&self.scripts, keys, (session.id(), &user), why);
        let (removed, count): (bool, usize) = self.run(&remove, Again::No, PATIENCE).await?;
        self.counted(count);
        if removed {
            self.shared.revoked.note(session, self.shared.clock.now());
        }
        Ok(removed)
    }

    async fn of_user(&self, user: &UserName) -> Result<Vec<Arc<Session>>, StoreError> {
        let mut of_user = self.scripts.of_user.prepare_invoke();
        of_user.key(self.shared.keys.user(user)).arg(self.shared.keys.prefix());
        let mut sessions = self.sessions(&self.run::<Vec<Kept>>(&of_user, Again::Yes, LONG_PATIENCE).await?);
        sessions.retain(|session| session.user().name == *user);
        Ok(sessions)
    }

    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<Session>>, StoreError> {
        let keys = &self.shared.keys;
        let mut overdue = self.scripts.overdue.prepare_invoke();
        overdue.key(keys.due()).arg(keys.prefix()).arg(now.as_millis()).arg(limit);
        let mut sessions = Vec::new();
        for kept in self.run::<Vec<Kept>>(&overdue, Again::Yes, LONG_PATIENCE).await? {
            match self.session(&kept) {
                Some(session) => sessions.push(Arc::new(session)),
                // Nobody can end what nobody can read, and it would stand in the way of the others.
                None => self.discard(&kept.0).await?,
            }
        }
        Ok(sessions)
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let keys = &self.shared.keys;
        let from = from.map_or(&b"0"[..], Cursor::place);
        let mut list = self.scripts.list.prepare_invoke();
        list.key(keys.due()).arg(keys.prefix()).arg(from).arg(limit);
        let found: Vec<redis::Value> = self.run(&list, Again::Yes, LONG_PATIENCE).await?;
        let (next, all) = found.split_first().ok_or_else(|| StoreError::new("a page without a head"))?;
        let next: Vec<u8> = FromRedisValue::from_redis_value_ref(next).map_err(StoreError::new)?;
        let all: Vec<Kept> = FromRedisValue::from_redis_value_refs(all).map_err(StoreError::new)?;
        let next = (next != b"0").then(|| Cursor::new(&next));
        Ok(Page { sessions: self.sessions(&all), next })
    }

    async fn hold(
        &self,
        key: HeldKey,
        held: &Held,
        now: Timestamp,
        room: usize,
    ) -> Result<Created, StoreError> {
        let keys = &self.shared.keys;
        let mut script = self.scripts.hold.prepare_invoke();
        script.key(keys.form(key)).key(keys.forms()).arg(keys.prefix()).arg(written(held));
        script.arg(millis(held.until.since(now)).max(1)).arg(held.until.as_millis()).arg(now.as_millis());
        script.arg(room).arg(key.to_string());
        Ok(match self.run::<u8>(&script, Again::No, PATIENCE).await? {
            0 => Created::Done,
            2 => Created::Full,
            _ => Created::Exists,
        })
    }

    async fn held(&self, key: HeldKey) -> Result<Option<Held>, StoreError> {
        let mut script = self.scripts.held.prepare_invoke();
        script.key(self.shared.keys.form(key)).arg(self.shared.keys.prefix());
        let value: Option<Vec<u8>> = self.run(&script, Again::Yes, PATIENCE).await?;
        Ok(value.as_deref().and_then(|value| value.split_first_chunk()).map(|(until, sealed)| Held {
            until: Timestamp::from_millis(u64::from_be_bytes(*until)),
            sealed: sealed.into(),
        }))
    }

    async fn take_held(&self, key: HeldKey, held: &Held) -> Result<bool, StoreError> {
        let keys = &self.shared.keys;
        let mut take = self.scripts.take_held.prepare_invoke();
        take.key(keys.form(key)).key(keys.forms());
        take.arg(keys.prefix()).arg(written(held)).arg(key.to_string());
        self.run(&take, Again::No, PATIENCE).await
    }

    async fn sweep_held(&self, now: Timestamp) -> Result<(), StoreError> {
        let keys = &self.shared.keys;
        let mut sweep = self.scripts.sweep_held.prepare_invoke();
        sweep.key(keys.forms()).arg(keys.prefix()).arg(now.as_millis());
        self.run::<u8>(&sweep, Again::Yes, LONG_PATIENCE).await.map(drop)
    }

    fn count(&self) -> usize {
        self.shared.kept.load(Ordering::Relaxed)
    }

    fn cache_bound(&self) -> u64 {
        CACHED
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn last_seen(&self, session: &Session) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.load(session.id()).await?.map(|kept| kept.times().last_seen))
    }

    async fn farewell(&self, gone: SessionId) -> Option<Why> {
        let mut farewell = self.scripts.farewell.prepare_invoke();
        farewell.key(self.shared.keys.why(gone)).arg(self.shared.keys.prefix());
        // Of no more use than to say it nicely.
        let word: Option<String> = self.run(&farewell, Again::No, PATIENCE).await.ok().flatten();
        word.as_deref().and_then(Why::parse)
    }

    async fn news(&self) -> News {
        match self.news.lock().await.recv().await {
            Some(news) => news,
            // The one who told them is gone: the process ends.
            None => std::future::pending().await,
        }
    }
}
