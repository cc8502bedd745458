//! Objects by label, and Services by what they select: which pods a Service leads to, and which Services a pod concerns,
//! without looking at all of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::json::*;
use crate::view::{Key, resource as r};

const LABELS: &str = "/metadata/labels";

/// `namespace`, label, value.
type Pair = (String, String, String);

#[derive(Clone, Default)]
pub struct Labels {
    /// Pods and EndpointSlices by each of their labels.
    labelled: BTreeMap<(&'static str, Pair), BTreeSet<Key>>,
    /// Services by one pair of their selector: the one fewest others had when they came.
    selecting: BTreeMap<Pair, BTreeSet<Key>>,
    chosen: BTreeMap<Key, Pair>,
}

impl Labels {
    /// An object changed from `old` to `new`; either may be missing.
    pub fn change(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>) {
        let resource = match &*key.resource {
            r::PODS => r::PODS,
            r::SLICES => r::SLICES,
            r::SERVICES => return self.change_service(key, new),
            _ => return,
        };
        let (old, new) = (old.map(|o| at(o, LABELS)), new.map(|o| at(o, LABELS)));
        if old == new {
            return;
        }
        for pair in pairs(key, old) {
            forget(&mut self.labelled, &(resource, pair), key);
        }
        for pair in pairs(key, new) {
            self.labelled.entry((resource, pair)).or_default().insert(key.clone());
        }
    }

    fn change_service(&mut self, key: &Key, new: Option<&Value>) {
        if let Some(pair) = self.chosen.remove(key) {
            forget(&mut self.selecting, &pair, key);
        }
        let selector = new.map(|service| at(service, "/spec/selector"));
        let count = |pair: &Pair| self.selecting.get(pair).map_or(0, BTreeSet::len);
        if let Some(pair) = pairs(key, selector).into_iter().min_by_key(count) {
            self.selecting.entry(pair.clone()).or_default().insert(key.clone());
            self.chosen.insert(key.clone(), pair);
        }
    }

    /// Objects of `resource` that have one pair of the map, the rarest; which of them have all is for the caller to ask.
    pub fn candidates(&self, resource: &'static str, namespace: &str, map: &Value) -> Option<&BTreeSet<Key>> {
        let namespace = Key::new(resource, namespace, "");
        let all = pairs(&namespace, Some(map));
        let sets: Vec<_> = all.into_iter().map(|pair| self.labelled.get(&(resource, pair))).collect();
        sets.into_iter().min_by_key(|set| set.map_or(0, BTreeSet::len)).flatten()
    }

    /// Services that may select an object with these labels.
    pub fn selecting(&self, namespace: &str, labels: &Value) -> impl Iterator<Item = &Key> {
        let namespace = Key::new(r::SERVICES, namespace, "");
        pairs(&namespace, Some(labels)).into_iter().filter_map(|pair| self.selecting.get(&pair)).flatten()
    }
}

fn pairs(key: &Key, map: Option<&Value>) -> Vec<Pair> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(k, v)| Some((key.namespace.clone(), k.clone(), v.as_str()?.to_owned()))).collect()
}

fn forget<K: Ord>(index: &mut BTreeMap<K, BTreeSet<Key>>, at: &K, key: &Key) {
    if let Some(set) = index.get_mut(at) {
        set.remove(key);
        if set.is_empty() {
            index.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_and_pods_find_each_other() {
        let mut labels = Labels::default();
        let pod = |app: &str| json!({"metadata": {"labels": {"app": app, "type": "flink"}}});
        let service = |app: &str| json!({"spec": {"selector": {"type": "flink", "app": app}}});
        for app in ["a", "b"] {
            labels.change(&Key::new(r::PODS, "n", app), None, Some(&pod(app)));
            labels.change(&Key::new(r::SERVICES, "n", app), None, Some(&service(app)));
        }
        let pods = |labels: &Labels, app: &str| {
            let found = labels.candidates(r::PODS, "n", &service(app)["spec"]["selector"]);
            found.map(|keys| keys.iter().map(|k| k.name.clone()).collect::<Vec<_>>()).unwrap_or_default()
        };
        assert_eq!(pods(&labels, "b"), ["b"]);
        assert!(pods(&labels, "c").is_empty());
        let found = |labels: &Labels, app: &str| {
            labels.selecting("n", &pod(app)["metadata"]["labels"]).any(|k| k.name == app)
        };
        assert!(found(&labels, "a") && found(&labels, "b"));
        labels.change(&Key::new(r::PODS, "n", "b"), Some(&pod("b")), Some(&pod("c")));
        assert!(pods(&labels, "b").is_empty());
        assert_eq!(pods(&labels, "c"), ["b"]);
        labels.change(&Key::new(r::SERVICES, "n", "a"), Some(&service("a")), None);
        assert!(!found(&labels, "a"));
        assert_eq!(labels.selecting("m", &pod("b")["metadata"]["labels"]).count(), 0);
    }
}
