//! The test-case catalogue of reconciler.md 10, one test per case, each named by its number.

use super::fixture::{app, no_ha, start};
use super::stories::{SOON, bump, running, suspend};
use super::world::World;
use drey_api::{
    FlinkJobState, JobManagerDeploymentStatus as Jm, JobState, LifecycleState, ReconciliationState,
    SnapshotTriggerType, UpgradeMode,
};
use drey_reconciler::*;
use jiff::SignedDuration;
use serde_json::{Value, json};

fn stable(spec: Value) -> World {
    let mut world = World::new(app(spec));
    running(&mut world);
    world
}

fn secs(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

fn error(world: &World) -> String {
    world.status().error.unwrap_or_default()
}

fn count(world: &World, reason: &str) -> usize {
    world.reasons().iter().filter(|r| **r == reason).count()
}

fn waiting(container: &str, reason: &str, message: Option<&str>, last: Option<&str>) -> PodFacts {
    PodFacts {
        name: "app-0".into(),
        deleting: false,
        conditions: Vec::new(),
        containers: vec![ContainerFacts {
            name: container.into(),
            waiting: Some(Waiting { reason: reason.into(), message: message.map(Into::into) }),
            last_terminated_message: last.map(Into::into),
        }],
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> ConditionFacts {
    ConditionFacts {
        kind: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_transition: Some(start()),
    }
}

/// A JobManager that cannot start, and the one error and event it leads to.
fn check_failure(prepare: impl FnOnce(&mut World), reason: &str, message: &str) {
    let mut world = World::new(app(json!({})));
    world.stuck = true;
    prepare(&mut world);
    world.for_a_while(secs(300));
    let status = world.status();
    assert_eq!(status.job_manager_deployment_status, Jm::Error, "{}", world.trace.join("\n"));
    assert!(error(&world).contains(message), "{}", error(&world));
    assert_eq!(count(&world, reason), 1);
    assert_eq!(status.conditions[0].reason.as_deref(), Some("Reconciling"));
}

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
fn t21_invalid_before_the_first_deployment_fails_and_deploys_nothing() {
    let mut world = World::new(app(json!({"job": {"parallelism": 0}})));
    world.for_a_while(secs(60));
    assert_eq!(world.lifecycle(), Some(LifecycleState::Failed));
    assert_eq!(world.reasons(), ["ValidationError"]);
    assert!(world.deployment.is_none() && world.due.is_none());
}

#[test]
fn t22_an_invalid_spec_leaves_the_running_job_alone_until_it_is_fixed() {
    let mut world = stable(json!({}));
    world.edit(|spec| spec.job.as_mut().unwrap().parallelism = 0);
    world.for_a_while(secs(300));
    assert!(error(&world).contains("Job parallelism must be larger than 0"));
    assert_eq!(count(&world, "ValidationError"), 1);
    assert_eq!(world.starts.len(), 1);
    world.edit(|spec| spec.job.as_mut().unwrap().parallelism = 4);
    world.until(SOON, "upgraded", |w| w.starts.len() == 2);
    running(&mut world);
    assert_eq!(world.status().error, None);
}

#[test]
fn t23_invalid_between_the_halves_restores_the_recorded_spec() {
    let mut world = stable(json!({}));
    world.delays.terminate = secs(10);
    bump(&mut world);
    world.until(SOON, "old cluster going", |w| w.deployment.as_ref().is_some_and(|d| d.deleting));
    world.edit(|spec| spec.job.as_mut().unwrap().parallelism = 0);
    world.until(secs(20), "restored", |w| w.starts.len() == 2);
    assert!(matches!(&world.starts[1].1, Restore::From(_)));
}

#[test]
fn t24_switching_the_kind_of_cluster_is_refused_and_the_running_one_untouched() {
    for (change, text) in [
        (
            (|spec| spec.job = None) as fn(&mut drey_api::FlinkDeploymentSpec),
            "Cannot switch from job to session cluster",
        ),
        (
            |spec| spec.mode = Some(drey_api::DeploymentMode::Standalone),
            "Cannot switch from native kubernetes to standalone kubernetes cluster",
        ),
    ] {
        let mut world = stable(json!({}));
        world.edit(change);
        world.for_a_while(secs(120));
        assert!(error(&world).contains(text), "{}", error(&world));
        assert_eq!(world.starts.len(), 1);
        assert!(world.job().is_some());
    }
}

#[test]
fn t26_a_version_change_after_a_last_state_suspend_is_refused_unless_stateless() {
    let mut world = stable(json!({"job": {"upgradeMode": "last-state"}}));
    world.checkpoint();
    suspend(&mut world, JobState::Suspended);
    world.until(SOON, "SUSPENDED", |w| w.lifecycle() == Some(LifecycleState::Suspended));
    let newer = Some(drey_api::FlinkVersion::V2_0);
    world.edit(|spec| {
        spec.flink_version = newer;
        spec.job.as_mut().unwrap().state = JobState::Running;
    });
    world.for_a_while(secs(60));
    assert!(
        error(&world).contains("Changing flinkVersion after last-state suspend is not allowed"),
        "{}",
        error(&world)
    );
    assert_eq!(world.starts.len(), 1);
    world.edit(|spec| spec.job.as_mut().unwrap().upgrade_mode = UpgradeMode::Stateless);
    world.until(SOON, "stateless", |w| w.starts.len() == 2);
    assert_eq!(world.starts[1].1, Restore::Empty);
}

#[test]
fn t29_ignored_changes_restart_nothing_and_move_the_observed_generation() {
    let mut world = stable(json!({}));
    world.edit(|spec| {
        let job = spec.job.as_mut().unwrap();
        job.upgrade_mode = UpgradeMode::LastState;
        job.allow_non_restored_state = Some(true);
        job.initial_savepoint_path = Some("s3://other".into());
        spec.flink_configuration.set("kubernetes.operator.savepoint.history.max.count", 3);
        spec.flink_configuration.set("job.autoscaler.enabled", false);
    });
    world.for_a_while(secs(120));
    assert_eq!(world.starts.len(), 1);
    assert_eq!(world.status().observed_generation, Some(2));
    assert_eq!(world.lifecycle(), Some(LifecycleState::Stable));
    assert_eq!(count(&world, "SpecChanged"), 0);
}

#[test]
fn t33_removing_a_restart_nonce_is_no_change() {
    let mut world = stable(json!({"restartNonce": 1}));
    world.edit(|spec| spec.restart_nonce = None);
    world.for_a_while(secs(120));
    assert_eq!(world.starts.len(), 1);
    bump(&mut world);
    world.for_a_while(secs(120));
    assert_eq!(world.starts.len(), 1, "null -> 1 is what runs already");
    world.edit(|spec| spec.restart_nonce = Some(2));
    world.until(SOON, "restarted", |w| w.starts.len() == 2);
    assert_eq!(count(&world, "SpecChanged"), 1);
}

#[test]
fn t35_a_spec_set_back_while_the_upgrade_waits_is_no_upgrade() {
    let mut world = stable(
        json!({"flinkConfiguration": {"kubernetes.operator.job.upgrade.last-state-fallback.enabled": "false"}}),
    );
    world.set_job_state(FlinkJobState::Restarting);
    world.for_a_while(secs(1));
    world.edit(|spec| spec.image = Some("other".into()));
    world.for_a_while(secs(1));
    world.edit(|spec| spec.image = Some("flink:1.20".into()));
    world.set_job_state(FlinkJobState::Running);
    running(&mut world);
    assert_eq!(world.starts.len(), 1);
}

#[test]
fn t38_the_stop_savepoint_is_recorded_as_upgrade_savepoint() {
    let mut world = stable(json!({}));
    bump(&mut world);
    running(&mut world);
    let info = world.status().job_status.savepoint_info;
    assert_eq!(info.last_savepoint.unwrap().trigger_type, SnapshotTriggerType::Upgrade);
    assert_eq!(info.savepoint_history.len(), 1);
}

#[test]
fn t40_metadata_without_checkpoint_restores_without_a_guard() {
    let mut world = stable(json!({"job": {"upgradeMode": "last-state"}}));
    bump(&mut world);
    world.until(SOON, "restored", |w| w.starts.len() == 2);
    assert_eq!(world.starts[1].1, Restore::HaMetadata { guarded: false });
    assert_eq!(world.status().job_status.upgrade_savepoint_path, None);
}

#[test]
fn quirk_metadata_without_checkpoint_falls_back_to_what_the_job_was_started_from() {
    let mut world =
        World::new(app(json!({"job": {"upgradeMode": "last-state", "initialSavepointPath": "s3://init"}})));
    world.snapshots.insert("s3://init".into(), 5);
    running(&mut world);
    world.ha = Some((world.job().unwrap().id.clone(), None));
    bump(&mut world);
    world.until(SOON, "restored", |w| w.starts.len() == 2);
    assert_eq!(world.starts[1].1, Restore::From("s3://init".into()));
}

#[test]
fn t41_no_job_manager_and_no_metadata_refuses() {
    let mut world = stable(
        json!({"flinkConfiguration": {"kubernetes.operator.jm-deployment-recovery.enabled": "false"}}),
    );
    world.checkpoint();
    world.ha = None;
    world.kill_deployment();
    bump(&mut world);
    world.for_a_while(secs(300));
    assert!(error(&world).contains("JobManager deployment is missing and HA metadata is not available"));
    assert_eq!(count(&world, "UpgradeFailed"), 1);
    assert_eq!((world.starts.len(), world.lifecycle()), (1, Some(LifecycleState::Failed)));
}

#[test]
fn t42_t43_b01_an_ended_job_is_restored_from_the_observed_path_even_with_metadata_left() {
    for metadata_left in [false, true] {
        let mut world = stable(json!({"job": {"upgradeMode": "last-state"}}));
        world.checkpoint();
        let ha = world.ha.clone();
        world.set_job_state(FlinkJobState::Finished);
        world.ha = ha.filter(|_| metadata_left);
        world.for_a_while(secs(1));
        bump(&mut world);
        world.until(SOON, "restored", |w| w.starts.len() == 2);
        assert!(
            matches!(&world.starts[1].1, Restore::From(path) if path.contains("chk-")),
            "{:?}",
            world.starts
        );
    }
}

#[test]
fn t42_b07_the_legacy_savepoint_counts_when_no_other_path_is_on_record() {
    let mut world = stable(json!({}));
    world.jm.as_mut().unwrap().checkpoints.clear();
    world.set_job_state(FlinkJobState::Failed);
    world.for_a_while(secs(1));
    let mut status = world.status();
    status
        .job_status
        .savepoint_info
        .record(Some(drey_api::Savepoint { location: Some("s3://legacy".into()), ..Default::default() }));
    world.snapshots.insert("s3://legacy".into(), 3);
    world.resource.status = Some(status);
    bump(&mut world);
    world.until(SOON, "restored", |w| w.starts.len() == 2);
    assert_eq!(world.starts[1].1, Restore::From("s3://legacy".into()));
}

#[test]
fn t44_b03_an_ended_job_whose_path_is_the_dummy_refuses() {
    let mut world = stable(json!({"job": {"upgradeMode": "last-state"}}));
    world.checkpoint();
    bump(&mut world);
    running(&mut world);
    world.jm.as_mut().unwrap().checkpoints.clear();
    world.set_job_state(FlinkJobState::Failed);
    world.for_a_while(secs(1));
    bump(&mut world);
    world.for_a_while(secs(120));
    assert!(
        error(&world).contains("Job is in terminal state but last checkpoint is unknown"),
        "{}",
        error(&world)
    );
    assert_eq!(world.starts.len(), 2);
}

#[test]
fn t45_without_fallback_the_old_spec_is_recovered_first_then_upgraded_with_a_savepoint() {
    let mut world = stable(
        json!({"flinkConfiguration": {"kubernetes.operator.job.upgrade.last-state-fallback.enabled": "false"}}),
    );
    world.checkpoint();
    world.kill_deployment();
    world.edit(|spec| spec.image = Some("new".into()));
    world.until(SOON, "recovered and upgraded", |w| w.starts.len() == 3);
    assert_eq!(world.starts[1].1, Restore::HaMetadata { guarded: true });
    assert!(matches!(&world.starts[2].1, Restore::From(path) if path.contains("savepoint-")));
}

#[test]
fn t46_cluster_lost_with_metadata_savepoint_mode_falls_back_to_last_state() {
    let mut world = stable(json!({}));
    world.checkpoint();
    world.kill_deployment();
    bump(&mut world);
    world.until(SOON, "restored", |w| w.starts.len() == 2);
    assert_eq!(world.starts[1].1, Restore::HaMetadata { guarded: true });
    assert!(
        world
            .status()
            .reconciliation_status
            .last_reconciled_spec
            .unwrap()
            .contains("\"upgradeMode\":\"last-state\"")
    );
}

#[test]
fn t47_b02_without_ha_a_failing_job_is_cancelled_or_waited_for() {
    for (mode, fallback, expected) in
        [("last-state", "true", 2), ("savepoint", "true", 2), ("savepoint", "false", 1)]
    {
        let mut world = World::new(no_ha(json!({
            "job": {"upgradeMode": mode},
            "flinkConfiguration": {"kubernetes.operator.job.upgrade.last-state-fallback.enabled": fallback},
        })));
        running(&mut world);
        world.checkpoint();
        world.set_job_state(FlinkJobState::Failing);
        bump(&mut world);
        world.for_a_while(secs(30));
        assert_eq!(world.starts.len(), expected, "{mode} {fallback}\n{}", world.trace.join("\n"));
    }
}

#[test]
fn t49_b20_the_age_of_the_newest_checkpoint_decides() {
    let age = json!({
        "job": {"upgradeMode": "last-state"},
        "flinkConfiguration": {"kubernetes.operator.job.upgrade.last-state.max.allowed.checkpoint.age": "1 min"},
    });
    // Seconds since start; completed and pending checkpoints so many seconds old; expected kind of restore.
    for (started, completed, pending, expected) in [
        (0, None, None, "metadata"),
        (61, None, None, "savepoint"),
        (61, None, Some(30), "wait"),
        (121, None, Some(61), "savepoint"),
        (61, Some(30), None, "metadata"),
        (121, Some(61), None, "savepoint"),
    ] {
        let mut world = stable(age.clone());
        world.now += secs(started);
        let ago = |s: i64| (world.now - secs(s)).as_millisecond();
        let path = "s3://bucket/checkpoints/x".to_owned();
        let checkpoint =
            completed.map(|s| CompletedCheckpoint { id: 3, path: Some(path), timestamp: ago(s) });
        world.newest = pending.map(|s| HistoryEntry { id: 4, in_progress: true, trigger_timestamp: ago(s) });
        world.jm.as_mut().unwrap().checkpoints.extend(checkpoint);
        bump(&mut world);
        world.for_a_while(secs(1));
        let got = match world.starts.get(1) {
            None => "wait",
            Some((_, Restore::HaMetadata { .. })) => "metadata",
            Some((_, Restore::From(_))) => "savepoint",
            Some((_, Restore::Empty)) => "empty",
        };
        assert_eq!(got, expected, "{started} {completed:?} {pending:?}\n{}", world.trace.join("\n"));
    }
}

#[test]
fn t50_b13_a_version_change_never_uses_the_metadata() {
    for (savepoints, state, expected) in [
        (true, FlinkJobState::Running, "savepoint-"),
        (false, FlinkJobState::Running, "chk-"),
        (true, FlinkJobState::Restarting, "chk-"),
    ] {
        let dir = if savepoints { json!("s3://bucket/savepoints") } else { Value::Null };
        let mut world = stable(
            json!({"job": {"upgradeMode": "last-state"}, "flinkConfiguration": {"state.savepoints.dir": dir}}),
        );
        world.checkpoint();
        world.set_job_state(state);
        world.edit(|spec| spec.flink_version = Some(drey_api::FlinkVersion::V2_0));
        world.until(SOON, "upgraded", |w| w.starts.len() == 2);
        assert!(
            matches!(&world.starts[1].1, Restore::From(path) if path.contains(expected)),
            "{:?}",
            world.starts
        );
    }
}

#[test]
fn t51_t52_b15_a_job_manager_that_never_ran_is_replaced_from_what_it_was_to_start_from() {
    let mut world = stable(json!({}));
    world.edit(|spec| spec.image = Some("bad".into()));
    world.until(SOON, "second deployment", |w| w.deployment.as_ref().is_some_and(|d| d.generation == 2));
    world.for_a_while(secs(30));
    world.edit(|spec| spec.image = Some("good".into()));
    world.until(SOON, "replaced", |w| w.starts.len() == 2);
    assert!(matches!(&world.starts[1].1, Restore::From(path) if path.contains("savepoint-")));

    for (mode, expected) in [("savepoint", "s3://init"), ("last-state", "s3://init"), ("stateless", "")] {
        let mut world = World::new(app(
            json!({"image": "bad", "job": {"upgradeMode": mode, "initialSavepointPath": "s3://init"}}),
        ));
        world.snapshots.insert("s3://init".into(), 5);
        world.for_a_while(secs(5));
        world.edit(|spec| spec.image = Some("good".into()));
        world.until(SOON, "replaced", |w| w.starts.len() == 1);
        let path = match &world.starts[0].1 {
            Restore::From(path) => path.as_str(),
            Restore::Empty | Restore::HaMetadata { .. } => "",
        };
        assert_eq!(path, expected, "{mode}");
    }
}

#[test]
fn t54_b28_resume_without_metadata_refuses_until_it_is_back() {
    let mut world = stable(json!({"job": {"upgradeMode": "last-state"}}));
    world.checkpoint();
    suspend(&mut world, JobState::Suspended);
    world.until(SOON, "SUSPENDED", |w| w.lifecycle() == Some(LifecycleState::Suspended));
    let ha = world.ha.take();
    suspend(&mut world, JobState::Running);
    world.for_a_while(secs(200));
    assert!(
        error(&world).contains("HA metadata is not available to restore from last state."),
        "{}",
        error(&world)
    );
    assert_eq!((count(&world, "RestoreFailed"), world.starts.len()), (1, 1));
    world.ha = ha;
    world.changed = true;
    running(&mut world);
    assert_eq!(world.starts[1].1, Restore::HaMetadata { guarded: true });
}

#[test]
fn t55_a_pending_savepoint_delays_the_upgrade_unless_told_otherwise() {
    for (ignore, first) in [("false", "waits"), ("true", "goes")] {
        let mut world = stable(
            json!({"flinkConfiguration": {"kubernetes.operator.job.upgrade.ignore-pending-savepoint": ignore}}),
        );
        world.delays.savepoint = secs(20);
        world.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(1));
        world.for_a_while(secs(1));
        bump(&mut world);
        world.for_a_while(secs(10));
        let stopping = count(&world, "Suspended") == 1;
        assert_eq!(if stopping { "goes" } else { "waits" }, first);
        world.until(secs(60), "upgraded", |w| w.starts.len() == 2);
    }
}

#[test]
fn t56_a_stop_that_fails_leaves_the_job_running_and_is_tried_again() {
    let mut world = stable(json!({}));
    world.next_savepoint_fails = true;
    bump(&mut world);
    world.for_a_while(secs(1));
    assert_eq!((count(&world, "SavepointError"), world.starts.len()), (1, 1));
    assert_eq!(world.job().unwrap().state, FlinkJobState::Running);
    world.until(secs(120), "second attempt", |w| w.starts.len() == 2);
}

#[test]
fn t58_savepoint_redeploy_starts_from_the_named_path_whatever_runs() {
    for (state, desired) in [
        (FlinkJobState::Running, JobState::Running),
        (FlinkJobState::Failing, JobState::Running),
        (FlinkJobState::Running, JobState::Suspended),
    ] {
        let mut world = stable(json!({}));
        world.snapshots.insert("sp-t1".into(), 100);
        world.set_job_state(state);
        world.edit(|spec| {
            let job = spec.job.as_mut().unwrap();
            job.initial_savepoint_path = Some("sp-t1".into());
            job.savepoint_redeploy_nonce = Some(1);
            job.state = desired;
        });
        world.for_a_while(secs(5));
        if desired == JobState::Suspended {
            assert_eq!(world.lifecycle(), Some(LifecycleState::Suspended));
            assert!(world.job().is_none(), "suspended, and nothing runs");
            assert_eq!(world.status().job_status.upgrade_savepoint_path.as_deref(), Some("sp-t1"));
            suspend(&mut world, JobState::Running);
            world.for_a_while(secs(5));
        }
        assert_eq!(
            world.starts.get(1).map(|s| &s.1),
            Some(&Restore::From("sp-t1".into())),
            "{state:?} {desired:?}"
        );
    }
}

#[test]
fn t59_a_fixed_job_id_is_honoured_on_every_deploy() {
    let id = "0123456789abcdef0123456789abcdef";
    let mut world = stable(json!({"flinkConfiguration": {"$internal.pipeline.job-id": id}}));
    bump(&mut world);
    running(&mut world);
    assert_eq!(world.starts.iter().map(|s| s.0.as_str()).collect::<Vec<_>>(), [id, id]);
}

#[test]
fn t60_every_deploy_has_its_own_job_result_store() {
    let mut world = stable(json!({}));
    let path = |w: &World| {
        let text = serde_json::to_string(&w.deployment.as_ref().unwrap().cluster.objects).unwrap();
        let at = text.find("job-result-store/app/").expect("a job result store is configured");
        text[at..at + 60].to_owned()
    };
    let first = path(&world);
    bump(&mut world);
    running(&mut world);
    assert_ne!(first, path(&world));
}

#[test]
fn t61_t36_metadata_goes_exactly_when_the_restore_does_not_need_it() {
    for (mode, kept) in [("last-state", true), ("savepoint", false), ("stateless", false)] {
        let mut world = stable(json!({"job": {"upgradeMode": mode}}));
        world.checkpoint();
        let id = world.job().unwrap().id.clone();
        bump(&mut world);
        running(&mut world);
        assert_eq!(world.job().unwrap().id == id, kept, "{mode}");
        assert_eq!(world.ha.as_ref().unwrap().0 == id, kept, "{mode}");
    }
}

#[test]
fn t62_recovery_switched_off_leaves_it_missing() {
    let mut world = stable(
        json!({"flinkConfiguration": {"kubernetes.operator.jm-deployment-recovery.enabled": "false"}}),
    );
    world.kill_deployment();
    world.for_a_while(secs(300));
    assert_eq!(world.status().job_manager_deployment_status, Jm::Missing);
    assert_eq!(world.starts.len(), 1);
}

#[test]
fn t63_an_error_is_not_recovered_and_a_missing_job_manager_is() {
    let mut world = stable(json!({}));
    world.checkpoint();
    world.stuck = true;
    world.pod_facts = vec![waiting("flink-main-container", "CrashLoopBackOff", None, None)];
    world.changed = true;
    world.for_a_while(secs(120));
    assert_eq!(world.status().job_manager_deployment_status, Jm::Error);
    assert_eq!(world.starts.len(), 1);
    world.stuck = false;
    world.pod_facts.clear();
    world.kill_deployment();
    world.until(SOON, "recovered", |w| w.starts.len() == 2);
}

#[test]
fn t64_b33_stateless_without_ha_is_recovered_stateful_is_not() {
    for (mode, expected) in [("stateless", 2), ("savepoint", 1)] {
        let mut world = World::new(no_ha(json!({"job": {"upgradeMode": mode}})));
        running(&mut world);
        world.kill_deployment();
        world.for_a_while(secs(120));
        assert_eq!(world.starts.len(), expected, "{mode}");
    }
}

#[test]
fn t67_b06_a_failed_job_is_restarted_from_its_last_checkpoint() {
    for (mode, stateful) in [("savepoint", true), ("last-state", true), ("stateless", false)] {
        let mut world = stable(
            json!({"job": {"upgradeMode": mode}, "flinkConfiguration": {"kubernetes.operator.job.restart.failed": "true"}}),
        );
        world.checkpoint();
        world.set_job_state(FlinkJobState::Failed);
        world.until(SOON, "restarted", |w| w.starts.len() == 2);
        running(&mut world);
        assert_eq!(
            matches!(&world.starts[1].1, Restore::From(path) if path.contains("chk-")),
            stateful,
            "{mode}"
        );
    }
    let mut world = stable(json!({}));
    world.set_job_state(FlinkJobState::Failed);
    world.for_a_while(secs(300));
    assert_eq!(world.starts.len(), 1, "off by default");
}

fn health(extra: Value) -> Value {
    let mut conf = json!({"kubernetes.operator.cluster.health-check.enabled": "true"});
    super::fixture::merge(&mut conf, extra);
    json!({"flinkConfiguration": conf})
}

#[test]
fn t68_too_many_restarts_replace_the_cluster() {
    let mut world = World::new(app(health(json!({}))));
    world.metrics = MetricFacts { num_restarts: Some(0), ..MetricFacts::default() };
    running(&mut world);
    world.checkpoint();
    world.for_a_while(secs(61));
    world.metrics.num_restarts = Some(100);
    world.for_a_while(secs(61));
    assert_eq!(count(&world, "RestartUnhealthyJob"), 1, "{}", world.trace.join("\n"));
    assert_eq!(world.starts[1].1, Restore::HaMetadata { guarded: true });
}

#[test]
fn t69_no_completed_checkpoints_replace_the_cluster() {
    let mut world = World::new(app(health(
        json!({"execution.checkpointing.interval": "1 min", "execution.checkpointing.timeout": "1 min"}),
    )));
    world.metrics =
        MetricFacts { num_restarts: Some(0), completed_checkpoints: Some(3), ..MetricFacts::default() };
    running(&mut world);
    world.checkpoint();
    world.for_a_while(secs(400));
    let event = world.events.iter().find(|e| e.reason == "RestartUnhealthyJob").expect("unhealthy");
    assert_eq!(event.message, "Cluster is not able to complete checkpoints");
}

#[test]
fn t70_b35_unhealthy_without_metadata_is_left_running() {
    let mut world = World::new(app(health(json!({}))));
    world.metrics = MetricFacts { num_restarts: Some(0), ..MetricFacts::default() };
    running(&mut world);
    world.for_a_while(secs(61));
    world.ha = None;
    world.metrics.num_restarts = Some(100);
    world.for_a_while(secs(300));
    assert_eq!((count(&world, "RestartUnhealthyJob"), world.starts.len()), (0, 1));
}

#[test]
fn t71_a_failed_job_is_not_restarted_by_the_health_check() {
    let mut world = World::new(app(health(json!({}))));
    world.metrics = MetricFacts { num_restarts: Some(0), ..MetricFacts::default() };
    running(&mut world);
    world.for_a_while(secs(61));
    world.metrics.num_restarts = Some(100);
    world.set_job_state(FlinkJobState::Failed);
    world.for_a_while(secs(300));
    assert_eq!(world.starts.len(), 1);
}

fn rollback(mode: &str) -> World {
    stable(json!({"job": {"upgradeMode": mode}, "flinkConfiguration": {
        "kubernetes.operator.deployment.rollback.enabled": "true",
        "kubernetes.operator.deployment.readiness.timeout": "10 s",
    }}))
}

#[test]
fn t74_t78_an_upgrade_that_never_runs_is_rolled_back_and_a_fixed_spec_goes_on() {
    let mut world = rollback("last-state");
    world.checkpoint();
    world.edit(|spec| spec.image = Some("bad".into()));
    world.until(secs(40), "ROLLED_BACK", |w| {
        w.lifecycle() == Some(LifecycleState::RolledBack) && w.starts.len() == 2
    });
    assert_eq!(count(&world, "Rollback"), 1);
    assert_eq!(world.starts[1].1, Restore::HaMetadata { guarded: true });
    assert!(world.status().reconciliation_status.last_reconciled_spec.unwrap().contains("\"image\":\"bad\""));
    world.checkpoint();
    world.kill_deployment();
    world.until(SOON, "recovered", |w| w.starts.len() == 3);
    let container =
        &world.deployment.as_ref().unwrap().cluster.objects[0]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "flink:1.20", "recovered with what ran");
    world.edit(|spec| spec.image = Some("good".into()));
    world.until_stable(SOON);
}

#[test]
fn t75_b37_savepoint_mode_rolls_back_to_the_savepoint_when_the_new_job_manager_never_ran() {
    let mut world = rollback("savepoint");
    world.edit(|spec| spec.image = Some("bad".into()));
    world.until(secs(40), "ROLLED_BACK", |w| {
        w.lifecycle() == Some(LifecycleState::RolledBack) && w.starts.len() == 2
    });
    assert!(matches!(&world.starts[1].1, Restore::From(path) if path.contains("savepoint-")));
}

#[test]
fn t79_a_resume_that_never_runs_is_not_rolled_back_to_suspended() {
    let mut world = rollback("savepoint");
    suspend(&mut world, JobState::Suspended);
    world.until(SOON, "SUSPENDED", |w| w.lifecycle() == Some(LifecycleState::Suspended));
    world.edit(|spec| {
        spec.image = Some("bad".into());
        spec.job.as_mut().unwrap().state = JobState::Running;
    });
    world.for_a_while(secs(120));
    assert_eq!(count(&world, "Rollback"), 0);
}

#[test]
fn t81_an_ended_jobs_job_manager_stays_until_its_time_is_over() {
    let ttl = json!({"flinkConfiguration": {"kubernetes.operator.jm-deployment.shutdown-ttl": "5 min"}});
    for case in ["suspended", "FINISHED", "FAILED"] {
        let mut world = stable(ttl.clone());
        world.for_a_while(secs(600));
        match case {
            "suspended" => suspend(&mut world, JobState::Suspended),
            "FINISHED" => world.set_job_state(FlinkJobState::Finished),
            _ => world.set_job_state(FlinkJobState::Failed),
        }
        world.for_a_while(secs(290));
        assert!(world.deployment.is_some(), "{case}\n{}", world.trace.join("\n"));
        world.for_a_while(secs(20));
        assert!(world.deployment.is_none(), "{case}");
        world.for_a_while(secs(300));
        assert_eq!(world.starts.len(), 1, "{case}");
    }
}

#[test]
fn t84_a_pending_savepoint_ends_with_the_job_and_is_not_retried() {
    let mut world = stable(json!({}));
    world.delays.savepoint = secs(60);
    world.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(1));
    world.for_a_while(secs(1));
    world.set_job_state(FlinkJobState::Restarting);
    world.for_a_while(secs(1));
    assert_eq!(count(&world, "SavepointError"), 1);
    world.set_job_state(FlinkJobState::Running);
    world.for_a_while(secs(120));
    assert!(world.status().job_status.savepoint_info.trigger_id.is_none());
    assert!(world.status().job_status.savepoint_info.last_savepoint.is_none());
}

