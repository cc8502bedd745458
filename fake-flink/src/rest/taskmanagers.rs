//! `/taskmanagers` and below: registered TaskManagers with resources and slots.

use super::error::{RestError, rest_caused};
use super::route::Call;
use super::{Answer, Reply, ok};
use crate::model::cluster::Cluster;
use crate::model::taskmanagers_view as view;
use crate::throwable::{Throwable, class};
use http::StatusCode;
use serde_json::{Value, json};

pub(super) fn list(c: &Cluster) -> Answer {
    let list: Vec<Value> = c.tms.keys().filter_map(|id| view::json(c, id)).collect();
    ok(json!({"taskmanagers": list}))
}

fn unknown(id: &str) -> Throwable {
    Throwable::new(class::UNKNOWN_TASK_EXECUTOR, format!("No TaskExecutor registered under {id}."))
}

pub(super) fn details(c: &mut Cluster, call: &Call) -> Answer {
    let id = call.param("taskmanagerid");
    let Some(mut out) = view::json(c, id) else { return Err(RestError::Server(unknown(id))) };
    let metrics = c.fetched_metrics();
    let seen = metrics.get(&format!("tm:{id}"));
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
        None => {
            Err(rest_caused(StatusCode::NOT_FOUND, format!("Could not find TaskExecutor {id}"), unknown(id)))
        }
    }
}

pub(super) fn log(c: &Cluster, call: &Call) -> Answer {
    let id = call.param("taskmanagerid");
    if !c.tms.contains_key(id) {
        let text = format!("Failed to transfer file from TaskExecutor {id} because it was unknown.");
        let cause = Throwable::new(class::NOT_FOUND, text).caused_by(unknown(id));
        return Err(RestError::Handler { status: StatusCode::NOT_FOUND, cause });
    }
    if !call.param("filename").is_empty() && call.param("filename") != "taskmanager.log" {
        let text = format!("Failed to transfer file from TaskExecutor {id}.");
        return Err(RestError::Server(Throwable::new(class::FLINK, text)));
    }
    Ok(Reply::Text("text/plain; charset=UTF-8", "The model writes no TaskManager log.\n".to_owned()))
}

pub(super) fn thread_dump(c: &Cluster, call: &Call) -> Answer {
    let id = call.param("taskmanagerid");
    if !c.tms.contains_key(id) {
        return Err(RestError::Server(unknown(id)));
    }
    super::cluster::thread_dump()
}
