//! Simulated nodes: their objects, and what happens to pods when one stops answering
//! (kube-api.md 3.2 "node loss"). Leaves out heartbeats and their Leases: a node answers unless told otherwise.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::json::*;
use crate::knobs::NodeSpec;
use crate::kubelet::host_ip;
use crate::quantity::milli;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, Step, Write};

const ACTOR: &str = "kube-controller-manager";
const COMPONENT: &str = "node-controller";
/// `node-monitor-grace-period` before the node counts as lost.
const GRACE_SECS: i64 = 40;
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

pub fn object(spec: &NodeSpec, index: usize, now: Timestamp) -> Value {
    let mut labels = json!({"kubernetes.io/hostname": spec.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64"});
    for (k, v) in &spec.labels {
        labels[k] = v.as_str().into();
    }
    let resources = json!({"cpu": spec.cpu, "memory": spec.memory, "ephemeral-storage": "500Gi", "pods": spec.pods.to_string()});
    let healthy = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ];
    let conditions: Vec<Value> = healthy
        .iter()
        .map(|(kind, status, reason, message)| {
            json!({"type": kind, "status": status, "lastHeartbeatTime": stamp(now), "lastTransitionTime": stamp(now),
                   "reason": reason, "message": message})
        })
        .collect();
    let mut node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": spec.name, "labels": labels},
        "spec": {"podCIDR": format!("10.244.{}.0/24", index % 256)},
        "status": {"capacity": resources, "allocatable": resources, "conditions": conditions,
            "addresses": [{"type": "InternalIP", "address": host_ip(index)}, {"type": "Hostname", "address": spec.name}],
            "nodeInfo": {"architecture": "amd64", "bootID": "", "containerRuntimeVersion": "containerd://2.1.3", "kernelVersion": "6.12.0",
                "kubeProxyVersion": "", "kubeletVersion": "v1.35.3", "machineID": "", "operatingSystem": "linux", "osImage": "Simulated", "systemUUID": ""}}});
    if !spec.taints.is_empty() {
        let taints = spec.taints.iter().map(|(k, v, e)| json!({"key": k, "value": v, "effect": e}));
        node["spec"]["taints"] = taints.collect();
    }
    node
}

/// Nodes that do not answer, since when.
pub type Lost = BTreeMap<String, Timestamp>;

pub fn sync(view: &View, key: &Key, lost: &Lost, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(node) = view.find(key) else { return step };
    match lost.get(&key.name).copied() {
        Some(since) if now < after_secs(since, GRACE_SECS) => step.look_again(after_secs(since, GRACE_SECS)),
        Some(since) => mark_lost(view, node, after_secs(since, GRACE_SECS), now, &mut step),
        None => mark_back(node, now, &mut step),
    }
    step
}

fn mark_lost(view: &View, node: &Value, noticed: Timestamp, now: Timestamp, step: &mut Step) {
    if condition(node, "Ready").is_some_and(|c| c["status"] == "True") {
        let mut object = node.clone();
        for c in object.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten()
        {
            c["status"] = "Unknown".into();
            c["reason"] = "NodeStatusUnknown".into();
            c["message"] = "Kubelet stopped posting node status.".into();
            c["lastTransitionTime"] = stamp(now);
        }
        step.push(Write::update_status(ACTOR, r::NODES, object));
        let message = format!("Node {} status is now: NodeNotReady", name(node));
        step.push(Write::event(EventSpec::normal(node, COMPONENT, "NodeNotReady", message)));
        return;
    }
    if !items(node, "/spec/taints").iter().any(|t| t["key"] == UNREACHABLE) {
        let mut object = node.clone();
        let mut taints = items(node, "/spec/taints").clone();
        for effect in ["NoSchedule", "NoExecute"] {
            taints.push(json!({"key": UNREACHABLE, "effect": effect, "timeAdded": stamp(now)}));
        }
        set(&mut object, "/spec/taints", taints.into());
        step.push(Write::update(ACTOR, r::NODES, object));
        return;
    }
    let taint = json!({"key": UNREACHABLE, "effect": "NoExecute"});
    for (key, pod) in view.list(r::PODS).filter(|(_, p)| text(p, "/spec/nodeName") == name(node)) {
        if condition_is_true(pod, "Ready") {
            let mut object = Value::clone(pod);
            for c in
                object.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten()
            {
                if c["type"] == "Ready" {
                    c["status"] = "False".into();
                    c["lastTransitionTime"] = stamp(now);
                }
            }
            step.push(Write::update_status(ACTOR, r::PODS, object));
            step.push(Write::event(EventSpec::warning(
                pod,
                COMPONENT,
                "NodeNotReady",
                "Node is not ready".into(),
            )));
        }
        if is_deleting(pod) {
            continue;
        }
        let toleration =
            items(pod, "/spec/tolerations").iter().find(|t| crate::scheduler::tolerates(t, &taint));
        // Tolerated without a limit: it stays for ever. Not tolerated: it goes at once.
        let at = match toleration {
            None => Some(noticed),
            Some(t) => t["tolerationSeconds"].as_i64().map(|s| after_secs(noticed, s)),
        };
        match at {
            Some(t) if t <= now => {
                let message = format!("Marking for deletion Pod {}/{}", key.namespace, key.name);
                step.push(Write::delete(ACTOR, key, None, uid(pod)));
                step.push(Write::event(EventSpec::normal(
                    pod,
                    "taint-eviction-controller",
                    "TaintManagerEviction",
                    message,
                )));
            }
            Some(t) => step.look_again(t),
            None => {}
        }
    }
}

fn mark_back(node: &Value, now: Timestamp, step: &mut Step) {
    if condition(node, "Ready").is_some_and(|c| c["status"] == "Unknown") {
        let mut object = node.clone();
        for c in object.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten()
        {
            let ready = c["type"] == "Ready";
            c["status"] = if ready { "True" } else { "False" }.into();
            c["reason"] = if ready { "KubeletReady" } else { "KubeletHasSufficientMemory" }.into();
            c["message"] = if ready { "kubelet is posting ready status" } else { "" }.into();
            c["lastTransitionTime"] = stamp(now);
        }
        step.push(Write::update_status(ACTOR, r::NODES, object));
    } else if items(node, "/spec/taints").iter().any(|t| t["key"] == UNREACHABLE) {
        let mut object = node.clone();
        let kept: Vec<Value> =
            items(node, "/spec/taints").iter().filter(|t| t["key"] != UNREACHABLE).cloned().collect();
        set(&mut object, "/spec/taints", kept.into());
        step.push(Write::update(ACTOR, r::NODES, object));
    }
}

/// A node whose size cannot be read would take no pods and say nothing.
pub fn check(spec: &NodeSpec) -> Result<(), String> {
    for (what, quantity) in [("cpu", &spec.cpu), ("memory", &spec.memory)] {
        if milli(quantity).is_none() {
            return Err(format!(
                "node {}: {what} {quantity:?} is not a quantity such as 8, 500m or 16Gi",
                spec.name
            ));
        }
    }
    Ok(())
}
