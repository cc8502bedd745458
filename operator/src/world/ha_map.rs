//! A ConfigMap as far as decisions look at it. A JobManager renews its lease in one every few seconds and the watch tells
//! of each time: reading who owns which field, and values nobody asks for, was most of what the watch cost.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct HaMap {
    #[serde(default, deserialize_with = "brief")]
    pub(crate) metadata: ObjectMeta,
    /// The keys of `data`, in the order they stand in.
    #[serde(default)]
    pub(crate) data: Option<Keys>,
}

#[derive(Clone, Debug)]
pub(crate) struct Keys(pub(crate) Vec<String>);

fn brief<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Brief {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        labels: Option<BTreeMap<String, String>>,
        deletion_timestamp: Option<Time>,
    }
    let Brief { name, namespace, uid, resource_version, labels, deletion_timestamp } =
        Brief::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name,
        namespace,
        uid,
        resource_version,
        labels,
        deletion_timestamp,
        ..ObjectMeta::default()
    })
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, Text)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Some text, whatever it says.
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Text, E> {
                Ok(Text)
            }
        }
        deserializer.deserialize_str(Any)
    }
}

impl Resource for HaMap {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(dt: &()) -> Cow<'_, str> {
        ConfigMap::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        ConfigMap::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        ConfigMap::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        ConfigMap::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decisions_rest_on_is_read_and_the_rest_is_not() {
        let text = r#"{"metadata": {"name": "m", "resourceVersion": "7", "labels": {"app": "a"}, "annotations": {"x": "y"},
            "deletionTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{"manager": "x"}]},
            "data": {"b": "with \"escapes\"", "a": "1"}, "binaryData": null}"#;
        let map: HaMap = serde_json::from_str(text).expect("a ConfigMap");
        assert_eq!(map.meta().resource_version.as_deref(), Some("7"));
        assert_eq!(map.meta().labels.as_ref().expect("labels")["app"], "a");
        assert!(map.meta().deletion_timestamp.is_some() && map.meta().managed_fields.is_none());
        assert_eq!(map.data.expect("data").0, ["b", "a"]);
        for bare in [r#"{"metadata": {"name": "m"}}"#, r#"{"metadata": {"name": "m"}, "data": null}"#] {
            assert!(serde_json::from_str::<HaMap>(bare).expect("a ConfigMap").data.is_none());
        }
        assert!(serde_json::from_str::<HaMap>(r#"{"metadata": {}, "data": {"a": 5}}"#).is_err());
    }
}
