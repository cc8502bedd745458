//! `/jobs` and below: lists, details, status, configuration, plan, exceptions, result, cancel.

use super::cache::{MetricStore, Shown};
use super::error::{self, RestError, job_missing};
use super::lasting::{Basis, Lasting, Millis, NOW};
use super::route::{Call, Op};
use super::{Answer, accepted, ok};
use crate::java::int_accumulator;
use crate::model::cluster::Cluster;
use crate::model::job::{Failure, Job, Vertex};
use crate::model::state::{JobState, TaskState};
use crate::program::{Input, Ship};
use crate::throwable::{Throwable, class, job_not_found};
use crate::version::Version;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) fn list(c: &mut Cluster, call: &Call) -> Answer {
    c.encoded(call, "", c.live(), |c| {
        let jobs = c.jobs.values().map(|j| json!({"id": j.id, "status": j.state.name()}));
        Ok(Lasting::of(&json!({"jobs": jobs.collect::<Vec<Value>>()})))
    })
}

/// Something with its duration so far.
#[derive(Serialize)]
struct Timed {
    #[serde(flatten)]
    what: Value,
    duration: Millis,
}

pub(super) fn overview(c: &mut Cluster, call: &Call) -> Answer {
    #[derive(Serialize)]
    struct Overview {
        jobs: Vec<Timed>,
    }
    c.encoded(call, "", c.live(), |c| {
        let jobs =
            c.jobs.values().map(|job| Timed { what: job_overview(job, c.version), duration: duration(job) });
        Ok(Lasting::of(&Overview { jobs: jobs.collect() }))
    })
}

/// [`Job::duration`] at any time.
fn duration(job: &Job) -> Millis {
    match job.state.is_terminal() {
        true => Millis::Fixed(job.duration(job.end_time())),
        false => Millis::Since(job.start_time()),
    }
}

fn job_overview(job: &Job, version: Version) -> Value {
    // The adaptive scheduler counts no tasks before it runs.
    let shown: &[_] = if waits_adaptively(job) { &[] } else { &job.vertices };
    let mut tasks = Map::new();
    tasks.insert("total".into(), shown.iter().map(|v| v.subtasks.len()).sum::<usize>().into());
    for state in TaskState::ALL {
        let n: usize = shown.iter().map(|v| v.count(state)).sum();
        tasks.insert(state.name().to_ascii_lowercase(), n.into());
    }
    let mut out = json!({
        "jid": job.id, "name": job.name, "start-time": job.start_time(), "end-time": job.end_time(),
        "state": job.state.name(), "last-modification": job.last_modification(), "tasks": tasks
    });
    if version.is_2() {
        out["pending-operators"] = job.pending_operators().into();
    }
    out
}

pub(super) fn status(c: &Cluster, call: &Call) -> Answer {
    let id = call.param("jobid");
    let job = c.jobs.get(id).ok_or_else(|| RestError::Server(job_not_found(id)))?;
    ok(json!({"status": job.state.name()}))
}

/// The job through the execution-graph cache, or 404.
pub(super) fn graph(c: &mut Cluster, call: &Call) -> Result<Arc<Job>, RestError> {
    Ok(shown(c, call)?.job)
}

fn shown(c: &mut Cluster, call: &Call) -> Result<Shown, RestError> {
    let id = call.param("jobid");
    c.cached_graph(id).ok_or_else(|| job_missing(id))
}

pub(super) fn details(c: &mut Cluster, call: &Call) -> Answer {
    let Shown { job, serial, .. } = shown(c, call)?;
    if job.driver_only && c.version.since_1_20() {
        return Err(RestError::Server(Throwable::bare(class::NULL_POINTER)));
    }
    let metrics = c.fetched();
    let basis = Basis { shown: serial, metrics: metrics.serial, ..Basis::default() };
    c.encoded(call, &job.id, basis, |c| Ok(Lasting::of(&details_of(&job, c.version, &metrics.store))))
}

#[derive(Serialize)]
struct Details {
    #[serde(flatten)]
    job: Timed,
    now: Millis,
    vertices: Vec<Timed>,
    plan: Value,
}

