//! Faults of the gateway's own: a panic ends one request or task; it is written down, and the rest goes on.

use std::io;
use std::panic;
use std::sync::mpsc;
use std::thread;

use crate::clock::Clock;
use crate::telemetry::audit::Audit;
use crate::telemetry::audit::Context;
use crate::telemetry::audit::Event;

/// From now on every panic of this process is told to `audit` and to diagnostics, and to nobody else.
///
/// # Errors
/// If the system gives no thread.
pub fn tell_panics(audit: Audit, clock: Clock) -> io::Result<()> {
    let (door, reasons) = mpsc::channel::<String>();
    // On a thread of its own: whoever panics may hold the log's own locks.
    thread::Builder::new().name("faults".to_owned()).spawn(move || {
        for reason in reasons {
            tracing::error!("{reason}");
            audit.record(&Context::at(clock.now()), &Event::Crash { reason: &reason });
        }
    })?;
    panic::set_hook(Box::new(move |fault| {
        // Where, never what: the text of a panic may quote a cookie or a password.
        let place = fault.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = thread::current();
        let reason = format!("a panic at {place}, thread {}", thread.name().unwrap_or("unnamed"));
        // The other side ends with the process alone.
        drop(door.send(reason));
    }));
    Ok(())
}
