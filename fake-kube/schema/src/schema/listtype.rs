//! `x-kubernetes-list-type` set and map: no element twice. An update is judged only if the stored object was clean
//! (reference 2.9; cases crv-list-map-dup, crv-list-map-dup-old).

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::node::{Arena, ListType, Node, NodeId};
use super::path::Path;
use crate::DEPTH_MAX;
use crate::cause::Cause;
use crate::text::compact_json;

pub(crate) fn check(arena: &Arena, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let errors = duplicates(arena, new);
    if errors.is_empty() || old.is_some_and(|old| !duplicates(arena, old).is_empty()) {
        return vec![];
    }
    errors
}

/// The element of the old list that `item` continues: the one with the same keys in a list map, none elsewhere.
pub(crate) fn correlate<'a>(list: &ListType, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
    let (ListType::Map { keys }, Some(old)) = (list, old.and_then(Value::as_array)) else { return None };
    let mut same = old.iter().filter(|o| keys.iter().all(|k| o.get(k) == item.get(k)));
    same.next()
}

fn duplicates(arena: &Arena, object: &Value) -> Vec<Cause> {
    let mut errors = Vec::new();
    walk(arena, arena.root, object, &Path::Root, &mut errors, 0);
    errors
}

fn walk(arena: &Arena, id: NodeId, value: &Value, path: &Path<'_>, errors: &mut Vec<Cause>, depth: usize) {
    if !arena.keyed_below[id as usize] || depth > DEPTH_MAX {
        return;
    }
    let node = arena.node(id);
    match value {
        Value::Object(map) => {
            for (key, member) in map {
                // Metadata has its own validation.
                if depth == 0 && key == "metadata" {
                    continue;
                }
                if let Some(child) = node.member(key) {
                    walk(arena, child, member, &path.key(key), errors, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            check_list(node, items, path, errors);
            if let Some(child) = node.items {
                for (i, item) in items.iter().enumerate() {
                    walk(arena, child, item, &path.index(i), errors, depth + 1);
                }
            }
        }
        _ => {}
    }
}

fn check_list(node: &Node, items: &[Value], path: &Path<'_>, errors: &mut Vec<Cause>) {
    let mut seen: HashSet<String> = HashSet::with_capacity(items.len());
    match &node.list {
        ListType::Atomic => {}
        ListType::Set => {
            for (i, item) in items.iter().enumerate() {
                if !seen.insert(compact_json(item)) {
                    errors.push(Cause::duplicate(path.index(i).field(), item));
                }
            }
        }
        ListType::Map { keys } => {
            for (i, item) in items.iter().enumerate() {
                let Value::Object(map) = item else {
                    let detail = "must be an object for an array of list-type map";
                    errors.push(Cause::invalid(path.index(i).field(), item, detail));
                    continue;
                };
                let key: Map<String, Value> =
                    keys.iter().filter_map(|k| map.get(k).map(|v| (k.clone(), v.clone()))).collect();
                let key = Value::Object(key);
                if !seen.insert(compact_json(&key)) {
                    errors.push(Cause::duplicate(path.index(i).field(), &key));
                }
            }
        }
    }
}
