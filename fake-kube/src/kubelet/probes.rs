//! Startup, readiness and liveness probes: schedule, thresholds and the texts of their failures.
//! Leaves out gRPC health checking: a gRPC probe passes while the port answers at all.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::json::*;
use crate::programs::{Probed, Process, Ran};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Startup,
    Readiness,
    Liveness,
}

impl Purpose {
    pub const ALL: [Purpose; 3] = [Purpose::Startup, Purpose::Readiness, Purpose::Liveness];

    pub fn field(self) -> &'static str {
        match self {
            Purpose::Startup => "startupProbe",
            Purpose::Readiness => "readinessProbe",
            Purpose::Liveness => "livenessProbe",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Purpose::Startup => "Startup",
            Purpose::Readiness => "Readiness",
            Purpose::Liveness => "Liveness",
        }
    }
}

/// How soon a probe that is under way is asked about again; its end wakes the kubelet besides.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_millis(200);

/// One prober: when it asks next and what it has seen in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Prober {
    pub due: Timestamp,
    last: Option<bool>,
    run: i64,
}

/// What a probe leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Thresholds not reached.
    Undecided,
    Passed,
    Failed,
}

impl Prober {
    pub fn start(probe: &Value, started: Timestamp) -> Prober {
        Prober { due: after_secs(started, int(probe, "/initialDelaySeconds")), last: None, run: 0 }
    }

    pub fn note(&mut self, probe: &Value, ok: bool, now: Timestamp) -> Verdict {
        self.run = if self.last == Some(ok) { self.run + 1 } else { 1 };
        self.last = Some(ok);
        self.due = after_secs(now, int_or(probe, "/periodSeconds", 10).max(1));
        let threshold = if ok { "/successThreshold" } else { "/failureThreshold" };
        let default = if ok { 1 } else { 3 };
        match (self.run >= int_or(probe, threshold, default), ok) {
            (false, _) => Verdict::Undecided,
            (true, true) => Verdict::Passed,
            (true, false) => Verdict::Failed,
        }
    }

    /// It has been asked and has not answered yet.
    pub fn wait(&mut self, now: Timestamp) {
        self.due = after(now, LOOK_AGAIN);
    }

    /// A failed liveness or startup probe leads to a restart once, and counts anew then.
    pub fn reset(&mut self) {
        self.last = None;
        self.run = 0;
    }
}

/// Runs one probe. `Err` is the text after `Readiness probe failed: `; None: it is under way.
pub fn ask(
    probe: &Value,
    container: &Value,
    ip: &str,
    hangs: bool,
    process: &mut dyn Process,
    now: Timestamp,
) -> Option<Result<(), String>> {
    if let Some(command) = probe["exec"]["command"].as_array() {
        return run(probe, &words(command), hangs, process, now);
    }
    request(probe, container, ip, hangs, process, now).transpose()
}

fn run(
    probe: &Value,
    command: &[String],
    hangs: bool,
    process: &mut dyn Process,
    now: Timestamp,
) -> Option<Result<(), String>> {
    let patience = patience(probe);
    let ran = match hangs {
        true => Ran::TimedOut,
        false => process.errand(command, Some(patience)).unwrap_or_else(|| {
            let (code, output) = process.exec(command, now);
            Ran::Done { code, output }
        }),
    };
    match ran {
        Ran::Waits => None,
        Ran::Done { code: 0, .. } => Some(Ok(())),
        Ran::Done { output, .. } => Some(Err(output)),
        Ran::TimedOut => {
            let (words, seconds) = (command.join(" "), patience.as_secs());
            Some(Err(format!("command timed out: \"{words}\" timed out after {seconds}s")))
        }
    }
}

/// How long an answer may take.
fn patience(probe: &Value) -> Duration {
    Duration::from_secs(int_or(probe, "/timeoutSeconds", 1).max(1).unsigned_abs())
}

