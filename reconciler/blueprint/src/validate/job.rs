//! What a job needs: directories for its state, and a parallelism (reconciler.md 8.1 #11 to #17).

use drey_api::{JobSpec, UpgradeMode};

use super::{Verdict, require};
use crate::config::{FlinkConf, keys};
use crate::schedule::Schedule;
use crate::upgrade::{checkpoint_dir, savepoint_dir};

/// The texts name the directories as Flink 1.20 does, whatever name the user knows (observed with 1.15.0); the name
/// valid for older versions is told in addition by nobody, since both are accepted as input.
pub(super) fn state(job: &JobSpec, conf: &FlinkConf) -> Verdict {
    let checkpoints = keys::CHECKPOINT_DIR.name;
    require(!job.upgrade_mode.is_stateful() || checkpoint_dir(conf).is_some(), "8.1 #11", || {
        format!(
            "Checkpoint directory[{checkpoints}] must be defined for last-state and savepoint upgrade modes"
        )
    })?;
    if savepoint_dir(conf).is_some() {
        return Ok(());
    }
    let savepoints = keys::SAVEPOINT_DIR.name;
    require(job.upgrade_mode != UpgradeMode::Savepoint, "8.1 #12", || {
        format!("Job could not be upgraded with savepoint while config key[{savepoints}] is not set")
    })?;
    require(job.savepoint_trigger_nonce.is_none(), "8.1 #13", || {
        format!(
            "Savepoint could not be manually triggered for the running job while config key[{savepoints}] is not set"
        )
    })?;
    let periodic = Schedule::of(conf, keys::PERIODIC_SAVEPOINT_INTERVAL);
    require(periodic == Schedule::Off, "8.1 #14", || {
        format!("Periodic savepoints cannot be enabled when config key[{savepoints}] is not set")
    })?;
    require(conf.get(keys::LAST_STATE_MAX_CHECKPOINT_AGE).is_none(), "8.1 #15", || {
        format!(
            "In order to use max-checkpoint age functionality config key[{savepoints}] must be set to allow triggering savepoint upgrades."
        )
    })
}

pub(super) fn parallelism(job: &JobSpec, task_manager_replicas: Option<i64>) -> Verdict {
    match task_manager_replicas {
        Some(replicas) => {
            require(replicas >= 1, "8.1 #16", || "TaskManager replicas must be larger than 0".to_owned())
        }
        None => {
            require(job.parallelism >= 1, "8.1 #17", || "Job parallelism must be larger than 0".to_owned())
        }
    }
}
