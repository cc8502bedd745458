//! Changing what runs (reconciler.md 4).
//!
//! `choose` decides how to stop and from what to restore, `stop` stops, `restore` removes what is left and starts
//! the new cluster, `redeploy` is the user's explicit "start over from this savepoint".

pub mod choose;
mod redeploy;
pub mod restore;
mod scale;
pub mod stop;
pub mod wait;

use crate::blueprint;
use crate::decision::{Component, Event, EventKind};
use crate::error::{ErrorDocument, ErrorType};
use crate::notices::{self, Pending};
use crate::observation::JobFact;
use crate::observe::Sight;
use crate::pass::{Flow, Pass};
use crate::phase::{Phase, phase};
use crate::{recovery, rollback, savepoints};
use choose::{Choice, Refusal, Suspend};
use drey_api::{JobState, ReconciliationState, UpgradeMode};
use drey_blueprint::diff::{DiffKind, SpecDiff};
use std::collections::BTreeMap;
use wait::Wait;

/// Everything after observation and validation.
pub fn reconcile(p: &mut Pass, sight: &Sight) -> Flow {
    if matches!(phase(p), Phase::StoppingWithSavepoint | Phase::Cancelling) && redeploy::is_asked_for(p) {
        return redeploy::run(p);
    }
    if phase(p) == Phase::StoppingWithSavepoint {
        stop::follow_savepoint(p, sight)?;
    }
    if phase(p) == Phase::Cancelling {
        stop::follow_cancellation(p)?;
    }
    match phase(p) {
        Phase::First => first(p),
        Phase::Between => restore::run(p),
        Phase::StoppingWithSavepoint | Phase::Cancelling => p.on_change("the job is being stopped"),
        Phase::Suspended | Phase::Deployed => settled(p, sight),
    }
}

/// 2.7, before the first deployment.
fn first(p: &mut Pass) -> Flow {
    if p.desired() == JobState::Suspended {
        p.note("2.7", "created suspended: nothing is deployed until it is set to running");
        return p.on_change("waiting for job.state running");
    }
    let path =
        p.job().and_then(|job| job.initial_savepoint_path.clone()).filter(|path| !path.trim().is_empty());
    p.set_target_mode(if path.is_some() { UpgradeMode::Savepoint } else { UpgradeMode::Stateless });
    p.status.job_status.upgrade_savepoint_path = path;
    p.note("2.7", "first deployment");
    restore::first(p)
}

/// Nothing is under way: compare what is wanted with what is recorded.
fn settled(p: &mut Pass, sight: &Sight) -> Flow {
    let Some(recorded) = p.recorded.clone() else { return first(p) };
    let diff = blueprint::diff(&recorded.spec, &p.spec);
    let changed = diff.kind != DiffKind::Ignore;
    if waits_for_savepoint(p) {
        p.note("2.7", "a savepoint is pending: nothing else is done before it has ended");
        if changed {
            notices::of_waiting(p, Pending::Upgrade, &Wait::PendingSavepoint);
        }
        return recovery::idle(p, sight);
    }
    if rollback::is_due(p, changed) {
        return rollback::begin(p);
    }
    if !changed {
        notices::forget_waiting(p);
        scale::announce(p);
        follow_generation(p);
        return other_changes(p, sight);
    }
    if p.recon() == ReconciliationState::RolledBack
        && p.stable_spec().as_ref().is_some_and(|spec| same(spec, p))
    {
        p.note("2.7", "the spec is what already runs: recorded without a redeploy");
        p.record_deployed();
        return p.again("the recorded spec is observed");
    }
    let kind = diff.kind;
    spec_changed_event(p, diff);
    if kind == DiffKind::SavepointRedeploy {
        return redeploy::run(p);
    }
    if kind == DiffKind::Scale && scale::in_place(p, &recorded, sight)? {
        return p.again("the recorded spec is observed");
    }
    match p.recorded_state() {
        JobState::Suspended => suspended(p),
        JobState::Running => running(p, sight),
    }
}

fn same(spec: &drey_api::FlinkDeploymentSpec, p: &Pass) -> bool {
    blueprint::diff(spec, &p.spec).kind == DiffKind::Ignore
}

