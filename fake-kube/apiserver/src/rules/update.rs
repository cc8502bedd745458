//! What an update may not change: immutable members, comparisons that leave members out.

use fake_kube_schema::Cause;
use serde_json::{Map, Value, json};

use super::text;
use crate::growth::{amount, asked};

/// `object[path]` is as it was; `path` is dotted.
pub(crate) fn immutable(object: &Value, old: &Value, path: &str) -> Option<Cause> {
    let pointer = format!("/{}", path.replace('.', "/"));
    let (new, was) = (object.pointer(&pointer), old.pointer(&pointer));
    (new != was).then(|| Cause::invalid(path, new.unwrap_or(&Value::Null), "field is immutable"))
}

/// Whether two objects differ in any member but those named.
pub(crate) fn differ_except(a: &Value, b: &Value, names: &[&str]) -> bool {
    let empty = Map::new();
    let (a, b) = (a.as_object().unwrap_or(&empty), b.as_object().unwrap_or(&empty));
    let counts = |k: &&String| !names.contains(&k.as_str());
    a.keys().chain(b.keys()).filter(counts).any(|k| a.get(k) != b.get(k))
}

/// PersistentVolumeClaims: binding sets the volume, a bound claim may ask for more. The message of a real server goes
/// on with a diff of the Go structs.
pub(crate) fn claim(object: &Value, old: &Value) -> Vec<Cause> {
    let (spec, was) = (&object["spec"], &old["spec"]);
    let mut free = vec!["volumeAttributesClassName"];
    if text(&old["status"], "phase") == "Bound" {
        free.push("resources");
    }
    free.extend(["volumeName", "storageClassName"].into_iter().filter(|k| text(was, k).is_empty()));
    let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
               claims";
    let mut causes = Vec::new();
    if differ_except(spec, was, &free) {
        causes.push(Cause::forbidden("spec", why));
    }
    // A claim whose growth failed may ask for less again, but for more than it has.
    if asked(object) < asked(old) && asked(object) <= amount(&old["status"]["capacity"]["storage"]) {
        let why = "field can not be less than status.capacity";
        causes.push(Cause::forbidden("spec.resources.requests.storage", why));
    }
    causes
}

/// The role of a binding stays; shown as the Go struct.
pub(crate) fn role_ref(object: &Value, old: &Value) -> Vec<Cause> {
    let role = &object["roleRef"];
    if *role == old["roleRef"] {
        return Vec::new();
    }
    let shown = json!({"APIGroup": role["apiGroup"], "Kind": role["kind"], "Name": role["name"]});
    vec![Cause::invalid("roleRef", &shown, "cannot change roleRef")]
}

/// A PriorityClass is what pods were given.
pub(crate) fn priority(object: &Value, old: &Value) -> Vec<Cause> {
    let is_other = object["value"] != old["value"];
    let value = is_other.then(|| Cause::forbidden("value", "may not be changed in an update."));
    value.into_iter().chain(immutable(object, old, "preemptionPolicy")).collect()
}

/// What a StorageClass says about volumes holds for those it made.
pub(crate) fn storage_class(object: &Value, old: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    for key in ["parameters", "provisioner"] {
        if object[key] != old[key] {
            out.push(Cause::forbidden(key, &format!("updates to {key} are forbidden.")));
        }
    }
    if object["reclaimPolicy"] != old["reclaimPolicy"] {
        out.push(Cause::forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."));
    }
    out.extend(immutable(object, old, "volumeBindingMode"));
    out
}

/// `object[key]` becomes what it was.
pub(crate) fn put_back(object: &mut Value, old: &Value, key: &str) {
    crate::strategy::keep(object, old, key);
}
