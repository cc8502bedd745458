//! SIGTERM and Ctrl-C, with the exit codes that a JVM gives them.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Heard from the moment there is one: who reads the ready line may stop the process at once.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn hear() -> anyhow::Result<Signals> {
        let hear = |kind| signal(kind).context("hear signals");
        Ok(Signals { terminate: hear(SignalKind::terminate())?, interrupt: hear(SignalKind::interrupt())? })
    }

    /// As the JVM's exit code has it: 128 and the number.
    pub async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.interrupt.recv() => 130,
        }
    }
}
