//! The Endpoints controller: the addresses behind a Service, ready and not ready (kube-api.md 3.4, wl-service).
//! Also what `endpoint_slices` and in-process dialling share: which pods belong, and their ports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::deployment::ACTOR;
use super::{Happened, only};
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{Step, Write};

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let mut keys = only(h, r::SERVICES);
    match &*h.key.resource {
        r::PODS => {
            for pod in [Some(h.object), h.old].into_iter().flatten() {
                let services = view.services_of(&h.key.namespace, at(pod, "/metadata/labels"));
                keys.extend(services.cloned());
            }
        }
        r::ENDPOINTS if h.deleted => {
            keys.insert(Key::new(r::SERVICES, &h.key.namespace, &h.key.name));
        }
        r::SLICES if h.deleted => {
            let service = label(h.object, "kubernetes.io/service-name");
            keys.insert(Key::new(r::SERVICES, &h.key.namespace, service));
        }
        _ => {}
    }
    keys
}

/// The pods a Service selects that have an address and may still serve.
pub fn members<'a>(view: &'a View, service: &Value) -> Vec<&'a Arc<Value>> {
    view.labelled(r::PODS, namespace(service), at(service, "/spec/selector"))
        .map(|(_, p)| p)
        .filter(|p| !text(p, "/status/podIP").is_empty())
        .filter(|p| !matches!(text(p, "/status/phase"), "Succeeded" | "Failed"))
        .collect()
}

pub fn is_ready(service: &Value, pod: &Value) -> bool {
    condition_is_true(pod, "Ready") || flag(service, "/spec/publishNotReadyAddresses")
}

/// The number a Service port leads to in this pod; a named target is looked up in the pod's containers.
pub fn target_port(port: &Value, pod: &Value) -> Option<i64> {
    match &port["targetPort"] {
        Value::String(wanted) => items(pod, "/spec/containers")
            .iter()
            .flat_map(|c| items(c, "/ports"))
            .find(|p| p["name"] == **wanted)
            .and_then(|p| p["containerPort"].as_i64()),
        Value::Number(n) if n.as_i64() != Some(0) => n.as_i64(),
        _ => port["port"].as_i64(),
    }
}

pub fn target_ref(pod: &Value) -> Value {
    json!({"kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod)})
}

pub fn sync(view: &View, key: &Key) -> Step {
    let mut step = Step::nothing();
    let existing = view.get(r::ENDPOINTS, &key.namespace, &key.name);
    let Some(service) = view.find(key) else {
        if let Some(endpoints) = existing {
            step.push(Write::delete(ACTOR, &Key::of(r::ENDPOINTS, endpoints), None, uid(endpoints)));
        }
        return step;
    };
    if at(service, "/spec/selector").as_object().is_none_or(|m| m.is_empty()) || is_deleting(service) {
        return step;
    }
    let subsets = subsets(service, &members(view, service));
    let mut labels = at(service, "/metadata/labels").as_object().cloned().unwrap_or_default();
    labels.insert("endpoints.kubernetes.io/managed-by".into(), "endpoint-controller".into());
    if text(service, "/spec/clusterIP") == "None" {
        labels.insert("service.kubernetes.io/headless".into(), "".into());
    }
    match existing {
        None => {
            let mut object = json!({"apiVersion": "v1", "kind": "Endpoints",
                "metadata": {"name": key.name, "namespace": key.namespace, "labels": labels}});
            if !subsets.is_empty() {
                object["subsets"] = subsets.into();
            }
            step.push(Write::create(ACTOR, r::ENDPOINTS, object));
        }
        Some(old) => {
            let same_labels = at(old, "/metadata/labels").as_object() == Some(&labels);
            if *items(old, "/subsets") != subsets || !same_labels {
                let mut object = Value::clone(old);
                set(&mut object, "/metadata/labels", labels.into());
                if subsets.is_empty() {
                    remove(&mut object, "/subsets");
                } else {
                    object["subsets"] = subsets.into();
                }
                step.push(Write::update(ACTOR, r::ENDPOINTS, object));
            }
        }
    }
    step
}

/// Addresses grouped by the ports they serve, in a fixed order.
fn subsets(service: &Value, pods: &[&Arc<Value>]) -> Vec<Value> {
    /// Ready addresses, waiting addresses, ports.
    type Group = (Vec<Value>, Vec<Value>, Vec<Value>);
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for pod in pods.iter().filter(|p| !is_deleting(p)) {
        let ports = ports(service, pod);
        let entry = groups.entry(Value::from(ports.clone()).to_string()).or_default();
        entry.2 = ports;
        let mut address = json!({"ip": text(pod, "/status/podIP")});
        if !text(pod, "/spec/nodeName").is_empty() {
            address["nodeName"] = text(pod, "/spec/nodeName").into();
        }
        address["targetRef"] = target_ref(pod);
        if is_ready(service, pod) { entry.0.push(address) } else { entry.1.push(address) }
    }
    let by_ip = |list: &mut Vec<Value>| list.sort_by(|a, b| a["ip"].as_str().cmp(&b["ip"].as_str()));
    groups
        .into_values()
        .map(|(mut ready, mut waiting, ports)| {
            by_ip(&mut ready);
            by_ip(&mut waiting);
            let mut subset = json!({});
            for (part, list) in [("addresses", ready), ("notReadyAddresses", waiting), ("ports", ports)] {
                if !list.is_empty() {
                    subset[part] = list.into();
                }
            }
            subset
        })
        .collect()
}

fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let number = |p: &Value| target_port(p, pod);
    let mut out = Vec::new();
    for port in items(service, "/spec/ports") {
        let Some(target) = number(port) else { continue };
        let mut entry = json!({});
        for part in ["name", "appProtocol"] {
            if !port[part].is_null() {
                entry[part] = port[part].clone();
            }
        }
        entry["port"] = target.into();
        entry["protocol"] = port["protocol"].as_str().unwrap_or("TCP").into();
        out.push(entry);
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::write::Op;

    pub fn service() -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n", "uid": "u-s"},
            "spec": {"selector": {"app": "d"}, "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8081}]}})
    }

    #[test]
    fn ready_and_waiting_pods() {
        let check = |ready: bool, member: &str| {
            let v = view(vec![(r::SERVICES, service()), (r::PODS, pod("p", ("X", "x", "x"), ready))]);
            let step = sync(&v, &Key::new(r::SERVICES, "n", "s"));
            let Op::Create(e) = &step.writes[0].op else { panic!("created") };
            let expected = json!([{"ip": "10.1.2.3", "nodeName": "node",
                "targetRef": {"kind": "Pod", "namespace": "n", "name": "p", "uid": "u-p"}}]);
            assert_eq!(e["subsets"][0][member], expected);
            assert_eq!(e["subsets"][0]["ports"], json!([{"port": 8081, "protocol": "TCP"}]));
        };
        check(true, "addresses");
        check(false, "notReadyAddresses");
    }

    #[test]
    fn a_named_target_is_looked_up() {
        let mut p = pod("p", ("X", "x", "x"), true);
        p["spec"]["containers"][0]["ports"] = json!([{"name": "rest", "containerPort": 8081}]);
        assert_eq!(target_port(&json!({"port": 80, "targetPort": "rest"}), &p), Some(8081));
        assert_eq!(target_port(&json!({"port": 80, "targetPort": "nope"}), &p), None);
        assert_eq!(target_port(&json!({"port": 80}), &p), Some(80));
    }
}
