//! `status.lifecycleState` (reconciler.md 3.1) and the `Running` condition (7.3), recomputed whenever a status is
//! about to be stored.
//!
//! QUIRK left behind: Apache's operator says STABLE as long as the recorded spec equals the stable one, also while
//! the JobManager hangs or refuses. Here STABLE needs a job seen RUNNING on a JobManager that answered in this
//! pass, or one that has ended as it should.

use drey_api::{
    Condition, FlinkDeploymentStatus, FlinkJobState, JobManagerDeploymentStatus, JobState, LifecycleState,
    ReconciledSpec, ReconciliationState, SnapshotTriggerType,
};
use jiff::Timestamp;

/// Texts of errors after which nothing goes on without the user.
const HOPELESS: [&str; 3] = [
    "Manual restore required.",
    "It is possible that the job has finished or terminally failed, or the configmaps have been deleted.",
    "HA metadata is not available",
];

pub fn finish(status: &mut FlinkDeploymentStatus, recorded: Option<&ReconciledSpec>, now: Timestamp) {
    status.lifecycle_state = Some(lifecycle_state(status, recorded));
    status.conditions = match recorded {
        Some(_) => vec![running_condition(status, now)],
        None => Vec::new(),
    };
}

pub fn lifecycle_state(status: &FlinkDeploymentStatus, recorded: Option<&ReconciledSpec>) -> LifecycleState {
    if let Some(state @ (LifecycleState::Deleting | LifecycleState::Deleted)) = status.lifecycle_state {
        return state;
    }
    let Some(recorded) = recorded else {
        return if status.error.is_none() { LifecycleState::Created } else { LifecycleState::Failed };
    };
    match status.reconciliation_status.state {
        ReconciliationState::Upgrading => return LifecycleState::Upgrading,
        ReconciliationState::RollingBack => return LifecycleState::RollingBack,
        ReconciliationState::Deployed | ReconciliationState::RolledBack => {}
    }
    let job = &status.job_status;
    if job.savepoint_info.is_pending()
        && job.savepoint_info.trigger_type == Some(SnapshotTriggerType::Upgrade)
    {
        return LifecycleState::Upgrading;
    }
    if recorded.spec.job.as_ref().is_some_and(|job| job.state == JobState::Suspended) {
        return LifecycleState::Suspended;
    }
    if job.state == Some(FlinkJobState::Failed) || is_hopeless(status) {
        return LifecycleState::Failed;
    }
    match status.reconciliation_status.state {
        ReconciliationState::RolledBack => LifecycleState::RolledBack,
        _ if status.reconciliation_status.is_stable() && is_healthy(status) => LifecycleState::Stable,
        _ => LifecycleState::Deployed,
    }
}

fn is_hopeless(status: &FlinkDeploymentStatus) -> bool {
    let no_job_manager = match status.job_manager_deployment_status {
        JobManagerDeploymentStatus::Missing | JobManagerDeploymentStatus::Error => true,
        JobManagerDeploymentStatus::Ready
        | JobManagerDeploymentStatus::DeployedNotReady
        | JobManagerDeploymentStatus::Deploying => false,
    };
    let error = status.error.as_deref().unwrap_or_default();
    no_job_manager && HOPELESS.iter().any(|text| error.contains(text))
}

fn is_healthy(status: &FlinkDeploymentStatus) -> bool {
    match status.job_status.state {
        Some(FlinkJobState::Running) => {
            status.job_manager_deployment_status == JobManagerDeploymentStatus::Ready
        }
        Some(FlinkJobState::Finished | FlinkJobState::Canceled) => true,
        Some(_) | None => false,
    }
}

fn running_condition(status: &FlinkDeploymentStatus, now: Timestamp) -> Condition {
    let state = status.job_status.state.unwrap_or(FlinkJobState::Reconciling);
    let truth = if state == FlinkJobState::Running { "True" } else { "False" };
    let previous = status.conditions.iter().find(|c| c.type_ == "Running" && c.status == truth);
    Condition {
        type_: "Running".into(),
        status: truth.into(),
        reason: Some(capitalized(state.as_str())),
        message: Some(format!("Job status {}", state.as_str())),
        last_transition_time: previous
            .and_then(|c| c.last_transition_time.clone())
            .or_else(|| Some(now.to_string())),
        observed_generation: status.observed_generation,
    }
}

fn capitalized(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let mut chars = lower.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}
