//! Savepoints and checkpoints on demand and on schedule, and the clean-up of old savepoints (reconciler.md 5.7, 5.8,
//! 5.10). Kept in the status; FlinkStateSnapshot resources are not managed by this version.

use crate::decision::Action;
use crate::ids;
use crate::observation::JobFact;
use crate::observe::Sight;
use crate::pace;
use crate::pass::{Flow, Pass};
use crate::recovery;
use drey_api::{CheckpointFormat, FlinkJobState, FlinkVersion, SnapshotTriggerType};
use drey_blueprint::config::keys;
use drey_blueprint::schedule::Schedule;

pub fn trigger(p: &mut Pass, sight: &Sight) -> Flow {
    if sight.job.as_ref().is_none_or(|job| job.state != FlinkJobState::Running) {
        return Ok(());
    }
    if p.memo.snapshot_retry.is_some_and(|at| p.now < at) {
        p.note("5.9", "the last one failed: the next attempt waits");
        return Ok(());
    }
    let Some(job) = &sight.job else { return Ok(()) };
    let attempts = [trigger_savepoint(p, job), trigger_checkpoint(p, job)];
    if attempts.contains(&Attempt::Triggered) {
        return recovery::idle(p, sight);
    }
    if attempts.contains(&Attempt::WaitsForTasks) {
        p.note("5.7", "not all tasks of the job run: no savepoint could be taken");
        return p.poll(job.last_modification, p.policy.poll_ceiling, "waiting for the tasks of the job");
    }
    Ok(())
}

/// What became of one kind of snapshot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    NotDue,
    Triggered,
    /// A job is RUNNING before its tasks are; a snapshot of it then could only fail.
    WaitsForTasks,
}

fn trigger_savepoint(p: &mut Pass, observed: &JobFact) -> Attempt {
    if p.status.job_status.savepoint_info.is_pending() {
        return Attempt::NotDue;
    }
    let wanted = p.job().and_then(|job| job.savepoint_trigger_nonce);
    let done = p.recorded_job().and_then(|job| job.savepoint_trigger_nonce);
    let last = p.status.job_status.savepoint_info.last_periodic_savepoint_timestamp;
    let Some(kind) = due(p, wanted, done, &p.configs.observe.periodic_savepoint.clone(), last, "savepoint")
    else {
        return Attempt::NotDue;
    };
    if !observed.all_tasks_run() {
        return Attempt::WaitsForTasks;
    }
    p.note("5.7", format!("{} savepoint: the trigger is stored before it is sent", kind.as_str()));
    let trigger = trigger_id(p, "savepoint", kind);
    let format = p.configs.observe.savepoint_format;
    let now = p.now_ms();
    let info = &mut p.status.job_status.savepoint_info;
    info.trigger_id = Some(trigger.clone());
    info.trigger_timestamp = Some(now);
    info.trigger_type = Some(kind);
    info.format_type = Some(format);
    p.persist();
    let (job, directory) = (p.job_id(), p.configs.observe.savepoint_dir.clone());
    p.act(Action::TriggerSavepoint { job, trigger, directory, format });
    Attempt::Triggered
}

