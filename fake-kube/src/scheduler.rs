//! The scheduler: claims, resources, node selector and required node affinity, taints, host ports, pod count, what other
//! pods demand (`affinity.rs`), and who has to leave for whom (`preemption.rs`); texts as the real one's (kubernetes 1.35
//! pkg/scheduler). Leaves out scoring beyond "most free memory first".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_kube_apiserver::equal;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::affinity::{self, Company, Trial};
use crate::controllers::{Happened, claims};
use crate::faults::Faults;
use crate::json::*;
use crate::load;
use crate::preemption::{self, Outcome};
use crate::quantity::milli;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, Op, Step, Write};

const ACTOR: &str = "kube-scheduler";
const COMPONENT: &str = "default-scheduler";
/// Unschedulable pods are tried again even if nothing happened (`podMaxInUnschedulablePodsDuration`).
const FLUSH_SECS: i64 = 300;
/// Waiting pods of higher priority that are looked at before one of lower priority is bound.
const AHEAD_MAX: usize = 100;

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    let is_pod = &*h.key.resource == r::PODS;
    if is_pod && !h.deleted && is_pending(h.object) {
        // Its own status writes are no news to it.
        if h.old.is_none_or(|old| !equal(at(old, "/spec"), at(h.object, "/spec"))) {
            keys.insert(h.key.clone());
        }
    }
    let frees = is_pod && !text(h.object, "/spec/nodeName").is_empty() && (h.deleted || is_over(h.object));
    let node_changed = &*h.key.resource == r::NODES
        && h.old.is_none_or(|old| {
            !equal(at(old, "/spec"), at(h.object, "/spec"))
                || at(old, "/status/allocatable") != at(h.object, "/status/allocatable")
        });
    let is_storage = matches!(&*h.key.resource, r::CLAIMS | r::STORAGE_CLASSES);
    let is_released = is_pod && h.old.is_some_and(|old| !nominated_node(old).is_empty()) && {
        h.deleted || nominated_node(h.object).is_empty()
    };
    if frees || node_changed || is_storage || is_released {
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

/// The node a waiting pod is to get when others have left it.
pub fn nominated_node(pod: &Value) -> &str {
    text(pod, "/status/nominatedNodeName")
}

pub fn priority(pod: &Value) -> i64 {
    int(pod, "/spec/priority")
}

pub fn sync(view: &View, key: &Key, faults: &Faults, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(pod) = view.find(key).filter(|p| is_pending(p)) else { return step };
    let nodes: Vec<&Arc<Value>> = view.list(r::NODES).map(|(_, n)| n).collect();
    let verdict = find(view, pod, &nodes, faults);
    // Whoever is more important comes first, though it was not looked at yet.
    if verdict.is_ok()
        && let Some((ahead, node)) = ahead(view, pod, &nodes, faults)
    {
        bind(view, ahead, node, &mut step);
        step.look_again(now);
        return step;
    }
    match verdict {
        Ok(node) => bind(view, pod, node, &mut step),
        Err(refusal) => {
            let message = preempt(view, pod, &nodes, refusal, now, &mut step);
            step.push(Write::event(EventSpec::warning(pod, COMPONENT, "FailedScheduling", message)));
            step.look_again(after_secs(now, FLUSH_SECS));
        }
    }
    step
}

/// Binds a pod to its node, after the claims that had to wait for that.
fn bind(view: &View, pod: &Arc<Value>, node: String, step: &mut Step) {
    if !claims::bind_for(view, pod, &node, step) {
        return;
    }
    let message = format!("Successfully assigned {}/{} to {node}", namespace(pod), name(pod));
    let event = EventSpec::normal(pod, COMPONENT, "Scheduled", message);
    step.push(Write::new(ACTOR, Key::of(r::PODS, pod), Op::Bind { node }).then(event));
}

/// Why a pod goes nowhere.
pub enum Refusal {
    NoNodes,
    /// Before nodes were looked at.
    Beforehand(String),
    /// Each node and what is against it.
    Unfit(Vec<(String, Unfit)>),
}

/// What is against a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfit {
    pub reasons: Vec<String>,
    /// Fewer pods there would help.
    pub is_resolvable: bool,
}

