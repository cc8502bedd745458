//! JSON merge patch (RFC 7386): null deletes, objects merge, everything else replaces.

use serde_json::{Map, Value};

use super::PatchError;
use crate::DEPTH_MAX;

/// Applies `patch` to `doc`.
pub fn merge(doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    let patch = match patch {
        Value::Object(patch) => patch,
        Value::Null => return Err(PatchError::BadRequest("Invalid JSON Patch".into())),
        other => {
            let text = format!(
                "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                json_kind(other)
            );
            return Err(PatchError::BadRequest(text));
        }
    };
    let mut out = doc.as_object().cloned().unwrap_or_default();
    merge_into(&mut out, patch, 0);
    Ok(Value::Object(out))
}

/// The name encoding/json gives a value of the wrong kind.
pub(super) fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn merge_into(target: &mut Map<String, Value>, patch: &Map<String, Value>, depth: usize) {
    for (key, change) in patch {
        match (target.get_mut(key), change) {
            (_, Value::Null) => drop(target.shift_remove(key)),
            (Some(Value::Object(inner)), Value::Object(change)) if depth < DEPTH_MAX => {
                merge_into(inner, change, depth + 1);
            }
            (Some(slot), change) => *slot = without_nulls(change, depth),
            (None, change) => drop(target.insert(key.clone(), without_nulls(change, depth))),
        }
    }
}

/// A value that replaces or is new loses the nulls of its objects; null list elements stay (evanphx `pruneNils`).
fn without_nulls(value: &Value, depth: usize) -> Value {
    match value {
        Value::Object(map) if depth < DEPTH_MAX => {
            let kept = map.iter().filter(|(_, v)| !v.is_null());
            Value::Object(kept.map(|(k, v)| (k.clone(), without_nulls(v, depth + 1))).collect())
        }
        Value::Array(items) if depth < DEPTH_MAX => {
            Value::Array(items.iter().map(|v| without_nulls(v, depth + 1)).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_as_rfc_7386_says() {
        let rows = [
            (
                json!({"a": 1, "b": {"c": 1, "d": 2}}),
                json!({"a": null, "b": {"c": null}}),
                json!({"b": {"d": 2}}),
            ),
            (json!({"l": [1, 2]}), json!({"l": [3]}), json!({"l": [3]})),
            (json!({}), json!({"a": {"b": null, "c": 1}}), json!({"a": {"c": 1}})),
            (json!({"a": "x"}), json!({"a": {"b": null}}), json!({"a": {}})),
            (json!({"l": 1}), json!({"l": [null, {"a": null}]}), json!({"l": [null, {}]})),
        ];
        for (doc, patch, expected) in rows {
            assert_eq!(merge(&doc, &patch), Ok(expected));
        }
    }

    #[test]
    fn patches_that_are_no_objects_are_bad_requests() {
        let text = |patch: Value| merge(&json!({}), &patch).map_err(|e| e.to_string());
        assert_eq!(text(json!(null)), Err("Invalid JSON Patch".into()));
        let expected = "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}";
        assert_eq!(text(json!([])), Err(expected.into()));
    }
}
