//! The members a schema names, found by key without comparing it with one after the other: every walk over an object asks
//! for every key of it. Small enough to be written here; a map that hashes for strangers costs three times as much.

use super::node::NodeId;

/// Marks a free place; schemas with more members are searched without hashing.
const FREE: u16 = u16::MAX;

#[derive(Clone, Debug, Default)]
pub(crate) struct Properties {
    sorted: Vec<(String, NodeId)>,
    /// Open addressing, at most half full; empty until [`Properties::index`].
    places: Box<[u16]>,
}

impl Properties {
    pub(crate) fn get(&self, key: &str) -> Option<&NodeId> {
        let Some(mask) = self.places.len().checked_sub(1) else {
            return self.find(key).ok().map(|place| &self.sorted[place].1);
        };
        let mut at = hash(key) as usize & mask;
        // Ends at a free place, since half of them are.
        while let Some((known, id)) = self.sorted.get(usize::from(self.places[at])) {
            if known == key {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
        None
    }

    pub(crate) fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Puts a member in; answers the one it replaces.
    pub(crate) fn insert(&mut self, key: String, id: NodeId) -> Option<NodeId> {
        self.places = Box::default();
        match self.find(&key) {
            Ok(place) => Some(std::mem::replace(&mut self.sorted[place].1, id)),
            Err(place) => {
                self.sorted.insert(place, (key, id));
                None
            }
        }
    }

    /// Makes it fast; nothing is put in after that.
    pub(crate) fn index(&mut self) {
        if self.sorted.is_empty() || self.sorted.len() >= usize::from(FREE) {
            return;
        }
        let mut places = vec![FREE; (2 * self.sorted.len()).next_power_of_two()];
        let mask = places.len() - 1;
        for (number, (key, _)) in (0..FREE).zip(&self.sorted) {
            let mut at = hash(key) as usize & mask;
            while places[at] != FREE {
                at = (at + 1) & mask;
            }
            places[at] = number;
        }
        self.places = places.into();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// By name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &NodeId)> {
        self.sorted.iter().map(|(key, id)| (key, id))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &NodeId> {
        self.sorted.iter().map(|(_, id)| id)
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.sorted.binary_search_by(|(own, _)| own.as_str().cmp(key))
    }
}

/// Spreads names well enough; whoever writes the schema can only make lookups in it slower.
fn hash(key: &str) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (chunks, rest) = key.as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mix = |sum: u64, chunk: [u8; 8]| (sum.rotate_left(5) ^ u64::from_le_bytes(chunk)).wrapping_mul(ODD);
    let sum = chunks.iter().fold(key.len() as u64, |sum, chunk| mix(sum, *chunk));
    let sum = mix(sum, last);
    sum ^ sum >> 32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for count in [0, 1, 2, 3, 15, 100, 5_000] {
            let names: BTreeMap<String, NodeId> =
                (0..count).map(|n| (format!("name-{}", n * 7), n)).collect();
            let mut properties = Properties::default();
            for (name, id) in names.iter().rev() {
                assert_eq!(properties.insert(name.clone(), id + 1), None);
                assert_eq!(properties.insert(name.clone(), *id), Some(id + 1));
            }
            for _ in ["searched", "indexed"] {
                assert!(names.iter().eq(properties.iter()));
                assert!(names.iter().all(|(name, id)| properties.get(name) == Some(id)));
                for other in ["", "name-", "name-1", "name-7x", "a", "name-700000000000000000000000000000"] {
                    assert_eq!(properties.contains_key(other), names.contains_key(other), "{other}");
                }
                properties.index();
            }
        }
    }
}
