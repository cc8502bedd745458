//! Pruning: members no schema declares are dropped (structural pruning of CRDs; decoding into Go structs for
//! built-in kinds). Evidence: reference 2.9, cases create-strict*, crv-prune-metadata, crv-embedded.

use serde_json::Value;

use super::node::{Additional, Arena, Node, NodeId, Type};
use super::{Origin, with_index, with_key};
use crate::DEPTH_MAX;

/// Prunes in place; the paths of what was dropped. Of a built-in kind they come in document order; of a custom resource
/// sorted, metadata first and that of embedded resources last, as the server looks at them (unstructuredSchemaCoercer).
pub(crate) fn prune(arena: &Arena, origin: Origin, object: &mut Value) -> Vec<String> {
    let mut walk = Prune { arena, origin, unknown: Vec::new(), path: String::new(), turn: Turn::Rest };
    walk.value(Some(arena.root), object, 0);
    if origin == Origin::Custom {
        walk.unknown.sort();
    }
    walk.unknown.into_iter().map(|(_, path)| path).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Metadata,
    Rest,
    EmbeddedMetadata,
}

struct Prune<'a> {
    arena: &'a Arena,
    origin: Origin,
    unknown: Vec<(Turn, String)>,
    path: String,
    turn: Turn,
}

/// What happens to a member.
enum Fate {
    Keep,
    Drop,
    Descend(Option<NodeId>),
}

impl Prune<'_> {
    fn value(&mut self, id: Option<NodeId>, value: &mut Value, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let node = id.map(|id| self.arena.node(id));
        match value {
            Value::Object(map) => {
                let mut dropped = false;
                let mut path = std::mem::take(&mut self.path);
                for (key, member) in map.iter_mut() {
                    match fate(self.origin, node, key) {
                        Fate::Keep => {}
                        Fate::Drop => {
                            dropped = true;
                            with_key(&mut path, key, |p| self.unknown.push((self.turn, p.clone())));
                        }
                        Fate::Descend(child) if member.is_object() || member.is_array() => {
                            let around = self.turn;
                            if key == "metadata" && depth == 0 {
                                self.turn = Turn::Metadata;
                            } else if key == "metadata" && node.is_some_and(|n| n.embedded) {
                                self.turn = Turn::EmbeddedMetadata;
                            }
                            with_key(&mut path, key, |p| {
                                self.path = std::mem::take(p);
                                self.value(child, member, depth + 1);
                                *p = std::mem::take(&mut self.path);
                            });
                            self.turn = around;
                        }
                        Fate::Descend(_) => {}
                    }
                }
                self.path = path;
                if dropped {
                    map.retain(|key, _| !matches!(fate(self.origin, node, key), Fate::Drop));
                }
            }
            Value::Array(items) => {
                let child = node.and_then(|n| n.items);
                if node.is_some_and(|n| child.is_none() && keeps_items(self.origin, n)) {
                    return;
                }
                let mut path = std::mem::take(&mut self.path);
                for (i, item) in items.iter_mut().enumerate() {
                    with_index(&mut path, i, |p| {
                        self.path = std::mem::take(p);
                        self.value(child, item, depth + 1);
                        *p = std::mem::take(&mut self.path);
                    });
                }
                self.path = path;
            }
            _ => {}
        }
    }
}

fn keeps_items(origin: Origin, node: &Node) -> bool {
    node.preserve || origin == Origin::BuiltIn
}

fn fate(origin: Origin, node: Option<&Node>, key: &str) -> Fate {
    let Some(node) = node else { return Fate::Drop };
    if let Some(id) = node.properties.get(key) {
        return Fate::Descend(Some(*id));
    }
    match node.additional {
        Additional::Schema(id) => return Fate::Descend(Some(id)),
        // `additionalProperties: true` gives values no schema, so their own members are unknown.
        Additional::Allowed if node.preserve => return Fate::Keep,
        Additional::Allowed => {
            return if origin == Origin::Custom { Fate::Descend(None) } else { Fate::Keep };
        }
        Additional::Denied | Additional::Unsaid => {}
    }
    let free_form = origin == Origin::BuiltIn
        && node.properties.is_empty()
        && matches!(node.kind, Type::Object | Type::Any | Type::IntOrString);
    if node.preserve || free_form { Fate::Keep } else { Fate::Drop }
}
