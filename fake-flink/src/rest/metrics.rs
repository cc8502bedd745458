//! Metrics: the values the model knows under their real names, fetched with delay, listed, picked and aggregated.
//! Those of subtasks are in `task_metrics.rs`.

use super::cache::MetricStore;
use super::route::Call;
use super::{Answer, ok};
use crate::ids::parse_hex32;
use crate::java;
use crate::model::checkpoints::{Coordinator, Outcome};
use crate::model::cluster::Cluster;
use crate::model::job::Job;
use crate::model::state::JobState;
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Values = BTreeMap<String, String>;

/// Everything there is to fetch now.
pub(super) fn collect(c: &Cluster) -> MetricStore {
    let mut store = MetricStore::new();
    store.insert(String::new(), jobmanager_values(c));
    for id in c.tms.keys() {
        store.insert(format!("tm:{id}"), taskmanager_values(c));
    }
    for job in c.jobs.values().filter(|j| !j.driver_only) {
        store.insert(job.id.clone(), job_values(c, job));
        if job.running_since.is_some() || job.is_staged() && job.all_running() {
            super::task_metrics::collect(c, job, &mut store);
        }
    }
    store
}

fn jobmanager_values(c: &Cluster) -> Values {
    let slots: usize = c.tms.values().map(|tm| tm.slots as usize).sum();
    let free: usize = c.tms.values().map(|tm| tm.free()).sum();
    let running = c.jobs.values().filter(|j| !j.state.is_terminal()).count();
    let mut out = jvm_values(c);
    for (name, value) in [
        ("taskSlotsTotal", slots),
        ("taskSlotsAvailable", free),
        ("numRegisteredTaskManagers", c.tms.len()),
        ("numRunningJobs", running),
    ] {
        out.insert(name.into(), value.to_string());
    }
    out
}

