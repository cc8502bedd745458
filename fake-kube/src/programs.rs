//! What runs in containers: a registry of programs and the processes it starts.
//! A process is a state machine that sees its environment as values; real ones, with file systems, are in `host`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc};

pub use crate::host::terminal::Size;
pub use crate::shell::Shell;

/// Maps a container to the program it runs.
pub trait Programs: Send + Sync {
    fn start(&self, start: &ProcessStart) -> Box<dyn Process>;
}

/// Everything a process finds around itself.
#[derive(Clone, Debug)]
pub struct ProcessStart {
    pub pod: Value,
    pub namespace: String,
    pub pod_name: String,
    pub uid: String,
    pub ip: String,
    pub node: String,
    pub container: String,
    pub image: String,
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Absolute path -> text, from ConfigMap, Secret, downward API and projected volumes.
    pub files: BTreeMap<String, String>,
    pub restart_count: u32,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    Log(String),
    /// `reason` empty: `Completed` for code 0, `Error` otherwise. `message` is the termination message.
    Exit {
        code: i32,
        reason: String,
        message: String,
    },
}

impl ProcessEvent {
    pub fn exit(code: i32) -> ProcessEvent {
        ProcessEvent::Exit { code, reason: String::new(), message: String::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Term,
    Kill,
}

/// What a connection to a port of a process meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    Accepted,
    /// A socket of this machine takes it, at the pod's own address: [`Process::http`] does not.
    Socket,
    /// Nothing listens there.
    Refused,
    /// The connection is made and nobody ever answers: the process stands still.
    Silent,
}

/// What a probe meets.
pub enum Probed {
    /// None: nothing listens there.
    Answered(Option<http::Response<Bytes>>),
    /// No answer within the time that the probe allows.
    TimedOut,
    /// It is under way: ask again in a moment.
    Waits,
}

/// What a command of the kubelet's came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// `output` of both kinds, as much of it as is kept.
    Done {
        code: i32,
        output: String,
    },
    TimedOut,
    /// It is under way: ask again in a moment.
    Waits,
}

/// What a client holds that attaches itself to a process of this machine.
pub struct Attached {
    /// Ends with the process.
    pub output: broadcast::Receiver<Bytes>,
    /// None: the process reads nothing.
    pub input: Option<mpsc::Sender<Typed>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    Bytes(Bytes),
    /// Of the client's terminal.
    Size(Size),
    /// The client types no more.
    End,
}

/// A running container. Called with the cluster locked: it must not call back into the [`crate::Cluster`];
/// the API server's clients are fine.
pub trait Process: Send {
    /// Called at the start, when due, and after every call below.
    fn step(&mut self, now: Timestamp) -> Vec<ProcessEvent>;

    fn next_due(&self) -> Option<Timestamp>;

    /// Asked before every request.
    fn receive(&mut self, _port: u16, _now: Timestamp) -> Reception {
        Reception::Accepted
    }

    /// `None`: nothing listens there.
    fn http(
        &mut self,
        port: u16,
        request: &http::Request<Bytes>,
        now: Timestamp,
    ) -> Option<http::Response<Bytes>>;

    /// A probe's request, asked again and again while it answers [`Probed::Waits`]. `is_http`: a connection is not enough.
    fn probe(
        &mut self,
        port: u16,
        request: &http::Request<Bytes>,
        _is_http: bool,
        _patience: Duration,
        now: Timestamp,
    ) -> Probed {
        Probed::Answered(self.http(port, request, now))
    }

    /// A process that does not exit on Term is killed when its grace is over.
    fn signal(&mut self, signal: Signal, now: Timestamp) -> Vec<ProcessEvent>;

    /// A command of its own that somebody runs beside it (`kubectl exec`): exit code and output. None: it has no such
    /// command.
    fn command(&mut self, _command: &[String], _now: Timestamp) -> Option<(i32, String)> {
        None
    }

    /// As [`Process::command`], where it is a process of this machine: how to start it in the container's folder, with its
    /// variables, leading a process group of its own; `in_terminal`: with its input for controlling terminal. Asked first, and
    /// run outside of the cluster's lock.
    fn beside(&self, _command: &[String], _in_terminal: bool) -> Option<std::process::Command> {
        None
    }

    /// Its output from now on and its input, where it is a process of this machine.
    fn attach(&self) -> Option<Attached> {
        None
    }

    /// A command of a probe or hook, where it is a process of this machine: asked again and again while it answers
    /// [`Ran::Waits`].
    fn errand(&mut self, _command: &[String], _patience: Option<Duration>) -> Option<Ran> {
        None
    }

    /// A command run by an exec probe: exit code and output.
    fn exec(&mut self, _command: &[String], _now: Timestamp) -> (i32, String) {
        (0, String::new())
    }
}
