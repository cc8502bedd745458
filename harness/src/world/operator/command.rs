//! An operator that is a program of its own, in any language. It is told its kubeconfig and what to watch by environment
//! variables, runs in a process group so that a crash takes its children along, and what it prints is part of the story.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use drey_language::events::{Kind, Lane};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Child;

use super::Process;
use crate::world::journal::Journal;

/// What the shell is given, as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine(String);

impl CommandLine {
    pub fn new(text: &str) -> Result<CommandLine, String> {
        match text.trim() {
            "" => Err(
                "the operator's command is empty: give what you would type, such as \"python3 operator.py\""
                    .to_owned(),
            ),
            text => Ok(CommandLine(text.to_owned())),
        }
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

/// What the program finds around it, for as long as this lives.
pub struct Surroundings {
    kubeconfig: PathBuf,
    /// Empty: the whole cluster is its own.
    namespace: String,
    /// The scenario's configuration of the operator, for one that reads ours.
    config: PathBuf,
    /// The cluster's time, where it is not the time of day.
    clock: Option<String>,
    _folder: TempDir,
}

impl Surroundings {
    pub fn new(
        kubeconfig: &str,
        namespace: &str,
        config: &BTreeMap<String, String>,
        clock: Option<String>,
    ) -> anyhow::Result<Surroundings> {
        let folder = tempfile::Builder::new().prefix("drey-operator-").tempdir();
        let folder = folder.context("make a folder for the operator's kubeconfig")?;
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
            anyhow::Ok(file)
        };
        let kubeconfig = write("kubeconfig", kubeconfig)?;
        // JSON is YAML too.
        let config = write("config.yaml", &serde_json::json!(config).to_string())?;
        Ok(Surroundings { kubeconfig, namespace: namespace.to_owned(), config, clock, _folder: folder })
    }
}

/// A longer line of output is told in pieces.
const LINE_MAX: u64 = 2000;

/// Dropping it is a crash.
pub struct Command {
    child: Arc<Mutex<Running>>,
}

struct Running {
    /// None when it could not be started.
    child: Option<Child>,
    group: Option<Pid>,
    told: bool,
    journal: Journal,
    identity: String,
}

impl Command {
    pub fn start(
        line: &CommandLine,
        surroundings: &Surroundings,
        journal: &Journal,
        identity: &str,
    ) -> Command {
        let started = tokio::process::Command::new("/bin/sh")
            .args(["-c", &line.0])
            .env("KUBECONFIG", &surroundings.kubeconfig)
            .env("DREY_IDENTITY", identity)
            .env("DREY_NAMESPACE", &surroundings.namespace)
            .env("DREY_OPERATOR_CONFIG", &surroundings.config)
            .envs(surroundings.clock.iter().map(|clock| ("CLUSTER_CLOCK", clock)))
            // As operators made with the common frameworks expect it.
            .env("WATCH_NAMESPACE", &surroundings.namespace)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut running = Running {
            child: None,
            group: None,
            told: false,
            journal: journal.clone(),
            identity: identity.to_owned(),
        };
        match started {
            Ok(mut child) => {
                if let Some(out) = child.stdout.take() {
                    tokio::spawn(retell(out, journal.clone(), identity.to_owned()));
                }
                if let Some(err) = child.stderr.take() {
                    tokio::spawn(retell(err, journal.clone(), identity.to_owned()));
                }
                running.group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                running.child = Some(child);
            }
            Err(error) => running.note(format!("could not be started: {error}")),
        }
        Command { child: Arc::new(Mutex::new(running)) }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        lock(&self.child)
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    fn note(&self, text: String) {
        let text = format!("{}: {text}", self.identity);
        self.journal.push(self.journal.event(Lane::Operator, Kind::Note, text));
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group that is gone needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }

    fn ended(&mut self) -> bool {
        let Some(child) = &mut self.child else { return true };
        let Ok(Some(status)) = child.try_wait() else { return false };
        if !self.told {
            self.told = true;
            self.note(how_it_ended(status));
        }
        true
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(127), _) => "ended with code 127: the shell does not find the command".to_owned(),
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

async fn retell(output: impl AsyncRead + Unpin, journal: Journal, identity: String) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut output).take(LINE_MAX).read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line);
        journal.push(journal.event(Lane::Operator, Kind::Note, format!("{identity} | {}", text.trim_end())));
        line.clear();
    }
}

impl Process for Command {
    fn crash(&self) {
        self.running().signal(Signal::KILL);
    }

    fn is_dead(&self) -> bool {
        self.running().ended()
    }

    /// Nobody outside can tell: whoever lives may write.
    fn leads(&self) -> bool {
        !self.is_dead()
    }

    fn killer(&self) -> Box<dyn Fn() + Send + Sync> {
        let running = self.child.clone();
        Box::new(move || lock(&running).signal(Signal::KILL))
    }

    fn pause(&self) {
        self.running().signal(Signal::STOP);
    }

    fn resume(&self) {
        self.running().signal(Signal::CONT);
    }

    fn terminate(&mut self) {
        self.running().signal(Signal::TERM);
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        self.crash();
    }
}
