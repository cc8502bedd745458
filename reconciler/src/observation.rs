//! Everything one pass may look at, as plain values.
//!
//! The shell fills an [`Observation`] from its watches (the resource, the JobManager Deployment, its pods, the
//! HA ConfigMaps: free to read) and from answers to the [`Ask`](crate::Ask)s of this pass (Flink REST, pod events).
//! Left out on purpose: clients, clocks, raw Kubernetes objects. "Could not ask" and "asked, and it is absent"
//! are different values everywhere, because most data-loss bugs of Flink operators live between the two.

use crate::health::HealthRecord;
use drey_api::{FlinkDeployment, FlinkJobState};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// One fact, and how it was learnt.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<T> {
    /// Asked, and this is the answer.
    Known(T),
    /// Asked, and the answer is that it does not exist (404, or not in a synced watch cache).
    Absent,
    /// Asked, and nobody gave a usable answer: nothing may be concluded about the thing itself.
    Unreachable { why: Why },
    /// Not asked in this pass (a watch that has not synced yet counts as this).
    NotAsked,
}

impl<T> Seen<T> {
    /// The value, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Seen::Known(value) => Some(value),
            Seen::Absent | Seen::Unreachable { .. } | Seen::NotAsked => None,
        }
    }

    /// True only for "asked, and it does not exist".
    pub fn is_absent(&self) -> bool {
        matches!(self, Seen::Absent)
    }

    /// True when the question is still open.
    pub fn is_not_asked(&self) -> bool {
        matches!(self, Seen::NotAsked)
    }

    /// A shorthand for the usual failures of a call.
    pub fn unreachable(why: Why) -> Self {
        Seen::Unreachable { why }
    }
}

/// Why nobody answered. All but `Http` mean that the peer did not speak; `Http` is an answer that is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    Refused,
    Timeout,
    Dns,
    Reset,
    /// An HTTP error that says nothing about the thing asked for (any 5xx, 401, 403, an unreadable body).
    Http {
        code: u16,
        message: String,
    },
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Refused => f.write_str("connection refused"),
            Why::Timeout => f.write_str("timed out"),
            Why::Dns => f.write_str("host name not found"),
            Why::Reset => f.write_str("connection reset"),
            Why::Http { code, message } => write!(f, "HTTP {code}: {message}"),
        }
    }
}

/// The input of one pass.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The resource as the informer knows it, its status replaced by the last one this operator wrote.
    pub resource: FlinkDeployment,
    /// The JobManager Deployment (same name as the resource).
    pub job_manager: Seen<JobManagerFacts>,
    /// JobManager pods: labels `app=<name>, component=jobmanager, type=flink-native-kubernetes`, terminating ones
    /// included, those already in phase Succeeded/Failed left out. `Known(vec![])` and `Absent` mean the same.
    pub pods: Seen<Vec<PodFacts>>,
    /// ConfigMaps with labels `app=<name>, type=flink-native-kubernetes`, without those labelled
    /// `component=autoscaler` (reconciler.md 5.1). The `flink-config-*` and `pod-template-*` maps may be in the list.
    pub ha: Seen<HaFacts>,
    /// Answers to the asks of this pass.
    pub flink: FlinkFacts,
    /// Answers to [`Ask::PodEvents`](crate::Ask::PodEvents): messages of `FailedMount` events by pod name.
    pub mount_failures: Seen<BTreeMap<String, String>>,
    /// The action of the previous plan that failed, if this pass is run because of it.
    pub failure: Option<ActionFailure>,
    /// What the previous pass of this process asked to be told again.
    pub memo: Memo,
}

impl Observation {
    /// An observation in which only the resource is known.
    pub fn of(resource: FlinkDeployment) -> Self {
        Observation {
            resource,
            job_manager: Seen::NotAsked,
            pods: Seen::NotAsked,
            ha: Seen::NotAsked,
            flink: FlinkFacts::default(),
            mount_failures: Seen::NotAsked,
            failure: None,
            memo: Memo::default(),
        }
    }
}

