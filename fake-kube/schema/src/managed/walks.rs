//! The walks over typed values: validation, field sets, comparison, merge and removal.
//!
//! Ported from structured-merge-diff v6 (`typed/validate.go`, `tofieldset.go`, `compare.go`, `merge.go`, `remove.go`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fieldset::{Element, Node, Set};
use super::typed::{Atom, Scalar, Ty, Types};
use crate::DEPTH_MAX;
use crate::equal::equal_members;
use crate::members::Members;
use crate::schema::NodeId;
use crate::text::{go_syntax, go_type, go_value};

/// Nobody owns it. A stored object is compared as it is, with its own.
const MANAGED_FIELDS: &str = "managedFields";
const METADATA: &str = "metadata";

/// A path as a chain on the stack, for what is said about it.
#[derive(Clone, Copy)]
struct Trail<'a> {
    parent: Option<&'a Trail<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Element(&'a Element),
}

impl<'a> Trail<'a> {
    const ROOT: Trail<'static> = Trail { parent: None, step: Step::Root };

    fn field(&'a self, key: &'a str) -> Trail<'a> {
        Trail { parent: Some(self), step: Step::Field(key) }
    }

    fn element(&'a self, element: &'a Element) -> Trail<'a> {
        Trail { parent: Some(self), step: Step::Element(element) }
    }

    fn elements(&self) -> Vec<Element> {
        let mut out = match self.parent {
            Some(parent) => parent.elements(),
            None => Vec::with_capacity(8),
        };
        match self.step {
            Step::Root => {}
            Step::Field(key) => out.push(Element::Field(key.into())),
            Step::Element(element) => out.push(element.clone()),
        }
        out
    }
}

