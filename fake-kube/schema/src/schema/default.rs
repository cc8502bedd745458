//! Defaulting of custom resources, and dropping nulls that may not be null (apiextensions' structural/defaulting).
//! Evidence: reference 2.9, cases crv-default, ssa-empty-containers. Defaults of built-in kinds live in `builtins`.

use serde_json::{Map, Value};

use super::node::{Additional, Arena, Node, NodeId, Type};
use crate::DEPTH_MAX;
use crate::members::Members;

/// Puts defaults in place of missing members and of nulls of non-nullable ones, top down, so that the members of a
/// defaulted object are defaulted too.
pub(crate) fn fill(arena: &Arena, object: &mut Value) {
    fill_below(arena, arena.root, object, 0);
}

fn fill_below(arena: &Arena, id: NodeId, value: &mut Value, depth: usize) {
    if !arena.defaults_below[id as usize] || depth > DEPTH_MAX {
        return;
    }
    let node = arena.node(id);
    match value {
        Value::Object(map) => {
            for (key, child) in node.properties.iter() {
                let property = arena.node(*child);
                let Some(default) = &property.default else { continue };
                match map.member_mut(key) {
                    None => drop(map.insert(key.clone(), default.clone())),
                    Some(member) if member.is_null() && !property.nullable => *member = default.clone(),
                    Some(_) => {}
                }
            }
            for (key, member) in map.iter_mut() {
                if let Some(child) = node.member(key) {
                    replace_null(arena.node(child), member);
                    fill_below(arena, child, member, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            let Some(child) = node.items else { return };
            for item in items {
                replace_null(arena.node(child), item);
                fill_below(arena, child, item, depth + 1);
            }
        }
        _ => {}
    }
}

fn replace_null(node: &Node, value: &mut Value) {
    if let (true, false, Some(default)) = (value.is_null(), node.nullable, &node.default) {
        *value = default.clone();
    }
}

/// What a Go type writes of a value with nothing in it: structs, zeros that are not left out, null for what may not be
/// missing and is a list or a pointer.
pub(crate) fn empty(arena: &Arena) -> Value {
    nothing_below(arena, arena.root, 0)
}

fn nothing_below(arena: &Arena, id: NodeId, depth: usize) -> Value {
    let (node, mut members) = (arena.node(id), Map::new());
    if depth > DEPTH_MAX {
        return Value::Object(members);
    }
    for (key, child) in node.properties.iter() {
        let is_required = || node.checks.as_ref().is_some_and(|c| c.required.contains(key));
        match &arena.node(*child).default {
            Some(Value::Object(_)) => {
                drop(members.insert(key.clone(), nothing_below(arena, *child, depth + 1)))
            }
            Some(zero) if *zero == "" || *zero == 0 || *zero == false => {
                members.insert(key.clone(), zero.clone());
            }
            None if is_required() => drop(members.insert(key.clone(), Value::Null)),
            _ => {}
        }
    }
    Value::Object(members)
}

/// Whether there is a null anywhere, which is soon seen: nearly no object has one.
pub(crate) fn has_null(value: &Value) -> bool {
    has_null_below(value, 0)
}

fn has_null_below(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => {
            depth > DEPTH_MAX || map.values().any(|member| has_null_below(member, depth + 1))
        }
        Value::Array(items) => depth > DEPTH_MAX || items.iter().any(|item| has_null_below(item, depth + 1)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Drops null members that are not nullable and have no default.
pub(crate) fn drop_nulls(arena: &Arena, object: &mut Value) {
    if !has_null(object) {
        return;
    }
    drop_below(arena, arena.root, object, 0);
}

fn drop_below(arena: &Arena, id: NodeId, value: &mut Value, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let node = arena.node(id);
    match value {
        Value::Object(map) => {
            let keeps = |key: &str, member: &Value| match node.member(key) {
                Some(child) => {
                    let node = arena.node(child);
                    !member.is_null() || node.nullable || node.default.is_some()
                }
                None => true,
            };
            if map.iter().any(|(key, member)| !keeps(key, member)) {
                map.retain(|key, member| keeps(key, member));
            }
            if node.properties.is_empty() && !matches!(node.additional, Additional::Schema(_)) {
                return;
            }
            for (key, member) in map.iter_mut() {
                if let Some(child) = node.member(key) {
                    drop_below(arena, child, member, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            let Some(child) = node.items else { return };
            for item in items {
                drop_below(arena, child, item, depth + 1);
            }
        }
        _ => {}
    }
}

/// Nulls among the values of maps of strings become empty strings, as Go decodes them.
pub(crate) fn empty_null_texts(arena: &Arena, object: &mut Value) {
    empty_below(arena, arena.root, object, 0);
}

fn empty_below(arena: &Arena, id: NodeId, value: &mut Value, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let node = arena.node(id);
    match value {
        Value::Object(map) => {
            let texts = node.properties.is_empty()
                && matches!(node.additional, Additional::Schema(id) if arena.node(id).kind == Type::String);
            for (key, member) in map.iter_mut() {
                if texts && member.is_null() {
                    *member = Value::from("");
                } else if let Some(child) = node.member(key) {
                    empty_below(arena, child, member, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            let Some(child) = node.items else { return };
            items.iter_mut().for_each(|item| empty_below(arena, child, item, depth + 1));
        }
        _ => {}
    }
}
