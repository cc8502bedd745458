//! `/jobs/:id/vertices/:v` and below: subtasks, attempts, times, accumulators, backpressure.

use super::cache::MetricStore;
use super::error::{self, RestError, not_found};
use super::jobs::{endpoint, graph, host, in_graph, user_accumulators};
use super::route::Call;
use super::{Answer, ok};
use crate::model::cluster::Cluster;
use crate::model::job::{Job, Subtask, Vertex};
use crate::model::state::TaskState;
use http::StatusCode;
use serde_json::{Map, Value, json};

/// Two texts exist for an unknown vertex; which one depends on the handler (recorded).
fn vertex<'a>(job: &'a Job, call: &Call) -> Result<&'a Vertex, RestError> {
    let id = call.param("vertexid");
    let missing = || error::rest(StatusCode::NOT_FOUND, format!("No vertex with ID '{id}' exists."));
    in_graph(job).find(|v| v.id == id).ok_or_else(missing)
}

fn job_vertex<'a>(job: &'a Job, call: &Call) -> Result<&'a Vertex, RestError> {
    let id = call.param("vertexid");
    in_graph(job).find(|v| v.id == id).ok_or_else(|| not_found(format!("JobVertex {id} not found")))
}

fn subtask_of<'a>(v: &'a Vertex, call: &Call) -> Result<(usize, &'a Subtask), RestError> {
    let index = call.number("subtaskindex") as usize;
    let missing = || error::rest(StatusCode::NOT_FOUND, format!("Invalid subtask index for vertex {}", v.id));
    v.subtasks.get(index).map(|s| (index, s)).ok_or_else(missing)
}

/// The IO block of a vertex or one of its subtasks, as the metric fetcher last saw it.
pub(super) fn io_metrics(job: &Job, v: &Vertex, subtask: Option<usize>, metrics: &MetricStore) -> Value {
    let total = |name: &str| {
        let of = |i: usize| {
            metrics
                .get(&format!("{}/{}/{i}", job.id, v.id))
                .and_then(|m| m.get(name))
                .and_then(|x| x.parse::<f64>().ok())
        };
        let values: Vec<Option<f64>> = match subtask {
            Some(i) => vec![of(i)],
            None => (0..v.subtasks.len()).map(of).collect(),
        };
        (values.iter().flatten().sum::<f64>() as i64, values.iter().all(Option::is_some))
    };
    let mut out = Map::new();
    for (key, name) in [
        ("read-bytes", "numBytesIn"),
        ("write-bytes", "numBytesOut"),
        ("read-records", "numRecordsIn"),
        ("write-records", "numRecordsOut"),
    ] {
        let (sum, complete) = total(name);
        out.insert(key.into(), sum.into());
        out.insert(format!("{key}-complete"), complete.into());
    }
    out.insert("accumulated-backpressured-time".into(), total("accumulateBackPressuredTimeMs").0.into());
    out.insert("accumulated-idle-time".into(), total("accumulateIdleTimeMs").0.into());
    out.insert("accumulated-busy-time".into(), (total("accumulateBusyTimeMs").0 as f64).into());
    Value::Object(out)
}

fn subtask_json(c: &Cluster, job: &Job, v: &Vertex, index: usize, metrics: &MetricStore) -> Value {
    attempt_json(c, job, v, (index, &v.subtasks[index]), metrics)
}

fn attempt_json(
    c: &Cluster,
    job: &Job,
    v: &Vertex,
    (index, s): (usize, &Subtask),
    metrics: &MetricStore,
) -> Value {
    let (start, end) = (s.start(), s.end());
    let duration = if start < 0 { -1 } else { (if end > 0 { end } else { c.now }) - start };
    let mut out = json!({
        "subtask": index, "status": s.state.name(), "attempt": s.attempt, "start-time": start, "end-time": end,
        "duration": duration, "metrics": io_metrics(job, v, Some(index), metrics),
        "taskmanager-id": s.tm.as_deref().unwrap_or("(unassigned)"),
        "status-duration": status_duration(s, c.now), "start_time": start
    });
    locate(c, s.tm.as_deref(), &mut out);
    out
}

/// 1.x names the host, 1.20 and later the endpoint.
fn locate(c: &Cluster, tm: Option<&str>, out: &mut Value) {
    if !c.version.is_2() {
        out["host"] = tm.map_or("(unassigned)", host).into();
    }
    if c.version.since_1_20() {
        out["endpoint"] = endpoint(c, tm).into();
    }
}

/// How long the attempt was in each state on the way to RUNNING; -1 for states not reached.
fn status_duration(s: &Subtask, now: i64) -> Value {
    const WAY: [TaskState; 5] = [
        TaskState::Created,
        TaskState::Scheduled,
        TaskState::Deploying,
        TaskState::Initializing,
        TaskState::Running,
    ];
    let mut out = Map::new();
    for (i, state) in WAY.iter().enumerate() {
        let from = s.stamps[state.index()];
        let next = WAY[i + 1..].iter().map(|n| s.stamps[n.index()]).find(|t| *t >= 0);
        let until = next.unwrap_or(if s.end() > 0 { s.end() } else { now });
        out.insert(state.name().into(), if from < 0 { -1 } else { until - from }.into());
    }
    Value::Object(out)
}

