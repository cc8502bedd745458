//! Where this crate meets the parts of fake-kube-schema that are not there yet. Interim: ownership of fields is not
//! recorded, apply merges as a JSON merge patch, built-in kinds have no schema, tables show name and age.

use fake_kube_schema::{Schema, patch};
use jiff::Timestamp;
use serde_json::Value;

pub(crate) struct Write<'a> {
    pub(crate) manager: &'a str,
    pub(crate) api_version: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) now: Timestamp,
}

pub(crate) fn builtin_schema(_group: &str, _version: &str, _kind: &str) -> Schema {
    Schema::schemaless()
}

pub(crate) fn track_update(_schema: &Schema, _live: Option<&Value>, _new: &mut Value, w: &Write<'_>) {
    let _ = (w.manager, w.api_version, w.subresource, w.now);
}

pub(crate) fn apply(
    _schema: &Schema,
    live: Option<&Value>,
    applied: &Value,
    _w: &Write<'_>,
    _force: bool,
) -> Result<Value, patch::PatchError> {
    match live {
        Some(live) => patch::merge(live, applied),
        None => Ok(applied.clone()),
    }
}
