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
use super::probes::http_get;
use crate::json::*;
use crate::programs::Process;

/// A handler under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    kind: Kind,
    pub since: Timestamp,
    /// When it is done. None: it never answers.
    pub until: Option<Timestamp>,
    /// What the status says of it, if it fails.
    pub failure: Option<String>,
    /// `Exec lifecycle hook ([..]) for Container "c" in Pod "p_n(uid)"`.
    subject: String,
    command: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Exec,
    Http,
    Sleep,
    Other,
}

impl Hook {
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
        since: w.now,
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
        if !hangs {
            let (code, output, stderr, took) = exec(&argv, container, process, w);
            hook.until = done(took);
            let why = format!("command '{}' exited with {code}: {stderr}", hook.command);
            hook.failure = (code != 0).then(|| hook.failed(&why, Some(&output)));
        }
    } else if handler["httpGet"].is_object() {
        hook.kind = Kind::Http;
        hook.subject = subject("HTTP", text(handler, "/httpGet/path"));
        hook.until = if hangs { None } else { done(Duration::ZERO) };
        if !hangs {
            hook.failure = get(handler, container, process, w).err().map(|why| hook.failed(&why, None));
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
fn get(handler: &Value, container: &Value, process: &mut dyn Process, w: &World) -> Result<(), String> {
    let asked = http_get(&handler["httpGet"], container, w.ip, "kube-lifecycle/1.35")?;
    match process.http(asked.port, &asked.request, w.now) {
        Some(_) => Ok(()),
        None => {
            let (url, host, port) = (&asked.url, &asked.host, asked.port);
            Err(format!("Get \"{url}\": dial tcp {host}:{port}: connect: connection refused"))
        }
    }
}
