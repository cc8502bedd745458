//! Names of resources and what a CRD defines: how the view's keys are spelt, and which kinds owners may have.

use serde_json::Value;

use crate::json::{at, text};
use crate::view::KindInfo;

/// `plural.group`, or the plural alone for the core group.
pub fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

/// Group, storage version, kind and resource of a CRD. `None` while it is not complete.
pub fn defined(crd: &Value) -> Option<(String, String, String, KindInfo)> {
    let group = text(crd, "/spec/group").to_owned();
    let plural = text(crd, "/spec/names/plural");
    let kind = text(crd, "/spec/names/kind").to_owned();
    let stored = at(crd, "/spec/versions").as_array()?.iter().find(|v| v["storage"] == true)?;
    let version = stored["name"].as_str()?.to_owned();
    let info = KindInfo {
        resource: qualified(&group, plural),
        namespaced: text(crd, "/spec/scope") == "Namespaced",
    };
    Some((group, version, kind, info))
}
