//! Small readers over JSON objects: the words controllers use for the parts of an object.
//! Leaves out typed structs on purpose: an object passes through with every field it came with.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

static NULL: Value = Value::Null;
static NO_ITEMS: Vec<Value> = Vec::new();

/// What is at a JSON pointer, null where nothing is. Pointers here are our own and lead through members of objects
/// only; unlike [`Value::pointer`] it need not copy each step to undo escapes.
pub fn at<'a>(v: &'a Value, pointer: &str) -> &'a Value {
    let mut steps = pointer.split('/').skip(1);
    steps.try_fold(v, |v, step| v.as_object()?.get(step)).unwrap_or(&NULL)
}

pub fn text<'a>(v: &'a Value, pointer: &str) -> &'a str {
    at(v, pointer).as_str().unwrap_or("")
}

pub fn int(v: &Value, pointer: &str) -> i64 {
    at(v, pointer).as_i64().unwrap_or(0)
}

pub fn int_or(v: &Value, pointer: &str, default: i64) -> i64 {
    at(v, pointer).as_i64().unwrap_or(default)
}

pub fn flag(v: &Value, pointer: &str) -> bool {
    at(v, pointer).as_bool().unwrap_or(false)
}

pub fn items<'a>(v: &'a Value, pointer: &str) -> &'a Vec<Value> {
    at(v, pointer).as_array().unwrap_or(&NO_ITEMS)
}

pub fn time(v: &Value, pointer: &str) -> Option<Timestamp> {
    at(v, pointer).as_str().and_then(|s| s.parse().ok())
}

pub fn name(v: &Value) -> &str {
    text(v, "/metadata/name")
}

pub fn namespace(v: &Value) -> &str {
    text(v, "/metadata/namespace")
}

pub fn uid(v: &Value) -> &str {
    text(v, "/metadata/uid")
}

pub fn is_deleting(v: &Value) -> bool {
    !at(v, "/metadata/deletionTimestamp").is_null()
}

pub fn label<'a>(v: &'a Value, key: &str) -> &'a str {
    at(v, "/metadata/labels")[key].as_str().unwrap_or("")
}

pub fn annotation<'a>(v: &'a Value, key: &str) -> Option<&'a str> {
    at(v, "/metadata/annotations")[key].as_str()
}

pub fn has_finalizer(v: &Value, finalizer: &str) -> bool {
    items(v, "/metadata/finalizers").iter().any(|f| f == finalizer)
}

/// The managing owner reference, if there is one.
pub fn controller_of(v: &Value) -> Option<&Value> {
    items(v, "/metadata/ownerReferences").iter().find(|r| r["controller"] == true)
}

pub fn is_controlled_by(v: &Value, owner_uid: &str) -> bool {
    controller_of(v).is_some_and(|r| r["uid"] == owner_uid)
}

pub fn controller_ref(owner: &Value, api_version: &str, kind: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name(owner), "uid": uid(owner),
           "controller": true, "blockOwnerDeletion": true})
}

/// Writes below an object path, making the objects on the way.
pub fn set(v: &mut Value, pointer: &str, value: Value) {
    let mut here = v;
    for part in pointer.split('/').skip(1) {
        let key = part.replace("~1", "/").replace("~0", "~");
        if !here.is_object() {
            *here = Value::Object(Map::new());
        }
        here = here.as_object_mut().expect("made an object above").entry(key).or_insert(Value::Null);
    }
    *here = value;
}

pub fn remove(v: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(map) = v.pointer_mut(parent).and_then(Value::as_object_mut) {
        map.shift_remove(&key.replace("~1", "/").replace("~0", "~"));
    }
}

/// Second precision, as `metav1.Time` prints it.
pub fn stamp(t: Timestamp) -> Value {
    Value::String(format!("{}", t.strftime("%Y-%m-%dT%H:%M:%SZ")))
}

pub fn after(t: Timestamp, d: SignedDuration) -> Timestamp {
    t.saturating_add(d).unwrap_or(Timestamp::MAX)
}

pub fn after_secs(t: Timestamp, seconds: i64) -> Timestamp {
    after(t, SignedDuration::from_secs(seconds.clamp(0, 1_000_000_000)))
}

pub fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

pub fn condition<'a>(v: &'a Value, kind: &str) -> Option<&'a Value> {
    items(v, "/status/conditions").iter().find(|c| c["type"] == kind)
}

pub fn condition_is_true(v: &Value, kind: &str) -> bool {
    condition(v, kind).is_some_and(|c| c["status"] == "True")
}

/// `matchLabels` + `matchExpressions` of a LabelSelector; an empty selector matches everything.
pub fn selector_matches(selector: &Value, labels: &Value) -> bool {
    let plain = selector["matchLabels"].as_object().is_none_or(|m| m.iter().all(|(k, v)| labels[k] == *v));
    plain && items(selector, "/matchExpressions").iter().all(|e| expression_matches(e, labels))
}

fn expression_matches(e: &Value, labels: &Value) -> bool {
    let actual = &labels[e["key"].as_str().unwrap_or("")];
    let listed = items(e, "/values").contains(actual);
    match e["operator"].as_str().unwrap_or("") {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => !actual.is_null(),
        "DoesNotExist" => actual.is_null(),
        "Gt" | "Lt" => {
            let number = |v: &Value| v.as_str().and_then(|s| s.parse::<i64>().ok());
            let (Some(a), Some(b)) = (number(actual), number(&e["values"][0])) else { return false };
            if e["operator"] == "Gt" { a > b } else { a < b }
        }
        _ => false,
    }
}

/// The plain map selector of a Service; empty selects nothing (the caller manages such Services by hand).
pub fn map_matches(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|m| !m.is_empty() && m.iter().all(|(k, v)| labels[k] == *v))
}

/// FNV-1a over 32 bits, the hash Kubernetes uses for templates.
pub fn fnv32a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

pub fn fnv64a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Kubernetes' `rand.SafeEncodeString` of a decimal hash: an alphabet without vowels and look-alikes.
pub fn safe_encode(hash: u32) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    hash.to_string().bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_selectors() {
        let labels = json!({"app": "a", "n": "5"});
        let check = |s: Value, expected: bool| assert_eq!(selector_matches(&s, &labels), expected, "{s}");
        check(json!({}), true);
        check(json!({"matchLabels": {"app": "a"}}), true);
        check(json!({"matchLabels": {"app": "b"}}), false);
        check(json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}), true);
        check(json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}), false);
        check(json!({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}), true);
        check(json!({"matchExpressions": [{"key": "n", "operator": "Gt", "values": ["4"]}]}), true);
        assert!(!map_matches(&json!({}), &labels));
        assert!(!map_matches(&Value::Null, &labels));
    }

    #[test]
    fn set_makes_the_way() {
        let mut v = json!({});
        set(&mut v, "/metadata/annotations/a~1b", json!("c"));
        assert_eq!(v, json!({"metadata": {"annotations": {"a/b": "c"}}}));
        remove(&mut v, "/metadata/annotations/a~1b");
        assert_eq!(v, json!({"metadata": {"annotations": {}}}));
    }
}
