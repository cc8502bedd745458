//! Lifecycle hooks of containers: `postStart` and `preStop` by a command, a request or a pause (kubernetes 1.35
//! pkg/kubelet/lifecycle/handlers.go, kuberuntime `startContainer` and `killContainer`). Works out when a handler is done
//! and how it failed; what follows from that is the container's part.
//! A command runs as `kubectl exec` would run it; a program that is not simulated is taken to be in the image and to do
//! well. Leaves out `tcpSocket`, which the real kubelet does not run either.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::commands::{self, Surroundings};
use super::container::World;
use super::probes::{Asked, http_get};
use crate::json::*;
use crate::programs::{Probed, Process, Ran};

/// A handler under way.
pub struct Hook {
    kind: Kind,
    /// Of a process of this machine: what it has not answered yet.
    open: Option<Open>,
    /// When it is done. None: it never answers.
    pub until: Option<Timestamp>,
    /// What the status says of it, if it fails.
    pub failure: Option<String>,
    /// `Exec lifecycle hook ([..]) for Container "c" in Pod "p_n(uid)"`.
    subject: String,
    command: String,
}

enum Open {
    Command(Vec<String>),
    Request(Box<Asked>),
}

/// A request of a hook has no limit of its own: the grace ends it, or the container.
const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Exec,
    Http,
    Sleep,
    Other,
}

impl Hook {
    /// Asks again for what is open.
    pub fn look(&mut self, process: &mut dyn Process, now: Timestamp) {
        let failure = match &self.open {
            None => return,
            Some(Open::Command(argv)) => match process.errand(argv, None) {
                Some(Ran::Waits) => return,
                Some(Ran::Done { code: 0, .. }) | None => None,
                Some(Ran::Done { code, output }) => {
                    let why = format!("command '{}' exited with {code}: ", self.command);
                    Some(self.failed(&why, Some(&output)))
                }
                Some(Ran::TimedOut) => Some(self.failed("it takes too long", None)),
            },
            Some(Open::Request(asked)) => {
                match process.probe(asked.port, &asked.request, true, PATIENCE, now) {
                    Probed::Waits => return,
                    Probed::Answered(Some(_)) => None,
                    Probed::Answered(None) => Some(self.failed(&refused(asked), None)),
                    Probed::TimedOut => Some(self.failed("it takes too long", None)),
                }
            }
        };
        (self.open, self.failure, self.until) = (None, failure, Some(now));
    }

    /// The container ended while the handler ran: a command dies with it, a pause goes on.
    pub fn cut_short(&self) -> Option<String> {
        let why = format!("command '{}' exited with 137: ", self.command);
        (self.kind == Kind::Exec).then(|| self.failed(&why, Some("")))
    }

    /// Until when the kubelet waits though the container is gone.
    pub fn outlives(&self) -> Option<Timestamp> {
        self.until.filter(|_| self.kind == Kind::Sleep)
    }

    fn failed(&self, why: &str, output: Option<&str>) -> String {
        let output = output.map(|text| format!(", message: {text:?}")).unwrap_or_default();
        format!("{} failed - error: {why}{output}", self.subject)
    }
}

/// Begins a handler of a running container.
pub fn begin(handler: &Value, container: &Value, process: &mut dyn Process, w: &World) -> Hook {
    let pod = format!("{}_{}({})", name(w.pod), namespace(w.pod), uid(w.pod));
    let subject = |kind: &str, what: &str| {
        let container = text(container, "/name");
        format!("{kind} lifecycle hook ({what}) for Container {container:?} in Pod {pod:?}")
    };
    let hangs = w.faults.hangs(w.pod);
    let own = w.knobs.hook.draw(w.knobs.seed, &format!("hook/{}/{}", uid(w.pod), text(container, "/name")));
    let done = |took: Duration| {
        let took = SignedDuration::try_from(own.saturating_add(took)).unwrap_or(SignedDuration::MAX);
        Some(after(w.now, took))
    };
    let mut hook = Hook {
        kind: Kind::Other,
        open: None,
        until: Some(w.now),
        failure: None,
        subject: String::new(),
        command: String::new(),
    };
    if let Some(argv) = handler["exec"]["command"].as_array() {
        let argv: Vec<String> = argv.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        hook.kind = Kind::Exec;
        hook.command = argv.join(" ");
        hook.subject = subject("Exec", &format!("[{}]", hook.command));
        hook.until = None;
        if hangs {
            return hook;
        }
        if process.errand(&argv, None).is_some() {
            hook.open = Some(Open::Command(argv));
        } else {
            let (code, output, stderr, took) = exec(&argv, container, process, w);
            hook.until = done(took);
            let why = format!("command '{}' exited with {code}: {stderr}", hook.command);
            hook.failure = (code != 0).then(|| hook.failed(&why, Some(&output)));
        }
    } else if handler["httpGet"].is_object() {
        hook.kind = Kind::Http;
        hook.subject = subject("HTTP", text(handler, "/httpGet/path"));
        hook.until = if hangs { None } else { done(Duration::ZERO) };
        match http_get(&handler["httpGet"], container, w.ip, "kube-lifecycle/1.35") {
            _ if hangs => {}
            Err(why) => hook.failure = Some(hook.failed(&why, None)),
            Ok(asked) => get(&mut hook, asked, process, w.now),
        }
    } else if let Some(seconds) = handler["sleep"]["seconds"].as_i64() {
        hook.kind = Kind::Sleep;
        hook.subject = subject("Sleep", &seconds.to_string());
        hook.until = Some(after_secs(w.now, seconds.max(0)));
    } else {
        hook.failure = Some("Cannot run handler: invalid handler".to_owned());
    }
    hook
}

/// Exit code, what it printed in all, what of that to stderr, and how long it took.
fn exec(
    argv: &[String],
    container: &Value,
    process: &mut dyn Process,
    w: &World,
) -> (i32, String, String, Duration) {
    if let Some((code, output)) = process.command(argv, w.now) {
        return (code, output, String::new(), Duration::ZERO);
    }
    let around = Surroundings::of(w.view, w.pod, container, w.ip, w.now).with_image();
    match commands::run(argv, &around) {
        Some(out) => (out.code, format!("{}{}", out.stdout, out.stderr), out.stderr, out.took),
        None => {
            let (code, output) = process.exec(argv, w.now);
            (code, output, String::new(), Duration::ZERO)
        }
    }
}

/// Any answer will do, whatever its status.
fn get(hook: &mut Hook, asked: Asked, process: &mut dyn Process, now: Timestamp) {
    match process.probe(asked.port, &asked.request, true, PATIENCE, now) {
        Probed::Answered(Some(_)) => {}
        Probed::Answered(None) => hook.failure = Some(hook.failed(&refused(&asked), None)),
        Probed::Waits | Probed::TimedOut => {
            (hook.open, hook.until) = (Some(Open::Request(Box::new(asked))), None);
        }
    }
}

fn refused(Asked { url, host, port, .. }: &Asked) -> String {
    format!("Get \"{url}\": dial tcp {host}:{port}: connect: connection refused")
}
