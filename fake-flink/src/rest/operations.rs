//! Triggers and polls: savepoint, stop, checkpoint, disposal, data set.
//!
//! Triggers are accepted without looking at the job; what is wrong shows in the poll (reference, section 2).

use super::error::{self, RestError, not_found};
use super::route::Call;
use super::{Answer, Reply, ok};
use crate::model::checkpoints::{Kind, Waiting};
use crate::model::cluster::{Cluster, Timer};
use crate::model::ops::{OpKey, OpKind, OpResult, OpState};
use crate::throwable::{Throwable, class, job_not_found};
use http::StatusCode;
use serde_json::{Value, json};

fn key(c: &mut Cluster, call: &Call, kind: OpKind) -> OpKey {
    let trigger = call.text("triggerId").map_or_else(|| c.ids.hex32(), str::to_owned);
    OpKey { kind, job: call.param("jobid").to_owned(), trigger }
}

fn triggered(c: &mut Cluster, trigger: &str) -> Answer {
    let body = json!({"request-id": trigger});
    if c.faults.take_lost_reply() {
        Ok(Reply::Lost(StatusCode::ACCEPTED, body))
    } else {
        super::accepted(body)
    }
}

pub(super) fn trigger_savepoint(c: &mut Cluster, call: &Call) -> Answer {
    let target = target(c, call, "target-directory")?;
    let cancel_job = call.flag("cancel-job").unwrap_or(false);
    let key = key(c, call, OpKind::Savepoint);
    begin_savepoint(c, call, key, Kind::Savepoint, target, cancel_job)
}

pub(super) fn stop(c: &mut Cluster, call: &Call) -> Answer {
    let target = target(c, call, "targetDirectory")?;
    let drain = call.flag("drain").unwrap_or(false);
    let key = key(c, call, OpKind::Savepoint);
    begin_savepoint(c, call, key, Kind::Stop { drain }, target, false)
}

/// The directory of the request or of the cluster configuration; a job's own default does not count (recorded).
fn target(c: &Cluster, call: &Call, property: &str) -> Result<String, RestError> {
    let given = call.text(property).or_else(|| c.conf.get("execution.checkpointing.savepoint-dir"));
    given.map(str::to_owned).ok_or_else(|| {
        let key = c.version.savepoint_dir_key();
        let text = format!("Config key [{key}] is not set. Property [{property}] must be provided.");
        error::rest(StatusCode::BAD_REQUEST, text)
    })
}

fn begin_savepoint(
    c: &mut Cluster,
    call: &Call,
    key: OpKey,
    kind: Kind,
    target: String,
    cancel_job: bool,
) -> Answer {
    let (now, trigger, job) = (c.now, key.trigger.clone(), key.job.clone());
    if c.ops.begin(key.clone(), now) {
        if runs(c, &job) {
            let format = call.text("formatType").unwrap_or("CANONICAL").to_owned();
            c.ask_savepoint(&job, Waiting { kind, format, target, op: Some(key), cancel_job });
        } else {
            fail_missing(c, &key);
        }
    }
    triggered(c, &trigger)
}

/// A job that is over has no JobMaster to ask.
fn runs(c: &Cluster, job: &str) -> bool {
    c.jobs.get(job).is_some_and(|j| !j.state.is_terminal())
}

fn fail_missing(c: &mut Cluster, key: &OpKey) {
    let cause = Throwable::wrap(class::COMPLETION, job_not_found(&key.job));
    c.ops.finish(key, OpResult::Failure(cause), c.now);
}

pub(super) fn trigger_checkpoint(c: &mut Cluster, call: &Call) -> Answer {
    if call.text("checkpointType") == Some("INCREMENTAL") && c.version.since_1_20() {
        let text = "Flink does not support triggering incremental checkpoint explicitly. See FLINK-33723.";
        return Err(RestError::Server(Throwable::new(class::ILLEGAL_STATE, text)));
    }
    let key = key(c, call, OpKind::Checkpoint);
    let (now, trigger, job) = (c.now, key.trigger.clone(), key.job.clone());
    if c.ops.begin(key.clone(), now) {
        if runs(c, &job) {
            c.manual_checkpoint(&job, key);
        } else {
            fail_missing(c, &key);
        }
    }
    super::accepted(json!({"request-id": trigger}))
}

