//! Upgrade modes (10.4).

use super::*;

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
    // Soon, and so late that passes see a recovered JobManager that never ran: its metadata is no fallback either.
    for start in [2, 45] {
        let mut world = stable(
            json!({"flinkConfiguration": {"kubernetes.operator.job.upgrade.last-state-fallback.enabled": "false"}}),
        );
        world.checkpoint();
        world.delays.start = secs(start);
        world.kill_deployment();
        world.edit(|spec| spec.image = Some("new".into()));
        world.until(secs(300), "recovered and upgraded", |w| w.starts.len() == 3);
        assert_eq!(world.starts[1].1, Restore::HaMetadata { guarded: true });
        assert!(matches!(&world.starts[2].1, Restore::From(path) if path.contains("savepoint-")));
    }
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

/// The map of the job is there, the pointer in it is not: started from that, the job would begin from nothing.
#[test]
fn b03_metadata_that_lost_its_checkpoint_is_no_beginning() {
    let lose_pointer = |world: &mut World| {
        let (id, checkpoint) = world.ha.take().expect("HA metadata");
        assert!(checkpoint.is_some());
        world.ha = Some((id, None));
        world.changed = true;
        world.for_a_while(secs(100));
    };
    let refused = |world: &World| {
        assert_eq!((count(world, "RestoreFailed"), world.starts.len()), (1, 1), "{}", world.trace.join("\n"));
        assert!(error(world).contains("HA metadata is not available to restore from last state."));
    };

    let mut suspended = stable(json!({"job": {"upgradeMode": "last-state"}}));
    suspended.checkpoint();
    suspend(&mut suspended, JobState::Suspended);
    suspended.until(SOON, "SUSPENDED", |w| w.lifecycle() == Some(LifecycleState::Suspended));
    lose_pointer(&mut suspended);
    suspend(&mut suspended, JobState::Running);
    suspended.for_a_while(secs(100));
    refused(&suspended);

    let mut lost = stable(json!({"job": {"upgradeMode": "last-state"}}));
    lost.checkpoint();
    lost.kill_deployment();
    lost.pods_until = Some(lost.now + secs(20));
    lost.for_a_while(secs(5));
    lose_pointer(&mut lost);
    refused(&lost);
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
    assert!(error(&world).contains("Savepoint Error"), "said until the next attempt: {}", error(&world));
    world.until(secs(120), "second attempt", |w| w.starts.len() == 2);
    assert_eq!(error(&world), "");
}

/// The trigger went with the JobManager that took it. Sent to a job that does not run it could only fail.
#[test]
fn a_stop_forgotten_while_the_job_restarts_is_chosen_anew() {
    for (fallback, after) in [("true", 2), ("false", 1)] {
        let mut world = stable(
            json!({"flinkConfiguration": {"kubernetes.operator.job.upgrade.last-state-fallback.enabled": fallback}}),
        );
        world.checkpoint();
        world.delays.savepoint = secs(60);
        bump(&mut world);
        world.for_a_while(secs(1));
        world.jm.as_mut().unwrap().triggers.clear();
        world.set_job_state(FlinkJobState::Restarting);
        world.for_a_while(secs(20));
        assert_eq!(
            (world.starts.len(), count(&world, "SavepointError")),
            (after, 0),
            "{}",
            world.trace.join("\n")
        );
        world.set_job_state(FlinkJobState::Running);
        world.until(secs(180), "upgraded", |w| w.starts.len() == 2);
        let by_savepoint = matches!(&world.starts[1].1, Restore::From(path) if path.contains("savepoint-"));
        assert_eq!(by_savepoint, fallback == "false");
    }
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

/// Once the state a restore was to begin from is gone, and while a stop hangs, nothing else brings the job back.
#[test]
fn t58_savepoint_redeploy_is_the_way_out_of_what_is_stuck() {
    let redeploy = |world: &mut World| {
        world.snapshots.insert("sp-t1".into(), 100);
        world.edit(|spec| {
            let job = spec.job.as_mut().unwrap();
            job.initial_savepoint_path = Some("sp-t1".into());
            job.savepoint_redeploy_nonce = Some(1);
        });
        world.until(secs(30), "redeployed", |w| w.starts.len() == 2);
        assert_eq!(world.starts[1].1, Restore::From("sp-t1".into()));
        running(world);
    };

    let mut refused = stable(json!({"job": {"upgradeMode": "last-state"}}));
    refused.checkpoint();
    suspend(&mut refused, JobState::Suspended);
    refused.until(SOON, "SUSPENDED", |w| w.lifecycle() == Some(LifecycleState::Suspended));
    refused.ha = None;
    suspend(&mut refused, JobState::Running);
    refused.for_a_while(secs(100));
    assert_eq!((count(&refused, "RestoreFailed"), refused.starts.len()), (1, 1));
    redeploy(&mut refused);

    let mut stopping = stable(json!({}));
    stopping.delays.savepoint = secs(3600);
    bump(&mut stopping);
    stopping.for_a_while(secs(100));
    assert_eq!((stopping.lifecycle(), stopping.starts.len()), (Some(LifecycleState::Upgrading), 1));
    redeploy(&mut stopping);
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
