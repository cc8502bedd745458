//! Events: core/v1 and events.k8s.io/v1 are two views of one stored object (kube-api.md 2.13). Stored as core.

use fake_kube_schema::Cause;
use serde_json::{Map, Value, json};

use crate::resource::Definition;
use crate::{meta, names};

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

const NAME_MAX: usize = 128;
const NOTE_MAX: usize = 1024;
/// What an update through events.k8s.io leaves as it is; `reason` is complained about twice, as there.
const IMMUTABLE: [&str; 13] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingInstance",
];

/// An event in stored form, as `ValidateEventCreate` and `ValidateEventUpdate` judge it: writes through core/v1 get by
/// with the rules of old, those through events.k8s.io are held to the strict ones too (kube-api.md 2.13, cases ev-*).
pub(crate) fn validate(def: &Definition, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut out = validate_as_ever(def, object);
    if !is_view(def) {
        return out;
    }
    match old {
        None => out.extend(validate_new(object)),
        Some(old) => out.extend(validate_change(object, old)),
    }
    out
}

fn validate_as_ever(def: &Definition, object: &Value) -> Vec<Cause> {
    let involved = text(&object["involvedObject"], "namespace");
    let namespace = meta::namespace(object);
    let is_old_style = !is_set(object, "eventTime");
    let has_its_place = match (involved, is_old_style) {
        // What has no namespace has its events in `default`.
        ("", true) => namespace == "default",
        ("", false) => matches!(namespace, "default" | "kube-system"),
        (involved, true) => involved == namespace,
        (_, false) => true,
    };
    let mut out = Vec::new();
    if !has_its_place {
        let field = "involvedObject.namespace";
        out.push(Cause::invalid(field, &json!(involved), "does not match event.namespace"));
    }
    if is_old_style {
        return out;
    }
    let controller = text(object, "reportingComponent");
    let field = if is_view(def) { "reportingController" } else { "reportingComponent" };
    if controller.is_empty() {
        out.push(Cause::required(field, ""));
    }
    let words = names::qualified_all(controller);
    out.extend(words.iter().map(|word| Cause::invalid(field, &json!(controller), word)));
    for key in ["reportingInstance", "action", "reason"] {
        if text(object, key).is_empty() {
            out.push(Cause::required(key, ""));
        }
        if text(object, key).len() > NAME_MAX {
            out.push(Cause::invalid(key, &json!(""), &format!("can have at most {NAME_MAX} characters")));
        }
    }
    if text(object, "message").len() > NOTE_MAX {
        out.push(Cause::invalid("message", &json!(""), &format!("can have at most {NOTE_MAX} characters")));
    }
    out
}

fn validate_new(object: &Value) -> Vec<Cause> {
    let mut out = validate_series(object);
    if !is_set(object, "eventTime") {
        out.push(Cause::required("eventTime", ""));
    }
    let kind = text(object, "type");
    if !matches!(kind, "Normal" | "Warning") {
        out.push(Cause::invalid("type", &json!(""), &format!("has invalid value: {kind}")));
    }
    let has_source = ["component", "host"].iter().any(|key| !text(&object["source"], key).is_empty());
    for (key, is_given) in [
        ("firstTimestamp", is_set(object, "firstTimestamp")),
        ("lastTimestamp", is_set(object, "lastTimestamp")),
        ("count", object["count"].as_i64().is_some_and(|count| count != 0)),
        ("source", has_source),
    ] {
        if is_given {
            out.push(Cause::invalid(key, &json!(""), "needs to be unset"));
        }
    }
    out
}

fn validate_change(object: &Value, old: &Value) -> Vec<Cause> {
    let mut out = if object["series"] == old["series"] { Vec::new() } else { validate_series(object) };
    let fields = IMMUTABLE.into_iter().map(|key| (key, key));
    for (field, key) in fields.chain([("reportingController", "reportingComponent")]) {
        if object.get(key) != old.get(key) {
            let new = object.get(key).unwrap_or(&Value::Null);
            out.push(Cause::invalid(field, new, "field is immutable"));
        }
    }
    out
}

fn validate_series(object: &Value) -> Vec<Cause> {
    let series = &object["series"];
    let mut out = Vec::new();
    if series.is_null() {
        return out;
    }
    if series["count"].as_i64().unwrap_or(0) < 2 {
        out.push(Cause::invalid("series.count", &json!(""), "should be at least 2"));
    }
    if !is_set(series, "lastObservedTime") {
        out.push(Cause::required("series.lastObservedTime", ""));
    }
    out
}

fn text<'o>(object: &'o Value, key: &str) -> &'o str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is_set(object: &Value, key: &str) -> bool {
    object.get(key).is_some_and(|value| !value.is_null())
}