fn find(view: &View, pod: &Value, nodes: &[&Arc<Value>], faults: &Faults) -> Result<String, Refusal> {
    if let Some(why) = faults.unschedulable(pod) {
        let unfit = Unfit { reasons: vec![why.to_owned()], is_resolvable: false };
        return Err(Refusal::Unfit(nodes.iter().map(|n| (name(n).to_owned(), unfit.clone())).collect()));
    }
    choose(view, pod, nodes)
}

/// The first of the waiting pods of higher priority that has a place.
fn ahead<'a>(
    view: &'a View,
    pod: &Value,
    nodes: &[&Arc<Value>],
    faults: &Faults,
) -> Option<(&'a Arc<Value>, String)> {
    let own = priority(pod);
    if !view.has_pending_above(own) {
        return None;
    }
    let waiting = view.pending().filter_map(|key| view.find(key));
    let mut above: Vec<&Arc<Value>> = waiting.filter(|p| priority(p) > own).collect();
    above.sort_by_key(|p| (-priority(p), text(p, "/metadata/creationTimestamp").to_owned()));
    above.into_iter().take(AHEAD_MAX).find_map(|p| Some((p, find(view, p, nodes, faults).ok()?)))
}

/// Looks for pods that could leave, has them leave, and says how the pod stands. The text for its event.
fn preempt(
    view: &View,
    pod: &Arc<Value>,
    nodes: &[&Arc<Value>],
    refusal: Refusal,
    now: Timestamp,
    step: &mut Step,
) -> String {
    let none = (Vec::new(), Some(String::new()));
    let (message, (victims, nomination)) = match &refusal {
        Refusal::NoNodes => ("no nodes available to schedule pods".to_owned(), none),
        Refusal::Beforehand(why) => {
            let all = nodes.len();
            let tail = unavailable(all, &format!("{all} Preemption is not helpful for scheduling"));
            (format!("{} preemption: {tail}", unavailable(all, why)), none)
        }
        Refusal::Unfit(unfit) => {
            let head = unavailable(nodes.len(), &histogram(unfit.iter().flat_map(|(_, u)| &u.reasons)));
            match preemption::attempt(view, pod, nodes, unfit) {
                Outcome::Found { node, victims } => (head, (victims, Some(node))),
                Outcome::NotEligible(why) => (format!("{head} preemption: {why}"), (Vec::new(), None)),
                Outcome::Nothing(reasons) => {
                    let tail = unavailable(nodes.len(), &histogram(&reasons));
                    (format!("{head} preemption: {tail}"), none)
                }
            }
        }
    };
    if let Some(node) = nomination.as_deref().filter(|n| !n.is_empty()) {
        preemption::carry_out(view, pod, node, &victims, now, step);
    }
    tell_unschedulable(pod, &message, nomination.as_deref(), now, step);
    message
}

/// `nomination`: the node kept for it, empty for none any more; None leaves it as it is.
fn tell_unschedulable(
    pod: &Arc<Value>,
    message: &str,
    nomination: Option<&str>,
    now: Timestamp,
    step: &mut Step,
) {
    let known = condition(pod, "PodScheduled").filter(|c| c["status"] == "False");
    let is_nominated = nomination.is_none_or(|node| node == nominated_node(pod));
    if known.is_some_and(|c| c["message"] == message) && is_nominated {
        return;
    }
    let since = known.map_or(stamp(now), |c| c["lastTransitionTime"].clone());
    let mut object = Value::clone(pod);
    let mut conditions = items(pod, "/status/conditions").clone();
    conditions.retain(|c| c["type"] != "PodScheduled");
    conditions.push(json!({"type": "PodScheduled", "status": "False", "lastProbeTime": null,
        "lastTransitionTime": since, "reason": "Unschedulable", "message": message}));
    set(&mut object, "/status/conditions", conditions.into());
    match nomination {
        Some("") => remove(&mut object, "/status/nominatedNodeName"),
        Some(node) => set(&mut object, "/status/nominatedNodeName", node.into()),
        None => {}
    }
    step.push(Write::update_status(ACTOR, r::PODS, object));
}

