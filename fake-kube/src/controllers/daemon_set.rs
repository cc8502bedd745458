//! The DaemonSet controller: a pod for every node that its template fits, rolling updates, revisions
//! (kubernetes 1.35 pkg/controller/daemon: podsShouldBeOnNode, rollingUpdate, updateDaemonSetStatus).
//! Pods are bound by the scheduler, to the node their affinity names. With `maxSurge` a node has the new pod beside the old
//! one until the new one is available.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::deployment::ACTOR;
use super::replica_set::{available_at, pod_from_template};
use super::revisions::{self, REVISION};
use super::{Happened, owner_or_self};
use crate::json::*;
use crate::scheduler::{matches_node, tolerates};
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, OnRefusal, Step, Write};

const COMPONENT: &str = "daemonset-controller";
const BURST: usize = 250;
/// A failed pod is replaced after a second, later ones after up to 15 minutes; here always after this.
const FAILED_SECS: i64 = 1;

pub fn wakes(h: &Happened, view: &View) -> std::collections::BTreeSet<Key> {
    if &*h.key.resource == r::NODES {
        let parts = ["/metadata/labels", "/spec/taints", "/spec/unschedulable"];
        let changed =
            h.deleted || h.old.is_none_or(|old| parts.iter().any(|p| at(old, p) != at(h.object, p)));
        return match changed {
            true => view.list(r::DAEMON_SETS).map(|(key, _)| key.clone()).collect(),
            false => Default::default(),
        };
    }
    owner_or_self(h, r::DAEMON_SETS, r::PODS, "DaemonSet")
}

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(set) = view.find(key).filter(|s| !is_deleting(s)) else { return step };
    let current = revisions::current(view, set, "DaemonSet", &mut step);
    let mut by_node: BTreeMap<&str, Vec<&Arc<Value>>> = BTreeMap::new();
    for pod in view.controlled(r::PODS, uid(set)) {
        by_node.entry(node_of(pod)).or_default().push(pod);
    }
    for pods in by_node.values_mut() {
        let created = |p: &Value| text(p, "/metadata/creationTimestamp").to_owned();
        pods.sort_by_key(|p| (text(p, "/spec/nodeName").is_empty(), created(p), name(p).to_owned()));
    }
    let nodes: Vec<&Arc<Value>> = view.list(r::NODES).map(|(_, n)| n).collect();
    let template = pod_template(set, &current);
    let hash = revisions::hash_of(set, &current);
    let mut plan = Plan::default();
    for node in &nodes {
        let pods = by_node.get(name(node)).map_or(&[][..], Vec::as_slice);
        plan.node(set, &template, node, pods, now, &mut step);
    }
    // Of nodes that are gone.
    for (node, pods) in &by_node {
        if !nodes.iter().any(|n| name(n) == *node) {
            plan.delete.extend(pods.iter().filter(|p| !is_deleting(p)).copied());
        }
    }
    if text(set, "/spec/updateStrategy/type") != "OnDelete" && plan.is_settled() {
        let wanted: Vec<&str> =
            nodes.iter().filter(|n| fits(&template, n).should_run).map(|n| name(n)).collect();
        match scaled(set, "maxSurge", wanted.len()).unwrap_or(0) {
            0 => roll(set, wanted.len(), &by_node, hash, now, &mut plan),
            most => surge(set, &wanted, &by_node, hash, most, now, &mut plan),
        }
    }
    let refused = view.refusals.get(uid(set)).filter(|refusal| refusal.retry_at() > now);
    match refused {
        Some(refusal) => step.look_again(refusal.retry_at()),
        None => plan.create.iter().take(BURST).for_each(|node| create(set, &template, node, &mut step)),
    }
    plan.delete.iter().take(BURST).for_each(|pod| delete(set, pod, &mut step));
    let status = status(set, &template, &nodes, &by_node, &current, now, &mut step);
    if status != *at(set, "/status") {
        let mut object = Value::clone(set);
        object["status"] = status;
        step.push(Write::update_status(ACTOR, r::DAEMON_SETS, object));
    }
    step
}

/// The node a pod is on, or is meant for.
fn node_of(pod: &Value) -> &str {
    let bound = text(pod, "/spec/nodeName");
    if !bound.is_empty() {
        return bound;
    }
    let terms = items(pod, &format!("{AFFINITY}/nodeSelectorTerms"));
    let fields = terms.iter().flat_map(|t| items(t, "/matchFields"));
    fields.filter(|f| f["key"] == "metadata.name").find_map(|f| f["values"][0].as_str()).unwrap_or("")
}

