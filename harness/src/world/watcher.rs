//! Everything that changes in the API server, told as events: what changed, by whom, in words a person reads.

use std::sync::{Arc, Mutex, PoisonError};

use drey_language::events::{Kind, Lane};
use fake_kube_apiserver::{Change, ChangeKind, Observer, RequestRecord};
use serde_json::{Value, json};

use super::gate::{OPERATOR_USER, is_write};
use super::journal::Journal;

type ChangeListener = Arc<dyn Fn(&Change) + Send + Sync>;
type RequestListener = Arc<dyn Fn(&RequestRecord) + Send + Sync>;

/// Writes the journal and passes on to whoever listens (monitors, invariants, counters).
#[derive(Clone)]
pub struct Watcher {
    journal: Journal,
    changes: Arc<Mutex<Vec<ChangeListener>>>,
    requests: Arc<Mutex<Vec<RequestListener>>>,
}

impl Watcher {
    pub fn new(journal: Journal) -> Watcher {
        Watcher { journal, changes: Arc::default(), requests: Arc::default() }
    }

    pub fn on_change(&self, listener: impl Fn(&Change) + Send + Sync + 'static) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(listener));
    }

    pub fn on_request(&self, listener: impl Fn(&RequestRecord) + Send + Sync + 'static) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(listener));
    }
}

impl Observer for Watcher {
    fn on_request(&self, record: &RequestRecord) {
        let info = &record.info;
        let is_refused = record.code == 0 || record.code >= 400;
        if info.user.starts_with(OPERATOR_USER) && (is_write(info) || is_refused) {
            let outcome = match (record.code, record.reason.as_str()) {
                (0, _) => "connection cut".to_owned(),
                (code, "") => code.to_string(),
                (code, reason) => format!("{code} {reason}"),
            };
            let text = format!("{} {} -> {outcome}", info.method, info.path);
            let detail = json!({"to": "api", "method": info.method, "path": info.path, "code": record.code,
                // A write that succeeds is told by the change it makes.
                "quiet": !is_refused});
            self.journal.push(self.journal.event(Lane::Operator, Kind::Call, text).detail(detail));
        }
        let listeners = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        listeners.iter().for_each(|listener| listener(record));
    }

    fn on_change(&self, change: &Change) {
        if let Some(text) = describe(change) {
            let lane = lane_of(&change.actor);
            let event = self.journal.event(lane, Kind::Change, text).about(subject_of(change));
            let (old, new) = states_of(change);
            self.journal.push(event.detail(detail_of(change)).states(old, new));
        }
        let listeners = self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        listeners.iter().for_each(|listener| listener(change));
    }
}

/// Kinds whose whole states are kept, for histories and differences in reports; of the others the line is enough.
const KEPT: &[&str] = &["flinkdeployments", "flinksessionjobs", "flinkstatesnapshots", "deployments"];

fn detail_of(change: &Change) -> Value {
    let verb = match change.kind {
        ChangeKind::Added => "create",
        ChangeKind::Modified => "update",
        ChangeKind::Deleted => "delete",
    };
    json!({"verb": verb, "actor": &*change.actor, "revision": change.revision, "summary": true})
}

fn states_of(change: &Change) -> (Option<Arc<Value>>, Option<Arc<Value>>) {
    if !KEPT.contains(&change.resource.plural.as_str()) {
        return (None, None);
    }
    let is_there = change.kind != ChangeKind::Deleted;
    (change.old.clone(), is_there.then(|| change.object.clone()))
}

/// What an event is about; a Kubernetes Event is about the object it involves, not about itself.
fn subject_of(change: &Change) -> String {
    if change.resource.plural != "events" {
        return object_of(change);
    }
    let about = if change.object["involvedObject"].is_object() { "involvedObject" } else { "regarding" };
    let text = |key: &str| change.object[about][key].as_str().unwrap_or_default();
    format!("{}/{}", text("kind"), text("name"))
}

/// `Kind/name`.
pub fn object_of(change: &Change) -> String {
    let text = |pointer| change.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}", text("/kind"), text("/metadata/name"))
}

fn lane_of(actor: &str) -> Lane {
    if actor.starts_with(OPERATOR_USER) {
        Lane::Operator
    } else if actor.starts_with("kubelet") || actor.starts_with("system:node") {
        Lane::Kubelet
    } else if actor.starts_with("jobmanager") {
        Lane::Flink
    } else if actor.starts_with("user") {
        Lane::User
    } else {
        Lane::Api
    }
}

/// One line, or nothing for bookkeeping nobody would read (ReplicaSet counters, leases, Endpoints).
fn describe(change: &Change) -> Option<String> {
    let old = change.old.as_deref();
    let new = &*change.object;
    match change.resource.plural.as_str() {
        "configmaps" if new["metadata"]["name"] == "kube-root-ca.crt" => None,
        "leases"
        | "endpoints"
        | "endpointslices"
        | "replicasets"
        | "nodes"
        | "namespaces"
        | "customresourcedefinitions"
        | "serviceaccounts" => None,
        "events" => Some(describe_event(new)).filter(|_| change.kind == ChangeKind::Added),
        "pods" => describe_pod(change.kind, old, new),
        _ => match change.kind {
            ChangeKind::Added => Some(created(&change.resource.plural, new)),
            ChangeKind::Deleted => Some("is gone".to_owned()),
            ChangeKind::Modified => describe_update(&change.resource.plural, old?, new),
        },
    }
}

