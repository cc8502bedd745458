//! How to stop the job and from what to restore it: the tables of reconciler.md 4.3, 4.4 and 4.5.
//!
//! The one place where "stateful never becomes stateless" is decided. Rows are in the order of the tables.

use super::wait::Wait;
use crate::ask::Ask;
use crate::cluster::{Cluster, cluster, never_started};
use crate::error::ErrorType;
use crate::ha::{self, HaMetadata};
use crate::observation::{CheckpointFacts, Seen};
use crate::pass::{Flow, Pass};
use crate::settings::Ha;
use drey_api::constants::LAST_STATE_SAVEPOINT_PATH;
use drey_api::{FlinkJobState, JobManagerDeploymentStatus, UpgradeMode};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Stop {
        how: Suspend,
        restore: UpgradeMode,
    },
    /// Not now.
    Wait(Wait),
    Refuse(Refusal),
}

/// How to stop (4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspend {
    /// The job has ended already.
    Noop,
    Stateless,
    Savepoint,
    Cancel,
    LastState,
    /// The JobManager never ran: removing it loses nothing (4.4.2).
    NeverStarted,
}

/// Why it is not done, in the words users know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub rule: &'static str,
    pub reason: &'static str,
    pub message: String,
}

pub const UNKNOWN_CHECKPOINT: &str = "Job is in terminal state but last checkpoint is unknown, possibly due to an \
                                      unrecoverable restore error. Manual restore required.";
pub const NO_METADATA: &str = "JobManager deployment is missing and HA metadata is not available to make stateful \
                               upgrades. It is possible that the job has finished or terminally failed, or the \
                               configmaps have been deleted.Manual restore required.";

pub fn choose(p: &mut Pass) -> Flow<Choice> {
    let (choice, fallback) = by_job(p)?;
    match choice {
        Choice::Wait(wait) => Ok(by_cluster(p, wait, fallback)),
        decided @ (Choice::Stop { .. } | Choice::Refuse(_)) => Ok(decided),
    }
}

/// 4.3. The flag says whether HA metadata may serve as a fallback when the answer is "wait".
fn by_job(p: &mut Pass) -> Flow<(Choice, bool)> {
    let mut mode = p.upgrade_mode();
    if mode == UpgradeMode::Stateless {
        let how = if p.job_is_terminal() { Suspend::Noop } else { Suspend::Stateless };
        return Ok(stop(p, "4.3.1", how, UpgradeMode::Stateless));
    }
    if uses_status_savepoint(p) {
        if !last_savepoint_known(p) {
            return Ok((refuse("4.3.2", UNKNOWN_CHECKPOINT), false));
        }
        return Ok(stop(p, "4.3.3", Suspend::Noop, UpgradeMode::Savepoint));
    }
    if p.job_is_terminal() && ha_metadata(p) == HaMetadata::Elsewhere {
        return Ok((Choice::Wait(Wait::EndedOutOfSight), false));
    }
    if p.job_state() == Some(FlinkJobState::Cancelling) {
        return Ok((Choice::Wait(Wait::Cancelling), false));
    }
    if mode == UpgradeMode::Savepoint {
        if p.job_is_running() {
            return Ok(stop(p, "4.3.5", Suspend::Savepoint, UpgradeMode::Savepoint));
        }
        if !version_changed(p) && !p.configs.deploy.last_state_fallback {
            return Ok((Choice::Wait(Wait::FallbackForbidden), false));
        }
        p.note("4.3.6", "the job does not run: savepoint falls back to last-state");
        mode = UpgradeMode::LastState;
    }
    debug_assert_eq!(mode, UpgradeMode::LastState);
    last_state(p)
}

