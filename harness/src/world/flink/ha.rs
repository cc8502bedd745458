//! HA metadata between the model and ConfigMaps in the API server.

use std::collections::BTreeMap;

use fake_flink::model::ha::is_ha;
use fake_flink::{ConfigMap, HaState};
use fake_kube_apiserver::{LocalClient, Resource, Status};
use serde_json::{Map, Value, json};

fn config_maps() -> Resource {
    Resource::core("configmaps")
}

/// The HA ConfigMaps of a cluster as they are now. Those that are being deleted count as gone.
pub fn read(api: &LocalClient, namespace: &str, cluster: &str) -> HaState {
    let selector = format!("app={cluster},type=flink-native-kubernetes");
    let items = api.list(&config_maps(), namespace, &selector).unwrap_or_default();
    let maps = items.iter().filter(|item| is_ha(item)).map(|item| {
        let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        (name, ConfigMap::of(item))
    });
    HaState { maps: maps.collect() }
}

/// Creates or replaces a map with exactly this content.
pub fn write(api: &LocalClient, namespace: &str, name: &str, map: &ConfigMap) -> Result<(), Status> {
    // Put together by hand: `json!` copies what is a tree already, and this is the most frequent write of all.
    let object = |version: Option<&Value>| {
        let mut metadata = members([
            ("name", name.into()),
            ("namespace", namespace.into()),
            ("labels", object_of(&map.labels)),
            ("annotations", object_of(&map.annotations)),
        ]);
        if let Some(version) = version {
            metadata.insert("resourceVersion".to_owned(), version.clone());
        }
        Value::Object(members([
            ("apiVersion", "v1".into()),
            ("kind", "ConfigMap".into()),
            ("metadata", Value::Object(metadata)),
            ("data", object_of(&map.data)),
        ]))
    };
    match api.get(&config_maps(), namespace, name) {
        Ok(found) => {
            let version = &found["metadata"]["resourceVersion"];
            api.update(&config_maps(), namespace, object(Some(version))).map(drop)
        }
        Err(status) if status.code == 404 => api.create(&config_maps(), namespace, object(None)).map(drop),
        Err(status) => Err(status),
    }
}

pub fn delete(api: &LocalClient, namespace: &str, name: &str) -> Result<(), Status> {
    match api.delete(&config_maps(), namespace, name, &json!({})) {
        Err(status) if status.code != 404 => Err(status),
        _ => Ok(()),
    }
}

fn object_of(texts: &BTreeMap<String, String>) -> Value {
    Value::Object(texts.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect())
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
