//! One container: image pull, start, run, probes, stop, back-off. A state machine that is advanced to a time and
//! tells when it wants to be advanced next. Texts and timings: kube-api.md 3.2; stopping is `stop`.
//! Leaves out what the pod decides (`worker`): order of containers, whether an ended one may restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::backoff::Backoff;
use super::environment::{expand, files, variables};
use super::hooks::{self, Hook};
use super::images::{self, PullPolicy};
use super::probes::{Prober, Probers, Purpose, Verdict, ask};
use super::stop::Stop;
use crate::faults::Faults;
use crate::json::*;
use crate::knobs::Knobs;
use crate::logs::Logs;
use crate::programs::{Attached, Process, ProcessEvent, ProcessStart, Programs, Reception, Signal};
use crate::view::View;
use crate::write::{EventKind, EventSpec, Step, Write, reference};

pub const COMPONENT: &str = "kubelet";
/// The kubelet notices an ended container when it next lists them.
const RELIST: SignedDuration = SignedDuration::from_secs(1);
/// Between the failed pull and the sync that finds it backing off.
const PULL_RESYNC: SignedDuration = SignedDuration::from_millis(1500);
/// A sync that failed is repeated after this (`backOffPeriod`).
const SYNC_RETRY_SECS: i64 = 10;
/// While backing off the sync repeats, with jitter in a real kubelet, and tells it each time.
const BACKOFF_RESYNC_SECS: i64 = 12;
const STEPS_MAX: usize = 100;

/// What containers of one node share and may use while being advanced.
pub struct World<'a> {
    pub view: &'a View,
    pub knobs: &'a Knobs,
    pub programs: &'a dyn Programs,
    pub faults: &'a Faults,
    pub logs: &'a mut Logs,
    pub images: &'a mut BTreeSet<(String, String)>,
    pub pod: &'a Arc<Value>,
    pub ip: &'a str,
    pub now: Timestamp,
    pub step: &'a mut Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    Main,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub code: i32,
    pub reason: String,
    pub message: String,
    pub started: Timestamp,
    pub finished: Timestamp,
    pub id: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Not begun: its turn has not come.
    Idle,
    Pulling {
        since: Timestamp,
        until: Timestamp,
    },
    /// ErrImagePull, ImagePullBackOff, InvalidImageName, ErrImageNeverPull.
    PullFailed {
        reason: &'static str,
        message: String,
        until: Timestamp,
    },
    /// CreateContainerConfigError.
    ConfigError {
        message: String,
        until: Timestamp,
    },
    Starting {
        until: Timestamp,
    },
    Running {
        since: Timestamp,
    },
    /// CrashLoopBackOff.
    Held {
        until: Timestamp,
        tell: Timestamp,
    },
    Ended(Ended),
}

/// What a status shows of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    state: State,
    restarts: u32,
    ready: bool,
    started: bool,
    /// A fault says so, whatever the probes do.
    not_ready: bool,
    is_hooked: bool,
}

pub struct Container {
    pub name: String,
    pub role: Role,
    pub state: State,
    pub last: Option<Ended>,
    pub restarts: u32,
    pub ready: bool,
    pub started: bool,
    pub id: String,
    /// Why its last start failed after it had begun to run.
    pub hook_error: Option<String>,
    runs: u32,
    backoff: Backoff,
    image_backoff: Backoff,
    probers: Probers,
    pub(super) process: Option<Box<dyn Process>>,
    post_start: Option<Hook>,
    pub(super) stop: Option<Stop>,
    environment: (BTreeMap<String, String>, BTreeMap<String, String>),
}

impl Container {
    pub fn new(name: &str, role: Role) -> Container {
        Container {
            name: name.into(),
            role,
            state: State::Idle,
            last: None,
            restarts: 0,
            ready: false,
            started: false,
            id: String::new(),
            hook_error: None,
            runs: 0,
            backoff: Backoff::default(),
            image_backoff: Backoff::default(),
            probers: Probers::new(),
            process: None,
            post_start: None,
            stop: None,
            environment: Default::default(),
        }
    }

