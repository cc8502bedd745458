//! The Kubernetes objects of a cluster in native mode (kubernetes-objects.md 1, 4, 5).
//!
//! Values in, objects out: nothing is created here. Not here yet: standalone mode, Hadoop and Kerberos mounts,
//! Ingress. TaskManager pods and HA ConfigMaps are made by Flink itself.

mod config_map;
mod deployment;
mod labels;
mod log_files;
mod memory;
mod pod_template;
mod ports;
mod services;

use std::fmt;

use drey_api::constants::{API_VERSION, LAST_STATE_SAVEPOINT_PATH};
use drey_api::{DeploymentMode, FlinkDeployment, FlinkDeploymentSpec};
use serde_json::{Value, json};

use crate::config::{FlinkConf, effective, keys};
use crate::upgrade::{HighAvailability, job_result_store_path};

pub use config_map::overlapping_keys;
pub use labels::{ha_selector, job_manager_selector, task_manager_selector};
pub(crate) use log_files::{LOG4J, LOGBACK};
pub use memory::usage;
pub use pod_template::{ArrayMerge, merge};

/// What one deployment is told besides its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeployOptions {
    /// Where the job starts from; `None` starts empty (or from what HA metadata hold).
    pub savepoint_path: Option<String>,
    /// 32 hexadecimal digits; not needed for a session cluster.
    pub job_id: String,
    /// Makes the job result store of this deployment its own; the same when the deployment is repeated.
    pub job_result_store_id: String,
}

impl DeployOptions {
    /// Restore from HA metadata, and fail rather than start empty should they be gone.
    pub fn last_state(mut self) -> Self {
        self.savepoint_path = Some(LAST_STATE_SAVEPOINT_PATH.to_owned());
        self
    }
}

/// Why there are no objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectsError {
    /// Flink 2 reads nested YAML, where a key cannot be both a value and a parent.
    OverlappingKeys { shorter: String, longer: String },
    /// The mode is not supported.
    Standalone,
}

impl fmt::Display for ObjectsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverlappingKeys { shorter, longer } => write!(
                f,
                "Overlapping key prefixes detected ({shorter} -> {longer}), please replace with Flink v2 compatible, non-deprecated keys."
            ),
            Self::Standalone => f.write_str(
                "Clusters in standalone mode are not supported yet, remove spec.mode or set it to native",
            ),
        }
    }
}

impl std::error::Error for ObjectsError {}

/// The objects of one cluster. The Deployment comes first; it owns the others, which need its uid.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterObjects {
    pub deployment: Value,
    dependents: Vec<Value>,
}

impl ClusterObjects {
    /// Services and ConfigMaps in the order they are created, owned by the Deployment of the given uid.
    pub fn dependents(&self, deployment_uid: &str) -> Vec<Value> {
        let owner = json!([{
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": self.deployment["metadata"]["name"],
            "uid": deployment_uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
        let owned = self.dependents.iter().cloned().map(|mut object| {
            object["metadata"]["ownerReferences"] = owner.clone();
            object
        });
        owned.collect()
    }
}

/// A cluster that runs the job of `spec`. `conf` is the deploy configuration of `spec`.
pub fn application_cluster(
    cr: &FlinkDeployment,
    spec: &FlinkDeploymentSpec,
    conf: &FlinkConf,
    options: &DeployOptions,
) -> Result<ClusterObjects, ObjectsError> {
    let mut conf = launch_configuration(conf);
    conf.set(
        keys::INTERNAL_ENTRYPOINT_CLASS,
        format!("{ENTRYPOINTS}.KubernetesApplicationClusterEntrypoint"),
    );
    conf.set(keys::INTERNAL_JOB_ID, &options.job_id);
    match &options.savepoint_path {
        Some(path) => effective::set_recovery(&mut conf, keys::SAVEPOINT_PATH, path),
        // Whatever the user set here would be restored from on every deployment, years later too.
        None => conf.unset(keys::SAVEPOINT_PATH),
    }
    if let Some(path) = job_result_store_path(&conf, cr.name(), &options.job_result_store_id) {
        conf.set_default(keys::JOB_RESULT_STORE_DELETE_ON_COMMIT, "false");
        conf.set(keys::JOB_RESULT_STORE_PATH, path);
    }
    cluster(cr, spec, &conf, "kubernetes-application")
}

/// A cluster jobs are submitted to.
pub fn session_cluster(
    cr: &FlinkDeployment,
    spec: &FlinkDeploymentSpec,
    conf: &FlinkConf,
) -> Result<ClusterObjects, ObjectsError> {
    let mut conf = launch_configuration(conf);
    conf.set(keys::INTERNAL_ENTRYPOINT_CLASS, format!("{ENTRYPOINTS}.KubernetesSessionClusterEntrypoint"));
    cluster(cr, spec, &conf, "kubernetes-session")
}

const ENTRYPOINTS: &str = "org.apache.flink.kubernetes.entrypoint";

/// The configuration as Flink's own client completes it before it launches a cluster.
fn launch_configuration(conf: &FlinkConf) -> FlinkConf {
    let mut conf = conf.clone();
    ports::fix(&mut conf);
    if HighAvailability::of(&conf).is_active() {
        // Every JobManager is found through the HA services; a fixed address would point at none of them.
        conf.unset(keys::JM_RPC_ADDRESS);
    } else {
        let address = format!("{}.{}", conf.value(keys::K8S_CLUSTER_ID), conf.value(keys::K8S_NAMESPACE));
        conf.set(keys::JM_RPC_ADDRESS, address);
    }
    conf
}

fn cluster(
    cr: &FlinkDeployment,
    spec: &FlinkDeploymentSpec,
    conf: &FlinkConf,
    command: &str,
) -> Result<ClusterObjects, ObjectsError> {
    if spec.deployment_mode() == DeploymentMode::Standalone {
        return Err(ObjectsError::Standalone);
    }
    let logs = log_files::of(spec);
    let task_manager_template = pod_template::task_manager(spec, conf);
    let shipped = effective::shipped(conf);
    let file = config_map::ConfigurationFile::of(spec.flink_version, &shipped)?;
    let mut dependents = Vec::new();
    if !HighAvailability::of(conf).is_active() {
        dependents.push(services::internal(cr, conf));
    }
    dependents.push(services::rest(cr, conf));
    dependents.push(config_map::flink_config(cr, &logs, &file));
    dependents.extend(task_manager_template.as_ref().map(|template| config_map::pod_template(cr, template)));
    let deployment = deployment::Parts {
        cr,
        spec,
        conf,
        command,
        config_files: config_map::mounted_files(&logs, &file),
        has_task_manager_template: task_manager_template.is_some(),
    };
    Ok(ClusterObjects { deployment: deployment.build(), dependents })
}

/// The custom resource as owner of what is made for it.
fn owner(cr: &FlinkDeployment) -> Value {
    json!([{
        "apiVersion": API_VERSION,
        "kind": FlinkDeployment::KIND,
        "name": cr.name(),
        "uid": cr.uid(),
        "controller": false,
        "blockOwnerDeletion": true,
    }])
}
