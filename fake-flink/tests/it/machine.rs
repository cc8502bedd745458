//! Rows about the state machine: what an operator relies on, one behaviour per test.

use super::driver::{Driver, start_time};
use super::ha::{JOB, application, checkpoints, with_ha};
use fake_flink::model::api::{RestFault, SavepointFault};
use fake_flink::{
    Command, Effect, Event, JobFact, JobState, Pace, Phase, SnapshotStore, StartOptions, Throwable, Version,
};
use serde_json::json;
use std::time::Duration;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn running(options: StartOptions) -> Driver {
    let mut d = Driver::start(options, start_time());
    d.pass(seconds(10));
    assert_eq!(d.facts().jobs[0].state, JobState::Running);
    d
}

fn plain(version: Version) -> StartOptions {
    application(version, &SnapshotStore::new()).config("high-availability.type", "none")
}

#[test]
fn rest_is_closed_then_electing_then_there() {
    let mut d = Driver::start(plain(Version::V1_20), start_time());
    assert!(!d.cluster.listens());
    d.pass(Duration::from_millis(1600));
    let answer = d.call("GET", "/jobs/overview", None);
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.body["errors"][0],
        "Service temporarily unavailable due to an ongoing leader election. Please refresh."
    );
    d.pass(seconds(1));
    assert_eq!(d.call("GET", "/jobs/overview", None).status, 200);
}

#[test]
fn a_job_waits_for_slots_as_running_with_scheduled_tasks() {
    let mut d = Driver::start(plain(Version::V1_20), start_time());
    d.resources = false;
    d.pass(seconds(10));
    let job = d.get("/jobs/overview")["jobs"][0].clone();
    assert_eq!((&job["state"], &job["tasks"]["scheduled"]), (&json!("RUNNING"), &json!(4)));
    let needed = d
        .effects
        .iter()
        .find_map(|e| if let Effect::NeedTaskManagers(n) = e { Some(n.clone()) } else { None })
        .unwrap();
    assert_eq!(needed.names, ["my-app-taskmanager-1-1"]);
    d.event(Event::TaskManagerUp { id: needed.names[0].clone(), slots: needed.slots_each });
    d.pass(seconds(2));
    assert!(d.facts().jobs[0].processing);
    assert_eq!(d.get("/overview")["slots-available"], 2);
}

#[test]
fn slots_that_never_come_fail_the_job_in_the_end() {
    let mut d = Driver::start(plain(Version::V1_20), start_time());
    d.resources = false;
    d.pass(seconds(3 * 310));
    assert_eq!(d.facts().jobs[0].state, JobState::Failed);
    assert!(d.facts().jobs[0].failure.as_ref().unwrap().contains("Recovery is suppressed by FixedDelay"));
}

#[test]
fn a_lost_task_manager_restarts_the_job_on_a_new_one() {
    let mut d = running(plain(Version::V1_20));
    checkpoints(&mut d, 2);
    d.event(Event::TaskManagerLost { id: "my-app-taskmanager-1-1".into() });
    assert_eq!(d.facts().jobs[0].state, JobState::Restarting);
    d.pass(seconds(5));
    assert!(d.facts().jobs[0].processing);
    assert!(d.facts().task_managers.contains_key("my-app-taskmanager-1-2"));
    let restored = d.job_facts().into_iter().rev().find(|f| matches!(f, JobFact::Restored { .. })).cloned();
    let Some(JobFact::Restored { from, progress, lost, .. }) = restored else { panic!("not restored") };
    assert!(from.unwrap().contains("/chk-") && progress > 0 && lost < 1000);
}

#[test]
fn a_task_manager_announced_twice_registers_once() {
    let mut d = running(plain(Version::V1_20));
    d.event(Event::TaskManagerUp { id: "my-app-taskmanager-1-1".into(), slots: 4 });
    assert_eq!(d.get("/overview")["slots-available"], 2);
    assert!(d.facts().jobs[0].processing);
}

