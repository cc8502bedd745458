//! What is set from outside while clusters run: faults in the words of scenario files, stubs, TaskManagers. The requests
//! as values are here ([`act`]); `http.rs` puts them on a socket, `fault.rs` knows the words.
//!
//! Shapes are in docs/fake-flink.md.

mod fault;
mod http;
mod span;

pub use self::http::ControlSocket;
pub use fault::Fault;
pub use span::Span;

use std::sync::Arc;

use ::http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::history::History;
use super::hosted::Hosted;
use super::stubs::{StubSpec, Stubs};
use crate::rest::percent_decoded;
use crate::{Command, Facts, SnapshotStore};

/// A cluster that can be reached from a control endpoint, whoever runs it.
pub trait Controlled: Send + Sync {
    fn name(&self) -> String;
    /// Where its REST API is.
    fn url(&self) -> String;
    fn version(&self) -> String;
    /// None: no process is alive.
    fn facts(&self) -> Option<Facts>;
    /// What its jobs went through; None where nobody writes it down.
    fn history(&self) -> Option<History> {
        None
    }
    /// What the jobs of earlier processes of this cluster went through, as far as they left it.
    fn earlier(&self) -> Vec<Value> {
        Vec::new()
    }
    /// False: there is no process to take it.
    fn command(&self, command: Command) -> bool;
    /// False: it has not the means.
    fn bring_task_manager(&self, id: String, slots: u32) -> bool;
    /// False: it has not the means.
    fn end(&self, signal: crate::Signal) -> bool;
    fn storage(&self) -> SnapshotStore;
    fn stubs(&self) -> Stubs;
    fn now(&self) -> Timestamp;
    /// Keeps a fault that has an end until then; `lift` ends it.
    fn later(&self, after: std::time::Duration, lift: Box<dyn FnOnce() + Send>);
}

/// The clusters of an endpoint, asked for anew at each request.
pub type Clusters = Arc<dyn Fn() -> Vec<Arc<dyn Controlled>> + Send + Sync>;

pub type Answer = (StatusCode, Value);

const PATHS: [&str; 7] = [
    "/v1/clusters",
    "/v1/clusters/{name}",
    "/v1/clusters/{name}/history",
    "/v1/clusters/{name}/snapshots",
    "/v1/clusters/{name}/faults",
    "/v1/clusters/{name}/stubs",
    "/v1/clusters/{name}/stubs/{id or name}",
];

/// What a request does; without a socket, for tests and other carriers.
pub fn act(clusters: &Clusters, method: &Method, path: &str, body: &[u8]) -> Answer {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let all = clusters();
    match (method.as_str(), parts.as_slice()) {
        ("GET", [""]) => (StatusCode::OK, json!({"paths": PATHS})),
        ("GET", ["v1", "clusters"]) => {
            let shown: Vec<Value> = all.iter().map(|cluster| show(&**cluster)).collect();
            (StatusCode::OK, json!({"clusters": shown}))
        }
        (_, ["v1", "clusters", name, rest @ ..]) => {
            let name = decoded(name);
            match all.iter().find(|cluster| cluster.name() == name) {
                Some(cluster) => of_cluster(&**cluster, method, rest, body),
                None => refuse(StatusCode::NOT_FOUND, &no_such_cluster(&name, &all)),
            }
        }
        _ => refuse(StatusCode::NOT_FOUND, &format!("no path {path}; there are {}", PATHS.join(", "))),
    }
}

fn of_cluster(cluster: &dyn Controlled, method: &Method, rest: &[&str], body: &[u8]) -> Answer {
    let stubs = cluster.stubs();
    match (method.as_str(), rest) {
        ("GET", []) => (StatusCode::OK, show(cluster)),
        ("GET", ["history"]) => match cluster.history() {
            Some(history) => {
                let mut told = json!({"cluster": show(cluster), "history": history.to_json()});
                let earlier = cluster.earlier();
                if !earlier.is_empty() {
                    told["earlier"] = earlier.into();
                }
                (StatusCode::OK, told)
            }
            None => refuse(StatusCode::NOT_FOUND, "nobody writes down what this cluster's jobs go through"),
        },
        ("GET", ["snapshots"]) => {
            let all = cluster.storage().snapshots().into_iter();
            let all = all.map(|(path, snapshot)| {
                json!({"path": path, "job": snapshot.job, "progress": snapshot.progress, "savepoint": snapshot.savepoint})
            });
            (StatusCode::OK, json!({"snapshots": all.collect::<Vec<Value>>()}))
        }
        ("POST", ["faults"]) => match read::<Fault>(body).and_then(|fault| fault.strike(cluster)) {
            Ok(done) => (StatusCode::OK, json!({"done": done})),
            Err(why) => refuse(StatusCode::BAD_REQUEST, &why),
        },
        ("GET", ["stubs"]) => (StatusCode::OK, json!({"stubs": stubs.list()})),
        ("POST", ["stubs"]) => match read::<StubSpec>(body).and_then(|spec| stubs.add(spec, cluster.now())) {
            Ok(stub) => (StatusCode::CREATED, json!(stub)),
            Err(why) => refuse(StatusCode::BAD_REQUEST, &why),
        },
        ("DELETE", ["stubs"]) => (StatusCode::OK, json!({"removed": stubs.clear()})),
        ("DELETE", ["stubs", which]) => match stubs.remove(&decoded(which)) {
            Some(stub) => (StatusCode::OK, json!(stub)),
            None => refuse(StatusCode::NOT_FOUND, &format!("no stub is called {which:?}")),
        },
        (_, [] | ["history"] | ["snapshots"] | ["faults"] | ["stubs"] | ["stubs", _]) => {
            let text =
                format!("{method} is not possible here: read with GET, add with POST, remove with DELETE");
            refuse(StatusCode::METHOD_NOT_ALLOWED, &text)
        }
        _ => refuse(StatusCode::NOT_FOUND, &format!("no such path; there are {}", PATHS.join(", "))),
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|why| why.to_string())
}

