//! The two Services of a cluster: how TaskManagers find the JobManager, and the REST endpoint.

use drey_api::FlinkDeployment;
use drey_api::constants::rest_service_name;
use serde_json::{Value, json};

use super::{labels, ports};
use crate::config::FlinkConf;
use crate::config::keys::{self, RestServiceType};

/// Headless; needed only without HA, where TaskManagers have no other way to find the JobManager.
pub(super) fn internal(cr: &FlinkDeployment, conf: &FlinkConf) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": cr.name(), "namespace": cr.namespace(), "labels": labels::common(cr.name())},
        "spec": {
            "clusterIP": "None",
            "ports": [
                {"name": "jobmanager-rpc", "port": ports::job_manager_rpc(conf)},
                {"name": "blobserver", "port": ports::blob_server(conf)},
            ],
            "selector": labels::job_manager(cr.name()),
        },
    })
}

pub(super) fn rest(cr: &FlinkDeployment, conf: &FlinkConf) -> Value {
    let (kind, headless) = match conf.value(keys::K8S_REST_SERVICE_TYPE) {
        RestServiceType::ClusterIp => ("ClusterIP", false),
        RestServiceType::HeadlessClusterIp => ("ClusterIP", true),
        RestServiceType::NodePort => ("NodePort", false),
        RestServiceType::LoadBalancer => ("LoadBalancer", false),
    };
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": rest_service_name(cr.name()),
            "namespace": cr.namespace(),
            "labels": labels::common(cr.name()),
        },
        "spec": {
            "type": kind,
            "ports": [{"name": "rest", "port": ports::rest(conf), "targetPort": ports::rest_bind(conf)}],
            "selector": labels::job_manager(cr.name()),
        },
    });
    if headless {
        service["spec"]["clusterIP"] = json!("None");
    }
    let annotations = conf.value(keys::K8S_REST_SERVICE_ANNOTATIONS);
    if !annotations.is_empty() {
        service["metadata"]["annotations"] = json!(annotations);
    }
    service
}
