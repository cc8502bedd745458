//! Names other programs match on: group, labels, annotations, finalizers (reconciler.md 1.8).

pub const GROUP: &str = "flink.apache.org";
pub const VERSION: &str = "v1beta1";
pub const API_VERSION: &str = "flink.apache.org/v1beta1";

/// `metadata.generation` of the custom resource, on the JobManager Deployment it led to.
pub const GENERATION_ANNOTATION: &str = "flinkdeployment.flink.apache.org/generation";
/// Resources labelled `"true"` probe the operator and are never deployed.
pub const CANARY_LABEL: &str = "flink.apache.org/canary";
/// The session cluster of a FlinkSessionJob.
pub const SESSION_TARGET_LABEL: &str = "target.session";
pub const BLUE_GREEN_LABEL: &str = "flink/blue-green-deployment-type";
/// Stands where a savepoint path would, when a job restores from the HA metadata.
pub const LAST_STATE_SAVEPOINT_PATH: &str = "KUBERNETES_OPERATOR_LAST_STATE";

pub const FLINK_DEPLOYMENT_FINALIZER: &str = "flinkdeployments.flink.apache.org/finalizer";
pub const FLINK_SESSION_JOB_FINALIZER: &str = "flinksessionjobs.flink.apache.org/finalizer";
pub const FLINK_STATE_SNAPSHOT_FINALIZER: &str = "flinkstatesnapshots.flink.apache.org/finalizer";

pub const TYPE_LABEL: &str = "type";
pub const APP_LABEL: &str = "app";
pub const COMPONENT_LABEL: &str = "component";
pub const NATIVE_TYPE: &str = "flink-native-kubernetes";
pub const STANDALONE_TYPE: &str = "flink-standalone-kubernetes";
pub const JOB_MANAGER_COMPONENT: &str = "jobmanager";
pub const TASK_MANAGER_COMPONENT: &str = "taskmanager";
pub const INGRESS_COMPONENT: &str = "ingress";
pub const CONFIG_MAP_TYPE_LABEL: &str = "configmap-type";
pub const HIGH_AVAILABILITY_TYPE: &str = "high-availability";

pub const SNAPSHOT_TYPE_LABEL: &str = "snapshot.type";
pub const SNAPSHOT_TRIGGER_TYPE_LABEL: &str = "snapshot.trigger-type";
pub const SNAPSHOT_STATE_LABEL: &str = "snapshot.state";
pub const JOB_REFERENCE_KIND_LABEL: &str = "job-reference.kind";
pub const JOB_REFERENCE_NAME_LABEL: &str = "job-reference.name";

/// The REST Service of a cluster, reached as `<name>.<namespace>` on `rest.port`.
pub fn rest_service_name(cluster_id: &str) -> String {
    format!("{cluster_id}-rest")
}

/// The TaskManager Deployment of a standalone cluster.
pub fn task_manager_deployment_name(cluster_id: &str) -> String {
    format!("{cluster_id}-taskmanager")
}
