//! The job, as a JobManager that answered lists it (reconciler.md 3.6).
//!
//! A terminal state is written down together with the path to restore from, or not yet: were the JobManager to die
//! between the two, the newest state would be lost (B24).

use super::job_manager::{JOB_NOT_FOUND, job_not_found_event};
use super::{exceptions, info, savepoint};
use crate::ask::Ask;
use crate::decision::{Component, EventKind};
use crate::error::{ErrorDocument, ErrorType, chain_message};
use crate::health;
use crate::observation::{CheckpointFacts, CompletedCheckpoint, JobFact, ResultFact, Seen};
use crate::pass::{Flow, Pass};
use crate::phase::{Phase, phase};
use drey_api::constants::LAST_STATE_SAVEPOINT_PATH;
use drey_api::{FlinkJobState, JobState, ReconciliationState, UpgradeMode};
use std::time::Duration;

pub fn found(p: &mut Pass, job: &JobFact) -> Flow {
    let previous = p.job_state();
    let changed = previous != Some(job.state);
    let ended_before = previous.is_some_and(FlinkJobState::is_terminal);
    if changed && job.state.is_terminal() {
        ended(p, job)?;
    }
    p.status.job_status.job_name = Some(job.name.clone());
    p.status.job_status.start_time = Some(job.start_time.to_string());
    if changed {
        state_changed(p, previous, job.state);
    }
    mark_stable(p, job.state);
    if !ended_before {
        exceptions::report(p, job)?;
        info::refresh(p, job)?;
    }
    savepoint::observe(p, job)?;
    if !job.state.is_terminal() {
        health::observe(p, job)?;
    }
    p.memo.job_modified = Some(job.last_modification);
    Ok(())
}

/// The job is not on its own JobManager. Other jobs are never adopted.
pub fn not_found(p: &mut Pass) {
    p.note("3.6", "the JobManager does not know the job");
    job_not_found_event(p);
    // An upgrade under way is given up. A rollback stays one: what runs is the stable spec (QUIRK left behind).
    if p.recon() == ReconciliationState::Upgrading {
        p.set_recon(ReconciliationState::Deployed);
    }
    p.set_job_state(FlinkJobState::Reconciling);
    p.status.error = Some(JOB_NOT_FOUND.into());
}

fn state_changed(p: &mut Pass, previous: Option<FlinkJobState>, state: FlinkJobState) {
    let message = match previous {
        None => format!("Job status changed to {}", state.as_str()),
        Some(previous) => format!("Job status changed from {} to {}", previous.as_str(), state.as_str()),
    };
    p.memo.reported.remove("Missing");
    p.event(EventKind::Normal, Component::Job, "JobStatusChanged", message);
    p.set_job_state(state);
    p.status.job_status.update_time = Some(p.now_ms().to_string());
    let cancelled = state == FlinkJobState::Canceled
        || (state.is_terminal() && previous == Some(FlinkJobState::Cancelling));
    if cancelled && phase(p) != Phase::StoppingWithSavepoint {
        p.note("3.6", "the job was cancelled: it counts as suspended until it is restored");
        // Whoever cancelled it, its state is known: a stateful job goes on from there.
        if p.upgrade_mode().is_stateful() || p.recorded_mode().is_stateful() {
            p.set_recorded_mode(UpgradeMode::Savepoint);
        } else {
            p.set_recorded_mode(p.recorded_mode());
        }
        p.set_recorded_job_state(JobState::Suspended);
    }
}

/// 2.10: what was observed running (or finished as wanted) is the stable spec.
fn mark_stable(p: &mut Pass, state: FlinkJobState) {
    let deployed = p.recon() == ReconciliationState::Deployed;
    let wanted = p.recorded_state() == JobState::Running;
    if deployed && (state == FlinkJobState::Running || (state == FlinkJobState::Finished && wanted)) {
        p.mark_stable();
    }
}

/// Everything that must be known before a terminal state is written down.
fn ended(p: &mut Pass, job: &JobFact) -> Flow {
    // The savepoint of a stop is known from its trigger only; the statistics never show it in time.
    if phase(p) != Phase::StoppingWithSavepoint {
        final_checkpoint(p, job)?;
    }
    if job.state == FlinkJobState::Failed {
        failure_cause(p, job)?;
    }
    Ok(())
}

/// Where a job that has ended can be restored from.
pub fn final_checkpoint(p: &mut Pass, job: &JobFact) -> Flow {
    let o = p.o;
    let none = CheckpointFacts::default();
    let facts = match p.need(&o.flink.checkpoints, Ask::Checkpoints { job: job.id.clone() })? {
        Seen::Known(facts) => facts,
        // "Checkpointing has not been enabled": the job has none.
        Seen::Absent | Seen::NotAsked => &none,
        Seen::Unreachable { why } => {
            let text = format!("the job has ended and its last checkpoint could not be asked for: {why}");
            p.note("4.7", text.clone());
            if p.job_is_running() {
                p.set_job_state(FlinkJobState::Reconciling);
            }
            return p.after(Duration::from_millis(500), text);
        }
    };
    match newest(&facts.latest).map(|checkpoint| checkpoint.path.as_deref()) {
        Some(Some(path)) if path != "<checkpoint-not-externally-addressable>" => {
            p.note("4.7", format!("the job can be restored from {path}"));
            p.status.job_status.upgrade_savepoint_path = Some(path.to_owned());
        }
        Some(_) => {
            p.note("4.7", "the newest checkpoint has no address: where to restore from is unknown");
            p.status.job_status.upgrade_savepoint_path = Some(LAST_STATE_SAVEPOINT_PATH.into());
            let text = "Latest checkpoint not externally addressable, Manual restore required.";
            let error = ErrorDocument::new(ErrorType::UpgradeFailure, text);
            p.fail(error, Component::JobManagerDeployment, "CheckpointNotFound");
        }
        None if job.state == FlinkJobState::Canceled => p.status.job_status.upgrade_savepoint_path = None,
        None => {}
    }
    Ok(())
}

/// The newest by id of the latest completed, savepoint and restored ones.
pub fn newest(latest: &[CompletedCheckpoint]) -> Option<&CompletedCheckpoint> {
    latest.iter().max_by_key(|checkpoint| checkpoint.id)
}

fn failure_cause(p: &mut Pass, job: &JobFact) -> Flow {
    let o = p.o;
    let causes = match p.need(&o.flink.result, Ask::ExecutionResult { job: job.id.clone() })? {
        Seen::Known(ResultFact::Completed { causes }) => causes.as_slice(),
        Seen::Known(ResultFact::InProgress) | Seen::Absent | Seen::NotAsked | Seen::Unreachable { .. } => &[],
    };
    let Some(first) = causes.first() else {
        p.note("3.6", "the job failed and its cause could not be learnt");
        return Ok(());
    };
    let mut error = ErrorDocument::of_class(&first.class, first.message.clone().unwrap_or_default());
    error.causes = causes[1..].to_vec();
    p.status.error = Some(error.to_text(p.policy.error_limits()));
    p.event(EventKind::Warning, Component::Job, "Error", chain_message(causes));
    Ok(())
}
