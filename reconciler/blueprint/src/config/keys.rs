//! Configuration keys by name, with type, older names and default (config.md 1, reconciler.md 9).
//!
//! Only keys the operator reads. Durations, sizes and the like are texts here exactly as a user would write them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::conf::{ConfValue, FlinkConf, InvalidValue, Key};

/// Keys that are instructions to the operator and never reach Flink.
pub const OPERATOR_PREFIX: &str = "kubernetes.operator.";
pub const AUTOSCALER_PREFIX: &str = "job.autoscaler.";

/// Who may set a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only in the operator's own configuration.
    Operator,
    /// Also per resource, in `spec.flinkConfiguration`.
    Resource,
    /// A key of Flink that the operator reads too.
    Flink,
}

/// A key without its type: what validation and documentation need.
pub struct KeyInfo {
    pub name: &'static str,
    pub older: &'static [&'static str],
    pub default: Option<&'static str>,
    pub scope: Scope,
    check: fn(&FlinkConf) -> Option<InvalidValue>,
}

impl KeyInfo {
    /// What is wrong with the value given, if anything.
    pub fn problem(&self, conf: &FlinkConf) -> Option<InvalidValue> {
        (self.check)(conf)
    }

    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.older.contains(&name)
    }
}

fn check<T: ConfValue>(key: Key<T>, conf: &FlinkConf) -> Option<InvalidValue> {
    conf.given(key).err()
}

type Text = String;
type List = Vec<String>;
type Map = BTreeMap<String, String>;

