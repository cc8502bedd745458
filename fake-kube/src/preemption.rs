//! Preemption: which pods have to leave a node so that a more important one fits, and how they are told (kubernetes 1.35
//! pkg/scheduler/framework/preemption and plugins/defaultpreemption). The candidate is the node where least is lost; of
//! its pods of lower priority as many are spared as still leave room, those whose disruption budget is used up first.
//! Leaves out extenders, and trying only a part of the nodes of large clusters beyond a fixed number.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::affinity::Trial;
use crate::json::*;
use crate::scheduler::{Filters, Unfit, nominated_node, pods_on, priority};
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, Step, Write};

const ACTOR: &str = "kube-scheduler";
const COMPONENT: &str = "default-scheduler";
/// Nodes that are tried (`minCandidateNodesAbsolute`).
const CANDIDATES_MAX: usize = 100;
const TARGET: &str = "DisruptionTarget";
const REASON: &str = "PreemptionByScheduler";

pub enum Outcome {
    Found {
        node: String,
        /// The most important first.
        victims: Vec<Arc<Value>>,
    },
    NotEligible(&'static str),
    /// For each node why it does not help.
    Nothing(Vec<String>),
}

struct Candidate<'a> {
    node: &'a str,
    victims: Vec<&'a Arc<Value>>,
    violations: usize,
}

/// Looks for the node to clear. `unfit` is what the filters said of each.
pub fn attempt(view: &View, pod: &Value, nodes: &[&Arc<Value>], unfit: &[(String, Unfit)]) -> Outcome {
    if let Some(why) = not_eligible(view, pod, unfit) {
        return Outcome::NotEligible(why);
    }
    let filters = Filters::of(view, pod, nodes);
    let mut found: Vec<Candidate> = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    for (node, why) in unfit {
        let node = nodes.iter().find(|n| name(n) == node);
        match node.filter(|_| why.is_resolvable && found.len() < CANDIDATES_MAX) {
            None => reasons.push("Preemption is not helpful for scheduling".to_owned()),
            Some(node) => match candidate(view, pod, node, &filters) {
                Ok(candidate) => found.push(candidate),
                Err(why) => reasons.extend(why),
            },
        }
    }
    match found.into_iter().min_by_key(|c| cost(c)) {
        Some(best) => Outcome::Found {
            node: best.node.to_owned(),
            victims: best.victims.into_iter().cloned().collect(),
        },
        None => Outcome::Nothing(reasons),
    }
}

/// Whoever has made others leave waits until they are gone.
fn not_eligible(view: &View, pod: &Value, unfit: &[(String, Unfit)]) -> Option<&'static str> {
    if text(pod, "/spec/preemptionPolicy") == "Never" {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let kept = nominated_node(pod);
    let is_hopeless = unfit.iter().any(|(node, why)| node == kept && !why.is_resolvable);
    let is_leaving = |p: &Arc<Value>| {
        is_deleting(p)
            && priority(p) < priority(pod)
            && condition(p, TARGET).is_some_and(|c| c["status"] == "True" && c["reason"] == REASON)
    };
    let waits = !kept.is_empty() && !is_hopeless && pods_on(view, kept).any(is_leaving);
    waits.then_some("not eligible due to a terminating pod on the nominated node.")
}

/// Whom it takes on one node, or why that does not help.
fn candidate<'a>(
    view: &'a View,
    pod: &Value,
    node: &'a Value,
    filters: &Filters,
) -> Result<Candidate<'a>, Vec<String>> {
    let mut potential: Vec<&Arc<Value>> =
        pods_on(view, name(node)).filter(|p| priority(p) < priority(pod)).collect();
    if potential.is_empty() {
        return Err(vec!["No preemption victims found for incoming pod".to_owned()]);
    }
    let mut trial = Trial { without: potential.iter().map(|p| uid(p)).collect(), with: Vec::new() };
    filters.judge(node, &trial).map_err(|unfit| unfit.reasons)?;
    potential.sort_by_key(|p| importance(p));
    let protected = protected(view, &potential);
    let (first, then): (Vec<_>, Vec<_>) = potential.into_iter().partition(|p| protected.contains(uid(p)));
    let (mut victims, mut violations) = (Vec::new(), 0);
    for (i, pod) in first.iter().chain(&then).enumerate() {
        trial.without.remove(uid(pod));
        if filters.judge(node, &trial).is_err() {
            trial.without.insert(uid(pod));
            victims.push(*pod);
            violations += usize::from(i < first.len());
        }
    }
    victims.sort_by_key(|p| importance(p));
    Ok(Candidate { node: name(node), victims, violations })
}