#[test]
fn idle_task_managers_are_released() {
    let mut d = running(plain(Version::V1_20));
    d.call("PATCH", &format!("/jobs/{JOB}"), None);
    d.pass(seconds(29));
    assert_eq!(d.facts().task_managers.len(), 1);
    d.pass(seconds(2));
    assert!(d.facts().task_managers.is_empty());
    assert!(d.effects.contains(&Effect::ReleaseTaskManager { id: "my-app-taskmanager-1-1".into() }));
}

#[test]
fn the_graph_cache_shows_the_past() {
    let mut d = running(plain(Version::V2_2));
    assert_eq!(d.get(&format!("/jobs/{JOB}"))["state"], "RUNNING");
    d.call("PATCH", &format!("/jobs/{JOB}"), None);
    d.pass(seconds(1));
    assert_eq!(d.get(&format!("/jobs/{JOB}"))["state"], "RUNNING");
    assert_eq!(d.get(&format!("/jobs/{JOB}/status"))["status"], "CANCELED");
    d.pass(seconds(3));
    assert_eq!(d.get(&format!("/jobs/{JOB}"))["state"], "CANCELED");
}

#[test]
fn a_missing_savepoint_ends_the_process_with_2() {
    for version in [Version::V1_18, Version::V1_20, Version::V2_2] {
        for path in ["file:///flink/run/none", "KUBERNETES_OPERATOR_LAST_STATE"] {
            let mut d = Driver::start(plain(version).config("execution.savepoint.path", path), start_time());
            d.pass(seconds(10));
            assert_eq!(d.exit, Some(2), "{version} {path}");
            assert!(d.logged("Cannot find checkpoint or savepoint file/directory"));
        }
    }
}

#[test]
fn the_last_state_dummy_is_ignored_where_ha_has_a_checkpoint() {
    let storage = SnapshotStore::new();
    let options = application(Version::V1_20, &storage);
    let mut d = running(options.clone());
    checkpoints(&mut d, 2);
    let latest = d.facts().jobs[0].latest_checkpoint.clone();
    // The operator deletes the Deployment and strips the job graph, then submits again.
    d.event(Event::Signal(fake_flink::Signal::Kill));
    let mut maps = d.ha.clone();
    for map in maps.values_mut() {
        map.data.retain(|k, _| !k.starts_with("jobGraph-"));
    }
    let again = with_ha(options.config("execution.savepoint.path", "KUBERNETES_OPERATOR_LAST_STATE"), &maps);
    let mut d = Driver::start(again, d.now);
    d.pass(seconds(20));
    let job = &d.facts().jobs[0];
    assert_eq!(job.state, JobState::Running);
    assert_eq!(job.restored_from, latest);
}

#[test]
fn a_stored_graph_wins_over_the_new_configuration() {
    let storage = SnapshotStore::new();
    let options = application(Version::V2_2, &storage);
    let mut d = running(options.clone());
    d.event(Event::Signal(fake_flink::Signal::Kill));
    let upgraded = options.config("parallelism.default", "1");
    let again = |maps: &std::collections::BTreeMap<_, _>| {
        let mut d =
            Driver::start(with_ha(upgraded.clone(), maps), start_time().checked_add(seconds(60)).unwrap());
        d.pass(seconds(20));
        (d.facts().jobs[0].parallelism.clone(), d.logged("was recovered successfully."))
    };
    assert_eq!(again(&d.ha), (vec![2, 2], true));
    let mut stripped = d.ha.clone();
    stripped.values_mut().for_each(|map| map.data.retain(|k, _| !k.starts_with("executionPlan-")));
    assert_eq!(again(&stripped), (vec![1, 1], false));
}

