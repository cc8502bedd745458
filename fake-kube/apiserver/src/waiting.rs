//! Who waits for changes of a table, by what they wait for: a write wakes those it may concern and does not look at the
//! others, however many there are.

use std::collections::BTreeMap;
use std::task::Waker;

use serde_json::Value;

use crate::fields::Filter;

/// What a watch is narrowed to, as far as it can be looked up. What it wakes for in vain it finds out itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Interest {
    Anything,
    /// One name.
    Name(String),
    /// One label with its value.
    Label(String, String),
}

impl Interest {
    pub(crate) fn of(filter: &Filter) -> Interest {
        if let Some(name) = filter.fields.name() {
            return Interest::Name(name.to_owned());
        }
        match filter.labels.pairs().next() {
            Some((label, value)) => Interest::Label(label.to_owned(), value.to_owned()),
            None => Interest::Anything,
        }
    }
}

/// Waiters by namespace ("" for all of them), then by interest.
#[derive(Default)]
pub(crate) struct Waiting(BTreeMap<String, Scope>);

type Wakers = BTreeMap<u64, Waker>;

#[derive(Default)]
struct Scope {
    anything: Wakers,
    names: BTreeMap<String, Wakers>,
    labels: BTreeMap<String, BTreeMap<String, Wakers>>,
}

impl Scope {
    fn is_empty(&self) -> bool {
        self.anything.is_empty() && self.names.is_empty() && self.labels.is_empty()
    }

    fn add(&mut self, interest: &Interest, id: u64, waker: Waker) {
        match interest {
            Interest::Anything => self.anything.insert(id, waker),
            Interest::Name(name) => self.names.entry(name.clone()).or_default().insert(id, waker),
            Interest::Label(label, value) => {
                let values = self.labels.entry(label.clone()).or_default();
                values.entry(value.clone()).or_default().insert(id, waker)
            }
        };
    }

    fn remove(&mut self, interest: &Interest, id: u64) -> bool {
        match interest {
            Interest::Anything => self.anything.remove(&id).is_some(),
            Interest::Name(name) => {
                let Some(wakers) = self.names.get_mut(name) else { return false };
                let found = wakers.remove(&id).is_some();
                if wakers.is_empty() {
                    self.names.remove(name);
                }
                found
            }
            Interest::Label(label, value) => {
                let Some(values) = self.labels.get_mut(label) else { return false };
                let Some(wakers) = values.get_mut(value) else { return false };
                let found = wakers.remove(&id).is_some();
                if wakers.is_empty() {
                    values.remove(value);
                }
                if values.is_empty() {
                    self.labels.remove(label);
                }
                found
            }
        }
    }

    fn take(&mut self, name: &str, states: [Option<&Value>; 2], woken: &mut Vec<(u64, Waker)>) {
        woken.extend(std::mem::take(&mut self.anything));
        woken.extend(self.names.remove(name).into_iter().flatten());
        if self.labels.is_empty() {
            return;
        }
        let labels =
            states.into_iter().flatten().filter_map(|o| o.get("metadata")?.get("labels")?.as_object());
        for (label, value) in labels.flatten() {
            let Some(values) = self.labels.get_mut(label) else { continue };
            woken.extend(value.as_str().and_then(|value| values.remove(value)).into_iter().flatten());
            if values.is_empty() {
                self.labels.remove(label);
            }
        }
    }

    fn all(self) -> impl Iterator<Item = (u64, Waker)> {
        let labelled = self.labels.into_values().flat_map(BTreeMap::into_values).flatten();
        self.anything.into_iter().chain(self.names.into_values().flatten()).chain(labelled)
    }
}

impl Waiting {
    pub(crate) fn add(&mut self, namespace: &str, interest: &Interest, id: u64, waker: &Waker) {
        match self.0.get_mut(namespace) {
            Some(scope) => scope.add(interest, id, waker.clone()),
            None => self.0.entry(namespace.to_owned()).or_default().add(interest, id, waker.clone()),
        }
    }

    /// Whether it waited.
    pub(crate) fn remove(&mut self, namespace: &str, interest: &Interest, id: u64) -> bool {
        let Some(scope) = self.0.get_mut(namespace) else { return false };
        let found = scope.remove(interest, id);
        if scope.is_empty() {
            self.0.remove(namespace);
        }
        found
    }

    /// Those who wait for an object that was and is in these states.
    pub(crate) fn concerned(&mut self, key: &str, states: [Option<&Value>; 2]) -> Vec<(u64, Waker)> {
        let mut woken = Vec::new();
        if self.0.is_empty() {
            return woken;
        }
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let scopes = if namespace.is_empty() { &[""][..] } else { &["", namespace] };
        for namespace in scopes {
            let Some(scope) = self.0.get_mut(*namespace) else { continue };
            let before = woken.len();
            scope.take(name, states, &mut woken);
            // In the order they came, whatever they wait for.
            woken[before..].sort_by_key(|(id, _)| *id);
            if scope.is_empty() {
                self.0.remove(*namespace);
            }
        }
        woken
    }

    pub(crate) fn take_all(&mut self) -> Vec<(u64, Waker)> {
        std::mem::take(&mut self.0).into_values().flat_map(Scope::all).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_those_concerned_are_woken() {
        let label = |value: &str| Interest::Label("app".into(), value.into());
        let all = [
            ("", Interest::Anything),
            ("n", Interest::Anything),
            ("m", Interest::Anything),
            ("n", Interest::Name("a".into())),
            ("n", Interest::Name("b".into())),
            ("n", label("x")),
            ("", label("y")),
            ("n", label("z")),
        ];
        let mut waiting = Waiting::default();
        for (id, (namespace, interest)) in (0_u64..).zip(&all) {
            waiting.add(namespace, interest, id, Waker::noop());
        }
        let object = |app: &str| json!({"metadata": {"labels": {"app": app, "other": "x"}}});
        let (old, new) = (object("x"), object("y"));
        let mut concerned = |key: &str, old: Option<&Value>| -> Vec<u64> {
            let woken = waiting.concerned(key, [old, Some(&new)]);
            let mut ids: Vec<u64> = woken.into_iter().map(|(id, _)| id).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(concerned("n/a", Some(&old)), [0, 1, 3, 5, 6]);
        // They wait no longer.
        assert_eq!(concerned("n/a", Some(&old)), [0_u64; 0]);
        assert_eq!(concerned("n/b", None), [4]);
        let left: Vec<bool> = (0_u64..)
            .zip(&all)
            .map(|(id, (namespace, interest))| waiting.remove(namespace, interest, id))
            .collect();
        assert_eq!(left, [false, false, true, false, false, false, false, true]);
        assert!(waiting.0.is_empty());
    }
}
