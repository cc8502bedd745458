//! `x-kubernetes-list-type` set and map: no element twice. An update is judged only if the stored object was clean
//! (reference 2.9; cases crv-list-map-dup, crv-list-map-dup-old).

use std::collections::HashMap;

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
                    walk(arena, child, member, &node.path_of(path, key), errors, depth + 1);
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

/// One error per value that is there more than once, at its second place.
fn check_list(node: &Node, items: &[Value], path: &Path<'_>, errors: &mut Vec<Cause>) {
    let keys = match &node.list {
        ListType::Atomic => return,
        ListType::Set => None,
        ListType::Map { keys } => Some(keys),
    };
    let not_an_object = |item: &Value| !item.is_object() && !item.is_null();
    if keys.is_some()
        && let Some(i) = items.iter().position(not_an_object)
    {
        let detail = "must be an object for an array of list-type map";
        errors.push(Cause::invalid(path.index(i).field(), &items[i], detail));
        return;
    }
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let compared = keys.map_or_else(|| item.clone(), |keys| keys_of(item, keys));
        let times = seen.entry(compact_json(&compared)).or_default();
        *times += 1;
        if *times == 2 {
            errors.push(Cause::duplicate(path.index(i).field(), &compared));
        }
    }
}

fn keys_of(item: &Value, keys: &[String]) -> Value {
    let found: Map<String, Value> =
        keys.iter().filter_map(|k| item.get(k).map(|v| (k.clone(), v.clone()))).collect();
    Value::Object(found)
}