fn created(plural: &str, new: &Value) -> String {
    match plural {
        "flinkdeployments" => {
            let spec = &new["spec"];
            let mode = spec["job"]["upgradeMode"].as_str().unwrap_or("stateless");
            format!("created, Flink {}, upgradeMode {mode}", spec["flinkVersion"].as_str().unwrap_or("?"))
        }
        _ => "created".to_owned(),
    }
}

fn describe_event(new: &Value) -> String {
    let text = |key: &str| new[key].as_str().unwrap_or_default();
    let message = if text("message").is_empty() { text("note") } else { text("message") };
    format!("event {} {}: {}", text("type"), text("reason"), one_line(message))
}

fn one_line(text: &str) -> String {
    const LENGTH_MAX: usize = 240;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LENGTH_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

fn describe_pod(kind: ChangeKind, old: Option<&Value>, new: &Value) -> Option<String> {
    match kind {
        ChangeKind::Added => Some("created".to_owned()),
        ChangeKind::Deleted => Some("is gone".to_owned()),
        ChangeKind::Modified => {
            let (before, after) = (old.map(pod_state).unwrap_or_default(), pod_state(new));
            (before != after).then_some(after)
        }
    }
}

/// `Running, ready`: what `kubectl get pods` condenses into its columns.
fn pod_state(pod: &Value) -> String {
    let status = &pod["status"];
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return "terminating".to_owned();
    }
    let statuses = |key: &str| status[key].as_array().cloned().unwrap_or_default();
    let containers: Vec<Value> =
        statuses("initContainerStatuses").into_iter().chain(statuses("containerStatuses")).collect();
    let waiting = containers.iter().find_map(|container| container["state"]["waiting"]["reason"].as_str());
    let terminated = containers.iter().find_map(|container| {
        let reason = container["state"]["terminated"]["reason"].as_str()?;
        (reason != "Completed").then_some(reason)
    });
    let phase = status["phase"].as_str().unwrap_or("Pending");
    let is_ready = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    match (terminated.or(waiting), is_ready) {
        (Some(reason), _) => format!("{phase}, {reason}"),
        (None, true) => format!("{phase}, ready"),
        (None, false) => phase.to_owned(),
    }
}

fn describe_update(plural: &str, old: &Value, new: &Value) -> Option<String> {
    if old["metadata"]["deletionTimestamp"].is_null() && !new["metadata"]["deletionTimestamp"].is_null() {
        return Some("deletion begins".to_owned());
    }
    match plural {
        "flinkdeployments" => describe_flink_deployment(old, new),
        "deployments" => describe_fields(old, new, &["/spec/replicas", "/status/availableReplicas"]),
        "configmaps" => describe_keys(&old["data"], &new["data"]),
        _ => None,
    }
}

const STATUS_FIELDS: &[&str] = &[
    "/status/lifecycleState",
    "/status/jobManagerDeploymentStatus",
    "/status/jobStatus/state",
    "/status/jobStatus/upgradeSavepointPath",
    "/status/jobStatus/savepointInfo/triggerId",
    "/status/jobStatus/savepointInfo/lastSavepoint/location",
    "/status/reconciliationStatus/state",
    "/status/observedGeneration",
    "/status/error",
];

fn describe_flink_deployment(old: &Value, new: &Value) -> Option<String> {
    let mut parts = Vec::new();
    if old["spec"] != new["spec"] {
        parts.push(format!("spec: {}", differences(&old["spec"], &new["spec"]).join(", ")));
    }
    parts.extend(describe_fields(old, new, STATUS_FIELDS));
    if old["metadata"]["finalizers"] != new["metadata"]["finalizers"] {
        parts.push(format!("finalizers: {}", brief(&new["metadata"]["finalizers"])));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn describe_fields(old: &Value, new: &Value, pointers: &[&str]) -> Option<String> {
    let parts: Vec<String> = pointers
        .iter()
        .filter(|pointer| old.pointer(pointer) != new.pointer(pointer))
        .map(|pointer| {
            let name = pointer.rsplit('/').next().unwrap_or_default();
            let show = |value: Option<&Value>| value.map_or("-".to_owned(), brief);
            format!("{name} {} -> {}", show(old.pointer(pointer)), show(new.pointer(pointer)))
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// HA metadata: which keys came and went. Values change with every lease renewal and are nobody's news.
fn describe_keys(old: &Value, new: &Value) -> Option<String> {
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let (old, new) = (keys(old), keys(new));
    let added = new.iter().filter(|key| !old.contains(key)).map(|key| format!("+{key}"));
    let removed = old.iter().filter(|key| !new.contains(key)).map(|key| format!("-{key}"));
    let parts: Vec<String> = added.chain(removed).collect();
    (!parts.is_empty()).then(|| format!("keys {}", parts.join(" ")))
}

/// Leaf by leaf, `job.parallelism 2 -> 4`.
fn differences(old: &Value, new: &Value) -> Vec<String> {
    fn walk(path: &str, old: &Value, new: &Value, out: &mut Vec<String>) {
        match (old, new) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(&path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), out);
                }
            }
            (a, b) if a != b => out.push(format!("{path} {} -> {}", brief(a), brief(b))),
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk("", old, new, &mut out);
    out
}

fn brief(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => one_line(text),
        other => one_line(&other.to_string()),
    }
}
