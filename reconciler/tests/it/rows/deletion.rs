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

/// 4.8: whether a JobManager ever ran is read from its Deployment. A savepoint is waited for only where one may have.
#[test]
fn a_job_manager_that_never_ran_is_told_from_its_deployment() {
    let conf = json!({"kubernetes.operator.job.savepoint-on-deletion": "true"});
    let mut world = World::new(app(json!({"flinkConfiguration": conf})));
    world.stuck = true;
    world.for_a_while(secs(60));
    world.delete();
    let check = |what: &str, change: fn(&mut JobManagerFacts), expected: bool| {
        let mut o = world.observation();
        let Seen::Known(facts) = &mut o.job_manager else { panic!("a Deployment") };
        change(facts);
        let plan = decide(&o, &world.policy, world.now).plan;
        let goes = plan.iter().any(|action| action.kind() == ActionKind::DeleteCluster);
        assert_eq!(goes, expected, "{what}");
    };
    fn available(facts: &mut JobManagerFacts, after: i64) {
        facts.conditions[0].last_transition = Some(facts.created + secs(after));
    }
    fn progress(facts: &mut JobManagerFacts, reason: &str) {
        facts.conditions[1].reason = Some(reason.into());
    }
    check("its first status came at once", |_| {}, true);
    check("a second later", |jm| available(jm, 1), true);
    check("a controller that had much to do", |jm| available(jm, 100), true);
    check(
        "a minute late, long ago",
        |jm| (available(jm, 60), progress(jm, "ProgressDeadlineExceeded")).0,
        true,
    );
    check(
        "its ReplicaSet could not be made",
        |jm| (available(jm, 1), progress(jm, "ReplicaSetCreateError")).0,
        true,
    );
    check("of Progressing nothing, but at once", |jm| jm.conditions.truncate(1), true);
    check("of Progressing nothing", |jm| (available(jm, 1), jm.conditions.truncate(1)).1, false);
    check("it was there", |jm| (available(jm, 1), progress(jm, "NewReplicaSetAvailable")).1, false);
    check("paused, which forgets", |jm| (available(jm, 1), progress(jm, "DeploymentPaused")).1, false);
    check("resumed", |jm| (available(jm, 1), progress(jm, "DeploymentResumed")).1, false);
    check("too late for a first word", |jm| available(jm, 121), false);
    check("another template since", |jm| (available(jm, 1), jm.own_generation = Some(2)).0, false);
    check("generation unknown", |jm| (available(jm, 1), jm.own_generation = None).0, false);
    check("one of two was there", |jm| (available(jm, 1), jm.wanted_replicas = 2).0, false);
    check("no conditions at all", |jm| jm.conditions.clear(), false);
    check("no time told", |jm| jm.conditions[0].last_transition = None, false);
    check("available now", |jm| jm.conditions[0].status = "True".into(), false);
    check("before its creation, by another clock", |jm| (available(jm, -1), ()).1, true);
}
