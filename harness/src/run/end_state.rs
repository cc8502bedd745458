//! What a run leaves behind, as far as it must be the same however requests travel and whatever they cost: what objects are
//! there, what they are meant to be and what state they say they are in. Leaves out ids, names that are drawn, times, and how
//! often something was tried.

use std::collections::BTreeMap;

use fake_kube_apiserver::Resource;
use serde_json::{Map, Value, json};

use crate::world::World;
use crate::world::kinds;

/// By kind and name, in the order of both.
pub type EndState = BTreeMap<String, Value>;

/// Reads beside the gate and the judges: the run is over.
pub fn of(world: &World) -> EndState {
    let mut end = EndState::new();
    for (kind, look) in LOOKS {
        let Some(info) = kinds::find(kind) else { continue };
        let resource = Resource::new(info.group, info.version, info.plural);
        let objects = world.api.client("end-state").list(&resource, "", "").unwrap_or_default();
        for object in objects {
            let (name, seen) = look(&object);
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let entry = end.entry(format!("{kind} {namespace}/{}", plain(&name))).or_insert(json!([]));
            if let Some(list) = entry.as_array_mut() {
                list.push(seen);
            }
        }
    }
    end.values_mut().filter_map(Value::as_array_mut).for_each(|list| list.sort_by_key(Value::to_string));
    end
}

type Look = fn(&Value) -> (String, Value);

const LOOKS: [(&str, Look); 5] = [
    ("FlinkDeployment", flink_deployment),
    ("Deployment", deployment),
    ("Service", |object| (name(object), object["spec"]["ports"].clone())),
    ("ConfigMap", config_map),
    ("Pod", pod),
];

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn flink_deployment(object: &Value) -> (String, Value) {
    let status = &object["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<Value> =
        conditions.map(|one| json!([one["type"], one["status"], one["reason"]])).collect();
    let mut spec = object["spec"].clone();
    // Its name is drawn, and how many checkpoints there were before is a matter of moments.
    if let Some(path) = spec.pointer_mut("/job/initialSavepointPath") {
        *path = json!("#");
    }
    let seen = json!({
        "generation": object["metadata"]["generation"], "finalizers": object["metadata"]["finalizers"],
        "spec": spec, "observedGeneration": status["observedGeneration"],
        "lifecycleState": status["lifecycleState"], "jobManager": status["jobManagerDeploymentStatus"],
        "job": status["jobStatus"]["state"], "reconciliation": status["reconciliationStatus"]["state"],
        "hasError": !status["error"].is_null(), "conditions": conditions,
        "lastSavepoint": status["jobStatus"]["savepointInfo"]["lastSavepoint"]["triggerType"],
    });
    (name(object), seen)
}

fn deployment(object: &Value) -> (String, Value) {
    let seen = json!({"replicas": object["spec"]["replicas"], "ready": object["status"]["readyReplicas"],
        "image": object["spec"]["template"]["spec"]["containers"][0]["image"]});
    (name(object), seen)
}

/// What HA maps hold is Flink's, and moves; that they are there counts.
fn config_map(object: &Value) -> (String, Value) {
    let name = name(object);
    let is_configuration = !name.ends_with("-config-map") && !name.starts_with("kube-root-ca");
    let keys = object["data"].as_object().into_iter().flatten().map(|(key, _)| (plain(key), Value::Null));
    let seen = if is_configuration { Value::Object(keys.collect::<Map<_, _>>()) } else { Value::Null };
    (name, seen)
}

fn pod(object: &Value) -> (String, Value) {
    let labels = &object["metadata"]["labels"];
    let text = |key: &str| labels[key].as_str().unwrap_or_default().to_owned();
    (format!("{} {}", text("app"), text("component")), object["status"]["phase"].clone())
}

/// Ids are `#`: six digits of hexadecimal and more.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in text.chars().chain(std::iter::once(' ')) {
        if c.is_ascii_hexdigit() {
            run.push(c);
            continue;
        }
        let is_id = run.len() >= 6 && run.bytes().any(|b| b.is_ascii_digit());
        out.push_str(if is_id { "#" } else { &run });
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_left_out_and_words_are_not() {
        assert_eq!(plain("app-00000000000000a1-config-map"), "app-#-config-map");
        assert_eq!(plain("app-facade-2"), "app-facade-2");
        assert_eq!(plain("cafe1234"), "#");
        assert_eq!(plain(""), "");
    }
}
