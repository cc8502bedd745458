//! Events: core/v1 and events.k8s.io/v1 are two views of one stored object (kube-api.md 2.13). Stored as core.

use serde_json::{Map, Value};

use crate::resource::Definition;

const PAIRS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("reportingComponent", "reportingController"),
];

pub(crate) fn is_view(def: &Definition) -> bool {
    def.group == "events.k8s.io" && def.plural == "events"
}

/// Whether objects of `def` are stored in a form of their own.
pub(crate) fn is_converted(def: &Definition) -> bool {
    is_view(def) || def.is("", "events")
}

/// The stored form of what a client sent to `def`.
pub(crate) fn to_storage(def: &Definition, mut value: Value) -> Value {
    if is_view(def) {
        rename(&mut value, |k| PAIRS.iter().find(|(_, new)| *new == k).map(|(core, _)| *core));
        value["apiVersion"] = "v1".into();
        fill_core(&mut value);
    } else if def.is("", "events") {
        fill_core(&mut value);
    }
    value
}

/// What a reader of `def` sees.
pub(crate) fn from_storage(def: &Definition, value: &Value) -> Value {
    let mut out = value.clone();
    if is_view(def) {
        rename(&mut out, |k| PAIRS.iter().find(|(core, _)| *core == k).map(|(_, new)| *new));
        out["apiVersion"] = "events.k8s.io/v1".into();
    }
    out
}

/// Members the Go struct always shows.
fn fill_core(value: &mut Value) {
    let Some(map) = value.as_object_mut() else { return };
    for key in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        map.entry(key).or_insert(Value::Null);
    }
    for key in ["involvedObject", "source"] {
        map.entry(key).or_insert_with(|| Value::Object(Map::new()));
    }
    for key in ["reportingComponent", "reportingInstance"] {
        map.entry(key).or_insert_with(|| "".into());
    }
}

fn rename(value: &mut Value, to: impl Fn(&str) -> Option<&'static str>) {
    let Some(map) = value.as_object_mut() else { return };
    let old = std::mem::take(map);
    for (k, v) in old {
        let key = to(&k).map_or(k, str::to_owned);
        map.insert(key, v);
    }
}
