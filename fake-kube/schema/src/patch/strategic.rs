//! Strategic merge patch: merge patch with lists merged by key, and directives. Built-in kinds only.
//!
//! A port of apimachinery's `strategicpatch` (`mergeMap` with parallel lists merged), driven by the patch strategies of
//! the schema. Evidence: reference 2.8 with its key table, cases smp-*.

use serde_json::{Map, Value};

use super::PatchError;
use super::merge::json_kind;
use crate::DEPTH_MAX;
use crate::schema::Schema;
use crate::schema::node::{Arena, Node, NodeId, PatchStrategy, Type};
use crate::text::go_value;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

type Object = Map<String, Value>;

/// Applies `patch` to `doc`, with list keys taken from `schema`.
pub fn strategic(schema: &Schema, doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else {
        let text = format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            json_kind(patch)
        );
        return Err(PatchError::BadRequest(text));
    };
    let arena = schema.arena();
    let merger = Merger { arena };
    let original = doc.as_object().cloned().unwrap_or_default();
    let merged = Value::Object(merger.map(original, patch.clone(), Some(arena.root), 0)?);
    restorable(arena, Some(arena.root), &merged, 0).map_err(PatchError::Undecodable)?;
    Ok(merged)
}

struct Merger<'a> {
    arena: &'a Arena,
}

fn internal(text: String) -> PatchError {
    PatchError::Internal(text)
}

fn no_merge_key(element: &Value, key: &str) -> PatchError {
    internal(format!("map: {} does not contain declared merge key: {key}", go_value(element)))
}

fn bad_patch_type(kind: &Value, map: &Object) -> PatchError {
    internal(format!(
        "unknown patch type: {} in map: {}",
        go_value(kind),
        go_value(&Value::Object(map.clone()))
    ))
}

/// What is known of a member: its schema and how its list merges.
#[derive(Clone)]
struct Member {
    node: Option<NodeId>,
    items: Option<NodeId>,
    strategy: PatchStrategy,
}