fn details_of(job: &Job, version: Version, metrics: &MetricStore) -> Details {
    let mut stamps = Map::new();
    for state in JobState::ALL {
        stamps.insert(state.name().into(), stamp(job, state).into());
    }
    let mut counts: Map<String, Value> =
        TaskState::ALL.iter().map(|s| (s.name().to_owned(), 0.into())).collect();
    for vertex in in_graph(job) {
        let name = vertex_status(job, vertex).name();
        counts[name] = (counts[name].as_u64().unwrap_or(0) + 1).into();
    }
    let mut vertices: Vec<Timed> = in_graph(job).map(|v| vertex_shown(job, v, version, metrics)).collect();
    if waits_adaptively(job) {
        // There is no graph to give them an order: they come as the job was submitted, sink first (recorded).
        vertices.reverse();
    }
    let mut what = json!({
        "jid": job.id, "name": job.name, "isStoppable": false, "state": job.state.name(),
        "start-time": job.start_time(), "end-time": end_shown(job),
        "maxParallelism": job.conf.int("pipeline.max-parallelism", -1), "timestamps": stamps,
        "status-counts": counts
    });
    if version.since_1_20() {
        what["job-type"] = job_type(job).into();
    }
    if version.is_2() {
        what["pending-operators"] = job.pending_operators().into();
    }
    if job.grows {
        what["stream-graph"] = json!({"nodes": stream_nodes(job)});
    }
    let plan = plan_json(job, version);
    Details { job: Timed { what, duration: duration(job) }, now: NOW, vertices, plan }
}

/// Vertices that can be asked about.
pub(super) fn in_graph(job: &Job) -> impl Iterator<Item = &Vertex> {
    job.vertices.iter().filter(|v| job.has_in_graph(v))
}

/// The operators of a graph that grows, those without a vertex yet included. Flink counts them on from job to job, here each
/// job has its own numbers.
fn stream_nodes(job: &Job) -> Vec<Value> {
    let mut nodes = Vec::new();
    let mut ends: Vec<u64> = Vec::new();
    let mut next = 0;
    for vertex in &job.vertices {
        // What was decided is noted when the stage is over (recorded).
        let parallelism =
            if vertex.is_open && !vertex.is_over() { -1 } else { i64::from(vertex.parallelism) };
        let input = |num: usize, id: u64, ship: Ship| json!({"num": num, "id": id.to_string(), "ship_strategy": ship.name(), "exchange": "UNDEFINED"});
        for (place, operator) in vertex.spec.operators().enumerate() {
            let inputs: Vec<Value> = match place {
                0 => {
                    let all = vertex.spec.inputs.iter().enumerate();
                    let ship =
                        |i: &Input| match (job.vertices[i.from].spec.parallelism, vertex.spec.parallelism) {
                            // What is rescaled only for the scheduler's sake is joined task by task to the program.
                            (Some(from), Some(to)) if i.ship == Ship::Rescale && from == to => Ship::Forward,
                            _ => i.ship,
                        };
                    all.map(|(num, i)| input(num, ends[i.from], ship(i))).collect()
                }
                _ => vec![input(0, next, Ship::Forward)],
            };
            next += 1 + u64::from(place == 0 && !vertex.spec.is_source());
            let mut node = json!({
                "id": next.to_string(), "parallelism": parallelism, "operator": operator, "description": operator,
                "inputs": inputs
            });
            if job.has_in_graph(vertex) {
                node["job_vertex_id"] = vertex.id.as_str().into();
            }
            nodes.push(node);
        }
        ends.push(next);
    }
    nodes
}

fn job_type(job: &Job) -> &'static str {
    if job.program.batch { "BATCH" } else { "STREAMING" }
}

fn vertex_shown(job: &Job, v: &crate::model::job::Vertex, version: Version, metrics: &MetricStore) -> Timed {
    let start = v.subtasks.iter().map(|s| s.start()).filter(|t| *t > 0).min().unwrap_or(-1);
    let over = v.subtasks.iter().all(|s| s.state.is_terminal());
    // What was never deployed has no end either.
    let ended = || v.subtasks.iter().map(|s| s.end()).max().unwrap_or(-1);
    let end = if over && start >= 0 { ended() } else { -1 };
    let duration = match start {
        ..0 => Millis::Fixed(-1),
        _ if over => Millis::Fixed(end - start),
        _ => Millis::Since(start),
    };
    let waiting = waits_adaptively(job);
    let count = |s: &TaskState| if waiting { 0 } else { v.count(*s) };
    let tasks: Map<String, Value> =
        TaskState::ALL.iter().map(|s| (s.name().to_owned(), count(s).into())).collect();
    let mut what = json!({
        "id": v.id, "name": v.spec.name, "maxParallelism": v.max_parallelism, "parallelism": v.parallelism_shown(),
        "status": vertex_status(job, v).name(), "start-time": start, "end-time": end, "tasks": tasks,
        "metrics": super::vertices::io_metrics(job, v, None, metrics)
    });
    if version.since_1_20() {
        what["slotSharingGroupId"] = v.slot_group.as_ref().unwrap_or(&job.slot_group).as_str().into();
    }
    Timed { what, duration }
}

