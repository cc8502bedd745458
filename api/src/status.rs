//! Status parts shared by FlinkDeployment and FlinkSessionJob (reconciler.md 1.4).

use serde::{Deserialize, Serialize};

use crate::lenient;

/// The job as last observed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<FlinkJobState>,
    /// Milliseconds since the epoch, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// Time of the last observed change of `state`: milliseconds since the epoch, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_savepoint_path: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub savepoint_info: SavepointInfo,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub checkpoint_info: CheckpointInfo,
}

/// Job states as Flink's REST API names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FlinkJobState {
    Initializing,
    Created,
    Running,
    Failing,
    Failed,
    Cancelling,
    Canceled,
    Finished,
    Restarting,
    Suspended,
    Reconciling,
}

impl FlinkJobState {
    pub const ALL: [Self; 11] = [
        Self::Initializing,
        Self::Created,
        Self::Running,
        Self::Failing,
        Self::Failed,
        Self::Cancelling,
        Self::Canceled,
        Self::Finished,
        Self::Restarting,
        Self::Suspended,
        Self::Reconciling,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
            Self::Restarting => "RESTARTING",
            Self::Suspended => "SUSPENDED",
            Self::Reconciling => "RECONCILING",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The job will never run again on its own. SUSPENDED is not terminal in this sense.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Failed | Self::Canceled | Self::Finished => true,
            Self::Initializing
            | Self::Created
            | Self::Running
            | Self::Failing
            | Self::Cancelling
            | Self::Restarting
            | Self::Suspended
            | Self::Reconciling => false,
        }
    }
}

/// Savepoints kept in the status; superseded by FlinkStateSnapshot resources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavepointInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_savepoint: Option<Savepoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub trigger_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_type: Option<SnapshotTriggerType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_type: Option<SavepointFormat>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub savepoint_history: Vec<Savepoint>,
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub last_periodic_savepoint_timestamp: i64,
}

/// Savepoints and checkpoints under way look alike. The wire has their four fields beside others, and a flattened part
/// would cost a detour through a buffer at each reading of a status, so the code is shared and not the struct.
macro_rules! triggers {
    ($($info:ident),*) => {$(
        impl $info {
            /// A trigger whose result is not known yet.
            pub fn is_pending(&self) -> bool {
                self.trigger_id.as_deref().is_some_and(|id| !id.is_empty())
            }

            pub fn clear_trigger(&mut self) {
                self.trigger_id = None;
                self.trigger_timestamp = None;
                self.trigger_type = None;
                self.format_type = None;
            }
        }
    )*};
}

triggers!(SavepointInfo, CheckpointInfo);

impl SavepointInfo {
    /// Records a savepoint: it becomes the last one and joins the history unless its location is already the last
    /// one's. In every case nothing is pending afterwards.
    pub fn record(&mut self, savepoint: Option<Savepoint>) {
        match savepoint {
            None => self.last_savepoint = None,
            Some(new) if self.last_savepoint.as_ref().is_some_and(|last| last.location == new.location) => {}
            Some(new) => {
                if new.trigger_type == SnapshotTriggerType::Periodic {
                    self.last_periodic_savepoint_timestamp = new.time_stamp;
                }
                self.savepoint_history.push(new.clone());
                self.last_savepoint = Some(new);
            }
        }
        self.clear_trigger();
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Savepoint {
    /// Milliseconds since the epoch.
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub time_stamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub trigger_type: SnapshotTriggerType,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub format_type: SavepointFormat,
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub trigger_nonce: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_checkpoint: Option<Checkpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub trigger_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_type: Option<SnapshotTriggerType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_type: Option<CheckpointFormat>,
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub last_periodic_checkpoint_timestamp: i64,
}

impl CheckpointInfo {
    /// Records a completed checkpoint; nothing is pending afterwards.
    pub fn record(&mut self, checkpoint: Option<Checkpoint>) {
        if let Some(new) = &checkpoint
            && new.trigger_type == SnapshotTriggerType::Periodic
        {
            self.last_periodic_checkpoint_timestamp = new.time_stamp;
        }
        self.last_checkpoint = checkpoint;
        self.clear_trigger();
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Milliseconds since the epoch.
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub time_stamp: i64,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub trigger_type: SnapshotTriggerType,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub format_type: CheckpointFormat,
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub trigger_nonce: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SnapshotTriggerType {
    Manual,
    Periodic,
    Upgrade,
    #[default]
    Unknown,
}

impl SnapshotTriggerType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "MANUAL",
            Self::Periodic => "PERIODIC",
            Self::Upgrade => "UPGRADE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SavepointFormat {
    Canonical,
    Native,
    #[default]
    Unknown,
}

impl SavepointFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canonical => "CANONICAL",
            Self::Native => "NATIVE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CheckpointFormat {
    Full,
    Incremental,
    #[default]
    Unknown,
}

impl CheckpointFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Incremental => "INCREMENTAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The resource as a whole; computed by the reconciler on every write (reconciler.md 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleState {
    Created,
    Suspended,
    Upgrading,
    Deployed,
    Stable,
    RollingBack,
    RolledBack,
    Failed,
    Deleting,
    Deleted,
}

impl LifecycleState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Suspended => "SUSPENDED",
            Self::Upgrading => "UPGRADING",
            Self::Deployed => "DEPLOYED",
            Self::Stable => "STABLE",
            Self::RollingBack => "ROLLING_BACK",
            Self::RolledBack => "ROLLED_BACK",
            Self::Failed => "FAILED",
            Self::Deleting => "DELETING",
            Self::Deleted => "DELETED",
        }
    }
}

/// How far the last recorded spec has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReconciliationStatus {
    /// Milliseconds since the epoch of the last deploy-related record.
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub reconciliation_timestamp: i64,
    /// A [`ReconciledSpec`](crate::ReconciledSpec) as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reconciled_spec: Option<String>,
    /// A [`ReconciledSpec`](crate::ReconciledSpec) as text; equal to the above, byte for byte, when stable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_stable_spec: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub state: ReconciliationState,
}

impl ReconciliationStatus {
    /// Nothing was ever deployed, or recorded to be about to.
    pub fn is_before_first_deployment(&self) -> bool {
        self.last_reconciled_spec.as_deref().is_none_or(|text| text.trim().is_empty())
    }

    /// The last recorded spec is the last stable one: byte-equal texts.
    pub fn is_stable(&self) -> bool {
        !self.is_before_first_deployment() && self.last_reconciled_spec == self.last_stable_spec
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReconciliationState {
    Deployed,
    #[default]
    Upgrading,
    RollingBack,
    RolledBack,
}

impl ReconciliationState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "DEPLOYED",
            Self::Upgrading => "UPGRADING",
            Self::RollingBack => "ROLLING_BACK",
            Self::RolledBack => "ROLLED_BACK",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type", default, deserialize_with = "lenient::or_default")]
    pub type_: String,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
