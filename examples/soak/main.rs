//! A long, checked run: many sessions over shared connections, HTTP/1.1 and HTTP/2, bodies from nothing to 1 MiB both
//! ways. Every answer must belong to the session that asked and be whole; the gateway's memory must not grow.
//! `tests/soak` builds what is needed and starts it.

#![expect(clippy::print_stdout, reason = "the result is told on standard output")]

mod exchange;
mod gateway;
mod load;
mod login;
mod memory;
mod pattern;
mod plan;
mod tally;
#[path = "../support/tls.rs"]
mod tls;
mod upstream;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Result;
use anyhow::anyhow;
use clap::Parser;
use tokio::signal::ctrl_c;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use crate::exchange::Session;
use crate::gateway::Gateway;
use crate::load::Load;
use crate::memory::Samples;
use crate::memory::Verdict;
use crate::tls::Target;

/// Logins at a time: each costs the gateway a core for tens of milliseconds.
const LOGINS_AT_ONCE: usize = 4;
/// How often the gateway's memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How often a long run says how far it is.
const PROGRESS_EVERY: u64 = 30;

/// Load a gateway for long, and check every byte.
#[derive(Parser)]
struct Arguments {
    /// The gateway's binary.
    #[arg(long, default_value = "target/release/vestibule")]
    binary: PathBuf,
    /// Requests in all.
    #[arg(long, default_value_t = 10_000_000)]
    requests: u64,
    /// No request begins later than this.
    #[arg(long)]
    minutes: Option<u64>,
    /// Users, each with one session.
    #[arg(long, default_value_t = 500)]
    sessions: usize,
    /// Connections at a time, half HTTP/1.1 and half HTTP/2.
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(outcome) => outcome.code(),
        Err(error) => {
            println!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// Nothing went wrong, but whether memory grows cannot be told from this run.
    Undecided,
}

impl Outcome {
    fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Undecided => 2,
        })
    }

    const fn told(self) -> &'static str {
        match self {
            Self::Passed => "SOAK PASSED",
            Self::Failed => "SOAK FAILED",
            Self::Undecided => "SOAK UNDECIDED: run it for longer",
        }
    }
}

async fn run(arguments: &Arguments) -> Result<Outcome> {
    let upstream = upstream::start().await?;
    let users: Vec<String> = (0..arguments.sessions.max(1)).map(|user| format!("user{user:05}")).collect();
    let mut gateway = Gateway::start(&arguments.binary, upstream, &users).await?;
    let outcome = tokio::select! {
        outcome = soak(arguments, &gateway, users) => outcome,
        interrupted = interrupted() => interrupted.and_then(|()| Err(anyhow!("interrupted"))),
    };
    if !matches!(outcome, Ok(Outcome::Passed | Outcome::Undecided)) {
        println!("The gateway's last lines:\n{}", gateway.last_words());
    }
    let outcome = outcome?;
    gateway.stop().await?;
    println!("{}", outcome.told());
    Ok(outcome)
}

/// Whoever ends this process wants the gateway gone as well, which happens when it is dropped.
async fn interrupted() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminated.recv() => Ok(()),
        pressed = ctrl_c() => Ok(pressed?),
    }
}

async fn soak(arguments: &Arguments, gateway: &Gateway, users: Vec<String>) -> Result<Outcome> {
    let target = |http2| Target::new(gateway.address, gateway::HOST, &gateway.certificate(), http2);
    let authority = format!("{}:{}", gateway::HOST, gateway.address.port());
    let began = Instant::now();
    let sessions = log_in_all(&target(false)?, &authority, users).await?;
    println!("{} sessions after {:.1} s of logging in", sessions.len(), began.elapsed().as_secs_f64());

    let began = Instant::now();
    let load = Arc::new(Load {
        sessions,
        tally: tally::Tally::default(),
        http1: target(false)?,
        http2: target(true)?,
        authority,
        requests: arguments.requests,
        deadline: arguments.minutes.map(|minutes| began + Duration::from_secs(60 * minutes)),
        next: AtomicU64::new(0),
        unsent: Mutex::new(Vec::new()),
    });
    let mut samples = Samples::default();
    tokio::select! {
        () = load.run(arguments.connections.max(2)) => {}
        error = watch(gateway, &load, began, &mut samples) => return Err(error.context("watching the gateway")),
    }
    samples.add(began.elapsed(), memory::resident(gateway.process())?);
    Ok(report(&load, began.elapsed(), &samples))
}

async fn log_in_all(target: &Target, authority: &str, users: Vec<String>) -> Result<Vec<Session>> {
    let waiting = Arc::new(Mutex::new(users));
    let mut tasks = JoinSet::new();
    for _ in 0..LOGINS_AT_ONCE {
        let (target, authority, waiting) = (target.clone(), authority.to_owned(), Arc::clone(&waiting));
        tasks.spawn(async move {
            let mut sessions = Vec::new();
            while let Some(user) = next(&waiting) {
                let cookie = login::log_in(&target, &authority, &user, gateway::PASSWORD).await?;
                sessions.push(Session { user, cookie });
            }
            anyhow::Ok(sessions)
        });
    }
    let mut all = Vec::new();
    while let Some(sessions) = tasks.join_next().await {
        all.extend(sessions??);
    }
    // In the order of names, so that request numbers mean the same users in every run.
    all.sort_by(|one, other| one.user.cmp(&other.user));
    Ok(all)
}

fn next(waiting: &Mutex<Vec<String>>) -> Option<String> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

/// Takes samples and tells progress until the gateway is gone.
async fn watch(gateway: &Gateway, load: &Load, began: Instant, samples: &mut Samples) -> anyhow::Error {
    let mut ticks = interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0_u64.. {
        ticks.tick().await;
        let resident = match memory::resident(gateway.process()) {
            Ok(resident) => resident,
            Err(error) => return error,
        };
        samples.add(began.elapsed(), resident);
        if tick > 0 && tick.is_multiple_of(PROGRESS_EVERY) {
            let (answered, faults) = (load.tally.answered(), load.tally.faults());
            println!("{tick:>6} s  {answered:>10} answered  {faults} faults  {resident} KiB resident");
        }
    }
    anyhow!("the clock ran out")
}

/// Prints the result.
fn report(load: &Load, took: Duration, samples: &Samples) -> Outcome {
    println!("{}", load.tally);
    let answered = load.tally.answered();
    println!("took             {:>12.1} s", took.as_secs_f64());
    let Some(trend) = samples.trend() else {
        return Outcome::Failed;
    };
    println!(
        "resident         {:>12} KiB at first, {} at last, {} at most",
        trend.first, trend.last, trend.most
    );
    let verdict = match trend.verdict() {
        Verdict::Steady => "",
        Verdict::Grows => ": it grows",
        Verdict::TooShort => " (too short a run to judge)",
        Verdict::Unclear => ": too close to tell from 2 %, a longer run must",
    };
    println!("growth           {:>12.2} % ± {:.2} over the last half{verdict}", trend.percent, trend.error);
    let complete = answered == load.requests || load.deadline.is_some();
    if !complete {
        println!("only {answered} of {} requests were answered", load.requests);
    }
    if !complete || answered == 0 || load.tally.faults() > 0 {
        return Outcome::Failed;
    }
    match trend.verdict() {
        // A short run is for the answers alone.
        Verdict::Steady | Verdict::TooShort => Outcome::Passed,
        Verdict::Grows => Outcome::Failed,
        Verdict::Unclear => Outcome::Undecided,
    }
}
