//! Deletion (10.7).

use super::*;

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

/// Found by a random history: the job was being stopped for an upgrade when its JobManager was lost for good.
#[test]
fn a_deletion_does_not_wait_for_a_savepoint_nobody_can_take() {
    let conf = json!({"kubernetes.operator.job.savepoint-on-deletion": "true"});
    let mut world = World::new(no_ha(json!({"flinkConfiguration": conf})));
    running(&mut world);
    world.delays.savepoint = secs(10);
    bump(&mut world);
    world.for_a_while(secs(1));
    world.kill_deployment();
    world.delete();
    world.until(SOON, "gone", |w| !w.exists);
}