/// The node with the most free memory among those that fit; names break ties. The one kept for it comes first.
fn choose(view: &View, pod: &Value, nodes: &[&Arc<Value>]) -> Result<String, Refusal> {
    if nodes.is_empty() {
        return Err(Refusal::NoNodes);
    }
    if let Some(why) = claims::unready(view, pod) {
        return Err(Refusal::Beforehand(why));
    }
    let filters = Filters::of(view, pod, nodes);
    let mut unfit = Vec::new();
    let mut best: Option<(bool, i128, String)> = None;
    for node in nodes {
        match filters.judge(node, &Trial::default()) {
            Ok(free) => {
                let is_kept = name(node) == nominated_node(pod);
                if best.as_ref().is_none_or(|(kept, most, _)| (is_kept, free) > (*kept, *most)) {
                    best = Some((is_kept, free, name(node).to_owned()));
                }
            }
            Err(why) => unfit.push((name(node).to_owned(), why)),
        }
    }
    best.map(|(_, _, node)| node).ok_or(Refusal::Unfit(unfit))
}

/// `2 Insufficient cpu, 1 node(s) were unschedulable`, in the order of the text.
fn histogram<'a>(reasons: impl IntoIterator<Item = &'a String>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut list: Vec<String> = counts.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    list.sort();
    list.join(", ")
}

fn unavailable(nodes: usize, why: &str) -> String {
    format!("0/{nodes} nodes are available: {why}.")
}

/// The filters for one pod, with what does not depend on the node worked out.
pub struct Filters<'a> {
    view: &'a View,
    pod: &'a Value,
    nodes: &'a [&'a Arc<Value>],
    company: Company,
    /// Waiting pods that are no less important, by the node that is kept for them.
    nominated: Vec<(&'a Arc<Value>, &'a str)>,
}

