//! Wire types of the `flink.apache.org/v1beta1` custom resources and their CRDs.
//!
//! A document a user applied, or Apache's operator stored, reads into these types without loss of anything the
//! format defines, and writes back under the same names. Unknown fields are ignored, as every reader of the format
//! does. What a field *means* (validation, differences, effective configuration, lifecycle) is not here: see
//! `drey-blueprint` and `drey-reconciler`.
//!
//! ```
//! use drey_api::FlinkDeployment;
//! let deployment: FlinkDeployment = serde_json::from_value(serde_json::json!({
//!     "metadata": {"name": "wordcount"},
//!     "spec": {"job": {"jarURI": "local:///job.jar"}, "flinkConfiguration": {"rest": {"port": 8081}}},
//! }))?;
//! assert_eq!(deployment.spec.flink_configuration.flatten()["rest.port"], "8081");
//! assert_eq!(deployment.spec.job.unwrap().upgrade_mode, drey_api::UpgradeMode::Stateless);
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod constants;
pub mod crd;

mod configuration;
mod deployment;
mod job;
mod lenient;
mod pod_template;
mod reconciled_spec;
mod resource;
mod session_job;
mod snapshot;
mod status;
mod version;

pub use configuration::FlinkConfiguration;
pub use deployment::{
    ClaimReference, DeploymentMode, FlinkDeployment, FlinkDeploymentSpec, FlinkDeploymentStatus, IngressSpec,
    IngressTls, JobManagerDeploymentStatus, JobManagerSpec, Resource, ResourceRequirements, TaskManagerInfo,
    TaskManagerSpec,
};
pub use job::{JobSpec, JobState, UpgradeMode};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
pub use kube_core::Resource as KubeResource;
pub use pod_template::PodTemplate;
pub use reconciled_spec::{ReconciledSpec, ResourceMetadata, SpecFormatError};
pub use session_job::{FlinkSessionJob, FlinkSessionJobSpec, FlinkSessionJobStatus};
pub use snapshot::{
    CheckpointSpec, FlinkStateSnapshot, FlinkStateSnapshotSpec, FlinkStateSnapshotStatus, JobReference,
    JobReferenceKind, SavepointSpec, SnapshotState,
};
pub use status::{
    Checkpoint, CheckpointFormat, CheckpointInfo, Condition, FlinkJobState, JobStatus, LifecycleState,
    ReconciliationState, ReconciliationStatus, Savepoint, SavepointFormat, SavepointInfo,
    SnapshotTriggerType,
};
pub use version::{FlinkVersion, VersionFormatError};
