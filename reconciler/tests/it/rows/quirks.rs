//! Where Apache's operator does what nobody would ask for (the QUIRKs of reconciler.md), and what happens here.

use super::*;

/// 3.6: there the first look at a job without a stored state said that the job is missing.
#[test]
fn quirk_a_job_without_a_stored_state_is_simply_seen() {
    let mut world = stable(json!({}));
    let mut status = world.status();
    status.job_status.state = None;
    world.resource.status = Some(status);
    world.changed = true;
    running(&mut world);
    assert_eq!((count(&world, "Missing"), error(&world).as_str()), (0, ""));
    assert!(world.events.iter().any(|event| event.message == "Job status changed to RUNNING"));
}

/// 4.2: there nothing was recorded, and observedGeneration stayed behind.
#[test]
fn quirk_a_change_of_a_suspended_job_is_recorded() {
    let mut world = stable(json!({}));
    suspend(&mut world, JobState::Suspended);
    world.until(SOON, "SUSPENDED", |w| w.lifecycle() == Some(LifecycleState::Suspended));
    world.edit(|spec| spec.image = Some("new".into()));
    world.for_a_while(secs(60));
    let status = world.status();
    assert_eq!((status.observed_generation, world.lifecycle()), (Some(3), Some(LifecycleState::Suspended)));
    assert!(status.reconciliation_status.last_reconciled_spec.unwrap().contains("\"image\":\"new\""));
    suspend(&mut world, JobState::Running);
    running(&mut world);
    assert!(matches!(&world.starts[1].1, Restore::From(path) if path.contains("savepoint-")));
}

/// 4.9: there every pass failed until the job ran. Here it is said once, and switching the option off is enough.
#[test]
fn quirk_a_deletion_that_waits_for_a_savepoint_says_so_and_can_be_let_go() {
    let option = "kubernetes.operator.job.savepoint-on-deletion";
    let mut world = stable(json!({"flinkConfiguration": {option: "true"}}));
    world.checkpoint();
    world.set_job_state(FlinkJobState::Restarting);
    world.for_a_while(secs(1));
    world.delete();
    world.for_a_while(secs(300));
    assert_eq!((count(&world, "CleanupFailed"), world.exists), (1, true));
    world.edit(|spec| {
        let mut conf = serde_json::to_value(&spec.flink_configuration).unwrap();
        conf[option] = json!("false");
        spec.flink_configuration = serde_json::from_value(conf).unwrap();
    });
    world.until(SOON, "gone", |w| !w.exists);
}

/// 5.9: there a periodic one was reported under a nonce nobody had set, and a checkpoint took the nonce along.
#[test]
fn quirk_a_periodic_snapshot_that_ends_with_the_job_is_called_periodic() {
    for (option, reason, text) in [
        ("savepoint", "SavepointError", "Periodic savepoint failed"),
        ("checkpoint", "CheckpointError", "Periodic checkpoint failed"),
    ] {
        let key = format!("kubernetes.operator.periodic.{option}.interval");
        let mut world = stable(json!({"flinkConfiguration": {key: "5 min"}}));
        world.checkpoint();
        world.delays.savepoint = secs(30);
        world.for_a_while(secs(365));
        world.set_job_state(FlinkJobState::Restarting);
        world.for_a_while(secs(2));
        let told: Vec<&str> = world
            .events
            .iter()
            .filter(|event| event.reason == reason)
            .map(|event| event.message.as_str())
            .collect();
        assert_eq!(told, [text], "{}", world.trace.join("\n"));
    }
}

/// Flink forgets an ended job after a while. There it was then reported missing.
#[test]
fn quirk_an_ended_job_that_flink_forgets_stays_ended() {
    let mut world = stable(json!({}));
    world.set_job_state(FlinkJobState::Finished);
    world.for_a_while(secs(5));
    world.jm.as_mut().unwrap().job = None;
    world.for_a_while(secs(3600));
    assert_eq!(world.status().job_status.state, Some(FlinkJobState::Finished));
    assert_eq!((count(&world, "Missing"), world.starts.len()), (0, 1));
}

/// There it waited for ever without a word.
#[test]
fn quirk_a_last_state_start_that_never_ran_and_lost_its_metadata_is_refused() {
    let mut world = stable(json!({"job": {"upgradeMode": "last-state"}}));
    world.checkpoint();
    world.edit(|spec| spec.image = Some("bad".into()));
    world.until(SOON, "second deployment", |w| w.deployment.as_ref().is_some_and(|d| d.generation == 2));
    world.for_a_while(secs(10));
    world.ha = None;
    world.edit(|spec| spec.image = Some("good".into()));
    world.for_a_while(secs(300));
    assert!(error(&world).contains("HA metadata is not available"), "{}", error(&world));
    assert_eq!((count(&world, "UpgradeFailed"), world.starts.len()), (1, 1));
}

/// There the savepoint of a stop that took too long was forgotten, although the job stops with it.
#[test]
fn quirk_a_stop_that_takes_too_long_is_reported_and_still_used() {
    let mut world = stable(json!({"flinkConfiguration": {"execution.checkpointing.timeout": "1 min"}}));
    world.delays.savepoint = secs(120);
    bump(&mut world);
    world.for_a_while(secs(90));
    assert!(error(&world).contains("please configure a larger timeout"), "{}", error(&world));
    world.until_stable(secs(60));
    assert!(matches!(&world.starts[1].1, Restore::From(path) if path.contains("savepoint-")));
    assert_eq!((count(&world, "SavepointError"), error(&world).as_str()), (1, ""));
}

/// There a recorded nonce made a stable deployment look DEPLOYED until the next look.
#[test]
fn quirk_a_savepoint_by_hand_leaves_a_stable_deployment_stable() {
    let mut world = stable(json!({}));
    world.delays.savepoint = secs(20);
    world.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(1));
    let end = world.now + secs(60);
    while world.now < end {
        world.for_a_while(secs(1));
        assert_eq!(world.lifecycle(), Some(LifecycleState::Stable), "{}", world.trace.join("\n"));
    }
    assert!(world.status().job_status.savepoint_info.last_savepoint.is_some());
}
