//! Described jobs as an autoscaler sees them: through REST, with figures that agree with each other.

use super::driver::{Driver, start_time};
use super::ha::{JOB, application};
use fake_flink::{JobState, ProgramTable, SnapshotStore, StartOptions, Version, program};
use serde_json::{Value, json};
use std::time::Duration;

const ORDERS: &str = r#"
name: Orders
vertices:
  - name: "Source: orders"
    uid: orders
    parallelism: 2
    source: { steps: [{ at: 0s, rate: 500 }, { at: 10min, rate: 1500 }], partitions: 4, out-of-orderness: 2s }
  - name: enrich -> filter
    uid: enrich
    inputs: [{ from: orders, ship: HASH }]
    cost: 2ms
    selectivity: 0.5
  - name: "out: Writer"
    uid: out
    parallelism: 1
    inputs: [{ from: enrich, ship: REBALANCE }]
    cost: 100us
"#;

fn options(version: Version, text: &str) -> StartOptions {
    let mut table = ProgramTable::default();
    program::read(&mut table, "orders.yaml", text).unwrap();
    let options = application(version, &SnapshotStore::new()).config("high-availability.type", "none");
    StartOptions { programs: table, ..options }
}

fn started(options: StartOptions) -> Driver {
    let mut d = Driver::start(options, start_time());
    d.pass(Duration::from_secs(30));
    assert_eq!(d.facts().jobs[0].state, JobState::Running);
    d
}

/// Aggregated metrics of the vertex with this uid, fetched as often as the cache wants.
fn look(d: &mut Driver, vertex: usize, names: &str) -> Value {
    let vertex = d.get(&format!("/jobs/{JOB}"))["vertices"][vertex]["id"].as_str().unwrap().to_owned();
    let path = format!("/jobs/{JOB}/vertices/{vertex}/subtasks/metrics?get={names}&agg=sum,max");
    d.get(&path);
    d.pass(Duration::from_secs(10));
    d.get(&path);
    d.get(&path)
}

fn value(metrics: &Value, name: &str, kind: &str) -> f64 {
    let row = metrics.as_array().unwrap().iter().find(|m| m["id"] == name);
    row.unwrap_or_else(|| panic!("no {name} in {metrics}"))[kind].as_f64().unwrap()
}

#[test]
fn an_autoscaler_finds_what_it_reads() {
    for version in [Version::V1_18, Version::V1_20, Version::V2_2] {
        let mut d = started(options(version, ORDERS));
        let source = look(
            &mut d,
            0,
            "Source__orders.numRecordsInPerSecond,Source__orders.numRecordsIn,Source__orders.pendingRecords,busyTimeMsPerSecond,backPressuredTimeMsPerSecond",
        );
        assert_eq!(value(&source, "Source__orders.numRecordsInPerSecond", "sum"), 500.0, "{version}");
        assert_eq!(value(&source, "Source__orders.pendingRecords", "sum"), 0.0);
        assert_eq!(value(&source, "backPressuredTimeMsPerSecond", "max"), 0.0);
        // 500 records of 2 ms on two subtasks, 64 key groups each.
        let enrich = look(
            &mut d,
            1,
            "busyTimeMsPerSecond,idleTimeMsPerSecond,numRecordsInPerSecond,numRecordsOutPerSecond",
        );
        assert_eq!(value(&enrich, "busyTimeMsPerSecond", "max"), 500.0);
        assert_eq!(value(&enrich, "numRecordsInPerSecond", "sum"), 500.0);
        assert_eq!(value(&enrich, "numRecordsOutPerSecond", "sum"), 250.0);
        // The rate triples: 1000 a second is all that 2 ms on two subtasks allow.
        d.pass(Duration::from_secs(660));
        let source = look(
            &mut d,
            0,
            "Source__orders.numRecordsInPerSecond,Source__orders.pendingRecords,backPressuredTimeMsPerSecond,Source__orders.watermarkLag",
        );
        assert_eq!(value(&source, "Source__orders.numRecordsInPerSecond", "sum").round(), 1000.0);
        assert!(value(&source, "backPressuredTimeMsPerSecond", "max") > 800.0);
        assert!(value(&source, "Source__orders.pendingRecords", "sum") > 30_000.0);
        assert!(value(&source, "Source__orders.watermarkLag", "max") > 20_000.0);
        let enrich = look(&mut d, 1, "busyTimeMsPerSecond");
        assert_eq!(value(&enrich, "busyTimeMsPerSecond", "max"), 1000.0);
    }
}

