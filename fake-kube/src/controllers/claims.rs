//! PersistentVolumeClaims: binding to a volume that is there already (`matching.rs`) or a made-up one where a StorageClass
//! provisions it, and the protection finalizer (kube-api.md 3.5, case wl-pvc-protection). Others stay Pending. Those of a class that
//! waits for the first consumer are bound once the scheduler has chosen a node for a pod that uses them, and before the
//! pod is bound to it (kubernetes 1.35 plugins/volumebinding, PreBind; pkg/controller/volume/persistentvolume).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::deployment::ACTOR;
use super::{Happened, only};
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, Step, Write};

const PROTECTION: &str = "kubernetes.io/pvc-protection";
pub(crate) const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// The node the scheduler has chosen for the first consumer.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
pub(super) const COMPONENT: &str = "persistentvolume-controller";
/// What a class says that volumes are made for by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let mut keys = only(h, r::CLAIMS);
    keys.extend(only(h, r::VOLUMES));
    match &*h.key.resource {
        r::CLAIMS => {
            let volume = text(h.object, "/spec/volumeName");
            keys.extend((!volume.is_empty()).then(|| Key::new(r::VOLUMES, "", volume)));
        }
        r::PODS => {
            let names =
                items(h.object, "/spec/volumes").iter().map(|v| text(v, "/persistentVolumeClaim/claimName"));
            keys.extend(names.filter(|n| !n.is_empty()).map(|n| Key::new(r::CLAIMS, &h.key.namespace, n)));
        }
        r::STORAGE_CLASSES => keys.extend(view.list(r::CLAIMS).map(|(k, _)| k.clone())),
        r::VOLUMES => {
            let waiting = view.list(r::CLAIMS).filter(|(_, c)| text(c, "/status/phase") != "Bound");
            keys.extend(waiting.map(|(k, _)| k.clone()));
            let owner = at(h.object, "/spec/claimRef");
            keys.extend(
                owner
                    .is_object()
                    .then(|| Key::new(r::CLAIMS, text(owner, "/namespace"), text(owner, "/name"))),
            );
        }
        _ => {}
    }
    keys
}

pub fn sync(view: &View, key: &Key) -> Step {
    if &*key.resource == r::VOLUMES {
        return super::volumes::sync(view, key);
    }
    let mut step = Step::nothing();
    let Some(claim) = view.find(key) else { return step };
    let users: Vec<&Arc<Value>> = view
        .list_in(r::PODS, &key.namespace)
        .map(|(_, p)| p)
        .filter(|p| {
            items(p, "/spec/volumes").iter().any(|v| text(v, "/persistentVolumeClaim/claimName") == key.name)
        })
        .collect();
    if is_deleting(claim) {
        let busy = users.iter().any(|p| !matches!(text(p, "/status/phase"), "Succeeded" | "Failed"));
        if has_finalizer(claim, PROTECTION) && !busy {
            step.push(without_finalizer(key, claim, PROTECTION));
        }
        return step;
    }
    if text(claim, "/status/phase") == "Bound" {
        super::growing::sync(view, claim, &mut step);
        return step;
    }
    let class = class_of(view, claim);
    // A pod that was bound by hand passed the scheduler by.
    let is_used = || users.iter().any(|p| !text(p, "/spec/nodeName").is_empty());
    let waits = class.is_some_and(|c| waits_for_consumer(c))
        && annotation(claim, SELECTED_NODE).is_none()
        && !is_used();
    let class_name = match class {
        Some(class) => name(class),
        None => text(claim, "/spec/storageClassName"),
    };
    let volume = text(claim, "/spec/volumeName");
    if !volume.is_empty() && volume != own_volume(claim) {
        super::matching::asked_for(view, claim, class_name, &mut step);
        return step;
    }
    if volume.is_empty()
        && let Some(found) = super::matching::find(view, claim, class_name, waits)
        && name(found) != own_volume(claim)
    {
        super::matching::bind(found, claim, &mut step);
        return step;
    }
    let told = |reason, message: &str| EventSpec::normal(claim, COMPONENT, reason, message.to_owned());
    match class {
        Some(_) if waits => {
            let message = "waiting for first consumer to be created before binding";
            step.push(Write::event(told("WaitForFirstConsumer", message)));
        }
        Some(class) if text(class, "/provisioner") == NO_PROVISIONER => {
            let message = format!("no volume plugin matched name: {NO_PROVISIONER}");
            step.push(Write::event(EventSpec::warning(claim, COMPONENT, "ProvisioningFailed", message)));
        }
        Some(class) => bind(view, claim, class, &mut step),
        // A simulated cluster without any storage says nothing of it, and its pods do not wait for it (`unready`).
        None if class_name.is_empty() && !has_storage(view) => {}
        None if class_name.is_empty() => {
            let message = "no persistent volumes available for this claim and no storage class is set";
            step.push(Write::event(told("FailedBinding", message)));
        }
        None => {
            let message = format!("storageclass.storage.k8s.io {class_name:?} not found");
            step.push(Write::event(EventSpec::warning(claim, COMPONENT, "ProvisioningFailed", message)));
        }
    }
    step
}

