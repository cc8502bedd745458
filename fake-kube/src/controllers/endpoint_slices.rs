//! The EndpointSlice controller: IPv4 slices of at most 100 endpoints (kube-api.md 3.4, wl-service).
//! Leaves out topology hints and the mirroring of hand-made Endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::deployment::ACTOR;
use super::endpoints::{is_ready, members, target_port, target_ref};
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{Step, Write};

const PER_SLICE: usize = 100;

pub fn sync(view: &View, key: &Key) -> Step {
    let mut step = Step::nothing();
    let own = json!({"kubernetes.io/service-name": key.name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"});
    let slices = view.labelled(r::SLICES, &key.namespace, &own).map(|(_, s)| s);
    let existing: Vec<&Arc<Value>> = slices.filter(|s| !is_deleting(s)).collect();
    let Some(service) = view.find(key) else {
        for slice in existing {
            step.push(Write::delete(ACTOR, &Key::of(r::SLICES, slice), None, uid(slice)));
        }
        return step;
    };
    if at(service, "/spec/selector").as_object().is_none_or(|m| m.is_empty()) || is_deleting(service) {
        return step;
    }
    let mut wanted = wanted(view, service);
    if wanted.is_empty() {
        // A Service without pods has one empty slice.
        wanted.push((Vec::new(), Vec::new()));
    }
    let mut reusable = existing.into_iter();
    for (ports, endpoints) in wanted {
        match reusable.next() {
            None => step.push(Write::create(ACTOR, r::SLICES, new_slice(service, ports, endpoints))),
            Some(old) => {
                if *items(old, "/endpoints") != endpoints || *items(old, "/ports") != ports {
                    let mut object = Value::clone(old);
                    object["endpoints"] = endpoints.into();
                    object["ports"] = ports.into();
                    step.push(Write::update(ACTOR, r::SLICES, object));
                }
            }
        }
    }
    for surplus in reusable {
        step.push(Write::delete(ACTOR, &Key::of(r::SLICES, surplus), None, uid(surplus)));
    }
    step
}

type Slice = (Vec<Value>, Vec<Value>);

fn wanted(view: &View, service: &Value) -> Vec<Slice> {
    let mut groups: BTreeMap<String, Slice> = BTreeMap::new();
    for pod in members(view, service) {
        let node = text(pod, "/spec/nodeName");
        // Pods on a node nobody knows are left out (recorded in wl-service).
        if !node.is_empty() && view.get(r::NODES, "", node).is_none() {
            continue;
        }
        let ports = ports(service, pod);
        let entry = groups.entry(Value::from(ports.clone()).to_string()).or_default();
        entry.0 = ports;
        entry.1.push(endpoint(service, pod));
    }
    groups
        .into_values()
        .flat_map(|(ports, mut endpoints)| {
            endpoints.sort_by(|a, b| text(a, "/targetRef/name").cmp(text(b, "/targetRef/name")));
            endpoints.chunks(PER_SLICE).map(|c| (ports.clone(), c.to_vec())).collect::<Vec<_>>()
        })
        .collect()
}

fn endpoint(service: &Value, pod: &Value) -> Value {
    let serving = condition_is_true(pod, "Ready");
    let terminating = is_deleting(pod);
    let mut endpoint = json!({
        "addresses": [text(pod, "/status/podIP")],
        "conditions": {"ready": is_ready(service, pod) && !terminating, "serving": serving, "terminating": terminating},
    });
    if !text(pod, "/spec/hostname").is_empty() && text(pod, "/spec/subdomain") == name(service) {
        endpoint["hostname"] = text(pod, "/spec/hostname").into();
    }
    endpoint["targetRef"] = target_ref(pod);
    if !text(pod, "/spec/nodeName").is_empty() {
        endpoint["nodeName"] = text(pod, "/spec/nodeName").into();
    }
    endpoint
}

fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    for port in items(service, "/spec/ports") {
        let Some(target) = target_port(port, pod) else { continue };
        let mut entry = json!({"name": port["name"].as_str().unwrap_or(""),
            "protocol": port["protocol"].as_str().unwrap_or("TCP"), "port": target});
        if !port["appProtocol"].is_null() {
            entry["appProtocol"] = port["appProtocol"].clone();
        }
        out.push(entry);
    }
    out
}

fn new_slice(service: &Value, ports: Vec<Value>, endpoints: Vec<Value>) -> Value {
    let mut labels = at(service, "/metadata/labels").as_object().cloned().unwrap_or_default();
    labels.insert("endpointslice.kubernetes.io/managed-by".into(), "endpointslice-controller.k8s.io".into());
    labels.insert("kubernetes.io/service-name".into(), name(service).into());
    if text(service, "/spec/clusterIP") == "None" {
        labels.insert("service.kubernetes.io/headless".into(), "".into());
    }
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"generateName": format!("{}-", name(service)), "namespace": namespace(service), "labels": labels,
                     "ownerReferences": [controller_ref(service, "v1", "Service")]},
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports})
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::tests::service;
    use super::super::testing::*;
    use super::*;
    use crate::write::Op;

    #[test]
    fn pods_of_known_nodes_are_listed_ready_or_not() {
        let node = (r::NODES, json!({"metadata": {"name": "node"}}));
        let pod = (r::PODS, pod("p", ("X", "x", "x"), false));
        let endpoints = |objects: Vec<(&str, Value)>| {
            let step = sync(&view(objects), &Key::new(r::SERVICES, "n", "s"));
            let Op::Create(e) = &step.writes[0].op else { panic!("created") };
            e["endpoints"].clone()
        };
        assert_eq!(
            endpoints(vec![(r::SERVICES, service()), node, pod.clone()]),
            json!([{"addresses": ["10.1.2.3"], "conditions": {"ready": false, "serving": false, "terminating": false},
                    "targetRef": {"kind": "Pod", "namespace": "n", "name": "p", "uid": "u-p"}, "nodeName": "node"}]),
        );
        assert_eq!(endpoints(vec![(r::SERVICES, service()), pod]), json!([]));
    }
}