#[test]
fn partitions_show_as_a_kafka_source_shows_them() {
    let mut d = started(options(Version::V1_20, ORDERS));
    let names = "Source__orders.KafkaSourceReader.topic.orders.partition.3.currentOffset";
    assert!(value(&look(&mut d, 0, names), names, "sum") > 0.0);
}

#[test]
fn backpressure_is_told_where_the_dashboard_looks() {
    let mut d = started(options(Version::V1_20, &ORDERS.replace("rate: 500", "rate: 5000")));
    look(&mut d, 0, "numRecordsIn");
    let vertices = d.get(&format!("/jobs/{JOB}"))["vertices"].clone();
    let mut pressure = |at: usize| {
        let id = vertices[at]["id"].as_str().unwrap().to_owned();
        d.get(&format!("/jobs/{JOB}/vertices/{id}/backpressure"))["backpressureLevel"].clone()
    };
    assert_eq!([pressure(0), pressure(1), pressure(2)], [json!("high"), json!("ok"), json!("ok")]);
}

#[test]
fn what_was_read_after_the_last_checkpoint_is_read_again() {
    let mut d = started(options(Version::V1_20, ORDERS).config("execution.checkpointing.interval", "10s"));
    let before = d.facts().jobs[0].progress;
    let cause = fake_flink::Throwable::new("java.lang.RuntimeException", "x");
    d.event(fake_flink::Event::Command(fake_flink::Command::FailJob { job: None, cause, times: Some(1) }));
    d.pass(Duration::from_secs(60));
    // Records kept arriving while nobody read: a minute later it has caught up with all of them.
    let gained = d.facts().jobs[0].progress - before;
    assert_eq!(gained, 30_000);
}

#[test]
fn jobs_that_end_end_when_their_records_are_read() {
    let text = "name: Count\nbatch: true\nrecords: 5000\nvertices:\n  - {name: 'Source: s', source: {rate: 100000}, cost: 1ms}\n";
    let mut d = Driver::start(options(Version::V2_2, text), start_time());
    d.pass(Duration::from_secs(4));
    assert_eq!(d.facts().jobs[0].state, JobState::Running);
    d.pass(Duration::from_secs(20));
    let job = &d.facts().jobs[0];
    assert_eq!((job.state, job.progress), (JobState::Finished, 10_000));
}

#[test]
fn only_the_failed_region_starts_again() {
    let text = r#"
name: Apart
failing-vertex: left sink
vertices:
  - { name: "Source: left" }
  - { name: left sink, inputs: [{ from: "Source: left", ship: HASH }] }
  - { name: "Source: right -> Sink: right" }
"#;
    let mut d = started(options(Version::V1_20, text));
    let cause = fake_flink::Throwable::new("java.lang.RuntimeException", "x");
    d.event(fake_flink::Event::Command(fake_flink::Command::FailJob { job: None, cause, times: Some(1) }));
    assert!(d.logged("4 tasks will be restarted to recover the failed task left sink (1/2) - execution #0."));
    d.pass(Duration::from_secs(10));
    assert!(d.facts().jobs[0].processing);
    let vertices = d.get(&format!("/jobs/{JOB}"))["vertices"].clone();
    let mut attempts = |at: usize| {
        let id = vertices[at]["id"].as_str().unwrap().to_owned();
        d.get(&format!("/jobs/{JOB}/vertices/{id}"))["subtasks"][0]["attempt"].clone()
    };
    assert_eq!([attempts(0), attempts(1), attempts(2)], [json!(1), json!(1), json!(0)]);
}

