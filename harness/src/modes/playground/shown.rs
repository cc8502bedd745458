//! A world as its page shows it: the deployments, active faults, rows of the timeline.

use std::collections::BTreeMap;

use drey_language::events::{Event, Lane};
use drey_language::scenario::Case;
use drey_playground::{History, Verb, Version, key_of, reference};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::modes::FlinkDoors;
use crate::world::World;
use crate::world::flink::ClusterKey;

/// A row: `[seq, ms, lane, kind, object, text, cause, revision]`. None for routine that would bury the story.
pub fn row(event: &Event, start: Timestamp) -> Option<Value> {
    if event.detail.get("quiet") == Some(&Value::Bool(true)) {
        return None;
    }
    let lane = Lane::ALL.iter().position(|lane| *lane == event.lane);
    let ms = u64::try_from(event.since(start).as_millis()).unwrap_or(u64::MAX);
    let revision = event.detail.get("revision");
    Some(json!([event.seq, ms, lane, event.kind.name(), event.object, event.text, event.cause, revision]))
}

/// Everything that is in the API server now, before its changes are told.
pub fn fill(history: &History, world: &World) {
    let client = world.api.client("page");
    for served in client.resources() {
        for object in client.list(&served.resource, "", "").unwrap_or_default() {
            let version =
                object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
            history.add(Version {
                revision: version.unwrap_or_default(),
                ms: 0,
                verb: Verb::Created,
                actor: "the world".into(),
                object,
            });
        }
    }
}

/// Clusters whose checkpoints were stalled, by the pods that were told so: another JobManager knows nothing of it.
pub type Stalled = BTreeMap<ClusterKey, Vec<String>>;

/// One row per FlinkDeployment.
pub fn deployments(world: &World, history: &History, doors: &FlinkDoors, stalled: &Stalled) -> Value {
    let objects = history.of_kind("FlinkDeployment");
    objects.iter().map(|object| deployment(object, world, doors, stalled)).collect()
}

fn deployment(object: &Value, world: &World, doors: &FlinkDoors, stalled: &Stalled) -> Value {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let key = ClusterKey::new(text("/metadata/namespace"), text("/metadata/name"));
    let facts = world.flink.facts(&key);
    let job = facts.iter().rev().flat_map(|(_, facts)| &facts.jobs).next();
    let lifecycle = if text("/metadata/deletionTimestamp").is_empty() {
        text("/status/lifecycleState")
    } else {
        "DELETING"
    };
    let told = text("/status/jobStatus/state");
    let snapshot = |fact: &Option<fake_flink::SnapshotFact>| {
        fact.as_ref().map(|fact| json!({"id": fact.id, "path": fact.path}))
    };
    let is_stalled = stalled.get(&key).is_some_and(|pods| facts.iter().any(|(pod, _)| pods.contains(pod)));
    let mode =
        if text("/spec/job/upgradeMode").is_empty() { "stateless" } else { text("/spec/job/upgradeMode") };
    let task_managers: usize = facts.iter().map(|(_, facts)| facts.task_managers.len()).sum();
    let from = job.and_then(|job| job.restored_from.as_ref()).and_then(|from| from.path.as_deref());
    let actual = match job {
        Some(job) => job.state.name().to_owned(),
        None if facts.is_empty() => "no JobManager".to_owned(),
        None => "none".to_owned(),
    };
    let failure = job.and_then(|job| job.failure.clone());
    let is_suspended = lifecycle == "SUSPENDED";
    let tone = tone(lifecycle, &actual);
    json!({
        "key": key.to_string(),
        "name": key.name,
        "ref": if key.namespace == "default" { key.name.clone() } else { key.to_string() },
        "reference": reference(object),
        "object": key_of(object),
        "tone": tone,
        "state": if lifecycle.is_empty() { "NEW" } else { lifecycle },
        "what": format!("{} · {mode} · parallelism {}", text("/spec/flinkVersion"), object["spec"]["job"]["parallelism"]),
        "job": if told == actual || told.is_empty() { actual } else { format!("{actual} (status: {told})") },
        "id": job.map(|job| job.id.clone()),
        "restarts": job.map(|job| job.restarts),
        "checkpoint": job.and_then(|job| snapshot(&job.latest_checkpoint)),
        "savepoint": job.and_then(|job| snapshot(&job.latest_savepoint)),
        "from": from.and_then(|path| path.rsplit('/').next()),
        "taskManagers": task_managers,
        "why": failure.or_else(|| object["status"]["error"].as_str().map(error_of)),
        "url": doors.url(&key.namespace, &key.name),
        "checkpoints": object["spec"]["flinkConfiguration"]["execution.checkpointing.interval"].is_string(),
        "stalled": is_stalled,
        "suspended": is_suspended,
        "nonce": object["spec"]["restartNonce"].as_i64().unwrap_or_default(),
    })
}