/// NAME: type = "key" (older names) default, scope.
macro_rules! keys {
    ($($(#[$doc:meta])* $id:ident: $ty:ty = $name:literal $([$($older:literal),+])? $(or $default:literal)?, $scope:ident;)*) => {
        $(
            $(#[$doc])*
            pub const $id: Key<$ty> = Key::new($name, keys!(@default $($default)?))$(.formerly(&[$($older),+]))?;
        )*

        /// Every key above.
        pub static ALL: &[KeyInfo] = &[$(KeyInfo {
            name: $id.name,
            older: $id.older,
            default: $id.default,
            scope: Scope::$scope,
            check: |conf| check($id, conf),
        },)*];
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}

keys! {
    // 1.1 and 1.2: the operator as a whole.
    RECONCILE_INTERVAL: Duration = "kubernetes.operator.reconcile.interval" ["kubernetes.operator.reconciler.reschedule.interval"] or "60 s", Operator;
    RECONCILE_PARALLELISM: i64 = "kubernetes.operator.reconcile.parallelism" ["kubernetes.operator.reconciler.max.parallelism"] or "50", Operator;
    REST_READY_DELAY: Duration = "kubernetes.operator.observer.rest-ready.delay" or "10 s", Operator;
    PROGRESS_CHECK_INTERVAL: Duration = "kubernetes.operator.observer.progress-check.interval" or "10 s", Operator;
    FLINK_CLIENT_TIMEOUT: Duration = "kubernetes.operator.flink.client.timeout" ["kubernetes.operator.observer.flink.client.timeout"] or "10 s", Operator;
    FLINK_CANCEL_TIMEOUT: Duration = "kubernetes.operator.flink.client.cancel.timeout" ["kubernetes.operator.reconciler.flink.cancel.job.timeout"] or "1 min", Operator;
    RESOURCE_CLEANUP_TIMEOUT: Duration = "kubernetes.operator.resource.cleanup.timeout" ["kubernetes.operator.reconciler.flink.cluster.shutdown.timeout"] or "5 min", Operator;
    JOB_SUBMISSION_TIMEOUT: Duration = "kubernetes.operator.job.submission.timeout" or "10 min", Operator;
    ARTIFACTS_BASE_DIR: Text = "kubernetes.operator.user.artifacts.base.dir" or "/opt/flink/artifacts", Operator;
    ARTIFACTS_ALLOWED_SCHEMES: List = "kubernetes.operator.user.artifacts.allowed-schemes" or "https", Operator;
    ARTIFACTS_DISALLOW_RESTRICTED_HOSTS: bool = "kubernetes.operator.user.artifacts.disallow-restricted-hosts" or "true", Operator;
    EXCEPTION_STACK_TRACE_ENABLED: bool = "kubernetes.operator.exception.stacktrace.enabled" or "false", Operator;
    EXCEPTION_STACK_TRACE_MAX_LENGTH: i64 = "kubernetes.operator.exception.stacktrace.max.length" or "2048", Operator;
    EXCEPTION_FIELD_MAX_LENGTH: i64 = "kubernetes.operator.exception.field.max.length" or "2048", Operator;
    EXCEPTION_THROWABLE_LIST_MAX_COUNT: i64 = "kubernetes.operator.exception.throwable.list.max.count" or "2", Operator;
    WATCHED_NAMESPACES: Text = "kubernetes.operator.watched.namespaces" or "JOSDK_ALL_NAMESPACES", Operator;
    DYNAMIC_NAMESPACES_ENABLED: bool = "kubernetes.operator.dynamic.namespaces.enabled" or "false", Operator;
    RETRY_INITIAL_INTERVAL: Duration = "kubernetes.operator.retry.initial.interval" or "5 s", Operator;
    RETRY_MAX_INTERVAL: Duration = "kubernetes.operator.retry.max.interval", Operator;
    RETRY_INTERVAL_MULTIPLIER: f64 = "kubernetes.operator.retry.interval.multiplier" or "1.5", Operator;
    RETRY_MAX_ATTEMPTS: i64 = "kubernetes.operator.retry.max.attempts" or "15", Operator;
    RATE_LIMITER_REFRESH_PERIOD: Duration = "kubernetes.operator.rate-limiter.refresh-period" or "15 s", Operator;
    RATE_LIMITER_LIMIT: i64 = "kubernetes.operator.rate-limiter.limit" or "5", Operator;
    LEADER_ELECTION_ENABLED: bool = "kubernetes.operator.leader-election.enabled" or "false", Operator;
    LEADER_ELECTION_LEASE_NAME: Text = "kubernetes.operator.leader-election.lease-name", Operator;
    LEADER_ELECTION_LEASE_DURATION: Duration = "kubernetes.operator.leader-election.lease-duration" or "15 s", Operator;
    LEADER_ELECTION_RENEW_DEADLINE: Duration = "kubernetes.operator.leader-election.renew-deadline" or "10 s", Operator;
    LEADER_ELECTION_RETRY_PERIOD: Duration = "kubernetes.operator.leader-election.retry-period" or "2 s", Operator;
    DYNAMIC_CONFIG_ENABLED: bool = "kubernetes.operator.dynamic.config.enabled" or "true", Operator;
    DYNAMIC_CONFIG_CHECK_INTERVAL: Duration = "kubernetes.operator.dynamic.config.check.interval" or "5 min", Operator;
    CONFIG_CACHE_TIMEOUT: Duration = "kubernetes.operator.config.cache.timeout" or "10 min", Operator;
    CONFIG_CACHE_SIZE: i64 = "kubernetes.operator.config.cache.size" or "1000", Operator;
    SAVEPOINT_HISTORY_MAX_COUNT_THRESHOLD: i64 = "kubernetes.operator.savepoint.history.max.count.threshold", Operator;
    SAVEPOINT_HISTORY_MAX_AGE_THRESHOLD: Duration = "kubernetes.operator.savepoint.history.max.age.threshold", Operator;
    LABEL_SELECTOR: Text = "kubernetes.operator.label.selector", Operator;
    HEALTH_PROBE_ENABLED: bool = "kubernetes.operator.health.probe.enabled" or "true", Operator;
    HEALTH_PROBE_PORT: i64 = "kubernetes.operator.health.probe.port" or "8085", Operator;
    STOP_ON_INFORMER_ERROR: bool = "kubernetes.operator.startup.stop-on-informer-error" or "true", Operator;
    TERMINATION_TIMEOUT: Duration = "kubernetes.operator.termination.timeout" or "10 s", Operator;
    CANARY_RESOURCE_TIMEOUT: Duration = "kubernetes.operator.health.canary.resource.timeout" or "1 min", Operator;
    RESOURCE_DELETION_PROPAGATION: DeletionPropagation = "kubernetes.operator.resource.deletion.propagation" or "FOREGROUND", Operator;
    EVENTS_EXCEPTION_STACK_TRACE_LINES: i64 = "kubernetes.operator.events.exceptions.stacktrace-lines" or "5", Operator;
    EVENTS_EXCEPTION_LIMIT: i64 = "kubernetes.operator.events.exceptions.limit-per-reconciliation" or "10", Operator;
    INGRESS_MANAGE: bool = "kubernetes.operator.ingress.manage" or "true", Operator;

    // 1.4: per resource.
    SAVEPOINT_TRIGGER_GRACE_PERIOD: Duration = "kubernetes.operator.savepoint.trigger.grace-period" ["kubernetes.operator.observer.savepoint.trigger.grace-period"] or "1 min", Resource;
    CHECKPOINT_TRIGGER_GRACE_PERIOD: Duration = "kubernetes.operator.checkpoint.trigger.grace-period" or "1 min", Resource;
    DEPLOYMENT_ROLLBACK_ENABLED: bool = "kubernetes.operator.deployment.rollback.enabled" or "false", Resource;
    DEPLOYMENT_READINESS_TIMEOUT: Duration = "kubernetes.operator.deployment.readiness.timeout" or "5 min", Resource;
    IGNORE_PENDING_SAVEPOINT: bool = "kubernetes.operator.job.upgrade.ignore-pending-savepoint" or "false", Resource;
    INPLACE_SCALING_ENABLED: bool = "kubernetes.operator.job.upgrade.inplace-scaling.enabled" or "true", Resource;
    LAST_STATE_FALLBACK_ENABLED: bool = "kubernetes.operator.job.upgrade.last-state-fallback.enabled" or "true", Resource;
    LAST_STATE_MAX_CHECKPOINT_AGE: Duration = "kubernetes.operator.job.upgrade.last-state.max.allowed.checkpoint.age", Resource;
    LAST_STATE_JOB_CANCEL_ENABLED: bool = "kubernetes.operator.job.upgrade.last-state.job-cancel.enabled" or "false", Resource;
    JOB_RESTART_FAILED: bool = "kubernetes.operator.job.restart.failed" or "false", Resource;
    SAVEPOINT_ON_DELETION: bool = "kubernetes.operator.job.savepoint-on-deletion" or "false", Resource;
    DRAIN_ON_SAVEPOINT: bool = "kubernetes.operator.job.drain-on-savepoint-deletion" or "false", Resource;
    JM_DEPLOYMENT_RECOVERY_ENABLED: bool = "kubernetes.operator.jm-deployment-recovery.enabled" ["kubernetes.operator.reconciler.jm-deployment-recovery.enabled"] or "true", Resource;
    JM_DEPLOYMENT_SHUTDOWN_TTL: Duration = "kubernetes.operator.jm-deployment.shutdown-ttl" or "1 d", Resource;
    JM_STARTUP_PROBE_ENABLED: bool = "kubernetes.operator.jm-deployment.startup.probe.enabled" or "true", Resource;
    SAVEPOINT_DISPOSE_ON_DELETE: bool = "kubernetes.operator.savepoint.dispose-on-delete" or "false", Resource;
    SAVEPOINT_FORMAT_TYPE: SavepointFormatType = "kubernetes.operator.savepoint.format.type" or "CANONICAL", Resource;
    CHECKPOINT_TYPE: CheckpointType = "kubernetes.operator.checkpoint.type" or "FULL", Resource;
    SAVEPOINT_CLEANUP_ENABLED: bool = "kubernetes.operator.savepoint.cleanup.enabled" or "true", Resource;
    SAVEPOINT_HISTORY_MAX_COUNT: i64 = "kubernetes.operator.savepoint.history.max.count" or "10", Resource;
    SAVEPOINT_HISTORY_MAX_AGE: Duration = "kubernetes.operator.savepoint.history.max.age" or "24 h", Resource;
    EXCEPTION_LABEL_MAPPER: Map = "kubernetes.operator.exception.label.mapper" or "", Resource;
    ARTIFACTS_HTTP_HEADER: Map = "kubernetes.operator.user.artifacts.http.header", Resource;
    SNAPSHOT_RESOURCE_ENABLED: bool = "kubernetes.operator.snapshot.resource.enabled" or "true", Resource;
    PERIODIC_SAVEPOINT_INTERVAL: Text = "kubernetes.operator.periodic.savepoint.interval" or "", Resource;
    PERIODIC_CHECKPOINT_INTERVAL: Text = "kubernetes.operator.periodic.checkpoint.interval" or "", Resource;
    HEALTH_CHECK_ENABLED: bool = "kubernetes.operator.cluster.health-check.enabled" or "false", Resource;
    HEALTH_CHECK_RESTARTS_WINDOW: Duration = "kubernetes.operator.cluster.health-check.restarts.window" or "2 min", Resource;
    HEALTH_CHECK_RESTARTS_THRESHOLD: i64 = "kubernetes.operator.cluster.health-check.restarts.threshold" or "64", Resource;
    HEALTH_CHECK_CHECKPOINT_PROGRESS_ENABLED: bool = "kubernetes.operator.cluster.health-check.checkpoint-progress.enabled" or "true", Resource;
    HEALTH_CHECK_CHECKPOINT_PROGRESS_WINDOW: Duration = "kubernetes.operator.cluster.health-check.checkpoint-progress.window", Resource;
    POD_TEMPLATE_MERGE_BY_NAME: bool = "kubernetes.operator.pod-template.merge-arrays-by-name" or "false", Resource;
    SESSION_BLOCK_ON_UNMANAGED_JOBS: bool = "kubernetes.operator.session.deletion.block-on-unmanaged-jobs" ["kubernetes.operator.session.block-on-unmanaged-jobs"] or "true", Resource;
    SESSION_BLOCK_ON_SESSION_JOBS: bool = "kubernetes.operator.session.deletion.block-on-session-jobs" or "true", Resource;
    AUTOSCALER_ENABLED: bool = "job.autoscaler.enabled" ["kubernetes.operator.job.autoscaler.enabled"] or "false", Resource;
    AUTOSCALER_METRICS_WINDOW: Duration = "job.autoscaler.metrics.window" ["kubernetes.operator.job.autoscaler.metrics.window"] or "15 min", Resource;
    AUTOSCALER_TARGET_UTILIZATION: f64 = "job.autoscaler.utilization.target" ["kubernetes.operator.job.autoscaler.utilization.target", "job.autoscaler.target.utilization", "kubernetes.operator.job.autoscaler.target.utilization"] or "0.7", Resource;
    AUTOSCALER_UTILIZATION_BOUNDARY: f64 = "job.autoscaler.target.utilization.boundary" ["kubernetes.operator.job.autoscaler.target.utilization.boundary"] or "0.3", Resource;
    AUTOSCALER_UTILIZATION_MAX: f64 = "job.autoscaler.utilization.max" ["kubernetes.operator.job.autoscaler.utilization.max"], Resource;
    AUTOSCALER_UTILIZATION_MIN: f64 = "job.autoscaler.utilization.min" ["kubernetes.operator.job.autoscaler.utilization.min"], Resource;
    AUTOSCALER_MAX_SCALE_DOWN: f64 = "job.autoscaler.scale-down.max-factor" ["kubernetes.operator.job.autoscaler.scale-down.max-factor"] or "0.6", Resource;
    AUTOSCALER_MAX_SCALE_UP: f64 = "job.autoscaler.scale-up.max-factor" ["kubernetes.operator.job.autoscaler.scale-up.max-factor"] or "100000.0", Resource;
    AUTOSCALER_EXCLUDED_PERIODS: List = "job.autoscaler.excluded.periods" ["kubernetes.operator.job.autoscaler.excluded.periods"] or "", Resource;
    AUTOSCALER_GC_PRESSURE: f64 = "job.autoscaler.memory.gc-pressure.threshold" ["kubernetes.operator.job.autoscaler.memory.gc-pressure.threshold"] or "1.0", Resource;
    AUTOSCALER_HEAP_USAGE: f64 = "job.autoscaler.memory.heap-usage.threshold" ["kubernetes.operator.job.autoscaler.memory.heap-usage.threshold"] or "1.0", Resource;
    AUTOSCALER_SCALABILITY_ENABLED: bool = "job.autoscaler.observed-scalability.enabled" ["kubernetes.operator.job.autoscaler.observed-scalability.enabled"] or "false", Resource;
    AUTOSCALER_SCALABILITY_MIN: f64 = "job.autoscaler.observed-scalability.coefficient-min" ["kubernetes.operator.job.autoscaler.observed-scalability.coefficient-min"] or "0.5", Resource;
    AUTOSCALER_EFFECTIVENESS_ENABLED: bool = "job.autoscaler.scaling.effectiveness.detection.enabled" ["kubernetes.operator.job.autoscaler.scaling.effectiveness.detection.enabled"] or "false", Resource;
    AUTOSCALER_EFFECTIVENESS_THRESHOLD: f64 = "job.autoscaler.scaling.effectiveness.threshold" ["kubernetes.operator.job.autoscaler.scaling.effectiveness.threshold"] or "0.1", Resource;
    AUTOSCALER_MEMORY_TUNING_ENABLED: bool = "job.autoscaler.memory.tuning.enabled" ["kubernetes.operator.job.autoscaler.memory.tuning.enabled"] or "false", Resource;
    AUTOSCALER_MEMORY_TUNING_OVERHEAD: f64 = "job.autoscaler.memory.tuning.overhead" ["kubernetes.operator.job.autoscaler.memory.tuning.overhead"] or "0.2", Resource;
    AUTOSCALER_MIN_PARALLELISM: i64 = "job.autoscaler.vertex.min-parallelism" ["kubernetes.operator.job.autoscaler.vertex.min-parallelism"] or "1", Resource;
    AUTOSCALER_MAX_PARALLELISM: i64 = "job.autoscaler.vertex.max-parallelism" ["kubernetes.operator.job.autoscaler.vertex.max-parallelism"] or "200", Resource;

    // Flink's own, where the operator has to know them too.
    HIGH_AVAILABILITY: Text = "high-availability.type" ["high-availability"] or "NONE", Flink;
    HA_STORAGE_DIR: Text = "high-availability.storageDir" ["high-availability.zookeeper.storageDir", "recovery.zookeeper.storageDir"], Flink;
    HA_CLUSTER_ID: Text = "high-availability.cluster-id" ["high-availability.zookeeper.path.cluster-id"], Flink;
    HA_JOB_MANAGER_PORT: Text = "high-availability.jobmanager.port" or "0", Flink;
    CHECKPOINT_DIR: Text = "execution.checkpointing.dir" ["state.checkpoints.dir"], Flink;
    SAVEPOINT_DIR: Text = "execution.checkpointing.savepoint-dir" ["state.savepoints.dir", "savepoints.state.backend.fs.dir"], Flink;
    CHECKPOINTING_INTERVAL: Duration = "execution.checkpointing.interval", Flink;
    CHECKPOINTING_TIMEOUT: Duration = "execution.checkpointing.timeout" or "10 min", Flink;
    TOLERABLE_CHECKPOINT_FAILURES: i64 = "execution.checkpointing.tolerable-failed-checkpoints", Flink;
    NUM_RETAINED_CHECKPOINTS: i64 = "execution.checkpointing.num-retained" ["state.checkpoints.num-retained"] or "1", Flink;
    EXTERNALIZED_CHECKPOINT_RETENTION: Text = "execution.checkpointing.externalized-checkpoint-retention", Flink;
    SAVEPOINT_PATH: Text = "execution.savepoint.path" ["execution.state-recovery.path"], Flink;
    SAVEPOINT_IGNORE_UNCLAIMED: bool = "execution.savepoint.ignore-unclaimed-state" ["execution.state-recovery.ignore-unclaimed-state"], Flink;
    EXECUTION_TARGET: Text = "execution.target", Flink;
    SHUTDOWN_ON_APPLICATION_FINISH: bool = "execution.shutdown-on-application-finish", Flink;
    SUBMIT_FAILED_JOB_ON_APPLICATION_ERROR: bool = "execution.submit-failed-job-on-application-error", Flink;
    PARALLELISM: i64 = "parallelism.default" or "1", Flink;
    PARALLELISM_OVERRIDES: Map = "pipeline.jobvertex-parallelism-overrides" or "", Flink;
    PIPELINE_NAME: Text = "pipeline.name", Flink;
    PIPELINE_JARS: List = "pipeline.jars", Flink;
    PIPELINE_CLASSPATHS: List = "pipeline.classpaths", Flink;
    TASK_SLOTS: i64 = "taskmanager.numberOfTaskSlots" or "1", Flink;
    JM_PROCESS_MEMORY: MemoryText = "jobmanager.memory.process.size", Flink;
    JM_FLINK_MEMORY: MemoryText = "jobmanager.memory.flink.size", Flink;
    JM_HEAP_MEMORY: MemoryText = "jobmanager.memory.heap.size", Flink;
    TM_PROCESS_MEMORY: MemoryText = "taskmanager.memory.process.size", Flink;
    TM_FLINK_MEMORY: MemoryText = "taskmanager.memory.flink.size", Flink;
    TM_TASK_HEAP_MEMORY: MemoryText = "taskmanager.memory.task.heap.size", Flink;
    TM_MANAGED_MEMORY: MemoryText = "taskmanager.memory.managed.size", Flink;
    SCHEDULER: Text = "jobmanager.scheduler" or "default", Flink;
    SCHEDULER_MODE: Text = "scheduler-mode", Flink;
    REST_PORT: i64 = "rest.port" or "8081", Flink;
    REST_BIND_PORT: Text = "rest.bind-port", Flink;
    REST_SSL_ENABLED: bool = "security.ssl.rest.enabled" or "false", Flink;
    JM_RPC_PORT: i64 = "jobmanager.rpc.port" or "6123", Flink;
    JM_RPC_ADDRESS: Text = "jobmanager.rpc.address", Flink;
    BLOB_SERVER_PORT: Text = "blob.server.port" or "0", Flink;
    TM_RPC_PORT: Text = "taskmanager.rpc.port" or "0", Flink;
    JOB_RESULT_STORE_PATH: Text = "job-result-store.storage-path", Flink;
    JOB_RESULT_STORE_DELETE_ON_COMMIT: bool = "job-result-store.delete-on-commit", Flink;
    WEB_CANCEL_ENABLE: bool = "web.cancel.enable", Flink;
    K8S_NAMESPACE: Text = "kubernetes.namespace" or "default", Flink;
    K8S_CLUSTER_ID: Text = "kubernetes.cluster-id", Flink;
    K8S_IMAGE: Text = "kubernetes.container.image.ref" ["kubernetes.container.image"], Flink;
    K8S_IMAGE_PULL_POLICY: Text = "kubernetes.container.image.pull-policy" or "IfNotPresent", Flink;
    K8S_IMAGE_PULL_SECRETS: List = "kubernetes.container.image.pull-secrets", Flink;
    K8S_SERVICE_ACCOUNT: Text = "kubernetes.service-account" or "default", Flink;
    K8S_JM_SERVICE_ACCOUNT: Text = "kubernetes.jobmanager.service-account" ["kubernetes.service-account"] or "default", Flink;
    K8S_TM_SERVICE_ACCOUNT: Text = "kubernetes.taskmanager.service-account" ["kubernetes.service-account"] or "default", Flink;
    K8S_JM_REPLICAS: i64 = "kubernetes.jobmanager.replicas" or "1", Flink;
    K8S_JM_CPU: f64 = "kubernetes.jobmanager.cpu.amount" ["kubernetes.jobmanager.cpu"] or "1.0", Flink;
    K8S_JM_CPU_LIMIT_FACTOR: f64 = "kubernetes.jobmanager.cpu.limit-factor" or "1.0", Flink;
    K8S_JM_MEMORY_LIMIT_FACTOR: f64 = "kubernetes.jobmanager.memory.limit-factor" or "1.0", Flink;
    K8S_TM_CPU: f64 = "kubernetes.taskmanager.cpu.amount" ["kubernetes.taskmanager.cpu"] or "-1.0", Flink;
    K8S_TM_CPU_LIMIT_FACTOR: f64 = "kubernetes.taskmanager.cpu.limit-factor" or "1.0", Flink;
    K8S_TM_MEMORY_LIMIT_FACTOR: f64 = "kubernetes.taskmanager.memory.limit-factor" or "1.0", Flink;
    K8S_TM_REPLICAS: i64 = "kubernetes.internal.taskmanager.replicas", Flink;
    K8S_JM_LABELS: Map = "kubernetes.jobmanager.labels" or "", Flink;
    K8S_TM_LABELS: Map = "kubernetes.taskmanager.labels" or "", Flink;
    K8S_JM_ANNOTATIONS: Map = "kubernetes.jobmanager.annotations" or "", Flink;
    K8S_JM_NODE_SELECTOR: Map = "kubernetes.jobmanager.node-selector" or "", Flink;
    K8S_JM_TOLERATIONS: Text = "kubernetes.jobmanager.tolerations" or "", Flink;
    K8S_REST_SERVICE_TYPE: RestServiceType = "kubernetes.rest-service.exposed.type" or "ClusterIP", Flink;
    K8S_REST_SERVICE_ANNOTATIONS: Map = "kubernetes.rest-service.annotations" or "", Flink;
    K8S_ENTRY_PATH: Text = "kubernetes.entry.path" or "/docker-entrypoint.sh", Flink;
    K8S_ENV_SECRET_KEY_REF: Text = "kubernetes.env.secretKeyRef" or "", Flink;
    K8S_SECRETS: Map = "kubernetes.secrets" or "", Flink;
    K8S_HOST_NETWORK: bool = "kubernetes.hostnetwork.enabled" or "false", Flink;
    FLINK_CONF_DIR: Text = "kubernetes.flink.conf.dir" or "/opt/flink/conf", Flink;
    FLINK_LOG_DIR: Text = "kubernetes.flink.log.dir", Flink;
    INTERNAL_FLINK_VERSION: Text = "$internal.flink.version", Flink;
    INTERNAL_MAIN_CLASS: Text = "$internal.application.main", Flink;
    INTERNAL_PROGRAM_ARGS: List = "$internal.application.program-args", Flink;
    INTERNAL_JOB_ID: Text = "$internal.pipeline.job-id", Flink;
    INTERNAL_ENTRYPOINT_CLASS: Text = "kubernetes.internal.jobmanager.entrypoint.class", Flink;
}

/// Propagation policy when Deployments are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletionPropagation {
    Orphan,
    Background,
    #[default]
    Foreground,
}

impl DeletionPropagation {
    /// As `propagationPolicy` of a delete request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "Orphan",
            Self::Background => "Background",
            Self::Foreground => "Foreground",
        }
    }
}

/// What to write when a savepoint is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SavepointFormatType {
    #[default]
    Canonical,
    Native,
}

