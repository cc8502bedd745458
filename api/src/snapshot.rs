//! FlinkStateSnapshot: one savepoint or checkpoint as a resource (reconciler.md 1.6).

use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::resource::custom_resource;
use crate::status::SavepointFormat;

custom_resource! {
    /// One savepoint or checkpoint of a job: to be taken, or known to exist already.
    FlinkStateSnapshot, "FlinkStateSnapshot", "flinkstatesnapshots", FlinkStateSnapshotSpec, FlinkStateSnapshotStatus
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlinkStateSnapshotSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_reference: Option<JobReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<SavepointSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointSpec>,
    /// -1 retries forever, 0 never.
    #[serde(default = "forever", deserialize_with = "integer_or_forever")]
    pub backoff_limit: i64,
}

impl Default for FlinkStateSnapshotSpec {
    fn default() -> Self {
        Self { job_reference: None, savepoint: None, checkpoint: None, backoff_limit: forever() }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReference {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<JobReferenceKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobReferenceKind {
    FlinkDeployment,
    FlinkSessionJob,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavepointSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default = "canonical", deserialize_with = "canonical_or")]
    pub format_type: SavepointFormat,
    #[serde(default = "yes", deserialize_with = "yes_or")]
    pub dispose_on_delete: bool,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub already_exists: bool,
}

impl Default for SavepointSpec {
    fn default() -> Self {
        Self { path: None, format_type: canonical(), dispose_on_delete: true, already_exists: false }
    }
}

/// Has no fields; its presence is the choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointSpec {}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlinkStateSnapshotStatus {
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub state: SnapshotState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_timestamp: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub failures: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SnapshotState {
    Completed,
    Failed,
    InProgress,
    #[default]
    TriggerPending,
    Abandoned,
}

impl SnapshotState {
    pub fn as_str(self) -> &'static str {
        match self {
            SnapshotState::Completed => "COMPLETED",
            SnapshotState::Failed => "FAILED",
            SnapshotState::InProgress => "IN_PROGRESS",
            SnapshotState::TriggerPending => "TRIGGER_PENDING",
            SnapshotState::Abandoned => "ABANDONED",
        }
    }
}

fn forever() -> i64 {
    -1
}

fn integer_or_forever<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(lenient::integer(deserializer)?.unwrap_or_else(forever))
}

fn canonical() -> SavepointFormat {
    SavepointFormat::Canonical
}

fn canonical_or<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SavepointFormat, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(canonical))
}

fn yes() -> bool {
    true
}

fn yes_or<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(true))
}
