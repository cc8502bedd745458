//! Whether two trees are equal, fast where one came from the other. Nearly all trees that are compared here are versions of
//! one object, with their members in the same order: those are compared side by side, and a member is looked up only where
//! the order differs. Comparing maps by `==` hashes every key of every one.

use serde_json::{Map, Value};

use crate::members::Members;

/// The same as `a == b`.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => equal_maps(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::String(a), Value::String(b)) => a == b,
        _ => a == b,
    }
}

/// The same as `a == b` of two members that may be missing.
pub fn equal_members(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => equal(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn equal_maps(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    if std::ptr::eq(a, b) {
        return true;
    }
    a.len() == b.len()
        && a.iter().zip(b).all(|((key, value), (other, beside))| match key == other {
            true => equal(value, beside),
            false => b.member(key).is_some_and(|found| equal(value, found)),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Trees over few keys and values, so that they are often nearly equal, their members in any order.
    fn some_tree(draw: &mut impl FnMut(u64) -> u64, depth: u64) -> Value {
        match draw(if depth > 2 { 5 } else { 9 }) {
            0 => Value::Null,
            1 => json!(draw(2) == 0),
            2 => json!(draw(3)),
            3 => json!(draw(2) as f64),
            4 => json!(["a", "b"][draw(2) as usize]),
            5 => (0..draw(3)).map(|_| some_tree(draw, depth + 1)).collect(),
            _ => {
                let mut map = Map::new();
                for _ in 0..draw(4) {
                    map.insert(["a", "b", "c"][draw(3) as usize].to_owned(), some_tree(draw, depth + 1));
                }
                Value::Object(map)
            }
        }
    }

    /// The same with the members of its maps in another order, and now and then another part.
    fn some_version(tree: &Value, draw: &mut impl FnMut(u64) -> u64) -> Value {
        match tree {
            Value::Object(map) => {
                let mut members: Vec<(String, Value)> =
                    map.iter().map(|(key, value)| (key.clone(), some_version(value, draw))).collect();
                let turned = draw(2) as usize * members.len() / 2;
                members.rotate_left(turned);
                Value::Object(members.into_iter().collect())
            }
            Value::Array(items) => items.iter().map(|item| some_version(item, draw)).collect(),
            _ if draw(6) == 0 => some_tree(draw, 2),
            _ => tree.clone(),
        }
    }

    #[test]
    fn as_the_operator_says() {
        let mut seed = 7_u64;
        let mut draw = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        // Of maps with several members: equal ones, others.
        let mut met = [0, 0];
        for _ in 0..20_000 {
            let a = some_tree(&mut draw, 0);
            let b = some_version(&a, &mut draw);
            assert_eq!(equal(&a, &b), a == b, "{a} and {b}");
            if a.as_object().is_some_and(|a| a.len() > 1) {
                met[usize::from(a != b)] += 1;
            }
        }
        assert!(met.iter().all(|count| *count > 500), "too few pairs of one sort: {met:?}");
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let check = |a: Value, b: Value, expected: bool| assert_eq!(equal(&a, &b), expected, "{a} and {b}");
        check(json!({"a": 1, "b": {"c": [1]}}), json!({"b": {"c": [1]}, "a": 1}), true);
        check(json!({"a": 1, "b": 2}), json!({"b": 1, "a": 2}), false);
        check(json!({"a": 1, "b": 2}), json!({"a": 1, "c": 2}), false);
        assert!(equal_members(None, None) && !equal_members(None, Some(&Value::Null)));
    }
}
