//! The commonest write changes values and nothing else: a lease is renewed, a counter moves, a condition gets a new
//! time. No field comes or goes, and the writer owns what it changes already. Then ownership stays as it is and only the
//! time of the writer's entry moves, which needs no sets: this file finds those writes and leaves all others to the
//! updater. It must give exactly what the updater gives; the rows below hold it to that.

use serde_json::{Map, Value, json};

use super::Write;
use super::wire;
use crate::equal::equal;
use crate::members::Members;
use crate::text::time_text;

/// Metadata nobody owns (`strip_metadata`): whatever it does has no effect on ownership.
const FREE: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// managedFields after the write, or nothing when the updater has to decide. `sent` is what the client said they are.
pub(super) fn renewed(live: &Value, new: &Value, sent: Option<&Value>, w: &Write<'_>) -> Option<Value> {
    let entries = live.member("metadata")?.member("managedFields")?;
    let is_untouched = sent.is_none_or(|sent| sent.is_null() || equal(sent, entries));
    if !w.subresource.is_empty() || is_untouched {
        let list = entries.as_array()?;
        let own = own_entry(list, w)?;
        let mut walk = Walk { entries: list, own, has_changed: false };
        walk.objects(live.as_object()?, new.as_object()?, &mut Vec::new(), w.reset_fields)?;
        return Some(if walk.has_changed { moved(list, own, w) } else { entries.clone() });
    }
    None
}

/// Members that are nobody's, whatever they do.
fn is_free(path: &[&str], key: &str) -> bool {
    match path {
        [] => matches!(key, "apiVersion" | "kind"),
        ["metadata"] => FREE.contains(&key),
        _ => false,
    }
}

/// The writer's own entry, if all entries are ones the updater would have written.
fn own_entry<'e>(list: &'e [Value], w: &Write<'_>) -> Option<usize> {
    let text = |entry: &'e Value, key: &str| entry.member(key).and_then(Value::as_str).unwrap_or_default();
    let mut own = None;
    for (index, entry) in list.iter().enumerate() {
        let operation = text(entry, "operation");
        let is_plain = matches!(operation, "Apply" | "Update")
            && text(entry, "fieldsType") == "FieldsV1"
            && !text(entry, "apiVersion").is_empty()
            && entry.member("fieldsV1").is_some_and(Value::is_object);
        if !is_plain {
            return None;
        }
        let is_own = operation == "Update"
            && text(entry, "manager") == w.manager
            && text(entry, "apiVersion") == w.api_version
            && text(entry, "subresource") == w.subresource;
        if is_own && (own.replace(index).is_some() || entry.get("time").is_none()) {
            return None;
        }
    }
    own
}

struct Walk<'a> {
    entries: &'a [Value],
    own: usize,
    has_changed: bool,
}

impl<'a> Walk<'a> {
    /// `None`: something the updater has to look at.
    fn objects(
        &mut self,
        old: &'a Map<String, Value>,
        new: &'a Map<String, Value>,
        path: &mut Vec<&'a str>,
        reset_fields: &[&str],
    ) -> Option<()> {
        for (key, value) in new {
            if is_free(path, key) {
                continue;
            }
            let before = old.member(key)?;
            if equal(before, value) {
                continue;
            }
            if path.is_empty() && reset_fields.contains(&key.as_str()) {
                return None;
            }
            path.push(key);
            match (before, value) {
                (Value::Object(before), Value::Object(value)) => {
                    self.objects(before, value, path, reset_fields)?
                }
                (Value::String(_), Value::String(_))
                | (Value::Bool(_), Value::Bool(_))
                | (Value::Number(_), Value::Number(_)) => self.leaf(path)?,
                _ => return None,
            }
            path.pop();
        }
        let has_lost = old.keys().any(|key| !is_free(path, key) && new.member(key).is_none());
        (!has_lost).then_some(())
    }

    /// A changed value: the writer owns it, and nobody else does.
    fn leaf(&mut self, path: &[&str]) -> Option<()> {
        self.has_changed = true;
        let is_right =
            |(index, entry): (usize, &Value)| owns(&entry["fieldsV1"], path) == (index == self.own);
        self.entries.iter().enumerate().all(is_right).then_some(())
    }
}

