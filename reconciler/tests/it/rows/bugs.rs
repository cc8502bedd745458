//! Bugs that Flink operators had (reconciler.md 11) and that no case of the catalogue shows.

use super::*;

/// The id was a constant: a stateless redeploy met the retained checkpoints of the run before.
#[test]
fn b05_every_start_has_an_id_of_its_own_that_is_stored_first() {
    let mut world = stable(json!({"job": {"upgradeMode": "stateless"}}));
    for _ in 0..3 {
        bump(&mut world);
        running(&mut world);
    }
    // That it is stored before the cluster is created, the world itself demands.
    let ids: std::collections::BTreeSet<&String> = world.starts.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 4);
}

/// The savepoint was complete; the failure of the job right after it took the upgrade down.
#[test]
fn b09_a_stop_that_fails_after_its_savepoint_is_a_stop() {
    let mut world = stable(json!({}));
    world.checkpoint();
    world.next_stop_fails_late = true;
    bump(&mut world);
    world.until(SOON, "restored", |w| w.starts.len() == 2);
    assert!(
        matches!(&world.starts[1].1, Restore::From(path) if path.contains("savepoint-")),
        "{:?}",
        world.starts
    );
    assert_eq!(count(&world, "SavepointError"), 0);
}

/// The directory was read from what runs, which had none.
#[test]
fn b11_the_directory_of_savepoints_may_come_with_the_change_to_savepoint_mode() {
    let mut world = stable(
        json!({"job": {"upgradeMode": "stateless"}, "flinkConfiguration": {"state.savepoints.dir": null}}),
    );
    world.checkpoint();
    world.edit(|spec| {
        let mut conf = serde_json::to_value(&spec.flink_configuration).unwrap();
        conf["state.savepoints.dir"] = json!("s3://bucket/savepoints");
        spec.flink_configuration = serde_json::from_value(conf).unwrap();
        spec.job.as_mut().unwrap().upgrade_mode = UpgradeMode::Savepoint;
    });
    world.until(SOON, "restored", |w| w.starts.len() == 2);
    assert!(
        matches!(&world.starts[1].1, Restore::From(path) if path.contains("savepoint-")),
        "{:?}",
        world.starts
    );
}

/// HA came with the new spec; the job that runs has no metadata.
#[test]
fn b12_metadata_is_looked_for_where_the_running_job_would_have_it() {
    let mut world = World::new(no_ha(json!({"job": {"upgradeMode": "stateless"}})));
    running(&mut world);
    world.checkpoint();
    world.edit(|spec| {
        let mut conf = serde_json::to_value(&spec.flink_configuration).unwrap();
        conf["high-availability.type"] = json!("kubernetes");
        spec.flink_configuration = serde_json::from_value(conf).unwrap();
        spec.job.as_mut().unwrap().upgrade_mode = UpgradeMode::LastState;
    });
    world.until(SOON, "restored", |w| w.starts.len() == 2);
    assert!(matches!(&world.starts[1].1, Restore::From(path) if path.contains("chk-")), "{:?}", world.starts);
}

/// What the user sends between the halves counts, and the job is started once.
#[test]
fn b16_a_change_between_the_halves_is_taken_along() {
    let mut world = stable(json!({}));
    world.delays.terminate = secs(20);
    bump(&mut world);
    world.until(SOON, "old cluster going", |w| w.deployment.as_ref().is_some_and(|d| d.deleting));
    world.edit(|spec| spec.image = Some("newer".into()));
    world.until_stable(secs(60));
    let objects = serde_json::to_string(&world.deployment.as_ref().unwrap().cluster.objects).unwrap();
    assert!(objects.contains("newer"));
    assert_eq!(world.starts.len(), 2);
}

/// Called a failed deployment, lost metadata put the JobManager into ERROR, out of which nothing recovers.
#[test]
fn b32_lost_metadata_is_no_failed_deployment() {
    let mut world = stable(json!({"job": {"upgradeMode": "last-state"}}));
    world.checkpoint();
    let ha = world.ha.take();
    world.kill_deployment();
    world.for_a_while(secs(120));
    assert_eq!(world.status().job_manager_deployment_status, Jm::Missing);
    assert!(error(&world).contains("UpgradeFailureException"), "{}", error(&world));
    world.ha = ha;
    world.changed = true;
    running(&mut world);
    assert_eq!((world.starts.len(), error(&world).as_str()), (2, ""));
}
