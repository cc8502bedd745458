//! Whole stories: what must be true in the end, and how long it may take beyond what Flink itself takes.

use super::fixture::{app, no_ha};
use super::world::World;
use drey_api::{FlinkJobState, JobState, LifecycleState, UpgradeMode};
use drey_reconciler::{EventKind, Restore};
use jiff::SignedDuration;
use serde_json::json;

pub const SOON: SignedDuration = SignedDuration::from_secs(2);

pub fn running(world: &mut World) {
    world.until_stable(SOON);
    assert_eq!(world.job().unwrap().state, FlinkJobState::Running);
}

pub fn suspend(world: &mut World, state: JobState) {
    world.edit(|spec| spec.job.as_mut().unwrap().state = state);
}

pub fn bump(world: &mut World) {
    world.edit(|spec| spec.restart_nonce = Some(spec.restart_nonce.unwrap_or_default() + 1));
}

#[test]
fn t01_t02_a_new_application_becomes_stable() {
    let mut world = World::new(app(json!({})));
    running(&mut world);
    assert_eq!(world.starts.len(), 1);
    assert!(world.reasons().contains(&"Submit"));
    assert!(world.reasons().contains(&"JobStatusChanged"));
    let status = world.status();
    assert!(status.reconciliation_status.is_stable());
    assert_eq!(status.conditions[0].reason.as_deref(), Some("Running"));
}

#[test]
fn a_converged_pass_costs_one_request_and_no_write() {
    let mut world = World::new(app(json!({})));
    running(&mut world);
    world.for_a_while(SignedDuration::from_mins(2));
    let (passes, requests, writes) = (world.passes, world.flink_requests, world.status_writes);
    world.for_a_while(SignedDuration::from_mins(10));
    assert_eq!(world.passes - passes, 10);
    assert_eq!(world.flink_requests - requests, 10);
    assert_eq!(world.status_writes - writes, 0);
}

#[test]
fn t37_savepoint_upgrade_restores_from_the_stop_savepoint_with_a_new_job_id() {
    let mut world = World::new(app(json!({})));
    running(&mut world);
    let first = world.job().unwrap().id.clone();
    bump(&mut world);
    running(&mut world);
    assert!(
        matches!(&world.starts[1].1, Restore::From(path) if path.contains("savepoint-")),
        "{:?}",
        world.starts
    );
    assert_ne!(world.job().unwrap().id, first);
    assert!(world.reasons().contains(&"Suspended"));
}

#[test]
fn t39_last_state_upgrade_keeps_the_job_id_and_the_metadata() {
    let mut world = World::new(app(json!({"job": {"upgradeMode": "last-state"}})));
    running(&mut world);
    let first = world.job().unwrap().id.clone();
    world.checkpoint();
    bump(&mut world);
    running(&mut world);
    assert_eq!(world.starts[1], (first, Restore::HaMetadata { guarded: true }));
}

#[test]
fn t36_stateless_upgrade_starts_empty_with_a_new_job_id() {
    let mut world = World::new(app(json!({"job": {"upgradeMode": "stateless"}})));
    running(&mut world);
    let first = world.job().unwrap().id.clone();
    world.checkpoint();
    bump(&mut world);
    running(&mut world);
    assert_eq!(world.starts[1].1, Restore::Empty);
    assert_ne!(world.job().unwrap().id, first);
}

#[test]
fn t53_suspend_with_savepoint_resume_with_last_state_restores_the_savepoint() {
    let mut world = World::new(app(json!({})));
    running(&mut world);
    suspend(&mut world, JobState::Suspended);
    world.until(SOON, "SUSPENDED", |w| w.lifecycle() == Some(LifecycleState::Suspended));
    world.edit(|spec| {
        let job = spec.job.as_mut().unwrap();
        job.state = JobState::Running;
        job.upgrade_mode = UpgradeMode::LastState;
    });
    running(&mut world);
    assert!(matches!(&world.starts[1].1, Restore::From(_)));
}

#[test]
fn quirk_suspending_between_the_halves_ends_suspended() {
    let mut world = World::new(app(json!({})));
    running(&mut world);
    world.delays.terminate = SignedDuration::from_secs(30);
    bump(&mut world);
    world.until(SOON, "old cluster going", |w| w.deployment.as_ref().is_some_and(|d| d.deleting));
    suspend(&mut world, JobState::Suspended);
    world.until(SignedDuration::from_mins(1), "SUSPENDED", |w| {
        w.lifecycle() == Some(LifecycleState::Suspended)
    });
    assert_eq!(world.starts.len(), 1);
    suspend(&mut world, JobState::Running);
    world.until_stable(SignedDuration::from_mins(2));
    assert!(matches!(&world.starts[1].1, Restore::From(_)));
}

