//! What a user hears of, and how often: warnings, waiting upgrades, lost metadata, failures that repeat.

use super::*;
use drey_reconciler::Event;

fn events<'a>(world: &'a World, reason: &str) -> Vec<&'a Event> {
    world.events.iter().filter(|event| event.reason == reason).collect()
}

/// The one event of this reason, all along.
fn only<'a>(world: &'a World, reason: &str) -> &'a Event {
    let found = events(world, reason);
    assert_eq!(found.len(), 1, "{found:#?}\n{}", world.trace.join("\n"));
    found[0]
}

fn waiting_for_a_restarting_job() -> World {
    let mut world = stable(
        json!({"flinkConfiguration": {"kubernetes.operator.job.upgrade.last-state-fallback.enabled": "false"}}),
    );
    world.checkpoint();
    world.set_job_state(FlinkJobState::Restarting);
    world.for_a_while(secs(1));
    bump(&mut world);
    world
}

#[test]
fn quirk_an_upgrade_that_waits_says_why_and_what_to_do_once() {
    let mut world = waiting_for_a_restarting_job();
    world.for_a_while(secs(5));
    assert_eq!(
        (count(&world, "UpgradePending"), error(&world).as_str()),
        (0, ""),
        "it may be over in a moment"
    );
    world.for_a_while(secs(600));
    let event = only(&world, "UpgradePending");
    assert_eq!((event.kind, event.once), (EventKind::Warning, true));
    for part in ["the job is RESTARTING", "last-state-fallback.enabled: false", "switch the option on"] {
        assert!(event.message.contains(part) && error(&world).contains(part), "{part}: {}", event.message);
    }
    assert_eq!(world.starts.len(), 1);
    world.delays.savepoint = secs(20);
    world.set_job_state(FlinkJobState::Running);
    world.for_a_while(secs(5));
    assert_eq!((count(&world, "Suspended"), error(&world).as_str()), (1, ""), "it does not wait any more");
    world.until_stable(secs(60));
    assert_eq!((world.starts.len(), error(&world).as_str()), (2, ""));
}

#[test]
fn an_upgrade_taken_back_is_not_waited_for_any_more() {
    let mut world = waiting_for_a_restarting_job();
    world.for_a_while(secs(60));
    assert!(error(&world).contains("The upgrade waits"));
    world.edit(|spec| spec.restart_nonce = None);
    world.for_a_while(secs(5));
    assert_eq!(error(&world), "");
}

#[test]
fn what_is_waited_for_stands_back_behind_what_is_broken() {
    let mut world = stable(json!({}));
    world.checkpoint();
    world.stuck = true;
    world.pod_facts = vec![waiting("main", "CrashLoopBackOff", Some("back-off 10s"), None)];
    world.changed = true;
    world.for_a_while(secs(30));
    world.edit(|spec| spec.flink_version = Some(drey_api::FlinkVersion::V2_0));
    world.for_a_while(secs(120));
    assert!(error(&world).contains("back-off 10s"), "{}", error(&world));
    assert_eq!(count(&world, "UpgradePending"), 1);
}

#[test]
fn short_waits_are_no_errors() {
    let mut savepoint = stable(json!({}));
    savepoint.delays.savepoint = secs(40);
    savepoint.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(1));
    savepoint.for_a_while(secs(1));
    bump(&mut savepoint);
    savepoint.for_a_while(secs(30));
    assert_eq!(only(&savepoint, "UpgradePending").kind, EventKind::Normal);
    assert_eq!(error(&savepoint), "");

    let age = "kubernetes.operator.job.upgrade.last-state.max.allowed.checkpoint.age";
    let mut checkpoint =
        stable(json!({"job": {"upgradeMode": "last-state"}, "flinkConfiguration": {age: "1 min"}}));
    checkpoint.now += secs(61);
    let triggered = checkpoint.now.as_millisecond();
    checkpoint.newest = Some(HistoryEntry { id: 4, in_progress: true, trigger_timestamp: triggered });
    bump(&mut checkpoint);
    checkpoint.for_a_while(secs(1));
    checkpoint.due = Some(checkpoint.now + secs(20));
    checkpoint.for_a_while(secs(30));
    assert_eq!(only(&checkpoint, "UpgradePending").kind, EventKind::Normal);
    assert_eq!((error(&checkpoint).as_str(), checkpoint.starts.len()), ("", 1));
}

