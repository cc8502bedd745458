//! The plugin PersistentVolumeClaimResize: a claim may ask for more once it is bound, and only of a class that says so
//! (kubernetes 1.35 plugin/pkg/admission/storage/persistentvolume/resize).

use fake_kube_schema::quantity_nanos;
use serde_json::Value;

use crate::meta;
use crate::server::State;
use crate::status::{Result, Status};
use crate::store;
use crate::write::Call;

const NOT_BOUND: &str = "Only bound persistent volume claims can be expanded";
const FIXED: &str = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
                     support resize";

impl State {
    pub(crate) fn check_growth(&self, call: &Call, new: &Value, old: &Value) -> Result<()> {
        if !call.def.is("", "persistentvolumeclaims")
            || !call.subresource.is_empty()
            || asked(new) <= asked(old)
        {
            return Ok(());
        }
        let refused = |why: &str| Err(Status::forbidden(&call.def, meta::name(new), why));
        if old["status"]["phase"] != "Bound" {
            return refused(NOT_BOUND);
        }
        if self.may_grow(new, old) { Ok(()) } else { refused(FIXED) }
    }

    fn may_grow(&self, new: &Value, old: &Value) -> bool {
        let class = |claim: &Value| claim["spec"]["storageClassName"].as_str().unwrap_or("").to_owned();
        let name = class(new);
        if name.is_empty() || name != class(old) {
            return false;
        }
        let Some(def) = self.registry.get("storage.k8s.io", "v1", "storageclasses") else { return false };
        let found = self.store.get(def.table, &store::key("", &name));
        found.is_some_and(|class| class.pinned()["allowVolumeExpansion"] == true)
    }
}

/// How much a claim asks for.
pub(crate) fn asked(claim: &Value) -> i128 {
    amount(&claim["spec"]["resources"]["requests"]["storage"])
}

pub(crate) fn amount(quantity: &Value) -> i128 {
    quantity.as_str().and_then(quantity_nanos).unwrap_or(0)
}