/// Minimum, mean and so on of what subtasks show; `shape` is what one shows, for when there is none.
fn aggregated(subtasks: &[Value], shape: &Value) -> Value {
    let collect = |block: &str, key: &str| -> Vec<i64> {
        subtasks.iter().map(|s| s[block][key].as_f64().unwrap_or(0.0) as i64).collect()
    };
    let keys = |block: &str| -> Vec<String> {
        let names = subtasks.first().unwrap_or(shape)[block].as_object();
        names.into_iter().flat_map(Map::keys).filter(|k| !k.ends_with("-complete")).cloned().collect()
    };
    let block = |name: &str| -> Map<String, Value> {
        keys(name).into_iter().map(|k| (k.clone(), spread(collect(name, &k)))).collect()
    };
    json!({"metrics": block("metrics"), "status-duration": block("status-duration")})
}

fn spread(mut values: Vec<i64>) -> Value {
    values.sort_unstable();
    let n = values.len().max(1);
    let at = |q: f64| {
        values.get((((values.len() as f64) * q).ceil() as usize).saturating_sub(1)).copied().unwrap_or(0)
    };
    let sum: i64 = values.iter().sum();
    json!({
        "min": at(0.0), "max": values.last().copied().unwrap_or(0), "avg": sum / n as i64, "sum": sum, "median": at(0.5),
        "p25": at(0.25), "p75": at(0.75), "p95": at(0.95)
    })
}

pub(super) fn details(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let metrics = c.fetched_metrics();
    let v = job_vertex(&job, call)?;
    let subtasks: Vec<Value> = (0..v.subtasks.len()).map(|i| subtask_json(c, &job, v, i, &metrics)).collect();
    let shape = attempt_json(c, &job, v, (0, &Subtask::new(c.now)), &metrics);
    ok(json!({
        "id": v.id, "name": v.spec.name, "parallelism": v.parallelism_shown(), "maxParallelism": v.max_parallelism,
        "now": c.now, "aggregated": aggregated(&subtasks, &shape), "subtasks": subtasks
    }))
}

pub(super) fn subtask(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let metrics = c.fetched_metrics();
    let v = vertex(&job, call)?;
    let (index, _) = subtask_of(v, call)?;
    ok(subtask_json(c, &job, v, index, &metrics))
}

fn attempt_of<'a>(v: &'a Vertex, call: &Call) -> Result<(usize, &'a Subtask), RestError> {
    let (index, s) = subtask_of(v, call)?;
    let number = call.number("attempt");
    let unknown = || error::rest(StatusCode::NOT_FOUND, format!("Invalid attempt num {number}"));
    Ok((index, s.attempt(number).ok_or_else(unknown)?))
}

pub(super) fn attempt(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let metrics = c.fetched_metrics();
    let v = vertex(&job, call)?;
    ok(attempt_json(c, &job, v, attempt_of(v, call)?, &metrics))
}

fn counted(job: &Job, v: &Vertex, now: i64) -> Value {
    let sink = job.vertices.last().is_some_and(|last| last.id == v.id);
    if sink { user_accumulators(job, now) } else { json!([]) }
}

pub(super) fn attempt_accumulators(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let v = vertex(&job, call)?;
    let (index, s) = attempt_of(v, call)?;
    let id = job.attempt_id(v, index, s);
    ok(
        json!({"subtask": index, "attempt": s.attempt, "id": id, "user-accumulators": counted(&job, v, c.now)}),
    )
}

pub(super) fn accumulators(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let v = vertex(&job, call)?;
    ok(json!({"id": v.id, "user-accumulators": counted(&job, v, c.now)}))
}

pub(super) fn subtasks_accumulators(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let v = vertex(&job, call)?;
    let subtasks: Vec<Value> = v
        .subtasks
        .iter()
        .enumerate()
        .map(|(index, s)| {
            let mut out =
                json!({"subtask": index, "attempt": s.attempt, "user-accumulators": counted(&job, v, c.now)});
            locate(c, s.tm.as_deref(), &mut out);
            out
        })
        .collect();
    ok(json!({"id": v.id, "parallelism": v.parallelism_shown(), "subtasks": subtasks}))
}

pub(super) fn subtask_times(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let v = vertex(&job, call)?;
    let subtasks: Vec<Value> = v
        .subtasks
        .iter()
        .enumerate()
        .map(|(index, s)| {
            let stamps: Map<String, Value> = TaskState::ALL
                .iter()
                .map(|t| (t.name().to_owned(), s.stamps[t.index()].max(0).into()))
                .collect();
            let scheduled = s.stamps[TaskState::Scheduled.index()];
            let duration =
                if scheduled < 0 { -1 } else { (if s.end() > 0 { s.end() } else { c.now }) - scheduled };
            let mut out = json!({"subtask": index, "duration": duration, "timestamps": stamps});
            locate(c, s.tm.as_deref(), &mut out);
            out
        })
        .collect();
    ok(json!({"id": v.id, "name": v.spec.name, "now": c.now, "subtasks": subtasks}))
}

