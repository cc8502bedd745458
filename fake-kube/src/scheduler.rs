//! The scheduler: claims, resources, node selector and required node affinity, taints, pod count, and what other pods
//! demand (`affinity.rs`); texts as the real one's. Leaves out scoring beyond "most free memory first", and preemption.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::affinity::{self, Company};
use crate::controllers::Happened;
use crate::faults::Faults;
use crate::json::*;
use crate::load;
use crate::quantity::milli;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, Op, Step, Write};

const ACTOR: &str = "kube-scheduler";
const COMPONENT: &str = "default-scheduler";
/// Unschedulable pods are tried again even if nothing happened (`podMaxInUnschedulablePodsDuration`).
const FLUSH_SECS: i64 = 300;

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    let is_pod = &*h.key.resource == r::PODS;
    if is_pod && !h.deleted && is_pending(h.object) {
        // Its own status writes are no news to it.
        if h.old.is_none_or(|old| at(old, "/spec") != at(h.object, "/spec")) {
            keys.insert(h.key.clone());
        }
    }
    let frees = is_pod && !text(h.object, "/spec/nodeName").is_empty() && (h.deleted || is_over(h.object));
    let node_changed = &*h.key.resource == r::NODES
        && h.old.is_none_or(|old| {
            at(old, "/spec") != at(h.object, "/spec")
                || at(old, "/status/allocatable") != at(h.object, "/status/allocatable")
        });
    let is_storage = matches!(&*h.key.resource, r::CLAIMS | r::STORAGE_CLASSES);
    if frees || node_changed || is_storage {
        keys.extend(view.pending().cloned());
    }
    // Somebody came whom others may wait for.
    let is_new_there = is_pod
        && !text(h.object, "/spec/nodeName").is_empty()
        && h.old.is_none_or(|old| text(old, "/spec/nodeName").is_empty());
    if is_new_there {
        let waits = |key: &&Key| view.find(key).is_some_and(|p| affinity::has_terms(p));
        keys.extend(view.pending().filter(waits).cloned());
    }
    keys
}

/// Whether this scheduler is to find a node for it.
pub fn is_pending(pod: &Value) -> bool {
    text(pod, "/spec/nodeName").is_empty()
        && !is_deleting(pod)
        && !is_over(pod)
        && matches!(text(pod, "/spec/schedulerName"), "" | COMPONENT)
        && items(pod, "/spec/schedulingGates").is_empty()
}

pub fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

pub fn sync(view: &View, key: &Key, faults: &Faults, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(pod) = view.find(key).filter(|p| is_pending(p)) else { return step };
    let nodes: Vec<&Arc<Value>> = view.list(r::NODES).map(|(_, n)| n).collect();
    let verdict = match faults.unschedulable(pod) {
        Some(why) => Err(failure(nodes.len(), BTreeMap::from([(why.to_owned(), nodes.len().max(1))]), 0)),
        None => choose(view, pod, &nodes),
    };
    match verdict {
        Ok(node) => {
            let message = format!("Successfully assigned {}/{} to {node}", key.namespace, key.name);
            let event = EventSpec::normal(pod, COMPONENT, "Scheduled", message);
            step.push(Write::new(ACTOR, key.clone(), Op::Bind { node }).then(event));
        }
        Err(message) => {
            let known = condition(pod, "PodScheduled").filter(|c| c["status"] == "False");
            if known.is_none_or(|c| c["message"] != message.as_str()) {
                let since = known.map_or(stamp(now), |c| c["lastTransitionTime"].clone());
                let mut object = Value::clone(pod);
                let mut conditions = items(pod, "/status/conditions").clone();
                conditions.retain(|c| c["type"] != "PodScheduled");
                conditions.push(json!({"type": "PodScheduled", "status": "False", "lastProbeTime": null,
                    "lastTransitionTime": since, "reason": "Unschedulable", "message": message}));
                set(&mut object, "/status/conditions", conditions.into());
                step.push(Write::update_status(ACTOR, r::PODS, object));
            }
            step.push(Write::event(EventSpec::warning(pod, COMPONENT, "FailedScheduling", message)));
            step.look_again(after_secs(now, FLUSH_SECS));
        }
    }
    step
}