#[test]
fn t85_periodic_savepoints_come_at_their_interval() {
    for schedule in ["10m", "0 */10 * * * ?"] {
        let mut world = stable(
            json!({"flinkConfiguration": {"kubernetes.operator.periodic.savepoint.interval": schedule}}),
        );
        world.for_a_while(secs(35 * 60));
        let history = world.status().job_status.savepoint_info.savepoint_history;
        assert!((3..=4).contains(&history.len()), "{schedule}: {history:?}");
        assert!(history.iter().all(|s| s.trigger_type == SnapshotTriggerType::Periodic));
    }
    let mut world =
        stable(json!({"flinkConfiguration": {"kubernetes.operator.periodic.savepoint.interval": "0"}}));
    world.for_a_while(secs(3600));
    assert!(world.status().job_status.savepoint_info.savepoint_history.is_empty());
}

#[test]
fn quirk_a_savepoint_that_always_fails_is_not_tried_in_a_hot_loop() {
    let mut world = stable(json!({}));
    world.savepoints_fail = true;
    world.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(1));
    world.for_a_while(secs(60));
    assert!((2..=8).contains(&count(&world, "SavepointError")), "{}", count(&world, "SavepointError"));
}

#[test]
fn t86_checkpoints_on_demand_need_flink_1_17() {
    for (version, taken) in [("v1_16", false), ("v1_20", true)] {
        let mut world = stable(json!({"flinkVersion": version}));
        world.edit(|spec| spec.job.as_mut().unwrap().checkpoint_trigger_nonce = Some(1));
        world.for_a_while(secs(60));
        assert_eq!(world.status().job_status.checkpoint_info.last_checkpoint.is_some(), taken, "{version}");
    }
}

