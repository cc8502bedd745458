//! The configuration that holds for one cluster (reconciler.md 2.6, config.md 4).
//!
//! `deploy` is what a cluster is created with, `observe` what the operator talks to a running one by. Apache's
//! operator passes pod templates and log files through temporary files named in the configuration; here the objects
//! are built from the spec directly, so those keys do not exist.

use std::collections::BTreeMap;

use drey_api::constants::GENERATION_ANNOTATION;
use drey_api::{
    DeploymentMode, FlinkDeployment, FlinkDeploymentSpec, FlinkSessionJob, FlinkVersion, JobSpec, UpgradeMode,
};

use super::conf::{FlinkConf, Key};
use super::keys;
use super::operator_config::OperatorConfig;
use super::resources::{ProcessResources, process_resources};
use crate::upgrade::HighAvailability;

/// What `spec` is to be deployed with. Identity (name, namespace, generation) comes from `cr`.
pub fn deploy(operator: &OperatorConfig, cr: &FlinkDeployment, spec: &FlinkDeploymentSpec) -> FlinkConf {
    let mut conf = cluster(operator, cr, spec);
    let mut annotations = conf.value(keys::K8S_JM_ANNOTATIONS);
    annotations.insert(GENERATION_ANNOTATION.to_owned(), cr.generation().to_string());
    conf.set(keys::K8S_JM_ANNOTATIONS, encode_map(&annotations));
    conf
}

/// What holds for the cluster running `deployed` (the last reconciled spec, or the stable one after a rollback).
///
/// Operator and autoscaler keys come from the current spec alone, so that a changed or removed one takes effect
/// without a restart. Apache's operator only adds the current ones and keeps what the deployed spec said, so that
/// removing an operator key does nothing until the next deployment. The savepoint directory is the current one, if any.
pub fn observe(operator: &OperatorConfig, cr: &FlinkDeployment, deployed: &FlinkDeploymentSpec) -> FlinkConf {
    let current = user(operator, cr, &cr.spec);
    let mut conf = cluster(operator, cr, deployed);
    conf.retain(|key| !is_for_operator(key));
    conf.extend(
        current.iter().filter(|(key, _)| is_for_operator(key)).map(|(k, v)| (k.to_owned(), v.to_owned())),
    );
    if let Some(directory) = current.text(keys::SAVEPOINT_DIR) {
        conf.set(keys::SAVEPOINT_DIR, directory);
    }
    conf
}

/// What holds for a session job: the observe configuration of its cluster, the job's own on top. Operator keys of the
/// cluster apply to its jobs unless they say otherwise (config.md 4.3).
pub fn session_job(
    operator: &OperatorConfig,
    cluster: &FlinkDeployment,
    deployed_cluster: &FlinkDeploymentSpec,
    job: &FlinkSessionJob,
) -> FlinkConf {
    let mut conf = observe(operator, cluster, deployed_cluster);
    overlay(&mut conf, job.spec.flink_configuration.flatten());
    if let Some(spec) = &job.spec.job {
        job_settings(&mut conf, job.name(), spec);
        conf.set(keys::PARALLELISM, spec.parallelism.to_string());
    }
    conf
}

/// Defaults overlaid with the user's configuration, nothing derived: what validation looks at.
pub fn user(operator: &OperatorConfig, cr: &FlinkDeployment, spec: &FlinkDeploymentSpec) -> FlinkConf {
    let mut conf = operator.defaults_for(cr.namespace(), spec.flink_version);
    overlay(&mut conf, spec.flink_configuration.flatten());
    conf
}

/// What Flink is given: without the keys meant for the operator.
pub fn shipped(conf: &FlinkConf) -> FlinkConf {
    let mut shipped = conf.clone();
    shipped.retain(|key| !is_for_operator(key));
    shipped
}

pub fn is_for_operator(key: &str) -> bool {
    key.starts_with(keys::OPERATOR_PREFIX) || key.starts_with(keys::AUTOSCALER_PREFIX)
}

/// Entries of a later layer, where a key given under one name displaces the same key under its other names: a
/// default `state.savepoints.dir` must not linger beside the user's `execution.checkpointing.savepoint-dir`, nor the
/// other way round.
pub(crate) fn overlay(conf: &mut FlinkConf, layer: BTreeMap<String, String>) {
    for name in layer.keys() {
        for known in keys::ALL.iter().filter(|known| !known.older.is_empty() && known.is_named(name)) {
            if SHARED_FALLBACKS.contains(&name.as_str()) {
                continue;
            }
            for other in std::iter::once(&known.name).chain(known.older).filter(|other| *other != name) {
                if !SHARED_FALLBACKS.contains(other) && !layer.contains_key(*other) {
                    conf.remove(other);
                }
            }
        }
    }
    conf.extend(layer);
}

/// Keys that stand for themselves although others fall back to them.
const SHARED_FALLBACKS: [&str; 1] = ["kubernetes.service-account"];

