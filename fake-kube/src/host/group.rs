//! The process group that a command leads, which ends with it or with whoever has sent it, and how an end is told.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process_group};

/// Killed when this value goes, unless that was done before.
pub struct Group(Option<Pid>);

impl Group {
    /// None: its leader is gone already.
    pub fn of(leader: Option<u32>) -> Group {
        Group(leader.and_then(pid))
    }

    pub fn end(&mut self) {
        if let Some(group) = self.0.take() {
            // A group that is gone needs no signal.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// A process by its number.
pub fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// As container runtimes tell it: 128 and the signal.
pub fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}