/// The node with the most free memory among those that fit; names break ties.
fn choose(view: &View, pod: &Value, nodes: &[&Arc<Value>]) -> Result<String, String> {
    if nodes.is_empty() {
        return Err("no nodes available to schedule pods".into());
    }
    if let Some(why) = crate::controllers::claims::unready(view, pod) {
        return Err(unavailable(nodes.len(), &why, 0));
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut best: Option<(i128, String)> = None;
    let mut resolvable = 0;
    let company = Company::of(view, pod, nodes);
    for node in nodes {
        let (mut unfit, free_memory) = unfit(view, pod, node);
        let mut could_resolve = unfit.iter().all(|u| u.starts_with("Insufficient") || u == "Too many pods");
        if unfit.is_empty()
            && let Some(why) = company.unfit(node)
        {
            could_resolve = why.is_resolvable;
            unfit.push(why.reason.to_owned());
        }
        if unfit.is_empty() {
            if best.as_ref().is_none_or(|(free, _)| free_memory > *free) {
                best = Some((free_memory, name(node).to_owned()));
            }
            continue;
        }
        resolvable += usize::from(could_resolve);
        for reason in unfit {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    match best {
        Some((_, node)) => Ok(node),
        None => Err(failure(nodes.len(), reasons, resolvable)),
    }
}

/// `resolvable`: nodes where it would fit if pods of lower priority left, of which there are none.
fn failure(nodes: usize, reasons: BTreeMap<String, usize>, resolvable: usize) -> String {
    let list: Vec<String> = reasons.iter().map(|(r, n)| format!("{n} {r}")).collect();
    unavailable(nodes, &list.join(", "), resolvable)
}

fn unavailable(nodes: usize, why: &str, resolvable: usize) -> String {
    let preemption: Vec<String> = [
        (resolvable, "No preemption victims found for incoming pod"),
        (nodes - resolvable.min(nodes), "Preemption is not helpful for scheduling"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, why)| format!("{n} {why}"))
    .collect();
    format!(
        "0/{nodes} nodes are available: {why}. preemption: 0/{nodes} nodes are available: {}.",
        preemption.join(", ")
    )
}

/// Why the pod does not fit on the node (the first filter that refuses, as the real one), and its free memory.
fn unfit(view: &View, pod: &Value, node: &Value) -> (Vec<String>, i128) {
    let refuse = |reason: String| (vec![reason], 0);
    // Pods of DaemonSets tolerate it.
    let cordon = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
    if flag(node, "/spec/unschedulable") && !is_tolerated(pod, &cordon) {
        return refuse("node(s) were unschedulable".into());
    }
    if let Some(taint) = untolerated(pod, node) {
        let part = |k: &str| taint[k].as_str().unwrap_or("").to_owned();
        return refuse(format!("node(s) had untolerated taint {{{}: {}}}", part("key"), part("value")));
    }
    if !matches_node(pod, node) {
        return refuse("node(s) didn't match Pod's node affinity/selector".into());
    }
    let mut free = allocatable(node);
    let mut slots = free.remove(load::PODS).unwrap_or(i128::MAX);
    for (resource, taken) in view.taken(name(node)).into_iter().flatten() {
        match resource.as_str() {
            load::PODS => slots -= taken,
            _ => *free.entry(resource.clone()).or_default() -= taken,
        }
    }
    let mut unfit = Vec::new();
    if slots < 1000 {
        unfit.push("Too many pods".to_owned());
    }
    for (resource, n) in requests(pod) {
        if n > free.get(&resource).copied().unwrap_or(0) {
            unfit.push(format!("Insufficient {resource}"));
        }
    }
    (unfit, free.get("memory").copied().unwrap_or(0))
}

fn allocatable(node: &Value) -> BTreeMap<String, i128> {
    let list = at(node, "/status/allocatable").as_object().into_iter().flatten();
    list.filter_map(|(k, v)| Some((k.clone(), milli(v.as_str()?)?))).collect()
}

/// What a pod asks for: main containers and sidecars together, or one init container if that is more.
pub fn requests(pod: &Value) -> BTreeMap<String, i128> {
    let of = |c: &Value| -> BTreeMap<String, i128> {
        let list = at(c, "/resources/requests").as_object().into_iter().flatten();
        list.filter_map(|(k, v)| Some((k.clone(), milli(v.as_str()?)?))).collect()
    };
    let mut sum: BTreeMap<String, i128> = BTreeMap::new();
    let mut most: BTreeMap<String, i128> = BTreeMap::new();
    let init = items(pod, "/spec/initContainers");
    let lasting =
        init.iter().filter(|c| c["restartPolicy"] == "Always").chain(items(pod, "/spec/containers"));
    for (k, n) in lasting.flat_map(of) {
        *sum.entry(k).or_default() += n;
    }
    for (k, n) in init.iter().filter(|c| c["restartPolicy"] != "Always").flat_map(of) {
        let entry = most.entry(k).or_default();
        *entry = (*entry).max(n);
    }
    for (k, n) in most {
        let entry = sum.entry(k).or_default();
        *entry = (*entry).max(n);
    }
    for (k, v) in at(pod, "/spec/overhead").as_object().into_iter().flatten() {
        *sum.entry(k.clone()).or_default() += v.as_str().and_then(milli).unwrap_or(0);
    }
    sum
}

/// A taint that keeps the pod away.
pub fn untolerated<'a>(pod: &Value, node: &'a Value) -> Option<&'a Value> {
    items(node, "/spec/taints").iter().find(|t| !is_tolerated(pod, t))
}

fn is_tolerated(pod: &Value, taint: &Value) -> bool {
    if taint["effect"] == "PreferNoSchedule" {
        return true;
    }
    items(pod, "/spec/tolerations").iter().any(|t| tolerates(t, taint))
}

pub fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let part = |v: &Value, k: &str| v[k].as_str().unwrap_or("").to_owned();
    let effect = part(toleration, "effect");
    let key = part(toleration, "key");
    if !effect.is_empty() && effect != part(taint, "effect") || !key.is_empty() && key != part(taint, "key") {
        return false;
    }
    match part(toleration, "operator").as_str() {
        "Exists" => true,
        _ => !key.is_empty() && part(toleration, "value") == part(taint, "value"),
    }
}

