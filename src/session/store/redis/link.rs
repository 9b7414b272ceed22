//! The two connections to the server, kept by one task: one that is asked, and one that hears what is changed.
//!
//! The task makes them, asks both twice a second whether they still work, and makes them anew when they do not: a
//! server that is frozen or cut off says nothing by itself. What was ended here and may have been brought back by a
//! server that did not hear of it is ended again before the connection is used.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::future::try_join3;
use redis::Client;
use redis::ErrorKind;
use redis::PushInfo;
use redis::PushKind;
use redis::RedisError;
use redis::ServerErrorKind;
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::session::store::News;
use crate::session::store::StoreError;
use crate::session::store::redis::keys::Keys;
use crate::session::store::redis::removal;
use crate::session::store::redis::revoked::Revoked;
use crate::session::store::redis::scripts::Scripts;
use crate::session::store::redis::servers::ConnectError;
use crate::session::store::redis::servers::Settings;
use crate::session::store::redis::servers::connect;
use crate::session::store::redis::servers::doubts;
use crate::telemetry::causes;

/// How often both connections are asked whether they work.
const BEAT: Duration = Duration::from_millis(500);

/// The pause before the next attempt to connect: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// So long after a connection broke those who ask wait for the next: a server that is restarted is soon back.
const SOON: Duration = Duration::from_secs(2);

/// So many ended sessions are ended again at once.
const AGAIN_STEP: usize = 256;

/// What the store and the task both know.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) keys: Keys,
    /// How many sessions there were when this was last heard.
    pub(super) kept: AtomicUsize,
    pub(super) revoked: Revoked,
    pub(super) clock: Clock,
}

/// The connection to ask on.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// There was none, or it broke a moment ago.
    Soon,
    /// It works as far as is known.
    Up(MultiplexedConnection),
    /// There is none, and this is why.
    Down(Arc<str>),
}

/// The connection to ask on, as soon as there is one.
pub(super) async fn connection(
    link: &mut watch::Receiver<Link>,
) -> Result<MultiplexedConnection, StoreError> {
    match &*link.wait_for(|link| !matches!(link, Link::Soon)).await.map_err(StoreError::new)? {
        Link::Up(connection) => Ok(connection.clone()),
        Link::Down(reason) => Err(StoreError::new(reason.as_ref())),
        Link::Soon => Err(StoreError::new("not connected yet")),
    }
}

/// Keeps the connections from now on, and tells `news` of what is heard on them.
pub(super) fn keep(
    settings: Settings,
    shared: Arc<Shared>,
    news: UnboundedSender<News>,
    background: &Handle,
) -> watch::Receiver<Link> {
    let (link, receiver) = watch::channel(Link::Soon);
    let keeper = Keeper { settings, shared, link, news, scripts: Scripts::new(), doubts: Vec::new() };
    background.spawn(keeper.run());
    receiver
}

struct Keeper {
    settings: Settings,
    shared: Arc<Shared>,
    link: watch::Sender<Link>,
    news: UnboundedSender<News>,
    scripts: Scripts,
    /// What was said against the server already.
    doubts: Vec<String>,
}

/// Both connections, and what comes unasked on either.
struct Pair {
    ask: MultiplexedConnection,
    hear: MultiplexedConnection,
    pushes: UnboundedReceiver<PushInfo>,
}