fn request(
    probe: &Value,
    container: &Value,
    ip: &str,
    hangs: bool,
    process: &mut dyn Process,
    now: Timestamp,
) -> Result<Option<()>, String> {
    let get = &probe["httpGet"];
    let (target, is_http) = match () {
        _ if get.is_object() => (get, true),
        _ if probe["tcpSocket"].is_object() => (&probe["tcpSocket"], false),
        _ => (&probe["grpc"], false),
    };
    let Asked { port, host, url, request } = http_get(target, container, ip, "kube-probe/1.35")?;
    let timed_out = || {
        Err(match is_http {
            true => format!(
                "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            ),
            false => format!("dial tcp {host}:{port}: i/o timeout"),
        })
    };
    if hangs {
        return timed_out();
    }
    let answer = match process.probe(port, &request, is_http, patience(probe), now) {
        Probed::Waits => return Ok(None),
        Probed::TimedOut => return timed_out(),
        Probed::Answered(answer) => answer,
    };
    match answer {
        Some(_) if !is_http => Ok(Some(())),
        Some(answer) if (200..400).contains(&answer.status().as_u16()) => Ok(Some(())),
        Some(answer) => Err(format!("HTTP probe failed with statuscode: {}", answer.status().as_u16())),
        None if is_http => Err(format!("Get \"{url}\": dial tcp {host}:{port}: connect: connection refused")),
        None => Err(format!("dial tcp {host}:{port}: connect: connection refused")),
    }
}

/// A request of the kubelet's to a container.
pub struct Asked {
    pub port: u16,
    pub host: String,
    pub url: String,
    pub request: http::Request<Bytes>,
}

/// The request of an `httpGet`, as probes and hooks send it.
pub fn http_get(target: &Value, container: &Value, ip: &str, agent: &str) -> Result<Asked, String> {
    let port = port(&target["port"], container)?;
    let host = target["host"].as_str().filter(|h| !h.is_empty()).unwrap_or(ip).to_owned();
    let path = target["path"].as_str().unwrap_or("/");
    let scheme = target["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
    let url = format!("{scheme}://{host}:{port}{path}");
    let mut request = http::Request::builder().method("GET").uri(&url).header("user-agent", agent);
    for h in items(target, "/httpHeaders") {
        request = request.header(h["name"].as_str().unwrap_or(""), h["value"].as_str().unwrap_or(""));
    }
    let request = request.body(Bytes::new()).map_err(|e| e.to_string())?;
    Ok(Asked { port, host, url, request })
}

fn words(command: &[Value]) -> Vec<String> {
    command.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A number, or the name of a port the container declares (`ResolveContainerPort`).
fn port(wanted: &Value, container: &Value) -> Result<u16, String> {
    let number = match wanted {
        Value::String(name) => {
            let named = items(container, "/ports").iter().find(|p| p["name"] == **name);
            let number = named.and_then(|p| p["containerPort"].as_i64()).or_else(|| name.parse().ok());
            number.ok_or_else(|| format!("strconv.Atoi: parsing {name:?}: invalid syntax"))?
        }
        other => other.as_i64().unwrap_or(0),
    };
    let port = u16::try_from(number).ok().filter(|p| *p > 0);
    port.ok_or_else(|| format!("invalid port number: {number}"))
}

pub type Probers = BTreeMap<Purpose, Prober>;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn thresholds() {
        let t = Timestamp::UNIX_EPOCH;
        let probe = json!({"failureThreshold": 2, "successThreshold": 1, "periodSeconds": 5, "initialDelaySeconds": 3});
        let mut p = Prober::start(&probe, t);
        assert_eq!(p.due, after_secs(t, 3));
        assert_eq!(p.note(&probe, false, p.due), Verdict::Undecided);
        assert_eq!(p.due, after_secs(t, 8));
        assert_eq!(p.note(&probe, false, p.due), Verdict::Failed);
        assert_eq!(p.note(&probe, true, p.due), Verdict::Passed);
        assert_eq!(p.note(&probe, false, p.due), Verdict::Undecided, "counts in a row");
    }

    struct Listens(u16, u16);
    impl Process for Listens {
        fn step(&mut self, _: Timestamp) -> Vec<crate::programs::ProcessEvent> {
            Vec::new()
        }
        fn next_due(&self) -> Option<Timestamp> {
            None
        }
        fn http(
            &mut self,
            port: u16,
            _: &http::Request<Bytes>,
            _: Timestamp,
        ) -> Option<http::Response<Bytes>> {
            let answer = http::Response::builder().status(self.1).body(Bytes::new()).expect("a plain answer");
            (port == self.0).then_some(answer)
        }
        fn signal(&mut self, _: crate::programs::Signal, _: Timestamp) -> Vec<crate::programs::ProcessEvent> {
            Vec::new()
        }
    }

    #[test]
    fn texts() {
        let container = json!({"ports": [{"name": "rest", "containerPort": 8081}]});
        let check = |probe: Value, mut process: Listens, hangs: bool, expected: Result<(), &str>| {
            let got = ask(&probe, &container, "10.0.0.1", hangs, &mut process, Timestamp::UNIX_EPOCH);
            let got = got.expect("it does not wait");
            assert_eq!(got.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e));
        };
        let get = || json!({"httpGet": {"path": "/config", "port": "rest"}});
        check(get(), Listens(8081, 200), false, Ok(()));
        check(get(), Listens(8081, 503), false, Err("HTTP probe failed with statuscode: 503"));
        check(
            get(),
            Listens(1, 200),
            false,
            Err("Get \"http://10.0.0.1:8081/config\": dial tcp 10.0.0.1:8081: connect: connection refused"),
        );
        check(
            get(),
            Listens(8081, 200),
            true,
            Err(
                "Get \"http://10.0.0.1:8081/config\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            ),
        );
        check(json!({"tcpSocket": {"port": 8081}}), Listens(8081, 500), false, Ok(()));
    }
}