    pub fn seen(&self, w: &World) -> Seen {
        let (state, restarts) = (self.state.clone(), self.restarts);
        let not_ready = w.faults.not_ready(w.pod);
        let is_hooked = self.is_hooked();
        Seen { state, restarts, ready: self.ready, started: self.started, not_ready, is_hooked }
    }

    /// Its process runs, and the kubelet still waits for `postStart`: nobody is told that it runs.
    pub fn is_hooked(&self) -> bool {
        self.post_start.is_some()
    }

    /// The kubelet starts the containers of a pod one after the other and waits for the hook of each.
    pub fn holds_others(&self, pod: &Value) -> bool {
        let has_hook = at(self.spec(pod), "/lifecycle/postStart").is_object();
        let is_starting = matches!(self.state, State::Pulling { .. } | State::Starting { .. });
        self.is_hooked() || has_hook && is_starting
    }

    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    pub fn ended(&self) -> Option<&Ended> {
        match &self.state {
            State::Ended(e) => Some(e),
            _ => None,
        }
    }

    pub fn spec<'a>(&self, pod: &'a Value) -> &'a Value {
        let list = if self.role == Role::Main { "/spec/containers" } else { "/spec/initContainers" };
        items(pod, list).iter().find(|c| c["name"] == *self.name).unwrap_or(&Value::Null)
    }

    pub fn back_off_text(&self, pod: &Value) -> String {
        format!(
            "back-off {} restarting failed container={} pod={}_{}({})",
            go_duration(self.backoff.wait_secs()),
            self.name,
            name(pod),
            namespace(pod),
            uid(pod)
        )
    }

    pub(super) fn tell(&self, w: &mut World, kind: EventKind, reason: &'static str, message: String) {
        let mut involved = reference(w.pod);
        let list = if self.role == Role::Main { "containers" } else { "initContainers" };
        involved["fieldPath"] = format!("spec.{list}{{{}}}", self.name).into();
        let host = text(w.pod, "/spec/nodeName").to_owned();
        let event = EventSpec { involved, kind, reason, message, component: COMPONENT, host: Some(host) };
        w.step.push(Write::event(event));
    }

    /// Its turn has come, or it may run again.
    pub fn begin(&mut self, w: &mut World) {
        let spec = self.spec(w.pod);
        let image = spec["image"].as_str().unwrap_or("").to_owned();
        if let Some(message) = images::invalid_name(&image) {
            self.tell(w, EventKind::Warning, "InspectFailed", message.clone());
            self.tell(w, EventKind::Warning, "Failed", "Error: InvalidImageName".into());
            let until = after_secs(w.now, SYNC_RETRY_SECS);
            self.state = State::PullFailed { reason: "InvalidImageName", message, until };
            return;
        }
        let present = w.images.contains(&(text(w.pod, "/spec/nodeName").to_owned(), image.clone()));
        match images::policy(spec) {
            _ if w.faults.image_pull(w.pod).is_some() => self.pull(w, &image),
            PullPolicy::Never if !present => {
                let message = format!("Container image \"{image}\" is not present with pull policy of Never");
                self.tell(w, EventKind::Warning, "ErrImageNeverPull", message.clone());
                self.tell(w, EventKind::Warning, "Failed", "Error: ErrImageNeverPull".into());
                let until = after_secs(w.now, SYNC_RETRY_SECS);
                self.state = State::PullFailed { reason: "ErrImageNeverPull", message, until };
            }
            PullPolicy::Always => self.pull(w, &image),
            _ if present => {
                let message = format!(
                    "Container image \"{image}\" already present on machine and can be accessed by the pod"
                );
                self.tell(w, EventKind::Normal, "Pulled", message);
                self.start(w);
            }
            _ => self.pull(w, &image),
        }
    }

    fn draw(&self, w: &World, what: &str) -> String {
        format!("{what}/{}/{}/{}", uid(w.pod), self.name, self.runs)
    }

    fn pull(&mut self, w: &mut World, image: &str) {
        if let Some(until) = self
            .image_backoff
            .holds_until(w.now, w.now)
            .filter(|_| matches!(self.state, State::PullFailed { reason: "ErrImagePull", .. }))
        {
            self.hold_pull(w, image, until);
            return;
        }
        self.tell(w, EventKind::Normal, "Pulling", format!("Pulling image \"{image}\""));
        let until = w.knobs.image_pull.after(w.now, w.knobs.seed, &self.draw(w, "image-pull"));
        self.state = State::Pulling { since: w.now, until };
    }

    fn pulled(&mut self, w: &mut World, since: Timestamp) {
        let image = self.spec(w.pod)["image"].as_str().unwrap_or("").to_owned();
        if let Some(error) = w.faults.image_pull(w.pod) {
            let error = images::pull_error(&image, error);
            self.tell(w, EventKind::Warning, "Failed", format!("Failed to pull image \"{image}\": {error}"));
            self.tell(w, EventKind::Warning, "Failed", "Error: ErrImagePull".into());
            self.image_backoff.next(w.now);
            let until = after(w.now, PULL_RESYNC);
            self.state = State::PullFailed { reason: "ErrImagePull", message: error, until };
            return;
        }
        let took = format!("{:.3}s", w.now.duration_since(since).as_secs_f64());
        self.tell(
            w,
            EventKind::Normal,
            "Pulled",
            format!("Successfully pulled image \"{image}\" in {took} ({took} including waiting). Image size: 2223686 bytes."),
        );
        w.images.insert((text(w.pod, "/spec/nodeName").to_owned(), image));
        self.image_backoff = Backoff::default();
        self.start(w);
    }

    fn hold_pull(&mut self, w: &mut World, image: &str, until: Timestamp) {
        let cause = match &self.state {
            State::PullFailed { message, .. } => format!(": ErrImagePull: {message}"),
            _ => String::new(),
        };
        self.tell(w, EventKind::Normal, "BackOff", format!("Back-off pulling image \"{image}\""));
        self.tell(w, EventKind::Warning, "Failed", "Error: ImagePullBackOff".into());
        let message = format!("Back-off pulling image \"{image}\"{cause}");
        self.state = State::PullFailed { reason: "ImagePullBackOff", message, until };
    }

    fn start(&mut self, w: &mut World) {
        // What the container is given is read now; a pod IP set later than this would be missing.
        let mut pod = Value::clone(w.pod);
        set(&mut pod, "/status/podIP", w.ip.into());
        set(&mut pod, "/status/podIPs", serde_json::json!([{"ip": w.ip}]));
        match variables(w.view, &pod, self.spec(w.pod)) {
            Ok(env) => {
                self.environment = (env, files(w.view, &pod, self.spec(w.pod)));
                let until =
                    w.knobs.container_start.after(w.now, w.knobs.seed, &self.draw(w, "container-start"));
                self.state = State::Starting { until };
            }
            Err(missing) => {
                self.tell(w, EventKind::Warning, "Failed", format!("Error: {}", missing.message));
                let until = after_secs(w.now, SYNC_RETRY_SECS);
                self.state = State::ConfigError { message: missing.message, until };
            }
        }
    }

    fn run(&mut self, w: &mut World) {
        self.restarts = self.runs;
        self.runs += 1;
        self.id = format!("containerd://{}", images::digest(&self.draw(w, "container")));
        self.tell(w, EventKind::Normal, "Created", "Container created".into());
        self.tell(w, EventKind::Normal, "Started", "Container started".into());
        w.logs.begin(uid(w.pod), &self.name);
        let start = self.process_start(w);
        let mut process = w.programs.start(&start);
        self.state = State::Running { since: w.now };
        let spec = self.spec(w.pod);
        let hook = at(spec, "/lifecycle/postStart");
        self.post_start = hook.is_object().then(|| hooks::begin(hook, spec, &mut *process, w));
        self.process = Some(process);
        if self.post_start.is_none() {
            self.settle(w);
        }
    }

    /// It runs for all to see: probes begin.
    fn settle(&mut self, w: &World) {
        self.hook_error = None;
        let State::Running { since } = self.state else { return };
        let spec = self.spec(w.pod);
        self.probers = Purpose::ALL
            .into_iter()
            .filter(|p| spec[p.field()].is_object())
            .map(|p| (p, Prober::start(&spec[p.field()], since)))
            .collect();
        self.started = !self.probers.contains_key(&Purpose::Startup);
        self.ready = self.started && !self.probers.contains_key(&Purpose::Readiness);
    }

    fn process_start(&mut self, w: &World) -> ProcessStart {
        let (env, files) = std::mem::take(&mut self.environment);
        let spec = self.spec(w.pod);
        let words = |part: &str| {
            let list = items(spec, part).iter().filter_map(Value::as_str);
            list.map(|s| expand(s, &env)).collect::<Vec<_>>()
        };
        let mut pod = Value::clone(w.pod);
        set(&mut pod, "/status/podIP", w.ip.into());
        ProcessStart {
            namespace: namespace(w.pod).into(),
            pod_name: name(w.pod).into(),
            uid: uid(w.pod).into(),
            ip: w.ip.into(),
            node: text(w.pod, "/spec/nodeName").into(),
            container: self.name.clone(),
            image: spec["image"].as_str().unwrap_or("").into(),
            command: words("/command"),
            args: words("/args"),
            restart_count: self.restarts,
            now: w.now,
            pod,
            env,
            files,
        }
    }

    /// Brings the container up to `w.now`.
    pub fn advance(&mut self, w: &mut World) {
        match self.state.clone() {
            State::Pulling { since, until } if until <= w.now => self.pulled(w, since),
            State::PullFailed { until, .. } | State::ConfigError { until, .. } if until <= w.now => {
                self.begin(w)
            }
            State::Starting { until } if until <= w.now => self.run(w),
            State::Held { until, .. } if until <= w.now => {
                self.backoff.next(w.now);
                self.begin(w);
            }
            State::Held { until, tell } if tell <= w.now => {
                self.tell_held(w);
                self.state = State::Held { until, tell: after_secs(w.now, BACKOFF_RESYNC_SECS) };
            }
            _ => {}
        }
        // A start delay of zero runs in the same breath.
        if matches!(self.state, State::Starting { until } if until <= w.now) {
            self.run(w);
        }
        if let State::Running { since } = self.state {
            self.run_process(w, since);
        }
    }

    fn run_process(&mut self, w: &mut World, since: Timestamp) {
        for _ in 0..STEPS_MAX {
            let Some(process) = &mut self.process else { break };
            let events = process.step(w.now);
            let again = process.next_due().is_some_and(|t| t <= w.now) && !events.is_empty();
            self.take(w, events);
            if !again || !self.is_running() {
                break;
            }
        }
        self.finish_post_start(w);
        if self.is_running() && self.stop.is_none() {
            match w.faults.crash(w.pod) {
                Some((code, delay)) if crash_at(since, delay) <= w.now => self.kill_now(w, code, "", ""),
                _ => self.probe(w),
            }
        }
        self.finish_stop(w);
    }

    fn finish_post_start(&mut self, w: &mut World) {
        if let (Some(hook), Some(process)) = (&mut self.post_start, &mut self.process) {
            hook.look(&mut **process, w.now);
        }
        let is_done = |hook: &Hook| hook.until.is_some_and(|t| t <= w.now);
        if !self.is_running() || !self.post_start.as_ref().is_some_and(is_done) {
            return;
        }
        match self.post_start.take().and_then(|hook| hook.failure) {
            None => self.settle(w),
            Some(why) => {
                self.fail_post_start(w, why);
                let grace = int_or(w.pod, "/spec/terminationGracePeriodSeconds", 30);
                self.stop(w, grace, "FailedPostStartHook".to_owned(), true);
            }
        }
    }

    fn fail_post_start(&mut self, w: &mut World, why: String) {
        // The event says no more, for secrets may be in the text.
        self.tell(w, EventKind::Warning, "FailedPostStartHook", "PostStartHook failed".into());
        self.hook_error = Some(why);
    }

    /// Handles what the process reported.
    pub fn take(&mut self, w: &mut World, events: Vec<ProcessEvent>) {
        for event in events {
            match event {
                ProcessEvent::Log(line) => {
                    w.logs.write(uid(w.pod), &self.name, w.now, &line, w.knobs.log_lines_max);
                }
                ProcessEvent::Exit { code, reason, message } => {
                    let what = format!("termination/{}/{}/{}", uid(w.pod), self.name, self.runs);
                    match &mut self.stop {
                        Some(stop) => {
                            let at = w.knobs.termination.after(w.now, w.knobs.seed, &what);
                            stop.note_end(at, w.now, (code, reason, message));
                        }
                        None => {
                            if let Some(why) = self.post_start.take().and_then(|hook| hook.cut_short()) {
                                self.fail_post_start(w, why);
                                self.tell(w, EventKind::Normal, "Killing", "FailedPostStartHook".into());
                            }
                            self.end(w.now, code, &reason, &message);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn end(&mut self, now: Timestamp, code: i32, reason: &str, message: &str) {
        let State::Running { since } = self.state else { return };
        let reason = match (reason, code) {
            ("", 0) => "Completed",
            ("", _) => "Error",
            (given, _) => given,
        };
        self.state = State::Ended(Ended {
            code,
            reason: reason.into(),
            message: message.into(),
            started: since,
            finished: now,
            id: self.id.clone(),
        });
        self.process = None;
        self.post_start = None;
        self.stop = None;
        self.ready = false;
        self.started = false;
        self.probers.clear();
    }

    /// The process dies at once, whatever it thinks of it.
    pub fn kill_now(&mut self, w: &mut World, code: i32, reason: &str, message: &str) {
        if let Some(process) = &mut self.process {
            let logs = process.signal(Signal::Kill, w.now);
            let logs = logs.into_iter().filter(|e| matches!(e, ProcessEvent::Log(_))).collect();
            self.take(w, logs);
        }
        self.end(w.now, code, reason, message);
    }

    pub(super) fn forget_post_start(&mut self) {
        self.post_start = None;
    }

    fn probe(&mut self, w: &mut World) {
        for purpose in Purpose::ALL {
            if self.is_running() && self.stop.is_none() && self.is_due(purpose, w.now) {
                self.probe_once(w, purpose);
            }
        }
    }

    fn is_active(&self, purpose: Purpose) -> bool {
        self.probers.contains_key(&purpose) && self.started != (purpose == Purpose::Startup)
    }

    fn is_due(&self, purpose: Purpose, now: Timestamp) -> bool {
        self.is_active(purpose) && self.probers[&purpose].due <= now
    }

    fn probe_once(&mut self, w: &mut World, purpose: Purpose) {
        let spec = self.spec(w.pod).clone();
        let probe = &spec[purpose.field()];
        let hangs = w.faults.hangs(w.pod);
        let Some(process) = self.process.as_deref_mut() else { return };
        let Some(answer) = ask(probe, &spec, w.ip, hangs, process, w.now) else {
            if let Some(prober) = self.probers.get_mut(&purpose) {
                prober.wait(w.now);
            }
            return;
        };
        if let Err(why) = &answer {
            let message = format!("{} probe failed: {why}", purpose.name());
            self.tell(w, EventKind::Warning, "Unhealthy", message);
        }
        let Some(prober) = self.probers.get_mut(&purpose) else { return };
        let verdict = prober.note(probe, answer.is_ok(), w.now);
        match (verdict, purpose) {
            (Verdict::Undecided, _) => {}
            (Verdict::Passed, Purpose::Startup) => {
                self.started = true;
                self.ready = !self.probers.contains_key(&Purpose::Readiness);
            }
            (Verdict::Passed, Purpose::Readiness) => self.ready = true,
            (Verdict::Failed, Purpose::Readiness) => self.ready = false,
            (Verdict::Passed, Purpose::Liveness) => {}
            (Verdict::Failed, Purpose::Startup | Purpose::Liveness) => {
                prober.reset();
                let kind = purpose.name().to_lowercase();
                let message = format!("Container {} failed {kind} probe, will be restarted", self.name);
                let own = at(probe, "/terminationGracePeriodSeconds").as_i64();
                let grace = own.unwrap_or_else(|| int_or(w.pod, "/spec/terminationGracePeriodSeconds", 30));
                self.stop(w, grace, message, true);
            }
        }
    }

    /// An ended container that may run again: at once the first time, after a back-off later.
    pub fn restart(&mut self, w: &mut World) {
        let State::Ended(ended) = &self.state else { return };
        let ended = ended.clone();
        if after(ended.finished, RELIST) > w.now {
            return;
        }
        let held = self.backoff.holds_until(ended.finished, w.now);
        self.last = Some(ended);
        match held {
            Some(until) => {
                self.state = State::Held { until, tell: after_secs(w.now, BACKOFF_RESYNC_SECS) };
                self.tell_held(w);
            }
            None => {
                self.backoff.next(w.now);
                self.begin(w);
            }
        }
    }

    fn tell_held(&self, w: &mut World) {
        let (pod, ns, uid) = (name(w.pod).to_owned(), namespace(w.pod).to_owned(), uid(w.pod).to_owned());
        let message = format!("Back-off restarting failed container {} in pod {pod}_{ns}({uid})", self.name);
        self.tell(w, EventKind::Warning, "BackOff", message);
    }

    /// When it wants to be advanced next.
    pub fn due(&self, w: &World, restarts: bool) -> Option<Timestamp> {
        match &self.state {
            State::Idle => None,
            State::Pulling { until, .. }
            | State::PullFailed { until, .. }
            | State::ConfigError { until, .. }
            | State::Starting { until } => Some(*until),
            State::Held { until, tell } => Some(*until.min(tell)),
            State::Ended(e) => restarts.then(|| after(e.finished, RELIST)),
            State::Running { since } => self.running_due(w, *since),
        }
    }

    fn running_due(&self, w: &World, since: Timestamp) -> Option<Timestamp> {
        // A process that is due again at once has had its share of steps: it goes on in a moment.
        let breath = after(w.now, SignedDuration::from_millis(1));
        let mut due = self.process.as_ref().and_then(|p| p.next_due()).map(|t| t.max(breath));
        if let Some(stop) = &self.stop {
            return earliest(due, Some(stop.due()));
        }
        due = earliest(due, self.post_start.as_ref().and_then(|hook| hook.until));
        for purpose in Purpose::ALL.into_iter().filter(|p| self.is_active(*p)) {
            due = earliest(due, Some(self.probers[&purpose].due));
        }
        earliest(due, w.faults.crash(w.pod).map(|(_, delay)| crash_at(since, delay)))
    }

    /// How a command is started beside a process of this machine.
    pub fn beside(&self, argv: &[String], in_terminal: bool) -> Option<std::process::Command> {
        self.process.as_ref().and_then(|p| p.beside(argv, in_terminal))
    }

    pub fn attach(&self) -> Option<Attached> {
        self.process.as_ref().and_then(|p| p.attach())
    }

    /// A command of the program's own.
    pub fn command(&mut self, argv: &[String], now: Timestamp) -> Option<(i32, String)> {
        self.process.as_mut().and_then(|p| p.command(argv, now))
    }

    pub fn receive(&mut self, port: u16, now: Timestamp) -> Reception {
        self.process.as_mut().map_or(Reception::Refused, |p| p.receive(port, now))
    }

    /// One request to this container's process, and what it reports after it.
    pub fn http(
        &mut self,
        port: u16,
        request: &http::Request<bytes::Bytes>,
        now: Timestamp,
    ) -> Option<http::Response<bytes::Bytes>> {
        self.process.as_mut().and_then(|p| p.http(port, request, now))
    }
}

fn crash_at(since: Timestamp, delay: std::time::Duration) -> Timestamp {
    after(since, SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX))
}

/// Go prints durations as `10s`, `1m20s`, `5m0s`.
pub fn go_duration(seconds: i64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations() {
        let check = |s, expected: &str| assert_eq!(super::go_duration(s), expected);
        check(10, "10s");
        check(80, "1m20s");
        check(300, "5m0s");
    }
}
