//! Ctrl-C, SIGTERM and SIGHUP end a command in order: job cancelled, temporary file removed.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CommandError, Result};

/// From its making on, these signals no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub fn new() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|e| CommandError::local("cannot listen for signals", &e));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for one of them.
    pub async fn next(&mut self) -> CommandError {
        tokio::select! {
            _ = self.interrupt.recv() => CommandError::interrupted(2),
            _ = self.terminate.recv() => CommandError::interrupted(15),
            _ = self.hangup.recv() => CommandError::interrupted(1),
        }
    }

    /// Does something that no job has begun for; a signal ends it.
    pub async fn guard<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            result = work => result,
            error = self.next() => Err(error),
        }
    }
}
