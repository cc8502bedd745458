//! `/jobs/:id/checkpoints`: statistics, configuration, details.

use super::cache::Shown;
use super::error::{self, RestError, job_missing};
use super::lasting::{Basis, Lasting, Millis};
use super::route::Call;
use super::{Answer, ok};
use crate::model::checkpoints::{Coordinator, Entry, Kind, Outcome, Restored, Summary};
use crate::model::cluster::Cluster;
use crate::model::job::Job;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

const NOT_ADDRESSABLE: &str = "<checkpoint-not-externally-addressable>";

fn shown(c: &mut Cluster, call: &Call) -> Result<Shown, RestError> {
    let id = call.param("jobid");
    c.cached_statistics(id).ok_or_else(|| job_missing(id))
}

fn coordinator(job: &Job) -> Result<&Coordinator, RestError> {
    let none = || error::rest(StatusCode::NOT_FOUND, "Checkpointing has not been enabled.");
    job.coordinator.as_ref().ok_or_else(none)
}

pub(super) fn statistics(c: &mut Cluster, call: &Call) -> Answer {
    let Shown { job, serial, .. } = shown(c, call)?;
    let basis = Basis { shown: serial, ..Basis::default() };
    c.encoded(call, &job.id, basis, |_| Ok(Lasting::of(&statistics_of(coordinator(&job)?))))
}

#[derive(Serialize)]
struct Statistics {
    #[serde(flatten)]
    what: Value,
    history: Vec<Taken>,
}

/// A snapshot; one in progress has taken as long as it is under way.
#[derive(Serialize)]
struct Taken {
    #[serde(flatten)]
    what: Value,
    end_to_end_duration: Millis,
}

fn statistics_of(k: &Coordinator) -> Statistics {
    let (sizes, written) = (summary(&k.sizes), summary(&k.written));
    let zeros = summary(&zeros(k.sizes.count));
    // What is over has no clock.
    let latest = |e: &Option<Entry>| e.as_ref().map(|e| entry_json(e, e.triggered, false));
    let (open, done): (Vec<&Entry>, Vec<&Entry>) =
        k.history.iter().partition(|e| e.outcome == Outcome::InProgress);
    let history = open.into_iter().chain(done).map(|e| taken(e, false)).collect();
    let mut alignment = zeros.clone();
    if k.sizes.count == 0 {
        for p in PERCENTILES {
            alignment[p.0] = 0.0.into();
        }
    }
    let what = json!({
        "counts": {
            "restored": k.counts.restored, "total": k.counts.total, "in_progress": k.pending.len(),
            "completed": k.counts.completed, "failed": k.counts.failed
        },
        "summary": {
            "checkpointed_size": written, "state_size": sizes, "end_to_end_duration": summary(&k.durations),
            "alignment_buffered": alignment, "processed_data": zeros, "persisted_data": zeros
        },
        "latest": {
            "completed": latest(&k.latest_completed), "savepoint": latest(&k.latest_savepoint),
            "failed": latest(&k.latest_failed), "restored": k.latest_restored.as_ref().map(restored_json)
        }
    });
    Statistics { what, history }
}

const PERCENTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];

fn zeros(count: u64) -> Summary {
    let mut zeros = Summary::default();
    (0..count.min(1)).for_each(|_| zeros.add(0));
    zeros
}

/// Without data the percentiles are the text `NaN`.
pub(super) fn summary(s: &Summary) -> Value {
    let mut sorted: Vec<u64> = s.values.iter().copied().collect();
    sorted.sort_unstable();
    let avg = s.sum.checked_div(s.count).unwrap_or(0);
    let mut out = json!({"min": s.min, "max": s.max, "avg": avg});
    for (name, q) in PERCENTILES {
        out[name] = match sorted.len() {
            0 => "NaN".into(),
            n => (sorted[((n as f64 * q).ceil() as usize).clamp(1, n) - 1] as f64).into(),
        };
    }
    out
}

fn entry_json(e: &Entry, now: i64, with_tasks: bool) -> Value {
    let Taken { mut what, end_to_end_duration } = taken(e, with_tasks);
    what["end_to_end_duration"] = end_to_end_duration.at(now).into();
    what
}

