//! Objects of a watch, one at a time: one that cannot be read must not stop the watch of all others.
//!
//! kube's own `DeserializeGuard` does the same by way of a generic tree of every object, which costs several times what
//! reading the object does, and an operator reads thousands of renewed leases for each object that matters. This one
//! keeps the object's text and reads that. It relies on JSON and on `type` standing before `object` in a watch event,
//! where every API server writes it; an event in another order fails its watch, which then lists again.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An object, or what is known of one that could not be read.
#[derive(Debug, Clone)]
pub(crate) struct Lenient<K>(pub(crate) Result<K, Unreadable>);

#[derive(Debug, Clone)]
pub(crate) struct Unreadable {
    pub(crate) error: String,
    pub(crate) metadata: ObjectMeta,
}

#[derive(Deserialize)]
struct MetadataAlone {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let read: Result<K, serde_json::Error> = serde_json::from_str(text.get());
        match read {
            Ok(object) => Ok(Lenient(Ok(object))),
            Err(error) => {
                let alone: MetadataAlone = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
                Ok(Lenient(Err(Unreadable { error: error.to_string(), metadata: alone.metadata })))
            }
        }
    }
}

impl<K: Resource> Resource for Lenient<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::WatchEvent;

    use super::*;

    fn event(object: &str) -> Lenient<ConfigMap> {
        let text = format!(r#"{{"type":"MODIFIED","object":{object}}}"#);
        match serde_json::from_str(&text).expect("an event") {
            WatchEvent::Modified(object) => object,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_unreadable_object_keeps_its_name_and_its_neighbours() {
        let good = event(r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#);
        assert_eq!(good.0.expect("readable").data.expect("data")["k"], "v");
        let bad = event(r#"{"metadata":{"name":"b","resourceVersion":"7"},"data":{"k":5}}"#);
        assert_eq!(bad.meta().resource_version.as_deref(), Some("7"));
        let unreadable = bad.0.expect_err("a number is no text");
        assert_eq!(unreadable.metadata.name.as_deref(), Some("b"));
        assert!(unreadable.error.contains("invalid type"), "{}", unreadable.error);
    }

    #[test]
    fn bookmarks_pass() {
        let text = r#"{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"9"}}}"#;
        let event: WatchEvent<Lenient<ConfigMap>> = serde_json::from_str(text).expect("an event");
        assert!(matches!(event, WatchEvent::Bookmark(mark) if mark.metadata.resource_version == "9"));
    }
}