impl Merger<'_> {
    fn member(&self, parent: Option<NodeId>, key: &str) -> Member {
        let node = parent.and_then(|id| self.arena.node(id).member(key));
        let found: Option<&Node> = node.map(|id| self.arena.node(id));
        Member {
            node,
            items: found.and_then(|n| n.items),
            strategy: found.and_then(|n| n.patch.as_deref().cloned()).unwrap_or_default(),
        }
    }

    fn map(
        &self,
        mut original: Object,
        mut patch: Object,
        node: Option<NodeId>,
        depth: usize,
    ) -> Result<Object, PatchError> {
        if depth > DEPTH_MAX {
            return Err(PatchError::BadRequest("exceeded max depth".into()));
        }
        if let Some(directive) = patch.get(DIRECTIVE) {
            return match directive.as_str() {
                Some("replace") => {
                    patch.shift_remove(DIRECTIVE);
                    Ok(patch)
                }
                Some("delete") => Ok(Object::new()),
                _ => Err(bad_patch_type(directive, &patch)),
            };
        }
        retain_keys(&mut original, &mut patch)?;
        self.ordered_lists(&mut original, &mut patch, node, depth)?;
        for (key, change) in patch {
            let (key, deletes) = match key.strip_prefix(DELETE_FROM) {
                Some(list) => (list.to_string(), true),
                None => (key, false),
            };
            if change.is_null() {
                original.shift_remove(&key);
                continue;
            }
            let current = original.get_mut(&key).map(Value::take);
            let merged = match (current, change) {
                (None, _) if deletes => {
                    continue;
                }
                (None, change) => without_directives(without_nulls(change)),
                (Some(Value::Object(current)), Value::Object(change)) => {
                    let member = self.member(node, &key);
                    Value::Object(self.map(current, change, member.node, depth + 1)?)
                }
                (Some(Value::Array(current)), Value::Array(change)) => {
                    let member = self.member(node, &key);
                    Value::Array(self.list_by_strategy(current, change, &member, deletes, depth + 1)?)
                }
                (Some(current), _) if deletes => current,
                (Some(_), change) => without_directives(without_nulls(change)),
            };
            original.insert(key, merged);
        }
        Ok(original)
    }

    fn list_by_strategy(
        &self,
        original: Vec<Value>,
        patch: Vec<Value>,
        member: &Member,
        deletes: bool,
        depth: usize,
    ) -> Result<Vec<Value>, PatchError> {
        if member.strategy.merge || deletes {
            self.list(original, patch, member, deletes, depth)
        } else {
            Ok(patch)
        }
    }

    fn list(
        &self,
        mut original: Vec<Value>,
        patch: Vec<Value>,
        member: &Member,
        deletes: bool,
        depth: usize,
    ) -> Result<Vec<Value>, PatchError> {
        if original.is_empty() && patch.is_empty() {
            return Ok(original);
        }
        if !element_kind(&original, &patch)? {
            if deletes {
                original.retain(|item| !patch.contains(item));
                return Ok(original);
            }
            let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
            for item in original.iter().chain(&patch) {
                if !merged.contains(item) {
                    merged.push(item.clone());
                }
            }
            return Ok(in_order(merged, &patch, &original, None));
        }
        let Some(key) = member.strategy.merge_key.as_deref() else {
            return Err(internal("cannot merge lists without merge key".into()));
        };
        let (original, patch) = special_elements(original, patch, key)?;
        let mut merged = original.clone();
        for change in &patch {
            let Some(id) = change.get(key) else { return Err(no_merge_key(change, key)) };
            let mut found = None;
            for (i, item) in merged.iter().enumerate() {
                match item.get(key) {
                    None => return Err(no_merge_key(item, key)),
                    Some(other) if other == id => {
                        found = Some(i);
                        break;
                    }
                    Some(_) => {}
                }
            }
            match (found, change) {
                (Some(i), Value::Object(change)) => {
                    let current = merged[i].as_object().cloned().unwrap_or_default();
                    merged[i] = Value::Object(self.map(current, change.clone(), member.items, depth + 1)?);
                }
                _ => merged.push(without_directives(without_nulls(change.clone()))),
            }
        }
        Ok(in_order(merged, &patch, &original, Some(key)))
    }

    /// `$setElementOrder/<list>`: merges the list and puts it into the order given.
    fn ordered_lists(
        &self,
        original: &mut Object,
        patch: &mut Object,
        node: Option<NodeId>,
        depth: usize,
    ) -> Result<(), PatchError> {
        let directives: Vec<String> = patch.keys().filter(|k| k.starts_with(SET_ORDER)).cloned().collect();
        for directive in directives {
            let order = patch.shift_remove(&directive).unwrap_or_default();
            let Value::Array(order) = order else {
                return Err(internal(format!("expected a list, but received: {}", json_kind(&order))));
            };
            let key = directive[SET_ORDER.len()..].to_string();
            let as_list = |value: Option<Value>| match value {
                None => Ok(None),
                Some(Value::Array(list)) => Ok(Some(list)),
                Some(other) => Err(internal(format!("expected a list, but received: {}", json_kind(&other)))),
            };
            let current = as_list(original.get(&key).cloned())?;
            let change = as_list(patch.shift_remove(&key))?;
            let member = self.member(node, &key);
            let merge_key = member.strategy.merge_key.as_deref();
            if let Some(change) = &change {
                follows_order(change, &order, merge_key)?;
            }
            let server_order = current.clone().unwrap_or_default();
            let merged = match (current, change) {
                (None, None) => continue,
                (Some(current), None) => current,
                (None, Some(change)) => change.into_iter().map(without_directives).collect(),
                (Some(current), Some(change)) => {
                    self.list_by_strategy(current, change, &member, false, depth + 1)?
                }
            };
            original.insert(key, Value::Array(in_order(merged, &order, &server_order, merge_key)));
        }
        Ok(())
    }
}

/// `$retainKeys`: members of the original not listed are dropped; the patch may only name listed ones.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(keys) = patch.shift_remove(RETAIN_KEYS) else { return Ok(()) };
    let wrong = || internal("invalid patch format of retainKeys".into());
    let Value::Array(keys) = keys else { return Err(wrong()) };
    let listed = |key: &String| keys.iter().any(|k| k.as_str() == Some(key));
    if patch.keys().any(|key| !listed(key)) {
        return Err(wrong());
    }
    original.retain(|key, _| listed(key));
    Ok(())
}

/// Whether the lists hold objects; mixed or nested lists cannot be merged.
fn element_kind(original: &[Value], patch: &[Value]) -> Result<bool, PatchError> {
    let kind = |v: &Value| match v {
        Value::Number(n) if n.is_f64() => "float64",
        other => json_kind(other),
    };
    let mut kinds = original.iter().chain(patch).map(kind);
    let first = kinds.next().unwrap_or("string");
    if kinds.any(|k| k != first) {
        let lists = Value::Array(vec![Value::Array(original.to_vec()), Value::Array(patch.to_vec())]);
        return Err(internal(format!("list element types are not identical: {}", go_value(&lists))));
    }
    if first == "array" {
        return Err(internal("lists of lists are not supported".into()));
    }
    Ok(first == "object")
}

