//! The adaptive scheduler against what real clusters of 1.20.3 and 2.2.1 did in the same situations.

use super::driver::{Driver, start_time};
use super::ha::{JOB, application};
use fake_flink::{Event, JobState, ResourceManager, SnapshotStore, StartOptions, Version};
use serde_json::{Value, json};
use std::time::Duration;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A standalone cluster with the adaptive scheduler and this many slots.
fn cluster(version: Version, parallelism: &str, slots: u32) -> Driver {
    let options = application(version, &SnapshotStore::new())
        .config("high-availability.type", "none")
        .config("jobmanager.scheduler", "adaptive")
        .config("jobmanager.adaptive-scheduler.resource-wait-timeout", "15s")
        .config("parallelism.default", parallelism);
    let options = StartOptions { resources: ResourceManager::Standalone, ..options };
    let mut d = Driver::start(options, start_time());
    d.pass(seconds(2));
    if slots > 0 {
        d.event(Event::TaskManagerUp { id: "tm-1".into(), slots });
    }
    d
}

fn require(d: &mut Driver, lower: u32, upper: u32) {
    let path = format!("/jobs/{JOB}/resource-requirements");
    let bounds = d.get(&path);
    let wanted: serde_json::Map<String, Value> = bounds
        .as_object()
        .unwrap()
        .keys()
        .map(|v| (v.clone(), json!({"parallelism": {"lowerBound": lower, "upperBound": upper}})))
        .collect();
    assert_eq!(d.call("PUT", &path, Some(&wanted.into())).status, 200);
}

fn parallelism(d: &Driver) -> (JobState, Vec<u32>) {
    let job = &d.facts().jobs[0];
    (job.state, job.parallelism.clone())
}

#[test]
fn fewer_slots_are_taken_after_the_stabilization_timeout() {
    let mut d = cluster(Version::V2_2, "6", 4);
    d.pass(seconds(9));
    assert_eq!(parallelism(&d), (JobState::Created, vec![6, 6]));
    d.pass(seconds(3));
    assert_eq!(parallelism(&d), (JobState::Running, vec![4, 4]));
}

#[test]
fn a_rescale_waits_for_the_cooldown_and_starts_the_next_one() {
    for version in [Version::V1_20, Version::V2_2] {
        let mut d = cluster(version, "2", 4);
        d.pass(seconds(16));
        require(&mut d, 1, 1);
        d.pass(seconds(12));
        assert_eq!(parallelism(&d).1, [2, 2], "{version}");
        d.pass(seconds(4));
        assert_eq!(parallelism(&d), (JobState::Running, vec![1, 1]), "{version}");
        require(&mut d, 1, 4);
        d.pass(seconds(25));
        assert_eq!(parallelism(&d).1, [1, 1]);
        d.pass(seconds(6));
        assert_eq!(parallelism(&d).1, [4, 4]);
        let path = format!("/jobs/{JOB}/metrics?get=numRestarts");
        d.get(&path);
        d.pass(seconds(11));
        d.get(&path);
        assert_eq!(d.get(&path), json!([{"id": "numRestarts", "value": "2"}]));
        assert_eq!(d.get(&format!("/jobs/{JOB}/exceptions"))["exceptionHistory"]["entries"], json!([]));
    }
}

#[test]
fn bounds_that_cannot_be_met_change_nothing() {
    let mut d = cluster(Version::V2_2, "2", 4);
    d.pass(seconds(40));
    require(&mut d, 5, 6);
    d.pass(seconds(120));
    assert_eq!(parallelism(&d), (JobState::Running, vec![2, 2]));
    d.event(Event::TaskManagerUp { id: "tm-2".into(), slots: 2 });
    d.pass(seconds(2));
    assert_eq!(parallelism(&d).1, [6, 6]);
}

#[test]
fn slots_that_come_while_it_runs_are_used() {
    let mut d = cluster(Version::V2_2, "6", 2);
    d.pass(seconds(60));
    assert_eq!(parallelism(&d).1, [2, 2]);
    d.event(Event::TaskManagerUp { id: "tm-2".into(), slots: 2 });
    d.pass(seconds(50));
    // Not all it wants: a minute of stability first.
    assert_eq!(parallelism(&d).1, [2, 2]);
    d.pass(seconds(15));
    assert_eq!(parallelism(&d).1, [4, 4]);
}

#[test]
fn without_resources_it_fails_in_the_end() {
    let mut d = cluster(Version::V1_20, "2", 0);
    d.pass(seconds(20));
    assert_eq!(parallelism(&d), (JobState::Failed, vec![2, 2]));
    let result = d.get(&format!("/jobs/{JOB}/execution-result"));
    let trace = result["job-execution-result"]["failure-cause"]["stack-trace"].as_str().unwrap();
    assert!(trace.contains("NoResourceAvailableException: Not enough resources available for scheduling."));
    assert_eq!(d.get(&format!("/jobs/{JOB}/exceptions"))["exceptionHistory"]["entries"], json!([]));
}

#[test]
fn a_lost_task_manager_leaves_it_waiting_on_what_remains() {
    let mut d = cluster(Version::V2_2, "4", 2);
    d.event(Event::TaskManagerUp { id: "tm-2".into(), slots: 2 });
    d.pass(seconds(5));
    assert_eq!(parallelism(&d).1, [4, 4]);
    d.event(Event::TaskManagerLost { id: "tm-1".into() });
    d.pass(seconds(5));
    assert_eq!(parallelism(&d), (JobState::Created, vec![4, 4]));
    d.pass(seconds(8));
    assert_eq!(parallelism(&d), (JobState::Running, vec![2, 2]));
}

#[test]
fn reactive_mode_takes_what_there_is_at_once() {
    let options = application(Version::V1_20, &SnapshotStore::new())
        .config("high-availability.type", "none")
        .config("scheduler-mode", "reactive");
    let options = StartOptions { resources: ResourceManager::Standalone, ..options };
    let mut d = Driver::start(options, start_time());
    d.pass(seconds(600));
    assert_eq!(parallelism(&d).0, JobState::Created);
    d.event(Event::TaskManagerUp { id: "tm-1".into(), slots: 3 });
    d.pass(seconds(1));
    assert_eq!(parallelism(&d), (JobState::Running, vec![3, 3]));
    d.event(Event::TaskManagerUp { id: "tm-2".into(), slots: 3 });
    d.pass(seconds(31));
    assert_eq!(parallelism(&d), (JobState::Running, vec![6, 6]));
}

#[test]
fn overrides_name_vertices_by_their_real_ids() {
    // What an autoscaler writes: the State machine job's flat map is known by this id everywhere.
    let overrides = "20ba6b65f97481d5570070de90e4e791:3";
    let options = application(Version::V2_2, &SnapshotStore::new())
        .config("high-availability.type", "none")
        .config("pipeline.jobvertex-parallelism-overrides", overrides);
    let mut d = Driver::start(options, start_time());
    d.pass(seconds(10));
    assert_eq!(parallelism(&d), (JobState::Running, vec![2, 3]));
}
