//! Going back to the last stable spec when the new one does not become ready (reconciler.md 5.6).

use crate::cluster::{Cluster, cluster, never_started};
use crate::decision::{Component, EventKind};
use crate::notices::{self, Pending};
use crate::pass::{Flow, Pass};
use crate::upgrade::choose::{self, Choice};
use crate::upgrade::{refuse, restore};
use drey_api::{FlinkDeploymentSpec, JobState, ReconciliationState, UpgradeMode};
use jiff::Timestamp;
use std::time::Duration;

/// Whether to begin one. `spec_changed`: the user has already sent another spec.
pub fn is_due(p: &mut Pass, spec_changed: bool) -> bool {
    if spec_changed || !is_possible(p) || deadline(p) > p.now {
        return false;
    }
    let fresh = matches!(cluster(p.o), Cluster::Present(facts) if never_started(facts));
    if p.recorded_mode() == UpgradeMode::Savepoint && fresh {
        return true;
    }
    if choose::ha_metadata(p).is_available() {
        return true;
    }
    p.note("5.6", "not ready in time, and no HA metadata to roll back with");
    false
}

/// Not stable yet, and there is a stable spec of the same Flink version that ran.
fn is_possible(p: &Pass) -> bool {
    if !p.configs.observe.rollback
        || p.recon() != ReconciliationState::Deployed
        || p.status.reconciliation_status.is_stable()
        || p.recorded_state() == JobState::Suspended
    {
        return false;
    }
    let Some(stable) = p.stable_spec() else { return false };
    let stable_runs = stable.job.as_ref().is_none_or(|job| job.state == JobState::Running);
    stable_runs && stable.flink_version == p.spec.flink_version
}

/// The first moment after the readiness timeout.
fn deadline(p: &Pass) -> Timestamp {
    let timeout = i64::try_from(p.configs.observe.readiness_timeout.as_millis()).unwrap_or(i64::MAX);
    let deployed = p.status.reconciliation_status.reconciliation_timestamp;
    let ms = deployed.saturating_add(timeout).saturating_add(1);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

/// How long until one may be due, so that nothing else is waited for beyond that.
pub fn due_in(p: &Pass) -> Option<Duration> {
    let left =
        is_possible(p).then(|| Duration::try_from(deadline(p).duration_since(p.now)).ok()).flatten()?;
    (!left.is_zero()).then_some(left)
}

pub fn begin(p: &mut Pass) -> Flow {
    p.note("5.6", "not ready in time: rolling back to the last stable spec");
    let stateless = p.recorded_mode() == UpgradeMode::Stateless
        && p.o.resource.spec.job.as_ref().is_some_and(|job| !job.upgrade_mode.is_stateful());
    to_stable_spec(p, if stateless { UpgradeMode::Stateless } else { UpgradeMode::LastState });
    let restore_mode = match choose::choose(p)? {
        // With the HA metadata in place a failed cluster needs no cancellation.
        Choice::Stop { how: choose::Suspend::Cancel | choose::Suspend::Savepoint, .. } => {
            UpgradeMode::LastState
        }
        Choice::Stop { restore, .. } => restore,
        Choice::Wait(wait) => {
            p.note("5.6", format!("the rollback waits: {}", wait.text(p)));
            notices::of_waiting(p, Pending::Rollback, &wait);
            return p.after(p.policy.progress_interval(), "the rollback waits");
        }
        Choice::Refuse(refusal) => {
            refuse(p, &refusal);
            return p.after(p.policy.reconcile_interval(), "no rollback possible");
        }
    };
    notices::forget_waiting(p);
    p.set_recon(ReconciliationState::RollingBack);
    p.event(
        EventKind::Normal,
        Component::JobManagerDeployment,
        "Rollback",
        "Rolling back failed deployment.",
    );
    p.set_target_mode(restore_mode);
    p.set_recorded_mode(restore_mode);
    if restore_mode == UpgradeMode::LastState {
        restore::rely_on_metadata(p);
    }
    p.end_job();
    restore::bring_up(p)
}

/// While rolling back: the stable spec is the target, or the user's, if they sent a new one meanwhile.
pub fn target(p: &mut Pass) {
    let changed = p.recorded.as_ref().is_some_and(|recorded| {
        crate::blueprint::diff(&recorded.spec, &p.spec).kind != drey_blueprint::diff::DiffKind::Ignore
    });
    if changed {
        p.note("5.6", "the spec changed while rolling back: it is applied instead");
        p.set_recon(ReconciliationState::Upgrading);
        p.set_recorded_job_state(JobState::Suspended);
        return;
    }
    let mode = p.recorded_mode();
    to_stable_spec(p, mode);
}

fn to_stable_spec(p: &mut Pass, mode: UpgradeMode) {
    let Some(stable): Option<FlinkDeploymentSpec> = p.stable_spec() else { return };
    p.spec = stable;
    p.set_target_mode(mode);
    p.load_configs();
}