/// `$patch: delete` and `$patch: replace` elements of a list of objects.
fn special_elements(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replace = false;
    for element in patch {
        let Some(directive) = element.get(DIRECTIVE) else {
            plain.push(element);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let Some(id) = element.get(key) else { return Err(no_merge_key(&element, key)) };
                if let Some(broken) = original.iter().find(|item| item.get(key).is_none()) {
                    return Err(no_merge_key(broken, key));
                }
                original.retain(|item| item.get(key) != Some(id));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(internal("merging lists cannot yet be specified in the patch".into()));
            }
            _ => return Err(bad_patch_type(directive, element.as_object().unwrap_or(&Object::new()))),
        }
    }
    if replace { Ok((plain, Vec::new())) } else { Ok((original, plain)) }
}

/// The identity of a list element: its merge key, or itself.
fn identity<'a>(item: &'a Value, key: Option<&str>) -> Option<&'a Value> {
    match key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    let id = identity(item, key)?;
    list.iter().position(|other| identity(other, key) == Some(id))
}

/// Elements named by `patch_order` in that order, the server's own in theirs, interleaved where the server's order
/// relates two of them; where nothing does, the patch's come first (case smp-container-add).
fn in_order(
    merged: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    key: Option<&str>,
) -> Vec<Value> {
    let (mut named, mut own): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| position(patch_order, item, key).is_some());
    named.sort_by_key(|item| position(patch_order, item, key));
    own.sort_by_key(|item| position(server_order, item, key).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(named.len() + own.len());
    let (mut own, mut named) = (own.into_iter().peekable(), named.into_iter().peekable());
    loop {
        let own_first = match (own.peek(), named.peek()) {
            (None, None) => return out,
            (None, Some(_)) => false,
            (Some(_), None) => true,
            (Some(l), Some(r)) => match (position(server_order, l, key), position(server_order, r, key)) {
                (Some(l), Some(r)) => l < r,
                _ => false,
            },
        };
        out.extend(if own_first { own.next() } else { named.next() });
    }
}

/// The list of a patch may not contradict the order it asks for.
fn follows_order(change: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    let mut last = 0;
    for item in change {
        if item.get(DIRECTIVE).is_some() {
            continue;
        }
        match position(order, item, key) {
            Some(i) if i >= last => last = i,
            _ => {
                let list = |l: &[Value]| go_value(&Value::Array(l.to_vec()));
                let text = format!(
                    "The order in patch list:\n{}\n doesn't match {} list:\n{}\n",
                    list(change),
                    SET_ORDER.trim_end_matches('/'),
                    list(order)
                );
                return Err(internal(text));
            }
        }
    }
    Ok(())
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        other => other,
    }
}

/// A value taken over as it is loses its directives; elements marked for deletion go.
fn without_directives(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(key, _)| {
                key != DIRECTIVE
                    && key != RETAIN_KEYS
                    && !key.starts_with(SET_ORDER)
                    && !key.starts_with(DELETE_FROM)
            });
            Value::Object(kept.map(|(k, v)| (k, without_directives(v))).collect())
        }
        Value::Array(items) => {
            let kept =
                items.into_iter().filter(|i| i.get(DIRECTIVE).and_then(Value::as_str) != Some("delete"));
            Value::Array(kept.map(without_directives).collect())
        }
        other => other,
    }
}

/// Whether Go's converter could put the result back into its struct (case smp-missing-key).
fn restorable(arena: &Arena, id: Option<NodeId>, value: &Value, depth: usize) -> Result<(), String> {
    let Some(id) = id else { return Ok(()) };
    if depth > DEPTH_MAX {
        return Ok(());
    }
    let node = arena.node(id);
    let scalar = |value: &Value| match value {
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) | Value::Null => "map",
    };
    match (node.kind, value) {
        (Type::Object, Value::Object(map)) => {
            map.iter().try_for_each(|(key, member)| restorable(arena, node.member(key), member, depth + 1))
        }
        (Type::Array, Value::Array(items)) => {
            items.iter().try_for_each(|item| restorable(arena, node.items, item, depth + 1))
        }
        (_, Value::Null) => Ok(()),
        (Type::Object, other) if !node.properties.is_empty() => {
            Err(format!("cannot restore struct from: {}", scalar(other)))
        }
        (Type::Object, other) => Err(format!("cannot restore map from {}", scalar(other))),
        (Type::Array, other) => Err(format!("cannot restore slice from {}", scalar(other))),
        _ => Ok(()),
    }
}
