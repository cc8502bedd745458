//! The questions a pass may put to the shell, each answered at most once per pass.
//!
//! Kubernetes facts are not asked for: they come from watches with every observation. What to ask is decided by
//! running the decision until it meets a fact that is missing (see `lib.rs`), so asks and decisions cannot drift.

/// One question; the answer goes into the field of the observation named in each line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    /// `GET /jobs/overview` -> `flink.jobs`.
    Jobs,
    /// `GET /jobs/:job/savepoints/:trigger` (also for stop-with-savepoint) -> `flink.savepoint`.
    Savepoint { job: String, trigger: String },
    /// `GET /jobs/:job/checkpoints/:trigger` -> `flink.checkpoint`.
    Checkpoint { job: String, trigger: String },
    /// `GET /jobs/:job/checkpoints` -> `flink.checkpoints`.
    Checkpoints { job: String },
    /// `GET /jobs/:job/execution-result` -> `flink.result`.
    ExecutionResult { job: String },
    /// `GET /jobs/:job/exceptions` -> `flink.exceptions`.
    Exceptions { job: String },
    /// `GET /jobs/:job/metrics?get=fullRestarts,numRestarts,numberOfCompletedCheckpoints` -> `flink.metrics`.
    Metrics { job: String },
    /// `GET /config` -> `flink.cluster`.
    Cluster,
    /// `GET /jobs/:job/resource-requirements` -> `flink.requirements`.
    Requirements { job: String },
    /// Core events with reason `FailedMount` of these pods -> `mount_failures`.
    PodEvents { pods: Vec<String> },
}

impl Ask {
    /// True for questions to the JobManager, false for questions to the API server.
    pub fn is_flink(&self) -> bool {
        !matches!(self, Ask::PodEvents { .. })
    }
}
