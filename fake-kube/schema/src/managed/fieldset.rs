//! Sets of field paths and their `fieldsV1` form (structured-merge-diff's `fieldpath`).
//!
//! A set is a tree: each node may itself be a member and may have members below it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::fmt;

use serde_json::{Map, Value};

use crate::DEPTH_MAX;
use crate::text::compact_json;

/// One step of a path. Keys and values are kept in canonical JSON: comparable, ordered, ready to print.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Element {
    Field(String),
    /// A list map element, by its key object: `{"name":"a"}`.
    Key(String),
    /// A set element, by value.
    Value(String),
    Index(usize),
}

impl Element {
    pub(crate) fn key(fields: Map<String, Value>) -> Element {
        Element::Key(compact_json(&Value::Object(fields)))
    }

    pub(crate) fn value(value: &Value) -> Element {
        Element::Value(compact_json(value))
    }

    fn encode(&self) -> String {
        match self {
            Element::Field(name) => ["f:", name].concat(),
            Element::Key(key) => ["k:", key].concat(),
            Element::Value(value) => ["v:", value].concat(),
            Element::Index(index) => format!("i:{index}"),
        }
    }

    fn decode(text: &str) -> Option<Element> {
        let (kind, rest) = text.split_once(':')?;
        let canonical = |rest: &str| serde_json::from_str::<Value>(rest).ok().map(|v| compact_json(&v));
        match kind {
            "f" => Some(Element::Field(rest.into())),
            "k" => Some(Element::Key(canonical(rest)?)),
            "v" => Some(Element::Value(canonical(rest)?)),
            "i" => rest.parse().ok().map(Element::Index),
            _ => None,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(f, ".{name}"),
            Element::Value(value) => write!(f, "[={value}]"),
            Element::Index(index) => write!(f, "[{index}]"),
            Element::Key(key) => {
                let fields: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
                let list: Vec<String> =
                    fields.iter().map(|(k, v)| format!("{k}={}", compact_json(v))).collect();
                write!(f, "[{}]", list.join(","))
            }
        }
    }
}

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set {
    nodes: BTreeMap<Element, Node>,
}

/// A step of paths: whether it is itself a member, and the members below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) member: bool,
    pub(crate) below: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.nodes.is_empty()
    }
}

