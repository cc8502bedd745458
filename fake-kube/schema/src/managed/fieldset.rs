//! Sets of field paths and their `fieldsV1` form (structured-merge-diff's `fieldpath`).
//!
//! A set is a tree: each node may itself be a member and may have members below it. The steps of a level lie sorted in
//! one piece of memory, so that sets are built by sorting once and compared side by side.

use std::cmp::Ordering;
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

    /// Whether this is the step's key in the wire form, as [`Element::encode`] writes it.
    fn is_encoded_as(&self, text: &str) -> bool {
        let (kind, rest) = match self {
            Element::Field(name) => ("f:", name),
            Element::Key(key) => ("k:", key),
            Element::Value(value) => ("v:", value),
            Element::Index(_) => return self.encode() == text,
        };
        text.strip_prefix(kind) == Some(rest.as_str())
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
    /// Sorted, each step once.
    nodes: Vec<(Element, Node)>,
}

/// A step of paths: whether it is itself a member, and the members below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) member: bool,
    pub(crate) below: Set,
}

impl Node {
    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.below.nodes.is_empty()
    }

    /// Adds what another node of the same place has.
    pub(crate) fn merge(&mut self, other: Node) {
        self.member |= other.member;
        self.below.merge(other.below);
    }
}

/// Steps that come in any order and may come twice; empty ones are left out.
impl FromIterator<(Element, Node)> for Set {
    fn from_iter<I: IntoIterator<Item = (Element, Node)>>(steps: I) -> Set {
        let mut nodes: Vec<(Element, Node)> =
            steps.into_iter().filter(|(_, node)| !node.is_empty()).collect();
        let is_sorted = nodes.is_sorted_by(|(one, _), (next, _)| one < next);
        if !is_sorted {
            nodes.sort_by(|(one, _), (other, _)| one.cmp(other));
            nodes.dedup_by(|(again, node), (element, first)| {
                let is_same = again == element;
                if is_same {
                    first.merge(std::mem::take(node));
                }
                is_same
            });
        }
        Set { nodes }
    }
}

impl Set {
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn find(&self, element: &Element) -> Result<usize, usize> {
        self.nodes.binary_search_by(|(own, _)| own.cmp(element))
    }

    fn at(&self, element: &Element) -> Option<&Node> {
        self.find(element).ok().map(|place| &self.nodes[place].1)
    }

    /// The node of a step, made when missing.
    fn at_or_new(&mut self, element: &Element) -> &mut Node {
        let place = self.find(element).unwrap_or_else(|place| {
            self.nodes.insert(place, (element.clone(), Node::default()));
            place
        });
        &mut self.nodes[place].1
    }

