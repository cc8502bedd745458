//! Volumes of claims that ask for more, as a storage driver's external-resizer does it that needs nothing from the node
//! (kubernetes-csi/external-resizer pkg/controller): the volume first, then what the claim says it has. Whether a claim may
//! ask is the API server's matter. Part of the claims controller. Leaves out: resizes that fail, and file systems that
//! grow when a pod comes.

use serde_json::{Value, json};

use super::deployment::ACTOR;
use super::matching::size;
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, Step, Write};

const COMPONENT: &str = "external-resizer";

pub fn sync(view: &View, claim: &Value, step: &mut Step) {
    let wanted = at(claim, "/spec/resources/requests/storage");
    if size(wanted) <= size(at(claim, "/status/capacity/storage")) {
        return;
    }
    let class = view.get(r::STORAGE_CLASSES, "", text(claim, "/spec/storageClassName"));
    let Some(volume) = view.get(r::VOLUMES, "", text(claim, "/spec/volumeName")) else { return };
    if !class.is_some_and(|c| flag(c, "/allowVolumeExpansion")) {
        return;
    }
    let told = |reason, message| EventSpec::normal(claim, COMPONENT, reason, message);
    if size(at(volume, "/spec/capacity/storage")) < size(wanted) {
        let patch = json!({"metadata": {"uid": uid(volume)}, "spec": {"capacity": {"storage": wanted}}});
        let message = format!("External resizer is resizing volume {}", name(volume));
        step.push(Write::merge(ACTOR, &Key::of(r::VOLUMES, volume), patch).then(told("Resizing", message)));
        return;
    }
    let mut object = claim.clone();
    set(&mut object, "/status/capacity/storage", wanted.clone());
    let done = told("VolumeResizeSuccessful", "Resize volume succeeded".to_owned());
    step.push(Write::update_status(ACTOR, r::CLAIMS, object).then(done));
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;
    use crate::write::Op;

    #[test]
    fn the_volume_grows_before_the_claim() {
        let check = |allowed: bool, volume: &str, has: &str, expected: &str| {
            let class = json!({"metadata": {"name": "fast"}, "allowVolumeExpansion": allowed});
            let volume =
                json!({"metadata": {"name": "pv", "uid": "u"}, "spec": {"capacity": {"storage": volume}}});
            let claim = json!({"metadata": {"name": "c", "namespace": "n", "uid": "u-c"},
                "spec": {"storageClassName": "fast", "volumeName": "pv", "resources": {"requests": {"storage": "2Gi"}}},
                "status": {"phase": "Bound", "capacity": {"storage": has}}});
            let view = view(vec![(r::STORAGE_CLASSES, class), (r::VOLUMES, volume)]);
            let mut step = Step::nothing();
            sync(&view, &claim, &mut step);
            let got = match step.writes.first().map(|w| &w.op) {
                None => "nothing".to_owned(),
                Some(Op::MergePatch(p)) => format!("volume of {}", text(p, "/spec/capacity/storage")),
                Some(Op::UpdateStatus(c)) => format!("claim of {}", text(c, "/status/capacity/storage")),
                Some(_) => "something else".to_owned(),
            };
            assert_eq!(got, expected);
        };
        check(true, "1Gi", "1Gi", "volume of 2Gi");
        check(true, "2Gi", "1Gi", "claim of 2Gi");
        check(true, "2Gi", "2Gi", "nothing");
        check(false, "1Gi", "1Gi", "nothing");
    }
}