/// Whether a set in its wire form has the path as a member.
fn owns(fields: &Value, path: &[&str]) -> bool {
    let mut at = fields;
    for key in path {
        let Some(next) = at.as_object().and_then(|at| at.get(&format!("f:{key}"))) else { return false };
        at = next;
    }
    wire::is_member(at)
}

/// The entries with the writer's time moved, in the order they are written in.
fn moved(list: &[Value], own: usize, w: &Write<'_>) -> Value {
    let mut list = list.to_vec();
    if let Some(entry) = list[own].as_object_mut() {
        entry.insert("time".to_owned(), json!(time_text(w.now)));
    }
    let text =
        |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if list.len() > 1 {
        list.sort_by_cached_key(|entry| {
            let keys = ["time", "manager", "apiVersion", "subresource"].map(|key| text(entry, key));
            (text(entry, "operation") != "Apply", keys)
        });
    }
    Value::Array(list)
}

#[cfg(test)]
mod tests {
    use super::super::{track_update, tracked_by_updater};
    use super::*;
    use crate::builtins::Builtins;
    use crate::schema::Schema;

    fn schema() -> Schema {
        Builtins::load().schema("", "v1", "ConfigMap").expect("ConfigMap is built in")
    }

    fn write(manager: &'static str, second: i64) -> Write<'static> {
        let now = jiff::Timestamp::from_second(1_700_000_000 + second).expect("a time");
        Write { manager, api_version: "v1", subresource: "", now, same_schema: false, reset_fields: &[] }
    }

    fn map(data: Value, annotation: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "m", "namespace": "n", "annotations": {"lease": annotation}}, "data": data})
    }

    /// What `first` creates and `second` (if any) changes, then `w` writes: found short, and as the updater says.
    fn check(other: Option<Value>, new: Value, w: &Write<'_>, is_short: bool) {
        let schema = schema();
        let mut live = map(json!({"a": "1", "b": "2"}), "old");
        track_update(&schema, None, &mut live, &write("first", 0));
        if let Some(mut other) = other {
            track_update(&schema, Some(&live), &mut other, &write("second", 1));
            live = other;
        }
        let short = renewed(&live, &new, None, w);
        assert_eq!(short.is_some(), is_short, "{new}");
        let mut slow = new.clone();
        tracked_by_updater(&schema, Some(&live), &mut slow, None, w);
        if let Some(short) = short {
            assert_eq!(short, slow["metadata"]["managedFields"], "{new}");
        }
        let mut tracked = new;
        track_update(&schema, Some(&live), &mut tracked, w);
        assert_eq!(tracked, slow);
    }

    #[test]
    fn ownership_is_what_the_updater_says() {
        let same = || json!({"a": "1", "b": "2"});
        let first = write("first", 60);
        check(None, map(same(), "new"), &first, true);
        check(None, map(json!({"a": "3", "b": "2"}), "new"), &first, true);
        check(None, map(json!({"b": "3", "a": "1"}), "old"), &first, true);
        check(None, map(same(), "old"), &first, true);
        // A field comes, a field goes, a value becomes null, somebody else writes.
        check(None, map(json!({"a": "1", "b": "2", "c": "3"}), "new"), &first, false);
        check(None, map(json!({"a": "1"}), "new"), &first, false);
        check(None, map(json!({"a": "1", "b": null}), "new"), &first, false);
        check(None, map(json!({"a": "9", "b": "2"}), "old"), &write("second", 60), false);
    }

    #[test]
    fn fields_of_others_are_left_to_the_updater() {
        let other = || Some(map(json!({"a": "1", "b": "other"}), "old"));
        let first = write("first", 60);
        check(other(), map(json!({"a": "5", "b": "other"}), "old"), &first, true);
        check(other(), map(json!({"a": "1", "b": "mine again"}), "old"), &first, false);
        check(other(), map(json!({"a": "1", "b": "again"}), "old"), &write("second", 60), true);
        // Times decide the order of entries: the writer's goes behind.
        check(other(), map(json!({"a": "5", "b": "other"}), "new"), &write("first", 0), true);
    }
}