/// As its status tells, where nothing is known of its JobManager.
pub fn by_status(object: &Value) -> Value {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let lifecycle = if text("/metadata/deletionTimestamp").is_empty() {
        text("/status/lifecycleState")
    } else {
        "DELETING"
    };
    let key = ClusterKey::new(text("/metadata/namespace"), text("/metadata/name"));
    let job = text("/status/jobStatus/state");
    let mode =
        if text("/spec/job/upgradeMode").is_empty() { "stateless" } else { text("/spec/job/upgradeMode") };
    json!({
        "key": key.to_string(),
        "name": key.name,
        "ref": key.to_string(),
        "reference": format!("{}:FlinkDeployment/{}", key.namespace, key.name),
        "object": key_of(object),
        "tone": tone(lifecycle, job),
        "state": if lifecycle.is_empty() { "NEW" } else { lifecycle },
        "what": format!("{} · {mode} · parallelism {}", text("/spec/flinkVersion"), object["spec"]["job"]["parallelism"]),
        "job": if job.is_empty() { "unknown" } else { job },
        "id": text("/status/jobStatus/jobId"),
        "from": text("/status/jobStatus/upgradeSavepointPath").rsplit('/').next(),
        "why": object["status"]["error"].as_str().map(error_of),
        "suspended": lifecycle == "SUSPENDED",
        "nonce": object["spec"]["restartNonce"].as_i64().unwrap_or_default(),
    })
}

fn tone(lifecycle: &str, job: &str) -> &'static str {
    match (lifecycle, job) {
        ("STABLE", "RUNNING" | "FINISHED") => "good",
        ("SUSPENDED", _) => "none",
        ("FAILED", _) | (_, "FAILED") => "bad",
        _ => "busy",
    }
}

/// `status.error` is JSON with a message, mostly.
fn error_of(error: &str) -> String {
    let parsed = serde_json::from_str::<Value>(error).ok();
    parsed.and_then(|error| error["message"].as_str().map(str::to_owned)).unwrap_or_else(|| error.to_owned())
}

/// Faults that may still strike: those of steps, and those of `drey fault`.
pub fn faults(world: &World, control: &[Value]) -> Value {
    let told = |seq: u64| world.journal.with(|log| log.get(seq).map(|event| event.text.clone()));
    let rules = world.faults.active().into_iter().chain(world.network.active());
    let of_steps = rules.map(|(name, seq, hits, times)| {
        let times = times.map(|times| format!(" of {times}")).unwrap_or_default();
        json!({"text": told(seq).unwrap_or_else(|| name.clone()), "hits": format!("struck {hits}{times}"),
            "lift": {"control": {"what": "clear", "of": name}}})
    });
    let of_control = control.iter().filter(|fault| fault["state"] == "active").map(|fault| {
        let name = fault["name"].as_str().unwrap_or_default();
        let text = format!(
            "drey fault {} {name} {} -> {}",
            fault["id"].as_str().unwrap_or_default(),
            fault["match"],
            fault["verdict"]
        );
        json!({"text": text, "hits": format!("struck {}", fault["hits"])})
    });
    of_steps.chain(of_control).collect()
}

/// What the world is, told once.
pub fn world(
    name: &str,
    case: &Case,
    seed: u64,
    facts: &[String],
    vocabulary: &drey_language::vocabulary::Vocabulary,
) -> Value {
    json!({
        "name": name,
        "start": case.clock.start.to_string(),
        "seed": seed,
        "facts": facts,
        "can": {"clock": true, "faults": true},
        "deeds": super::words::deeds(),
        "presets": super::words::presets(),
        "words": super::words::words(vocabulary),
    })
}
