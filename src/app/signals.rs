//! The signals that a process is sent.

use std::io;
use std::io::IsTerminal;

use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// Once this exists none of them ends the process by itself any more.
#[derive(Debug)]
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    /// What other servers are told to do with these, this one does by itself: files are read again when they change.
    _ignored: [Signal; 2],
}

impl StopSignals {
    /// Takes the signals over. Must be called within a runtime.
    ///
    /// # Errors
    /// If the system lets no handler be installed.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            _ignored: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// Completes when the process is asked to stop, also if that was before this was called: by SIGTERM, SIGQUIT, Ctrl-C,
    /// or the end of the terminal it was started in.
    pub(crate) async fn received(&mut self) {
        let in_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.quit.recv() => return,
                _ = self.hangup.recv() => {
                    if in_terminal {
                        return;
                    }
                    tracing::info!(
                        "certificates and users are read again whenever they change; for another configuration, restart"
                    );
                }
            }
        }
    }
}
