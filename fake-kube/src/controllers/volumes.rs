//! PersistentVolumes: their phase, what becomes of them when their claim is gone, and the protection finalizer
//! (kube-api.md 3.5; pkg/controller/volume/persistentvolume and pvprotection). Part of the claims controller.
//! Leaves out recycling.

use serde_json::{Value, json};

use super::claims::without_finalizer;
use super::deployment::ACTOR;
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{Step, Write};

const PROTECTION: &str = "kubernetes.io/pv-protection";

pub fn sync(view: &View, key: &Key) -> Step {
    let mut step = Step::nothing();
    let Some(volume) = view.find(key) else { return step };
    let phase = text(volume, "/status/phase");
    let claim = claim_of(view, volume);
    if is_deleting(volume) {
        if has_finalizer(volume, PROTECTION) && (phase != "Bound" || claim.is_none()) {
            step.push(without_finalizer(key, volume, PROTECTION));
        }
        return step;
    }
    // Kept for a claim by its name is not yet bound to it.
    let is_taken = !text(volume, "/spec/claimRef/uid").is_empty();
    let wanted = match (claim, is_taken) {
        (_, false) => "Available",
        (Some(claim), true) if text(claim, "/spec/volumeName") == key.name => "Bound",
        // Being bound: the claim names the volume in its next write.
        (Some(_), true) => return step,
        (None, true) => "Released",
    };
    if wanted == "Released" && phase.is_empty() {
        // Made for a claim that is not here yet.
        return step;
    }
    if phase != wanted {
        let mut object = Value::clone(volume);
        set(&mut object, "/status/phase", json!(wanted));
        step.push(Write::update_status(ACTOR, r::VOLUMES, object));
        return step;
    }
    if wanted == "Released" && text(volume, "/spec/persistentVolumeReclaimPolicy") == "Delete" {
        step.push(Write::delete(ACTOR, key, None, uid(volume)));
    }
    step
}

/// The claim a volume belongs to, if it is the one it was made for.
fn claim_of<'a>(view: &'a View, volume: &Value) -> Option<&'a std::sync::Arc<Value>> {
    let reference = at(volume, "/spec/claimRef");
    let found = view.get(r::CLAIMS, text(reference, "/namespace"), text(reference, "/name"))?;
    let wanted = text(reference, "/uid");
    (wanted.is_empty() || uid(found) == wanted).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;
    use crate::write::Op;

    #[test]
    fn a_volume_follows_its_claim() {
        let volume = |phase: &str, policy: &str| {
            let o = json!({"metadata": {"name": "pv", "uid": "u-pv"}, "status": {"phase": phase},
                "spec": {"claimRef": {"namespace": "n", "name": "v", "uid": "u"}, "persistentVolumeReclaimPolicy": policy}});
            (r::VOLUMES, o)
        };
        let claim = || {
            let o = json!({"metadata": {"name": "v", "namespace": "n", "uid": "u"}, "spec": {"volumeName": "pv"}});
            (r::CLAIMS, o)
        };
        let check = |objects: Vec<(&str, Value)>, expected: &str| {
            let step = sync(&view(objects), &Key::new(r::VOLUMES, "", "pv"));
            let got = match step.writes.first().map(|w| &w.op) {
                None => "nothing".to_owned(),
                Some(Op::UpdateStatus(o)) => text(o, "/status/phase").to_owned(),
                Some(Op::Delete { .. }) => "delete".to_owned(),
                Some(_) => "something else".to_owned(),
            };
            assert_eq!(got, expected);
        };
        check(vec![volume("Pending", "Delete"), claim()], "Bound");
        check(vec![volume("Bound", "Delete"), claim()], "nothing");
        check(vec![volume("Bound", "Delete")], "Released");
        check(vec![volume("Released", "Delete")], "delete");
        check(vec![volume("Released", "Retain")], "nothing");
    }
}
