//! Objects of one resource by label: a list with a selector looks at those it may show, not at all of its namespace.
//!
//! Leaves out cluster-scoped objects, of which there are few, and selectors that name no value (`!a`, `a in (b,c)`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde_json::Value;

use crate::store::Key;

/// By namespace, label and value.
#[derive(Clone, Default)]
pub(crate) struct Labels(ByWord<ByWord<ByWord<Keys>>>);

type ByWord<T> = BTreeMap<Box<str>, T>;

/// Objects that have a label. Values such as those of `app` are often of one object alone, and a set takes the room of
/// eleven.
#[derive(Clone)]
pub(crate) enum Keys {
    One(Key),
    Many(BTreeSet<Key>),
}

impl Keys {
    fn len(&self) -> usize {
        match self {
            Keys::One(_) => 1,
            Keys::Many(keys) => keys.len(),
        }
    }

    fn insert(&mut self, key: &Key) {
        match self {
            Keys::One(one) if one == key => {}
            Keys::One(one) => *self = Keys::Many(BTreeSet::from([one.clone(), key.clone()])),
            Keys::Many(keys) => drop(keys.insert(key.clone())),
        }
    }

    /// Whether none is left.
    fn remove(&mut self, key: &Key) -> bool {
        match self {
            Keys::One(one) => one == key,
            Keys::Many(keys) => {
                keys.remove(key);
                keys.is_empty()
            }
        }
    }

    /// In their order, from this one on.
    pub(crate) fn from(&self, first: &str) -> impl Iterator<Item = &Key> {
        let (one, many) = match self {
            Keys::One(key) => (Some(key).filter(|key| &***key >= first), None),
            Keys::Many(keys) => {
                (None, Some(keys.range::<str, _>((Bound::Included(first), Bound::Unbounded))))
            }
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl Labels {
    /// An object changed from `old` to `new`; either may be missing.
    pub(crate) fn change(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>) {
        let Some((namespace, _)) = key.split_once('/') else { return };
        if texts(old).eq(texts(new)) {
            return;
        }
        texts(old).for_each(|(label, value)| self.remove(namespace, label, value, key));
        texts(new).for_each(|(label, value)| self.insert(namespace, label, value, key));
    }

    fn insert(&mut self, namespace: &str, label: &str, value: &str, key: &Key) {
        let values = below(below(&mut self.0, namespace), label);
        match values.get_mut(value) {
            Some(keys) => keys.insert(key),
            None => drop(values.insert(value.into(), Keys::One(key.clone()))),
        }
    }

    fn remove(&mut self, namespace: &str, label: &str, value: &str, key: &Key) {
        let Some(labels) = self.0.get_mut(namespace) else { return };
        let Some(values) = labels.get_mut(label) else { return };
        if values.get_mut(value).is_some_and(|keys| keys.remove(key)) {
            values.remove(value);
        }
        if values.is_empty() {
            labels.remove(label);
        }
        if labels.is_empty() {
            self.0.remove(namespace);
        }
    }

    /// Keys of the objects that have the rarest of these labels; nothing is known without any.
    pub(crate) fn with<'a>(
        &self,
        namespace: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<Option<&Keys>> {
        let here = self.0.get(namespace);
        let found = labels.map(|(label, value)| here?.get(label)?.get(value));
        found.min_by_key(|keys| keys.map_or(0, Keys::len))
    }
}

/// What is under a word, made when missing.
fn below<'a, T: Default>(map: &'a mut ByWord<T>, word: &str) -> &'a mut T {
    if !map.contains_key(word) {
        map.insert(word.into(), T::default());
    }
    map.get_mut(word).expect("inserted above")
}

fn texts(object: Option<&Value>) -> impl Iterator<Item = (&str, &str)> {
    let labels = object.and_then(|o| o.get("metadata")?.get("labels")?.as_object());
    labels.into_iter().flatten().filter_map(|(label, value)| Some((label.as_str(), value.as_str()?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(labels: &[(&str, &str)]) -> Value {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        json!({"metadata": {"labels": labels}})
    }

    #[test]
    fn the_rarest_label_leads_to_the_objects() {
        let mut labels = Labels::default();
        let (a, b): (Key, Key) = ("n/a".into(), "n/b".into());
        labels.change(&a, None, Some(&object(&[("app", "a"), ("type", "t")])));
        labels.change(&b, None, Some(&object(&[("app", "b"), ("type", "t")])));
        let found = |labels: &Labels, namespace: &str, wanted: &[(&str, &str)]| {
            let keys = labels.with(namespace, wanted.iter().copied());
            keys.map(|keys| {
                keys.into_iter()
                    .flat_map(|keys| keys.from(""))
                    .map(|k| k.to_string())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        assert_eq!(found(&labels, "n", &[]), None);
        assert_eq!(found(&labels, "n", &[("type", "t")]).as_deref(), Some("n/a n/b"));
        assert_eq!(found(&labels, "n", &[("type", "t"), ("app", "b")]).as_deref(), Some("n/b"));
        assert_eq!(found(&labels, "n", &[("type", "t"), ("app", "c")]).as_deref(), Some(""));
        assert_eq!(found(&labels, "m", &[("type", "t")]).as_deref(), Some(""));
        let later = |value: &str, first: &str| {
            let label = if value == "t" { "type" } else { "app" };
            let keys = labels.with("n", [(label, value)].into_iter()).flatten();
            keys.into_iter().flat_map(|keys| keys.from(first)).count()
        };
        assert_eq!(
            [later("t", "n/a"), later("t", "n/a2"), later("b", "n/b"), later("b", "n/c")],
            [2, 1, 1, 0]
        );
        labels.change(&b, Some(&object(&[("app", "b"), ("type", "t")])), Some(&object(&[("app", "c")])));
        assert_eq!(found(&labels, "n", &[("app", "c")]).as_deref(), Some("n/b"));
        assert_eq!(found(&labels, "n", &[("type", "t")]).as_deref(), Some("n/a"));
        labels.change(&a, Some(&object(&[("app", "a"), ("type", "t")])), None);
        labels.change(&b, Some(&object(&[("app", "c")])), None);
        assert!(labels.0.is_empty());
    }
}
