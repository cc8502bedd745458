//! Validation behaviour and differences (10.2, 10.3).

use super::*;

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
fn what_is_not_managed_is_said_once_and_costs_nothing() {
    let ingress = json!({"ingress": {"template": "{{name}}.example.com"}});
    let autoscaler = json!({"flinkConfiguration": {"job.autoscaler.enabled": "true"}});
    for (change, text) in [(ingress, "spec.ingress"), (autoscaler, "job.autoscaler.enabled")] {
        let mut world = stable(change);
        world.for_a_while(secs(300));
        bump(&mut world);
        world.until(SOON, "upgraded", |w| w.starts.len() == 2);
        running(&mut world);
        assert_eq!(count(&world, "NotManaged"), 1);
        assert!(world.events.iter().any(|e| e.reason == "NotManaged" && e.message.contains(text)));
        assert_eq!(world.status().error, None);
    }
}

#[test]
fn t25_keys_that_are_the_operators_own_are_refused() {
    for key in ["kubernetes.namespace", "kubernetes.cluster-id", "high-availability.cluster-id"] {
        let mut world = stable(json!({}));
        set_key(&mut world, key, "x");
        world.for_a_while(secs(120));
        assert!(error(&world).contains(&format!("Forbidden Flink config key: {key}")), "{}", error(&world));
        assert_eq!((world.starts.len(), count(&world, "ValidationError")), (1, 1));
    }
}

#[test]
fn t27_a_redeploy_without_a_path_is_refused() {
    for path in [None, Some(" ")] {
        let mut world = stable(json!({}));
        world.edit(|spec| {
            let job = spec.job.as_mut().unwrap();
            job.initial_savepoint_path = path.map(Into::into);
            job.savepoint_redeploy_nonce = Some(1);
        });
        world.for_a_while(secs(120));
        assert!(error(&world).contains("InitialSavepointPath must not be empty for savepoint redeployment"));
        assert_eq!((world.starts.len(), world.job().map(|job| job.state)), (1, Some(FlinkJobState::Running)));
    }
}

#[test]
fn t34_remains_of_older_formats_in_a_pod_template_are_no_change() {
    let mut world =
        stable(json!({"podTemplate": {"apiVersion": "v1", "kind": "Pod", "spec": {"hostname": "a"}}}));
    world
        .edit(|spec| spec.pod_template = serde_json::from_value(json!({"spec": {"hostname": "a"}})).unwrap());
    world.for_a_while(secs(60));
    assert_eq!((world.starts.len(), count(&world, "SpecChanged")), (1, 0));
    assert_eq!(world.status().observed_generation, Some(2));
    world
        .edit(|spec| spec.pod_template = serde_json::from_value(json!({"spec": {"hostname": "b"}})).unwrap());
    running(&mut world);
    assert_eq!(world.starts.len(), 2);
}

/// QUIRK (2.9): there the error and its event are written again in every pass.
#[test]
fn quirk_a_spec_that_stays_invalid_costs_one_event_and_one_write() {
    let mut world = stable(json!({}));
    world.edit(|spec| spec.job.as_mut().unwrap().parallelism = 0);
    world.for_a_while(secs(5));
    let writes = world.status_writes;
    world.for_a_while(secs(3600));
    assert_eq!((count(&world, "ValidationError"), world.status_writes), (1, writes));
}

fn set_key(world: &mut World, key: &str, value: &str) {
    world.edit(|spec| {
        let mut conf = serde_json::to_value(&spec.flink_configuration).unwrap();
        conf[key] = json!(value);
        spec.flink_configuration = serde_json::from_value(conf).unwrap();
    });
}