pub fn matches_node(pod: &Value, node: &Value) -> bool {
    let labels = at(node, "/metadata/labels");
    let selector = at(pod, "/spec/nodeSelector").as_object();
    if !selector.is_none_or(|m| m.iter().all(|(k, v)| labels[k] == *v)) {
        return false;
    }
    let required =
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let terms = items(pod, required);
    terms.is_empty()
        || terms.iter().any(|t| {
            let fields = json!({"metadata.name": name(node)});
            selector_matches(&json!({"matchExpressions": t["matchExpressions"]}), labels)
                && selector_matches(&json!({"matchExpressions": t["matchFields"]}), &fields)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::{now, view};

    fn node(cpu: &str, taints: Value) -> (&'static str, Value) {
        let o = json!({"metadata": {"name": "a", "labels": {"zone": "x"}}, "spec": {"taints": taints},
            "status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "2"}}});
        (r::NODES, o)
    }

    fn check(pod_spec: Value, nodes: Vec<(&'static str, Value)>, expected: &str) {
        let mut spec = json!({"schedulerName": "default-scheduler",
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "512Mi"}}}]});
        for (k, v) in pod_spec.as_object().into_iter().flatten() {
            spec[k] = v.clone();
        }
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec});
        let mut objects = nodes;
        objects.push((r::PODS, pod));
        let step = sync(&view(objects), &Key::new(r::PODS, "n", "p"), &Faults::default(), now());
        let said = match &step.writes[0].op {
            Op::Bind { node } => node.clone(),
            Op::UpdateStatus(o) => {
                condition(o, "PodScheduled").expect("set")["message"].as_str().unwrap_or("").to_owned()
            }
            other => format!("{other:?}"),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn filters() {
        let none = || json!([]);
        check(json!({}), vec![node("2", none())], "a");
        check(json!({}), vec![], "no nodes available to schedule pods");
        check(
            json!({}),
            vec![node("500m", none())],
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
        );
        check(
            json!({"nodeSelector": {"zone": "y"}}),
            vec![node("2", none())],
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        );
        let taint = || json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]);
        check(
            json!({}),
            vec![node("2", taint())],
            "0/1 nodes are available: 1 node(s) had untolerated taint {k: v}. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        );
        check(json!({"tolerations": [{"key": "k", "operator": "Exists"}]}), vec![node("2", taint())], "a");
    }
}