const AFFINITY: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";

/// What is to be done about pods and nodes.
#[derive(Default)]
struct Plan<'a> {
    create: Vec<String>,
    delete: Vec<&'a Arc<Value>>,
}

impl<'a> Plan<'a> {
    fn is_settled(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty()
    }

    fn node(
        &mut self,
        set: &Arc<Value>,
        template: &Value,
        node: &Value,
        pods: &[&'a Arc<Value>],
        now: Timestamp,
        step: &mut Step,
    ) {
        let fit = fits(template, node);
        if !fit.continues {
            self.delete.extend(pods.iter().filter(|p| !is_deleting(p)).copied());
            return;
        }
        let mut running = Vec::new();
        for pod in pods.iter().filter(|p| !is_deleting(p)) {
            let at = format!("{}/{} on node {}", namespace(pod), name(pod), name(node));
            match text(pod, "/status/phase") {
                "Failed" => {
                    let ended = items(pod, "/status/containerStatuses")
                        .iter()
                        .filter_map(|c| time(c, "/state/terminated/finishedAt"))
                        .max();
                    let due = after_secs(ended.unwrap_or(now), FAILED_SECS);
                    if due > now {
                        step.look_again(due);
                        continue;
                    }
                    let message = format!("Found failed daemon pod {at}, will try to kill it");
                    step.push(Write::event(EventSpec::warning(set, COMPONENT, "FailedDaemonPod", message)));
                    self.delete.push(pod);
                }
                "Succeeded" => {
                    let message = format!("Found succeeded daemon pod {at}, will try to delete it");
                    step.push(Write::event(EventSpec::normal(set, COMPONENT, "SucceededDaemonPod", message)));
                    self.delete.push(pod);
                }
                _ => running.push(*pod),
            }
        }
        let may_surge = scaled(set, "maxSurge", 1).is_some_and(|n| n > 0);
        if may_surge {
            self.surplus(set, &running, label(template, REVISION), now);
        } else {
            // The oldest stays.
            self.delete.extend(running.iter().skip(1).copied());
        }
        if fit.should_run && (pods.is_empty() || may_surge && running.is_empty()) {
            self.create.push(name(node).to_owned());
        }
    }

    /// One new and one old pod may be on a node, while the old one is ready and the new one is not available yet.
    fn surplus(&mut self, set: &Value, running: &[&'a Arc<Value>], hash: &str, now: Timestamp) {
        let (new, old): (Vec<&'a Arc<Value>>, Vec<&'a Arc<Value>>) =
            running.iter().copied().partition(|p| label(p, REVISION) == hash);
        self.delete.extend(new.iter().skip(1).chain(old.iter().skip(1)).copied());
        if let (Some(new), Some(old)) = (new.first(), old.first())
            && (!condition_is_true(old, "Ready") || is_available(set, new, now))
        {
            self.delete.push(*old);
        }
    }
}

struct Fit {
    should_run: bool,
    /// A pod that is there may stay.
    continues: bool,
}

/// Whether a pod of the template belongs on the node (`NodeShouldRunDaemonPod`).
fn fits(template: &Value, node: &Value) -> Fit {
    let wanted = text(template, "/spec/nodeName");
    if !(wanted.is_empty() || wanted == name(node)) || !matches_node(template, node) {
        return Fit { should_run: false, continues: false };
    }
    let untolerated = |effects: &[&str]| {
        items(node, "/spec/taints").iter().any(|taint| {
            effects.iter().any(|e| taint["effect"] == *e)
                && !items(template, "/spec/tolerations").iter().any(|t| tolerates(t, taint))
        })
    };
    Fit { should_run: !untolerated(&["NoExecute", "NoSchedule"]), continues: !untolerated(&["NoExecute"]) }
}

/// A pod as it is made for any node.
fn pod_template(set: &Value, revision: &str) -> Value {
    let mut pod = pod_from_template(set, "apps/v1", "DaemonSet");
    self::set(&mut pod, &format!("/metadata/labels/{REVISION}"), revisions::hash_of(set, revision).into());
    if let Some(generation) = annotation(set, "deprecated.daemonset.template.generation") {
        self::set(&mut pod, "/metadata/labels/pod-template-generation", generation.into());
    }
    let mut tolerations = items(&pod, "/spec/tolerations").clone();
    let daemon = [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ];
    let network = flag(&pod, "/spec/hostNetwork").then_some(("network-unavailable", "NoSchedule"));
    for (key, effect) in daemon.into_iter().chain(network) {
        let toleration =
            json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect});
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    pod["spec"]["tolerations"] = tolerations.into();
    pod
}

fn create(set: &Arc<Value>, template: &Value, node: &str, step: &mut Step) {
    let mut pod = template.clone();
    let here = json!([{"key": "metadata.name", "operator": "In", "values": [node]}]);
    let terms = items(&pod, &format!("{AFFINITY}/nodeSelectorTerms")).clone();
    let terms: Vec<Value> = if terms.is_empty() {
        vec![json!({"matchFields": here})]
    } else {
        let with_node = |mut t: Value| {
            t["matchFields"] = here.clone();
            t
        };
        terms.into_iter().map(with_node).collect()
    };
    self::set(&mut pod, &format!("{AFFINITY}/nodeSelectorTerms"), terms.into());
    let refused = OnRefusal {
        owner_uid: uid(set).into(),
        reason: "FailedCreate",
        event: EventSpec::warning(set, COMPONENT, "FailedCreate", "Error creating: {error}".into()),
    };
    step.push(
        Write::create(ACTOR, r::PODS, pod)
            .then(EventSpec::normal(set, COMPONENT, "SuccessfulCreate", "Created pod: {name}".into()))
            .or_refused(refused),
    );
}

fn delete(set: &Arc<Value>, pod: &Arc<Value>, step: &mut Step) {
    let message = format!("Deleted pod: {}", name(pod));
    let event = EventSpec::normal(set, COMPONENT, "SuccessfulDelete", message);
    step.push(Write::delete(ACTOR, &Key::of(r::PODS, pod), None, uid(pod)).then(event));
}

fn is_available(set: &Value, pod: &Value, now: Timestamp) -> bool {
    available_at(pod, int(set, "/spec/minReadySeconds")).is_some_and(|t| t <= now)
}

/// Deletes pods of earlier revisions, so many that no more than `maxUnavailable` are away.
fn roll<'a>(
    set: &Value,
    desired: usize,
    by_node: &BTreeMap<&str, Vec<&'a Arc<Value>>>,
    hash: &str,
    now: Timestamp,
    plan: &mut Plan<'a>,
) {
    let most = scaled(set, "maxUnavailable", desired).unwrap_or(1);
    let (mut unavailable, mut candidates) = (0, Vec::new());
    for pods in by_node.values() {
        let alive: Vec<&'a Arc<Value>> = pods.iter().filter(|p| !is_deleting(p)).copied().collect();
        match alive.as_slice() {
            [pod] if label(pod, REVISION) == hash => {
                unavailable += usize::from(!is_available(set, pod, now));
            }
            [pod] if !is_available(set, pod, now) => {
                unavailable += 1;
                plan.delete.push(*pod);
            }
            [pod] => candidates.push(*pod),
            _ => unavailable += 1,
        }
    }
    let room = most.max(1).saturating_sub(unavailable);
    plan.delete.extend(candidates.into_iter().take(room));
}

