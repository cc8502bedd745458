//! What an installed cluster has beside its namespaces (kube-api.md 2.15; the StorageClass as `kind` installs it, the
//! priorities as pkg/apis/scheduling/v1/helpers.go). Leaves out nodes, which are knobs, and add-ons.

use serde_json::{Value, json};

use crate::controllers::api_services;
use crate::controllers::claims::DEFAULT_CLASS;
use crate::view::resource as r;

/// Resources and objects, in the order they are made.
pub fn all() -> Vec<(&'static str, Value)> {
    let node = "Used for system critical pods that must not be moved from their current node.";
    let cluster = "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.";
    let mut all = vec![
        (r::PRIORITY_CLASSES, priority_class("system-node-critical", 2_000_001_000, node)),
        (r::PRIORITY_CLASSES, priority_class("system-cluster-critical", 2_000_000_000, cluster)),
        (r::STORAGE_CLASSES, standard_class()),
    ];
    all.extend(api_services::built_in().map(|service| (r::API_SERVICES, service)));
    all
}

pub fn standard_class() -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": "rancher.io/local-path", "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer"})
}

fn priority_class(name: &str, value: i64, about: &str) -> Value {
    json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
        "value": value, "description": about, "preemptionPolicy": "PreemptLowerPriority"})
}