impl Types<'_> {
    /// Why `value` does not fit the schema: one line per problem, in structured-merge-diff's words.
    pub(crate) fn validate(self, value: &Value, allow_duplicates: bool) -> Result<(), String> {
        let mut errors = Vec::new();
        self.validate_at(self.root(), value, allow_duplicates, &Trail::ROOT, &mut errors, 0);
        match errors.as_slice() {
            [] => Ok(()),
            [one] => Err(one.clone()),
            many => Err(format!(
                "errors:\n{}",
                many.iter().map(|e| format!("  {e}")).collect::<Vec<_>>().join("\n")
            )),
        }
    }

    /// Whether the members of the root in which two values differ fit the schema, in both.
    pub(crate) fn fits_where_different(self, old: &Value, new: &Value) -> bool {
        let fits = |one: &Value, other: &Value| {
            let (Atom::Granular(root) | Atom::AtomicMap(root), Value::Object(members)) =
                (self.atom(self.root(), Some(one)), one)
            else {
                return self.validate(one, true).is_ok();
            };
            let is_different =
                |(key, member): &(&String, &Value)| !equal_members(other.member(key), Some(*member));
            members.iter().filter(is_different).all(|(key, member)| {
                let Some((ty, _)) = self.member(root, key) else { return false };
                let at = Trail::ROOT.field(key);
                let is_fit = |ty: Ty, value: &Value, at: &Trail<'_>, depth: usize| {
                    let mut errors = Vec::new();
                    self.validate_at(ty, value, true, at, &mut errors, depth);
                    errors.is_empty()
                };
                // Who owns what has no owner and is not typed; it is most of the metadata.
                match (key.as_str(), self.atom(ty, Some(member)), member) {
                    (METADATA, Atom::Granular(of), Value::Object(metadata)) => metadata
                        .iter()
                        .filter(|(key, _)| *key != MANAGED_FIELDS)
                        .all(|(key, value)| match self.member(of, key) {
                            Some((ty, _)) => is_fit(ty, value, &at.field(key), 2),
                            None => false,
                        }),
                    _ => is_fit(ty, member, &at, 1),
                }
            })
        };
        fits(new, old) && fits(old, new)
    }

    fn validate_at(
        self,
        ty: Ty,
        value: &Value,
        duplicates: bool,
        trail: &Trail<'_>,
        errors: &mut Vec<String>,
        depth: usize,
    ) {
        if depth > DEPTH_MAX || value.is_null() {
            return;
        }
        let fail = |errors: &mut Vec<String>, text: String| {
            let path: String = trail.elements().iter().map(Element::to_string).collect();
            errors.push(if path.is_empty() { text } else { format!("{path}: {text}") });
        };
        match (self.atom(ty, Some(value)), value) {
            (Atom::Scalar(kind), value) => {
                if let Some(text) = scalar_mismatch(kind, value) {
                    fail(errors, text);
                }
            }
            (Atom::Granular(map) | Atom::AtomicMap(map), Value::Object(members)) => {
                for (key, member) in members {
                    match self.member(map, key) {
                        Some((ty, _)) => {
                            self.validate_at(ty, member, duplicates, &trail.field(key), errors, depth + 1);
                        }
                        None => {
                            let path: String =
                                trail.field(key).elements().iter().map(Element::to_string).collect();
                            return errors.push(format!("{path}: field not declared in schema"));
                        }
                    }
                }
            }
            (Atom::AtomicList(items), Value::Array(list)) => {
                for (i, item) in list.iter().enumerate() {
                    let element = Element::Index(i);
                    self.validate_at(items, item, duplicates, &trail.element(&element), errors, depth + 1);
                }
            }
            (Atom::KeyedList(id, items), Value::Array(list)) => {
                let mut seen = Vec::with_capacity(list.len());
                for (i, item) in list.iter().enumerate() {
                    let element = match self.item_element(id, items, item) {
                        Ok(element) => element,
                        // What comes after an element without a name is not looked at.
                        Err(text) => return fail(errors, format!("element {i}: {text}")),
                    };
                    if seen.contains(&element) && !duplicates {
                        fail(errors, format!("duplicate entries for key {element}"));
                    }
                    self.validate_at(items, item, duplicates, &trail.element(&element), errors, depth + 1);
                    seen.push(element);
                }
            }
            (Atom::Granular(_) | Atom::AtomicMap(_), other) => {
                fail(errors, format!("expected map, got &{{{}}}", go_value(other)))
            }
            (Atom::AtomicList(_) | Atom::KeyedList(..), other) => {
                fail(errors, format!("expected list, got &{{{}}}", go_value(other)));
            }
        }
    }

    /// The fields a value sets.
    pub(crate) fn to_set(self, value: &Value) -> Set {
        let mut root = Node::default();
        self.to_set_at(self.root(), value, &mut root, 0);
        root.below
    }

    fn to_set_at(self, ty: Ty, value: &Value, node: &mut Node, depth: usize) {
        if depth > DEPTH_MAX {
            node.member = true;
            return;
        }
        match (self.atom(ty, Some(value)), value) {
            (Atom::Scalar(_) | Atom::AtomicList(_) | Atom::AtomicMap(_), _) => node.member = true,
            (Atom::Granular(map), Value::Object(members)) => {
                let mut steps = Vec::with_capacity(members.len());
                for (key, member) in members {
                    let Some((ty, declared)) = self.member(map, key) else { continue };
                    let mut below = Node::default();
                    self.to_set_at(ty, member, &mut below, depth + 1);
                    let empty = member.is_null() || member.as_object().is_some_and(Map::is_empty);
                    below.member |= empty || !declared;
                    steps.push((Element::Field(key.clone()), below));
                }
                node.below = steps.into_iter().collect();
            }
            (Atom::KeyedList(id, items), Value::Array(list)) => {
                let elements: Vec<Option<Element>> =
                    list.iter().map(|item| self.item_element(id, items, item).ok()).collect();
                let mut steps = Vec::with_capacity(list.len());
                for (i, (item, element)) in list.iter().zip(&elements).enumerate() {
                    let Some(element) = element else { continue };
                    let mut below = Node::default();
                    let unique =
                        !elements.iter().enumerate().any(|(j, e)| j != i && e.as_ref() == Some(element));
                    if unique {
                        self.to_set_at(items, item, &mut below, depth + 1);
                    }
                    below.member = true;
                    steps.push((element.clone(), below));
                }
                node.below = steps.into_iter().collect();
            }
            _ => {}
        }
    }

    /// What changed from `old` to `new`.
    pub(crate) fn compare(self, old: &Value, new: &Value) -> Comparison {
        let mut root = Difference::default();
        // Two versions of an object differ: that they do is not looked at first.
        self.compare_at(self.root(), Some(old), Some(new), "", &mut root, 0);
        Comparison { added: root.added.below, modified: root.modified.below, removed: root.removed.below }
    }

    /// Compares what differs: equal parts contribute nothing, and the caller leaves them out, so that most of two versions
    /// of an object is never walked. `name` is that of the field compared, if it is one.
    fn compare_at(
        self,
        ty: Ty,
        old: Option<&Value>,
        new: Option<&Value>,
        name: &str,
        out: &mut Difference,
        depth: usize,
    ) {
        if let (None, Some(new)) = (old, new) {
            return out.added.merge(self.added_at(ty, new, depth));
        }
        let absent = |v: Option<&Value>| v.is_none_or(Value::is_null);
        let (before, after) = (self.atom(ty, old), self.atom(ty, new));
        let leaf = if depth > DEPTH_MAX {
            out.leaf(old, new);
            true
        } else if absent(new) {
            self.compare_atom(before, old, new, name, out, depth)
        } else if absent(old) || before.same_shape(after) {
            self.compare_atom(after, old, new, name, out, depth)
        } else {
            self.compare_atom(before, old, new, name, out, depth);
            self.compare_atom(after, old, new, name, out, depth)
        };
        if !leaf {
            match (old, new) {
                (None, _) => out.added.member = true,
                (_, None) => out.removed.member = true,
                _ => {}
            }
        }
    }

    /// All of a value that was not there: each place of it came.
    fn added_at(self, ty: Ty, new: &Value, depth: usize) -> Node {
        let below = match (self.atom(ty, Some(new)), new) {
            _ if depth > DEPTH_MAX => Set::default(),
            (Atom::Granular(map), Value::Object(members)) => {
                let known =
                    members.iter().filter_map(|(key, member)| Some((key, member, self.member(map, key)?.0)));
                let step = |(key, member, ty): (&String, &Value, Ty)| {
                    (Element::Field(key.clone()), self.added_at(ty, member, depth + 1))
                };
                known.map(step).collect()
            }
            (Atom::KeyedList(id, items), Value::Array(list)) => {
                let step = |(element, found): (Element, Vec<&Value>)| match found.as_slice() {
                    [one] => (element, self.added_at(items, one, depth + 1)),
                    // Duplicates count as one thing.
                    _ => (element, Node { member: true, below: Set::default() }),
                };
                self.group(id, items, Some(list)).into_iter().map(step).collect()
            }
            _ => Set::default(),
        };
        Node { member: true, below }
    }

    /// Compares below one atom; true if it was a leaf.
    fn compare_atom(
        self,
        atom: Atom,
        old: Option<&Value>,
        new: Option<&Value>,
        name: &str,
        out: &mut Difference,
        depth: usize,
    ) -> bool {
        match atom {
            Atom::Scalar(_) | Atom::AtomicList(_) | Atom::AtomicMap(_) => {
                out.leaf(old, new);
                true
            }
            Atom::Granular(map) => {
                let (old_map, new_map) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
                if old_map.is_none_or(Map::is_empty) && new_map.is_none_or(Map::is_empty) {
                    out.leaf(old, new);
                    return true;
                }
                let mut level = Level::default();
                for (key, member) in old_map.into_iter().flatten() {
                    if depth == 1 && key == MANAGED_FIELDS && name == METADATA {
                        continue;
                    }
                    let after = new_map.and_then(|m| m.member(key));
                    if equal_members(after, Some(member)) {
                        continue;
                    }
                    let Some((ty, _)) = self.member(map, key) else { continue };
                    let mut below = Difference::default();
                    self.compare_at(ty, Some(member), after, key, &mut below, depth + 1);
                    level.put(below, || Element::Field(key.clone()));
                }
                for (key, member) in new_map.into_iter().flatten() {
                    if old_map.is_some_and(|m| m.member(key).is_some()) {
                        continue;
                    }
                    let Some((ty, _)) = self.member(map, key) else { continue };
                    let mut below = Difference::default();
                    self.compare_at(ty, None, Some(member), key, &mut below, depth + 1);
                    level.put(below, || Element::Field(key.clone()));
                }
                level.add_to(out);
                false
            }
            Atom::KeyedList(id, items) => {
                let (old_list, new_list) = (old.and_then(Value::as_array), new.and_then(Value::as_array));
                if old_list.is_none_or(Vec::is_empty) && new_list.is_none_or(Vec::is_empty) {
                    out.leaf(old, new);
                    return true;
                }
                let before = self.group(id, items, old_list);
                let after = self.group(id, items, new_list);
                let mut level = Level::default();
                for (element, old) in &before {
                    let new = after.get(element).map(Vec::as_slice).unwrap_or_default();
                    let mut below = Difference::default();
                    self.compare_items(items, old, new, &mut below, depth);
                    level.put(below, || element.clone());
                }
                for (element, new) in after.iter().filter(|(e, _)| !before.contains_key(*e)) {
                    let mut below = Difference::default();
                    self.compare_items(items, &[], new, &mut below, depth);
                    level.put(below, || element.clone());
                }
                level.add_to(out);
                false
            }
        }
    }

    fn group<'v>(
        self,
        id: NodeId,
        items: Ty,
        list: Option<&'v Vec<Value>>,
    ) -> BTreeMap<Element, Vec<&'v Value>> {
        let mut out: BTreeMap<Element, Vec<&'v Value>> = BTreeMap::new();
        for item in list.into_iter().flatten() {
            if let Ok(element) = self.item_element(id, items, item) {
                out.entry(element).or_default().push(item);
            }
        }
        out
    }

    /// Items of one key; duplicates count as one atomic thing.
    fn compare_items(self, items: Ty, old: &[&Value], new: &[&Value], out: &mut Difference, depth: usize) {
        match (old, new) {
            ([] | [_], [] | [_]) => {
                let (old, new) = (old.first().copied(), new.first().copied());
                if !equal_members(old, new) {
                    self.compare_at(items, old, new, "", out, depth + 1);
                }
            }
            ([], _) => out.added.member = true,
            (_, []) => out.removed.member = true,
            (old, new) if old != new => out.modified.member = true,
            _ => {}
        }
    }

    /// `live` with `applied` over it.
    pub(crate) fn merge(self, live: Value, applied: Value) -> Value {
        self.merge_at(self.root(), Some(live), applied, 0)
    }

    fn merge_at(self, ty: Ty, live: Option<Value>, over: Value, depth: usize) -> Value {
        let Some(live) = live.filter(|_| depth <= DEPTH_MAX) else { return over };
        let (before, after) = (self.atom(ty, Some(&live)), self.atom(ty, Some(&over)));
        if !live.is_null() && !over.is_null() && !before.same_shape(after) {
            return over;
        }
        match if over.is_null() { before } else { after } {
            Atom::Scalar(_) | Atom::AtomicList(_) | Atom::AtomicMap(_) => over,
            Atom::Granular(map) => {
                let mut out = match live {
                    Value::Object(live) => live,
                    _ => Map::new(),
                };
                let over_map = match over {
                    Value::Object(over) if !(out.is_empty() && over.is_empty()) => over,
                    _ if out.is_empty() => return over,
                    _ => Map::new(),
                };
                for (key, member) in over_map {
                    let ty = self.member(map, &key).map_or(Ty::Deduced, |(ty, _)| ty);
                    match out.member_mut(&key) {
                        Some(slot) => *slot = self.merge_at(ty, Some(slot.take()), member, depth + 1),
                        None => drop(out.insert(key, member)),
                    }
                }
                Value::Object(out)
            }
            Atom::KeyedList(id, items) => {
                let live = match live {
                    Value::Array(live) => live,
                    _ => Vec::new(),
                };
                let over_list = over.as_array().map(Vec::as_slice).unwrap_or_default();
                if live.is_empty() && over_list.is_empty() {
                    return over;
                }
                Value::Array(self.merge_lists(id, items, &live, over_list, depth))
            }
        }
    }

    /// Merges keyed lists: applied order where both have an element, live elements in between stay where they were.
    fn merge_lists(self, id: NodeId, items: Ty, live: &[Value], over: &[Value], depth: usize) -> Vec<Value> {
        let index = |list: &[Value]| -> Vec<Option<Element>> {
            list.iter().map(|item| self.item_element(id, items, item).ok()).collect()
        };
        let (lhs, rhs) = (index(live), index(over));
        let find = |element: &Option<Element>, elements: &[Option<Element>]| -> Option<usize> {
            element.as_ref()?;
            elements.iter().position(|e| e == element)
        };
        let mut shared = rhs.iter().filter(|e| find(e, &lhs).is_some());
        let mut next_shared = shared.next();
        let mut merged_right: Vec<&Option<Element>> = Vec::with_capacity(rhs.len());
        let mut out = Vec::with_capacity(live.len().max(over.len()));
        let both = |l: Option<&Value>, r: &Value| self.merge_at(items, l.cloned(), r.clone(), depth + 1);
        let (mut l, mut r) = (0, 0);
        while l < lhs.len() || r < rhs.len() {
            if l < lhs.len() && r < rhs.len() {
                if lhs[l] == rhs[r] {
                    merged_right.push(&rhs[r]);
                    out.push(both(Some(&live[l]), &over[r]));
                    l += 1;
                    r += 1;
                    next_shared = shared.next();
                    continue;
                }
                if find(&lhs[l], &rhs).is_some() && next_shared.is_some_and(|n| n != &lhs[l]) {
                    l += 1;
                    continue;
                }
            }
            if l < lhs.len() {
                if find(&lhs[l], &rhs).is_none() {
                    out.push(live[l].clone());
                    l += 1;
                    continue;
                }
                if merged_right.contains(&&lhs[l]) {
                    l += 1;
                }
            }
            if r < rhs.len() {
                merged_right.push(&rhs[r]);
                let own = find(&rhs[r], &lhs).map(|i| &live[i]);
                out.push(both(own, &over[r]));
                if next_shared == Some(&rhs[r]) {
                    next_shared = shared.next();
                }
                r += 1;
            }
        }
        out
    }

    /// `value` without the fields of `set`; `None` if nothing is left of it.
    pub(crate) fn remove(self, value: &Value, set: &Set) -> Value {
        if set.is_empty() {
            return value.clone();
        }
        self.remove_at(self.root(), value, set, 0)
    }

    fn remove_at(self, ty: Ty, value: &Value, set: &Set, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            return value.clone();
        }
        match (self.atom(ty, Some(value)), value) {
            (Atom::Granular(map) | Atom::AtomicMap(map), Value::Object(members)) => {
                let mut out = Map::new();
                for (key, member) in members {
                    let kept = match set.step_field(key) {
                        (true, _) => continue,
                        (false, Some(below)) => {
                            let ty = self.member(map, key).map_or(Ty::Deduced, |(ty, _)| ty);
                            self.remove_at(ty, member, below, depth + 1)
                        }
                        (false, None) => member.clone(),
                    };
                    out.insert(key.clone(), kept);
                }
                // A container that lost everything is null, as in Go; its owner's schema decides what that means.
                if out.is_empty() { Value::Null } else { Value::Object(out) }
            }
            (Atom::KeyedList(id, items), Value::Array(list)) => {
                let mut out = Vec::with_capacity(list.len());
                for item in list {
                    let Ok(element) = self.item_element(id, items, item) else {
                        out.push(item.clone());
                        continue;
                    };
                    match set.step(&element) {
                        (true, _) => {}
                        (false, Some(below)) => out.push(self.remove_at(items, item, below, depth + 1)),
                        (false, None) => out.push(item.clone()),
                    }
                }
                if out.is_empty() { Value::Null } else { Value::Array(out) }
            }
            _ => value.clone(),
        }
    }

    /// `set` with every declared field on the way to a member made a member itself.
    pub(crate) fn with_named_fields(self, set: &Set) -> Set {
        set.extend_members(Some(self.root()), &|ty: Option<Ty>, element: &Element| {
            let Some(ty) = ty else { return (false, None) };
            match element {
                Element::Field(key) => match self.atom(ty, None) {
                    Atom::Granular(map) | Atom::AtomicMap(map) => match self.member(map, key) {
                        Some((below, declared)) => (declared, Some(below)),
                        None => (false, None),
                    },
                    _ => (false, None),
                },
                Element::Key(_) | Element::Value(_) | Element::Index(_) => match self.atom(ty, None) {
                    Atom::KeyedList(_, items) | Atom::AtomicList(items) => (false, Some(items)),
                    _ => (false, None),
                },
            }
        })
    }
}