/// The adaptive scheduler has made no graph: the job waits for slots, or was over before it had any.
pub(super) fn waits_adaptively(job: &Job) -> bool {
    job.adaptive && (job.state == JobState::Created || job.stamps[JobState::Running as usize] == 0)
}

/// When a job entered a state, as its graph tells. The adaptive scheduler makes a graph per execution: it is canceled while
/// the job is restarted, and the next one knows nothing of that. Without a graph only the beginning is known, and a
/// failure (recorded).
fn stamp(job: &Job, state: JobState) -> i64 {
    let at = |state: JobState| job.stamps[state as usize];
    match state {
        _ if !job.adaptive => at(state),
        JobState::Restarting => 0,
        JobState::Cancelling if job.state == JobState::Restarting => at(JobState::Restarting),
        JobState::Initializing | JobState::Failed => at(state),
        _ if waits_adaptively(job) => 0,
        _ => at(state),
    }
}

fn end_shown(job: &Job) -> i64 {
    if job.state == JobState::Canceled && waits_adaptively(job) { 0 } else { job.end_time() }
}

fn vertex_status(job: &Job, vertex: &Vertex) -> TaskState {
    if waits_adaptively(job) { TaskState::Created } else { vertex.status() }
}

/// Without a graph the plan is empty, in the way of the version.
pub(super) fn plan_json(job: &Job, version: Version) -> Value {
    if job.vertices.is_empty() || waits_adaptively(job) {
        return if version.is_2() {
            json!({"jid": "", "name": "", "type": "", "nodes": []})
        } else {
            json!({})
        };
    }
    let vertices: Vec<_> = job.vertices.iter().map(|v| (&v.spec, v.parallelism_shown())).collect();
    let mut plan = plan_of(&job.id, &job.name, job_type(job), &vertices);
    // Plans of the adaptive scheduler, and of graphs that grow, come in topological order (recorded).
    if let Some(nodes) = plan["nodes"].as_array_mut().filter(|_| job.adaptive || job.grows) {
        let is_there = |node: &mut Value| in_graph(job).any(|v| node["id"] == *v.id);
        nodes.retain_mut(is_there);
        nodes.sort_by_key(|node| job.vertices.iter().position(|v| node["id"] == *v.id));
    }
    plan
}

/// Nodes sink first: from the last vertex depth-first through its inputs, as the recorded plans list them.
pub(super) fn plan_of(
    jid: &str,
    name: &str,
    kind: &str,
    vertices: &[(&crate::program::VertexSpec, i64)],
) -> Value {
    let mut order = Vec::new();
    for last in (0..vertices.len()).rev() {
        visit(last, vertices, &mut order);
    }
    let nodes: Vec<Value> = order.iter().map(|i| {
        let (spec, parallelism) = vertices[*i];
        let mut node = json!({
            "id": spec.id(), "parallelism": parallelism, "operator": "", "operator_strategy": "",
            "description": spec.description, "optimizer_properties": {}
        });
        if !spec.inputs.is_empty() {
            let inputs = spec.inputs.iter().enumerate().filter_map(|(num, input)| {
                let (upstream, _) = vertices.get(input.from)?;
                Some(json!({
                    "num": num, "id": upstream.id(), "ship_strategy": input.ship.name(), "exchange": input.exchange.name()
                }))
            });
            node["inputs"] = inputs.collect();
        }
        node
    }).collect();
    json!({"jid": jid, "name": name, "type": kind, "nodes": nodes})
}

fn visit(at: usize, vertices: &[(&crate::program::VertexSpec, i64)], order: &mut Vec<usize>) {
    if order.contains(&at) || at >= vertices.len() {
        return;
    }
    order.push(at);
    for input in &vertices[at].0.inputs {
        visit(input.from, vertices, order);
    }
}

pub(super) fn plan(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    ok(json!({"plan": plan_json(&job, c.version)}))
}