/// The new version answers and never becomes stable, and somebody is cancelling its job: nothing is rolled back under it.
#[test]
fn quirk_a_rollback_that_waits_says_why_once() {
    let mut world = stable(json!({"job": {"upgradeMode": "last-state"}, "flinkConfiguration": {
        "kubernetes.operator.deployment.rollback.enabled": "true",
        "kubernetes.operator.deployment.readiness.timeout": "10 s",
    }}));
    world.checkpoint();
    world.delays.start = secs(5);
    bump(&mut world);
    world.until(SOON, "DEPLOYED", |w| {
        w.deployment.as_ref().is_some_and(|d| d.generation == 2)
            && w.lifecycle() == Some(LifecycleState::Deployed)
    });
    // Before the operator has seen it run.
    world.now += secs(5);
    world.tick();
    world.set_job_state(FlinkJobState::Cancelling);
    world.for_a_while(secs(120));
    assert_eq!((count(&world, "Rollback"), count(&world, "UpgradePending")), (0, 0));
    let event = only(&world, "RollbackPending");
    assert_eq!((event.kind, event.once), (EventKind::Normal, true));
    assert_eq!(event.message, "The rollback waits: the job is being cancelled.");
}

#[test]
fn t50_a_version_change_that_can_neither_stop_nor_cancel_says_so() {
    let mut world = stable(json!({"job": {"upgradeMode": "last-state"}}));
    world.checkpoint();
    world.unreachable = true;
    world.edit(|spec| spec.flink_version = Some(drey_api::FlinkVersion::V2_0));
    world.for_a_while(secs(300));
    assert!(only(&world, "UpgradePending").message.contains("the Flink version changes"));
    assert_eq!(world.starts.len(), 1);
}

/// RUNNING comes before the tasks run. A stop would fail then, and be reported.
#[test]
fn quirk_a_job_whose_tasks_do_not_run_yet_is_not_stopped_in_vain() {
    let mut world = stable(json!({}));
    world.tasks_missing = 1;
    bump(&mut world);
    world.for_a_while(secs(3));
    assert_eq!((world.starts.len(), count(&world, "Suspended")), (1, 0));
    world.tasks_missing = 0;
    world.until(secs(10), "upgraded", |w| w.starts.len() == 2);
    assert_eq!((count(&world, "SavepointError"), count(&world, "UpgradePending")), (0, 0));

    let mut stuck = stable(json!({}));
    stuck.tasks_missing = 1;
    bump(&mut stuck);
    stuck.for_a_while(secs(300));
    assert!(only(&stuck, "UpgradePending").message.contains("1 of 2 tasks"));
    assert!(error(&stuck).contains("set job.upgradeMode to last-state"));
}

#[test]
fn a_savepoint_asked_for_waits_for_the_tasks() {
    let mut world = stable(json!({}));
    world.tasks_missing = 2;
    world.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(1));
    world.for_a_while(secs(3));
    assert_eq!(world.status().job_status.savepoint_info.trigger_id, None);
    world.tasks_missing = 0;
    world.until(secs(10), "savepoint", |w| w.status().job_status.savepoint_info.last_savepoint.is_some());
    assert_eq!(count(&world, "SavepointError"), 0);
}

#[test]
fn warnings_are_shown_once_per_generation() {
    let mut world = stable(json!({
        "flinkVersion": "v1_17",
        "flinkConfiguration": {"kubernetes.operator.reconcile.interval": "10 s"},
    }));
    let shown = |world: &World| {
        events(world, "ValidationWarning").iter().map(|event| event.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&world).len(), 2, "{:?}", shown(&world));
    assert!(shown(&world)[0].contains("v1_17 is deprecated"));
    assert!(shown(&world)[1].contains("kubernetes.operator.reconcile.interval has no effect"));
    world.for_a_while(secs(600));
    assert_eq!(shown(&world).len(), 2);
    bump(&mut world);
    running(&mut world);
    assert_eq!(shown(&world).len(), 4, "of another generation");
    // An operator that starts anew publishes them under the same names, and only if they are not there.
    let before: Vec<_> = events(&world, "ValidationWarning")[2..].iter().map(|e| e.key.clone()).collect();
    world.memo = Memo::default();
    world.changed = true;
    world.for_a_while(secs(60));
    let again: Vec<_> = events(&world, "ValidationWarning")[4..].to_vec();
    assert_eq!(again.iter().map(|e| e.key.clone()).collect::<Vec<_>>(), before);
    assert!(again.iter().all(|event| event.once));
}

/// The recorded mode is how the job was last restored, not what the user wrote.
#[test]
fn quirk_the_text_of_a_change_names_what_the_user_changed() {
    let mut world = stable(json!({}));
    world.edit(|spec| spec.image = Some("new".into()));
    running(&mut world);
    assert_eq!(
        only(&world, "SpecChanged").message,
        "UPGRADE change(s) detected (Diff: FlinkDeploymentSpec[image : flink:1.20 -> new]), starting reconciliation."
    );
}

