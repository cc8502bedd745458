//! Values under a schema as structured-merge-diff sees them: what is a leaf, what a granular map, what a keyed list.
//!
//! [`Atom`] answers that for one place; the walks (`validate`, `to_set`, `compare`, `merge`, `remove`) follow it.

use serde_json::{Map, Value};

use super::fieldset::Element;
use crate::members::Members;
use crate::schema::{Additional, Arena, ListType, NodeId, Type};
use crate::text::compact_json;

/// A type reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    /// A schema node; the flag says that an ancestor preserves unknown fields.
    Node(NodeId, bool),
    /// Unknown, owned as a whole.
    Untyped,
    /// Unknown, maps granular, lists atomic.
    Deduced,
}

/// Scalar types as far as ownership cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Numeric,
    String,
    Boolean,
    Any,
}

/// What a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Atom {
    Scalar(Scalar),
    /// A list replaced as a whole.
    AtomicList(Ty),
    /// A set or list map; the node has the keys.
    KeyedList(NodeId, Ty),
    AtomicMap(Ty),
    /// A map whose members have owners of their own.
    Granular(Ty),
}

impl Atom {
    /// Whether two atoms are of the same shape, so that values merge instead of replacing each other.
    pub(crate) fn same_shape(self, other: Atom) -> bool {
        let shape = |a: Atom| match a {
            Atom::Scalar(_) => 0,
            Atom::AtomicList(_) | Atom::KeyedList(..) => 1,
            Atom::AtomicMap(_) | Atom::Granular(_) => 2,
        };
        shape(self) == shape(other)
    }
}

/// A schema for the walks.
#[derive(Clone, Copy)]
pub(crate) struct Types<'a> {
    pub(crate) arena: &'a Arena,
}

impl<'a> Types<'a> {
    pub(crate) fn root(self) -> Ty {
        Ty::Node(self.arena.root, false)
    }

    /// The atom of `ty` that fits `value`; where several do and there is no value, a map.
    pub(crate) fn atom(self, ty: Ty, value: Option<&Value>) -> Atom {
        match ty {
            Ty::Untyped => match value {
                Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => Atom::Scalar(Scalar::Any),
                Some(Value::Array(_)) => Atom::AtomicList(Ty::Untyped),
                _ => Atom::AtomicMap(Ty::Untyped),
            },
            Ty::Deduced => match value {
                Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => Atom::Scalar(Scalar::Any),
                Some(Value::Array(_)) => Atom::AtomicList(Ty::Untyped),
                _ => Atom::Granular(Ty::Deduced),
            },
            Ty::Node(id, inherited) => self.node_atom(id, inherited, value),
        }
    }

    fn node_atom(self, id: NodeId, inherited: bool, value: Option<&Value>) -> Atom {
        let node = self.arena.node(id);
        let preserve = inherited || node.preserve;
        match node.kind {
            Type::Object if node.map_atomic => Atom::AtomicMap(Ty::Node(id, preserve)),
            Type::Object => Atom::Granular(Ty::Node(id, preserve)),
            Type::Array => {
                let items = node.items.map_or(Ty::Untyped, |items| Ty::Node(items, preserve));
                match node.list {
                    ListType::Atomic => Atom::AtomicList(items),
                    ListType::Set | ListType::Map { .. } => Atom::KeyedList(id, items),
                }
            }
            Type::String => Atom::Scalar(Scalar::String),
            Type::Integer | Type::Number => Atom::Scalar(Scalar::Numeric),
            Type::Boolean => Atom::Scalar(Scalar::Boolean),
            Type::IntOrString => Atom::Scalar(Scalar::Any),
            Type::Any if preserve => self.atom(Ty::Deduced, value),
            Type::Any if node.checks.as_ref().is_some_and(|c| !c.one_of.is_empty()) => {
                Atom::Scalar(Scalar::Any)
            }
            Type::Any => self.atom(Ty::Untyped, value),
        }
    }

    /// The type of member `key` of a map, and whether the schema names it. `None`: not declared.
    pub(crate) fn member(self, map: Ty, key: &str) -> Option<(Ty, bool)> {
        let (id, preserve) = match map {
            Ty::Node(id, preserve) => (id, preserve),
            other => return Some((other, false)),
        };
        let node = self.arena.node(id);
        if key == "metadata" && (node.embedded || id == self.arena.root) {
            // An object has the metadata every object has, whatever is kept beside it; so has an embedded one.
            let metadata = self.arena.node(self.arena.root).properties.get(key)?;
            return Some((Ty::Node(*metadata, false), node.properties.contains_key(key)));
        }
        if let Some(child) = node.properties.get(key) {
            return Some((Ty::Node(*child, preserve), true));
        }
        match node.additional {
            Additional::Schema(child) => Some((Ty::Node(child, preserve), false)),
            Additional::Allowed => Some((Ty::Deduced, false)),
            Additional::Denied => None,
            Additional::Unsaid if preserve || node.properties.is_empty() => Some((Ty::Deduced, false)),
            Additional::Unsaid => None,
        }
    }

    /// The path element of a keyed list's item, or why it has none.
    pub(crate) fn item_element(self, list: NodeId, items: Ty, item: &Value) -> Result<Element, String> {
        match &self.arena.node(list).list {
            ListType::Map { keys } => self.keyed_element(keys, items, item),
            ListType::Set | ListType::Atomic => match item {
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".into())
                }
                Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
                Value::Null => {
                    Err("associative list without keys has an element that's an explicit null".into())
                }
                scalar => Ok(Element::value(scalar)),
            },
        }
    }

    fn keyed_element(self, keys: &[String], items: Ty, item: &Value) -> Result<Element, String> {
        let map = match item {
            Value::Object(map) => map,
            Value::Null => return Err("associative list with keys may not have a null element".into()),
            _ => return Err("associative list with keys may not have non-map elements".into()),
        };
        let mut fields = Map::new();
        for key in keys {
            match map.member(key).or_else(|| self.member_default(items, key)) {
                Some(value) => drop(fields.insert(key.clone(), value.clone())),
                None => continue,
            }
        }
        if fields.is_empty() {
            let keys = Value::Array(keys.iter().map(|k| Value::from(k.as_str())).collect());
            return Err(format!(
                "associative list with keys has an element that omits all key fields {} (and doesn't have default values for any key fields)",
                compact_json(&keys).replace(',', " ")
            ));
        }
        Ok(Element::key(fields))
    }

    fn member_default(self, items: Ty, key: &str) -> Option<&'a Value> {
        let Ty::Node(id, _) = items else { return None };
        let child = self.arena.node(id).properties.get(key)?;
        self.arena.node(*child).default.as_ref()
    }
}