fn refuse(code: StatusCode, why: &str) -> Answer {
    (code, json!({"error": {"message": why}}))
}

fn no_such_cluster(name: &str, all: &[Arc<dyn Controlled>]) -> String {
    let names: Vec<String> = all.iter().map(|cluster| cluster.name()).take(20).collect();
    format!("no cluster is called {name:?}; there are {}", names.join(", "))
}

/// `namespace/name` is one segment of a path. What cannot be decoded is nobody's name.
fn decoded(segment: &str) -> String {
    percent_decoded(segment).unwrap_or_else(|_| segment.to_owned())
}

fn show(cluster: &dyn Controlled) -> Value {
    let facts = cluster.facts();
    let phase = facts.as_ref().map_or("Gone".to_owned(), |facts| format!("{:?}", facts.phase));
    let jobs = facts.iter().flat_map(|facts| &facts.jobs).map(|job| {
        json!({
            "id": job.id, "name": job.name, "state": job.state.name(), "restarts": job.restarts,
            "progress": job.progress, "failure": job.failure,
            "restoredFrom": job.restored_from.as_ref().map(|from| json!({"id": from.id, "path": from.path})),
            "latestCheckpoint": job.latest_checkpoint.as_ref().map(|c| json!({"id": c.id, "path": c.path})),
            "latestSavepoint": job.latest_savepoint.as_ref().map(|s| json!({"id": s.id, "path": s.path})),
        })
    });
    let jobs: Vec<Value> = jobs.collect();
    let task_managers = facts.as_ref().map(|facts| facts.task_managers.clone()).unwrap_or_default();
    json!({
        "name": cluster.name(), "url": cluster.url(), "flink": cluster.version(), "phase": phase,
        "jobs": jobs, "taskManagers": task_managers, "stubs": cluster.stubs().list().len(),
    })
}

/// A cluster of this process, under its name and address.
pub struct Named {
    pub name: String,
    pub url: String,
    pub hosted: Hosted,
    pub earlier: Option<Earlier>,
}

/// Reads what earlier processes left.
pub type Earlier = Box<dyn Fn() -> Vec<Value> + Send + Sync>;

impl Controlled for Named {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn version(&self) -> String {
        self.hosted.version().to_string()
    }

    fn facts(&self) -> Option<Facts> {
        self.hosted.exit().is_none().then(|| self.hosted.facts())
    }

    fn history(&self) -> Option<History> {
        Some(self.hosted.history())
    }

    fn earlier(&self) -> Vec<Value> {
        self.earlier.as_ref().map(|read| read()).unwrap_or_default()
    }

    fn command(&self, command: Command) -> bool {
        let is_alive = self.hosted.exit().is_none();
        if is_alive {
            self.hosted.command(command);
        }
        is_alive
    }

    fn bring_task_manager(&self, id: String, slots: u32) -> bool {
        self.hosted.bring_task_manager(id, slots);
        true
    }

    fn end(&self, signal: crate::Signal) -> bool {
        self.hosted.signal(signal);
        true
    }

    fn storage(&self) -> SnapshotStore {
        self.hosted.storage().clone()
    }

    fn stubs(&self) -> Stubs {
        self.hosted.stubs().clone()
    }

    fn now(&self) -> Timestamp {
        self.hosted.clock().now()
    }

    fn later(&self, after: std::time::Duration, lift: Box<dyn FnOnce() + Send>) {
        let after = self.hosted.clock().real(after);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            lift();
        });
    }
}
