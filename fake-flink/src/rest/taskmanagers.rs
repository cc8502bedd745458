//! `/taskmanagers` and below: registered TaskManagers with resources and slots.

use super::error::{RestError, rest_caused};
use super::lasting::{Lasting, Millis, NOW};
use super::route::Call;
use super::{Answer, Reply, ok};
use crate::model::cluster::Cluster;
use crate::model::taskmanagers_view as view;
use crate::throwable::{Throwable, class};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
struct Registered {
    #[serde(flatten)]
    what: Value,
    /// The moment of the answer, whatever its name says (recorded).
    #[serde(rename = "timeSinceLastHeartbeat")]
    heartbeat: Millis,
}

pub(super) fn list(c: &mut Cluster, call: &Call) -> Answer {
    #[derive(Serialize)]
    struct List {
        taskmanagers: Vec<Registered>,
    }
    c.encoded(call, "", c.live(), |c| {
        let registered = c.tms.keys().filter_map(|id| view::json(c, id));
        let taskmanagers = registered.map(|what| Registered { what, heartbeat: NOW }).collect();
        Ok(Lasting::of(&List { taskmanagers }))
    })
}

fn unknown(id: &str) -> Throwable {
    Throwable::new(class::UNKNOWN_TASK_EXECUTOR, format!("No TaskExecutor registered under {id}."))
}

pub(super) fn details(c: &mut Cluster, call: &Call) -> Answer {
    let id = call.param("taskmanagerid");
    let Some(mut out) = view::json(c, id) else { return Err(RestError::Server(unknown(id))) };
    let metrics = c.fetched_metrics();
    let seen = metrics.get(&format!("tm:{id}"));
    out["timeSinceLastHeartbeat"] = c.now.into();
    out["allocatedSlots"] = view::allocated(c, id);
    out["metrics"] = view::metrics(seen, c.version);
    ok(out)
}

pub(super) fn logs(c: &Cluster, call: &Call) -> Answer {
    let id = call.param("taskmanagerid");
    match c.tms.get(id) {
        Some(tm) => {
            ok(json!({"logs": [{"name": "taskmanager.log", "size": 21_000, "mtime": tm.registered}]}))
        }
        None => Err(not_listed(id)),
    }
}

fn not_listed(id: &str) -> RestError {
    rest_caused(StatusCode::NOT_FOUND, format!("Could not find TaskExecutor {id}"), unknown(id))
}

pub(super) fn log(c: &Cluster, call: &Call) -> Answer {
    let id = registered(c, call)?;
    match call.param("filename") {
        "" | "taskmanager.log" => Ok(Reply::Text("The model writes no TaskManager log.\n".to_owned())),
        name => {
            let missing = format!("The file {name} does not exist on the TaskExecutor.");
            let text = format!("Failed to transfer file from TaskExecutor {id}.");
            let cause = Throwable::new(class::FLINK, text);
            Err(RestError::Server(cause.caused_by(Throwable::new(class::FILE_NOT_FOUND, missing))))
        }
    }
}

/// What profilers left behind, which is nothing.
pub(super) fn profiles(c: &Cluster, call: &Call) -> Answer {
    let id = call.param("taskmanagerid");
    if !c.tms.contains_key(id) {
        return Err(not_listed(id));
    }
    ok(json!({"profilingList": []}))
}

pub(super) fn profile(c: &Cluster, call: &Call) -> Answer {
    let id = registered(c, call)?;
    let text = format!("Failed to transfer file from TaskExecutor {id}.");
    let missing = format!("The file {} does not exist on the TaskExecutor.", call.param("filename"));
    let cause = Throwable::new(class::FLINK, text);
    Err(RestError::Server(cause.caused_by(Throwable::new(class::FILE_NOT_FOUND, missing))))
}

pub(super) fn stdout(c: &Cluster, call: &Call) -> Answer {
    registered(c, call).map(|_| Reply::Text(String::new()))
}

/// The id of a TaskManager that files can be had from.
fn registered<'a>(c: &Cluster, call: &'a Call) -> Result<&'a str, RestError> {
    let id = call.param("taskmanagerid");
    if c.tms.contains_key(id) {
        return Ok(id);
    }
    let text = format!("Failed to transfer file from TaskExecutor {id} because it was unknown.");
    let cause = Throwable::new(class::NOT_FOUND, text).caused_by(unknown(id));
    Err(RestError::Handler { status: StatusCode::NOT_FOUND, cause })
}

pub(super) fn thread_dump(c: &Cluster, call: &Call) -> Answer {
    let id = call.param("taskmanagerid");
    if !c.tms.contains_key(id) {
        return Err(RestError::Server(unknown(id)));
    }
    super::cluster::thread_dump()
}
