//! Members of small objects, found by looking at one after the other: most objects have a handful, and hashing a key costs
//! as much as comparing it with a dozen others, nearly all of which differ in length already.

use serde_json::{Map, Value};

/// Larger objects are asked by hash.
const SMALL: usize = 16;

/// What `get` and its relatives answer, sooner.
pub trait Members {
    /// As `get(key)`.
    fn member(&self, key: &str) -> Option<&Value>;

    /// As `get_mut(key)`.
    fn member_mut(&mut self, key: &str) -> Option<&mut Value>;
}

impl Members for Map<String, Value> {
    fn member(&self, key: &str) -> Option<&Value> {
        if self.len() > SMALL {
            return self.get(key);
        }
        self.iter().find(|(own, _)| *own == key).map(|(_, member)| member)
    }

    fn member_mut(&mut self, key: &str) -> Option<&mut Value> {
        if self.len() > SMALL {
            return self.get_mut(key);
        }
        self.iter_mut().find(|(own, _)| *own == key).map(|(_, member)| member)
    }
}

impl Members for Value {
    fn member(&self, key: &str) -> Option<&Value> {
        self.as_object()?.member(key)
    }

    fn member_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.as_object_mut()?.member_mut(key)
    }
}

/// As `map.insert(key.to_owned(), value)`; nothing is hashed where the member is there.
pub fn put_member(map: &mut Map<String, Value>, key: &str, value: Value) {
    match map.member_mut(key) {
        Some(member) => *member = value,
        None => drop(map.insert(key.to_owned(), value)),
    }
}

/// As `map.shift_remove(key)`; nothing is hashed where the member is not there.
pub fn take_member(map: &mut Map<String, Value>, key: &str) -> Option<Value> {
    map.member(key)?;
    map.shift_remove(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_map_says() {
        for count in [0, 1, 3, SMALL - 1, SMALL, SMALL + 1, 40] {
            let mut map: Map<String, Value> =
                (0..count).map(|n| (format!("key-{n}"), Value::from(n))).collect();
            let mut other = map.clone();
            for key in ["key-0", "key-2", "key-15", "key-16", "key-39", "none", ""] {
                assert_eq!(map.member(key), other.get(key));
                assert_eq!(Value::Object(map.clone()).member(key), other.get(key));
                assert_eq!(map.member_mut(key), other.get_mut(key));
                put_member(&mut map, key, Value::Null);
                other.insert(key.to_owned(), Value::Null);
                assert_eq!(map, other);
                if key.len() % 2 == 0 {
                    assert_eq!(take_member(&mut map, key), other.shift_remove(key));
                    assert_eq!(take_member(&mut map, key), None);
                }
                assert!(map.iter().eq(other.iter()));
            }
        }
        assert_eq!((Value::Null.member("a"), Value::from("a").member_mut("a")), (None, None));
    }
}
