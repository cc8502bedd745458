//! Field-level changes between two values of an object: what a transcript and a timeline show instead of two objects.

use crate::matching::path::join;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One field that differs; `None` is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub path: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// All differing fields, in the order of the new object. Lists of one length are compared by place; other lists and
/// scalars as a whole.
pub fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut out = Vec::new();
    compare("", Some(old), Some(new), &mut out);
    out
}

fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, out: &mut Vec<Change>) {
    match (old, new) {
        (Some(a), Some(b)) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            b.iter().for_each(|(key, value)| compare(&join(path, key), a.get(key), Some(value), out));
            let gone = a.iter().filter(|(key, _)| !b.contains_key(*key));
            gone.for_each(|(key, value)| compare(&join(path, key), Some(value), None, out));
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs.for_each(|(i, (a, b))| compare(&format!("{path}[{i}]"), Some(a), Some(b), out));
        }
        (None, None) => {}
        // A map that appears or goes is told by its leaves: they are what a reader looks for.
        (None, Some(Value::Object(map))) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| compare(&join(path, key), None, Some(value), out));
        }
        (Some(Value::Object(map)), None) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| compare(&join(path, key), Some(value), None, out));
        }
        _ => out.push(Change { path: path.to_owned(), old: old.cloned(), new: new.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_told_by_leaf() {
        let check = |old: Value, new: Value, expected: &[(&str, Option<Value>, Option<Value>)]| {
            let got: Vec<_> = changes(&old, &new).into_iter().map(|c| (c.path, c.old, c.new)).collect();
            let expected: Vec<_> =
                expected.iter().map(|(p, o, n)| ((*p).to_owned(), o.clone(), n.clone())).collect();
            assert_eq!(got, expected);
        };
        check(
            json!({"a": 1, "b": {"c": 2}}),
            json!({"a": 1, "b": {"c": 3}}),
            &[("b.c", Some(json!(2)), Some(json!(3)))],
        );
        check(
            json!({}),
            json!({"s": {"x": 1, "y": {}}}),
            &[("s.x", None, Some(json!(1))), ("s.y", None, Some(json!({})))],
        );
        check(json!({"l": [1, 2]}), json!({"l": [1, 3]}), &[("l[1]", Some(json!(2)), Some(json!(3)))]);
        check(json!({"l": [1]}), json!({"l": [1, 3]}), &[("l", Some(json!([1])), Some(json!([1, 3])))]);
        check(json!({"x": {"k": 1}}), json!({}), &[("x.k", Some(json!(1)), None)]);
        check(json!(1), json!(1), &[]);
    }
}