/// The JobManager Deployment, reduced to what decisions need.
#[derive(Clone, Debug, PartialEq)]
pub struct JobManagerFacts {
    pub uid: String,
    /// Annotation `flinkdeployment.flink.apache.org/generation`.
    pub generation: Option<i64>,
    pub created: Timestamp,
    /// `metadata.generation`: 1 as long as nobody has changed what was created.
    pub own_generation: Option<i64>,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `spec.replicas`; the next two are of the status.
    pub wanted_replicas: i32,
    pub replicas: i32,
    pub available_replicas: i32,
    pub conditions: Vec<ConditionFacts>,
    /// Which of the objects that belong to a running cluster are there. A crash in the middle of creating them
    /// leaves a Deployment without the rest.
    pub has_rest_service: bool,
    pub has_config_map: bool,
}

/// One entry of `status.conditions` of a Deployment or a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionFacts {
    pub kind: String,
    /// `True`, `False` or `Unknown`, as on the wire.
    pub status: String,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub last_transition: Option<Timestamp>,
}

/// One JobManager pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodFacts {
    pub name: String,
    pub deleting: bool,
    pub conditions: Vec<ConditionFacts>,
    /// Init containers and main containers alike.
    pub containers: Vec<ContainerFacts>,
}

/// One container of a JobManager pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerFacts {
    pub name: String,
    /// `state.waiting`, if the container waits.
    pub waiting: Option<Waiting>,
    /// `lastState.terminated.message`.
    pub last_terminated_message: Option<String>,
}

/// `state.waiting` of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub reason: String,
    pub message: Option<String>,
}

/// HA metadata of the cluster, as the ConfigMaps show it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HaFacts {
    pub config_maps: Vec<HaConfigMap>,
}

/// One ConfigMap with the labels of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaConfigMap {
    pub name: String,
    pub deleting: bool,
    /// Keys of `data`, in order.
    pub keys: Vec<String>,
}

/// Flink facts of this pass; each is `NotAsked` until the ask of the same name was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct FlinkFacts {
    pub jobs: Seen<Vec<JobFact>>,
    pub savepoint: Seen<TriggerFact>,
    pub checkpoint: Seen<TriggerFact>,
    pub checkpoints: Seen<CheckpointFacts>,
    pub result: Seen<ResultFact>,
    pub exceptions: Seen<Vec<ExceptionFact>>,
    pub metrics: Seen<MetricFacts>,
    pub cluster: Seen<ClusterFact>,
    pub requirements: Seen<Requirements>,
}

impl Default for FlinkFacts {
    fn default() -> Self {
        FlinkFacts {
            jobs: Seen::NotAsked,
            savepoint: Seen::NotAsked,
            checkpoint: Seen::NotAsked,
            checkpoints: Seen::NotAsked,
            result: Seen::NotAsked,
            exceptions: Seen::NotAsked,
            metrics: Seen::NotAsked,
            cluster: Seen::NotAsked,
            requirements: Seen::NotAsked,
        }
    }
}

/// `GET /jobs/:id/resource-requirements`: bounds of the parallelism by job vertex (adaptive scheduler only).
pub type Requirements = BTreeMap<String, Parallelism>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallelism {
    pub lower: i64,
    pub upper: i64,
}

/// One entry of `GET /jobs/overview`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFact {
    /// 32 hex digits.
    pub id: String,
    pub name: String,
    pub state: FlinkJobState,
    /// Epoch milliseconds, as on the wire.
    pub start_time: i64,
    /// Moves with every state change, so a restart between two passes is not missed.
    pub last_modification: i64,
    /// `None`: the answer does not count them.
    pub tasks: Option<TaskCounts>,
}

/// `tasks` of an entry of `/jobs/overview`. All zero before the graph exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskCounts {
    pub running: i64,
    pub finished: i64,
    pub total: i64,
}

impl JobFact {
    /// A job is RUNNING before its tasks are, and Flink refuses a savepoint of it until they all are.
    pub fn all_tasks_run(&self) -> bool {
        self.tasks.is_none_or(|tasks| tasks.total > 0 && tasks.running + tasks.finished >= tasks.total)
    }
}