#[test]
fn t62_a_deleted_deployment_is_recovered_from_the_metadata() {
    let mut world = World::new(app(json!({})));
    running(&mut world);
    world.checkpoint();
    world.kill_deployment();
    world.until(SOON, "recovered", |w| w.starts.len() == 2);
    running(&mut world);
    assert_eq!(world.starts[1], (world.starts[0].0.clone(), Restore::HaMetadata { guarded: true }));
    assert!(world.reasons().contains(&"RecoverDeployment"));
}

#[test]
fn t64_without_metadata_nothing_is_started() {
    let mut world = World::new(app(json!({})));
    running(&mut world);
    world.checkpoint();
    world.ha = None;
    world.kill_deployment();
    world.for_a_while(SignedDuration::from_mins(5));
    assert_eq!(world.starts.len(), 1);
    assert_eq!(world.lifecycle(), Some(LifecycleState::Failed));
    assert_eq!(world.reasons().iter().filter(|reason| **reason == "RestoreFailed").count(), 1);
    assert!(!world.reasons().contains(&"RecoverDeployment"), "nothing is being recovered");
}

#[test]
fn t104_deletion_removes_cluster_and_metadata_then_the_finalizer() {
    let mut world = World::new(app(json!({})));
    running(&mut world);
    world.checkpoint();
    world.delete();
    world.until(SOON, "gone", |w| !w.exists);
    assert!(world.deployment.is_none() && world.ha.is_none());
}

#[test]
fn t48_without_ha_last_state_is_a_cancellation_and_a_restore_from_the_last_checkpoint() {
    let mut world = World::new(no_ha(json!({"job": {"upgradeMode": "last-state"}})));
    running(&mut world);
    world.checkpoint();
    bump(&mut world);
    world.until(SOON, "restored", |w| w.starts.len() == 2);
    running(&mut world);
    assert!(matches!(&world.starts[1].1, Restore::From(path) if path.contains("chk-")), "{:?}", world.starts);
}

#[test]
fn t82_t83_a_manual_savepoint_is_taken_once() {
    let mut world = World::new(app(json!({})));
    running(&mut world);
    world.edit(|spec| spec.job.as_mut().unwrap().savepoint_trigger_nonce = Some(7));
    world.until(SOON, "savepoint", |w| w.status().job_status.savepoint_info.last_savepoint.is_some());
    let last = world.status().job_status.savepoint_info.last_savepoint.unwrap();
    assert_eq!(last.trigger_nonce, Some(7));
    world.for_a_while(SignedDuration::from_mins(5));
    assert_eq!(world.status().job_status.savepoint_info.savepoint_history.len(), 1);
    assert_eq!(world.lifecycle(), Some(LifecycleState::Stable));
    assert_eq!(world.starts.len(), 1);
}

/// A crash before every single write or request of an upgrade: it ends the same, with one job and no state lost.
#[test]
fn a_crash_at_any_point_of_an_upgrade_converges() {
    for mode in ["savepoint", "last-state", "stateless"] {
        for ha in [true, false] {
            for at in 0..12 {
                let spec = json!({"job": {"upgradeMode": mode}});
                let mut world = World::new(if ha { app(spec) } else { no_ha(spec) });
                running(&mut world);
                world.checkpoint();
                world.crash_at = Some(at);
                bump(&mut world);
                world.until(SignedDuration::from_secs(5), "upgraded", |w| w.starts.len() == 2);
                running(&mut world);
                world.for_a_while(SignedDuration::from_mins(3));
                assert_eq!(world.starts.len(), 2, "{mode} {ha} {at}\n{}", world.trace.join("\n"));
            }
        }
    }
}

/// A crash after the Deployment and before its ConfigMap: the pod cannot start, and nobody calls that a failure.
#[test]
fn a_half_created_cluster_is_completed_at_once() {
    let mut world = World::new(app(json!({})));
    world.create_half = true;
    world.until(SOON, "created", |w| w.deployment.as_ref().is_some_and(|d| d.parts));
    running(&mut world);
    assert_eq!(world.starts.len(), 1);
    assert!(world.events.iter().all(|e| e.kind == EventKind::Normal), "{:?}", world.events);
}

/// The reply to a create request is lost, and the user edits the spec before the operator looks again.
#[test]
fn a_lost_reply_and_an_edit_do_not_lead_to_two_answers() {
    for edited in [false, true] {
        let mut world = World::new(app(json!({})));
        running(&mut world);
        bump(&mut world);
        world.lose_reply = true;
        world.until(SOON, "created", |w| !w.lose_reply);
        if edited {
            bump(&mut world);
        }
        world.until_stable(SignedDuration::from_secs(10));
        assert_eq!(world.starts.len(), if edited { 3 } else { 2 });
    }
}
