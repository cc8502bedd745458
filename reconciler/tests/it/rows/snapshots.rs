//! Snapshots (10.6).

use super::*;

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

/// Found by a random history: the savepoint stayed pending for ever, and neither recovery nor upgrade came past it.
#[test]
fn t84_a_pending_savepoint_goes_with_its_job_manager() {
    let pending = || {
        let mut world = stable(json!({}));
        world.checkpoint();
        world.delays.savepoint = secs(30);
        world.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(1));
        world.for_a_while(secs(2));
        assert!(world.status().job_status.savepoint_info.is_pending());
        world
    };
    let mut lost = pending();
    lost.kill_deployment();
    running(&mut lost);
    assert_eq!((lost.starts.len(), count(&lost, "SavepointError")), (2, 1));

    let mut broken = pending();
    broken.stuck = true;
    broken.jm = None;
    broken.pod_facts = vec![waiting("main", "CrashLoopBackOff", None, None)];
    broken.changed = true;
    broken.for_a_while(secs(5));
    broken.edit(|spec| spec.image = Some("new".into()));
    broken.until(secs(30), "the old one goes", |w| w.deployment.as_ref().is_none_or(|d| d.deleting));

    // Out of reach for a moment: it may know the savepoint when it answers again.
    let mut unreachable = pending();
    unreachable.unreachable = true;
    unreachable.for_a_while(secs(10));
    unreachable.unreachable = false;
    unreachable.until(secs(60), "taken", |w| w.status().job_status.savepoint_info.last_savepoint.is_some());
    assert_eq!(count(&unreachable, "SavepointError"), 0);
}
