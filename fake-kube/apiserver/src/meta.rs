//! Reading and writing `metadata` of an object held as JSON.

use fake_kube_schema::text::time_text;
use fake_kube_schema::{Members, put_member, take_member};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub(crate) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.member("metadata").and_then(|m| m.member(key)).and_then(Value::as_str).unwrap_or("")
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "name")
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "uid")
}

pub(crate) fn get<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.member("metadata").and_then(|m| m.member(key)).filter(|v| !v.is_null())
}

pub(crate) fn generation(object: &Value) -> Option<i64> {
    get(object, "generation").and_then(Value::as_i64)
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    get(object, "deletionTimestamp").is_some()
}

pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    let list = get(object, "finalizers").and_then(Value::as_array);
    list.map(|l| l.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// The metadata of an object, made when missing.
pub(crate) fn of(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let root = object.as_object_mut().expect("made an object above");
    if !root.member("metadata").is_some_and(Value::is_object) {
        root.insert("metadata".to_owned(), json!({}));
    }
    root.member_mut("metadata").and_then(Value::as_object_mut).expect("made an object above")
}

pub(crate) fn set(object: &mut Value, key: &str, value: Value) {
    put_member(of(object), key, value);
}

pub(crate) fn remove(object: &mut Value, key: &str) {
    take_member(of(object), key);
}

/// Copies one member of the metadata, or its absence.
pub(crate) fn copy(from: &Value, to: &mut Value, key: &str) {
    match get(from, key) {
        Some(v) => set(to, key, v.clone()),
        None => remove(to, key),
    }
}

pub(crate) fn set_finalizers(object: &mut Value, list: Vec<String>) {
    if list.is_empty() {
        remove(object, "finalizers");
    } else {
        set(object, "finalizers", json!(list));
    }
}

/// `metav1.Time`: whole seconds in UTC.
pub(crate) fn time(t: Timestamp) -> String {
    time_text(t)
}

pub(crate) fn parse_time(v: Option<&Value>) -> Option<Timestamp> {
    v.and_then(Value::as_str).and_then(|s| s.parse().ok())
}

/// Looks a dotted path up (`spec.replicas`), no list indices.
pub(crate) fn dotted<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').filter(|s| !s.is_empty()).try_fold(object, |v, key| v.member(key))
}

/// Sets a dotted path, making maps on the way; false when something else is in the way.
pub(crate) fn set_dotted(object: &mut Value, path: &str, value: Value) -> bool {
    let mut at = object;
    for key in path.split('.').filter(|s| !s.is_empty()) {
        if at.is_null() {
            *at = json!({});
        }
        let Some(map) = at.as_object_mut() else { return false };
        at = map.entry(key).or_insert(Value::Null);
    }
    *at = value;
    true
}

/// Empty lists and maps of the metadata go, as Go's omitempty drops them; so do nulls.
pub(crate) fn tidy(object: &mut Value) {
    of(object).retain(|k, v| {
        k == "managedFields"
            || match v {
                Value::Null => false,
                Value::Array(l) => !l.is_empty(),
                Value::Object(m) => !m.is_empty(),
                Value::String(s) => !s.is_empty(),
                _ => true,
            }
    });
}

/// Drops repeated owner references; returns the warning a real server sends.
pub(crate) fn dedup_owners(object: &mut Value) -> Option<String> {
    let list = of(object).member_mut("ownerReferences")?.as_array_mut()?;
    let mut seen: Vec<Value> = Vec::new();
    let mut repeated: Vec<String> = Vec::new();
    list.retain(|o| {
        let again = seen.contains(o);
        let uid = o.get("uid").and_then(Value::as_str).unwrap_or("").to_owned();
        if seen.iter().any(|s| s.get("uid") == o.get("uid")) && !repeated.contains(&uid) {
            repeated.push(uid);
        }
        if !again {
            seen.push(o.clone());
        }
        !again
    });
    (!repeated.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may \
             reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            repeated.join(", ")
        )
    })
}
