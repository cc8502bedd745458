//! Which volume that somebody made by hand a claim gets (kubernetes 1.35 pkg/controller/volume/persistentvolume:
//! syncUnboundClaim, findBestMatchForClaim; component-helpers storage/volume: FindMatchingVolume). Part of the claims
//! controller. Leaves out: node affinity of volumes and VolumeAttributesClasses.

use std::sync::Arc;

use serde_json::{Value, json};

use super::deployment::ACTOR;
use crate::json::*;
use crate::quantity::milli;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, Step, Write, reference};

const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";

/// The volume kept for the claim, or else of those that would do the one with the fewest access modes, and then the
/// smallest. A claim that waits for its first consumer is not bound to one that was not kept for it.
pub fn find<'a>(view: &'a View, claim: &Value, class: &str, waits: bool) -> Option<&'a Arc<Value>> {
    let fitting = |v: &&Arc<Value>| {
        let is_free = !at(v, "/spec/claimRef").is_object();
        (is_free || is_kept_for(v, claim))
            && !is_deleting(v)
            && is_large_enough(v, claim)
            && mode(v) == mode(claim)
    };
    let all: Vec<&Arc<Value>> = view.list(r::VOLUMES).map(|(_, v)| v).filter(fitting).collect();
    if let Some(kept) = all.iter().find(|v| is_kept_for(v, claim)) {
        return Some(kept);
    }
    let selector = at(claim, "/spec/selector");
    let labels = |v: &Value| at(v, "/metadata/labels").clone();
    all.into_iter()
        .filter(|v| !waits && text(v, "/status/phase") == "Available")
        .filter(|v| selector.is_null() || selector_matches(selector, &labels(v)))
        .filter(|v| text(v, "/spec/storageClassName") == class && has_modes(v, claim))
        .min_by_key(|v| {
            (items(v, "/spec/accessModes").len(), size(at(v, "/spec/capacity/storage")), name(v).to_owned())
        })
}

/// What is done for a claim that names its volume.
pub fn asked_for(view: &View, claim: &Value, class: &str, step: &mut Step) {
    let Some(volume) = view.get(r::VOLUMES, "", text(claim, "/spec/volumeName")) else { return };
    if is_kept_for(volume, claim) {
        return bind(volume, claim, step);
    }
    let told =
        |reason, message| Write::event(EventSpec::warning(claim, super::claims::COMPONENT, reason, message));
    if at(volume, "/spec/claimRef").is_object() {
        let message = format!("volume {:?} already bound to a different claim.", name(volume));
        step.push(told("FailedBinding", message));
        return;
    }
    match objection(volume, claim, class) {
        Some(why) => {
            let message = format!("Cannot bind to requested volume {:?}: {why}", name(volume));
            step.push(told("VolumeMismatch", message));
        }
        None => bind(volume, claim, step),
    }
}

/// Why a volume will not do for the claim that asks for it (checkVolumeSatisfyClaim).
fn objection(volume: &Value, claim: &Value, class: &str) -> Option<String> {
    if is_deleting(volume) {
        return Some(format!("the volume is marked for deletion {:?}", name(volume)));
    }
    let why = if !is_large_enough(volume, claim) {
        "requested PV is too small"
    } else if text(volume, "/spec/storageClassName") != class {
        "storageClassName does not match"
    } else if mode(volume) != mode(claim) {
        "incompatible volumeMode"
    } else if !has_modes(volume, claim) {
        "incompatible accessMode"
    } else {
        return None;
    };
    Some(why.to_owned())
}

/// First the volume is taken, then the claim told of it, and at last its status.
pub fn bind(volume: &Value, claim: &Value, step: &mut Step) {
    if text(volume, "/spec/claimRef/uid") != uid(claim) {
        // With its version: two claims may want it at the same time.
        let mut metadata =
            json!({"resourceVersion": text(volume, "/metadata/resourceVersion"), "uid": uid(volume)});
        if !is_kept_for(volume, claim) {
            metadata["annotations"] = json!({BOUND_BY_CONTROLLER: "yes"});
        }
        let patch = json!({"metadata": metadata, "spec": {"claimRef": reference(claim)}});
        step.push(Write::merge(ACTOR, &Key::of(r::VOLUMES, volume), patch));
        return;
    }
    let is_told = annotation(claim, BIND_COMPLETED) == Some("yes");
    let named = text(claim, "/spec/volumeName");
    if named != name(volume) || !is_told {
        let mut annotations = json!({BIND_COMPLETED: "yes"});
        if named != name(volume) {
            annotations[BOUND_BY_CONTROLLER] = "yes".into();
        }
        let patch = json!({"metadata": {"uid": uid(claim), "annotations": annotations},
            "spec": {"volumeName": name(volume)}});
        step.push(Write::merge(ACTOR, &Key::of(r::CLAIMS, claim), patch));
        return;
    }
    let mut object = claim.clone();
    object["status"] = json!({"phase": "Bound", "accessModes": at(volume, "/spec/accessModes"),
        "capacity": at(volume, "/spec/capacity")});
    step.push(Write::update_status(ACTOR, r::CLAIMS, object));
}