#[test]
fn a_standalone_cluster_says_at_once_that_slots_are_missing_once_it_is_up() {
    let options =
        StartOptions { resources: fake_flink::ResourceManager::Standalone, ..options(Version::V2_2, ORDERS) };
    let mut d = Driver::start(options.config("slot.request.timeout", "60s"), start_time());
    d.pass(Duration::from_secs(55));
    assert_eq!(d.facts().jobs[0].state, JobState::Running);
    d.pass(Duration::from_secs(10));
    assert_eq!(d.facts().jobs[0].state, JobState::Failed);
    let history = d.get(&format!("/jobs/{JOB}/exceptions"))["exceptionHistory"]["entries"].clone();
    assert_eq!(history[1]["exceptionName"], "java.util.concurrent.CompletionException");
    assert!(
        history[1]["stacktrace"]
            .as_str()
            .unwrap()
            .contains("NoResourceAvailableException: Could not acquire the minimum required resources.")
    );
}

#[test]
fn an_application_executes_several_jobs_one_after_another() {
    let text = "name: first\nrecords: 100\nvertices: [{name: 'Source: a'}]\n";
    let jobs = r"
jobs:
  - { name: first, records: 100, vertices: [{ name: 'Source: a' }] }
  - { name: second, vertices: [{ name: 'Source: b' }] }
";
    let plain = |text: &str| {
        let mut o = options(Version::V1_20, text);
        o.config.remove("$internal.pipeline.job-id");
        o
    };
    let mut d = Driver::start(plain(text), start_time());
    d.pass(Duration::from_secs(20));
    assert!(d.logged("Application completed SUCCESSFULLY"));
    let mut d = Driver::start(plain(jobs), start_time());
    d.pass(Duration::from_secs(20));
    let states: Vec<(String, JobState)> = d.facts().jobs.iter().map(|j| (j.name.clone(), j.state)).collect();
    assert_eq!(states, [("first".to_owned(), JobState::Finished), ("second".to_owned(), JobState::Running)]);
    assert!(!d.logged("Application completed"));
    // A fixed job id allows one job only.
    let mut d = Driver::start(options(Version::V1_20, jobs), start_time());
    d.pass(Duration::from_secs(20));
    assert_eq!(d.exit, Some(2));
    assert!(d.logged("Cannot have more than one execute() or executeAsync() call in a single environment."));
}

#[test]
fn incremental_checkpoints_write_what_changed() {
    let text = "name: Grow\nvertices:\n  - {name: 'Source: a', parallelism: 1, source: {rate: 100}, state: {bytes: 1000, bytes-per-record: 10, bytes-max: 100000}}\n";
    let mut d = started(
        options(Version::V2_2, text)
            .config("state.backend.type", "rocksdb")
            .config("execution.checkpointing.incremental", "true")
            .config("execution.checkpointing.interval", "10s"),
    );
    let sizes = |d: &mut Driver| {
        let last = d.get(&format!("/jobs/{JOB}/checkpoints"))["latest"]["completed"].clone();
        (last["checkpointed_size"].as_u64().unwrap(), last["state_size"].as_u64().unwrap())
    };
    let (written, whole) = sizes(&mut d);
    assert!((9_000..11_000).contains(&written) && whole > 15_000, "{written} of {whole}");
    d.pass(Duration::from_secs(300));
    assert_eq!(sizes(&mut d).1, 100_000);
}

#[test]
fn a_checkpoint_asked_for_waits_for_the_one_in_progress() {
    let mut o = options(Version::V1_20, ORDERS).config("execution.checkpointing.interval", "20s");
    o.model.checkpoint = fake_flink::Delay::Fixed(Duration::from_secs(15));
    let mut d = started(o);
    let counts = |d: &mut Driver| d.get(&format!("/jobs/{JOB}/checkpoints"))["counts"].clone();
    while counts(&mut d)["in_progress"] != json!(1) {
        d.pass(Duration::from_millis(500));
    }
    let before = counts(&mut d)["total"].as_u64().unwrap();
    d.post(&format!("/jobs/{JOB}/checkpoints"), json!({}));
    d.pass(Duration::from_secs(4));
    // It does not begin beside the other one, but when that has ended.
    assert_eq!((counts(&mut d)["total"].as_u64(), &counts(&mut d)["in_progress"]), (Some(before), &json!(1)));
    d.pass(Duration::from_secs(15));
    assert_eq!(
        (counts(&mut d)["total"].as_u64(), &counts(&mut d)["in_progress"]),
        (Some(before + 1), &json!(1))
    );
}