impl<'a> Filters<'a> {
    pub fn of(view: &'a View, pod: &'a Value, nodes: &'a [&'a Arc<Value>]) -> Filters<'a> {
        let company = Company::of(view, pod, nodes, &Trial::default());
        let nominated = view
            .nominated()
            .filter(|p| priority(p) >= priority(pod) && uid(p) != uid(pod))
            .map(|p| (p, nominated_node(p)))
            .collect();
        Filters { view, pod, nodes, company, nominated }
    }

    /// The free memory of a node that fits, or why it does not. It has to fit with the pods the node is kept for and
    /// without them.
    pub fn judge(&self, node: &Value, trial: &Trial) -> Result<i128, Unfit> {
        let kept: Vec<_> = self.nominated.iter().filter(|(_, at)| *at == name(node)).copied().collect();
        if !kept.is_empty() {
            let mut fuller = trial.clone();
            fuller.with.extend(kept);
            self.pass(node, &fuller)?;
        }
        self.pass(node, trial)
    }

    /// The first filter that refuses, as the real one.
    fn pass(&self, node: &Value, trial: &Trial) -> Result<i128, Unfit> {
        let pod = self.pod;
        let refuse = |reason: &str, is_resolvable: bool| {
            Err(Unfit { reasons: vec![reason.to_owned()], is_resolvable })
        };
        // Pods of DaemonSets tolerate it.
        let cordon = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
        if flag(node, "/spec/unschedulable") && !is_tolerated(pod, &cordon) {
            return refuse("node(s) were unschedulable", false);
        }
        if untolerated(pod, node).is_some() {
            return refuse("node(s) had untolerated taint(s)", false);
        }
        if !matches_node(pod, node) {
            return refuse("node(s) didn't match Pod's node affinity/selector", false);
        }
        if !self.has_ports(node, trial) {
            return refuse("node(s) didn't have free ports for the requested pod ports", true);
        }
        let free = self.fits(node, trial)?;
        let is_plain = trial.without.is_empty() && trial.with.is_empty();
        let company = match is_plain {
            true => self.company.unfit(node),
            false => Company::of(self.view, pod, self.nodes, trial).unfit(node),
        };
        match company {
            Some(why) => refuse(why.reason, why.is_resolvable),
            None => Ok(free),
        }
    }

    /// No port of the host that it asks for is taken.
    fn has_ports(&self, node: &Value, trial: &Trial) -> bool {
        let wanted = host_ports(self.pod);
        if wanted.is_empty() {
            return true;
        }
        let here = pods_on(self.view, name(node)).filter(|p| !trial.without.contains(uid(p)));
        let mut others = here.chain(trial.with.iter().map(|(p, _)| *p)).flat_map(|p| host_ports(p));
        let clashes = |taken: &(String, String, i64)| {
            let is_same = |p: &(String, String, i64)| {
                let is_anywhere = p.0.is_empty() || taken.0.is_empty() || p.0 == taken.0;
                is_anywhere && p.1 == taken.1 && p.2 == taken.2
            };
            wanted.iter().any(is_same)
        };
        !others.any(|taken| clashes(&taken))
    }

    /// The free memory, if there is enough of everything (`fitsRequest`).
    fn fits(&self, node: &Value, trial: &Trial) -> Result<i128, Unfit> {
        let whole = allocatable(node);
        let mut free = whole.clone();
        let mut take = |taken: &load::Taken, sign: i128| {
            for (resource, n) in taken {
                *free.entry(resource.clone()).or_default() -= n * sign;
            }
        };
        if let Some(taken) = self.view.taken(name(node)) {
            take(taken, 1);
        }
        for pod in pods_on(self.view, name(node)).filter(|p| trial.without.contains(uid(p))) {
            take(&load::share(pod), -1);
        }
        trial.with.iter().for_each(|(pod, _)| take(&load::share(pod), 1));
        let mut unfit = Unfit { reasons: Vec::new(), is_resolvable: true };
        if whole.contains_key(load::PODS) && free[load::PODS] < 1000 {
            unfit.reasons.push("Too many pods".to_owned());
        }
        for (resource, n) in requests(self.pod).into_iter().filter(|(_, n)| *n > 0) {
            if n > free.get(&resource).copied().unwrap_or(0) {
                unfit.is_resolvable &= n <= whole.get(&resource).copied().unwrap_or(0);
                unfit.reasons.push(format!("Insufficient {resource}"));
            }
        }
        if unfit.reasons.is_empty() { Ok(free.get("memory").copied().unwrap_or(0)) } else { Err(unfit) }
    }
}

/// The pods that are bound to a node and not over.
pub fn pods_on<'a>(view: &'a View, node: &'a str) -> impl Iterator<Item = &'a Arc<Value>> {
    let pods = view.list(r::PODS).map(|(_, p)| p);
    pods.filter(move |p| text(p, "/spec/nodeName") == node && !is_over(p))
}

/// Address, protocol and number of the ports of the host a pod takes. No address: all of them.
fn host_ports(pod: &Value) -> Vec<(String, String, i64)> {
    let sidecars = items(pod, "/spec/initContainers").iter().filter(|c| c["restartPolicy"] == "Always");
    let ports = sidecars.chain(items(pod, "/spec/containers")).flat_map(|c| items(c, "/ports"));
    let taken = ports.filter(|p| int(p, "/hostPort") > 0).map(|p| {
        let address = text(p, "/hostIP").trim_start_matches("0.0.0.0").to_owned();
        let protocol = p["protocol"].as_str().unwrap_or("TCP").to_owned();
        (address, protocol, int(p, "/hostPort"))
    });
    taken.collect()
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
    // What the pod says as a whole holds for all of them.
    for (k, v) in at(pod, "/spec/resources/requests").as_object().into_iter().flatten() {
        sum.insert(k.clone(), v.as_str().and_then(milli).unwrap_or(0));
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
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
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
            "0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        );
        check(json!({"tolerations": [{"key": "k", "operator": "Exists"}]}), vec![node("2", taint())], "a");
    }
}