/// The recorded job is suspended and the spec differs from what was recorded.
fn suspended(p: &mut Pass) -> Flow {
    if p.desired() == JobState::Running {
        return restore::resume(p);
    }
    // QUIRK left behind: there nothing was recorded, and observedGeneration stayed behind.
    p.note("4.2", "suspended stays suspended: the new spec is recorded, how the job was stopped is kept");
    p.set_target_mode(p.recorded_mode());
    p.record_deployed();
    p.on_change("suspended")
}

fn running(p: &mut Pass, sight: &Sight) -> Flow {
    match choose::choose(p)? {
        Choice::Stop { how: Suspend::Savepoint, .. } if !tasks_run(sight) => wait_for_tasks(p, sight),
        Choice::Stop { how, restore } => {
            notices::forget_waiting(p);
            if how != Suspend::Noop {
                p.event(
                    EventKind::Normal,
                    Component::JobManagerDeployment,
                    "Suspended",
                    "Suspending existing deployment.",
                );
            }
            stop::begin(p, how, restore)
        }
        Choice::Wait(wait) => {
            p.note("4.2", format!("the upgrade waits: {}", wait.text(p)));
            notices::of_waiting(p, Pending::Upgrade, &wait);
            if wait.allows_others() { other_changes(p, sight) } else { recovery::idle(p, sight) }
        }
        Choice::Refuse(refusal) => {
            refuse(p, &refusal);
            recovery::idle(p, sight)
        }
    }
}

fn tasks_run(sight: &Sight) -> bool {
    sight.job.as_ref().is_none_or(JobFact::all_tasks_run)
}

/// QUIRK left behind: there the stop was tried at once, failed, and was reported.
fn wait_for_tasks(p: &mut Pass, sight: &Sight) -> Flow {
    let Some(job) = &sight.job else { return recovery::idle(p, sight) };
    let (running, total) = job.tasks.map_or((0, 0), |tasks| (tasks.running, tasks.total));
    let wait = Wait::TasksNotRunning { running, total };
    p.note("4.1", "not all tasks of the job run: no savepoint could be taken");
    notices::of_waiting(p, Pending::Upgrade, &wait);
    p.poll(job.last_modification, p.policy.poll_ceiling, "waiting for the tasks of the job")
}

/// Stores and reports why an upgrade or a restore is not done.
pub fn refuse(p: &mut Pass, refusal: &Refusal) {
    p.note(refusal.rule, format!("refuse: {}", refusal.message));
    let error = ErrorDocument::new(ErrorType::UpgradeFailure, refusal.message.clone());
    p.fail(error, Component::JobManagerDeployment, refusal.reason);
}

/// 5.3: recovery, restarts and savepoints, while the spec is settled or its upgrade has to wait.
fn other_changes(p: &mut Pass, sight: &Sight) -> Flow {
    recovery::restart_failed(p)?;
    savepoints::trigger(p, sight)?;
    recovery::restart_unhealthy(p)?;
    recovery::recover(p)?;
    recovery::shut_down(p)?;
    savepoints::clean_up(p, sight)?;
    recovery::idle(p, sight)
}

/// 2.7: ignored changes still move observedGeneration.
fn follow_generation(p: &mut Pass) {
    if p.status.observed_generation != Some(p.generation) {
        p.note("2.7", "only ignored fields changed");
        p.status.observed_generation = Some(p.generation);
    }
}

fn waits_for_savepoint(p: &Pass) -> bool {
    p.status.job_status.savepoint_info.is_pending() && !p.configs.observe.ignore_pending_savepoint
}

/// Once per generation (B55). The recorded upgradeMode says how the job was last restored, and between the halves the
/// recorded state is ours too: neither is a change of the user's. QUIRK left behind: there both are listed.
fn spec_changed_event(p: &mut Pass, mut diff: SpecDiff) {
    let between = matches!(p.recon(), ReconciliationState::Upgrading | ReconciliationState::RollingBack);
    diff.changes
        .retain(|change| change.path != "job.upgradeMode" && !(between && change.path == "job.state"));
    let generation = p.generation.to_string();
    if p.memo.reported.get("SpecChanged") == Some(&generation) {
        return;
    }
    p.memo.reported.insert("SpecChanged".into(), generation.clone());
    p.push_event(Event {
        kind: EventKind::Normal,
        reason: "SpecChanged".into(),
        message: diff.event_text(),
        component: Component::JobManagerDeployment,
        key: Some(format!("SpecChange: {generation}")),
        once: true,
        annotations: BTreeMap::new(),
    });
}
