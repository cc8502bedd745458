//! One process behind a container. It runs in a process group of its own, which ends with it, with the container, and with
//! the cluster. Two threads wait for it, one for its output and one for its end; the kubelet hears of both in its next step.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde_json::Value;
use tempfile::TempDir;

use super::Shared;
use super::errand::Errand;
use super::group::{code, pid};
use super::root;
use super::rules::Rule;
use super::sockets;
use super::talk::{Audience, Input, retell};
use super::terminal::Terminal;
use crate::json::items;
use crate::programs::{Attached, Probed, Process, ProcessEvent, ProcessStart, Ran, Reception, Signal};

/// Lines on their way to the kubelet; a process that says more waits, as behind any full pipe.
const EVENTS_MAX: usize = 1000;
/// Answers of probes are looked at for their code.
const PROBE_ANSWER_MAX: usize = 64 << 10;

pub struct HostProcess {
    programs: Arc<Shared>,
    ip: Option<IpAddr>,
    events: Receiver<ProcessEvent>,
    link: Arc<Link>,
    running: Option<Arc<Running>>,
    probes: BTreeMap<(u16, String), Arc<Mutex<Answer>>>,
    /// By their words.
    errands: BTreeMap<Vec<String>, Errand>,
    audience: Option<Arc<Audience>>,
    /// What it was started with: commands beside it find the same.
    inside: Option<Inside>,
}

/// A container's folder, which goes with it, and its variables.
struct Inside {
    root: TempDir,
    variables: Vec<(OsString, OsString)>,
}

/// How a thread's news reach the kubelet.
pub struct Link {
    programs: Arc<Shared>,
    namespace: String,
    pod: String,
    /// The kubelet was told and has not looked yet.
    is_told: AtomicBool,
}

/// The process itself, for whoever ends it.
pub struct Running {
    /// None once it is gone, so that nobody is hit who came after it.
    group: Mutex<Option<Pid>>,
}

/// Of a probe under way.
enum Answer {
    Waits,
    Came(Option<http::Response<Bytes>>),
    TimedOut,
}

impl Running {
    pub fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(group) = *self.group.lock().unwrap_or_else(PoisonError::into_inner) {
            // A group that is ending needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Link {
    pub fn tell(&self) {
        if !self.is_told.swap(true, Ordering::SeqCst) {
            self.programs.wake(&self.namespace, &self.pod);
        }
    }
}

impl HostProcess {
    /// A process that cannot be started ends at once, and says why.
    pub fn start(programs: Arc<Shared>, rule: &Rule, start: &ProcessStart) -> HostProcess {
        let (say, events) = sync_channel(EVENTS_MAX);
        let link = Arc::new(Link {
            programs: programs.clone(),
            namespace: start.namespace.clone(),
            pod: start.pod_name.clone(),
            is_told: AtomicBool::new(false),
        });
        let mut process = HostProcess {
            programs,
            ip: start.ip.parse().ok(),
            events,
            link,
            running: None,
            probes: BTreeMap::new(),
            errands: BTreeMap::new(),
            audience: None,
            inside: None,
        };
        if let Err(why) = process.spawn(rule, start, &say) {
            let message = format!("failed to start container {}: {why:#}", start.container);
            // Room is there: nothing was said before.
            let reason = "StartError".to_owned();
            let _ = say.try_send(ProcessEvent::Exit { code: 128, reason, message });
        }
        process
    }

    fn spawn(
        &mut self,
        rule: &Rule,
        start: &ProcessStart,
        say: &SyncSender<ProcessEvent>,
    ) -> anyhow::Result<()> {
        let max = self.programs.options.processes_max;
        let place = self
            .programs
            .enter()
            .ok_or_else(|| anyhow::anyhow!("{max} processes run already; --run-max allows more"))?;
        let root = TempDir::new_in(self.programs.folder.path())?;
        root::furnish(root.path(), &self.programs.options, start)?;
        let variables = self.variables(start, root.path());
        let inside = Inside { root, variables };
        let wishes = Wishes::of(start);
        let mut command = self.contained(wishes.terminal);
        command.arg("/bin/sh").arg("-c").arg(format!("exec {} \"$@\"", runnable(&rule.command))).arg("sh");
        command.args(&start.command).args(&start.args);
        inside.dress(&mut command);
        let (reader, terminal) = wishes.connect(&mut command)?;
        let mut child = command.spawn()?;
        // The command holds the output's other end: while it does, that has no end.
        drop(command);
        let running = Arc::new(Running { group: Mutex::new(pid(child.id())) });
        self.programs.remember(&running);
        self.inside = Some(inside);
        self.running = Some(running.clone());
        let audience = Audience::new(wishes.input(child.stdin.take(), terminal)?)?;
        self.audience = Some(audience.clone());
        let (told, link) = (say.clone(), self.link.clone());
        let reading = std::thread::Builder::new()
            .name("container-output".to_owned())
            .spawn(move || retell(reader, &told, &link, &audience));
        let (told, link) = (say.clone(), self.link.clone());
        let waiting = std::thread::Builder::new().name("container-end".to_owned()).spawn({
            let running = running.clone();
            move || {
                let status = wait(child, &running);
                // Its last words come before its end.
                if let Ok(reading) = reading {
                    let _ = reading.join();
                }
                drop(place);
                if told.send(ProcessEvent::exit(status.map_or(255, code))).is_ok() {
                    link.tell();
                }
            }
        });
        if waiting.is_err() {
            running.kill();
        }
        waiting?;
        Ok(())
    }