#[test]
fn t94_the_history_is_bounded_and_keeps_what_is_in_use() {
    let mut world =
        stable(json!({"flinkConfiguration": {"kubernetes.operator.savepoint.history.max.count": "2"}}));
    for nonce in 1..=4 {
        world.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(nonce));
        world.for_a_while(secs(120));
    }
    let history = world.status().job_status.savepoint_info.savepoint_history;
    assert_eq!(history.len(), 2);
    assert_eq!(world.snapshots.len(), 2, "{:?}", world.snapshots);
}

#[test]
fn t101_t104_savepoint_on_deletion_is_taken_before_anything_goes() {
    let mut world =
        stable(json!({"flinkConfiguration": {"kubernetes.operator.job.savepoint-on-deletion": "true"}}));
    world.delays.savepoint = secs(3);
    world.delete();
    world.for_a_while(secs(1));
    assert!(world.exists && world.job().is_some());
    assert_eq!(world.lifecycle(), Some(LifecycleState::Deleting));
    world.until(secs(10), "gone", |w| !w.exists);
    assert_eq!(world.snapshots.len(), 1);
}

#[test]
fn t104_an_ended_application_takes_its_metadata_along() {
    let mut world = stable(json!({}));
    world.checkpoint();
    let ha = world.ha.clone();
    world.set_job_state(FlinkJobState::Finished);
    world.ha = ha;
    world.for_a_while(secs(1));
    world.delete();
    world.until(SOON, "gone", |w| !w.exists);
    assert!(world.ha.is_none());
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

#[test]
fn t76_a_stateless_rollback_starts_empty_although_a_savepoint_is_known() {
    let mut world = rollback("stateless");
    world.checkpoint();
    world.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(1));
    world.for_a_while(secs(5));
    assert!(world.status().job_status.savepoint_info.last_savepoint.is_some());
    world.edit(|spec| spec.image = Some("bad".into()));
    world.until(SOON, "second deployment", |w| w.deployment.as_ref().is_some_and(|d| d.generation == 3));
    world.ha = Some((world.status().job_status.job_id.unwrap(), Some(9)));
    world.changed = true;
    world.until(secs(60), "ROLLED_BACK", |w| {
        w.lifecycle() == Some(LifecycleState::RolledBack) && w.starts.len() == 2
    });
    assert_eq!(world.starts[1].1, Restore::Empty);
}