fn taken(e: &Entry, with_tasks: bool) -> Taken {
    let subtasks: u32 = e.subtasks.iter().map(|(_, n)| n).sum();
    let (class, status, acknowledged, last_ack, bytes, duration) = match &e.outcome {
        Outcome::InProgress => ("in_progress", "IN_PROGRESS", 0, -1, 0, Millis::Since(e.triggered)),
        Outcome::Completed { at, .. } => ("completed", "COMPLETED", subtasks, *at, e.bytes, took(e, *at)),
        Outcome::Failed { at, .. } => ("failed", "FAILED", 0, -1, 0, took(e, *at)),
    };
    let written = if acknowledged > 0 { e.written } else { 0 };
    let kind = match e.kind {
        Kind::Checkpoint if e.unaligned => "UNALIGNED_CHECKPOINT",
        Kind::Checkpoint => "CHECKPOINT",
        Kind::Savepoint => "SAVEPOINT",
        Kind::Stop { .. } => "SYNC_SAVEPOINT",
    };
    let mut tasks = Map::new();
    if with_tasks {
        for (vertex, n) in e.subtasks.iter() {
            tasks.insert(vertex.clone(), task_json(e, *n));
        }
    }
    let mut what = json!({
        "className": class, "id": e.id, "status": status, "is_savepoint": e.is_savepoint(), "savepointFormat": e.format,
        "trigger_timestamp": e.triggered, "latest_ack_timestamp": last_ack, "checkpointed_size": written, "state_size": bytes,
        "alignment_buffered": 0, "processed_data": 0, "persisted_data": 0,
        "num_subtasks": subtasks, "num_acknowledged_subtasks": acknowledged, "checkpoint_type": kind, "tasks": tasks
    });
    match &e.outcome {
        Outcome::InProgress => {}
        Outcome::Completed { path, discarded, .. } => {
            what["external_path"] = path.as_deref().unwrap_or(NOT_ADDRESSABLE).into();
            what["discarded"] = (*discarded).into();
        }
        Outcome::Failed { at, message } => {
            what["failure_timestamp"] = (*at).into();
            what["failure_message"] = message.as_str().into();
        }
    }
    Taken { what, end_to_end_duration: duration }
}

fn took(e: &Entry, until: i64) -> Millis {
    Millis::Fixed((until - e.triggered).max(0))
}

fn task_json(e: &Entry, subtasks: u32) -> Value {
    let (status, ack, at) = match &e.outcome {
        Outcome::InProgress => ("IN_PROGRESS", 0, -1),
        Outcome::Completed { at, .. } => ("COMPLETED", subtasks, *at),
        Outcome::Failed { .. } => ("FAILED", 0, -1),
    };
    let share = |bytes: u64| if ack > 0 { bytes / e.subtasks.len().max(1) as u64 } else { 0 };
    json!({
        "id": e.id, "status": status, "latest_ack_timestamp": at, "checkpointed_size": share(e.written), "state_size": share(e.bytes),
        "end_to_end_duration": if at < 0 { -1 } else { at - e.triggered }, "alignment_buffered": 0, "processed_data": 0,
        "persisted_data": 0, "num_subtasks": subtasks, "num_acknowledged_subtasks": ack
    })
}

fn restored_json(r: &Restored) -> Value {
    json!({
        "id": r.id, "restore_timestamp": r.at, "is_savepoint": r.is_savepoint,
        "external_path": r.path.as_deref().unwrap_or(NOT_ADDRESSABLE)
    })
}