pub(super) fn config(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let user: Map<String, Value> =
        job.program.user_config.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    // 1.20 knows only strategies that the program itself has set, and names the cluster default for all that come through
    // a configuration, in application mode too (recorded).
    let strategy = if c.version.is_2() || !c.version.since_1_20() {
        job.restart.describe(c.version)
    } else {
        "Cluster level default restart strategy".to_owned()
    };
    let mut execution = json!({
        "restart-strategy": strategy, "job-parallelism": job.parallelism_shown(), "object-reuse-mode": job.conf.bool("pipeline.object-reuse", false), "user-config": user
    });
    if !c.version.is_2() {
        execution["execution-mode"] = "PIPELINED".into();
    }
    ok(json!({"jid": job.id, "name": job.name, "execution-config": execution}))
}

/// More than these were never shown by the half of the answer that 2.0 dropped.
const EXCEPTIONS_MAX: i64 = 20;

pub(super) fn exceptions(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let max = call.query("maxExceptions").and_then(|v| v.parse::<i64>().ok());
    let Ok(history_max) = usize::try_from(max.unwrap_or(i64::MAX)) else {
        let text = max.unwrap_or_default().to_string();
        return Err(RestError::Server(Throwable::new(class::ILLEGAL_ARGUMENT, text)));
    };
    // Failures of the model carry no labels, so a filter lets none through.
    let entries: Vec<&Failure> =
        if call.query("failureLabelFilter").is_some() { Vec::new() } else { job.history.iter().collect() };
    let shown: Vec<Value> = entries.iter().take(history_max).map(|f| failure_json(c, f, true)).collect();
    let history = json!({"truncated": shown.len() < entries.len(), "entries": shown});
    if c.version.is_2() {
        return ok(json!({"exceptionHistory": history}));
    }
    // The deprecated half: the newest failure, and what the current attempts failed of.
    let all: Vec<Value> = job
        .vertices
        .iter()
        .flat_map(|v| {
            v.subtasks.iter().enumerate().filter_map(|(i, s)| {
            let (cause, at) = s.failure.as_ref()?;
            let endpoint = endpoint(c, s.tm.as_deref());
            let mut out = json!({
                "exception": cause.trace(), "task": v.task_name(i), "location": endpoint, "timestamp": at,
                "taskManagerId": s.tm
            });
            if c.version.since_1_20() {
                out["endpoint"] = endpoint.into();
            }
            Some(out)
        }).collect::<Vec<_>>()
        })
        .collect();
    let max = max.unwrap_or(EXCEPTIONS_MAX).max(0) as usize;
    let truncated = all.len() > max;
    let all: Vec<Value> = all.into_iter().take(max).collect();
    // The adaptive scheduler sets the root exception only when the job is over (recorded as null before).
    let newest = job.unarchived.as_ref().or(job.history.front());
    let newest = newest.filter(|_| !job.adaptive || job.state.is_terminal());
    let root = newest.map(|f| (f.cause.trace(), f.at));
    // Over, it shows why it was not restarted, which its history does not (recorded).
    let last = job.failure.as_ref().filter(|_| job.adaptive && job.state == JobState::Failed);
    let root = match last {
        Some(cause) => Some((cause.trace(), root.map_or(job.end_time(), |(_, at)| at))),
        None => root,
    };
    ok(json!({
        "root-exception": root.as_ref().map(|(trace, _)| trace), "timestamp": root.as_ref().map(|(_, at)| at),
        "all-exceptions": all, "truncated": truncated, "exceptionHistory": history
    }))
}

fn failure_json(c: &Cluster, failure: &Failure, top: bool) -> Value {
    let mut out = json!({
        "exceptionName": failure.cause.class, "stacktrace": failure.cause.trace(), "timestamp": failure.at,
        "failureLabels": {}
    });
    if let Some((task, tm)) = &failure.task {
        let endpoint = endpoint(c, tm.as_deref());
        out["taskName"] = task.as_str().into();
        if !c.version.is_2() {
            out["location"] = endpoint.as_str().into();
        }
        if c.version.since_1_20() {
            out["endpoint"] = endpoint.into();
        }
        out["taskManagerId"] = json!(tm);
    }
    if top {
        out["concurrentExceptions"] = failure.concurrent.iter().map(|f| failure_json(c, f, false)).collect();
    }
    out
}

/// `host:dataPort` of a TaskManager.
pub(super) fn endpoint(c: &Cluster, tm: Option<&str>) -> String {
    match tm.and_then(|id| Some((id, c.tms.get(id)?))) {
        Some((id, tm)) => format!("{}:{}", host(id), tm.data_port),
        None => "(unassigned)".to_owned(),
    }
}

