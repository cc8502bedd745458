//! Objects of one resource by label: a list with a selector looks at those it may show, not at all of its namespace.
//!
//! Leaves out cluster-scoped objects, of which there are few, and selectors that name no value (`!a`, `a in (b,c)`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::store::Key;

/// Namespace, label, value.
type Pair = (String, String, String);

#[derive(Clone, Default)]
pub(crate) struct Labels(BTreeMap<Pair, BTreeSet<Key>>);

impl Labels {
    /// An object changed from `old` to `new`; either may be missing.
    pub(crate) fn change(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>) {
        let Some((namespace, _)) = key.split_once('/') else { return };
        if texts(old).eq(texts(new)) {
            return;
        }
        let pair = |(label, value): (&str, &str)| (namespace.to_owned(), label.to_owned(), value.to_owned());
        for pair in texts(old).map(pair) {
            if let Some(keys) = self.0.get_mut(&pair) {
                keys.remove(key);
                if keys.is_empty() {
                    self.0.remove(&pair);
                }
            }
        }
        for pair in texts(new).map(pair) {
            self.0.entry(pair).or_default().insert(key.clone());
        }
    }

    /// Keys of the objects that have the rarest of these labels; nothing is known without any.
    pub(crate) fn with<'a>(
        &self,
        namespace: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<Option<&BTreeSet<Key>>> {
        let pair = |(label, value): (&str, &str)| (namespace.to_owned(), label.to_owned(), value.to_owned());
        labels.map(|label| self.0.get(&pair(label))).min_by_key(|keys| keys.map_or(0, BTreeSet::len))
    }
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
            keys.map(|keys| keys.into_iter().flatten().map(|k| k.to_string()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(found(&labels, "n", &[]), None);
        assert_eq!(found(&labels, "n", &[("type", "t")]).as_deref(), Some("n/a n/b"));
        assert_eq!(found(&labels, "n", &[("type", "t"), ("app", "b")]).as_deref(), Some("n/b"));
        assert_eq!(found(&labels, "n", &[("type", "t"), ("app", "c")]).as_deref(), Some(""));
        assert_eq!(found(&labels, "m", &[("type", "t")]).as_deref(), Some(""));
        labels.change(&b, Some(&object(&[("app", "b"), ("type", "t")])), Some(&object(&[("app", "c")])));
        assert_eq!(found(&labels, "n", &[("app", "c")]).as_deref(), Some("n/b"));
        assert_eq!(found(&labels, "n", &[("type", "t")]).as_deref(), Some("n/a"));
        labels.change(&a, Some(&object(&[("app", "a"), ("type", "t")])), None);
        labels.change(&b, Some(&object(&[("app", "c")])), None);
        assert!(labels.0.is_empty());
    }
}
