//! What the view keeps of an object: all of it where controllers look into its kind, else who it is, whom it belongs to
//! and whether it is going.
//!
//! Of an object that belongs to nobody, is held by nothing and is not going that is three words. They are kept as words:
//! a tree of them takes as much memory as the text of a small object, and there is one for each of its kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::json::uid;
use crate::view::Key;

#[derive(Clone, Debug)]
pub enum Known {
    Whole(Arc<Value>),
    /// The members of [`OUTLINE`] alone.
    Outline(Arc<Value>),
    Plain(Plain),
}

#[derive(Clone, Debug)]
pub struct Plain {
    api_version: Arc<str>,
    kind: Arc<str>,
    pub uid: Arc<str>,
}

const OUTLINE: [&str; 7] = [
    "name",
    "namespace",
    "uid",
    "ownerReferences",
    "finalizers",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];
/// Those of them that every object has.
const PLAIN: usize = 3;

/// Words that many objects share.
#[derive(Clone, Default)]
pub struct Words(BTreeSet<Arc<str>>);

impl Words {
    fn shared(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.0.get(word) {
            return known.clone();
        }
        let word: Arc<str> = word.into();
        self.0.insert(word.clone());
        word
    }
}

impl Known {
    /// An object without what controllers do not look at.
    pub fn outline(object: &Value, words: &mut Words) -> Known {
        let said = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("");
        if is_plain(object) {
            let (api_version, kind) = (words.shared(said("apiVersion")), words.shared(said("kind")));
            return Known::Plain(Plain { api_version, kind, uid: uid(object).into() });
        }
        let kept = OUTLINE.iter().filter_map(|key| Some(((*key).to_owned(), metadata(object, key)?.clone())));
        let kept: Map<String, Value> = kept.collect();
        Known::Outline(Arc::new(
            json!({"apiVersion": object.get("apiVersion"), "kind": object.get("kind"), "metadata": kept}),
        ))
    }

    /// Whether [`Known::outline`] of this object is this.
    pub fn is_outline_of(&self, object: &Value) -> bool {
        let is = |key: &str, known: &str| object.get(key).and_then(Value::as_str) == Some(known);
        match self {
            Known::Whole(_) => false,
            Known::Outline(known) => {
                OUTLINE.iter().all(|key| metadata(known, key) == metadata(object, key))
                    && ["apiVersion", "kind"].iter().all(|key| known.get(*key) == object.get(*key))
            }
            Known::Plain(plain) => {
                is_plain(object)
                    && uid(object) == &*plain.uid
                    && is("apiVersion", &plain.api_version)
                    && is("kind", &plain.kind)
            }
        }
    }

    /// The object itself, of a kind that is looked into.
    pub fn whole(&self) -> Option<&Arc<Value>> {
        match self {
            Known::Whole(object) => Some(object),
            Known::Outline(_) | Known::Plain(_) => None,
        }
    }

    /// What is known of it, as an object.
    pub fn object(&self, key: &Key) -> Arc<Value> {
        match self {
            Known::Whole(object) | Known::Outline(object) => object.clone(),
            Known::Plain(plain) => {
                let mut metadata = json!({"name": key.name});
                if !key.namespace.is_empty() {
                    metadata["namespace"] = key.namespace.as_str().into();
                }
                metadata["uid"] = (*plain.uid).into();
                Arc::new(json!({"apiVersion": *plain.api_version, "kind": *plain.kind, "metadata": metadata}))
            }
        }
    }
}

fn metadata<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(key)
}

fn is_plain(object: &Value) -> bool {
    OUTLINE[PLAIN..].iter().all(|key| metadata(object, key).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(uid: &str, metadata: Value) -> Value {
        let mut object = json!({"apiVersion": "e.com/v1", "kind": "K", "status": {"state": uid},
            "metadata": {"name": "a", "namespace": "n", "labels": {"x": "y"}, "uid": uid}});
        let members = metadata.as_object().cloned().unwrap_or_default();
        members.into_iter().for_each(|(key, value)| object["metadata"][key] = value);
        object
    }

    #[test]
    fn an_outline_is_the_object_without_the_rest() {
        let key = Key::new("ks.e.com", "n", "a");
        let mut words = Words::default();
        let mut check = |more: Value| {
            let known = Known::outline(&object("u", more.clone()), &mut words);
            let mut expected = json!({"apiVersion": "e.com/v1", "kind": "K",
                "metadata": {"name": "a", "namespace": "n", "uid": "u"}});
            let members = more.as_object().cloned().unwrap_or_default();
            members.into_iter().for_each(|(key, value)| expected["metadata"][key] = value);
            assert_eq!(*known.object(&key), expected);
            let mut other = object("u", more);
            other["status"]["state"] = json!("later");
            assert!(known.is_outline_of(&other));
            assert!(!known.is_outline_of(&object("v", json!({}))));
            assert!(!known.is_outline_of(&object("u", json!({"finalizers": ["f/g"]}))));
        };
        check(json!({}));
        check(json!({"ownerReferences": [{"uid": "o"}]}));
        check(json!({"finalizers": ["f"], "deletionTimestamp": "2026-01-01T00:00:00Z"}));
    }
}
