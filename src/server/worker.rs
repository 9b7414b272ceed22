//! Workers: threads with a runtime each. A connection lives and dies on one of them, and nothing that belongs to a
//! request crosses to another.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::runtime::LocalOptions;
use tokio::runtime::LocalRuntime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::mpsc::unbounded_channel;

use crate::server::Handler;
use crate::server::connection;
use crate::server::connection::Arrival;
use crate::server::connection::Protocols;
use crate::server::connection::Shared;
use crate::server::peer::Peer;

/// A worker as the acceptor sees it.
#[derive(Debug)]
struct Seat {
    // Not bounded: every arrival holds a slot, and slots are.
    door: UnboundedSender<Arrival>,
    load: Arc<AtomicUsize>,
}

/// All workers. They end when the last handle to the team is gone.
#[derive(Debug)]
pub(super) struct Team {
    seats: Vec<Seat>,
    turn: AtomicUsize,
}

impl Team {
    /// Hands over a connection, made with the worker's count, to the worker with the fewest; equals take turns.
    pub(super) fn hand_over(&self, arrival: impl FnOnce(Arc<AtomicUsize>) -> Arrival) {
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % self.seats.len().max(1);
        let (before, after) = self.seats.split_at_checked(start).unwrap_or((&[], &[]));
        let least = after.iter().chain(before).min_by_key(|seat| seat.load.load(Ordering::Relaxed));
        let Some(seat) = least else { return };
        if seat.door.send(arrival(Arc::clone(&seat.load))).is_err() {
            tracing::error!("a worker is gone; a connection was closed");
            // It keeps its seat but gets no more.
            seat.load.fetch_add(usize::MAX / 2, Ordering::Relaxed);
        }
    }
}

/// Starts `count` workers; `make` is called once on each, in its runtime.
pub(super) fn start<M, F, S>(
    count: usize,
    shared: &Arc<Shared>,
    make: M,
) -> io::Result<(Team, Vec<JoinHandle<()>>)>
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Fn(Arc<Peer>) -> S + 'static,
    S: Handler,
{
    let make = Arc::new(make);
    let (mut seats, mut threads) = (Vec::new(), Vec::new());
    for number in 0..count.max(1) {
        let (door, arrivals) = unbounded_channel();
        let (ready, started) = mpsc::channel();
        let (shared, make) = (Arc::clone(shared), Arc::clone(&make));
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => {
                    let told = ready.send(Ok(()));
                    if told.is_ok() {
                        run(&runtime, arrivals, &shared, &*make);
                    }
                }
                // Whoever starts us waits for this; if not, there is nobody left to tell.
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        started.recv().map_err(|_gone| io::ErrorKind::BrokenPipe)??;
        let load = Arc::default();
        seats.push(Seat { door, load });
        threads.push(thread);
    }
    let turn = AtomicUsize::new(0);
    Ok((Team { seats, turn }, threads))
}

fn run<F, S>(
    runtime: &LocalRuntime,
    mut arrivals: UnboundedReceiver<Arrival>,
    shared: &Arc<Shared>,
    make: &impl Fn() -> F,
) where
    F: Fn(Arc<Peer>) -> S + 'static,
    S: Handler,
{
    runtime.block_on(async {
        let context = Rc::new((make(), Protocols::new(&shared.limits)));
        while let Some(arrival) = arrivals.recv().await {
            let (context, shared) = (Rc::clone(&context), Arc::clone(shared));
            // On its own task: a panic there ends this connection and no other. Whoever still runs when the team is
            // dissolved is cut with the runtime.
            drop(tokio::task::spawn_local(async move {
                let (handler, protocols) = &*context;
                connection::serve(arrival, shared, protocols, handler).await;
            }));
        }
    });
}
