//! What becomes of the claims of a StatefulSet when it is deleted or shrinks (`persistentVolumeClaimRetentionPolicy`):
//! they go with whoever owns them, the set or the pod that is leaving (kubernetes 1.35
//! pkg/controller/statefulset/stateful_set_utils.go: isClaimOwnerUpToDate, updateClaimOwnerRefForSetAndPod).

use std::sync::Arc;

use serde_json::Value;

use super::deployment::ACTOR;
use crate::json::*;
use crate::view::resource as r;
use crate::write::{EventSpec, Step, Write};

const OWNERS: &str = "/metadata/ownerReferences";

/// Whether claims are deleted on this occasion: `whenDeleted` or `whenScaled`.
fn deletes(set: &Value, when: &str) -> bool {
    text(set, &format!("/spec/persistentVolumeClaimRetentionPolicy/{when}")) == "Delete"
}

/// The claim's owner is the one the policy makes it go with; others keep what they have.
pub(super) fn keep(set: &Arc<Value>, pod: &Value, is_condemned: bool, claim: &Value, step: &mut Step) {
    let (is_set, is_pod) = (
        |o: &Value| is_reference(o, "StatefulSet", name(set)),
        |o: &Value| is_reference(o, "Pod", name(pod)),
    );
    let owners = items(claim, OWNERS);
    let is_stale = |o: &Value| is_set(o) && o["uid"] != uid(set) || is_pod(o) && o["uid"] != uid(pod);
    // Those of an earlier set or pod are the garbage collector's.
    if is_deleting(claim) || owners.iter().any(is_stale) {
        return;
    }
    let (deleted, scaled) = (deletes(set, "whenDeleted"), deletes(set, "whenScaled"));
    let is_foreign = |o: &Value| o["controller"] == true && !is_set(o) && !is_pod(o);
    let mut wanted: Vec<Value> = owners.iter().filter(|o| !is_set(o) && !is_pod(o)).cloned().collect();
    if owners.iter().any(is_foreign) && (deleted || scaled) {
        let message = format!(
            "PersistentVolumeClaim {} has a conflicting OwnerReference that acts as a manging controller, the \
             retention policy is ignored for this claim",
            name(claim)
        );
        let event = EventSpec::warning(set, "statefulset-controller", "ConflictingController", message);
        step.push(Write::event(event));
    } else if scaled && is_condemned {
        wanted.push(controller_ref(pod, "v1", "Pod"));
    } else if deleted {
        wanted.push(controller_ref(set, "apps/v1", "StatefulSet"));
    }
    if wanted != *owners {
        let mut object = claim.clone();
        crate::json::set(&mut object, OWNERS, wanted.into());
        step.push(Write::update(ACTOR, r::CLAIMS, object));
    }
}

/// A claim that goes with an earlier pod of this name: its successor has to wait until it is gone.
pub(super) fn is_stale(set: &Value, claim: &Value, pod_name: &str) -> bool {
    deletes(set, "whenScaled") && items(claim, OWNERS).iter().any(|o| is_reference(o, "Pod", pod_name))
}

fn is_reference(owner: &Value, kind: &str, name: &str) -> bool {
    owner["kind"] == kind && owner["name"] == name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::Op;
    use serde_json::json;

    #[test]
    fn claims_go_with_whom_the_policy_says() {
        let check = |deleted: &str,
                     scaled: &str,
                     is_condemned: bool,
                     owners: Value,
                     expected: Option<&[&str]>| {
            let set = json!({"metadata": {"name": "s", "uid": "u-s", "namespace": "n"},
                "spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled}}});
            let pod = json!({"metadata": {"name": "s-1", "uid": "u-p", "namespace": "n"}});
            let mut claim = json!({"metadata": {"name": "v-s-1", "namespace": "n", "uid": "u-c"}});
            if owners.is_array() {
                claim["metadata"]["ownerReferences"] = owners;
            }
            let mut step = Step::nothing();
            keep(&Arc::new(set), &pod, is_condemned, &claim, &mut step);
            let said = step.writes.iter().find_map(|w| match &w.op {
                Op::Update(o) => {
                    Some(items(o, OWNERS).iter().map(|o| text(o, "/name").to_owned()).collect::<Vec<_>>())
                }
                _ => None,
            });
            assert_eq!(
                said,
                expected.map(|e| e.iter().map(|s| (*s).to_owned()).collect()),
                "{deleted} {scaled} {is_condemned}"
            );
        };
        let of_set = || json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": "u-s", "controller": true, "blockOwnerDeletion": true}]);
        check("Retain", "Retain", false, Value::Null, None);
        check("Retain", "Retain", true, of_set(), Some(&[]));
        check("Delete", "Retain", false, Value::Null, Some(&["s"]));
        check("Delete", "Retain", false, of_set(), None);
        check("Retain", "Delete", false, Value::Null, None);
        check("Retain", "Delete", true, Value::Null, Some(&["s-1"]));
        check("Delete", "Delete", true, of_set(), Some(&["s-1"]));
        check("Delete", "Delete", false, of_set(), None);
        let earlier = json!([{"kind": "StatefulSet", "name": "s", "uid": "before", "controller": true}]);
        check("Delete", "Delete", false, earlier, None);
        let other = || json!([{"kind": "Other", "name": "o", "uid": "u-o", "controller": true}]);
        check("Delete", "Delete", false, other(), None);
    }
}