impl SavepointFormatType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canonical => "CANONICAL",
            Self::Native => "NATIVE",
        }
    }
}

/// What to write when a checkpoint is triggered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckpointType {
    #[default]
    Full,
    Incremental,
}

impl CheckpointType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Incremental => "INCREMENTAL",
        }
    }
}

/// How the REST port is made reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestServiceType {
    #[default]
    ClusterIp,
    HeadlessClusterIp,
    NodePort,
    LoadBalancer,
}

/// Enumerated values are matched without regard to case, as Flink does.
macro_rules! choices {
    ($($ty:ident { $($text:literal => $variant:ident),+ $(,)? })*) => {$(
        impl ConfValue for $ty {
            fn parse(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $(text if text.eq_ignore_ascii_case($text) => Ok(Self::$variant),)+
                    _ => Err(format!("expected one of {}", [$($text),+].join(", "))),
                }
            }
        }
    )*};
}

choices! {
    DeletionPropagation { "ORPHAN" => Orphan, "BACKGROUND" => Background, "FOREGROUND" => Foreground }
    SavepointFormatType { "CANONICAL" => Canonical, "NATIVE" => Native, "DEFAULT" => Canonical }
    CheckpointType { "FULL" => Full, "INCREMENTAL" => Incremental }
    RestServiceType {
        "ClusterIP" => ClusterIp,
        "Headless_ClusterIP" => HeadlessClusterIp,
        "NodePort" => NodePort,
        "LoadBalancer" => LoadBalancer,
    }
}

