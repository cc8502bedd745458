//! What Go's structs forget: nulls, empty maps and lists, unset strings, flags and counts of `omitempty` fields; and
//! what they write in one form only: quantities and times.
//!
//! The schemas tell structs, maps and required members apart, not pointers from values. For strings the tables of Go types
//! do; [`VALUES`] names the flags and counts that are plain values, whose zero is "unset". A zero anywhere else is kept, as
//! behind a pointer.

use serde_json::Value;

use super::quantity;
use crate::DEPTH_MAX;
use crate::proto;
use crate::schema::{Additional, Arena, Node, NodeId, Type, default};

/// Members that are plain booleans or integers with `omitempty`, wherever they occur.
const VALUES: [&str; 19] = [
    "failureThreshold",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "initialDelaySeconds",
    "minReadySeconds",
    "nodePort",
    "paused",
    "periodSeconds",
    "publishNotReadyAddresses",
    "readOnly",
    "stdin",
    "stdinOnce",
    "successThreshold",
    "timeoutSeconds",
    "tty",
    "unschedulable",
    "observedGeneration",
];

/// Lists without `omitempty`: present even when empty, null when missing.
const LISTS_ALWAYS_WRITTEN: [(&str, &str); 2] =
    [("io.k8s.api.rbac.v1.Role", "rules"), ("io.k8s.api.rbac.v1.ClusterRole", "rules")];

/// Drops what decoding into a Go struct and encoding it again would drop.
pub(crate) fn forget_unset(arena: &Arena, object: &mut Value) {
    default::drop_nulls(arena, object);
    walk(arena, arena.root, object, 0);
}

/// Writes `null` for lists that Go always writes; last, since defaulting reads null as missing.
pub(crate) fn write_empty_lists(arena: &Arena, object: &mut Value) {
    let root = arena.node(arena.root);
    for (_, member) in LISTS_ALWAYS_WRITTEN.iter().filter(|(on, _)| root.name.as_deref() == Some(on)) {
        if let Some(map) = object.as_object_mut() {
            map.entry(*member).or_insert(Value::Null);
        }
    }
}

fn walk(arena: &Arena, id: NodeId, value: &mut Value, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let node = arena.node(id);
    match value {
        Value::Object(map) => {
            let mut has_unset = false;
            for (key, member) in map.iter_mut() {
                if let Some(child) = node.properties.get(key) {
                    walk(arena, *child, member, depth + 1);
                    // Keys of a map are data; only members of a struct can be unset.
                    has_unset |= is_unset(node, arena.node(*child), key, member);
                } else if let Additional::Schema(child) = node.additional {
                    walk(arena, child, member, depth + 1);
                }
            }
            if has_unset {
                map.retain(|key, member| {
                    node.properties
                        .get(key)
                        .is_none_or(|child| !is_unset(node, arena.node(*child), key, member))
                });
            }
        }
        Value::Array(items) => {
            let Some(child) = node.items else { return };
            for item in items {
                walk(arena, child, item, depth + 1);
            }
        }
        Value::String(_) | Value::Number(_)
            if node.name.as_deref().is_some_and(|n| n.ends_with(".Quantity")) =>
        {
            let text = match &*value {
                Value::String(text) => text.clone(),
                number => number.to_string(),
            };
            if let Some(canonical) = quantity::canonical(&text) {
                *value = Value::from(canonical);
            }
        }
        Value::String(text) => {
            if let Some(utc) = in_utc(node, text) {
                *text = utc;
            }
        }
        _ => {}
    }
}

/// A time as Go writes what it read: in UTC, in whole seconds or, for a MicroTime, with six digits. None when it is
/// written so already, which is seen from its length.
fn in_utc(node: &Node, text: &str) -> Option<String> {
    const SECONDS: usize = "2006-01-02T15:04:05Z".len();
    const MICROS: usize = "2006-01-02T15:04:05.000000Z".len();
    if node.checks.as_ref().and_then(|c| c.format.as_deref()) != Some("date-time") {
        return None;
    }
    let is_micro = node.name.as_deref().is_some_and(|n| n.ends_with(".MicroTime"));
    if text.ends_with('Z') && text.len() == if is_micro { MICROS } else { SECONDS } {
        return None;
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    let format = if is_micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Some(time.strftime(format).to_string())
}

fn is_unset(parent: &Node, node: &Node, key: &str, value: &Value) -> bool {
    let required = parent.checks.as_ref().is_some_and(|c| c.required.iter().any(|r| r == key));
    if required || node.default.is_some() {
        return false;
    }
    let in_status = parent.name.as_deref().is_some_and(|n| n.ends_with("Status"));
    match value {
        Value::Object(map) => map.is_empty() && matches!(node.additional, Additional::Schema(_)),
        Value::Array(items) => {
            let name = parent.name.as_deref().unwrap_or_default();
            items.is_empty() && node.kind == Type::Array && !LISTS_ALWAYS_WRITTEN.contains(&(name, key))
        }
        // A Lease that is given up has the holder "" (client-go, leaderelection); ports of slices have a name even when
        // it is empty (case wl-service).
        Value::String(s) if s.is_empty() && node.kind == Type::String => {
            let known = parent.name.as_deref().and_then(|n| proto::keeps_empty_text(n, key));
            !known.unwrap_or(key == "type")
        }
        Value::Bool(false) => VALUES.contains(&key),
        Value::Number(n) => {
            n.as_i64() == Some(0)
                && (VALUES.contains(&key)
                    || (in_status && key.ends_with("eplicas") && key != "terminatingReplicas"))
        }
        _ => false,
    }
}