#[test]
fn t80_rollback_switched_on_in_the_live_spec_counts_at_once() {
    let mut world = stable(json!({
        "job": {"upgradeMode": "last-state"},
        "flinkConfiguration": {"kubernetes.operator.deployment.readiness.timeout": "10 s"},
    }));
    world.checkpoint();
    world.edit(|spec| spec.image = Some("bad".into()));
    world.for_a_while(secs(60));
    assert_eq!(count(&world, "Rollback"), 0);
    world.edit(|spec| spec.flink_configuration.set("kubernetes.operator.deployment.rollback.enabled", true));
    world.until(SOON, "ROLLED_BACK", |w| w.lifecycle() == Some(LifecycleState::RolledBack));
}

#[test]
fn t95_b43_an_entry_whose_disposal_fails_stays_in_the_history() {
    let mut world =
        stable(json!({"flinkConfiguration": {"kubernetes.operator.savepoint.history.max.count": "1"}}));
    world.disposals_fail = true;
    for nonce in 1..=2 {
        world.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(nonce));
        world.for_a_while(secs(20));
    }
    assert_eq!(world.status().job_status.savepoint_info.savepoint_history.len(), 2);
    world.disposals_fail = false;
    world.for_a_while(secs(400));
    assert_eq!(world.status().job_status.savepoint_info.savepoint_history.len(), 1);
}

#[test]
fn quirk_an_unsupported_version_on_a_running_job_keeps_the_job_in_view() {
    let mut world = stable(json!({}));
    world.edit(|spec| spec.flink_version = Some(drey_api::FlinkVersion::V1_14));
    world.set_job_state(FlinkJobState::Restarting);
    world.for_a_while(secs(60));
    assert!(error(&world).contains("is not supported by this operator version"), "{}", error(&world));
    assert_eq!(world.status().job_status.state, Some(FlinkJobState::Restarting));
    assert_eq!(world.starts.len(), 1);
}

#[test]
fn nothing_is_started_before_the_metadata_of_the_old_job_has_been_seen() {
    let mut world = World::new(app(json!({})));
    let mut o = world.observation();
    o.ha = Seen::NotAsked;
    let decision = decide(&o, &world.policy, world.now);
    assert!(
        !decision.plan.iter().any(|action| action.kind() == ActionKind::CreateCluster),
        "{:?}",
        decision.trace
    );
    running(&mut world);
}
