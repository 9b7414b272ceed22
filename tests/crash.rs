//! A panic is written down without its words, and whoever did not panic goes on. In a process of its own, since the
//! hook for panics belongs to the whole process.

use std::io;
use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use vestibule::clock::Clock;
use vestibule::clock::Timestamp;
use vestibule::telemetry::Format;
use vestibule::telemetry::audit::Audit;
use vestibule::telemetry::crash;

/// Hands on what is written.
struct Wire(mpsc::Sender<String>);

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        drop(self.0.send(String::from_utf8_lossy(bytes).into_owned()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_panic_is_an_event_that_says_where_and_never_what() {
    let (door, lines) = mpsc::channel();
    let audit = Audit::writing_to(Wire(door), Format::Json).unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    crash::tell_panics(audit, clock).unwrap();
    let fall = || {
        let cookie = String::from("canary-cookie-4711");
        assert!(cookie.is_empty(), "what is in {cookie}?");
    };
    let worker = thread::Builder::new().name("worker-7".to_owned()).spawn(fall).unwrap();
    assert!(worker.join().is_err());
    let line = lines.recv_timeout(Duration::from_secs(20)).unwrap();
    for wanted in ["sys_crash", "tests/crash.rs", "worker-7"] {
        assert!(line.contains(wanted), "{line}");
    }
    assert!(!line.contains("canary"), "{line}");
}