pub(super) fn savepoint_status(c: &mut Cluster, call: &Call) -> Answer {
    poll(c, call, OpKind::Savepoint, "savepoint")
}

pub(super) fn checkpoint_status(c: &mut Cluster, call: &Call) -> Answer {
    poll(c, call, OpKind::Checkpoint, "checkpoint")
}

fn poll(c: &mut Cluster, call: &Call, kind: OpKind, what: &str) -> Answer {
    let (job, trigger) = (call.param("jobid").to_owned(), call.param("triggerid").to_owned());
    let state = c.ops.poll(&OpKey { kind, job: job.clone(), trigger: trigger.clone() }, c.now);
    let Some(state) = state else {
        let text = format!("There is no {what} operation with triggerId={trigger} for job {job}.");
        return Err(error::rest(StatusCode::NOT_FOUND, text));
    };
    ok(state_json(&state, if kind == OpKind::Checkpoint { "failureCause" } else { "failure-cause" }))
}

fn state_json(state: &OpState, failure: &str) -> Value {
    let operation = match state {
        OpState::InProgress => return json!({"status": {"id": "IN_PROGRESS"}, "operation": null}),
        OpState::Done { result, .. } => match result {
            OpResult::Location(path) => json!({"location": path}),
            OpResult::CheckpointId(id) => json!({"checkpointId": id}),
            OpResult::Empty => json!({}),
            OpResult::Failure(cause) => {
                let mut out = json!({});
                out[failure] = cause.to_json();
                out
            }
        },
    };
    json!({"status": {"id": "COMPLETED"}, "operation": operation})
}

/// Coordinators of the model take no requests: one that can be read is answered as by an operator that has none.
pub(super) fn coordinate(c: &Cluster, call: &Call) -> Answer {
    let id = call.param("jobid");
    // Asked of the JobMaster, which a job that is over has no more.
    let is_gone = c.jobs.get(id).map_or(c.version.is_2(), |job| job.state.is_terminal());
    if is_gone {
        return Err(RestError::Server(job_not_found(id)));
    }
    let cause = match call.text("serializedCoordinationRequest") {
        None => Throwable::new(
            class::NULL_POINTER,
            "Cannot invoke \"org.apache.flink.util.SerializedValue.deserializeValue(java.lang.ClassLoader)\" because \"serializedRequest\" is null",
        ),
        Some(_) => Throwable::bare("java.io.EOFException"),
    };
    Err(RestError::Server(cause))
}

pub(super) fn dispose(c: &mut Cluster, call: &Call) -> Answer {
    let Some(path) = call.text("savepoint-path").map(str::to_owned) else {
        return Err(error::rest(
            StatusCode::BAD_REQUEST,
            "Field savepoint-path must not be omitted or be null.",
        ));
    };
    let key = OpKey { kind: OpKind::Disposal, job: String::new(), trigger: c.ids.hex32() };
    c.ops.begin(key.clone(), c.now);
    let wait = c.draw(c.knobs.disposal);
    let trigger = key.trigger.clone();
    c.after(wait, Timer::Disposal { key, path });
    ok(json!({"request-id": trigger}))
}

pub(super) fn disposal_status(c: &mut Cluster, call: &Call) -> Answer {
    keyed(c, call, OpKind::Disposal)
}

fn keyed(c: &mut Cluster, call: &Call, kind: OpKind) -> Answer {
    let key = OpKey { kind, job: String::new(), trigger: call.param("triggerid").to_owned() };
    match c.ops.poll(&key, c.now) {
        Some(state) => ok(state_json(&state, "failure-cause")),
        None => {
            let hash = &key.trigger[..8];
            let text = format!(
                "Operation not found under key: org.apache.flink.runtime.rest.handler.async.OperationKey@{hash}"
            );
            Err(not_found(text))
        }
    }
}

pub(super) fn delete_dataset(c: &mut Cluster, _call: &Call) -> Answer {
    let key = OpKey { kind: OpKind::DataSet, job: String::new(), trigger: c.ids.hex32() };
    c.ops.begin(key.clone(), c.now);
    c.ops.finish(&key, OpResult::Empty, c.now);
    super::accepted(json!({"request-id": key.trigger}))
}

pub(super) fn dataset_status(c: &mut Cluster, call: &Call) -> Answer {
    keyed(c, call, OpKind::DataSet)
}
