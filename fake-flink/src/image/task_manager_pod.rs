//! The TaskManager pod a JobManager creates in native mode (kubernetes-objects.md 1.5), on top of the pod template
//! it finds mounted.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

const MAIN_CONTAINER: &str = "flink-main-container";
/// Where the template lies, if there is one.
pub const TEMPLATE: &str = "/opt/flink/pod-template/taskmanager-pod-template.yaml";

/// What a JobManager knows when it asks for pods.
pub struct Maker<'a> {
    pub cluster: &'a str,
    pub namespace: &'a str,
    pub image: &'a str,
    pub conf: &'a BTreeMap<String, String>,
    pub template: Option<&'a str>,
    /// Uid of the cluster's Deployment, which owns the pod.
    pub owner: &'a str,
    /// Properties found out at run time.
    pub dynamic: &'a [(String, String)],
}

pub fn build(maker: &Maker<'_>, name: &str) -> Value {
    let conf = maker.conf;
    let mut pod = template(maker.template);
    let labels = json!({"app": maker.cluster, "component": "taskmanager", "type": "flink-native-kubernetes"});
    let metadata = object(&mut pod, "metadata");
    metadata.insert("name".into(), json!(name));
    metadata.insert("namespace".into(), json!(maker.namespace));
    extend(object_in(metadata, "labels"), &labels);
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": maker.cluster, "uid": maker.owner,
        "controller": true, "blockOwnerDeletion": true});
    metadata.insert("ownerReferences".into(), json!([owner]));
    let spec = object(&mut pod, "spec");
    spec.insert("restartPolicy".into(), json!("Never"));
    let account =
        conf.get("kubernetes.taskmanager.service-account").or(conf.get("kubernetes.service-account"));
    if let Some(account) = account {
        spec.insert("serviceAccountName".into(), json!(account));
    }
    let containers = spec.entry("containers").or_insert_with(|| json!([]));
    let containers = containers.as_array_mut().map(std::mem::take).unwrap_or_default();
    let containers = with_main_container(containers, main_container(maker, name));
    spec.insert("containers".into(), Value::Array(containers));
    pod
}

fn template(text: Option<&str>) -> Value {
    let tree: Value = serde_saphyr::from_str(text.unwrap_or("{}")).unwrap_or_else(|_| json!({}));
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": tree.get("metadata").filter(|m| m.is_object()).cloned().unwrap_or_else(|| json!({})),
        "spec": tree.get("spec").filter(|s| s.is_object()).cloned().unwrap_or_else(|| json!({}))})
}

fn main_container(maker: &Maker<'_>, name: &str) -> Value {
    let conf = maker.conf;
    let memory = conf.get("taskmanager.memory.process.size").map(|size| quantity(size));
    let cpu = conf.get("kubernetes.taskmanager.cpu.amount").or(conf.get("kubernetes.taskmanager.cpu"));
    let mut resources = Map::new();
    for (key, value) in [("memory", memory), ("cpu", cpu.cloned())] {
        if let Some(value) = value {
            resources.insert(key.to_owned(), json!(value));
        }
    }
    let slots = conf.get("taskmanager.numberOfTaskSlots").map_or("1", String::as_str);
    let dynamic: String = maker.dynamic.iter().map(|(key, value)| format!("-D{key}={value} ")).collect();
    json!({
        "name": MAIN_CONTAINER,
        "image": maker.image,
        "command": ["/docker-entrypoint.sh"],
        "args": ["bash", "-c", format!("kubernetes-taskmanager.sh {dynamic}-Dtaskmanager.resource-id={name} -D taskmanager.numberOfTaskSlots={slots} ")],
        "ports": [{"name": "taskmanager-rpc", "containerPort": 6122}],
        "resources": {"requests": resources, "limits": resources},
    })
}

/// Flink memory sizes in Kubernetes spelling, whole MiB as the real client writes them.
fn quantity(size: &str) -> String {
    let size = size.trim().to_ascii_lowercase();
    let digits: String = size.chars().take_while(char::is_ascii_digit).collect();
    let number: u64 = digits.parse().unwrap_or(0);
    let mib = match size[digits.len()..].trim() {
        "" | "b" | "bytes" => number >> 20,
        "k" | "kb" | "kib" | "kibibytes" => number >> 10,
        "g" | "gb" | "gib" | "gibibytes" => number << 10,
        _ => number,
    };
    format!("{mib}Mi")
}

fn with_main_container(mut containers: Vec<Value>, main: Value) -> Vec<Value> {
    let own = containers.iter().position(|container| container["name"] == MAIN_CONTAINER);
    match (own, main) {
        (Some(index), Value::Object(main)) => {
            if let Some(container) = containers[index].as_object_mut() {
                container.extend(main);
            }
        }
        (_, main) => containers.push(main),
    }
    containers
}

fn object<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    object_in(value.as_object_mut().expect("the pod is built as an object"), key)
}

fn object_in<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let entry = map.entry(key).or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    entry.as_object_mut().expect("just made one")
}

fn extend(map: &mut Map<String, Value>, more: &Value) {
    map.extend(more.as_object().cloned().unwrap_or_default());
}
