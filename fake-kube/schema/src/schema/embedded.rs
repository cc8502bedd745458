//! Embedded resources (`x-kubernetes-embedded-resource`): their metadata is decoded with the object around them, so a
//! wrong one is no validation error but a body that cannot be read (case crv-embedded).
//!
//! Leaves out: the members of that metadata, which are kept or dropped by pruning.

use serde_json::Value;

use super::node::{Arena, NodeId};
use super::path::Path;
use crate::DEPTH_MAX;
use crate::text::compact_json;

/// The first embedded resource whose metadata is no object.
pub(super) fn error(arena: &Arena, object: &Value) -> Option<String> {
    walk(arena, arena.root, object, &Path::Root, 0)
}

fn walk(arena: &Arena, id: NodeId, value: &Value, path: &Path<'_>, depth: usize) -> Option<String> {
    if !arena.embedded_below[id as usize] || depth > DEPTH_MAX {
        return None;
    }
    let node = arena.node(id);
    match value {
        Value::Object(map) => {
            if let Some(metadata) =
                map.get("metadata").filter(|m| node.embedded && !m.is_object() && !m.is_null())
            {
                return Some(format!(
                    "{}: Invalid value: {}: json: cannot unmarshal {} into Go value of type v1.ObjectMeta",
                    path.key("metadata"),
                    compact_json(metadata),
                    go_kind(metadata)
                ));
            }
            map.iter()
                .find_map(|(key, member)| walk(arena, node.member(key)?, member, &path.key(key), depth + 1))
        }
        Value::Array(items) => {
            let child = node.items?;
            items.iter().enumerate().find_map(|(i, v)| walk(arena, child, v, &path.index(i), depth + 1))
        }
        _ => None,
    }
}

fn go_kind(v: &Value) -> &'static str {
    match v {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        Value::Object(_) | Value::Null => "object",
    }
}