fn cluster(operator: &OperatorConfig, cr: &FlinkDeployment, spec: &FlinkDeploymentSpec) -> FlinkConf {
    let mut conf = user(operator, cr, spec);
    conf.set_default(keys::K8S_REST_SERVICE_TYPE, "ClusterIP");
    conf.set_default(keys::WEB_CANCEL_ENABLE, "false");
    if let Some(version) = spec.flink_version {
        conf.set(keys::INTERNAL_FLINK_VERSION, version.to_string());
    }
    image(&mut conf, spec);
    job_manager(&mut conf, spec);
    task_manager(&mut conf, spec);
    target(&mut conf, cr, spec);
    conf.set(keys::K8S_NAMESPACE, cr.namespace());
    conf.set(keys::K8S_CLUSTER_ID, cr.name());
    if HighAvailability::of(&conf).is_active() {
        conf.set(keys::HA_CLUSTER_ID, cr.name());
    }
    conf
}

fn image(conf: &mut FlinkConf, spec: &FlinkDeploymentSpec) {
    if let Some(image) = &spec.image {
        let old = spec.flink_version.is_some_and(|version| version < FlinkVersion::V1_17);
        conf.unset(keys::K8S_IMAGE);
        let name = if old { "kubernetes.container.image" } else { keys::K8S_IMAGE.name };
        conf.put(name, image);
    }
    if let Some(policy) = &spec.image_pull_policy {
        conf.set(keys::K8S_IMAGE_PULL_POLICY, policy);
    }
    if let Some(account) = &spec.service_account {
        conf.put(keys::K8S_SERVICE_ACCOUNT.name, account);
    }
}

fn job_manager(conf: &mut FlinkConf, spec: &FlinkDeploymentSpec) {
    let Some(job_manager) = &spec.job_manager else { return };
    let resources = process_resources(job_manager.resource.as_ref(), job_manager.resources.as_ref());
    if let Some(bytes) = resources.memory_bytes {
        conf.set(keys::JM_PROCESS_MEMORY, bytes_text(bytes));
    }
    cpu(conf, "jobmanager", spec, &resources);
    limit_factors(conf, "jobmanager", &resources);
    if job_manager.replicas > 0 {
        conf.set(keys::K8S_JM_REPLICAS, job_manager.replicas.to_string());
    }
}

fn task_manager(conf: &mut FlinkConf, spec: &FlinkDeploymentSpec) {
    let Some(task_manager) = &spec.task_manager else { return };
    let resources = process_resources(task_manager.resource.as_ref(), task_manager.resources.as_ref());
    if let Some(bytes) = resources.memory_bytes {
        conf.set(keys::TM_PROCESS_MEMORY, bytes_text(bytes));
    }
    cpu(conf, "taskmanager", spec, &resources);
    limit_factors(conf, "taskmanager", &resources);
    if let Some(replicas) = task_manager.replicas.filter(|replicas| *replicas > 0) {
        conf.set(keys::K8S_TM_REPLICAS, replicas.to_string());
    }
}

fn cpu(conf: &mut FlinkConf, process: &str, spec: &FlinkDeploymentSpec, resources: &ProcessResources) {
    let Some(cpu) = resources.cpu else { return };
    let legacy = format!("kubernetes.{process}.cpu");
    conf.remove(&legacy);
    conf.put(format!("kubernetes.{process}.cpu.amount"), decimal(cpu));
    if spec.flink_version.is_some_and(|version| version < FlinkVersion::V1_17) {
        conf.put(legacy, decimal(cpu));
    }
}

fn limit_factors(conf: &mut FlinkConf, process: &str, resources: &ProcessResources) {
    for (name, factor) in [("cpu", resources.cpu_limit_factor), ("memory", resources.memory_limit_factor)] {
        if let Some(factor) = factor {
            conf.put(format!("kubernetes.{process}.{name}.limit-factor"), decimal(factor));
        }
    }
}

fn target(conf: &mut FlinkConf, cr: &FlinkDeployment, spec: &FlinkDeploymentSpec) {
    let standalone = spec.deployment_mode() == DeploymentMode::Standalone;
    let Some(job) = &spec.job else {
        conf.set(keys::EXECUTION_TARGET, if standalone { "remote" } else { "kubernetes-session" });
        if standalone {
            conf.put("kubernetes.internal.cluster-mode", "SESSION");
        }
        return;
    };
    conf.set(keys::EXECUTION_TARGET, if standalone { "remote" } else { "kubernetes-application" });
    let parallelism = parallelism(conf, spec, job);
    conf.set(keys::PARALLELISM, parallelism.to_string());
    if standalone {
        conf.put("kubernetes.internal.cluster-mode", "APPLICATION");
        if !conf.has(keys::K8S_TM_REPLICAS) {
            let slots = conf.value(keys::TASK_SLOTS).max(1);
            conf.set(keys::K8S_TM_REPLICAS, parallelism.max(1).div_ceil_positive(slots).to_string());
        }
    }
    if let Some(uri) = &job.jar_uri {
        match standalone {
            false => conf.set(keys::PIPELINE_JARS, encode_list(std::slice::from_ref(uri))),
            true => conf.set(keys::PIPELINE_CLASSPATHS, encode_list(&[local_as_file(uri)])),
        }
    }
    conf.set(keys::SHUTDOWN_ON_APPLICATION_FINISH, "false");
    conf.set_default(keys::SUBMIT_FAILED_JOB_ON_APPLICATION_ERROR, "true");
    job_settings(conf, cr.name(), job);
}