/// A limit of the update, as a number or a share of the nodes that is rounded up.
fn scaled(set: &Value, limit: &str, nodes: usize) -> Option<usize> {
    match at(set, &format!("/spec/updateStrategy/rollingUpdate/{limit}")) {
        Value::String(percent) => {
            let n: usize = percent.trim_end_matches('%').parse().unwrap_or(0);
            Some((n.min(100) * nodes).div_ceil(100))
        }
        n => n.as_u64().and_then(|n| usize::try_from(n).ok()),
    }
}

/// Makes new pods beside old ones, so many at a time, and deletes old ones whose new one is available. A node that is not
/// to have a pod any more keeps it as long as it is needed.
fn surge<'a>(
    set: &Value,
    wanted: &[&str],
    by_node: &BTreeMap<&str, Vec<&'a Arc<Value>>>,
    hash: &str,
    most: usize,
    now: Timestamp,
    plan: &mut Plan<'a>,
) {
    let (mut surging, mut available) = (0, 0);
    let (mut candidates, mut unwanted) = (Vec::new(), Vec::new());
    for (node, pods) in by_node {
        let (new, old): (Vec<&'a Arc<Value>>, Vec<&'a Arc<Value>>) =
            pods.iter().copied().filter(|p| !is_deleting(p)).partition(|p| label(p, REVISION) == hash);
        if new.len() > 1 || old.len() > 1 {
            surging += 1;
            continue;
        }
        let is_there = |p: &&'a Arc<Value>| is_available(set, p, now);
        available += usize::from(old.first().or(new.first()).is_some_and(is_there));
        match (new.first(), old.first()) {
            (_, None) => {}
            (Some(new), Some(_)) if !is_there(new) => surging += 1,
            (Some(_), Some(old)) => plan.delete.push(*old),
            (None, Some(old)) => match (wanted.contains(node), is_there(old)) {
                (true, true) => candidates.push((*node).to_owned()),
                (true, false) => plan.create.push((*node).to_owned()),
                (false, true) => unwanted.push(*old),
                (false, false) => plan.delete.push(*old),
            },
        }
    }
    plan.delete.extend(unwanted.into_iter().take(available.saturating_sub(wanted.len())));
    plan.create.extend(candidates.into_iter().take(most.saturating_sub(surging)));
}