/// Smaller is more important: the priority, then how long it has been running.
fn importance(pod: &Value) -> impl Ord + use<> {
    (Reverse(priority(pod)), started(pod), name(pod).to_owned())
}

fn started(pod: &Value) -> Timestamp {
    time(pod, "/status/startTime").unwrap_or(Timestamp::MAX)
}

/// The uids of those of these pods whose disruption budget does not allow that they go (`filterPodsWithPDBViolation`).
fn protected<'a>(view: &View, pods: &[&'a Arc<Value>]) -> BTreeSet<&'a str> {
    let mut budgets: Vec<(&Arc<Value>, i64)> =
        view.list(r::BUDGETS).map(|(_, b)| (b, int(b, "/status/disruptionsAllowed"))).collect();
    let mut out = BTreeSet::new();
    for pod in pods {
        let labels = at(pod, "/metadata/labels");
        let is_labelled = labels.as_object().is_some_and(|l| !l.is_empty());
        for (budget, allowed) in budgets.iter_mut().filter(|_| is_labelled) {
            let selector = at(budget, "/spec/selector");
            let is_empty = selector.as_object().is_none_or(serde_json::Map::is_empty);
            let is_known = !at(budget, "/status/disruptedPods")[name(pod)].is_null();
            if namespace(budget) != namespace(pod)
                || is_empty
                || is_known
                || !selector_matches(selector, labels)
            {
                continue;
            }
            *allowed -= 1;
            if *allowed < 0 {
                out.insert(uid(pod));
            }
        }
    }
    out
}

/// What clearing a node costs (`pickOneNodeForPreemption`): broken budgets, the highest priority, the sum of priorities,
/// the number of pods, how long the most important has been running; the first of equal ones.
fn cost(candidate: &Candidate) -> impl Ord + use<> {
    let victims = &candidate.victims;
    let highest = victims.first().map_or(i64::MIN, |p| priority(p));
    let sum: i128 = victims.iter().map(|p| i128::from(priority(p)) + i128::from(i32::MAX) + 1).sum();
    let earliest = victims.iter().filter(|p| priority(p) == highest).map(|p| started(p)).min();
    (candidate.violations, highest, sum, victims.len(), Reverse(earliest))
}

/// The victims are told and deleted; what was kept for pods of lower priority on that node is kept no longer.
pub fn carry_out(
    view: &View,
    pod: &Arc<Value>,
    node: &str,
    victims: &[Arc<Value>],
    now: Timestamp,
    step: &mut Step,
) {
    for victim in victims.iter().filter(|v| !is_deleting(v)) {
        step.push(Write::update_status(ACTOR, r::PODS, targeted(victim, pod, now)));
        let message = format!("Preempted by pod {} on node {node}", uid(pod));
        let event = EventSpec::normal(victim, COMPONENT, "Preempted", message);
        step.push(Write::delete(ACTOR, &Key::of(r::PODS, victim), None, uid(victim)).then(event));
    }
    for other in view.nominated().filter(|p| nominated_node(p) == node && priority(p) < priority(pod)) {
        let mut object = Value::clone(other);
        remove(&mut object, "/status/nominatedNodeName");
        step.push(Write::update_status(ACTOR, r::PODS, object));
    }
}

