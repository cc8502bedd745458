//! JSON Patch (RFC 6902) as evanphx/json-patch v4 does it, which is what clients of Kubernetes rely on: `test` of null
//! passes on a missing leaf, `replace` of a missing member adds it, negative indices count from the end.

use serde_json::{Map, Value};

use super::PatchError;
use super::merge::json_kind;
use crate::DEPTH_MAX;

const OPERATIONS_MAX: usize = 10_000;
/// Bytes that all copies of a patch make together (apiserver pkg/server/config.go, JSONPatchMaxCopyBytes).
const COPIED_MAX: usize = 3 << 20;

/// Applies the operations of `patch` to `doc`, all or none.
pub fn json(doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Array(operations) = patch else {
        let text = format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
            json_kind(patch)
        );
        return Err(PatchError::BadRequest(text));
    };
    if operations.len() > OPERATIONS_MAX {
        let text = format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            operations.len()
        );
        return Err(PatchError::TooLarge(text));
    }
    let mut out = doc.clone();
    let mut copied = 0;
    for operation in operations {
        let Value::Object(operation) = operation else {
            let text = format!(
                "error decoding patch: json: cannot unmarshal {} into Go value of type handlers.jsonPatchOp",
                json_kind(operation)
            );
            return Err(PatchError::BadRequest(text));
        };
        apply(&mut out, operation, &mut copied).map_err(PatchError::Rejected)?;
    }
    Ok(out)
}

fn apply(doc: &mut Value, operation: &Map<String, Value>, copied: &mut usize) -> Result<(), String> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    let op = text("op").unwrap_or_default();
    let path = text("path").ok_or_else(|| format!("{op} operation has no path"))?;
    let value = operation.get("value").cloned().unwrap_or_default();
    match op {
        "add" => add(doc, path, value),
        "remove" => remove(doc, path),
        "replace" => replace(doc, path, value),
        "test" => test(doc, path, &value),
        "move" => {
            let from = text("from").ok_or("move operation has no from")?;
            let moved = get(doc, from)?.cloned().unwrap_or_default();
            remove(doc, from)?;
            add(doc, path, moved)
        }
        "copy" => {
            let from = text("from").ok_or("copy operation has no from")?;
            let found = get(doc, from)?;
            // Copied into itself again and again it would double each time.
            *copied += found.map_or(4, |v| v.to_string().len());
            if *copied > COPIED_MAX {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {COPIED_MAX}"
                ));
            }
            let found = found.cloned().unwrap_or_default();
            add(doc, path, found)
        }
        other => Err(format!("unexpected kind: {other}")),
    }
}

/// The member name of a path segment.
fn decode(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// The container a path points into, and the last segment.
fn container<'a>(doc: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), String> {
    let missing = || format!("missing container: {path}");
    let (parents, key) = path.rsplit_once('/').ok_or_else(missing)?;
    let mut at = doc;
    for segment in parents.split('/').skip(1) {
        at = match at {
            Value::Object(map) => map.get_mut(&decode(segment)).ok_or_else(missing)?,
            Value::Array(items) => {
                let i = index(segment, items.len())?;
                items.get_mut(i).ok_or_else(missing)?
            }
            _ => return Err(missing()),
        };
    }
    if at.is_object() || at.is_array() { Ok((at, decode(key))) } else { Err(missing()) }
}

/// An existing position of a list of `length` elements.
fn index(text: &str, length: usize) -> Result<usize, String> {
    let wrong = || format!("invalid index {text} for a list of {length}");
    let i: i64 = text.parse().map_err(|_| wrong())?;
    let i = if i < 0 { i + length as i64 } else { i };
    usize::try_from(i).ok().filter(|i| *i < length).ok_or_else(wrong)
}

/// What a path points at; a missing member of an object is `None`, everything else missing an error.
fn get<'a>(doc: &'a mut Value, path: &str) -> Result<Option<&'a Value>, String> {
    let (at, key) = container(doc, path)?;
    match at {
        Value::Object(map) => Ok(map.get(&key)),
        Value::Array(items) => {
            let i = index(&key, items.len())?;
            Ok(items.get(i))
        }
        _ => Err(format!("missing container: {path}")),
    }
}

fn add(doc: &mut Value, path: &str, value: Value) -> Result<(), String> {
    // No body may be that deep; operations could make one of values that are not.
    if path.matches('/').count() + depth(&value) > DEPTH_MAX {
        return Err(format!("{path} is nested more than {DEPTH_MAX} deep"));
    }
    let (at, key) = container(doc, path)?;
    match at {
        Value::Object(map) => drop(map.insert(key, value)),
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let i = index(&key, items.len() + 1)?;
            items.insert(i, value);
        }
        _ => return Err(format!("missing container: {path}")),
    }
    Ok(())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn remove(doc: &mut Value, path: &str) -> Result<(), String> {
    let (at, key) = container(doc, path)?;
    match at {
        Value::Object(map) => {
            map.shift_remove(&key).map(drop).ok_or_else(|| format!("unable to remove nonexistent key: {key}"))
        }
        Value::Array(items) => {
            let i = index(&key, items.len())?;
            items.remove(i);
            Ok(())
        }
        _ => Err(format!("missing container: {path}")),
    }
}

