//! Runs calls as processes: each in a group of its own, with a deadline, output captured and, where wanted, shown as it
//! comes. Whatever ends the wait (deadline, Ctrl-C, a panic here) ends the whole group, so that no `docker` is left that
//! a tool had started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::call::{Call, OUTPUT_MAX, Outcome, RunError, Runner, which};

/// The real runner.
pub struct Processes {
    /// Over the environment of this process, under that of a call.
    env: BTreeMap<String, OsString>,
    /// Set by Ctrl-C: whatever runs is ended, and nothing more is started.
    interrupted: Arc<AtomicBool>,
    is_showing: bool,
}

/// How often a running process is looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// Between SIGTERM and SIGKILL: a tool may want to take back what it had begun.
const GRACE: Duration = Duration::from_secs(5);

impl Processes {
    pub fn new(interrupted: Arc<AtomicBool>) -> Processes {
        Processes { env: BTreeMap::new(), interrupted, is_showing: false }
    }

    /// For everything that is run: tests search stand-ins on another PATH.
    pub fn env(mut self, key: &str, value: impl Into<OsString>) -> Processes {
        self.env.insert(key.to_owned(), value.into());
        self
    }

    /// Shows what tools say while they take their time.
    pub fn showing(mut self) -> Processes {
        self.is_showing = true;
        self
    }

    fn path(&self) -> OsString {
        self.env.get("PATH").cloned().or_else(|| std::env::var_os("PATH")).unwrap_or_default()
    }

    fn start(&self, call: &Call) -> Result<Group, RunError> {
        let file = which(&call.program, &self.path())
            .ok_or_else(|| RunError::Missing { program: call.program.clone() })?;
        let mut command = Command::new(file);
        command.args(&call.args).envs(&self.env).envs(call.env.iter().map(|(key, value)| (key, value)));
        command.stdin(if call.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let started = command.spawn();
        started.map(Group).map_err(|source| RunError::Start { call: call.to_string(), source })
    }
}

impl Runner for Processes {
    fn run(&self, call: &Call) -> Result<Outcome, RunError> {
        let is_interrupted = || !call.is_undo && self.interrupted.load(Ordering::Relaxed);
        if is_interrupted() {
            return Err(RunError::Interrupted { call: call.to_string() });
        }
        let mut group = self.start(call)?;
        let writer = group.0.stdin.take().zip(call.stdin.clone()).map(|(mut pipe, text)| {
            // A program that does not read its input to the end says so by its exit code.
            thread::spawn(move || drop(pipe.write_all(text.as_bytes())))
        });
        let stdout = group.0.stdout.take().map(|pipe| capture(pipe, false));
        let stderr = group.0.stderr.take().map(|pipe| capture(pipe, self.is_showing && call.is_shown));
        let end = group.wait(call.limit, is_interrupted);
        if end.is_err() {
            group.end();
        }
        drop(writer);
        let code = group.0.wait().ok().and_then(|status| status.code());
        // Whoever was started and lives on in the background would keep the pipes open.
        group.kill();
        let said = Outcome { code, stdout: collect(stdout), stderr: collect(stderr) };
        match end {
            Ok(()) => Ok(said),
            Err(Cut::Late) => Err(RunError::TimedOut { call: call.to_string(), limit: call.limit, said }),
            Err(Cut::Interrupted) => Err(RunError::Interrupted { call: call.to_string() }),
        }
    }

    fn has(&self, program: &str) -> bool {
        which(program, &self.path()).is_some()
    }
}

enum Cut {
    Late,
    Interrupted,
}

/// A process and all it started.
struct Group(Child);

impl Group {
    fn wait(&mut self, limit: Duration, is_interrupted: impl Fn() -> bool) -> Result<(), Cut> {
        let start = Instant::now();
        loop {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return Ok(());
            }
            if is_interrupted() {
                return Err(Cut::Interrupted);
            }
            if start.elapsed() >= limit {
                return Err(Cut::Late);
            }
            thread::sleep(GLANCE);
        }
    }

    /// Asks, waits a little, and insists.
    fn end(&mut self) {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < GRACE && matches!(self.0.try_wait(), Ok(None)) {
            thread::sleep(GLANCE);
        }
        self.kill();
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// A group that is gone already is what was wanted.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(Pid::from_child(&self.0), signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.kill();
            drop(self.0.wait());
        }
    }
}

fn capture(mut pipe: impl Read + Send + 'static, is_shown: bool) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let (mut kept, mut piece) = (Vec::new(), [0; 8192]);
        while let Ok(read @ 1..) = pipe.read(&mut piece) {
            if is_shown {
                // Where nobody listens any more, the work goes on.
                drop(io::stderr().write_all(&piece[..read]));
            }
            let room = OUTPUT_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(&piece[..read.min(room)]);
        }
        kept
    })
}

fn collect(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