#[test]
fn session_jobs_run_again_after_a_failover() {
    let storage = SnapshotStore::new();
    let mut options = application(Version::V1_20, &storage);
    options.mode = fake_flink::Mode::Session;
    let mut d = Driver::start(options.clone(), start_time());
    d.pass(seconds(5));
    let jar = fake_flink::jar::write("conformance.Stream");
    let form = [
        b"--b\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"a.jar\"\r\n\r\n",
        &jar[..],
        b"\r\n--b--\r\n",
    ]
    .concat();
    let request = http::Request::post("/jars/upload")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(form.into());
    let file =
        d.send(request.unwrap()).body["filename"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let args = json!({"programArgsList": ["--name", "mine"], "parallelism": 2});
    let job = d.post(&format!("/jars/{file}/run"), args).body["jobid"].as_str().unwrap().to_owned();
    checkpoints(&mut d, 1);
    let mut d = Driver::start(with_ha(options, &d.ha), d.now);
    d.pass(seconds(20));
    let facts = d.facts().jobs[0].clone();
    assert_eq!((facts.id, facts.name.as_str(), facts.state), (job, "mine", JobState::Running));
    assert!(facts.restored_from.is_some());
}

#[test]
fn a_broken_handle_ends_the_process() {
    for (kind, text) in [
        ("completedCheckpoint", "Could not retrieve checkpoint"),
        ("submittedJobGraph", "Could not retrieve submitted JobGraph"),
    ] {
        let storage = SnapshotStore::new();
        let options = application(Version::V1_20, &storage);
        let mut d = running(options.clone());
        checkpoints(&mut d, 1);
        let broken: Vec<String> = storage.files().into_iter().filter(|f| f.contains(kind)).collect();
        assert_eq!(broken.len(), 1);
        storage.remove_file(&broken[0]);
        let mut d = Driver::start(with_ha(options, &d.ha), d.now);
        d.pass(seconds(20));
        assert_eq!(d.exit, Some(2));
        assert!(d.logged(text), "{text}");
    }
}

#[test]
fn a_remembered_result_keeps_the_job_from_running_again() {
    let storage = SnapshotStore::new();
    let options = application(Version::V1_20, &storage).config("job-result-store.delete-on-commit", "false");
    let mut d = running(options.clone());
    d.call("PATCH", &format!("/jobs/{JOB}"), None);
    d.pass(seconds(1));
    let mut d = Driver::start(with_ha(options, &d.ha), d.now);
    d.pass(seconds(30));
    assert_eq!(d.exit, None);
    assert_eq!(d.get("/jobs/overview"), json!({"jobs": []}));
}

#[test]
fn a_deleted_lock_map_ends_the_process() {
    let mut d = running(application(Version::V1_20, &SnapshotStore::new()));
    d.event(Event::HaChanged(fake_flink::HaState::default()));
    assert_eq!(d.exit, Some(2));
}

#[test]
fn a_deleted_job_map_fails_checkpoints() {
    let mut d = running(
        application(Version::V1_20, &SnapshotStore::new())
            .config("execution.checkpointing.tolerable-failed-checkpoints", "0"),
    );
    let mut maps = d.ha.clone();
    maps.retain(|name, _| name.ends_with("-cluster-config-map"));
    d.event(Event::HaChanged(fake_flink::HaState { maps }));
    d.pass(seconds(7));
    assert!(d.facts().jobs[0].restarts > 0, "{:?}", d.facts());
}

#[test]
fn a_foreign_lock_suspends_the_jobs() {
    let mut d = running(application(Version::V1_20, &SnapshotStore::new()));
    let mut maps = d.ha.clone();
    let text = r#"{"holderIdentity":"somebody","leaseDuration":6.000000000,"leaderTransitions":9}"#;
    let lock = maps.get_mut("my-app-cluster-config-map").unwrap();
    lock.annotations.insert("control-plane.alpha.kubernetes.io/leader".into(), text.into());
    d.event(Event::HaChanged(fake_flink::HaState { maps }));
    assert_eq!(d.facts().phase, Phase::Electing);
    assert!(d.job_facts().iter().any(|f| matches!(f, JobFact::Stopped { state: JobState::Suspended, .. })));
}

#[test]
fn a_savepoint_fault_hits_the_next_savepoint_only() {
    let mut d = running(plain(Version::V1_20));
    let savepoint = |d: &mut Driver| {
        d.operation(&format!("/jobs/{JOB}/savepoints"), json!({"target-directory": "file:///sp"}))
    };
    d.event(Event::Command(Command::NextSavepoint(SavepointFault::Fails)));
    let failed = savepoint(&mut d);
    assert!(
        failed["failure-cause"]["stack-trace"]
            .as_str()
            .unwrap()
            .contains("Asynchronous task checkpoint failed."),
        "{failed}"
    );
    assert!(savepoint(&mut d)["location"].is_string());
    d.event(Event::Command(Command::NextSavepoint(SavepointFault::Hangs)));
    let expired = savepoint(&mut d);
    assert!(
        expired["failure-cause"]["stack-trace"]
            .as_str()
            .unwrap()
            .contains("Checkpoint expired before completing.")
    );
    assert_eq!(d.facts().jobs[0].state, JobState::Running);
}

#[test]
fn a_snapshot_error_of_a_stop_restarts_the_job() {
    let mut d = running(plain(Version::V2_2));
    d.event(Event::Command(Command::NextSavepoint(SavepointFault::Fails)));
    let stopped = d.operation(&format!("/jobs/{JOB}/stop"), json!({"targetDirectory": "file:///sp"}));
    assert!(
        stopped["failure-cause"]["stack-trace"]
            .as_str()
            .unwrap()
            .contains("Checkpoint Coordinator is suspending.")
    );
    assert_eq!(d.facts().jobs[0].restarts, 1);
    d.pass(seconds(5));
    assert!(d.facts().jobs[0].processing);
}

#[test]
fn checkpoints_rest_while_a_stop_is_under_way_and_go_on_when_it_fails() {
    let mut d = running(plain(Version::V1_20));
    checkpoints(&mut d, 1);
    let taken = |d: &Driver| d.job_facts().iter().filter(|f| matches!(f, JobFact::Checkpoint { .. })).count();
    d.event(Event::Command(Command::NextSavepoint(SavepointFault::Hangs)));
    d.post(&format!("/jobs/{JOB}/stop"), json!({"targetDirectory": "file:///sp"}));
    let before = taken(&d);
    d.pass(seconds(590));
    assert_eq!(taken(&d), before, "nothing may be committed beside the final savepoint");
    d.pass(seconds(300));
    assert!(taken(&d) > before, "the stop has timed out and the job goes on");
}

#[test]
fn a_lost_reply_still_took_the_savepoint() {
    let mut d = running(plain(Version::V1_20));
    d.event(Event::Command(Command::NextSavepoint(SavepointFault::ReplyLost)));
    let body = json!({"target-directory": "file:///sp", "triggerId": "00000000000000000000000000000007"});
    let request =
        http::Request::post(format!("/jobs/{JOB}/savepoints")).body(body.to_string().into()).unwrap();
    let (response, _) = d.cluster.handle(&request, d.now);
    assert_eq!(response.extensions().get::<Pace>(), Some(&Pace::Lost));
    d.pass(seconds(1));
    let again = d.operation(&format!("/jobs/{JOB}/savepoints"), body);
    assert!(again["location"].is_string());
    assert_eq!(d.job_facts().iter().filter(|f| matches!(f, JobFact::Savepoint { .. })).count(), 1);
}

#[test]
fn an_unfetched_result_holds_the_shutdown_and_spoils_the_exit_code() {
    let options = plain(Version::V1_20).config("execution.shutdown-on-application-finish", "true");
    let mut d = running(options.clone());
    d.post(&format!("/jobs/{JOB}/stop"), json!({"targetDirectory": "file:///sp"}));
    d.pass(seconds(200));
    assert_eq!(d.exit, None);
    d.pass(seconds(200));
    assert_eq!(d.exit, Some(2));
    let mut d = running(options);
    d.operation(&format!("/jobs/{JOB}/stop"), json!({"targetDirectory": "file:///sp"}));
    d.pass(seconds(5));
    assert_eq!(d.exit, Some(0));
    assert!(d.effects.contains(&Effect::DeleteCluster));
}

#[test]
fn intolerable_checkpoint_failures_restart_the_job() {
    let mut d =
        running(plain(Version::V2_2).config("execution.checkpointing.tolerable-failed-checkpoints", "1"));
    d.event(Event::Command(Command::FailCheckpoints { times: 2 }));
    d.pass(seconds(12));
    assert_eq!(d.facts().jobs[0].restarts, 1);
    let exceptions = d.get(&format!("/jobs/{JOB}/exceptions"));
    let newest = &exceptions["exceptionHistory"]["entries"][0];
    assert!(
        newest["stacktrace"].as_str().unwrap().contains("Exceeded checkpoint tolerable failure threshold.")
    );
    assert!(newest.get("taskName").is_none());
}

#[test]
fn stalled_checkpoints_stay_in_progress() {
    let mut d = running(plain(Version::V1_20));
    d.event(Event::Command(Command::StallCheckpoints { on: true }));
    d.pass(seconds(30));
    let counts = d.get(&format!("/jobs/{JOB}/checkpoints"))["counts"].clone();
    assert_eq!(counts["in_progress"], 1);
}

#[test]
fn a_snapshot_lost_under_a_running_job_breaks_its_restart() {
    let storage = SnapshotStore::new();
    let options = StartOptions { storage: storage.clone(), ..plain(Version::V1_20) };
    let mut d = running(options.config("restart-strategy.fixed-delay.attempts", "3"));
    checkpoints(&mut d, 2);
    let path = d.facts().jobs[0].latest_checkpoint.clone().unwrap().path.unwrap();
    d.event(Event::Command(Command::LoseSnapshot { path }));
    d.event(Event::Command(Command::FailJob {
        job: None,
        cause: Throwable::new("java.lang.RuntimeException", "x"),
        times: Some(1),
    }));
    d.pass(seconds(60));
    assert_eq!(d.facts().jobs[0].state, JobState::Failed);
}

#[test]
fn an_unknown_state_backend_does_not_start() {
    for (version, job) in [(Version::V1_18, true), (Version::V1_20, false), (Version::V2_2, false)] {
        let mut d = Driver::start(plain(version).config("state.backend.type", "rockdb"), start_time());
        d.pass(seconds(10));
        assert!(d.logged("Cannot find configured state backend factory class: rockdb"), "{version}");
        assert_eq!(d.exit.is_none(), job, "{version}: 1.18 fails in main(), the others in the JobMaster");
    }
}

#[test]
fn rest_faults_by_path() {
    let mut d = running(plain(Version::V1_20));
    let fault = |path: &str, fault| Event::Command(Command::Rest { path: path.into(), fault });
    d.event(fault("/jobs/overview", Some(RestFault::Status(500))));
    assert_eq!(d.call("GET", "/v1/jobs/overview", None).status, 500);
    assert_eq!(d.call("GET", "/overview", None).status, 200);
    d.event(fault("/jobs/overview", None));
    assert_eq!(d.call("GET", "/jobs/overview", None).status, 200);
    d.event(Event::Command(Command::Hang { on: true }));
    assert!(!d.cluster.listens());
}

#[test]
fn the_same_inputs_give_the_same_history() {
    let history = || {
        let mut d = running(plain(Version::V2_2));
        d.event(Event::Command(Command::FailJob {
            job: None,
            cause: Throwable::new("X", "y"),
            times: Some(1),
        }));
        d.pass(seconds(30));
        format!("{:?}", d.effects)
    };
    assert_eq!(history(), history());
}

#[test]
fn an_instant_cluster_runs_at_once() {
    let mut d =
        Driver::start(StartOptions::application(Version::V1_20, start_time()).instant(), start_time());
    d.event(Event::Tick);
    assert!(d.facts().jobs[0].processing);
}

#[test]
fn the_adaptive_scheduler_rescales_in_place() {
    let options = plain(Version::V2_2).config("jobmanager.scheduler", "adaptive");
    let mut d = running(options);
    let path = format!("/jobs/{JOB}/resource-requirements");
    let bounds = d.get(&path);
    let wanted: serde_json::Map<_, _> = bounds
        .as_object()
        .unwrap()
        .keys()
        .map(|v| (v.clone(), json!({"parallelism": {"lowerBound": 1, "upperBound": 1}})))
        .collect();
    assert_eq!(d.call("PUT", &path, Some(&wanted.into())).status, 200);
    d.pass(seconds(40));
    assert_eq!(d.facts().jobs[0].parallelism, [1, 1]);
    assert!(d.facts().jobs[0].processing);
    assert_eq!(d.get("/overview")["slots-available"], 3);
}
