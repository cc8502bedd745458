//! Members a write leaves as they are stored. They were pruned, defaulted and decoded when they came in, and all of that
//! changes nothing the second time; most writes change a status or an annotation of a large object.

use fake_kube_schema::equal_members;
use serde_json::Value;

use crate::resource::Definition;
use crate::store::Stored;

/// Members taken out of an object, with their places.
pub(crate) struct Aside(Vec<(usize, String, Value)>);

impl Aside {
    /// Takes the members of `new` that `live` has already. Nothing is taken where a second look could find something:
    /// the schema changed since, or the kind has a form it is sent in and one it is stored in.
    pub(crate) fn take(def: &Definition, new: &mut Value, live: Option<&Stored>) -> Aside {
        let Some(live) = live.filter(|live| def.is_settled(live.revision) && !def.is("", "secrets")) else {
            return Aside(Vec::new());
        };
        let Some(members) = new.as_object_mut() else { return Aside(Vec::new()) };
        let stored = live.value();
        let is_unchanged = |key: &str, value: &Value| {
            let is_large = value.is_object() || value.is_array();
            is_large && key != "metadata" && equal_members(stored.get(key), Some(value))
        };
        let mut taken = Vec::new();
        for (place, (key, value)) in members.iter_mut().enumerate() {
            if is_unchanged(key, value) {
                taken.push((place, key.clone(), value.take()));
            }
        }
        for (_, key, _) in &taken {
            members.shift_remove(key);
        }
        Aside(taken)
    }

    /// Puts them back where they were.
    pub(crate) fn put_back(self, new: &mut Value) {
        let Some(members) = new.as_object_mut() else { return };
        for (place, key, value) in self.0 {
            // What defaulting made of the gap goes, and with it the place it took.
            members.shift_remove(&key);
            members.shift_insert(place.min(members.len()), key, value);
        }
    }
}