fn jvm_values(c: &Cluster) -> Values {
    let numbers = [
        ("Status.JVM.CPU.Load", "0.01"),
        ("Status.JVM.CPU.Time", "4520000000"),
        ("Status.JVM.ClassLoader.ClassesLoaded", "8300"),
        ("Status.JVM.ClassLoader.ClassesUnloaded", "0"),
        ("Status.JVM.Memory.Heap.Used", "47939968"),
        ("Status.JVM.Memory.Heap.Committed", "386924544"),
        ("Status.JVM.Memory.Heap.Max", "386924544"),
        ("Status.JVM.Memory.NonHeap.Used", "62000000"),
        ("Status.JVM.Memory.NonHeap.Committed", "66000000"),
        ("Status.JVM.Memory.NonHeap.Max", "780140544"),
        ("Status.JVM.Memory.Metaspace.Used", "50000000"),
        ("Status.JVM.Memory.Metaspace.Committed", "52000000"),
        ("Status.JVM.Memory.Metaspace.Max", "268435456"),
        ("Status.JVM.Memory.Direct.Count", "12"),
        ("Status.JVM.Memory.Direct.MemoryUsed", "1052000"),
        ("Status.JVM.Memory.Direct.TotalCapacity", "1052000"),
        ("Status.JVM.Memory.Mapped.Count", "0"),
        ("Status.JVM.Memory.Mapped.MemoryUsed", "0"),
        ("Status.JVM.Memory.Mapped.TotalCapacity", "0"),
        ("Status.JVM.Threads.Count", "61"),
        ("Status.JVM.GarbageCollector.All.Count", "5"),
        ("Status.JVM.GarbageCollector.All.Time", "60"),
        ("Status.JVM.GarbageCollector.All.TimeMsPerSecond", "0"),
        ("Status.JVM.GarbageCollector.G1_Old_Generation.Count", "0"),
        ("Status.JVM.GarbageCollector.G1_Old_Generation.Time", "0"),
        ("Status.JVM.GarbageCollector.G1_Old_Generation.TimeMsPerSecond", "0"),
        ("Status.JVM.GarbageCollector.G1_Young_Generation.Count", "5"),
        ("Status.JVM.GarbageCollector.G1_Young_Generation.Time", "60"),
        ("Status.JVM.GarbageCollector.G1_Young_Generation.TimeMsPerSecond", "0"),
    ];
    let files = [("Status.JVM.FileDescriptor.Max", "1048576"), ("Status.JVM.FileDescriptor.Open", "180")];
    let files = files.iter().filter(|_| c.version.is_2());
    let is_new = |name: &str| name.contains(".GarbageCollector.All.") || name.ends_with(".TimeMsPerSecond");
    let numbers = numbers.iter().filter(|(name, _)| c.version.since_1_20() || !is_new(name));
    numbers.chain(files).map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn taskmanager_values(c: &Cluster) -> Values {
    let mut out = jvm_values(c);
    let mut shuffle = vec!["Status.Shuffle.Netty"];
    if !c.version.is_2() {
        shuffle.push("Status.Network");
    }
    for prefix in shuffle {
        for name in ["TotalMemorySegments", "AvailableMemorySegments"] {
            out.insert(format!("{prefix}.{name}"), "1024".into());
        }
    }
    for (name, value) in [
        ("UsedMemorySegments", "0"),
        ("RequestedMemoryUsage", "0"),
        ("UsedMemory", "0"),
        ("TotalMemory", "33554432"),
        ("AvailableMemory", "33554432"),
    ] {
        out.insert(format!("Status.Shuffle.Netty.{name}"), value.into());
    }
    out.insert("Status.Flink.Memory.Managed.Used".into(), "0".into());
    out.insert("Status.Flink.Memory.Managed.Total".into(), "33554432".into());
    out
}

fn job_values(c: &Cluster, job: &Job) -> Values {
    let now = c.now;
    let mut out = Values::new();
    let mut put = |name: &str, value: String| {
        out.insert(name.to_owned(), value);
    };
    for (name, state) in [
        ("initializingTime", JobState::Initializing),
        ("createdTime", JobState::Created),
        ("runningTime", JobState::Running),
        ("restartingTime", JobState::Restarting),
        ("failingTime", JobState::Failing),
        ("cancellingTime", JobState::Cancelling),
    ] {
        put(name, job.time_in(state, now).to_string());
    }
    put("deployingTime", "0".into());
    // A rescale counts as a restart (seen on 1.20.3 and 2.2.1).
    let restarts = job.restarts + job.rescales;
    put("numRestarts", restarts.to_string());
    if c.version.is_2() {
        put("numRescales", job.rescales.to_string());
        if !job.program.batch {
            put("allSubTasksRunningOrFinishedTime", job.running_since.map_or(0, |s| now - s).to_string());
        }
    } else {
        put("fullRestarts", restarts.to_string());
    }
    let running = job.state == JobState::Running;
    put("uptime", if running { now - job.stamps[JobState::Running as usize] } else { -1 }.to_string());
    put("downtime", if running || job.state.is_terminal() { 0 } else { now - job.last_change }.to_string());
    // 2.x shows them of jobs that take no checkpoints, too.
    let none = c.version.is_2().then(Coordinator::none);
    if let Some(k) = job.coordinator.as_ref().or(none.as_ref()) {
        put("totalNumberOfCheckpoints", k.counts.total.to_string());
        put("numberOfInProgressCheckpoints", k.pending.len().to_string());
        put("numberOfCompletedCheckpoints", k.counts.completed.to_string());
        put("numberOfFailedCheckpoints", k.counts.failed.to_string());
        put("lastCheckpointRestoreTimestamp", k.latest_restored.as_ref().map_or(-1, |r| r.at).to_string());
        let newest = [&k.latest_completed, &k.latest_savepoint].into_iter().flatten().max_by_key(|e| e.id);
        let number = |f: fn(&crate::model::checkpoints::Entry) -> i64| newest.map_or(-1, f).to_string();
        put("lastCompletedCheckpointId", number(|e| e.id as i64));
        put("lastCheckpointDuration", number(|e| e.duration().unwrap_or(-1)));
        put("lastCheckpointSize", number(|e| e.written as i64));
        put("lastCheckpointFullSize", number(|e| e.bytes as i64));
        for name in ["lastCheckpointProcessedData", "lastCheckpointPersistedData"] {
            put(name, number(|_| 0));
        }
        if c.version.is_2() {
            put("lastCheckpointMetadataSize", number(|_| 7182));
            put("lastCheckpointCompletedTimestamp", number(|e| e.triggered + e.duration().unwrap_or(0)));
        }
        let path = newest.map(|e| match &e.outcome {
            Outcome::Completed { path, .. } => {
                path.clone().unwrap_or_else(|| "<checkpoint-not-externally-addressable>".into())
            }
            Outcome::InProgress | Outcome::Failed { .. } => "n/a".into(),
        });
        put("lastCheckpointExternalPath", path.unwrap_or_else(|| "n/a".into()));
    }
    out
}

/// Without `get` the names, with it name and value of those that exist.
fn listed(values: Option<&Values>, call: &Call) -> Answer {
    let Some(values) = values else { return ok(json!([])) };
    let wanted = call.query_list("get");
    let list: Vec<Value> = match wanted {
        None => values.keys().map(|id| json!({"id": id})).collect(),
        Some(names) => java::hash_order(names)
            .into_iter()
            .filter_map(|n| values.get(n).map(|v| json!({"id": n, "value": v})))
            .collect(),
    };
    ok(Value::Array(list))
}

pub(super) fn jobmanager(c: &mut Cluster, call: &Call) -> Answer {
    listed(c.fetched_metrics().get(""), call)
}

pub(super) fn job(c: &mut Cluster, call: &Call) -> Answer {
    listed(c.fetched_metrics().get(call.param("jobid")), call)
}

pub(super) fn taskmanager(c: &mut Cluster, call: &Call) -> Answer {
    listed(c.fetched_metrics().get(&format!("tm:{}", call.param("taskmanagerid"))), call)
}

fn subtasks_of(store: &MetricStore, call: &Call) -> Vec<(String, Values)> {
    let prefix = format!("{}/{}/", call.param("jobid"), call.param("vertexid"));
    store.iter().filter_map(|(k, v)| Some((k.strip_prefix(&prefix)?.to_owned(), v.clone()))).collect()
}

/// Names carry the subtask: `0.numRecordsIn`.
pub(super) fn vertex(c: &mut Cluster, call: &Call) -> Answer {
    let store = c.fetched_metrics();
    let all: Values = subtasks_of(&store, call)
        .into_iter()
        .flat_map(|(index, values)| values.into_iter().map(move |(k, v)| (format!("{index}.{k}"), v)))
        .collect();
    listed(Some(&all), call)
}

/// What the coordinator of a source counts in the JobManager: splits that no reader has.
pub(super) fn vertex_operators(c: &mut Cluster, call: &Call) -> Answer {
    let source = c.jobs.get(call.param("jobid")).and_then(|job| {
        let vertex = job.vertices.iter().find(|v| v.id == call.param("vertexid"))?;
        (vertex.spec.inputs.is_empty() && job.running_since.is_some()).then(|| metric_name(&vertex.spec.name))
    });
    let values = source.map(|name| {
        let metric = format!("{name}.coordinator.enumerator.unassignedSplits");
        Values::from([(metric, "0".to_owned())])
    });
    listed(values.as_ref(), call)
}

/// Operator names in metric names.
fn metric_name(operator: &str) -> String {
    operator.replace([':', ' ', '.'], "_")
}

pub(super) fn subtask(c: &mut Cluster, call: &Call) -> Answer {
    let key = format!("{}/{}/{}", call.param("jobid"), call.param("vertexid"), call.param("subtaskindex"));
    listed(c.fetched_metrics().get(&key), call)
}

pub(super) fn jobs(c: &mut Cluster, call: &Call) -> Answer {
    let store = c.fetched_metrics();
    let only: Option<Vec<String>> =
        call.query_list("jobs").map(|l| l.into_iter().filter_map(parse_hex32).collect());
    let picked = store.iter().filter(|(k, _)| k.len() == 32 && !k.contains('/') && !k.contains(':'));
    let picked = picked.filter(|(k, _)| only.as_ref().is_none_or(|o| o.contains(k))).map(|(_, v)| v.clone());
    aggregate(c, picked.collect(), call)
}

pub(super) fn taskmanagers(c: &mut Cluster, call: &Call) -> Answer {
    let store = c.fetched_metrics();
    let only: Option<Vec<String>> =
        call.query_list("taskmanagers").map(|l| l.into_iter().map(str::to_owned).collect());
    let picked = store.iter().filter_map(|(k, v)| Some((k.strip_prefix("tm:")?, v)));
    let picked = picked
        .filter(|(k, _)| only.as_ref().is_none_or(|o| o.iter().any(|x| x == k)))
        .map(|(_, v)| v.clone());
    aggregate(c, picked.collect(), call)
}

pub(super) fn subtasks(c: &mut Cluster, call: &Call) -> Answer {
    let store = c.fetched_metrics();
    let ranges: Option<Vec<_>> =
        call.query_list("subtasks").map(|l| l.into_iter().filter_map(range).collect());
    let wanted = |index: &str| {
        let Some(ranges) = &ranges else { return true };
        index.parse::<u32>().is_ok_and(|index| ranges.iter().any(|r| r.contains(&index)))
    };
    let picked = subtasks_of(&store, call).into_iter().filter(|(index, _)| wanted(index));
    aggregate(c, picked.map(|(_, v)| v).collect(), call)
}

/// `3` or `1-5`.
fn range(text: &str) -> Option<std::ops::RangeInclusive<u32>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Some(from.trim().parse().ok()?..=to.trim().parse().ok()?)
}

