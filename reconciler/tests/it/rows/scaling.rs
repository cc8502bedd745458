//! Scaling in place (2.8, T31), and what is an upgrade all the same.

use super::*;

const OVERRIDES: &str = "pipeline.jobvertex-parallelism-overrides";

fn adaptive(changes: Value) -> World {
    let mut spec = json!({"flinkConfiguration": {"jobmanager.scheduler": "adaptive", OVERRIDES: "a:2,b:2"}});
    crate::fixture::merge(&mut spec, changes);
    let mut world = stable(spec);
    world.checkpoint();
    for vertex in ["a", "b"] {
        world.requirements.insert(vertex.into(), Parallelism { lower: 1, upper: 2 });
    }
    world
}

fn set(world: &mut World, overrides: Option<&str>) {
    world.edit(|spec| {
        let mut conf = serde_json::to_value(&spec.flink_configuration).unwrap();
        conf[OVERRIDES] = json!(overrides);
        if overrides.is_none() {
            conf.as_object_mut().unwrap().remove(OVERRIDES);
        }
        spec.flink_configuration = serde_json::from_value(conf).unwrap();
    });
}

#[test]
fn t31_other_overrides_are_reached_without_a_restart() {
    let mut world = adaptive(json!({}));
    set(&mut world, Some("a:4,b:1"));
    running(&mut world);
    world.for_a_while(secs(120));
    assert_eq!((world.starts.len(), world.rescales), (1, 1), "{}", world.trace.join("\n"));
    assert_eq!(world.requirements["a"], Parallelism { lower: 1, upper: 4 });
    assert_eq!(world.requirements["b"], Parallelism { lower: 1, upper: 1 });
    assert_eq!(
        (count(&world, "Scaling"), count(&world, "SpecChanged"), count(&world, "Suspended")),
        (1, 1, 0)
    );
    assert!(world.events.iter().any(|event| event.message.starts_with("SCALE change(s) detected")));
    let status = world.status();
    assert!(status.reconciliation_status.last_reconciled_spec.unwrap().contains("a:4,b:1"));
    // A JobManager that is lost later comes back with what was asked for last.
    world.kill_deployment();
    running(&mut world);
    let objects = serde_json::to_string(&world.deployment.as_ref().unwrap().cluster.objects).unwrap();
    assert!(objects.contains("a:4,b:1"), "{objects}");
}

/// Repeated after a crash, or done by hand: the bounds are there already.
#[test]
fn t31_bounds_that_are_there_already_need_no_request() {
    let mut world = adaptive(json!({}));
    world.requirements.insert("a".into(), Parallelism { lower: 1, upper: 4 });
    set(&mut world, Some("a:4,b:2"));
    running(&mut world);
    assert_eq!((world.starts.len(), world.rescales, count(&world, "Scaling")), (1, 0, 1));
}

#[test]
fn a_crash_while_scaling_converges() {
    for at in 0..4 {
        let mut world = adaptive(json!({}));
        world.crash_at = Some(at);
        set(&mut world, Some("a:4,b:2"));
        running(&mut world);
        world.for_a_while(secs(120));
        assert_eq!((world.starts.len(), world.rescales), (1, 1), "{at}\n{}", world.trace.join("\n"));
        assert!(count(&world, "Scaling") > 0, "{at}\n{}", world.trace.join("\n"));
    }
}

#[test]
fn t31_what_cannot_be_done_in_place_is_an_upgrade() {
    let off = "kubernetes.operator.job.upgrade.inplace-scaling.enabled";
    for (name, spec, overrides) in [
        (
            "default scheduler",
            json!({"flinkConfiguration": {"jobmanager.scheduler": "default"}}),
            Some("a:4,b:2"),
        ),
        ("switched off", json!({"flinkConfiguration": {off: "false"}}), Some("a:4,b:2")),
        ("Flink 1.17", json!({"flinkVersion": "v1_17"}), Some("a:4,b:2")),
        ("an override is gone", json!({}), Some("a:4")),
        ("all overrides are gone", json!({}), None),
    ] {
        let mut world = adaptive(spec);
        set(&mut world, overrides);
        running(&mut world);
        assert_eq!((world.starts.len(), world.rescales), (2, 0), "{name}\n{}", world.trace.join("\n"));
    }
    let mut together = adaptive(json!({}));
    set(&mut together, Some("a:4,b:2"));
    bump(&mut together);
    running(&mut together);
    assert_eq!((together.starts.len(), together.rescales), (2, 0), "with another change");
}

#[test]
fn t31_a_refusal_is_followed_by_an_upgrade_at_once() {
    let mut world = adaptive(json!({}));
    world.rescale_fails = true;
    set(&mut world, Some("a:4,b:2"));
    running(&mut world);
    assert_eq!((world.starts.len(), world.rescales, error(&world).as_str()), (2, 0, ""));
    assert_eq!((count(&world, "SpecChanged"), count(&world, "Scaling")), (1, 0));
    assert!(matches!(&world.starts[1].1, Restore::From(path) if path.contains("savepoint-")));
}

#[test]
fn t30_t32_other_parallelism_and_replicas_are_upgrades_in_native_mode() {
    let mut parallelism = adaptive(json!({}));
    parallelism.edit(|spec| spec.job.as_mut().unwrap().parallelism = 4);
    running(&mut parallelism);
    assert_eq!((parallelism.starts.len(), parallelism.rescales), (2, 0));
    assert!(parallelism.events.iter().any(|event| event.message.starts_with("UPGRADE change(s) detected")));

    let mut replicas = adaptive(json!({"taskManager": {"replicas": 2}}));
    replicas.edit(|spec| spec.task_manager.as_mut().unwrap().replicas = Some(3));
    running(&mut replicas);
    assert_eq!((replicas.starts.len(), replicas.rescales), (2, 0));
}