fn trigger_checkpoint(p: &mut Pass, observed: &JobFact) -> Attempt {
    if p.status.job_status.checkpoint_info.is_pending() {
        return Attempt::NotDue;
    }
    let wanted = p.job().and_then(|job| job.checkpoint_trigger_nonce);
    let done = p.recorded_job().and_then(|job| job.checkpoint_trigger_nonce);
    let last = p.status.job_status.checkpoint_info.last_periodic_checkpoint_timestamp;
    let Some(kind) = due(p, wanted, done, &p.configs.observe.periodic_checkpoint.clone(), last, "checkpoint")
    else {
        return Attempt::NotDue;
    };
    if p.spec.flink_version.is_none_or(|version| version < FlinkVersion::V1_17) {
        p.note("5.8", "checkpoints can be triggered from Flink 1.17 on only");
        return Attempt::NotDue;
    }
    if !observed.all_tasks_run() {
        return Attempt::WaitsForTasks;
    }
    p.note("5.7", format!("{} checkpoint: the trigger is stored before it is sent", kind.as_str()));
    let trigger = trigger_id(p, "checkpoint", kind);
    let now = p.now_ms();
    let checkpoint_kind = p.configs.observe.checkpoint_kind.clone();
    let info = &mut p.status.job_status.checkpoint_info;
    info.trigger_id = Some(trigger.clone());
    info.trigger_timestamp = Some(now);
    info.trigger_type = Some(kind);
    info.format_type = Some(match checkpoint_kind.as_str() {
        "INCREMENTAL" => CheckpointFormat::Incremental,
        _ => CheckpointFormat::Full,
    });
    p.persist();
    let job = p.job_id();
    p.act(Action::TriggerCheckpoint { job, trigger, kind: checkpoint_kind });
    Attempt::Triggered
}

/// A manual trigger has priority over a periodic one.
fn due(
    p: &mut Pass,
    wanted: Option<i64>,
    done: Option<i64>,
    schedule: &str,
    last: i64,
    what: &str,
) -> Option<SnapshotTriggerType> {
    if wanted.is_some() && wanted != done {
        return Some(SnapshotTriggerType::Manual);
    }
    let schedule = match Schedule::parse(schedule) {
        Ok(schedule) => schedule,
        Err(problem) => {
            p.note("5.8", format!("periodic {what} is off: {problem}"));
            return None;
        }
    };
    let created = p.o.resource.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_millisecond());
    schedule.is_due(pace::from_millis(last.max(created)), p.now).then_some(SnapshotTriggerType::Periodic)
}

fn trigger_id(p: &Pass, what: &str, kind: SnapshotTriggerType) -> String {
    let now = p.now_ms().to_string();
    ids::derive(&[p.o.resource.uid(), what, kind.as_str(), &now])
}

/// One entry per pass: the oldest beyond the count, else the oldest beyond the age. An entry leaves the history only
/// with the status written after its disposal was accepted (B43).
pub fn clean_up(p: &mut Pass, sight: &Sight) -> Flow {
    if sight.job.is_none() || !p.configs.observe.cleanup || p.o.failure.is_some() {
        return Ok(());
    }
    let settings = &p.configs.observe;
    let config = &p.policy.config;
    let limit = config.get(keys::SAVEPOINT_HISTORY_MAX_COUNT_THRESHOLD).unwrap_or(i64::MAX);
    let max_count = usize::try_from(settings.history_max_count.min(limit).max(1)).unwrap_or(1);
    let max_age = config
        .get(keys::SAVEPOINT_HISTORY_MAX_AGE_THRESHOLD)
        .map_or(settings.history_max_age, |threshold| threshold.min(settings.history_max_age));
    let oldest_allowed = p.now_ms().saturating_sub(i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX));
    let history = &p.status.job_status.savepoint_info.savepoint_history;
    if history.len() < 2 {
        return Ok(());
    }
    let beyond_count = (history.len() > max_count).then_some(0);
    let beyond_age =
        || history[..history.len() - 1].iter().position(|entry| entry.time_stamp < oldest_allowed);
    let Some(index) = beyond_count.or_else(beyond_age) else { return Ok(()) };
    let in_use = p.status.job_status.upgrade_savepoint_path.clone();
    match history[index].location.clone() {
        // Never the savepoint the job would be restored from.
        Some(path) if Some(&path) == in_use.as_ref() => {
            p.note("5.10", format!("{path} is what the job was started from: forgotten, not disposed of"));
        }
        Some(path) => {
            p.note("5.10", format!("dispose of the old savepoint {path}"));
            p.act(Action::DisposeSavepoint { path });
        }
        None => {}
    }
    p.status.job_status.savepoint_info.savepoint_history.remove(index);
    p.again("more old savepoints may have to go")
}
