//! Manual and periodic savepoints and checkpoints under way, kept in the status (reconciler.md 5.9).

use crate::ask::Ask;
use crate::decision::{Action, Component, EventKind};
use crate::error::chain_message;
use crate::observation::{JobFact, Seen, TriggerFact};
use crate::pass::{Flow, Pass};
use crate::phase::{Phase, phase};
use crate::upgrade::stop::known_format;
use drey_api::{Checkpoint, FlinkJobState, Savepoint, SnapshotTriggerType};

pub fn observe(p: &mut Pass, job: &JobFact) -> Flow {
    if phase(p) == Phase::StoppingWithSavepoint {
        return Ok(());
    }
    if job.state != FlinkJobState::Running {
        abandon(p);
        return Ok(());
    }
    observe_savepoint(p, job)?;
    observe_checkpoint(p, job)
}

fn observe_savepoint(p: &mut Pass, job: &JobFact) -> Flow {
    let info = p.status.job_status.savepoint_info.clone();
    let Some(trigger) = info.trigger_id.clone().filter(|id| !id.is_empty()) else { return Ok(()) };
    let o = p.o;
    let ask = Ask::Savepoint { job: job.id.clone(), trigger };
    match p.need(&o.flink.savepoint, ask)? {
        Seen::Known(TriggerFact::InProgress) | Seen::Unreachable { .. } | Seen::NotAsked => {}
        Seen::Known(TriggerFact::Completed { location }) => {
            let kind = info.trigger_type.unwrap_or_default();
            p.note("5.9", format!("savepoint completed: {location}"));
            let nonce = p.job().and_then(|job| job.savepoint_trigger_nonce);
            p.status.job_status.savepoint_info.record(Some(Savepoint {
                time_stamp: info.trigger_timestamp.unwrap_or_default(),
                location: Some(location.clone()),
                trigger_type: kind,
                format_type: info.format_type.unwrap_or_default(),
                trigger_nonce: nonce.filter(|_| kind == SnapshotTriggerType::Manual),
            }));
            if kind == SnapshotTriggerType::Manual {
                copy_savepoint_nonce(p);
            }
        }
        Seen::Known(TriggerFact::Failed { causes, .. }) => savepoint_failed(p, &chain_message(causes)),
        Seen::Absent if is_past_grace(p, info.trigger_timestamp, p.configs.observe.savepoint_grace) => {
            savepoint_failed(p, "the JobManager does not know the trigger");
        }
        // The request never arrived, or the JobManager restarted since: the same id again is the same request.
        Seen::Absent => {
            p.note("5.9", "the JobManager does not know the trigger: sent again under the same id");
            let action = Action::TriggerSavepoint {
                job: job.id.clone(),
                trigger: info.trigger_id.clone().unwrap_or_default(),
                directory: p.configs.observe.savepoint_dir.clone(),
                format: known_format(info.format_type, p.configs.observe.savepoint_format),
            };
            p.act(action);
        }
    }
    Ok(())
}

fn savepoint_failed(p: &mut Pass, cause: &str) {
    let info = p.status.job_status.savepoint_info.clone();
    p.note("5.9", format!("savepoint failed: {cause}"));
    let message = match info.trigger_type {
        Some(SnapshotTriggerType::Periodic) => "Periodic savepoint failed".to_owned(),
        _ => format!("Savepoint failed for savepointTriggerNonce: {}", nonce_text(p)),
    };
    p.event(EventKind::Warning, Component::Operator, "SavepointError", format!("{message} -> {cause}"));
    if info.trigger_type != Some(SnapshotTriggerType::Periodic)
        && is_past_grace(p, info.trigger_timestamp, p.configs.observe.savepoint_grace)
    {
        copy_savepoint_nonce(p);
    }
    p.status.job_status.savepoint_info.clear_trigger();
    wait_before_next(p);
}

/// QUIRK left behind: there a savepoint that fails at once was triggered again in every pass.
fn wait_before_next(p: &mut Pass) {
    let wait = jiff::SignedDuration::try_from(p.policy.progress_interval()).unwrap_or_default();
    p.memo.snapshot_retry = Some(p.now.saturating_add(wait).unwrap_or(p.now));
}