fn replace(doc: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *doc = value;
        return Ok(());
    }
    let (at, key) = container(doc, path)?;
    match at {
        Value::Object(map) => drop(map.insert(key, value)),
        Value::Array(items) => {
            let i = index(&key, items.len())?;
            items[i] = value;
        }
        _ => return Err(format!("missing container: {path}")),
    }
    Ok(())
}

fn test(doc: &mut Value, path: &str, value: &Value) -> Result<(), String> {
    let found = if path.is_empty() { Some(&*doc) } else { get(doc, path)? };
    let equal = match found {
        None => value.is_null(),
        Some(found) => equal(found, value),
    };
    if equal { Ok(()) } else { Err(format!("testing value {path} failed")) }
}

/// Equality of JSON; `1` and `1.0` differ, as they do in raw form.
fn equal(a: &Value, b: &Value) -> bool {
    a == b
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(doc: Value, patch: Value) -> Option<Value> {
        json(&doc, &patch).ok()
    }

    /// Cases upd-json-fail, upd-json-null-test and the rows of reference 2.8.
    #[test]
    fn operations_follow_the_go_library() {
        let doc = || json!({"data": {"k": "1"}, "l": [1, 2]});
        let rows = [
            (json!([{"op": "test", "path": "/data/k", "value": "2"}]), None),
            (json!([{"op": "test", "path": "/data/nope", "value": "2"}]), None),
            (json!([{"op": "test", "path": "/data/nope", "value": null}]), Some(doc())),
            (json!([{"op": "test", "path": "/nope/x", "value": null}]), None),
            (json!([{"op": "remove", "path": "/data/nope"}]), None),
            (
                json!([{"op": "replace", "path": "/data/n", "value": "x"}]),
                Some(json!({"data": {"k": "1", "n": "x"}, "l": [1, 2]})),
            ),
            (json!([{"op": "move", "from": "/data/nope", "path": "/data/x"}]), None),
            (
                json!([{"op": "copy", "from": "/data/nope", "path": "/data/x"}]),
                Some(json!({"data": {"k": "1", "x": null}, "l": [1, 2]})),
            ),
            (json!([{"op": "nope", "path": "/data/k"}]), None),
            (json!([{"op": "add", "path": "data", "value": 1}]), None),
            (json!([{"op": "add", "value": 1}]), None),
            (json!([{"op": "remove", "path": ""}]), None),
            (
                json!([{"op": "add", "path": "/l/-", "value": 3}]),
                Some(json!({"data": {"k": "1"}, "l": [1, 2, 3]})),
            ),
            (
                json!([{"op": "add", "path": "/l/2", "value": 3}]),
                Some(json!({"data": {"k": "1"}, "l": [1, 2, 3]})),
            ),
            (json!([{"op": "add", "path": "/l/3", "value": 3}]), None),
            (json!([{"op": "remove", "path": "/l/-1"}]), Some(json!({"data": {"k": "1"}, "l": [1]}))),
            (json!([{"op": "replace", "path": "/l/9", "value": 3}]), None),
            (
                json!([{"op": "add", "path": "/data/a~1b~0c", "value": 1}]),
                Some(json!({"data": {"k": "1", "a/b~c": 1}, "l": [1, 2]})),
            ),
        ];
        for (patch, expected) in rows {
            assert_eq!(run(doc(), patch.clone()), expected, "{patch}");
        }
    }

    #[test]
    fn copies_and_nesting_are_bounded() {
        let said = |patch: Value| json(&json!({"a": {"k": "v"}}), &patch).expect_err("refused").to_string();
        let doubling: Vec<Value> =
            (0..100).map(|i| json!({"op": "copy", "from": "/a", "path": format!("/a/{i}")})).collect();
        let text = said(Value::from(doubling));
        assert!(text.starts_with("Unable to complete the copy, the accumulated size increase"), "{text}");
        let mut path = String::from("/a");
        let deeper = |path: &mut String| {
            let deep = (0..50).fold(json!({}), |inner, _| json!({"x": inner}));
            path.push_str("/x");
            let operation = json!({"op": "add", "path": path.clone(), "value": deep});
            path.push_str(&"/x".repeat(50));
            operation
        };
        let operations: Vec<Value> = (0..20).map(|_| deeper(&mut path)).collect();
        let text = said(Value::from(operations));
        assert!(text.ends_with("is nested more than 200 deep"), "{text}");
        let many: Vec<Value> =
            (0..10_001).map(|_| json!({"op": "test", "path": "/a/k", "value": "v"})).collect();
        assert_eq!(
            said(Value::from(many)),
            "The allowed maximum operations in a JSON patch is 10000, got 10001"
        );
    }
}