fn aggregate(c: &Cluster, owners: Vec<Values>, call: &Call) -> Answer {
    let Some(names) = call.query_list("get") else {
        let mut names: Vec<&String> = owners.iter().flat_map(|v| v.keys()).collect();
        names.sort();
        names.dedup();
        return ok(names.into_iter().map(|id| json!({"id": id})).collect());
    };
    let kinds: Vec<String> = match call.query_list("agg") {
        Some(list) => list.into_iter().map(str::to_ascii_lowercase).collect(),
        None => ["min", "max", "avg", "sum", "skew"].map(str::to_owned).to_vec(),
    };
    // What is no number is left out, and what nobody has leaves nothing of the rest
    // (`AbstractAggregatingMetricsHandler`, recorded).
    let values = |name: &str| owners.iter().filter_map(|v| v.get(name)).collect::<Vec<&String>>();
    if names.iter().any(|name| values(name).is_empty()) {
        return ok(json!([]));
    }
    let rows = names.into_iter().filter_map(|name| {
        let numbers: Vec<f64> = values(name).into_iter().map(|v| v.parse().ok()).collect::<Option<_>>()?;
        let (n, sum) = (numbers.len() as f64, numbers.iter().sum::<f64>());
        let mut row = json!({"id": name});
        for kind in &kinds {
            let value = match kind.as_str() {
                "min" => numbers.iter().copied().fold(f64::INFINITY, f64::min),
                "max" => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                "avg" => sum / n,
                "sum" => sum,
                "skew" if c.version.since_1_20() => skew(&numbers, sum / n),
                _ => continue,
            };
            row[kind.as_str()] = value.into();
        }
        Some(row)
    });
    ok(Value::Array(rows.collect()))
}

/// Mean absolute deviation relative to the mean, in percent.
fn skew(numbers: &[f64], mean: f64) -> f64 {
    if mean == 0.0 {
        return 0.0;
    }
    let deviation = numbers.iter().map(|x| (x - mean).abs()).sum::<f64>() / numbers.len() as f64;
    (deviation / mean * 100.0).min(100.0)
}