    pub(crate) fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let mut node = self.at_or_new(first);
        for element in rest {
            node = node.below.at_or_new(element);
        }
        node.member = true;
    }

    /// Adds the members of the other set, which is used up.
    pub(crate) fn merge(&mut self, other: Set) {
        if self.nodes.is_empty() {
            *self = other;
        } else if !other.nodes.is_empty() {
            let own = std::mem::take(&mut self.nodes);
            *self = own.into_iter().chain(other.nodes).collect();
        }
    }

    pub(crate) fn insert_fields(&mut self, dotted: &str) {
        let path: Vec<Element> = dotted.split('.').map(|f| Element::Field(f.into())).collect();
        self.insert(&path);
    }

    /// Whether the one-step path is a member, and what lies below it.
    pub(crate) fn step(&self, element: &Element) -> (bool, Option<&Set>) {
        Self::known(self.at(element))
    }

    /// The same for a field.
    pub(crate) fn step_field(&self, name: &str) -> (bool, Option<&Set>) {
        let place = self.nodes.binary_search_by(|(own, _)| match own {
            Element::Field(own) => own.as_str().cmp(name),
            _ => Ordering::Greater,
        });
        Self::known(place.ok().map(|place| &self.nodes[place].1))
    }

    fn known(node: Option<&Node>) -> (bool, Option<&Set>) {
        node.map_or((false, None), |node| (node.member, Some(&node.below).filter(|b| !b.is_empty())))
    }

    pub(crate) fn union(mut self, other: &Set) -> Set {
        self.merge(other.clone());
        self
    }

    /// The steps of both sets, side by side.
    fn shared<'a>(&'a self, other: &'a Set) -> impl Iterator<Item = (&'a Element, &'a Node, &'a Node)> {
        let mut rest = other.nodes.as_slice();
        self.nodes.iter().filter_map(move |(element, node)| {
            let less = rest.iter().take_while(|(theirs, _)| theirs < element).count();
            rest = &rest[less..];
            rest.first().filter(|(theirs, _)| theirs == element).map(|(_, theirs)| (element, node, theirs))
        })
    }

    /// Members of both.
    pub(crate) fn intersection(&self, other: &Set) -> Set {
        let both = |node: &Node, theirs: &Node| Node {
            member: node.member && theirs.member,
            below: node.below.intersection(&theirs.below),
        };
        self.shared(other).map(|(element, node, theirs)| (element.clone(), both(node, theirs))).collect()
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
        let mut has_emptied = false;
        for (element, theirs) in &other.nodes {
            let Ok(place) = self.find(element) else { continue };
            let node = &mut self.nodes[place].1;
            if theirs.member && recursive {
                *node = Node::default();
            } else {
                node.member &= !theirs.member;
                node.below.drop_members(&theirs.below, recursive);
            }
            has_emptied |= node.is_empty();
        }
        if has_emptied {
            self.nodes.retain(|(_, node)| !node.is_empty());
        }
    }

    /// Whether every member is a member of the other set.
    pub(crate) fn is_within(&self, other: &Set) -> bool {
        let mut found = 0;
        let is_within = self.shared(other).all(|(_, node, theirs)| {
            found += 1;
            (!node.member || theirs.member) && node.below.is_within(&theirs.below)
        });
        is_within && found == self.nodes.len()
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
            out.nodes.push((element.clone(), Node { member, below }));
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

    /// Whether this is what the wire form says, in the order in which [`Set::to_json`] writes it.
    pub(crate) fn is_written_as(&self, fields: &Map<String, Value>) -> bool {
        self.is_node_written_as(false, fields)
    }

    fn is_node_written_as(&self, member: bool, fields: &Map<String, Value>) -> bool {
        let mut keys = fields.iter();
        let has_dot = member && !self.nodes.is_empty();
        if fields.len() != self.nodes.len() + usize::from(has_dot)
            || has_dot && keys.next().is_none_or(|(key, _)| key != ".")
        {
            return false;
        }
        self.nodes.iter().zip(keys).all(|((element, node), (key, below))| {
            // A node without members below has nothing to say but that it is one.
            (node.member || !node.below.is_empty())
                && element.is_encoded_as(key)
                && below.as_object().is_some_and(|below| node.below.is_node_written_as(node.member, below))
        })
    }

    /// The steps of this level.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&Element, &Node)> {
        self.nodes.iter().map(|(element, node)| (element, node))
    }

    /// Reads `fieldsV1`; `None` if it is not one.
    pub(crate) fn from_json(value: &Value) -> Option<Set> {
        decode(value, 0).map(|node| node.below)
    }
}

fn decode(value: &Value, depth: usize) -> Option<Node> {
    let map = value.as_object().filter(|_| depth <= DEPTH_MAX)?;
    let mut member = map.is_empty();
    let mut steps = Vec::with_capacity(map.len());
    for (key, child) in map {
        if key == "." {
            member = true;
            continue;
        }
        let child = decode(child, depth + 1)?;
        steps.push((Element::decode(key)?, child));
    }
    Some(Node { member, below: steps.into_iter().collect() })
}