fn scalar_mismatch(kind: Scalar, value: &Value) -> Option<String> {
    match (kind, value) {
        (Scalar::Numeric, Value::Number(_))
        | (Scalar::String, Value::String(_))
        | (Scalar::Boolean, Value::Bool(_))
        | (Scalar::Any, Value::Number(_) | Value::String(_) | Value::Bool(_)) => None,
        (Scalar::Numeric, other) => Some(format!("expected numeric (int or float), got {}", go_type(other))),
        (Scalar::String, other) => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(other)))
        }
        (Scalar::Boolean, other) => Some(format!("expected boolean, got &{{{}}}", go_value(other))),
        (Scalar::Any, other) => Some(format!("expected any scalar, got &{{{}}}", go_value(other))),
    }
}

/// Fields that differ between two values.
#[derive(Default)]
pub(crate) struct Comparison {
    pub(crate) added: Set,
    pub(crate) modified: Set,
    pub(crate) removed: Set,
}

impl Comparison {
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Without what lies in `ignored`.
    pub(crate) fn without(mut self, ignored: &Set) -> Comparison {
        for set in [&mut self.added, &mut self.modified, &mut self.removed] {
            set.subtract_recursive(ignored);
        }
        self
    }
}

/// A [`Comparison`] of one place and what lies below it.
#[derive(Default)]
struct Difference {
    added: Node,
    modified: Node,
    removed: Node,
}

impl Difference {
    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, _) => self.added.member = true,
            (_, None) => self.removed.member = true,
            (old, new) if !equal_members(old, new) => self.modified.member = true,
            _ => {}
        }
    }
}

/// The steps of one level and how they differ, in the order in which they are met.
#[derive(Default)]
struct Level {
    added: Vec<(Element, Node)>,
    modified: Vec<(Element, Node)>,
    removed: Vec<(Element, Node)>,
}

impl Level {
    /// Adds how one step differs, if it does.
    fn put(&mut self, below: Difference, element: impl Fn() -> Element) {
        let Difference { added, modified, removed } = below;
        let steps = [(&mut self.added, added), (&mut self.modified, modified), (&mut self.removed, removed)];
        for (steps, node) in steps {
            if !node.is_empty() {
                steps.push((element(), node));
            }
        }
    }

    fn add_to(self, above: &mut Difference) {
        above.added.below.merge(self.added.into_iter().collect());
        above.modified.below.merge(self.modified.into_iter().collect());
        above.removed.below.merge(self.removed.into_iter().collect());
    }
}
