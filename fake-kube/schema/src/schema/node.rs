//! The compiled form of a schema: an arena of nodes, so that `$ref` sharing and recursion cost an index and walks
//! borrow instead of cloning. One form serves custom resources and built-in kinds alike.

use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use super::path::Path;
use super::properties::Properties;
use super::rules::Rule;
use crate::builtins::defaults::has_coded_defaults;

/// Index of a node in its arena.
pub(crate) type NodeId = u32;

/// JSON types a schema names. `IntOrString` stands for `x-kubernetes-int-or-string` and `format: int-or-string`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// No type given: anything goes.
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Any => "",
            Type::Object => "object",
            Type::Array => "array",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
            Type::IntOrString => "integer,string",
        }
    }
}

/// What a key outside `properties` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Additional {
    /// Nothing said.
    Unsaid,
    Allowed,
    Denied,
    Schema(NodeId),
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListType {
    Atomic,
    Set,
    Map { keys: Vec<String> },
}

/// Value checks of one node, without its children.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) enumeration: Vec<Value>,
    pub(crate) format: Option<String>,
    pub(crate) pattern: Option<(String, Option<Regex>)>,
    pub(crate) length_min: Option<u64>,
    pub(crate) length_max: Option<u64>,
    pub(crate) minimum: Option<f64>,
    pub(crate) minimum_exclusive: bool,
    pub(crate) maximum: Option<f64>,
    pub(crate) maximum_exclusive: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) items_min: Option<u64>,
    pub(crate) items_max: Option<u64>,
    pub(crate) unique_items: bool,
    pub(crate) properties_min: Option<u64>,
    pub(crate) properties_max: Option<u64>,
    pub(crate) required: Vec<String>,
    pub(crate) all_of: Vec<NodeId>,
    pub(crate) any_of: Vec<NodeId>,
    pub(crate) one_of: Vec<NodeId>,
    pub(crate) not: Option<NodeId>,
}

/// One schema node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Type,
    /// The name of the type in Kubernetes' own documents (`io.k8s.api.core.v1.PodSpec`); defaults hang on it.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields: true` here.
    pub(crate) preserve: bool,
    /// `x-kubernetes-embedded-resource: true`.
    pub(crate) embedded: bool,
    pub(crate) properties: Properties,
    pub(crate) additional: Additional,
    pub(crate) items: Option<NodeId>,
    pub(crate) list: ListType,
    pub(crate) map_atomic: bool,
    pub(crate) default: Option<Value>,
    pub(crate) checks: Option<Box<Checks>>,
    pub(crate) rules: Vec<Rule>,
    /// `x-kubernetes-patch-strategy`, split at the comma, and the merge key.
    pub(crate) patch: Option<Box<PatchStrategy>>,
}

/// How strategic merge patch treats a member (`x-kubernetes-patch-strategy`, `x-kubernetes-patch-merge-key`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PatchStrategy {
    pub(crate) merge: bool,
    pub(crate) retain_keys: bool,
    pub(crate) merge_key: Option<String>,
}

impl Node {
    pub(crate) fn new(kind: Type) -> Node {
        Node {
            kind,
            name: None,
            nullable: false,
            preserve: false,
            embedded: false,
            properties: Properties::default(),
            additional: Additional::Unsaid,
            items: None,
            list: ListType::Atomic,
            map_atomic: false,
            default: None,
            checks: None,
            rules: Vec::new(),
            patch: None,
        }
    }

    /// The node again, sharing its children by index. Compositions and CEL rules stay with the original: only
    /// built-in types are copied, and they have none.
    pub(crate) fn shallow_copy(&self) -> Node {
        let checks = self.checks.as_ref().map(|c| {
            Box::new(Checks {
                enumeration: c.enumeration.clone(),
                format: c.format.clone(),
                required: c.required.clone(),
                one_of: c.one_of.clone(),
                ..Checks::default()
            })
        });
        Node {
            name: self.name.clone(),
            properties: self.properties.clone(),
            list: self.list.clone(),
            default: self.default.clone(),
            checks,
            rules: Vec::new(),
            patch: self.patch.clone(),
            ..*self
        }
    }

    /// The schema of member `key`, declared or additional.
    /// Where a member is: properties by name, entries of a map by key.
    pub(crate) fn path_of<'a>(&self, path: &'a Path<'a>, key: &'a str) -> Path<'a> {
        if self.properties.contains_key(key) { path.key(key) } else { path.entry(key) }
    }

    pub(crate) fn member(&self, key: &str) -> Option<NodeId> {
        if let Some(id) = self.properties.get(key) {
            return Some(*id);
        }
        match self.additional {
            Additional::Schema(id) => Some(id),
            _ => None,
        }
    }
}

/// All nodes of one schema.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    pub(crate) nodes: Vec<Node>,
    pub(crate) root: NodeId,
    /// Node -> whether it or anything below it has a default; lets defaulting skip most of an object.
    pub(crate) defaults_below: Vec<bool>,
    /// Node -> whether it or anything below it has CEL rules.
    pub(crate) rules_below: Vec<bool>,
    /// Node -> whether it or anything below it is a list set or list map.
    pub(crate) keyed_below: Vec<bool>,
    /// Node -> whether it or anything below it is an embedded resource.
    pub(crate) embedded_below: Vec<bool>,
    /// Node -> whether it or anything below it is of a type with defaults that Kubernetes has in code.
    pub(crate) coded_below: Vec<bool>,
}

impl Arena {
    pub(crate) fn new(mut nodes: Vec<Node>, root: NodeId) -> Arena {
        nodes.iter_mut().for_each(|node| node.properties.index());
        let mut arena = Arena {
            nodes,
            root,
            defaults_below: vec![],
            rules_below: vec![],
            keyed_below: vec![],
            embedded_below: vec![],
            coded_below: vec![],
        };
        arena.defaults_below = arena.spread(|n| n.default.is_some());
        arena.rules_below = arena.spread(|n| !n.rules.is_empty());
        arena.keyed_below = arena.spread(|n| n.list != ListType::Atomic);
        arena.embedded_below = arena.spread(|n| n.embedded);
        arena.coded_below = arena.spread(|n| n.name.as_deref().is_some_and(has_coded_defaults));
        arena
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// Marks every node from which one with `own` can be reached. A fixed point, since built-in schemas recurse.
    fn spread(&self, own: impl Fn(&Node) -> bool) -> Vec<bool> {
        let mut marks: Vec<bool> = self.nodes.iter().map(own).collect();
        loop {
            let mut changed = false;
            for (i, node) in self.nodes.iter().enumerate().rev() {
                if marks[i] {
                    continue;
                }
                let additional = match node.additional {
                    Additional::Schema(id) => Some(id),
                    _ => None,
                };
                let mut children = node.properties.values().copied().chain(node.items).chain(additional);
                if children.any(|c| marks[c as usize]) {
                    marks[i] = true;
                    changed = true;
                }
            }
            if !changed {
                return marks;
            }
        }
    }
}