impl Set {
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let mut node = self.nodes.entry(first.clone()).or_default();
        for element in rest {
            node = node.below.nodes.entry(element.clone()).or_default();
        }
        node.member = true;
    }

    /// Adds a field with what lies below it; nothing for an empty node.
    pub(crate) fn put_field(&mut self, name: &str, node: Node) {
        if !node.is_empty() {
            self.put_node(Element::Field(name.to_owned()), node);
        }
    }

    /// The same for any step.
    pub(crate) fn put(&mut self, element: &Element, node: Node) {
        if !node.is_empty() {
            self.put_node(element.clone(), node);
        }
    }

    fn put_node(&mut self, element: Element, node: Node) {
        match self.nodes.entry(element) {
            MapEntry::Vacant(slot) => drop(slot.insert(node)),
            MapEntry::Occupied(mut slot) => {
                let own = slot.get_mut();
                own.member |= node.member;
                own.below.merge(node.below);
            }
        }
    }

    /// Adds the members of the other set, which is used up.
    pub(crate) fn merge(&mut self, other: Set) {
        if self.nodes.is_empty() {
            *self = other;
            return;
        }
        for (element, node) in other.nodes {
            self.put_node(element, node);
        }
    }

    pub(crate) fn insert_fields(&mut self, dotted: &str) {
        let path: Vec<Element> = dotted.split('.').map(|f| Element::Field(f.into())).collect();
        self.insert(&path);
    }

    /// Whether the one-step path is a member, and what lies below it.
    pub(crate) fn step(&self, element: &Element) -> (bool, Option<&Set>) {
        match self.nodes.get(element) {
            None => (false, None),
            Some(node) => (node.member, Some(&node.below).filter(|b| !b.is_empty())),
        }
    }

    pub(crate) fn union(mut self, other: &Set) -> Set {
        self.add(other);
        self
    }

    fn add(&mut self, other: &Set) {
        for (element, node) in &other.nodes {
            match self.nodes.entry(element.clone()) {
                MapEntry::Vacant(slot) => drop(slot.insert(node.clone())),
                MapEntry::Occupied(mut slot) => {
                    let own = slot.get_mut();
                    own.member |= node.member;
                    own.below.add(&node.below);
                }
            }
        }
    }

    /// Members of both.
    pub(crate) fn intersection(&self, other: &Set) -> Set {
        let mut out = Set::default();
        for (element, node) in &self.nodes {
            if let Some(theirs) = other.nodes.get(element) {
                let both = Node {
                    member: node.member && theirs.member,
                    below: node.below.intersection(&theirs.below),
                };
                if !both.is_empty() {
                    out.nodes.insert(element.clone(), both);
                }
            }
        }
        out
    }

    /// Members of this set that are not members of the other.
    pub(crate) fn difference(&self, other: &Set) -> Set {
        let mut out = self.clone();
        out.subtract(other);
        out
    }

    /// Drops the members of the other set; what it does not touch is not copied.
    pub(crate) fn subtract(&mut self, other: &Set) {
        self.drop_members(other, false);
    }

    /// As [`Set::subtract`], also dropping everything below the other's members.
    pub(crate) fn subtract_recursive(&mut self, other: &Set) {
        self.drop_members(other, true);
    }

    fn drop_members(&mut self, other: &Set, recursive: bool) {
        for (element, theirs) in &other.nodes {
            let Some(node) = self.nodes.get_mut(element) else { continue };
            let gone = theirs.member && recursive;
            if !gone {
                node.member &= !theirs.member;
                node.below.drop_members(&theirs.below, recursive);
            }
            if gone || node.is_empty() {
                self.nodes.remove(element);
            }
        }
    }

    /// Whether every member is a member of the other set.
    pub(crate) fn is_within(&self, other: &Set) -> bool {
        self.nodes.iter().all(|(element, node)| match other.nodes.get(element) {
            Some(theirs) => (!node.member || theirs.member) && node.below.is_within(&theirs.below),
            None => false,
        })
    }

    /// Every member as a printed path; members of a level before those below it, as conflicts are listed.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect("", &mut out);
        out
    }

    fn collect(&self, prefix: &str, out: &mut Vec<String>) {
        for (element, _) in self.nodes.iter().filter(|(_, node)| node.member) {
            out.push(format!("{prefix}{element}"));
        }
        for (element, node) in self.nodes.iter().filter(|(_, node)| !node.below.is_empty()) {
            node.below.collect(&format!("{prefix}{element}"), out);
        }
    }

    /// Rebuilds the tree, asking `visit` for each node whether it becomes a member.
    pub(crate) fn extend_members<C: Copy>(
        &self,
        context: C,
        visit: &impl Fn(C, &Element) -> (bool, C),
    ) -> Set {
        let mut out = Set::default();
        for (element, node) in &self.nodes {
            let (named, below_context) = visit(context, element);
            let below = if node.below.is_empty() {
                Set::default()
            } else {
                node.below.extend_members(below_context, visit)
            };
            let member = node.member || (named && !node.below.is_empty());
            out.nodes.insert(element.clone(), Node { member, below });
        }
        out
    }

    pub(crate) fn to_json(&self) -> Value {
        Value::Object(self.to_map(false))
    }

    fn to_map(&self, member: bool) -> Map<String, Value> {
        let mut out = Map::with_capacity(if self.nodes.is_empty() { 0 } else { self.nodes.len() + 1 });
        if member && !self.nodes.is_empty() {
            out.insert(".".into(), Value::Object(Map::new()));
        }
        for (element, node) in &self.nodes {
            out.insert(element.encode(), Value::Object(node.below.to_map(node.member)));
        }
        out
    }

    /// Each node below the root: its key in the wire form, whether it is a member, and what lies below it.
    pub(crate) fn children(&self) -> impl Iterator<Item = (String, bool, &Set)> {
        self.nodes.iter().map(|(element, node)| (element.encode(), node.member, &node.below))
    }

    /// Reads `fieldsV1`; `None` if it is not one.
    pub(crate) fn from_json(value: &Value) -> Option<Set> {
        decode(value, 0).map(|node| node.below)
    }
}

fn decode(value: &Value, depth: usize) -> Option<Node> {
    let map = value.as_object().filter(|_| depth <= DEPTH_MAX)?;
    let mut node = Node { member: map.is_empty(), below: Set::default() };
    for (key, child) in map {
        if key == "." {
            node.member = true;
            continue;
        }
        let child = decode(child, depth + 1)?;
        node.below.nodes.insert(Element::decode(key)?, child);
    }
    Some(node)
}