/// A victim with the condition that says why it goes.
fn targeted(victim: &Value, pod: &Value, now: Timestamp) -> Value {
    let mut object = victim.clone();
    let scheduler = at(pod, "/spec/schedulerName").as_str().unwrap_or(COMPONENT);
    let since = condition(victim, TARGET).filter(|c| c["status"] == "True");
    let since = since.map_or(stamp(now), |c| c["lastTransitionTime"].clone());
    let mut conditions = items(victim, "/status/conditions").clone();
    conditions.retain(|c| c["type"] != TARGET);
    let mut told = json!({"type": TARGET});
    if let Some(generation) = at(victim, "/metadata/generation").as_i64() {
        told["observedGeneration"] = generation.into();
    }
    told["status"] = "True".into();
    told["lastProbeTime"] = Value::Null;
    told["lastTransitionTime"] = since;
    told["reason"] = REASON.into();
    told["message"] = format!("{scheduler}: preempting to accommodate a higher priority pod").into();
    conditions.push(told);
    set(&mut object, "/status/conditions", conditions.into());
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::{now, view};
    use crate::faults::Faults;
    use crate::write::Op;

    fn node(name: &str) -> (&'static str, Value) {
        let o = json!({"metadata": {"name": name, "labels": {"zone": name}},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
        (r::NODES, o)
    }

    /// A pod that asks for so many cores.
    fn pod(name: &str, node: &str, priority: i64, cores: i64, started: &str) -> (&'static str, Value) {
        let mut o = json!({"metadata": {"name": name, "namespace": "n", "uid": format!("u-{name}"), "labels": {"app": name}},
            "spec": {"priority": priority, "containers": [{"name": "c", "resources": {"requests": {"cpu": cores.to_string()}}}]},
            "status": {"phase": "Running", "startTime": format!("2026-01-01T00:{started}:00Z")}});
        if !node.is_empty() {
            o["spec"]["nodeName"] = node.into();
        }
        (r::PODS, o)
    }

    /// What the scheduler does about the pod `p`: whom it deletes, where it is to go, what it says.
    fn check(objects: Vec<(&str, Value)>, expected: &[&str]) {
        let step =
            crate::scheduler::sync(&view(objects), &Key::new(r::PODS, "n", "p"), &Faults::default(), now());
        let said = step.writes.iter().filter_map(|w| match &w.op {
            Op::Delete { .. } => Some(format!("delete {}", w.target.name)),
            Op::Bind { node } => Some(format!("bind {} {node}", w.target.name)),
            Op::UpdateStatus(o) if w.target.name == "p" => Some(format!("kept {}", nominated_node(o))),
            Op::UpdateStatus(o) if condition(o, TARGET).is_none() => {
                Some(format!("released {}", w.target.name))
            }
            Op::Event(e) => Some(e.message.clone()),
            _ => None,
        });
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }

    fn wanting(priority: i64, cores: i64) -> (&'static str, Value) {
        let mut p = pod("p", "", priority, cores, "50");
        p.1["status"] = json!({"phase": "Pending"});
        p
    }

    const SHORT: &str = "0/1 nodes are available: 1 Insufficient cpu.";

    #[test]
    fn as_many_as_possible_are_spared() {
        let low = |name: &str, priority: i64| pod(name, "a", priority, 1, "10");
        let four = || vec![node("a"), low("w", 1), low("x", 3), low("y", 2), low("z", 9)];
        let with = |p: (&'static str, Value)| {
            let mut all = four();
            all.push(p);
            all
        };
        check(with(wanting(5, 1)), &["delete w", "kept a", SHORT]);
        check(with(wanting(5, 2)), &["delete y", "delete w", "kept a", SHORT]);
        let none = |why: &str| format!("{SHORT} preemption: 0/1 nodes are available: 1 {why}.");
        check(with(wanting(5, 4)), &["kept ", &none("Insufficient cpu")]);
        check(with(wanting(1, 1)), &["kept ", &none("No preemption victims found for incoming pod")]);
        check(with(wanting(50, 5)), &["kept ", &none("Preemption is not helpful for scheduling")]);
        let mut polite = wanting(5, 1);
        polite.1["spec"]["preemptionPolicy"] = "Never".into();
        let why = format!("{SHORT} preemption: not eligible due to preemptionPolicy=Never.");
        check(with(polite), &["kept ", &why]);
    }

    #[test]
    fn the_node_where_least_is_lost() {
        let two = "0/2 nodes are available: 2 Insufficient cpu.";
        let full =
            |name: &str, node: &str, priority: i64, started: &str| pod(name, node, priority, 4, started);
        let all = |more: Vec<(&'static str, Value)>| {
            let mut all = vec![node("a"), node("b"), wanting(100, 4)];
            all.extend(more);
            all
        };
        // The lower priority, then fewer, then the one that began later.
        check(all(vec![full("x", "a", 5, "10"), full("y", "b", 4, "10")]), &["delete y", "kept b", two]);
        let halves = || vec![pod("x", "a", 5, 2, "10"), pod("y", "a", 5, 2, "10"), full("z", "b", 5, "10")];
        check(all(halves()), &["delete z", "kept b", two]);
        check(all(vec![full("x", "a", 5, "10"), full("y", "b", 5, "20")]), &["delete y", "kept b", two]);
        // A budget that is used up weighs most.
        let budget = json!({"metadata": {"name": "b", "namespace": "n"}, "spec": {"selector": {"matchLabels": {"app": "y"}}},
            "status": {"disruptionsAllowed": 0}});
        let guarded = vec![full("x", "a", 5, "10"), full("y", "b", 4, "10"), (r::BUDGETS, budget)];
        check(all(guarded), &["delete x", "kept a", two]);
    }

    #[test]
    fn what_is_kept_for_one_is_not_given_to_another() {
        let kept = || {
            let mut q = wanting(9, 4);
            q.1["metadata"] = json!({"name": "q", "namespace": "n", "uid": "u-q"});
            q.1["status"]["nominatedNodeName"] = "a".into();
            q
        };
        let mut leaving = pod("x", "a", 1, 4, "10");
        leaving.1["metadata"]["deletionTimestamp"] = "2026-01-01T00:30:00Z".into();
        leaving.1["status"]["conditions"] = json!([{"type": TARGET, "status": "True", "reason": REASON}]);
        // Of the same importance, later: it has to wait.
        let why = format!("{SHORT} preemption: 0/1 nodes are available: 1 Insufficient cpu.");
        check(vec![node("a"), kept(), leaving.clone(), wanting(9, 1)], &["kept ", &why]);
        // A more important one takes it.
        check(vec![node("a"), kept(), leaving.clone(), wanting(10, 1)], &["released q", "kept a", SHORT]);
        // Whoever waits for pods to leave does not look for more.
        let mut waits = wanting(9, 4);
        waits.1["status"]["nominatedNodeName"] = "a".into();
        let why = format!("{SHORT} preemption: not eligible due to a terminating pod on the nominated node.");
        check(vec![node("a"), waits, leaving], &["kept a", &why]);
    }

    #[test]
    fn guests_that_keep_others_away_can_be_asked_to_leave() {
        let mut guard = pod("g", "a", 1, 1, "10");
        guard.1["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"labelSelector": {"matchLabels": {"app": "p"}}, "topologyKey": "zone"}]}});
        let text = "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.";
        check(vec![node("a"), guard, wanting(5, 1)], &["delete g", "kept a", text]);
    }

    #[test]
    fn the_more_important_one_is_bound_first() {
        let mut other = wanting(7, 4);
        other.1["metadata"] = json!({"name": "q", "namespace": "n", "uid": "u-q"});
        check(vec![node("a"), wanting(1, 4), other], &["bind q a"]);
    }

    #[test]
    fn ports_of_the_host_are_given_once() {
        let with_port = |mut p: (&'static str, Value), ip: &str| {
            p.1["spec"]["containers"][0]["ports"] =
                json!([{"containerPort": 1, "hostPort": 80, "hostIP": ip, "protocol": "TCP"}]);
            p
        };
        let taken = |ip: &str| with_port(pod("x", "a", 1, 1, "10"), ip);
        let text = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. preemption: \
                    0/1 nodes are available: 1 No preemption victims found for incoming pod.";
        check(vec![node("a"), taken("0.0.0.0"), with_port(wanting(1, 1), "10.0.0.1")], &["kept ", text]);
        check(vec![node("a"), taken("10.0.0.2"), with_port(wanting(1, 1), "10.0.0.1")], &["bind p a"]);
    }
}