fn observe_checkpoint(p: &mut Pass, job: &JobFact) -> Flow {
    let info = p.status.job_status.checkpoint_info.clone();
    let Some(trigger) = info.trigger_id.clone().filter(|id| !id.is_empty()) else { return Ok(()) };
    let o = p.o;
    let ask = Ask::Checkpoint { job: job.id.clone(), trigger };
    match p.need(&o.flink.checkpoint, ask)? {
        Seen::Known(TriggerFact::InProgress) | Seen::Unreachable { .. } | Seen::NotAsked => {}
        Seen::Known(TriggerFact::Completed { location }) => {
            let kind = info.trigger_type.unwrap_or_default();
            p.note("5.9", format!("checkpoint {location} completed"));
            let nonce = p.job().and_then(|job| job.checkpoint_trigger_nonce);
            p.status.job_status.checkpoint_info.record(Some(Checkpoint {
                time_stamp: info.trigger_timestamp.unwrap_or_default(),
                trigger_type: kind,
                format_type: info.format_type.unwrap_or_default(),
                trigger_nonce: nonce.filter(|_| kind == SnapshotTriggerType::Manual),
            }));
            if kind == SnapshotTriggerType::Manual {
                copy_checkpoint_nonce(p);
            }
        }
        Seen::Absent if !is_past_grace(p, info.trigger_timestamp, p.configs.observe.checkpoint_grace) => {
            p.note("5.9", "the JobManager does not know the trigger: sent again under the same id");
            let (job, trigger) = (job.id.clone(), info.trigger_id.clone().unwrap_or_default());
            let kind = p.configs.observe.checkpoint_kind.clone();
            p.act(Action::TriggerCheckpoint { job, trigger, kind });
        }
        Seen::Known(TriggerFact::Failed { .. }) | Seen::Absent => {
            let periodic = info.trigger_type == Some(SnapshotTriggerType::Periodic);
            let nonce = p.job().and_then(|job| job.checkpoint_trigger_nonce);
            let message = match periodic {
                true => "Periodic checkpoint failed".to_owned(),
                false => format!("Checkpoint failed for checkpointTriggerNonce: {}", text(nonce)),
            };
            p.event(EventKind::Warning, Component::Operator, "CheckpointError", message);
            if !periodic && is_past_grace(p, info.trigger_timestamp, p.configs.observe.checkpoint_grace) {
                copy_checkpoint_nonce(p);
            }
            p.status.job_status.checkpoint_info.clear_trigger();
            wait_before_next(p);
        }
    }
    Ok(())
}

/// The job stopped running: what was pending will not come (T84). The nonce counts as dealt with. QUIRK left behind:
/// there a periodic one is reported with the nonce of a manual one, and takes its nonce along.
pub fn abandon(p: &mut Pass) {
    let savepoint = p.status.job_status.savepoint_info.clone();
    if savepoint.is_pending() {
        let message = match savepoint.trigger_type {
            Some(SnapshotTriggerType::Periodic) => "Periodic savepoint failed".to_owned(),
            _ => format!("Savepoint failed for savepointTriggerNonce: {}", nonce_text(p)),
        };
        p.event(EventKind::Warning, Component::Operator, "SavepointError", message);
        if savepoint.trigger_type != Some(SnapshotTriggerType::Periodic) {
            copy_savepoint_nonce(p);
        }
        p.status.job_status.savepoint_info.clear_trigger();
    }
    let checkpoint = p.status.job_status.checkpoint_info.clone();
    if checkpoint.is_pending() {
        let nonce = p.job().and_then(|job| job.checkpoint_trigger_nonce);
        let periodic = checkpoint.trigger_type == Some(SnapshotTriggerType::Periodic);
        let message = match periodic {
            true => "Periodic checkpoint failed".to_owned(),
            false => format!("Checkpoint failed for checkpointTriggerNonce: {}", text(nonce)),
        };
        p.event(EventKind::Warning, Component::Operator, "CheckpointError", message);
        if !periodic {
            copy_checkpoint_nonce(p);
        }
        p.status.job_status.checkpoint_info.clear_trigger();
    }
}

fn copy_savepoint_nonce(p: &mut Pass) {
    let nonce = p.job().and_then(|job| job.savepoint_trigger_nonce);
    p.edit_recorded_and_stable(|spec| {
        if let Some(job) = &mut spec.job {
            job.savepoint_trigger_nonce = nonce
        }
    });
}

fn copy_checkpoint_nonce(p: &mut Pass) {
    let nonce = p.job().and_then(|job| job.checkpoint_trigger_nonce);
    p.edit_recorded_and_stable(|spec| {
        if let Some(job) = &mut spec.job {
            job.checkpoint_trigger_nonce = nonce
        }
    });
}

fn is_past_grace(p: &Pass, triggered: Option<i64>, grace: std::time::Duration) -> bool {
    let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    triggered.unwrap_or_default().saturating_add(grace_ms) < p.now_ms()
}

fn nonce_text(p: &Pass) -> String {
    text(p.job().and_then(|job| job.savepoint_trigger_nonce))
}

fn text(nonce: Option<i64>) -> String {
    nonce.map_or("null".into(), |nonce| nonce.to_string())
}