impl Keeper {
    async fn run(mut self) {
        let clock = self.shared.clock.clone();
        let (mut lost, mut pause, mut told) = (clock.now(), PAUSE.0, false);
        while !self.link.is_closed() {
            let reason = match self.connect().await {
                Ok(pair) => {
                    self.link.send_replace(Link::Up(pair.ask.clone()));
                    self.tell(News::Up);
                    let reason = self.listen(pair).await;
                    self.link.send_replace(Link::Soon);
                    (lost, pause, told) = (clock.now(), PAUSE.0, true);
                    self.tell(News::Down { reason: reason.clone() });
                    reason
                }
                Err(error) => causes(&error),
            };
            if clock.now().since(lost) >= SOON {
                if !told {
                    self.tell(News::Down { reason: reason.clone() });
                    told = true;
                }
                self.link.send_replace(Link::Down(reason.into()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Both connections to the first server that takes writes, with all that is to be done before they are used.
    async fn connect(&mut self) -> Result<Pair, ConnectError> {
        let mut failed = ConnectError::None;
        for client in self.settings.clients().await? {
            match self.connect_to(&client).await {
                Ok(pair) => return Ok(pair),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn connect_to(&mut self, client: &Client) -> Result<Pair, ConnectError> {
        let (heard, pushes) = unbounded_channel();
        let mut ask = connect(client, heard.clone()).await?;
        let mut hear = connect(client, heard).await?;
        self.beat(&ask, &hear).await.map_err(replica)?;
        let tracking: Value = redis::cmd("CLIENT")
            .arg(&["TRACKING", "ON", "BCAST", "PREFIX"])
            .arg(self.shared.keys.sessions())
            .query_async(&mut hear)
            .await?;
        drop(tracking);
        let doubts = doubts(&mut ask).await;
        for doubt in doubts.iter().filter(|doubt| !self.doubts.contains(doubt)) {
            tracing::warn!("sessions are kept in a Redis server that may lose them: {doubt}");
        }
        self.doubts = doubts;
        self.end_again(&ask).await?;
        // Whatever others did until here was not heard.
        self.tell(News::Everything);
        Ok(Pair { ask, hear, pushes })
    }

    /// Ends what was ended here on a server that may not have heard of it.
    async fn end_again(&self, ask: &MultiplexedConnection) -> Result<(), RedisError> {
        let (keys, mut brought_back) = (&self.shared.keys, 0_usize);
        for some in self.shared.revoked.all(self.shared.clock.now()).chunks(AGAIN_STEP) {
            let removals = some.iter().map(|(id, user)| {
                let removal = removal(&self.scripts, keys, (*id, &keys.user(&user.name)), None);
                let mut ask = ask.clone();
                async move { removal.invoke_async::<(usize, usize)>(&mut ask).await }
            });
            brought_back += try_join_all(removals).await?.iter().map(|(removed, _)| removed).sum::<usize>();
        }
        if brought_back > 0 {
            tracing::warn!(
                sessions = brought_back,
                "the store had sessions again that were ended; they are ended again"
            );
        }
        Ok(())
    }

    /// Passes on what is heard, until the connections fail; the answer is how.
    async fn listen(&self, Pair { ask, hear, mut pushes }: Pair) -> String {
        loop {
            let asked = self.shared.clock.now();
            let answer = self.beat(&ask, &hear);
            let mut answer = std::pin::pin!(answer);
            let mut answered = false;
            // What was pushed before the answer came is in the channel before it.
            while !answered || !pushes.is_empty() {
                tokio::select! {
                    biased;
                    push = pushes.recv() => {
                        if let Some(reason) = push.and_then(|push| self.hear(&push)) {
                            return reason;
                        }
                    }
                    result = &mut answer, if !answered => match result {
                        Ok(()) => answered = true,
                        Err(error) => return causes(&replica(error)),
                    },
                }
            }
            self.tell(News::Sound(asked));
            // Until the next beat.
            let pause = tokio::time::sleep(BEAT);
            let mut pause = std::pin::pin!(pause);
            loop {
                tokio::select! {
                    push = pushes.recv() => {
                        if let Some(reason) = push.and_then(|push| self.hear(&push)) {
                            return reason;
                        }
                    }
                    () = &mut pause => break,
                }
            }
        }
    }

    /// Passes on one push; the answer is why the connection is of no more use, if it is not.
    fn hear(&self, push: &PushInfo) -> Option<String> {
        match (&push.kind, push.data.first()) {
            (PushKind::Disconnection, _) => return Some("the server has closed the connection".to_owned()),
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                for key in keys {
                    let Value::BulkString(key) = key else { continue };
                    match self.shared.keys.id_of(key) {
                        Some(id) => self.tell(News::Changed(id)),
                        None => self.tell(News::Everything),
                    }
                }
            }
            // The server was emptied.
            (PushKind::Invalidate, _) => self.tell(News::Everything),
            _ => {}
        }
        None
    }

    /// Asks both connections whether they work. Removing what is not there changes nothing, needs no memory, and only
    /// a server in charge does it.
    async fn beat(
        &self,
        ask: &MultiplexedConnection,
        hear: &MultiplexedConnection,
    ) -> Result<(), RedisError> {
        let (mut write, mut count, mut hear) = (ask.clone(), ask.clone(), hear.clone());
        let keys = &self.shared.keys;
        let (remove, card, ping) =
            (redis::Cmd::del(keys.nothing()), redis::Cmd::zcard(keys.due()), redis::cmd("PING"));
        let write = async {
            match remove.query_async::<usize>(&mut write).await {
                Err(error) if !proves_charge(&error) => Err(error),
                Ok(_) | Err(_) => Ok(()),
            }
        };
        let (count, hear) = (card.query_async::<usize>(&mut count), ping.query_async::<Value>(&mut hear));
        let ((), count, _pong) = try_join3(write, count, hear).await?;
        self.shared.kept.store(count, Ordering::Relaxed);
        Ok(())
    }

    fn tell(&self, news: News) {
        // Nobody listens while the process ends.
        drop(self.news.send(news));
    }
}

/// Whether a server that refuses a write with this is in charge all the same, and only cannot write just now.
fn proves_charge(error: &RedisError) -> bool {
    matches!(error.code(), Some("MISCONF" | "NOREPLICAS" | "OOM"))
}

fn replica(error: RedisError) -> ConnectError {
    if error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
        return ConnectError::Replica;
    }
    error.into()
}