/// Bytes of a Flink memory option.
pub type MemoryText = super::conf::MemorySize;

/// Every value of `conf` that cannot be read, in the order of the table.
pub fn problems(conf: &FlinkConf) -> impl Iterator<Item = InvalidValue> {
    ALL.iter().filter_map(|key| key.problem(conf))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn defaults_parse_and_names_are_unique() {
        let mut seen = BTreeSet::new();
        for key in ALL {
            assert!(seen.insert(key.name), "{} is listed twice", key.name);
            if let Some(default) = key.default {
                let conf: FlinkConf = [(key.name, default)].into_iter().collect();
                assert_eq!(key.problem(&conf), None);
            }
        }
    }

    #[test]
    fn older_names_are_read_and_the_current_one_wins() {
        let mut conf: FlinkConf =
            [("kubernetes.operator.reconciler.reschedule.interval", "7 s")].into_iter().collect();
        assert_eq!(conf.get(RECONCILE_INTERVAL), Some(Duration::from_secs(7)));
        conf.put("kubernetes.operator.reconcile.interval", "8 s");
        assert_eq!(conf.get(RECONCILE_INTERVAL), Some(Duration::from_secs(8)));
        conf.set(RECONCILE_INTERVAL, "9 s");
        assert_eq!(conf.len(), 1);
    }

    #[test]
    fn an_unreadable_value_names_the_key_the_user_wrote() {
        let conf: FlinkConf =
            [("kubernetes.operator.reconciler.reschedule.interval", "24 hrs")].into_iter().collect();
        let all: Vec<String> = problems(&conf).map(|problem| problem.to_string()).collect();
        assert_eq!(
            all,
            ["Could not parse value '24 hrs' for key 'kubernetes.operator.reconciler.reschedule.interval': \
              the unit 'hrs' is not known; accepted units are d, h, min, s, ms, us and ns; write for example '24 h'"]
        );
    }

    #[test]
    fn maps_and_lists() {
        let conf: FlinkConf = [
            ("kubernetes.jobmanager.labels", "team:data,'a:b':'x,y'"),
            ("kubernetes.operator.user.artifacts.allowed-schemes", "https; s3"),
            ("pipeline.jars", "['local:///a.jar', local:///b.jar]"),
        ]
        .into_iter()
        .collect();
        let labels = conf.value(K8S_JM_LABELS);
        assert_eq!(labels.get("team").map(String::as_str), Some("data"));
        assert_eq!(labels.get("a:b").map(String::as_str), Some("x,y"));
        assert_eq!(conf.value(ARTIFACTS_ALLOWED_SCHEMES), ["https", "s3"]);
        assert_eq!(conf.value(PIPELINE_JARS), ["local:///a.jar", "local:///b.jar"]);
    }
}
