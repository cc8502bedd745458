//! The StatefulSet controller: named pods in order, their claims, revisions (kube-api.md 3.3, case wl-statefulset).
//! Pods below the partition are made anew as the revision that was current. Leaves out `maxUnavailable` above one.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::deployment::ACTOR;
use super::replica_set::{available_at, pod_from_template};
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
        None => act(view, set, &pods, &revision, &mut step),
    }
    let status = status(set, &pods, &revision, now, &mut step);
    if status != *at(set, "/status") {
        let mut object = Value::clone(set);
        object["status"] = status;
        step.push(Write::update_status(ACTOR, r::STATEFUL_SETS, object));
    }
    step
}

fn is_healthy(pod: &Value) -> bool {
    !is_deleting(pod) && text(pod, "/status/phase") == "Running" && condition_is_true(pod, "Ready")
}

fn act(view: &View, set: &Arc<Value>, pods: &[(i64, &Arc<Value>)], revision: &str, step: &mut Step) {
    let replicas = int_or(set, "/spec/replicas", 1);
    let start = int(set, "/spec/ordinals/start");
    let parallel = text(set, "/spec/podManagementPolicy") == "Parallel";
    for ordinal in start..start + replicas {
        match pods.iter().find(|(i, _)| *i == ordinal) {
            None => create(view, set, ordinal, revision, step),
            Some((_, pod))
                if matches!(text(pod, "/status/phase"), "Failed" | "Succeeded") && !is_deleting(pod) =>
            {
                delete(set, pod, step);
            }
            Some((_, pod)) if is_healthy(pod) => continue,
            Some(_) => {}
        }
        // In order: what is not healthy holds back all that come after it.
        if !parallel {
            return;
        }
    }
    let surplus: Vec<&Arc<Value>> =
        pods.iter().rev().filter(|(i, _)| !(start..start + replicas).contains(i)).map(|(_, p)| *p).collect();
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
    let partition = int(set, "/spec/updateStrategy/rollingUpdate/partition");
    for (ordinal, pod) in pods.iter().rev() {
        if *ordinal < start + partition || !is_healthy(pod) {
            return;
        }
        if label(pod, REVISION) != revision {
            delete(set, pod, step);
            return;
        }
    }
}

fn delete(set: &Arc<Value>, pod: &Arc<Value>, step: &mut Step) {
    let message = format!("delete Pod {} in StatefulSet {} successful", name(pod), name(set));
    step.push(Write::delete(ACTOR, &Key::of(r::PODS, pod), None, uid(pod)).then(EventSpec::normal(
        set,
        COMPONENT,
        "SuccessfulDelete",
        message,
    )));
}

fn create(view: &View, set: &Arc<Value>, ordinal: i64, revision: &str, step: &mut Step) {
    let pod_name = format!("{}-{ordinal}", name(set));
    let refused = |reason| OnRefusal {
        owner_uid: uid(set).into(),
        reason,
        event: EventSpec::warning(
            set,
            COMPONENT,
            reason,
            format!("create Pod {pod_name} in StatefulSet {} failed error: {{error}}", name(set)),
        ),
    };
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
        if view.get(r::CLAIMS, namespace(set), &claim).is_none() {
            let event = format!("create Claim {claim} Pod {pod_name} in StatefulSet {} success", name(set));
            step.push(
                Write::create(ACTOR, r::CLAIMS, new_claim(set, template, &claim))
                    .then(EventSpec::normal(set, COMPONENT, "SuccessfulCreate", event))
                    .or_refused(refused("FailedCreate")),
            );
        }
        volumes.retain(|v| v["name"] != *volume);
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}));
    }
    if !volumes.is_empty() {
        pod["spec"]["volumes"] = volumes.into();
    }
    let message = format!("create Pod {pod_name} in StatefulSet {} successful", name(set));
    step.push(
        Write::create(ACTOR, r::PODS, pod)
            .then(EventSpec::normal(set, COMPONENT, "SuccessfulCreate", message))
            .or_refused(refused("FailedCreate")),
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
    let ready = present.iter().filter(|p| is_healthy(p)).count();
    let mut available = 0;
    for t in alive().filter_map(|p| available_at(p, int(set, "/spec/minReadySeconds"))) {
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
    let current = if old.is_empty() || (updated == replicas && ready == replicas) { revision } else { old };
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