/// Settings of a job, the same for an application and for a session job (config.md 4.1).
pub fn job_settings(conf: &mut FlinkConf, resource_name: &str, job: &JobSpec) {
    conf.set_default(keys::PIPELINE_NAME, resource_name);
    if job.upgrade_mode == UpgradeMode::LastState {
        conf.set_default(keys::CHECKPOINTING_INTERVAL, "5 min");
    }
    conf.set_default(keys::EXTERNALIZED_CHECKPOINT_RETENTION, "RETAIN_ON_CANCELLATION");
    if let Some(allow) = job.allow_non_restored_state {
        set_recovery(conf, keys::SAVEPOINT_IGNORE_UNCLAIMED, &allow.to_string());
    }
    if let Some(class) = &job.entry_class {
        conf.set(keys::INTERNAL_MAIN_CLASS, class);
    }
    if !job.args.is_empty() {
        conf.set(keys::INTERNAL_PROGRAM_ARGS, encode_list(&job.args));
    }
}

/// Sets an option of state recovery under the name the cluster's version knows: Flink 2 renamed them, and a nested
/// file must not hold both names.
pub(crate) fn set_recovery<T>(conf: &mut FlinkConf, key: Key<T>, value: &str) {
    let version = conf.get(keys::INTERNAL_FLINK_VERSION).and_then(|text| text.parse::<FlinkVersion>().ok());
    let renamed = key.older.iter().find(|name| name.starts_with("execution.state-recovery."));
    conf.unset(key);
    match renamed {
        Some(name) if version.is_some_and(|version| version >= FlinkVersion::V2_0) => conf.put(*name, value),
        _ => conf.put(key.name, value),
    }
}

fn parallelism(conf: &FlinkConf, spec: &FlinkDeploymentSpec, job: &JobSpec) -> i64 {
    let slots = conf.value(keys::TASK_SLOTS).max(1);
    if let Some(replicas) = spec.task_manager.as_ref().and_then(|tm| tm.replicas) {
        return replicas.saturating_mul(slots);
    }
    if spec.deployment_mode() == DeploymentMode::Standalone {
        let overrides = conf.value(keys::PARALLELISM_OVERRIDES);
        let largest = overrides.values().filter_map(|text| text.trim().parse::<i64>().ok()).max();
        if let Some(largest) = largest.filter(|largest| *largest > 0) {
            return largest;
        }
    }
    job.parallelism
}

trait DivCeil {
    fn div_ceil_positive(self, by: i64) -> i64;
}

impl DivCeil for i64 {
    /// For positive numbers: how many of `by` cover `self`.
    fn div_ceil_positive(self, by: i64) -> i64 {
        self / by + i64::from(self % by != 0)
    }
}

/// TaskManagers a job of the configured parallelism fills.
pub fn task_manager_count(conf: &FlinkConf) -> i64 {
    conf.value(keys::PARALLELISM).max(1).div_ceil_positive(conf.value(keys::TASK_SLOTS).max(1))
}

fn local_as_file(uri: &str) -> String {
    uri.strip_prefix("local:").map_or_else(|| uri.to_owned(), |rest| format!("file:{rest}"))
}

fn bytes_text(bytes: u64) -> String {
    format!("{bytes} bytes")
}

/// Java prints whole doubles with a fraction, and objects in the field carry `1.0`.
pub(crate) fn decimal(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.1}") } else { number.to_string() }
}

/// `a;b`; elements with a separator, a quote or blanks at an end are quoted.
pub(crate) fn encode_list(items: &[String]) -> String {
    let encoded: Vec<String> = items.iter().map(|item| quoted_if_needed(item, &[';'])).collect();
    encoded.join(";")
}

/// `k:v,k2:v2`.
pub(crate) fn encode_map(map: &BTreeMap<String, String>) -> String {
    let quote = |text: &String| quoted_if_needed(text, &[',', ':']);
    let encoded: Vec<String> =
        map.iter().map(|(key, value)| format!("{}:{}", quote(key), quote(value))).collect();
    encoded.join(",")
}

fn quoted_if_needed(text: &str, separators: &[char]) -> String {
    let blank = text.is_empty() || text.trim() != text;
    let looks_like_yaml = text.starts_with(['[', '{']);
    let plain = !blank && !looks_like_yaml && !text.contains(['\'', '"']) && !text.contains(separators);
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}
