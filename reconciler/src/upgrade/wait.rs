//! Why an upgrade or a rollback is not done now, in words that name what would make it go on.

use crate::pass::Pass;
use drey_api::UpgradeMode;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The job is on its way to CANCELED.
    Cancelling,
    /// 4.3.7: not RUNNING, and last-state is no way out.
    FallbackForbidden,
    /// 4.3.10: metadata of another Flink version is of no use.
    VersionChange,
    /// The age of the newest state is limited and could not be learnt.
    CheckpointAgeUnknown { why: String },
    /// A checkpoint young enough is being taken.
    PendingCheckpoint,
    /// A savepoint is being taken, and must be over first (2.7).
    PendingSavepoint,
    /// 4.3.13: the job neither runs nor can be cancelled, and metadata is no way out either.
    NotRunning,
    /// RUNNING, but Flink takes no savepoint before all tasks run.
    TasksNotRunning { running: i64, total: i64 },
    /// The job has ended, and only its JobManager could say whether it has gone on since.
    EndedOutOfSight,
}

impl Wait {
    /// Recovery, restarts and savepoints may go on meanwhile (4.2).
    pub fn allows_others(&self) -> bool {
        !matches!(self, Wait::Cancelling)
    }

    /// Over by itself in a while.
    pub fn is_brief(&self) -> bool {
        matches!(self, Wait::Cancelling | Wait::PendingCheckpoint | Wait::PendingSavepoint)
    }

    /// One word per cause, to tell one from another.
    pub fn topic(&self) -> &'static str {
        match self {
            Wait::Cancelling => "cancelling",
            Wait::FallbackForbidden => "fallback",
            Wait::VersionChange => "version",
            Wait::CheckpointAgeUnknown { .. } => "age",
            Wait::PendingCheckpoint => "checkpoint",
            Wait::PendingSavepoint => "savepoint",
            Wait::NotRunning => "job",
            Wait::TasksNotRunning { .. } => "tasks",
            Wait::EndedOutOfSight => "ended",
        }
    }

    /// The reason, and the next step.
    pub fn text(&self, p: &Pass) -> String {
        let state = p.job_state().map_or("unknown", |state| state.as_str());
        let job_manager = p.jm().as_str();
        match self {
            Wait::Cancelling => "the job is being cancelled.".to_owned(),
            Wait::FallbackForbidden => format!(
                "the job is {state} and not RUNNING, so no savepoint can be taken, and going on from the last state is \
                 switched off (kubernetes.operator.job.upgrade.last-state-fallback.enabled: false). It is done as soon as \
                 the job runs; switch the option on to go on from the last state instead."
            ),
            Wait::VersionChange => format!(
                "the Flink version changes, so the state must come from a savepoint or a checkpoint, and the job (now \
                 {state}, JobManager {job_manager}) can be neither stopped nor cancelled. It is done as soon as the job \
                 can be; go back to the version that runs to have the JobManager recovered from its HA metadata."
            ),
            Wait::CheckpointAgeUnknown { why } => format!(
                "kubernetes.operator.job.upgrade.last-state.max.allowed.checkpoint.age is set, and the age of the last \
                 checkpoint could not be asked for: {why}. It is done as soon as the JobManager answers."
            ),
            Wait::PendingCheckpoint => {
                "the last completed checkpoint is too old, and a new one is being taken.".to_owned()
            }
            Wait::PendingSavepoint => {
                "a savepoint is being taken (set kubernetes.operator.job.upgrade.ignore-pending-savepoint to true to \
                 upgrade meanwhile)."
                    .to_owned()
            }
            Wait::NotRunning => format!(
                "the job is {state} (JobManager {job_manager}), it can be neither stopped nor cancelled, and there is no \
                 HA metadata to go on from. It is done as soon as the job runs; to give the state up, set \
                 job.upgradeMode to stateless, to name it yourself, set job.initialSavepointPath and a new \
                 job.savepointRedeployNonce."
            ),
            Wait::TasksNotRunning { running, total } => format!(
                "{running} of {total} tasks of the job run, and Flink takes no savepoint before all of them do. It is \
                 done as soon as they run; if resources for them are missing, {}.",
                match p.upgrade_mode() {
                    UpgradeMode::Savepoint => "set job.upgradeMode to last-state to go on from the last checkpoint",
                    UpgradeMode::LastState | UpgradeMode::Stateless => "make room for its TaskManagers",
                }
            ),
            Wait::EndedOutOfSight => format!(
                "the job is {state}, its JobManager does not answer, and its HA metadata cannot be looked at to learn \
                 whether it has gone on since. It is done as soon as the JobManager answers; to name the state yourself, \
                 set job.initialSavepointPath and a new job.savepointRedeployNonce."
            ),
        }
    }
}