/// Whether the volume names this claim; of a claim that is gone another one of that name does not inherit it.
pub fn is_kept_for(volume: &Value, claim: &Value) -> bool {
    let kept = at(volume, "/spec/claimRef");
    let same = text(kept, "/name") == name(claim) && text(kept, "/namespace") == namespace(claim);
    kept.is_object() && same && (text(kept, "/uid").is_empty() || text(kept, "/uid") == uid(claim))
}

fn is_large_enough(volume: &Value, claim: &Value) -> bool {
    size(at(volume, "/spec/capacity/storage")) >= size(at(claim, "/spec/resources/requests/storage"))
}

pub(super) fn size(quantity: &Value) -> i128 {
    match quantity {
        Value::String(text) => milli(text).unwrap_or(0),
        Value::Number(n) => n.as_i64().map_or(0, |n| i128::from(n) * 1000),
        _ => 0,
    }
}

fn mode(v: &Value) -> &str {
    at(v, "/spec/volumeMode").as_str().unwrap_or("Filesystem")
}

fn has_modes(volume: &Value, claim: &Value) -> bool {
    let offered = items(volume, "/spec/accessModes");
    items(claim, "/spec/accessModes").iter().all(|m| offered.contains(m))
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;
    use crate::write::Op;

    fn volume(name: &str, storage: &str, modes: &[&str]) -> (&'static str, Value) {
        let o = json!({"apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": name, "uid": format!("u-{name}"), "resourceVersion": "1", "labels": {"disk": name}},
            "spec": {"capacity": {"storage": storage}, "accessModes": modes, "storageClassName": "manual"},
            "status": {"phase": "Available"}});
        (r::VOLUMES, o)
    }

    fn claim(spec: Value) -> Value {
        let mut o = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "c", "namespace": "n", "uid": "u-c"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
                "resources": {"requests": {"storage": "5Gi"}}}});
        for (key, value) in spec.as_object().into_iter().flatten() {
            o["spec"][key] = value.clone();
        }
        o
    }

    #[test]
    fn the_smallest_that_does_is_taken() {
        let one = &["ReadWriteOnce"][..];
        let all = || {
            let mut kept = volume("kept", "1Ti", one);
            kept.1["spec"]["claimRef"] = json!({"namespace": "n", "name": "other"});
            let mut block = volume("block", "5Gi", one);
            block.1["spec"]["volumeMode"] = json!("Block");
            vec![
                volume("small", "4Gi", one),
                volume("large", "50Gi", one),
                volume("right", "6Gi", one),
                volume("shared", "5Gi", &["ReadWriteOnce", "ReadWriteMany"]),
                kept,
                block,
            ]
        };
        let check = |claim: &Value, class: &str, waits: bool, expected: Option<&str>| {
            let view = view(all());
            assert_eq!(find(&view, claim, class, waits).map(|v| name(v)), expected, "{claim}");
        };
        check(&claim(json!({})), "manual", false, Some("right"));
        check(&claim(json!({})), "other", false, None);
        check(&claim(json!({})), "manual", true, None);
        check(&claim(json!({"accessModes": ["ReadWriteMany"]})), "manual", false, Some("shared"));
        check(&claim(json!({"accessModes": ["ReadOnlyMany"]})), "manual", false, None);
        check(
            &claim(json!({"selector": {"matchLabels": {"disk": "large"}}})),
            "manual",
            false,
            Some("large"),
        );
        check(&claim(json!({"volumeMode": "Block"})), "manual", false, Some("block"));
        check(&claim(json!({"resources": {"requests": {"storage": "60Gi"}}})), "manual", false, None);
        let mut other = claim(json!({}));
        other["metadata"]["name"] = json!("other");
        check(&other, "manual", true, Some("kept"));
    }

    #[test]
    fn a_volume_that_is_asked_for_must_do() {
        let check = |spec: Value, change: &dyn Fn(&mut Value), expected: &str| {
            let mut made = volume("pv", "10Gi", &["ReadWriteOnce"]);
            change(&mut made.1);
            let mut asking = claim(spec);
            asking["spec"]["volumeName"] = json!("pv");
            let mut step = Step::nothing();
            asked_for(&view(vec![made]), &asking, "manual", &mut step);
            let said = match step.writes.first().map(|w| &w.op) {
                Some(Op::Event(e)) => e.message.clone(),
                Some(Op::MergePatch(patch)) => format!("for {}", patch["spec"]["claimRef"]["name"]),
                _ => String::new(),
            };
            assert_eq!(said, expected);
        };
        check(json!({}), &|_| {}, "for \"c\"");
        let cannot = |why: &str| format!("Cannot bind to requested volume \"pv\": {why}");
        let large = json!({"resources": {"requests": {"storage": "11Gi"}}});
        check(large, &|_| {}, &cannot("requested PV is too small"));
        check(
            json!({}),
            &|v| v["spec"]["storageClassName"] = json!("x"),
            &cannot("storageClassName does not match"),
        );
        check(json!({"volumeMode": "Block"}), &|_| {}, &cannot("incompatible volumeMode"));
        check(json!({"accessModes": ["ReadWriteMany"]}), &|_| {}, &cannot("incompatible accessMode"));
        let taken = |v: &mut Value| v["spec"]["claimRef"] = json!({"namespace": "n", "name": "other"});
        check(json!({}), &taken, "volume \"pv\" already bound to a different claim.");
    }
}