fn has_storage(view: &View) -> bool {
    view.list(r::STORAGE_CLASSES).next().is_some() || view.list(r::VOLUMES).next().is_some()
}

/// The name of the volume that is provisioned for a claim.
fn own_volume(claim: &Value) -> String {
    format!("pvc-{}", uid(claim))
}

/// Lets an object go, as far as this finalizer is concerned.
pub(super) fn without_finalizer(key: &Key, object: &Value, finalizer: &str) -> Write {
    let kept: Vec<Value> =
        items(object, "/metadata/finalizers").iter().filter(|f| *f != finalizer).cloned().collect();
    let kept = if kept.is_empty() { Value::Null } else { kept.into() };
    Write::merge(ACTOR, key, json!({"metadata": {"uid": uid(object), "finalizers": kept}}))
}

/// Why a pod cannot be scheduled yet, as far as its claims are concerned (the scheduler's plugin VolumeBinding, before it
/// looks at nodes).
pub(crate) fn unready(view: &View, pod: &Value) -> Option<String> {
    // Without classes there is no storage that could be waited for.
    view.list(r::STORAGE_CLASSES).next()?;
    let names = items(pod, "/spec/volumes").iter().map(|v| text(v, "/persistentVolumeClaim/claimName"));
    let mut waits = false;
    for name in names.filter(|n| !n.is_empty()) {
        let Some(claim) = view.get(r::CLAIMS, namespace(pod), name) else {
            return Some(format!("persistentvolumeclaim {name:?} not found"));
        };
        if is_deleting(claim) {
            return Some(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        let class = class_of(view, claim);
        waits |= text(claim, "/spec/volumeName").is_empty() && class.is_none_or(|c| !waits_for_consumer(c));
    }
    waits.then(|| "pod has unbound immediate PersistentVolumeClaims".to_owned())
}

fn waits_for_consumer(class: &Value) -> bool {
    text(class, "/volumeBindingMode") == "WaitForFirstConsumer"
}

/// The claims of a pod that are bound only when a node is chosen, and are not yet.
fn to_bind<'a>(view: &'a View, pod: &'a Value) -> impl Iterator<Item = &'a Arc<Value>> {
    let names = items(pod, "/spec/volumes").iter().map(|v| text(v, "/persistentVolumeClaim/claimName"));
    let claims = names.filter(|n| !n.is_empty()).filter_map(|n| view.get(r::CLAIMS, namespace(pod), n));
    claims.filter(|claim| {
        let class = class_of(view, claim);
        text(claim, "/status/phase") != "Bound" && class.is_some_and(|class| waits_for_consumer(class))
    })
}

/// Has the claims of a pod bound for the node that was chosen; whether there are none to wait for.
pub(crate) fn bind_for(view: &View, pod: &Value, node: &str, step: &mut Step) -> bool {
    let mut is_ready = true;
    for claim in to_bind(view, pod) {
        is_ready = false;
        if annotation(claim, SELECTED_NODE).is_none() {
            let patch = json!({"metadata": {"uid": uid(claim), "annotations": {SELECTED_NODE: node}}});
            step.push(Write::merge("kube-scheduler", &Key::of(r::CLAIMS, claim), patch));
        }
    }
    is_ready
}

/// The class named, or the default one when none is; `""` asks for none.
fn class_of<'a>(view: &'a View, claim: &Value) -> Option<&'a Arc<Value>> {
    match at(claim, "/spec/storageClassName").as_str() {
        Some(name) => view.get(r::STORAGE_CLASSES, "", name),
        None => view
            .list(r::STORAGE_CLASSES)
            .map(|(_, c)| c)
            .find(|c| annotation(c, DEFAULT_CLASS) == Some("true")),
    }
}