fn status(
    set: &Value,
    template: &Value,
    nodes: &[&Arc<Value>],
    by_node: &BTreeMap<&str, Vec<&Arc<Value>>>,
    current: &str,
    now: Timestamp,
    step: &mut Step,
) -> Value {
    let hash = revisions::hash_of(set, current);
    let (mut desired, mut scheduled, mut misplaced, mut ready, mut available, mut updated) =
        (0, 0, 0, 0, 0, 0);
    for node in nodes {
        let pod = by_node.get(name(node)).and_then(|pods| pods.first());
        if !fits(template, node).should_run {
            misplaced += u64::from(pod.is_some());
            continue;
        }
        desired += 1;
        let Some(pod) = pod else { continue };
        scheduled += 1;
        updated += u64::from(label(pod, REVISION) == hash);
        if !condition_is_true(pod, "Ready") {
            continue;
        }
        ready += 1;
        match available_at(pod, int(set, "/spec/minReadySeconds")) {
            Some(t) if t <= now => available += 1,
            Some(t) => step.look_again(t),
            None => {}
        }
    }
    let mut status = Map::new();
    status.insert("currentNumberScheduled".into(), scheduled.into());
    status.insert("numberMisscheduled".into(), misplaced.into());
    status.insert("desiredNumberScheduled".into(), desired.into());
    status.insert("numberReady".into(), ready.into());
    status.insert("observedGeneration".into(), at(set, "/metadata/generation").clone());
    let counters = [
        ("updatedNumberScheduled", updated),
        ("numberAvailable", available),
        ("numberUnavailable", desired - available),
    ];
    status.extend(counters.into_iter().filter(|(_, n)| *n > 0).map(|(k, n)| (k.to_owned(), n.into())));
    Value::Object(status)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{now, view};
    use super::*;
    use crate::write::Op;

    fn set(image: &str) -> (&'static str, Value) {
        let object = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "s", "namespace": "n", "uid": "u-s", "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": "d"}}, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "c", "image": image}]}}}});
        (r::DAEMON_SETS, object)
    }

    fn node(name: &str, disk: &str, taints: Value) -> (&'static str, Value) {
        (r::NODES, json!({"metadata": {"name": name, "labels": {"disk": disk}}, "spec": {"taints": taints}}))
    }

    fn pod(name: &str, node: &str, of: &str, ready: &str) -> (&'static str, Value) {
        let owner = set(of).1;
        let revision = revisions::name_of(&owner);
        let hash = revisions::hash_of(&owner, &revision);
        let object = json!({"metadata": {"name": name, "namespace": "n", "uid": name, "labels": {REVISION: hash},
            "ownerReferences": [{"kind": "DaemonSet", "name": "s", "uid": "u-s", "controller": true}]},
            "spec": {"nodeName": node}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
        (r::PODS, object)
    }

    fn check(objects: Vec<(&str, Value)>, expected: &[&str]) {
        let step = sync(&view(objects), &Key::new(r::DAEMON_SETS, "n", "s"), now());
        let said = step.writes.iter().filter_map(|w| match &w.op {
            Op::Create(o) if o["kind"] == "ControllerRevision" => None,
            Op::Create(o) => Some(format!("create on {}", node_of(o))),
            Op::Delete { .. } => Some(format!("delete {}", w.target.name)),
            Op::UpdateStatus(o) => {
                let n = |key: &str| int(o, &format!("/status/{key}"));
                Some(format!(
                    "status {}/{} updated {} misplaced {}",
                    n("numberAvailable"),
                    n("desiredNumberScheduled"),
                    n("updatedNumberScheduled"),
                    n("numberMisscheduled")
                ))
            }
            Op::Event(e) => Some(e.reason.to_owned()),
            other => Some(format!("{other:?}")),
        });
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_pod_for_every_node_that_fits() {
        let tainted = json!([{"key": "k", "effect": "NoSchedule"}]);
        let evicting = json!([{"key": "k", "effect": "NoExecute"}]);
        let cordoned = json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]);
        check(
            vec![
                set("i"),
                node("a", "ssd", json!([])),
                node("b", "hdd", json!([])),
                node("c", "ssd", tainted.clone()),
                node("d", "ssd", cordoned),
            ],
            &["create on a", "create on d", "status 0/2 updated 0 misplaced 0"],
        );
        check(
            vec![set("i"), node("a", "ssd", tainted), pod("p", "a", "i", "True")],
            &["status 0/0 updated 0 misplaced 1"],
        );
        check(
            vec![
                set("i"),
                node("a", "ssd", evicting),
                pod("p", "a", "i", "True"),
                pod("q", "gone", "i", "True"),
            ],
            &["delete p", "delete q", "status 0/0 updated 0 misplaced 1"],
        );
        let mut failed = pod("p", "a", "i", "False");
        failed.1["status"] = json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"finishedAt": "2025-12-31T00:00:00Z"}}}]});
        check(
            vec![set("i"), node("a", "ssd", json!([])), failed],
            &["FailedDaemonPod", "delete p", "status 0/1 updated 1 misplaced 0"],
        );
    }

    #[test]
    fn an_update_with_surge_makes_the_new_pod_first() {
        let surging = |old: Vec<(&'static str, Value)>| {
            let mut set = set("new");
            set.1["spec"]["updateStrategy"]["rollingUpdate"] = json!({"maxSurge": 1, "maxUnavailable": 0});
            let nodes = vec![set, node("a", "ssd", json!([])), node("b", "ssd", json!([]))];
            nodes.into_iter().chain(old).collect::<Vec<_>>()
        };
        let old = |name: &str, node: &str| pod(name, node, "old", "True");
        let status = "status 2/2 updated 0 misplaced 0";
        check(surging(vec![old("p", "a"), old("q", "b")]), &["create on a", status]);
        // The new one is not there yet; then it is.
        let new = |ready: &str| pod("r", "a", "new", ready);
        check(surging(vec![old("p", "a"), new("False"), old("q", "b")]), &[status]);
        check(surging(vec![old("p", "a"), new("True"), old("q", "b")]), &["delete p", status]);
        // An old one that is not ready makes way for the new one, and one that is not there for anybody.
        let gone = pod("p", "a", "old", "False");
        check(
            surging(vec![gone.clone(), new("False"), old("q", "b")]),
            &["delete p", "status 1/2 updated 0 misplaced 0"],
        );
        check(
            surging(vec![gone, old("q", "b")]),
            &["create on a", "create on b", "status 1/2 updated 0 misplaced 0"],
        );
    }

    #[test]
    fn an_update_goes_node_by_node() {
        let nodes = || vec![set("new"), node("a", "ssd", json!([])), node("b", "ssd", json!([]))];
        let with = |pods: Vec<(&'static str, Value)>| nodes().into_iter().chain(pods).collect();
        check(
            with(vec![pod("p", "a", "old", "True"), pod("q", "b", "old", "True")]),
            &["delete p", "status 2/2 updated 0 misplaced 0"],
        );
        // One is away already.
        check(
            with(vec![pod("p", "a", "new", "False"), pod("q", "b", "old", "True")]),
            &["status 1/2 updated 1 misplaced 0"],
        );
        check(
            with(vec![pod("p", "a", "old", "False"), pod("q", "b", "old", "True")]),
            &["delete p", "status 1/2 updated 0 misplaced 0"],
        );
    }
}