pub(super) fn config(c: &mut Cluster, call: &Call) -> Answer {
    let job = super::jobs::graph(c, call)?;
    let id = &job.id;
    let off =
        || error::rest(StatusCode::NOT_FOUND, format!("Checkpointing is not enabled for this job ({id})."));
    let k = &job.coordinator.as_ref().ok_or_else(off)?.config;
    let retain = k.retain_on_cancel || k.retain_on_failure;
    let is_batch = job.scheduler.is_some();
    let storage =
        if k.filesystem_storage { "FileSystemCheckpointStorage" } else { "JobManagerCheckpointStorage" };
    // Loaded with the graph.
    let loaded = |name: &'static str| if super::jobs::waits_adaptively(&job) { "Unknown" } else { name };
    ok(json!({
        "mode": if k.at_least_once || k.interval.is_none() { "at_least_once" } else { "exactly_once" },
        "interval": k.interval.unwrap_or(i64::MAX), "timeout": k.timeout, "min_pause": k.min_pause,
        "max_concurrent": k.max_concurrent,
        "externalization": {"enabled": retain, "delete_on_cancellation": !k.retain_on_cancel},
        "state_backend": loaded(if is_batch { "BatchExecutionStateBackend" } else { k.backend }),
        "checkpoint_storage": loaded(if is_batch { "BatchExecutionCheckpointStorage" } else { storage }),
        "unaligned_checkpoints": k.unaligned, "tolerable_failed_checkpoints": k.tolerable_failures,
        "aligned_checkpoint_timeout": k.aligned_timeout, "checkpoints_after_tasks_finish": k.after_tasks_finish,
        "state_changelog_enabled": k.changelog, "changelog_periodic_materialization_interval": 600_000,
        "changelog_storage": loaded("memory")
    }))
}

fn entry(c: &mut Cluster, job: &Job, call: &Call) -> Result<Entry, RestError> {
    if job.coordinator.is_none() {
        let text = format!("Checkpointing was not enabled for job {}.", job.id);
        return Err(error::rest(StatusCode::NOT_FOUND, text));
    }
    let id = call.number("checkpointid");
    let found = u64::try_from(id).ok().and_then(|id| {
        let own = coordinator(job).ok().and_then(|k| k.entry(id));
        c.checkpoint_details(id, own)
    });
    found.ok_or_else(|| {
        error::rest(
            StatusCode::NOT_FOUND,
            format!("Could not find checkpointing statistics for checkpoint {id}."),
        )
    })
}

pub(super) fn details(c: &mut Cluster, call: &Call) -> Answer {
    let job = shown(c, call)?.job;
    let entry = entry(c, &job, call)?;
    ok(entry_json(&entry, c.now, true))
}

pub(super) fn subtasks(c: &mut Cluster, call: &Call) -> Answer {
    let job = shown(c, call)?.job;
    let e = &entry(c, &job, call)?;
    let vertex = call.param("vertexid");
    let Some((_, n)) = e.subtasks.iter().find(|(id, _)| id == vertex) else {
        return Err(error::not_found(format!("There is no checkpoint statistics for task {vertex}.")));
    };
    let mut out = task_json(e, *n);
    let done = matches!(e.outcome, Outcome::Completed { .. });
    let of_each = |name: &str| out[name].as_u64().unwrap_or(0) / u64::from((*n).max(1));
    let (size, written) = (of_each("state_size"), of_each("checkpointed_size"));
    let took = e.duration().unwrap_or(0).max(0) as u64;
    // Per subtask only minimum, maximum and average exist: percentiles stay NaN (recorded).
    let flat = |value: u64| {
        let mut s = summary(&Summary::default());
        for key in ["min", "max", "avg"] {
            s[key] = value.into();
        }
        s
    };
    let mut buffered = flat(0);
    PERCENTILES.iter().for_each(|p| buffered[p.0] = 0.0.into());
    out["summary"] = json!({
        "checkpointed_size": flat(written), "state_size": flat(size), "end_to_end_duration": flat(took),
        "checkpoint_duration": {"sync": flat(0), "async": flat(0)},
        "alignment": {"buffered": buffered, "processed": flat(0), "persisted": flat(0), "duration": flat(0)},
        "start_delay": flat(0)
    });
    let subtasks: Vec<Value> = (0..*n)
        .map(|index| {
            if done {
                json!({
                    "className": "completed", "index": index, "ack_timestamp": out["latest_ack_timestamp"],
                    "end_to_end_duration": took, "checkpointed_size": written, "state_size": size,
                    "checkpoint": {"sync": 0, "async": 0},
                    "alignment": {"buffered": 0, "processed": 0, "persisted": 0, "duration": 0},
                    "start_delay": 0, "unaligned_checkpoint": false, "aborted": false, "status": "completed"
                })
            } else {
                json!({"className": "pending", "index": index, "status": "pending_or_failed"})
            }
        })
        .collect();
    out["subtasks"] = subtasks.into();
    ok(out)
}