pub(super) fn host(tm: &str) -> &str {
    tm.split(':').next().unwrap_or(tm)
}

pub(super) fn accumulators(c: &mut Cluster, call: &Call) -> Answer {
    let job = graph(c, call)?;
    let serialized = call.query("includeSerializedValue").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let mut values = Map::new();
    if let Some(records) = counted(&job, c.now).filter(|_| serialized) {
        values.insert("records".into(), int_accumulator(records).into());
    }
    ok(json!({
        "job-accumulators": [], "user-task-accumulators": user_accumulators(&job, c.now),
        "serialized-user-task-accumulators": values
    }))
}

/// How often TaskManagers report what their tasks counted; the end of a task reports it, too.
const HEARTBEAT_MS: i64 = 10_000;

/// What the JobMaster knows of the accumulator of a job that counts records.
fn counted(job: &Job, now: i64) -> Option<u64> {
    // The last vertex counts; in a batch job it runs when the others are over.
    let counts = |v: &&Vertex| !job.is_staged() || job.vertices.last().is_some_and(|last| last.id == v.id);
    let tasks = || job.vertices.iter().filter(counts).flat_map(|v| &v.subtasks);
    let runs = || tasks().map(|s| s.stamps[TaskState::Running.index()]).filter(|at| *at >= 0).min();
    let since = if job.is_staged() { runs() } else { job.running_since };
    let heard = since.is_some_and(|since| now - since >= HEARTBEAT_MS);
    let opened = tasks().any(|s| s.stamps[TaskState::Running.index()] >= 0);
    let told = heard || opened && tasks().all(|s| s.state.is_terminal());
    (job.program.counts_records && told).then(|| job.counted(now))
}

pub(super) fn user_accumulators(job: &Job, now: i64) -> Value {
    match counted(job, now) {
        Some(records) => json!([{"name": "records", "type": "IntCounter", "value": records.to_string()}]),
        None => json!([]),
    }
}

pub(super) fn execution_result(c: &Cluster, call: &Call) -> Answer {
    let id = call.param("jobid");
    let Some(job) = c.jobs.get(id) else {
        let cause = Throwable::wrap(class::COMPLETION, job_not_found(id));
        let text = job_not_found(id).headline();
        return Err(error::rest_caused(StatusCode::NOT_FOUND, text, cause));
    };
    let status = match job.state {
        JobState::Finished => "SUCCEEDED",
        JobState::Canceled => "CANCELED",
        JobState::Failed => "FAILED",
        JobState::Suspended => "UNKNOWN",
        _ => return ok(json!({"status": {"id": "IN_PROGRESS"}})),
    };
    let mut accumulators = Map::new();
    if let Some(records) = counted(job, c.now) {
        accumulators.insert("records".into(), int_accumulator(records).into());
    }
    let mut result = json!({
        "id": job.id, "application-status": status, "accumulator-results": accumulators, "net-runtime": job.duration(c.now)
    });
    if let Some(cause) = &job.failure {
        result["failure-cause"] = cause.to_json();
    }
    ok(json!({"status": {"id": "COMPLETED"}, "job-execution-result": result}))
}

const MODE_STOP_REMOVED: &str = "The termination mode \"stop\" has been removed. For an ungraceful shutdown, please use \"cancel\" instead. For a graceful shutdown, please use \"jobs/:jobId/stop\" instead.";

pub(super) fn cancel(c: &mut Cluster, call: &Call) -> Answer {
    let stop = call.op == Op::YarnStop || call.query("mode").is_some_and(|m| m.eq_ignore_ascii_case("stop"));
    if stop {
        return Err(error::rest(StatusCode::PERMANENT_REDIRECT, MODE_STOP_REMOVED));
    }
    let id = call.param("jobid");
    let Some(job) = c.jobs.get(id) else {
        return Err(error::rest_caused(StatusCode::NOT_FOUND, "Job could not be found.", job_not_found(id)));
    };
    match job.state {
        JobState::Finished | JobState::Failed => {
            let text = format!(
                "Job cancellation failed because the job has already reached another terminal state ({}).",
                job.state.name()
            );
            Err(error::rest(StatusCode::CONFLICT, text))
        }
        _ => {
            c.cancel(id);
            accepted(json!({}))
        }
    }
}
