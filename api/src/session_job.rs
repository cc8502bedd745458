//! FlinkSessionJob: a job on a session cluster (reconciler.md 1.3).

use serde::{Deserialize, Serialize};

use crate::configuration::FlinkConfiguration;
use crate::job::JobSpec;
use crate::lenient;
use crate::resource::custom_resource;
use crate::status::{JobStatus, LifecycleState, ReconciliationStatus};

custom_resource! {
    /// A job that runs on the session cluster named by `spec.deploymentName`, in the same namespace.
    FlinkSessionJob, "FlinkSessionJob", "flinksessionjobs", FlinkSessionJobSpec, FlinkSessionJobStatus
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlinkSessionJobSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobSpec>,
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub restart_nonce: Option<i64>,
    #[serde(default)]
    pub flink_configuration: FlinkConfiguration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlinkSessionJobStatus {
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub job_status: JobStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle_state: Option<LifecycleState>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub reconciliation_status: ReconciliationStatus,
}