/// Rows 8 to 13.
fn last_state(p: &mut Pass) -> Flow<(Choice, bool)> {
    if version_changed(p) {
        // HA metadata of another Flink version is not compatible (B13).
        if p.job_is_running() && p.configs.observe.savepoint_dir.is_some() {
            return Ok(stop(p, "4.3.8", Suspend::Savepoint, UpgradeMode::Savepoint));
        }
        if p.job_is_cancellable() {
            return Ok(stop(p, "4.3.9", Suspend::Cancel, UpgradeMode::Savepoint));
        }
        return Ok((Choice::Wait(Wait::VersionChange), false));
    }
    let cancel = allows_last_state_cancel(p);
    if p.job_is_running() {
        return by_state_age(p, cancel);
    }
    if cancel {
        return Ok(stop(p, "4.3.12", Suspend::Cancel, UpgradeMode::Savepoint));
    }
    Ok((Choice::Wait(Wait::NotRunning), true))
}

/// The newest state must not be older than the user allows (B20, T49).
fn by_state_age(p: &mut Pass, cancel: bool) -> Flow<(Choice, bool)> {
    let default = |p: &mut Pass| match cancel {
        true => stop(p, "4.3.11", Suspend::Cancel, UpgradeMode::Savepoint),
        false => stop(p, "4.3.11", Suspend::LastState, UpgradeMode::LastState),
    };
    let Some(age) = p.configs.deploy.max_checkpoint_age else { return Ok(default(p)) };
    let oldest = p.now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let started: i64 =
        p.status.job_status.start_time.as_deref().and_then(|ms| ms.parse().ok()).unwrap_or_default();
    if oldest < started {
        return Ok(default(p));
    }
    let o = p.o;
    let none = CheckpointFacts::default();
    let facts = match p.need(&o.flink.checkpoints, Ask::Checkpoints { job: p.job_id() })? {
        Seen::Known(facts) => facts,
        Seen::Absent | Seen::NotAsked => &none,
        Seen::Unreachable { why } => {
            let why = why.to_string();
            return Ok((Choice::Wait(Wait::CheckpointAgeUnknown { why }), false));
        }
    };
    let completed = facts.latest.iter().max_by_key(|checkpoint| checkpoint.id);
    if completed.is_some_and(|checkpoint| oldest < checkpoint.timestamp) {
        return Ok(default(p));
    }
    if facts.newest.as_ref().is_some_and(|newest| newest.in_progress && oldest < newest.trigger_timestamp) {
        return Ok((Choice::Wait(Wait::PendingCheckpoint), false));
    }
    Ok(stop(p, "4.3 state age", Suspend::Savepoint, UpgradeMode::Savepoint))
}

/// 4.4: what the JobManager itself allows when the job does not.
fn by_cluster(p: &mut Pass, wait: Wait, fallback: bool) -> Choice {
    let metadata = ha_metadata(p);
    let both_ha = p.configs.deploy.ha.is_activated() && p.configs.observe.ha.is_activated();
    let fresh = matches!(cluster(p.o), Cluster::Present(facts) if never_started(facts))
        && p.jm() != JobManagerDeploymentStatus::Missing;
    // Metadata that cannot be seen is not there before the first JobManager ran.
    let is_first_word = fresh && metadata == HaMetadata::Elsewhere && !lives_in_metadata(p);
    if fallback && both_ha && metadata.is_available() && !is_first_word {
        return stop(p, "4.4.1", Suspend::LastState, UpgradeMode::LastState).0;
    }
    // Where metadata may not serve as a fallback, a recovered JobManager that is not up yet is waited for (T45).
    let is_usable = metadata == HaMetadata::Gone || (fallback && metadata.is_available());
    if fresh && (is_usable || is_first_word) {
        return never_ran(p, metadata);
    }
    let lost = matches!(p.jm(), JobManagerDeploymentStatus::Missing | JobManagerDeploymentStatus::Error);
    if lost && metadata == HaMetadata::Gone {
        return refuse("4.4.3", NO_METADATA);
    }
    Choice::Wait(wait)
}

/// The job was last started from its HA metadata: no path on record is as new.
fn lives_in_metadata(p: &Pass) -> bool {
    p.recorded_mode() == UpgradeMode::LastState || !last_savepoint_known(p)
}