#[test]
fn b55_one_change_is_told_once() {
    let mut world = stable(json!({}));
    world.delays.savepoint = secs(30);
    world.delays.terminate = secs(30);
    bump(&mut world);
    world.until_stable(secs(120));
    let event = only(&world, "SpecChanged");
    assert_eq!((event.key.as_deref(), event.once), (Some("SpecChange: 2"), true));
}

#[test]
fn quirk_metadata_deleted_under_a_running_job_is_said_when_it_happens() {
    let mut world = stable(json!({"job": {"upgradeMode": "last-state"}}));
    world.checkpoint();
    world.for_a_while(secs(60));
    let ha = world.ha.take();
    world.changed = true;
    world.for_a_while(secs(300));
    assert!(only(&world, "HaMetadataLost").message.contains("Take a savepoint while the job runs"));
    assert_eq!(world.starts.len(), 1, "the job is left alone");
    world.ha = ha;
    world.changed = true;
    world.for_a_while(secs(60));
    world.ha = None;
    world.changed = true;
    world.for_a_while(secs(60));
    assert_eq!(count(&world, "HaMetadataLost"), 2, "lost again");
}

/// ConfigMaps may come later through their watch than the job through its JobManager.
#[test]
fn metadata_that_comes_late_is_not_missed() {
    let mut world = World::new(app(json!({})));
    running(&mut world);
    let ha = world.ha.take();
    world.memo = Memo::default();
    world.changed = true;
    world.for_a_while(secs(30));
    world.ha = ha;
    world.changed = true;
    world.for_a_while(secs(120));
    assert_eq!(count(&world, "HaMetadataLost"), 0);
}

/// Flink removes the metadata of a job that has ended.
#[test]
fn metadata_of_an_ended_job_is_not_missed() {
    let mut world = stable(json!({}));
    world.checkpoint();
    world.for_a_while(secs(60));
    world.set_job_state(FlinkJobState::Finished);
    world.for_a_while(secs(120));
    assert_eq!(count(&world, "HaMetadataLost"), 0);

    let mut upgraded = stable(json!({}));
    upgraded.checkpoint();
    upgraded.for_a_while(secs(60));
    upgraded.delays.savepoint = secs(20);
    upgraded.delays.terminate = secs(20);
    bump(&mut upgraded);
    upgraded.until_stable(secs(120));
    upgraded.for_a_while(secs(120));
    assert_eq!(count(&upgraded, "HaMetadataLost"), 0);
}

/// Each back-off step has a text of its own; it is one event all the same, whose count grows.
#[test]
fn quirk_a_crash_loop_is_one_event() {
    let mut world = World::new(app(json!({})));
    world.stuck = true;
    for step in ["10s", "20s", "40s"] {
        world.pod_facts = vec![waiting("main", "CrashLoopBackOff", Some(&format!("back-off {step}")), None)];
        world.changed = true;
        world.for_a_while(secs(5));
        world.pod_facts = vec![waiting("main", "ContainerCreating", None, None)];
        world.changed = true;
        world.for_a_while(secs(5));
    }
    let told = events(&world, "CrashLoopBackOff");
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|event| event.key.as_deref() == Some("main") && !event.once));
}

fn exception(at: jiff::Timestamp) -> ExceptionFact {
    ExceptionFact {
        timestamp: at.as_millisecond(),
        name: None,
        stacktrace: "java.lang.RuntimeException: no space left".into(),
        task_name: None,
        endpoint: None,
        task_manager_id: None,
        labels: Default::default(),
    }
}

/// What is found at the first look may have been told by an earlier process; what comes after is new.
#[test]
fn exceptions_are_counted_and_not_repeated_by_a_restart() {
    let mut world = stable(json!({}));
    for known in [false, true] {
        world.exceptions.insert(0, exception(world.now));
        world.set_job_state(if known { FlinkJobState::Running } else { FlinkJobState::Restarting });
        world.for_a_while(secs(2));
    }
    let told = events(&world, "JobException");
    assert_eq!(told.iter().map(|event| event.once).collect::<Vec<_>>(), [false, false]);
    assert_eq!(told[0].key, told[1].key);
    world.memo = Memo::default();
    world.changed = true;
    world.for_a_while(secs(2));
    assert!(events(&world, "JobException")[2..].iter().all(|event| event.once));
    assert_eq!(count(&world, "JobException"), 4);
}
