//! The StatefulSet controller: named pods in order, their claims, revisions (kube-api.md 3.3, case wl-statefulset;
//! kubernetes 1.35 pkg/controller/statefulset). Pods below the partition are made anew as the revision that was current.
//! Who owns the claims is `retention`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::deployment::ACTOR;
use super::replica_set::{available_at, pod_from_template};
use super::retention;
use super::revisions::{self, REVISION};
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, OnRefusal, Step, Write};

const COMPONENT: &str = "statefulset-controller";

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(set) = view.find(key).filter(|s| !is_deleting(s)) else { return step };
    let revision = revisions::current(view, set, "StatefulSet", &mut step);
    let mut pods: Vec<(i64, &Arc<Value>)> = view
        .controlled(r::PODS, uid(set))
        .into_iter()
        .filter_map(|p| Some((name(p).rsplit_once('-')?.1.parse().ok()?, p)))
        .collect();
    pods.sort_by_key(|(i, _)| *i);
    let refused = view.refusals.get(uid(set)).filter(|refusal| refusal.retry_at() > now);
    match refused {
        Some(refusal) => step.look_again(refusal.retry_at()),
        None => {
            let replicas = Replicas::of(set);
            for (ordinal, pod) in &pods {
                let claims = claims(set, name(pod)).filter_map(|c| view.get(r::CLAIMS, &key.namespace, &c));
                let is_condemned = !replicas.contains(*ordinal);
                claims.for_each(|claim| retention::keep(set, pod, is_condemned, claim, &mut step));
            }
            act(view, set, &pods, &revision, now, &mut step);
        }
    }
    let status = status(set, &pods, &revision, now, &mut step);
    if status != *at(set, "/status") {
        let mut object = Value::clone(set);
        object["status"] = status;
        step.push(Write::update_status(ACTOR, r::STATEFUL_SETS, object));
    }
    step
}

/// The ordinals there should be.
struct Replicas {
    start: i64,
    end: i64,
}

impl Replicas {
    fn of(set: &Value) -> Replicas {
        let start = int(set, "/spec/ordinals/start");
        Replicas { start, end: start.saturating_add(int_or(set, "/spec/replicas", 1)) }
    }

    fn contains(&self, ordinal: i64) -> bool {
        (self.start..self.end).contains(&ordinal)
    }
}

/// The names of the claims of a pod.
fn claims<'a>(set: &'a Value, pod_name: &'a str) -> impl Iterator<Item = String> + 'a {
    let templates = items(set, "/spec/volumeClaimTemplates").iter();
    templates.map(move |template| format!("{}-{pod_name}", name(template)))
}

fn is_ready(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running" && condition_is_true(pod, "Ready")
}

/// Ready for long enough, and not going.
fn is_available(set: &Value, pod: &Value, now: Timestamp) -> bool {
    let since = available_at(pod, int(set, "/spec/minReadySeconds"));
    !is_deleting(pod) && is_ready(pod) && since.is_some_and(|t| t <= now)
}

