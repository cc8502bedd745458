//! The JobManager Deployment (kubernetes-objects.md 1.2).

use std::collections::BTreeMap;

use drey_api::{FlinkDeployment, FlinkDeploymentSpec};
use serde_json::{Map, Value, json};

use super::config_map::{POD_TEMPLATE_FILE, flink_config_name, pod_template_name};
use super::pod_template::{self, ArrayMerge, MAIN_CONTAINER, as_object, list, object};
use super::{labels, memory, owner, ports};
use crate::config::effective::decimal;
use crate::config::{FlinkConf, keys};

const POD_TEMPLATE_DIR: &str = "/opt/flink/pod-template";
const ARTIFACTS_DIR: &str = "/opt/flink/artifacts";

/// What a Deployment is made from.
pub(super) struct Parts<'a> {
    pub cr: &'a FlinkDeployment,
    pub spec: &'a FlinkDeploymentSpec,
    pub conf: &'a FlinkConf,
    /// `kubernetes-application` or `kubernetes-session`.
    pub command: &'a str,
    /// Files of the configuration ConfigMap, in order.
    pub config_files: Vec<String>,
    pub has_task_manager_template: bool,
}

impl Parts<'_> {
    pub fn build(&self) -> Value {
        let name = self.cr.name();
        let labels = self.labels();
        let annotations = self.conf.value(keys::K8S_JM_ANNOTATIONS);
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": name,
                "namespace": self.cr.namespace(),
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": owner(self.cr),
            },
            "spec": {
                "replicas": self.conf.value(keys::K8S_JM_REPLICAS),
                "selector": {"matchLabels": labels::job_manager(name)},
                "template": self.template(labels, annotations),
            },
        })
    }

    /// Labels of the cluster win over the user's: the selector relies on them.
    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.conf.value(keys::K8S_JM_LABELS);
        labels.extend(labels::job_manager(self.cr.name()));
        labels
    }

    fn template(&self, labels: BTreeMap<String, String>, annotations: BTreeMap<String, String>) -> Value {
        let mut template = json!({"metadata": {}});
        pod_template::merge(
            &mut template,
            &pod_template::job_manager(self.spec, self.conf),
            ArrayMerge::ByIndex,
        );
        let metadata = object(as_object(&mut template), "metadata");
        // A Deployment names its pods itself; a name in the template would be rejected by nobody and mean nothing.
        metadata.remove("name");
        metadata.remove("namespace");
        extend_texts(object(metadata, "labels"), labels);
        extend_texts(object(metadata, "annotations"), annotations);
        self.pod(object(as_object(&mut template), "spec"));
        self.container(pod_template::main_container(&mut template));
        move_main_container_last(&mut template);
        template
    }

    fn pod(&self, pod: &mut Map<String, Value>) {
        let account = self.conf.value(keys::K8S_JM_SERVICE_ACCOUNT);
        pod.insert("serviceAccount".to_owned(), json!(account));
        pod.insert("serviceAccountName".to_owned(), json!(account));
        let host_network = self.conf.value(keys::K8S_HOST_NETWORK);
        if self.conf.has(keys::K8S_HOST_NETWORK) || !pod.contains_key("hostNetwork") {
            pod.insert("hostNetwork".to_owned(), json!(host_network));
        }
        let dns = if host_network { "ClusterFirstWithHostNet" } else { "ClusterFirst" };
        pod.entry("dnsPolicy").or_insert_with(|| json!(dns));
        for secret in self.conf.value(keys::K8S_IMAGE_PULL_SECRETS) {
            upsert(list(pod, "imagePullSecrets"), "name", json!({"name": secret}));
        }
        let selector = self.conf.value(keys::K8S_JM_NODE_SELECTOR);
        if !selector.is_empty() {
            extend_texts(object(pod, "nodeSelector"), selector);
        }
        let tolerations = maps(&self.conf.value(keys::K8S_JM_TOLERATIONS));
        if !tolerations.is_empty() {
            list(pod, "tolerations").extend(tolerations.into_iter().map(|toleration| json!(toleration)));
        }
        let volumes = list(pod, "volumes");
        upsert(volumes, "name", json!({"name": "user-artifacts-volume", "emptyDir": {}}));
        if self.has_task_manager_template {
            upsert(
                volumes,
                "name",
                json!({
                    "name": "pod-template-volume",
                    "configMap": {
                        "name": pod_template_name(self.cr.name()),
                        "items": [{"key": POD_TEMPLATE_FILE, "path": POD_TEMPLATE_FILE}],
                    },
                }),
            );
        }
        for secret in self.conf.value(keys::K8S_SECRETS).keys() {
            let name = format!("{secret}-volume");
            upsert(volumes, "name", json!({"name": name, "secret": {"secretName": secret}}));
        }
        let items: Vec<Value> =
            self.config_files.iter().map(|file| json!({"key": file, "path": file})).collect();
        upsert(
            volumes,
            "name",
            json!({
                "name": "flink-config-volume",
                "configMap": {"name": flink_config_name(self.cr.name()), "items": items},
            }),
        );
    }

    fn container(&self, container: &mut Map<String, Value>) {
        let conf = self.conf;
        container.insert("command".to_owned(), json!([conf.value(keys::K8S_ENTRY_PATH)]));
        // Flink appends its (no) arguments to the command, hence the blank at the end.
        let script = format!("kubernetes-jobmanager.sh {} ", self.command);
        container.insert("args".to_owned(), json!(["bash", "-c", script]));
        if let Some(image) = conf.get(keys::K8S_IMAGE) {
            container.insert("image".to_owned(), json!(image));
        }
        let policy = conf.get(keys::K8S_IMAGE_PULL_POLICY);
        if conf.has(keys::K8S_IMAGE_PULL_POLICY) || !container.contains_key("imagePullPolicy") {
            container.insert("imagePullPolicy".to_owned(), json!(policy));
        }
        self.environment(list(container, "env"));
        self.ports(list(container, "ports"));
        self.resources(object(container, "resources"));
        self.mounts(list(container, "volumeMounts"));
    }

    fn environment(&self, env: &mut Vec<Value>) {
        for (name, value) in self.conf.with_prefix("containerized.master.env.") {
            upsert(env, "name", json!({"name": name, "value": value}));
        }
        for secret in maps(&self.conf.value(keys::K8S_ENV_SECRET_KEY_REF)) {
            let (name, secret_name, key) = (secret.get("env"), secret.get("secret"), secret.get("key"));
            let reference = json!({"secretKeyRef": {"name": secret_name, "key": key}});
            upsert(env, "name", json!({"name": name, "valueFrom": reference}));
        }
        let pod_ip = json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}});
        upsert(env, "name", json!({"name": "_POD_IP_ADDRESS", "valueFrom": pod_ip}));
        if let Some(directory) = self.conf.get(keys::FLINK_LOG_DIR) {
            upsert(env, "name", json!({"name": "FLINK_LOG_DIR", "value": directory}));
        }
    }

    fn ports(&self, container_ports: &mut Vec<Value>) {
        for (name, port) in [
            ("rest", ports::rest_bind(self.conf)),
            ("jobmanager-rpc", ports::job_manager_rpc(self.conf)),
            ("blobserver", ports::blob_server(self.conf)),
        ] {
            upsert(container_ports, "name", json!({"name": name, "containerPort": port}));
        }
    }

    fn resources(&self, resources: &mut Map<String, Value>) {
        let cpu = self.conf.value(keys::K8S_JM_CPU);
        let cpu_limit = cpu * self.conf.value(keys::K8S_JM_CPU_LIMIT_FACTOR);
        let memory = memory::job_manager_process(self.conf);
        let memory_limit = memory as f64 * self.conf.value(keys::K8S_JM_MEMORY_LIMIT_FACTOR);
        for (kind, cpu, memory) in [("requests", cpu, memory), ("limits", cpu_limit, memory_limit as u64)] {
            let amounts = object(resources, kind);
            amounts.insert("cpu".to_owned(), json!(decimal(cpu)));
            amounts.insert("memory".to_owned(), json!(format!("{}Mi", memory >> 20)));
        }
    }

    fn mounts(&self, mounts: &mut Vec<Value>) {
        upsert(mounts, "name", json!({"name": "user-artifacts-volume", "mountPath": ARTIFACTS_DIR}));
        if self.has_task_manager_template {
            upsert(mounts, "name", json!({"name": "pod-template-volume", "mountPath": POD_TEMPLATE_DIR}));
        }
        for (secret, path) in self.conf.value(keys::K8S_SECRETS) {
            upsert(mounts, "name", json!({"name": format!("{secret}-volume"), "mountPath": path}));
        }
        let directory = self.conf.value(keys::FLINK_CONF_DIR);
        upsert(mounts, "name", json!({"name": "flink-config-volume", "mountPath": directory}));
    }
}

/// Adds `item`, or puts it in the place of the one with the same `key`: configuration wins over the template, and a
/// name given twice would be refused by the API server.
fn upsert(items: &mut Vec<Value>, key: &str, item: Value) {
    match items.iter_mut().find(|existing| existing[key] == item[key]) {
        Some(existing) => *existing = item,
        None => items.push(item),
    }
}

fn extend_texts(map: &mut Map<String, Value>, entries: BTreeMap<String, String>) {
    map.extend(entries.into_iter().map(|(key, value)| (key, Value::String(value))));
}

/// `k:v,k2:v2;k:v..`: a list of maps, as tolerations and secret references are written.
fn maps(text: &str) -> Vec<BTreeMap<String, String>> {
    let parsed = text.split(';').filter_map(|part| {
        <BTreeMap<String, String> as crate::config::ConfValue>::parse(part).ok().filter(|map| !map.is_empty())
    });
    parsed.collect()
}

fn move_main_container_last(template: &mut Value) {
    let containers = list(object(as_object(template), "spec"), "containers");
    if let Some(position) = containers.iter().position(|container| container["name"] == MAIN_CONTAINER) {
        let main = containers.remove(position);
        containers.push(main);
    }
}
