//! Sets of fields changed in their wire form (`fieldsV1`): the same sums and differences as `fieldset` gives, without
//! reading the set and writing it out again. A write touches few of the fields its manager has.

use serde_json::{Map, Value};

use super::fieldset::{Node, Set};

/// `{}` is a leaf; a node with children is a member itself only when it says `.`.
pub(crate) fn is_member(node: &Value) -> bool {
    node.as_object().is_some_and(|node| node.is_empty() || node.contains_key(SELF))
}

pub(crate) fn is_empty(fields: &Value) -> bool {
    fields.as_object().is_none_or(|fields| !has_children(fields))
}

const SELF: &str = ".";

fn has_children(node: &Map<String, Value>) -> bool {
    node.keys().any(|key| key != SELF)
}

/// Makes the members of `more` members of `fields`.
pub(crate) fn add(fields: &mut Value, more: &Set) {
    if !fields.is_object() {
        *fields = Value::Object(Map::new());
    }
    let Some(node) = fields.as_object_mut() else { return };
    for (key, member, below) in more.children() {
        match node.get_mut(&key) {
            Some(child) => {
                let is_member = member || is_member(child);
                add(child, below);
                mark(child, is_member);
            }
            None => {
                let mut child = below.to_json();
                mark(&mut child, member);
                let place = node.keys().position(|other| order(other) > order(&key)).unwrap_or(node.len());
                node.shift_insert(place, key, child);
            }
        }
    }
}

/// Makes the members of `less` members of `fields` no longer.
pub(crate) fn subtract(fields: &mut Value, less: &Set) {
    let Some(node) = fields.as_object_mut() else { return };
    for (key, member, below) in less.children() {
        let Some(child) = node.get_mut(&key) else { continue };
        let stays = is_member(child) && !member;
        subtract(child, below);
        if stays || child.as_object().is_some_and(has_children) {
            mark(child, stays);
        } else {
            node.shift_remove(&key);
        }
    }
}

/// Members of both.
pub(crate) fn intersection(fields: &Value, other: &Set) -> Set {
    let Some(node) = fields.as_object() else { return Set::default() };
    let both = other.steps().zip(other.children()).filter_map(|((element, theirs), (key, ..))| {
        let own = node.get(&key)?;
        let member = theirs.member && is_member(own);
        Some((element.clone(), Node { member, below: intersection(own, &theirs.below) }))
    });
    both.collect()
}

/// Says of a node whether it is a member, in the way that fits what lies below it.
fn mark(node: &mut Value, is_member: bool) {
    let Some(node) = node.as_object_mut() else { return };
    if is_member && has_children(node) {
        if !node.contains_key(SELF) {
            node.shift_insert(0, SELF.to_owned(), Value::Object(Map::new()));
        }
    } else {
        node.shift_remove(SELF);
    }
}

/// Keys stand in the order of [`super::fieldset::Element`]: fields, keys, values, indices by number; `.` before all.
fn order(key: &str) -> (u8, u64, &str) {
    match key.split_once(':') {
        Some(("f", name)) => (1, 0, name),
        Some(("k", name)) => (2, 0, name),
        Some(("v", name)) => (3, 0, name),
        Some(("i", number)) => (4, number.parse().unwrap_or(u64::MAX), ""),
        _ => (0, 0, key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::managed::fieldset::Element;

    /// A set of few fields that often meet: paths of up to three steps over three names and sorts of steps.
    fn some_set(seed: &mut u64) -> Set {
        let mut draw = |below: u64| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 33) % below
        };
        let mut set = Set::default();
        for _ in 0..draw(6) {
            let path: Vec<Element> = (0..=draw(3))
                .map(|_| match (draw(5), draw(3)) {
                    (0, n) => Element::Key(format!("{{\"name\":\"{n}\"}}")),
                    (1, n) => Element::Value(format!("\"{n}\"")),
                    (2, n) => Element::Index(n as usize * 7),
                    (_, n) => Element::Field(format!("field-{n}")),
                })
                .collect();
            set.insert(&path);
        }
        set
    }

    #[test]
    fn changed_in_the_wire_form_as_when_read_and_written_again() {
        let mut seed = 1;
        for _ in 0..20_000 {
            let (before, other) = (some_set(&mut seed), some_set(&mut seed));
            let mut sum = before.to_json();
            add(&mut sum, &other);
            assert_eq!(sum.to_string(), before.clone().union(&other).to_json().to_string());
            let mut difference = before.to_json();
            subtract(&mut difference, &other);
            assert_eq!(difference.to_string(), before.difference(&other).to_json().to_string());
            assert_eq!(is_empty(&difference), before.difference(&other).is_empty());
            assert_eq!(intersection(&before.to_json(), &other), before.intersection(&other));
            let is_written_as = |fields: &Value| before.is_written_as(fields.as_object().expect("a map"));
            assert!(is_written_as(&before.to_json()));
            assert_eq!(is_written_as(&other.to_json()), before == other);
        }
    }
}