fn act(
    view: &View,
    set: &Arc<Value>,
    pods: &[(i64, &Arc<Value>)],
    revision: &str,
    now: Timestamp,
    step: &mut Step,
) {
    let replicas = Replicas::of(set);
    let parallel = text(set, "/spec/podManagementPolicy") == "Parallel";
    for ordinal in replicas.start..replicas.end {
        match pods.iter().find(|(i, _)| *i == ordinal) {
            None => create(view, set, ordinal, revision, now, step),
            Some((_, pod))
                if matches!(text(pod, "/status/phase"), "Failed" | "Succeeded") && !is_deleting(pod) =>
            {
                delete(set, pod, step);
            }
            Some((_, pod)) if is_available(set, pod, now) => continue,
            Some((_, pod)) if text(pod, "/status/phase") == "Pending" => {
                create_claims(view, set, name(pod), step);
            }
            Some(_) => {}
        }
        // In order: what is not healthy holds back all that come after it.
        if !parallel {
            return;
        }
    }
    let surplus: Vec<&Arc<Value>> =
        pods.iter().rev().filter(|(i, _)| !replicas.contains(*i)).map(|(_, p)| *p).collect();
    for pod in &surplus {
        if !is_deleting(pod) {
            delete(set, pod, step);
        }
        if !parallel {
            return;
        }
    }
    if text(set, "/spec/updateStrategy/type") == "OnDelete" || !surplus.is_empty() {
        return;
    }
    // So many may be away at a time; those of the largest ordinals go first.
    let rolling = at(set, "/spec/updateStrategy/rollingUpdate");
    let wanted = replicas.end - replicas.start;
    let most = match at(rolling, "/maxUnavailable") {
        Value::Null => 1,
        limit => super::rollout::count(limit, wanted, false).max(1),
    };
    let present = i64::try_from(pods.iter().filter(|(_, p)| is_available(set, p, now)).count());
    let room = most - (wanted - present.unwrap_or(wanted));
    let earliest = replicas.start + int(rolling, "/partition");
    let old = pods.iter().rev().filter(|(ordinal, pod)| {
        *ordinal >= earliest && label(pod, REVISION) != revision && !is_deleting(pod)
    });
    old.take(usize::try_from(room).unwrap_or(0)).for_each(|(_, pod)| delete(set, pod, step));
}

fn delete(set: &Arc<Value>, pod: &Arc<Value>, step: &mut Step) {
    let message = format!("Delete Pod {} in StatefulSet {} successful", name(pod), name(set));
    step.push(Write::delete(ACTOR, &Key::of(r::PODS, pod), None, uid(pod)).then(EventSpec::normal(
        set,
        COMPONENT,
        "SuccessfulDelete",
        message,
    )));
}

fn refused(set: &Arc<Value>, pod_name: &str) -> OnRefusal {
    let message = format!("Create Pod {pod_name} in StatefulSet {} failed error: {{error}}", name(set));
    let event = EventSpec::warning(set, COMPONENT, "FailedCreate", message);
    OnRefusal { owner_uid: uid(set).into(), reason: "FailedCreate", event }
}

/// Makes the claims of a pod that are not there.
fn create_claims(view: &View, set: &Arc<Value>, pod_name: &str, step: &mut Step) {
    for template in items(set, "/spec/volumeClaimTemplates") {
        let claim = format!("{}-{pod_name}", name(template));
        if view.get(r::CLAIMS, namespace(set), &claim).is_none() {
            let event = format!("Create Claim {claim} Pod {pod_name} in StatefulSet {} success", name(set));
            step.push(
                Write::create(ACTOR, r::CLAIMS, new_claim(set, template, &claim))
                    .then(EventSpec::normal(set, COMPONENT, "SuccessfulCreate", event))
                    .or_refused(refused(set, pod_name)),
            );
        }
    }
}

fn create(view: &View, set: &Arc<Value>, ordinal: i64, revision: &str, now: Timestamp, step: &mut Step) {
    let pod_name = format!("{}-{ordinal}", name(set));
    let mut existing = claims(set, &pod_name).filter_map(|c| view.get(r::CLAIMS, namespace(set), &c));
    if existing.any(|claim| retention::is_stale(set, claim, &pod_name)) {
        // It goes with the pod that is gone; a new one is made after that.
        step.look_again(after_secs(now, 1));
        return;
    }
    let (revision, template) = revision_for(view, set, ordinal, revision);
    let mut pod = match template {
        None => pod_from_template(set, "apps/v1", "StatefulSet"),
        Some(template) => {
            let mut earlier = Value::clone(set);
            earlier["spec"]["template"] = template.clone();
            pod_from_template(&earlier, "apps/v1", "StatefulSet")
        }
    };
    remove(&mut pod, "/metadata/generateName");
    pod["metadata"]["name"] = pod_name.as_str().into();
    let labels = [
        ("statefulset.kubernetes.io~1pod-name", pod_name.as_str()),
        ("apps.kubernetes.io~1pod-index", &ordinal.to_string()),
        (REVISION, revision),
    ];
    for (key, value) in labels {
        set_label(&mut pod, key, value);
    }
    pod["spec"]["hostname"] = pod_name.as_str().into();
    if !text(set, "/spec/serviceName").is_empty() {
        pod["spec"]["subdomain"] = text(set, "/spec/serviceName").into();
    }
    let mut volumes = items(&pod, "/spec/volumes").clone();
    for template in items(set, "/spec/volumeClaimTemplates") {
        let volume = name(template);
        let claim = format!("{volume}-{pod_name}");
        volumes.retain(|v| v["name"] != *volume);
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}));
    }
    if !volumes.is_empty() {
        pod["spec"]["volumes"] = volumes.into();
    }
    create_claims(view, set, &pod_name, step);
    let message = format!("Create Pod {pod_name} in StatefulSet {} successful", name(set));
    step.push(
        Write::create(ACTOR, r::PODS, pod)
            .then(EventSpec::normal(set, COMPONENT, "SuccessfulCreate", message))
            .or_refused(refused(set, &pod_name)),
    );
}