    /// What is started by it ends with the cluster. It leads a process group; in a terminal a session.
    fn contained(&self, in_terminal: bool) -> Command {
        let options = &self.programs.options;
        let words = if in_terminal { &options.starter_in_terminal } else { &options.starter };
        let mut command = match words.split_first() {
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words);
                command
            }
            None => {
                let mut command = Command::new("/usr/bin/env");
                command.arg("--");
                command
            }
        };
        // Who leads a group already cannot lead a session.
        if !in_terminal || words.is_empty() {
            command.process_group(0);
        }
        command
    }

    fn variables(&self, start: &ProcessStart, root: &std::path::Path) -> Vec<(OsString, OsString)> {
        let options = &self.programs.options;
        // Where programs are found; everything else a container has from its pod.
        let ours =
            ["PATH", "TMPDIR"].into_iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        let own = start.env.iter().map(|(name, value)| (name.into(), value.into()));
        let mut all: Vec<(OsString, OsString)> = ours.chain(own).collect();
        let mut add = |name: &str, value: OsString| all.push((name.into(), value));
        add("HOSTNAME", (&start.pod_name).into());
        add("KUBERNETES_SERVICE_HOST", options.address.ip().to_string().into());
        add("KUBERNETES_SERVICE_PORT", options.address.port().to_string().into());
        add("CONTAINER_ROOT", root.into());
        add("CONTAINER_IMAGE", (&start.image).into());
        add("POD_IP", (&start.ip).into());
        add("POD_NAME", (&start.pod_name).into());
        add("POD_NAMESPACE", (&start.namespace).into());
        if let Some(clock) = (options.clock)() {
            add("CLUSTER_CLOCK", clock.into());
        }
        all
    }
}

impl Inside {
    fn dress(&self, command: &mut Command) {
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        command.env_clear().envs(variables).current_dir(self.root.path());
    }
}

/// As container runtimes name it to what they start in one.
const TERMINAL: &str = "xterm";

/// What a container asks for its input and output (`stdin`, `stdinOnce`, `tty`).
#[derive(Clone, Copy)]
struct Wishes {
    stdin: bool,
    once: bool,
    terminal: bool,
}

impl Wishes {
    fn of(start: &ProcessStart) -> Wishes {
        let containers = ["/spec/containers", "/spec/initContainers"].into_iter();
        let mut containers = containers.flat_map(|list| items(&start.pod, list));
        let spec = containers.find(|c| c["name"] == *start.container).unwrap_or(&Value::Null);
        let is_set = |field: &str| spec[field] == true;
        Wishes { stdin: is_set("stdin"), once: is_set("stdinOnce"), terminal: is_set("tty") }
    }

