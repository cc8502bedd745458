//! Basic loop and observation (10.1).

use super::*;

#[test]
fn t03_created_suspended_stays_created_and_deploys_when_set_to_running() {
    let mut world = World::new(app(json!({"job": {"state": "suspended"}})));
    world.for_a_while(secs(60));
    assert_eq!(world.lifecycle(), Some(LifecycleState::Created));
    assert!(
        world.status().reconciliation_status.last_reconciled_spec.is_none() && world.deployment.is_none()
    );
    suspend(&mut world, JobState::Running);
    running(&mut world);
}

#[test]
fn t04_the_first_deployment_starts_from_initial_savepoint_path() {
    let mut world =
        World::new(app(json!({"job": {"state": "suspended", "initialSavepointPath": "s3://init"}})));
    world.snapshots.insert("s3://init".into(), 5);
    world.durable = 5;
    world.for_a_while(secs(1));
    suspend(&mut world, JobState::Running);
    running(&mut world);
    assert_eq!(world.starts[0].1, Restore::From("s3://init".into()));
    assert_eq!(world.status().job_status.upgrade_savepoint_path.as_deref(), Some("s3://init"));
    assert!(
        world
            .status()
            .reconciliation_status
            .last_reconciled_spec
            .unwrap()
            .contains("\"upgradeMode\":\"savepoint\"")
    );
}

#[test]
fn t05_replica_failure_is_an_error_reported_once() {
    let failure = condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota");
    check_failure(|w| w.conditions.push(failure), "FailedCreate", "exceeded quota");
}

#[test]
fn t06_crash_loop_shows_the_last_words_of_the_container() {
    let pod = waiting("flink-main-container", "CrashLoopBackOff", Some("back-off 10s"), Some("M"));
    check_failure(|w| w.pod_facts.push(pod), "CrashLoopBackOff", "[flink-main-container] CrashLoop - M");
}

#[test]
fn t07_b41_an_init_container_that_cannot_be_pulled_counts_too() {
    let pod = waiting("init", "ImagePullBackOff", Some("no such image"), None);
    check_failure(|w| w.pod_facts.push(pod), "ImagePullBackOff", "[init] no such image");
}

#[test]
fn t08_a_volume_that_cannot_be_mounted_is_found_through_the_pods_events() {
    for sandbox in ["PodReadyToStartContainers", "Initialized"] {
        let mut pod = waiting("flink-main-container", "ContainerCreating", None, None);
        pod.conditions = vec![condition("Ready", "False", "", ""), condition(sandbox, "False", "", "")];
        let prepare = |w: &mut World| {
            w.pod_facts.push(pod);
            w.mount_failures.insert("app-0".into(), "secret \"x\" not found".into());
        };
        check_failure(prepare, "FailedMount", "secret \\\"x\\\" not found");
    }
}

#[test]
fn t09_t02_a_job_manager_that_does_not_answer_is_not_called_ready_and_recovers() {
    for (why, expected) in
        [(Why::Timeout, Jm::DeployedNotReady), (Why::Refused, Jm::Deploying), (Why::Dns, Jm::Deploying)]
    {
        let mut world = stable(json!({}));
        world.unreachable = true;
        world.why = why;
        world.for_a_while(secs(61));
        let status = world.status();
        assert_eq!(status.job_status.state, Some(FlinkJobState::Reconciling));
        assert_eq!(status.job_manager_deployment_status, expected);
        assert_eq!(world.lifecycle(), Some(LifecycleState::Deployed), "no STABLE without having seen it");
        world.unreachable = false;
        world.until_stable(secs(10));
        assert_eq!(world.starts.len(), 1);
    }
}

#[test]
fn t10_a_deleted_deployment_is_missing_and_recovered_at_once() {
    let mut world = stable(json!({}));
    world.checkpoint();
    let before = world.now;
    world.kill_deployment();
    running(&mut world);
    assert_eq!(count(&world, "Missing"), 1);
    assert_eq!(count(&world, "RecoverDeployment"), 1);
    assert!(world.now.duration_since(before) < secs(2));
}

#[test]
fn t11_t66_b34_an_ended_job_without_job_manager_stays_ended() {
    for state in [FlinkJobState::Finished, FlinkJobState::Failed] {
        let mut world = stable(json!({}));
        world.set_job_state(state);
        world.for_a_while(secs(1));
        world.kill_deployment();
        world.for_a_while(secs(300));
        assert_eq!(world.status().job_status.state, Some(state));
        assert_eq!(world.status().job_manager_deployment_status, Jm::Missing);
        assert_eq!(world.starts.len(), 1);
    }
}

#[test]
fn t12_another_job_is_never_adopted() {
    let mut world = stable(json!({}));
    world.jm.as_mut().unwrap().job.as_mut().unwrap().id = "f".repeat(32);
    world.for_a_while(secs(200));
    let status = world.status();
    assert_eq!(status.error.as_deref(), Some("Job Not Found"));
    assert_eq!(status.job_status.state, Some(FlinkJobState::Reconciling));
    assert_eq!(status.reconciliation_status.state, ReconciliationState::Deployed);
    assert!(world.events.iter().any(|e| e.reason == "Missing" && e.message == "Job Not Found"));
    assert_eq!(count(&world, "Missing"), 1, "said once, not on every pass");
}

