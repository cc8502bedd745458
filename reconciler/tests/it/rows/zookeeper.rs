//! HA metadata in ZooKeeper: it is there, and the operator cannot look at it (5.1).

use super::*;

fn zookeeper(changes: Value) -> World {
    let mut spec = json!({"flinkConfiguration": {"high-availability.type": "zookeeper"}});
    crate::fixture::merge(&mut spec, changes);
    let mut world = World::new(app(spec));
    running(&mut world);
    world.checkpoint();
    world
}

#[test]
fn a_lost_job_manager_is_recovered_from_the_metadata() {
    let mut world = zookeeper(json!({"job": {"upgradeMode": "last-state"}}));
    assert_eq!(count(&world, "NotManaged"), 1, "said what is not looked at");
    world.kill_deployment();
    running(&mut world);
    assert_eq!(world.starts[1], (world.starts[0].0.clone(), Restore::HaMetadata { guarded: true }));
}

/// B23: the JobManager would take the old job graph from metadata the operator cannot clean.
#[test]
fn a_running_job_is_upgraded_by_way_of_its_last_checkpoint() {
    let mut world = zookeeper(json!({"job": {"upgradeMode": "last-state"}}));
    bump(&mut world);
    running(&mut world);
    assert!(matches!(&world.starts[1].1, Restore::From(path) if path.contains("chk-")), "{:?}", world.starts);
    assert_ne!(world.starts[1].0, world.starts[0].0);

    let mut savepoint = zookeeper(json!({}));
    bump(&mut savepoint);
    running(&mut savepoint);
    assert!(matches!(&savepoint.starts[1].1, Restore::From(path) if path.contains("savepoint-")));
}

#[test]
fn a_job_manager_that_does_not_answer_falls_back_to_the_metadata() {
    let mut world = zookeeper(json!({}));
    world.unreachable = true;
    world.due = Some(world.now);
    world.for_a_while(secs(1));
    bump(&mut world);
    world.until(secs(10), "old one removed", |w| w.jm.is_none());
    world.unreachable = false;
    running(&mut world);
    assert_eq!(world.starts[1].1, Restore::HaMetadata { guarded: true });
}

#[test]
fn metadata_nobody_can_have_written_is_not_relied_on() {
    for (mode, expected) in [("savepoint", "s3://init"), ("last-state", "s3://init")] {
        let mut world = World::new(app(json!({
            "image": "bad",
            "flinkConfiguration": {"high-availability.type": "zookeeper"},
            "job": {"upgradeMode": mode, "initialSavepointPath": "s3://init"},
        })));
        world.snapshots.insert("s3://init".into(), 5);
        world.for_a_while(secs(5));
        world.edit(|spec| spec.image = Some("good".into()));
        running(&mut world);
        assert_eq!(world.starts[0].1, Restore::From(expected.into()), "{mode}");
    }
}

#[test]
fn an_ended_job_is_restored_from_its_path_unless_it_may_have_gone_on() {
    let ended = |state: FlinkJobState| {
        let mut world = zookeeper(json!({
            "job": {"upgradeMode": "last-state"},
            "flinkConfiguration": {"kubernetes.operator.jm-deployment.shutdown-ttl": "5 min"},
        }));
        world.set_job_state(state);
        world.for_a_while(secs(5));
        world
    };
    let restored = |mut world: World| {
        bump(&mut world);
        running(&mut world);
        assert!(
            matches!(&world.starts[1].1, Restore::From(path) if path.contains("chk-")),
            "{:?}",
            world.starts
        );
    };
    for state in [FlinkJobState::Finished, FlinkJobState::Failed] {
        restored(ended(state));
        let mut shut_down = ended(state);
        shut_down.for_a_while(secs(600));
        assert!(shut_down.deployment.is_none(), "the operator itself took it away");
        restored(shut_down);

        let mut taken_away = ended(state);
        taken_away.kill_deployment();
        bump(&mut taken_away);
        taken_away.for_a_while(secs(300));
        assert_eq!((taken_away.starts.len(), count(&taken_away, "UpgradePending")), (1, 1));
        assert!(taken_away.events.iter().any(|event| event.message.contains("savepointRedeployNonce")));
    }
}
