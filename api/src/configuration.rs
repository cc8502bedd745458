//! `spec.flinkConfiguration`: any JSON, read as a flat map of texts.
//!
//! The CRD gives this field no type at all (`x-kubernetes-preserve-unknown-fields`), so an object with a text or a
//! list in this place reaches the operator. It is kept as it is, flattens to nothing, and the validator says so.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The user's Flink configuration as written. Object keys are kept sorted, so equal contents serialize equally.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FlinkConfiguration(Value);

impl FlinkConfiguration {
    pub fn new() -> Self {
        Self(Value::Object(Map::new()))
    }

    pub fn from_value(value: Value) -> Self {
        match value {
            Value::Null => Self::new(),
            other => Self(sorted(other)),
        }
    }

    pub fn as_value(&self) -> &Value {
        &self.0
    }

    pub fn is_object(&self) -> bool {
        self.0.is_object()
    }

    pub fn is_empty(&self) -> bool {
        self.0.as_object().is_some_and(Map::is_empty)
    }

    /// Sets one key as written (no splitting at dots). A value that is not an object is replaced by one.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let mut map = match std::mem::take(&mut self.0) {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        map.insert(key.into(), value.into());
        self.0 = sorted(Value::Object(map));
    }

    /// Removes every way `key` is written, flat or nested.
    pub fn remove(&mut self, key: &str) {
        if let Value::Object(map) = &mut self.0 {
            remove_flat(map, key);
        }
    }

    pub fn get(&self, key: &str) -> Option<String> {
        self.flatten().remove(key)
    }

    /// Nested objects joined with `.`, list elements joined with `;`, scalars in their text form.
    ///
    /// A null counts as absent (Apache's operator hands Flink the text `null`, which no option accepts). Where
    /// a key is given both nested and dotted, the dotted one wins.
    pub fn flatten(&self) -> BTreeMap<String, String> {
        let mut flat = BTreeMap::new();
        if let Value::Object(map) = &self.0 {
            flatten_into("", map, &mut flat);
        }
        flat
    }
}

impl Default for FlinkConfiguration {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FlinkConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for FlinkConfiguration {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self::from_value(Value::Object(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect()))
    }
}

impl<'de> Deserialize<'de> for FlinkConfiguration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_value(Value::deserialize(deserializer)?))
    }
}

fn flatten_into(prefix: &str, map: &Map<String, Value>, flat: &mut BTreeMap<String, String>) {
    for (key, value) in map {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Null => {}
            Value::Object(inner) => flatten_into(&path, inner, flat),
            Value::Array(items) => {
                let texts: Vec<String> = items.iter().map(scalar_text).collect();
                flat.insert(path, texts.join(";"));
            }
            scalar => {
                flat.insert(path, scalar_text(scalar));
            }
        }
    }
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn remove_flat(map: &mut Map<String, Value>, key: &str) {
    map.shift_remove(key);
    for (at, _) in key.match_indices('.') {
        let (head, tail) = (&key[..at], &key[at + 1..]);
        if let Some(Value::Object(inner)) = map.get_mut(head) {
            remove_flat(inner, tail);
            if inner.is_empty() {
                map.shift_remove(head);
            }
        }
    }
}

/// The same value with the keys of every object in order.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(given: Value, expected: &[(&str, &str)]) {
        let flat = FlinkConfiguration::from_value(given).flatten();
        let got: Vec<(&str, &str)> = flat.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn flattening() {
        check(json!({"a.b": "x"}), &[("a.b", "x")]);
        check(json!({"a": {"b": {"c": 1}, "d": true}}), &[("a.b.c", "1"), ("a.d", "true")]);
        check(json!({"list": ["x", 2, false]}), &[("list", "x;2;false")]);
        check(json!({"ratio": 0.6, "empty": ""}), &[("empty", ""), ("ratio", "0.6")]);
        check(json!({"a": {"b": "nested"}, "a.b": "dotted"}), &[("a.b", "dotted")]);
        check(json!({"a.b": "dotted", "a": {"b": "nested"}}), &[("a.b", "dotted")]);
        check(json!({"nothing": null, "empty": {}}), &[]);
        check(json!("not an object"), &[]);
        check(json!(null), &[]);
    }

    #[test]
    fn removing_finds_nested_keys() {
        let mut configuration = FlinkConfiguration::from_value(json!({"a": {"b.c": 1, "d": 2}, "a.b.c": 3}));
        configuration.remove("a.b.c");
        assert_eq!(configuration.as_value(), &json!({"a": {"d": 2}}));
        configuration.remove("a.d");
        assert!(configuration.is_empty());
    }

    #[test]
    fn serialization_does_not_depend_on_the_order_given() {
        let one: FlinkConfiguration = serde_json::from_str(r#"{"b":{"z":1,"y":2},"a":0}"#).unwrap();
        let two: FlinkConfiguration = serde_json::from_str(r#"{"a":0,"b":{"y":2,"z":1}}"#).unwrap();
        assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&two).unwrap());
    }
}