#[test]
fn t13_the_cause_of_a_failed_job_comes_before_the_change_of_state() {
    let mut world = stable(json!({}));
    let before = world.events.len();
    world.set_job_state(FlinkJobState::Failed);
    world.for_a_while(secs(300));
    let reasons: Vec<&str> = world.events[before..].iter().map(|e| e.reason.as_str()).collect();
    assert_eq!(reasons, ["Error", "JobStatusChanged"]);
    assert_eq!(world.events[before].message, "job err -> root");
    assert!(error(&world).contains("job err") && error(&world).contains("root"));
    assert_eq!(world.lifecycle(), Some(LifecycleState::Failed));
}

#[test]
fn t14_a_job_cancelled_by_hand_goes_on_from_its_last_checkpoint() {
    let mut world = stable(json!({}));
    world.checkpoint();
    world.set_job_state(FlinkJobState::Canceled);
    world.until(SOON, "restored", |w| w.starts.len() == 2);
    assert!(matches!(&world.starts[1].1, Restore::From(path) if path.contains("chk-")));
}

#[test]
fn t16_b40_an_older_error_goes_when_the_deployment_is_healthy() {
    let mut world = stable(json!({}));
    let mut status = world.status();
    status.error = Some("old".into());
    world.resource.status = Some(status);
    world.for_a_while(secs(61));
    assert_eq!(world.status().error, None);
}

#[test]
fn t17_b14_a_first_deployment_that_never_came_about_starts_over_from_the_initial_path() {
    let mut world = World::new(app(json!({"job": {"initialSavepointPath": "s3://init"}})));
    world.snapshots.insert("s3://init".into(), 5);
    world.crash_at = Some(2);
    running(&mut world);
    assert_eq!(world.starts.len(), 1);
    assert_eq!(world.starts[0].1, Restore::From("s3://init".into()));
}

#[test]
fn t18_b17_b18_only_a_live_deployment_of_the_recorded_generation_counts_as_created() {
    let mut world = stable(json!({}));
    bump(&mut world);
    world.until(SOON, "second cluster", |w| {
        w.starts.len() == 2 || w.deployment.as_ref().is_some_and(|d| d.generation == 2)
    });
    let mut base = world.observation();
    let mut status = world.resource.status.clone().unwrap();
    status.reconciliation_status.state = ReconciliationState::Upgrading;
    let text = status.reconciliation_status.last_reconciled_spec.take().unwrap();
    status.reconciliation_status.last_reconciled_spec =
        Some(text.replace("\"state\":\"running\"", "\"state\":\"suspended\""));
    status.job_manager_deployment_status = Jm::Missing;
    base.resource.status = Some(status);
    base.flink.jobs = Seen::Known(Vec::new());
    base.resource.metadata.generation = Some(3);
    let recon = |o: &Observation| decide(o, &world.policy, world.now).status.reconciliation_status.state;
    assert_eq!(
        recon(&base),
        ReconciliationState::Deployed,
        "matching and alive, though the spec has moved on"
    );
    for (what, change) in [
        ("no annotation", (|jm: &mut JobManagerFacts| jm.generation = None) as fn(&mut JobManagerFacts)),
        ("another generation", |jm| jm.generation = Some(1)),
        ("being deleted", |jm| jm.deleting = true),
    ] {
        let mut o = base.clone();
        if let Seen::Known(jm) = &mut o.job_manager {
            change(jm);
        }
        assert_eq!(recon(&o), ReconciliationState::Upgrading, "{what}");
    }
    let mut o = base.clone();
    o.resource.status.as_mut().unwrap().job_manager_deployment_status = Jm::Ready;
    assert_eq!(recon(&o), ReconciliationState::Upgrading, "the old cluster was never seen gone");
}

#[test]
fn t19_an_unsupported_flink_version_is_reported_and_nothing_else() {
    for version in [json!("v1_13"), json!("v1_14"), Value::Null] {
        let mut world = World::new(app(json!({"flinkVersion": version})));
        world.for_a_while(secs(60));
        assert_eq!(world.reasons(), ["UnsupportedFlinkVersion"]);
        assert!(
            world
                .resource
                .status
                .as_ref()
                .is_none_or(|s| s.reconciliation_status.last_reconciled_spec.is_none())
        );
        assert_eq!(world.due, None);
    }
}

#[test]
fn kinds_of_other_versions_are_left_alone_and_told_so() {
    for spec in [json!({"job": null}), json!({"mode": "standalone"})] {
        let mut world = World::new(app(spec));
        world.for_a_while(secs(300));
        assert_eq!(world.reasons(), ["NotManaged"]);
        assert!(error(&world).contains("not managed by this version"));
        assert!(world.deployment.is_none() && world.resource.metadata.finalizers.is_none());
    }
}

/// What readers of `clusterInfo` find: 2 TaskManagers of one slot each, and the JobManager.
#[test]
fn the_cluster_info_says_which_flink_and_how_much_it_takes() {
    let mut world = stable(json!({}));
    let info = |world: &World| {
        let info = world.status().cluster_info;
        ["flink-version", "flink-revision", "total-cpu", "total-memory"].map(|key| info[key].clone())
    };
    assert_eq!(info(&world), ["1.20.3", "abc @ 2025", "3.0", &(3_u64 << 30).to_string()]);
    world.edit(|spec| spec.job.as_mut().unwrap().parallelism = 4);
    world.now += secs(1);
    running(&mut world);
    assert_eq!(info(&world)[2..], ["5.0", &(5_u64 << 30).to_string()]);
}
