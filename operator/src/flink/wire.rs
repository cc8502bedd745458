//! The few members of Flink's REST answers that the operator reads. Everything else is ignored, and a member
//! that some version leaves out is optional: the types must read 1.15 to 2.x without knowing which it is.
//! Deliberately not shared with the fake Flink: a name misspelt in a shared type would pass every test.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// GET /jobs/overview
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobsOverview {
    #[serde(default)]
    pub jobs: Vec<JobOverview>,
}

/// One job of the overview; times are epoch milliseconds, `-1` for never.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobOverview {
    pub jid: String,
    #[serde(default)]
    pub name: String,
    pub state: String,
    #[serde(default = "never")]
    pub start_time: i64,
    #[serde(default = "never")]
    pub end_time: i64,
    #[serde(default = "never")]
    pub last_modification: i64,
    #[serde(default)]
    pub tasks: Option<TaskCounts>,
}

/// Tasks of a job by state, as far as they tell whether all of them run. All zero before the graph exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct TaskCounts {
    #[serde(default)]
    pub total: i64,
    #[serde(default)]
    pub running: i64,
    #[serde(default)]
    pub finished: i64,
}

/// GET and PUT /jobs/:id/resource-requirements, by job vertex
pub type ResourceRequirements = BTreeMap<String, VertexRequirements>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VertexRequirements {
    pub parallelism: Bounds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bounds {
    pub lower_bound: i64,
    pub upper_bound: i64,
}

fn never() -> i64 {
    -1
}

/// GET /jobs/:id/checkpoints
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct CheckpointStatistics {
    #[serde(default)]
    pub counts: CheckpointCounts,
    #[serde(default)]
    pub latest: LatestCheckpoints,
    #[serde(default)]
    pub history: Vec<Checkpoint>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct CheckpointCounts {
    #[serde(default)]
    pub restored: u64,
    #[serde(default)]
    pub in_progress: u64,
    #[serde(default)]
    pub completed: u64,
    #[serde(default)]
    pub failed: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LatestCheckpoints {
    #[serde(default)]
    pub completed: Option<Checkpoint>,
    #[serde(default)]
    pub savepoint: Option<Checkpoint>,
    #[serde(default)]
    pub restored: Option<RestoredCheckpoint>,
}

/// A checkpoint or savepoint in the statistics.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Checkpoint {
    pub id: i64,
    pub status: String,
    #[serde(default)]
    pub is_savepoint: bool,
    #[serde(default = "never")]
    pub trigger_timestamp: i64,
    #[serde(default)]
    pub external_path: Option<String>,
    #[serde(default)]
    pub discarded: bool,
    #[serde(default)]
    pub state_size: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RestoredCheckpoint {
    pub id: i64,
    #[serde(default = "never")]
    pub restore_timestamp: i64,
    #[serde(default)]
    pub is_savepoint: bool,
    #[serde(default)]
    pub external_path: Option<String>,
}

/// GET /config
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterConfig {
    #[serde(default)]
    pub flink_version: Option<String>,
    #[serde(default)]
    pub flink_revision: Option<String>,
}

/// GET /taskmanagers
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct TaskManagers {
    #[serde(default)]
    pub taskmanagers: Vec<TaskManager>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManager {
    pub id: String,
    #[serde(default)]
    pub slots_number: u32,
    #[serde(default)]
    pub free_slots: u32,
    #[serde(default)]
    pub total_resource: Option<TaskManagerResource>,
    #[serde(default)]
    pub memory_configuration: Option<TaskManagerMemory>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManagerResource {
    #[serde(default)]
    pub cpu_cores: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManagerMemory {
    #[serde(default)]
    pub total_process_memory: Option<u64>,
}

/// GET /jobs/:id/exceptions
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobExceptions {
    #[serde(default)]
    pub exception_history: ExceptionHistory,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ExceptionHistory {
    /// Newest first.
    #[serde(default)]
    pub entries: Vec<JobException>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobException {
    #[serde(default)]
    pub exception_name: String,
    #[serde(default)]
    pub stacktrace: String,
    #[serde(default = "never")]
    pub timestamp: i64,
    #[serde(default)]
    pub task_name: Option<String>,
    /// Absent in 1.18, where `location` says the same.
    #[serde(default)]
    pub endpoint: Option<String>,
    #[serde(default)]
    pub location: Option<String>,
    #[serde(default)]
    pub task_manager_id: Option<String>,
    #[serde(default)]
    pub failure_labels: BTreeMap<String, String>,
}

/// GET /jobs/:id/execution-result
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExecutionResult {
    pub status: OperationStatus,
    #[serde(default)]
    pub job_execution_result: Option<JobExecutionResult>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobExecutionResult {
    #[serde(default)]
    pub application_status: String,
    #[serde(default)]
    pub failure_cause: Option<FailureCause>,
}

/// `IN_PROGRESS` or `COMPLETED`; a failed operation is COMPLETED too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OperationStatus {
    pub id: String,
}

/// A Java throwable as Flink sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureCause {
    #[serde(default)]
    pub class: String,
    #[serde(default)]
    pub stack_trace: String,
}

impl FailureCause {
    /// The chain as `class: message` texts, outermost first.
    pub fn chain(&self) -> Vec<String> {
        causes(&self.stack_trace)
    }

    /// The text of the innermost cause, which is the one that helps.
    pub fn innermost(&self) -> String {
        self.chain().pop().unwrap_or_else(|| self.class.clone())
    }
}

/// `class: message` of a printed throwable and of each `Caused by:` in it.
pub fn causes(stack_trace: &str) -> Vec<String> {
    let mut chain: Vec<String> = Vec::new();
    let mut in_message = true;
    for (n, line) in stack_trace.lines().enumerate() {
        if let Some(cause) = line.strip_prefix("Caused by: ") {
            chain.push(cause.to_owned());
            in_message = true;
        } else if n == 0 {
            chain.push(line.to_owned());
        } else if line.starts_with("\tat ") || line.starts_with("\t...") || line.starts_with("\tSuppressed:")
        {
            in_message = false;
        } else if in_message && let Some(last) = chain.last_mut() {
            // Messages may have several lines; frames end them.
            last.push('\n');
            last.push_str(line);
        }
    }
    chain.retain(|c| !c.trim().is_empty());
    chain
}

/// GET of a triggered savepoint, stop, checkpoint or disposal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Poll {
    pub status: OperationStatus,
    #[serde(default)]
    pub operation: Option<Operation>,
}

/// Checkpoints say `failureCause`, everything else `failure-cause`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Operation {
    #[serde(default)]
    pub location: Option<String>,
    #[serde(default, rename = "checkpointId")]
    pub checkpoint_id: Option<i64>,
    #[serde(default, rename = "failure-cause", alias = "failureCause")]
    pub failure_cause: Option<FailureCause>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Triggered {
    #[serde(rename = "request-id")]
    pub request_id: String,
}

/// One value of GET /jobs/:id/metrics
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Metric {
    pub id: String,
    #[serde(default)]
    pub value: Option<String>,
}

/// POST /jobs/:id/savepoints. 1.18 refuses unknown members, so only these are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SavepointRequest {
    #[serde(rename = "target-directory", skip_serializing_if = "Option::is_none")]
    pub target_directory: Option<String>,
    #[serde(rename = "cancel-job")]
    pub cancel_job: bool,
    #[serde(rename = "formatType", skip_serializing_if = "Option::is_none")]
    pub format_type: Option<String>,
    /// Chosen by the caller: a repeat with the same id starts nothing new (flink-rest.md 2).
    #[serde(rename = "triggerId", skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
}

/// POST /jobs/:id/stop
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StopRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_directory: Option<String>,
    pub drain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
}

/// POST /jobs/:id/checkpoints
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
}

/// `{"errors":[..]}`, the body of every refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub errors: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_a_printed_throwable() {
        let text = "a.CompletionException: b.CheckpointException: IO-problem detected.\n\tat x(Y.java:1)\n\t... (frames trimmed)\nCaused by: b.CheckpointException: IO-problem detected.\n\tat x(Y.java:2)\nCaused by: java.io.IOException: Failed to create\nat file:/proc/nope\n\tat z(Z.java:3)\n";
        assert_eq!(
            causes(text),
            [
                "a.CompletionException: b.CheckpointException: IO-problem detected.",
                "b.CheckpointException: IO-problem detected.",
                "java.io.IOException: Failed to create\nat file:/proc/nope",
            ]
        );
        assert!(causes("").is_empty());
    }
}