fn bind(view: &View, claim: &Value, class: &Value, step: &mut Step) {
    let volume = own_volume(claim);
    let capacity = json!({"storage": at(claim, "/spec/resources/requests/storage")});
    if view.get(r::VOLUMES, "", &volume).is_none() {
        step.push(Write::create(ACTOR, r::VOLUMES, json!({"apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {"capacity": capacity, "accessModes": at(claim, "/spec/accessModes"), "storageClassName": name(class),
                "persistentVolumeReclaimPolicy": class["reclaimPolicy"].as_str().unwrap_or("Delete"),
                "hostPath": {"path": format!("/var/lib/volumes/{volume}")},
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace(claim),
                             "name": name(claim), "uid": uid(claim)}}})));
    }
    if text(claim, "/spec/volumeName") != volume {
        let patch = json!({"metadata": {"uid": uid(claim), "annotations": {"pv.kubernetes.io/bind-completed": "yes",
            "pv.kubernetes.io/bound-by-controller": "yes"}}, "spec": {"volumeName": volume}});
        step.push(Write::merge(ACTOR, &Key::of(r::CLAIMS, claim), patch));
        return;
    }
    let mut object = claim.clone();
    object["status"] =
        json!({"phase": "Bound", "accessModes": at(claim, "/spec/accessModes"), "capacity": capacity});
    step.push(Write::update_status(ACTOR, r::CLAIMS, object));
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;
    use crate::write::Op;

    #[test]
    fn binds_only_where_a_class_provisions() {
        let claim = || {
            let o = json!({"metadata": {"name": "v", "namespace": "n", "uid": "u"}, "spec": {"storageClassName": "standard"}});
            (r::CLAIMS, o)
        };
        let key = Key::new(r::CLAIMS, "n", "v");
        let nothing = sync(&view(vec![claim()]), &key);
        assert!(
            matches!(&nothing.writes[..], [Write { op: Op::Event(e), .. }] if e.reason == "ProvisioningFailed")
        );
        let class = || (r::STORAGE_CLASSES, json!({"metadata": {"name": "standard"}}));
        let step = sync(&view(vec![claim(), class()]), &key);
        assert!(matches!(step.writes[0].op, Op::Create(_)));
        let waiting = (
            r::STORAGE_CLASSES,
            json!({"metadata": {"name": "standard"}, "volumeBindingMode": "WaitForFirstConsumer"}),
        );
        let reasons = |step: &Step| -> Vec<String> {
            let events = step.writes.iter().filter_map(|w| match &w.op {
                Op::Event(e) => Some(e.reason.to_owned()),
                _ => None,
            });
            events.collect()
        };
        let step = sync(&view(vec![claim(), waiting.clone()]), &key);
        assert_eq!((step.writes.len(), reasons(&step)), (1, vec!["WaitForFirstConsumer".to_owned()]));
        let mut chosen = claim();
        chosen.1["metadata"]["annotations"] = json!({SELECTED_NODE: "a"});
        let step = sync(&view(vec![chosen, waiting]), &key);
        assert!(matches!(step.writes[0].op, Op::Create(_)));
    }

    #[test]
    fn pods_wait_for_claims() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"},
            "spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "v"}}]}});
        let class = || (r::STORAGE_CLASSES, crate::furniture::standard_class());
        let claim =
            |spec: Value| (r::CLAIMS, json!({"metadata": {"name": "v", "namespace": "n"}, "spec": spec}));
        let check = |objects, expected: Option<&str>| {
            assert_eq!(unready(&view(objects), &pod).as_deref(), expected);
        };
        check(vec![], None);
        check(vec![class()], Some("persistentvolumeclaim \"v\" not found"));
        check(vec![class(), claim(json!({}))], None);
        let unbound = Some("pod has unbound immediate PersistentVolumeClaims");
        check(vec![class(), claim(json!({"storageClassName": "other"}))], unbound);
        check(vec![class(), claim(json!({"storageClassName": "other", "volumeName": "made"}))], None);
    }
}
