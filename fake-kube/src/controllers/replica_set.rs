//! The ReplicaSet controller: keeps the number of pods, chooses which to delete, reports refusals
//! (kube-api.md 3.2; recorded in wl-rollout and wl-quota).

use std::sync::Arc;

use fake_kube_apiserver::equal;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::deployment::ACTOR;
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, OnRefusal, Step, Write};

const COMPONENT: &str = "replicaset-controller";
/// One sync creates or deletes at most this many pods (`BurstReplicas`).
const BURST: i64 = 500;

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let Some(rs) = view.find(key) else { return Step::nothing() };
    let mut step = Step::nothing();
    let pods = view.controlled(r::PODS, uid(rs));
    let active: Vec<&Arc<Value>> = pods.iter().copied().filter(|p| is_active(p)).collect();
    let terminating = pods.iter().filter(|p| is_deleting(p)).count();
    let difference = i64::try_from(active.len()).unwrap_or(i64::MAX) - int_or(rs, "/spec/replicas", 1);
    let refusal = view.refusals.get(uid(rs)).filter(|_| difference != 0);
    if !is_deleting(rs) && difference != 0 {
        match refusal {
            Some(refusal) if refusal.retry_at() > now => step.look_again(refusal.retry_at()),
            _ if difference < 0 => create(&mut step, rs, (-difference).min(BURST)),
            _ => delete(&mut step, rs, &active, difference.min(BURST)),
        }
    }
    let status = status(rs, &active, terminating, refusal, now, &mut step);
    if !equal(&status, at(rs, "/status")) {
        let mut object = Value::clone(rs);
        set(&mut object, "/status", status);
        step.push(Write::update_status(ACTOR, r::REPLICA_SETS, object));
    }
    step
}