/// The revision a pod is made as (`newVersionedStatefulSetPod`), and its template where that is not the set's.
fn revision_for<'a>(
    view: &'a View,
    set: &'a Value,
    ordinal: i64,
    revision: &'a str,
) -> (&'a str, Option<&'a Value>) {
    let current = text(set, "/status/currentRevision");
    let below =
        ordinal - int(set, "/spec/ordinals/start") < int(set, "/spec/updateStrategy/rollingUpdate/partition");
    match revisions::template(view, set, current).filter(|_| below && current != revision) {
        Some(template) => (current, Some(template)),
        None => (revision, None),
    }
}

fn set_label(pod: &mut Value, key: &str, value: &str) {
    set(pod, &format!("/metadata/labels/{key}"), value.into());
}

fn new_claim(set: &Value, template: &Value, claim: &str) -> Value {
    let mut labels = at(template, "/metadata/labels").as_object().cloned().unwrap_or_default();
    labels.extend(at(set, "/spec/selector/matchLabels").as_object().cloned().unwrap_or_default());
    let mut metadata = json!({"name": claim, "namespace": namespace(set), "labels": labels});
    if let Some(annotations) = at(template, "/metadata/annotations").as_object() {
        metadata["annotations"] = annotations.clone().into();
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]})
}

fn status(
    set: &Value,
    pods: &[(i64, &Arc<Value>)],
    revision: &str,
    now: Timestamp,
    step: &mut Step,
) -> Value {
    let present: Vec<&&Arc<Value>> = pods.iter().map(|(_, p)| p).collect();
    let alive = || present.iter().filter(|p| !is_deleting(p));
    let ready = present.iter().filter(|p| is_ready(p)).count();
    let mut available = 0;
    let running = present.iter().filter(|p| is_ready(p));
    for t in running.filter_map(|p| available_at(p, int(set, "/spec/minReadySeconds"))) {
        if t <= now {
            available += 1;
        } else {
            step.look_again(t);
        }
    }
    let updated = alive().filter(|p| label(p, REVISION) == revision).count();
    let replicas = usize::try_from(int_or(set, "/spec/replicas", 1)).unwrap_or(0);
    let old = text(set, "/status/currentRevision");
    // The update is over when every pod has the new revision and is ready.
    let is_done = updated == replicas && ready == replicas && present.len() == replicas;
    let is_rolling = text(set, "/spec/updateStrategy/type") != "OnDelete";
    let current = if old.is_empty() || is_done && is_rolling { revision } else { old };
    let of_current = alive().filter(|p| label(p, REVISION) == current).count();
    let mut status = Map::new();
    status.insert("observedGeneration".into(), at(set, "/metadata/generation").clone());
    status.insert("replicas".into(), present.len().into());
    for (name, n) in [("readyReplicas", ready), ("currentReplicas", of_current), ("updatedReplicas", updated)]
    {
        if n > 0 {
            status.insert(name.into(), n.into());
        }
    }
    status.insert("currentRevision".into(), current.into());
    status.insert("updateRevision".into(), revision.into());
    status.insert("collisionCount".into(), int(set, "/status/collisionCount").into());
    status.insert("availableReplicas".into(), available.into());
    Value::Object(status)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{now, pod, view};
    use super::*;
    use crate::write::Op;

    fn set(policy: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s", "namespace": "n", "uid": "u-s"},
            "spec": {"replicas": 2, "podManagementPolicy": policy, "serviceName": "x", "selector": {"matchLabels": {"app": "d"}},
                "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": []}},
                "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {}}]}})
    }

    fn creates(objects: Vec<(&str, Value)>) -> Vec<String> {
        let step = sync(&view(objects), &Key::new(r::STATEFUL_SETS, "n", "s"), now());
        let creates = step.writes.iter().filter_map(|w| match &w.op {
            Op::Create(o) if o["kind"] != "ControllerRevision" => Some(name(o).to_owned()),
            _ => None,
        });
        creates.collect()
    }

    fn deletes(set: Value, ready: [bool; 4], updated: [bool; 4]) -> Vec<String> {
        let revision = revisions::name_of(&set);
        let pods = (0..4).map(|i| {
            let mut pod = pod(&format!("s-{i}"), ("StatefulSet", "s", "u-s"), ready[i]);
            if updated[i] {
                pod["metadata"]["labels"][REVISION] = revision.as_str().into();
            }
            (r::PODS, pod)
        });
        let objects = std::iter::once((r::STATEFUL_SETS, set.clone())).chain(pods).collect();
        let step = sync(&view(objects), &Key::new(r::STATEFUL_SETS, "n", "s"), now());
        let deleted = step.writes.iter().filter(|w| matches!(w.op, Op::Delete { .. }));
        deleted.map(|w| w.target.name.clone()).collect()
    }

    #[test]
    fn so_many_are_updated_at_a_time() {
        let with = |policy: &str, rolling: Value| {
            let mut set = set(policy);
            set["spec"]["replicas"] = 4.into();
            set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": rolling});
            set
        };
        let (all, none) = ([true; 4], [false; 4]);
        assert_eq!(deletes(with("OrderedReady", json!({})), all, none), ["s-3"]);
        assert_eq!(deletes(with("OrderedReady", json!({"maxUnavailable": 2})), all, none), ["s-3", "s-2"]);
        assert_eq!(
            deletes(with("OrderedReady", json!({"maxUnavailable": "50%", "partition": 3})), all, none),
            ["s-3"]
        );
        let half = [true, true, true, false];
        let done = [false, false, false, true];
        assert_eq!(deletes(with("Parallel", json!({"maxUnavailable": 2})), half, done), ["s-2"]);
        assert_eq!(deletes(with("Parallel", json!({})), half, done), [] as [&str; 0]);
    }

    #[test]
    fn a_pod_has_to_be_ready_for_long_enough() {
        let slow = || {
            let mut set = set("OrderedReady");
            set["spec"]["minReadySeconds"] = 10.into();
            (r::STATEFUL_SETS, set)
        };
        let first = || (r::PODS, pod("s-0", ("StatefulSet", "s", "u-s"), true));
        assert_eq!(creates(vec![slow(), first()]), [] as [&str; 0]);
        let mut older = first();
        older.1["status"]["conditions"][0]["lastTransitionTime"] = "2025-12-31T23:59:50Z".into();
        assert_eq!(creates(vec![slow(), older]), ["v-s-1", "s-1"]);
    }

    #[test]
    fn pods_come_in_order() {
        let s = || (r::STATEFUL_SETS, set("OrderedReady"));
        let first = |ready| (r::PODS, pod("s-0", ("StatefulSet", "s", "u-s"), ready));
        assert_eq!(creates(vec![s()]), ["v-s-0", "s-0"]);
        assert_eq!(creates(vec![s(), first(false)]), [] as [&str; 0]);
        assert_eq!(creates(vec![s(), first(true)]), ["v-s-1", "s-1"]);
        assert_eq!(creates(vec![(r::STATEFUL_SETS, set("Parallel"))]), ["v-s-0", "s-0", "v-s-1", "s-1"]);
    }
}