pub(super) fn taskmanagers(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let metrics = c.fetched_metrics();
    let v = job_vertex(&job, call)?;
    let mut by_tm: indexmap::IndexMap<Option<String>, Vec<usize>> = indexmap::IndexMap::new();
    for (i, s) in v.subtasks.iter().enumerate() {
        by_tm.entry(s.tm.clone()).or_default().push(i);
    }
    let list: Vec<Value> = by_tm.into_iter().map(|(tm, members)| {
        let subtasks: Vec<Value> = members.iter().map(|i| subtask_json(c, &job, v, *i, &metrics)).collect();
        let states: Vec<TaskState> = members.iter().map(|i| v.subtasks[*i].state).collect();
        let mut counts = Map::new();
        for state in TaskState::ALL {
            counts.insert(state.name().into(), states.iter().filter(|s| **s == state).count().into());
        }
        let start = members.iter().map(|i| v.subtasks[*i].start()).filter(|t| *t > 0).min().unwrap_or(-1);
        let over = states.iter().all(|s| s.is_terminal());
        let ended = || members.iter().map(|i| v.subtasks[*i].end()).max().unwrap_or(-1);
        let end = if over && start >= 0 { ended() } else { -1 };
        let mut io = Map::new();
        for s in &subtasks {
            for (key, value) in s["metrics"].as_object().into_iter().flatten() {
                let sum = match (io.get(key), value) {
                    (Some(Value::Bool(a)), Value::Bool(b)) => json!(*a && *b),
                    (Some(a), b) if key == "accumulated-busy-time" => json!(a.as_f64().unwrap_or(0.0) + b.as_f64().unwrap_or(0.0)),
                    (Some(a), b) => json!(a.as_i64().unwrap_or(0) + b.as_i64().unwrap_or(0)),
                    (None, value) => value.clone(),
                };
                io.insert(key.clone(), sum);
            }
        }
        let mut out = json!({
            "status": TaskState::aggregate(&states).name(), "start-time": start, "end-time": end,
            "duration": if start < 0 { -1 } else { (if over { end } else { c.now }) - start },
            "metrics": io, "status-counts": counts, "taskmanager-id": tm.as_deref().unwrap_or("(unassigned)"),
            "aggregated": aggregated(&subtasks, &Value::Null)
        });
        locate(c, tm.as_deref(), &mut out);
        out
    }).collect();
    ok(json!({"id": v.id, "name": v.spec.name, "now": c.now, "taskmanagers": list}))
}

pub(super) fn backpressure(c: &mut Cluster, call: &Call) -> Answer {
    let Ok(job) = graph(c, call) else { return ok(json!({"status": "deprecated"})) };
    let metrics = c.fetched_metrics();
    let id = call.param("vertexid");
    let known = job
        .vertices
        .iter()
        .find(|v| v.id == id)
        .filter(|v| metrics.contains_key(&format!("{}/{}/0", job.id, v.id)));
    let Some(v) = known else { return ok(json!({"status": "deprecated"})) };
    let ratio = |index: usize, name: &str| {
        let values = metrics.get(&format!("{}/{}/{index}", job.id, v.id));
        values.and_then(|m| m.get(name)?.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0
    };
    let pressed = |index: usize| ratio(index, "backPressuredTimeMsPerSecond");
    let subtasks: Vec<Value> = (0..v.subtasks.len())
        .map(|index| {
            let level = pressure_level(pressed(index));
            json!({
                "subtask": index, "backpressureLevel": level, "ratio": pressed(index),
                "idleRatio": ratio(index, "idleTimeMsPerSecond"), "busyRatio": ratio(index, "busyTimeMsPerSecond"),
                "backpressure-level": level
            })
        })
        .collect();
    let level = pressure_level((0..v.subtasks.len()).map(pressed).fold(0.0, f64::max));
    ok(json!({
        "status": "ok", "backpressureLevel": level, "end-timestamp": c.now, "subtasks": subtasks,
        "backpressure-level": level
    }))
}

/// `JobVertexBackPressureHandler.getBackPressureLevel`.
fn pressure_level(ratio: f64) -> &'static str {
    match ratio {
        r if r <= 0.10 => "ok",
        r if r <= 0.5 => "low",
        _ => "high",
    }
}

pub(super) fn flamegraph(c: &Cluster, _call: &Call) -> Answer {
    // Off by default. Switched on it samples threads the model does not have: no sample is ever there.
    if c.conf.bool("rest.flamegraph.enabled", false) {
        return ok(json!({"endTimestamp": -3, "data": null}));
    }
    ok(json!({"endTimestamp": -2}))
}

pub(super) fn watermarks(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let metrics = c.fetched_metrics();
    let v = vertex(&job, call)?;
    let marks = (0..v.subtasks.len()).filter_map(|i| {
        let value = metrics.get(&format!("{}/{}/{i}", job.id, v.id))?.get("currentInputWatermark")?;
        Some(json!({"id": format!("{i}.currentInputWatermark"), "value": value}))
    });
    ok(Value::Array(marks.collect()))
}