pub fn is_active(pod: &Value) -> bool {
    !is_deleting(pod) && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn create(step: &mut Step, rs: &Arc<Value>, count: i64) {
    let pod = pod_from_template(rs, "apps/v1", "ReplicaSet");
    for _ in 0..count {
        step.push(
            Write::create(ACTOR, r::PODS, pod.clone())
                .then(EventSpec::normal(rs, COMPONENT, "SuccessfulCreate", "Created pod: {name}".into()))
                .or_refused(OnRefusal {
                    owner_uid: uid(rs).into(),
                    reason: "FailedCreate",
                    event: EventSpec::warning(
                        rs,
                        COMPONENT,
                        "FailedCreate",
                        "Error creating: {error}".into(),
                    ),
                }),
        );
    }
}

/// A pod of the owner's template, with a generated name.
pub fn pod_from_template(owner: &Value, api_version: &str, kind: &str) -> Value {
    let template = at(owner, "/spec/template");
    let mut metadata = json!({"generateName": format!("{}-", name(owner)), "namespace": namespace(owner)});
    for part in ["labels", "annotations", "finalizers"] {
        let v = &template["metadata"][part];
        if v.as_object().is_some_and(|m| !m.is_empty()) || v.as_array().is_some_and(|a| !a.is_empty()) {
            metadata[part] = v.clone();
        }
    }
    metadata["ownerReferences"] = json!([controller_ref(owner, api_version, kind)]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": at(template, "/spec")})
}

fn delete(step: &mut Step, rs: &Arc<Value>, active: &[&Arc<Value>], count: i64) {
    let mut ranked: Vec<&Arc<Value>> = active.to_vec();
    ranked.sort_by_key(|p| deletion_rank(p));
    for pod in ranked.into_iter().take(usize::try_from(count).unwrap_or(0)) {
        let message = format!("Deleted pod: {}", name(pod));
        step.push(Write::delete(ACTOR, &Key::of(r::PODS, pod), None, uid(pod)).then(EventSpec::normal(
            rs,
            COMPONENT,
            "SuccessfulDelete",
            message,
        )));
    }
}

/// Smaller goes first: unassigned, not running, not ready, cheap to delete, ready for a short time, much
/// restarted, young (`controller.ActivePodsWithRanks`).
pub(super) fn deletion_rank(pod: &Value) -> impl Ord {
    let cost = annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
    let ready_since = condition(pod, "Ready").and_then(|c| time(c, "/lastTransitionTime"));
    let restarts = items(pod, "/status/containerStatuses").iter().map(|c| int(c, "/restartCount")).max();
    let phase = match text(pod, "/status/phase") {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    (
        !text(pod, "/spec/nodeName").is_empty(),
        phase,
        condition_is_true(pod, "Ready"),
        cost.and_then(|s| s.parse::<i64>().ok()).unwrap_or(0),
        std::cmp::Reverse(ready_since.filter(|_| condition_is_true(pod, "Ready"))),
        std::cmp::Reverse(restarts.unwrap_or(0)),
        std::cmp::Reverse(text(pod, "/metadata/creationTimestamp").to_owned()),
        name(pod).to_owned(),
    )
}

/// When a ready pod counts as available: `minReadySeconds` after it became ready.
pub fn available_at(pod: &Value, min_ready: i64) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|c| c["status"] == "True")?;
    if min_ready == 0 {
        return Some(Timestamp::UNIX_EPOCH);
    }
    time(ready, "/lastTransitionTime").map(|t| after_secs(t, min_ready))
}

fn status(
    rs: &Value,
    active: &[&Arc<Value>],
    terminating: usize,
    refusal: Option<&crate::view::Refusal>,
    now: Timestamp,
    step: &mut Step,
) -> Value {
    let labels = at(rs, "/spec/template/metadata/labels");
    let labelled = active.iter().filter(|p| {
        labels.as_object().is_none_or(|m| m.iter().all(|(k, v)| at(p, "/metadata/labels")[k] == *v))
    });
    let ready = active.iter().filter(|p| condition_is_true(p, "Ready")).count();
    let mut available = 0;
    for t in active.iter().filter_map(|p| available_at(p, int(rs, "/spec/minReadySeconds"))) {
        if t <= now {
            available += 1;
        } else {
            step.look_again(t);
        }
    }
    let mut status = Map::new();
    status.insert("replicas".into(), active.len().into());
    let counters = [
        ("fullyLabeledReplicas", labelled.count()),
        ("readyReplicas", ready),
        ("availableReplicas", available),
    ];
    status.extend(counters.into_iter().filter(|(_, n)| *n != 0).map(|(k, n)| (k.to_owned(), n.into())));
    status.insert("terminatingReplicas".into(), terminating.into());
    status.insert("observedGeneration".into(), at(rs, "/metadata/generation").clone());
    if let Some(refusal) = refusal {
        let same = condition(rs, "ReplicaFailure").filter(|c| c["reason"] == refusal.reason);
        let fresh = json!({"type": "ReplicaFailure", "status": "True", "lastTransitionTime": stamp(refusal.since),
                           "reason": refusal.reason, "message": refusal.message});
        // The generated name differs in each refusal; the first text stays as long as the reason does.
        status.insert("conditions".into(), json!([same.cloned().unwrap_or(fresh)]));
    }
    Value::Object(status)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::view::Refusal;
    use crate::write::Op;

    fn rs(replicas: i64) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": "d-x", "namespace": "n", "uid": "u-rs", "generation": 1},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "d"}},
                     "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": []}}}})
    }

    fn mine(name: &str, ready: bool) -> (&'static str, Value) {
        (r::PODS, pod(name, ("ReplicaSet", "d-x", "u-rs"), ready))
    }

    fn check(objects: Vec<(&str, Value)>, expected: &[&str]) {
        let step = sync(&view(objects), &Key::new(r::REPLICA_SETS, "n", "d-x"), now());
        let said: Vec<String> = step
            .writes
            .iter()
            .map(|w| match &w.op {
                Op::Create(p) => format!("create {}", text(p, "/metadata/generateName")),
                Op::Delete { .. } => format!("delete {}", w.target.name),
                Op::UpdateStatus(o) => format!("status {}", at(o, "/status/replicas")),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn counts() {
        check(vec![(r::REPLICA_SETS, rs(2))], &["create d-x-", "create d-x-", "status 0"]);
        check(vec![(r::REPLICA_SETS, rs(1)), mine("a", true)], &["status 1"]);
        check(vec![(r::REPLICA_SETS, rs(1)), mine("a", true), mine("b", false)], &["delete b", "status 2"]);
        let mut done = mine("a", false);
        done.1["status"]["phase"] = "Failed".into();
        check(vec![(r::REPLICA_SETS, rs(1)), done], &["create d-x-", "status 0"]);
    }

    #[test]
    fn a_refusal_is_a_condition_and_waits() {
        let mut v = view(vec![(r::REPLICA_SETS, rs(1))]);
        let refusal = Refusal { reason: "FailedCreate", message: "no".into(), since: now(), count: 4 };
        v.refusals.insert("u-rs".into(), refusal);
        let step = sync(&v, &Key::new(r::REPLICA_SETS, "n", "d-x"), now());
        let Op::UpdateStatus(o) = &step.writes[0].op else { panic!("no create during back-off") };
        assert_eq!(condition(o, "ReplicaFailure").expect("set")["message"], "no");
        assert_eq!(step.due.map(|t| t.as_millisecond() - now().as_millisecond()), Some(40));
    }
}
