//! Labels by which the parts of a cluster find each other, and are found.

use std::collections::BTreeMap;

use drey_api::constants::{
    APP_LABEL, COMPONENT_LABEL, JOB_MANAGER_COMPONENT, NATIVE_TYPE, TASK_MANAGER_COMPONENT, TYPE_LABEL,
};

pub(super) fn common(cluster_id: &str) -> BTreeMap<String, String> {
    [(APP_LABEL, cluster_id), (TYPE_LABEL, NATIVE_TYPE)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

pub(super) fn job_manager(cluster_id: &str) -> BTreeMap<String, String> {
    with_component(cluster_id, JOB_MANAGER_COMPONENT)
}

fn with_component(cluster_id: &str, component: &str) -> BTreeMap<String, String> {
    let mut labels = common(cluster_id);
    labels.insert(COMPONENT_LABEL.to_owned(), component.to_owned());
    labels
}

/// Label selector of the JobManager pods.
pub fn job_manager_selector(cluster_id: &str) -> String {
    text(&with_component(cluster_id, JOB_MANAGER_COMPONENT))
}

/// Label selector of the TaskManager pods.
pub fn task_manager_selector(cluster_id: &str) -> String {
    text(&with_component(cluster_id, TASK_MANAGER_COMPONENT))
}

/// Label selector of the HA ConfigMaps. The autoscaler's ConfigMap carries the same labels and is none of them.
pub fn ha_selector(cluster_id: &str) -> String {
    format!("{},{COMPONENT_LABEL}!=autoscaler", text(&common(cluster_id)))
}

fn text(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}