    /// Where its output is read, and its terminal.
    fn connect(self, command: &mut Command) -> io::Result<(Box<dyn Read + Send>, Option<Terminal>)> {
        if self.terminal {
            let (terminal, theirs) = Terminal::open()?;
            command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
            command.env("TERM", TERMINAL);
            return Ok((Box::new(terminal.try_clone()?.into_file()), Some(terminal)));
        }
        let (reader, writer) = io::pipe()?;
        command.stdin(if self.stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(writer.try_clone()?).stderr(writer);
        Ok((Box::new(reader), None))
    }

    /// None: it reads nothing.
    fn input(self, pipe: Option<ChildStdin>, terminal: Option<Terminal>) -> io::Result<Option<Input>> {
        let writer: Box<dyn Write + Send> = match (pipe, &terminal) {
            (Some(pipe), _) => Box::new(pipe),
            (None, Some(terminal)) => Box::new(terminal.try_clone()?.into_file()),
            (None, None) => return Ok(None),
        };
        Ok(Some(Input { writer, terminal, once: self.once }))
    }
}

/// `exec A=1 prog` is no shell; `exec env A=1 prog` is.
fn runnable(command: &str) -> String {
    let is_assignment = |word: &str| {
        let name = word.split_once('=').map(|(name, _)| name).unwrap_or_default();
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    match command.split_whitespace().next().is_some_and(is_assignment) {
        true => format!("env {command}"),
        false => command.to_owned(),
    }
}

/// Waits for the end, then ends what the process has left in its group: the first process of a container takes all others
/// with it.
fn wait(mut child: Child, running: &Running) -> io::Result<ExitStatus> {
    if let Some(pid) = pid(child.id()) {
        // It stays in the table until it is waited for below: its number is nobody else's.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    }
    let mut group = running.group.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(group) = group.take() {
        let _ = kill_process_group(group, rustix::process::Signal::KILL);
    }
    child.wait()
}

impl Process for HostProcess {
    fn step(&mut self, _now: Timestamp) -> Vec<ProcessEvent> {
        self.link.is_told.store(false, Ordering::SeqCst);
        self.events.try_iter().take(EVENTS_MAX).collect()
    }

    /// Its threads say when.
    fn next_due(&self) -> Option<Timestamp> {
        None
    }

    fn receive(&mut self, _port: u16, _now: Timestamp) -> Reception {
        Reception::Socket
    }

    fn http(&mut self, _: u16, _: &http::Request<Bytes>, _: Timestamp) -> Option<http::Response<Bytes>> {
        None
    }

    fn probe(
        &mut self,
        port: u16,
        request: &http::Request<Bytes>,
        is_http: bool,
        patience: Duration,
        _now: Timestamp,
    ) -> Probed {
        let key = (port, request.uri().path().to_owned());
        if let Some(answer) = self.probes.get(&key) {
            let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
            let probed = match &mut *answer {
                Answer::Waits => return Probed::Waits,
                Answer::Came(answer) => Probed::Answered(answer.take()),
                Answer::TimedOut => Probed::TimedOut,
            };
            drop(answer);
            self.probes.remove(&key);
            return probed;
        }
        let Some(ip) = self.ip else { return Probed::Answered(None) };
        let slot = Arc::new(Mutex::new(Answer::Waits));
        self.probes.insert(key, slot.clone());
        let (address, link, request) = (SocketAddr::new(ip, port), self.link.clone(), request.clone());
        self.programs.runtime.spawn(async move {
            let asked = async {
                match is_http {
                    true => sockets::exchange(address, request, PROBE_ANSWER_MAX).await.ok(),
                    false => sockets::connect(address).await.ok().map(|_| http::Response::new(Bytes::new())),
                }
            };
            let answer = tokio::time::timeout(patience, asked).await;
            let answer = answer.map_or(Answer::TimedOut, Answer::Came);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = answer;
            link.tell();
        });
        Probed::Waits
    }

    fn signal(&mut self, signal: Signal, _now: Timestamp) -> Vec<ProcessEvent> {
        if let Some(running) = &self.running {
            running.signal(match signal {
                Signal::Term => rustix::process::Signal::TERM,
                Signal::Kill => rustix::process::Signal::KILL,
            });
        }
        Vec::new()
    }

    fn beside(&self, command: &[String], in_terminal: bool) -> Option<Command> {
        let inside = self.inside.as_ref()?;
        let mut contained = self.contained(in_terminal);
        contained.args(command);
        inside.dress(&mut contained);
        if in_terminal {
            contained.env("TERM", TERMINAL);
        }
        Some(contained)
    }

    fn attach(&self) -> Option<Attached> {
        self.audience.as_ref()?.attach()
    }

    fn errand(&mut self, command: &[String], patience: Option<Duration>) -> Option<Ran> {
        if let Some(errand) = self.errands.get(command) {
            let Some(ran) = errand.answer() else { return Some(Ran::Waits) };
            self.errands.remove(command);
            return Some(ran);
        }
        let failed = |why: String| Ran::Done { code: 126, output: why };
        let Some(started) = self.beside(command, false) else {
            return Some(failed("the container's process could not be started".to_owned()));
        };
        let link = self.link.clone();
        let errand = Errand::start(started, patience, &self.programs.runtime, move || link.tell());
        Some(match errand {
            Ok(errand) => {
                self.errands.insert(command.to_owned(), errand);
                Ran::Waits
            }
            Err(why) => failed(why.to_string()),
        })
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.kill();
        }
    }
}