/// State of a savepoint, stop-with-savepoint or checkpoint trigger. 404 is `Seen::Absent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerFact {
    InProgress,
    /// `location` of a savepoint; of a checkpoint its number as text.
    Completed {
        location: String,
    },
    /// The failure cause, class and message of the chain, outermost first. `savepoint_path` is set when the chain
    /// holds a `StopWithSavepointStoppingException`: the savepoint exists although the job failed afterwards.
    Failed {
        causes: Vec<Cause>,
        savepoint_path: Option<String>,
    },
}

/// One throwable of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Fully qualified class name.
    pub class: String,
    pub message: Option<String>,
}

/// `GET /jobs/:id/checkpoints`, reduced.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CheckpointFacts {
    /// `latest.completed`, `latest.savepoint`, `latest.restored` where present.
    pub latest: Vec<CompletedCheckpoint>,
    /// Newest entry of `history`.
    pub newest: Option<HistoryEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedCheckpoint {
    pub id: i64,
    /// `external_path`; may be `<checkpoint-not-externally-addressable>`.
    pub path: Option<String>,
    /// Trigger time, or restore time for a restored one.
    pub timestamp: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub id: i64,
    pub in_progress: bool,
    pub trigger_timestamp: i64,
}

/// `GET /jobs/:id/execution-result`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultFact {
    InProgress,
    /// Cause chain, empty for a job that did not fail.
    Completed {
        causes: Vec<Cause>,
    },
}

/// One entry of `GET /jobs/:id/exceptions`, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionFact {
    pub timestamp: i64,
    pub name: Option<String>,
    pub stacktrace: String,
    pub task_name: Option<String>,
    pub endpoint: Option<String>,
    pub task_manager_id: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// `GET /jobs/:id/metrics?get=fullRestarts,numRestarts,numberOfCompletedCheckpoints`, unknown ones left out.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MetricFacts {
    pub num_restarts: Option<i64>,
    pub full_restarts: Option<i64>,
    pub completed_checkpoints: Option<i64>,
}

/// `GET /config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFact {
    pub flink_version: String,
    pub flink_revision: String,
}

/// An action of a plan that did not succeed, and what was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionFailure {
    pub action: crate::ActionKind,
    pub error: ActionError,
}

/// Sorted by what a reconciler does about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionError {
    /// The API server answered with a Status of this code and reason.
    Kube { code: u16, reason: String, message: String },
    /// Flink answered with an HTTP error about the thing itself (4xx, or 5xx with a cause).
    Flink { code: u16, message: String },
    /// Nobody answered: the action may or may not have happened.
    Unreachable { why: Why },
}

/// What one pass noticed and would like to be told again. It lives in memory only: losing it costs requests or a
/// repeated event, never correctness. Everything a crash must not lose is in `status`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memo {
    /// `last_modification` of the job at the last pass that looked at exceptions and cluster info.
    pub job_modified: Option<i64>,
    /// Newest exception already reported, with the job it belongs to.
    pub exceptions_until: Option<(String, i64)>,
    /// Consecutive failed plans, for the error back-off.
    pub failures: u32,
    /// Hash of the last event per reason, so that a lasting condition is reported once.
    pub reported: BTreeMap<String, String>,
    /// Generation whose stop-with-savepoint failed, and when to try again.
    pub stop_failed: Option<(i64, Timestamp)>,
    /// How often in a row it failed.
    pub stop_failures: u32,
    /// A savepoint or checkpoint failed: not triggered again before this.
    pub snapshot_retry: Option<Timestamp>,
    /// Generation whose cluster the API server refused to create: that request will never take effect.
    pub rejected: Option<i64>,
    /// The health record as of the last look; the stored one lags behind.
    pub health: Option<HealthRecord>,
    /// HA metadata of this deployment has been seen: gone now, it was deleted.
    pub saw_metadata: bool,
    /// Generation whose warnings have been shown.
    pub warned: Option<i64>,
    /// Generation whose upgrade waits, and since when.
    pub waiting: Option<(i64, Timestamp)>,
    /// Generation that could not be reached by scaling in place: it takes an upgrade.
    pub scale_failed: Option<i64>,
    /// Generation whose new bounds were sent to the JobManager: users hear of it once they are recorded.
    pub scaled: Option<i64>,
}