/// 4.4.2: no JobManager of this deployment ever ran, so the state is still what it was to be started from.
fn never_ran(p: &mut Pass, metadata: HaMetadata) -> Choice {
    if metadata.is_available() && (metadata != HaMetadata::Elsewhere || lives_in_metadata(p)) {
        // Left by an earlier cluster and newer than any path on record.
        return stop(p, "4.4.2", Suspend::NeverStarted, UpgradeMode::LastState).0;
    }
    if p.recorded_mode() == UpgradeMode::LastState {
        // QUIRK left behind: there it waited for ever without a word.
        return refuse("4.4.2", super::restore::RESTORE_FAILED);
    }
    if !last_savepoint_known(p) {
        return refuse("4.3.2", UNKNOWN_CHECKPOINT);
    }
    stop(p, "4.4.2", Suspend::NeverStarted, UpgradeMode::Savepoint).0
}

fn stop(p: &mut Pass, rule: &'static str, how: Suspend, restore: UpgradeMode) -> (Choice, bool) {
    p.note(rule, format!("stop: {how:?}, restore: {}", restore.as_str()));
    (Choice::Stop { how, restore }, false)
}

fn refuse(rule: &'static str, message: &str) -> Choice {
    Choice::Refuse(Refusal { rule, reason: "UpgradeFailed", message: message.to_owned() })
}

/// 4.5: the job has ended and the path on record is the newest state there is (B01).
pub fn uses_status_savepoint(p: &Pass) -> bool {
    match p.job_state() {
        Some(FlinkJobState::Canceled) => true,
        Some(FlinkJobState::Failed | FlinkJobState::Finished) => {
            ha_metadata(p) == HaMetadata::Gone || p.jm_is_ready() || was_shut_down(p)
        }
        Some(_) | None => false,
    }
}

/// Metadata out of sight: the job cannot have gone on if the operator itself took its JobManager away (5.3.4). One that
/// somebody else took away is reported missing.
fn was_shut_down(p: &Pass) -> bool {
    let error = p.status.error.as_deref().unwrap_or_default();
    ha_metadata(p) == HaMetadata::Elsewhere
        && p.jm() == JobManagerDeploymentStatus::Missing
        && !error.contains(ErrorType::MissingJobManager.class())
}

/// 4.5: no path means no state; the dummy path means that there is some, and nobody knows where.
pub fn last_savepoint_known(p: &Pass) -> bool {
    known_path(p).as_deref() != Some(LAST_STATE_SAVEPOINT_PATH)
}

/// The path on record; the legacy place counts when the other is empty (B07).
pub fn known_path(p: &Pass) -> Option<String> {
    let job = &p.status.job_status;
    let legacy =
        || job.savepoint_info.last_savepoint.as_ref().and_then(|savepoint| savepoint.location.clone());
    job.upgrade_savepoint_path.clone().filter(|path| !path.is_empty()).or_else(legacy)
}

/// HA metadata as far as it can be read from here. Without HA there is none, whatever maps lie around.
pub fn ha_metadata(p: &Pass) -> HaMetadata {
    match p.configs.observe.ha {
        Ha::Kubernetes => ha::metadata(&p.o.ha),
        Ha::None => HaMetadata::Gone,
        Ha::Other => HaMetadata::Elsewhere,
    }
}

/// A JobManager takes the job graph it finds in metadata the operator cannot reach: the new spec would not count (B23).
/// A cancelled job is removed from there by Flink.
fn allows_last_state_cancel(p: &Pass) -> bool {
    let is_usable = !matches!(ha_metadata(p), HaMetadata::Gone | HaMetadata::Elsewhere);
    p.job_is_cancellable() && (!is_usable || p.configs.deploy.last_state_cancel)
}

fn version_changed(p: &Pass) -> bool {
    p.deployed_spec().is_some_and(|deployed| deployed.flink_version != p.spec.flink_version)
}
