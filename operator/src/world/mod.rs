//! What the watches have shown of the Kubernetes side. A converged pass reads everything from here.

mod feed;
mod ha_map;
mod index;
mod lenient;
mod reduce;

use std::sync::Mutex;

use drey_api::FlinkDeployment;
use drey_reconciler::{HaConfigMap, HaFacts, JobManagerFacts, Observation, PodFacts, Seen};
use k8s_openapi::api::apps::v1::Deployment;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use feed::{WatchNews, watches};
use ha_map::HaMap;
pub(crate) use index::Entry;
use index::{Index, Reduced};

use crate::queue::Key;

#[derive(Default)]
struct State {
    resources: Index<FlinkDeployment>,
    deployments: Index<reduce::JobManager>,
    pods: Index<Option<PodFacts>>,
    config_maps: Index<HaConfigMap>,
    services: Index<()>,
}

/// The indices behind one lock, which is held for lookups only.
#[derive(Default)]
pub(crate) struct World {
    state: Mutex<State>,
}

impl World {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().expect("nothing panics while holding the world"))
    }

    /// True once every kind has been listed for this namespace: before that, "absent" means nothing.
    pub(crate) fn is_synced(&self, namespace: &str) -> bool {
        self.with(|s| {
            s.resources.is_synced(namespace)
                && s.deployments.is_synced(namespace)
                && s.pods.is_synced(namespace)
                && s.config_maps.is_synced(namespace)
                && s.services.is_synced(namespace)
        })
    }

    /// Whether the resource exists.
    pub(crate) fn has_resource(&self, key: &Key) -> bool {
        self.with(|s| s.resources.get(key).is_some())
    }

    /// What `look` sees of the resource; it must not come back to the world.
    pub(crate) fn look<R>(&self, key: &Key, look: impl FnOnce(&Entry<FlinkDeployment>) -> R) -> Option<R> {
        self.with(|s| s.resources.get(key).map(look))
    }

    /// The resources of a watch scope, in order.
    pub(crate) fn keys(&self, scope: &str) -> Vec<Key> {
        self.with(|s| {
            s.resources.keys().filter(|k| scope.is_empty() || k.namespace == scope).cloned().collect()
        })
    }

    /// The resource and everything that belongs to it, at one moment.
    pub(crate) fn observe(&self, key: &Key) -> Option<(Observation, String)> {
        self.with(|s| {
            let resource = s.resources.get(key)?.clone();
            let mut observation = Observation::of(resource.value);
            observation.job_manager = match s.deployments.get(key) {
                None => Seen::Absent,
                Some(deployment) => Seen::Known(JobManagerFacts {
                    has_rest_service: s.services.get(&rest_service(key)).is_some(),
                    has_config_map: s.config_maps.get(&flink_config(key)).is_some_and(|m| !m.value.deleting),
                    // One that belongs to a deleted resource of the same name is about to be collected.
                    deleting: deployment.value.facts.deleting
                        || deployment.value.resource_uid.as_deref().is_some_and(|uid| uid != resource.uid),
                    ..deployment.value.facts.clone()
                }),
            };
            let pods: Vec<PodFacts> = s.pods.of_owner(key).filter_map(|(_, e)| e.value.clone()).collect();
            observation.pods = Seen::Known(pods);
            let maps: Vec<HaConfigMap> = s.config_maps.of_owner(key).map(|(_, e)| e.value.clone()).collect();
            observation.ha =
                if maps.is_empty() { Seen::Absent } else { Seen::Known(HaFacts { config_maps: maps }) };
            Some((observation, resource.resource_version))
        })
    }

    /// The version of a ConfigMap that decisions were made on.
    pub(crate) fn config_map_version(&self, key: &Key) -> Option<String> {
        self.with(|s| s.config_maps.get(key).map(|e| e.resource_version.clone()))
    }

    /// The answer to a write of our own, whatever kind of object it is. Kinds that are not watched are ignored.
    pub(crate) fn assume(&self, object: &Value) {
        match object["kind"].as_str() {
            Some("FlinkDeployment") => {
                if let Some((key, entry)) = read(object, reduce::resource) {
                    self.with(|s| s.resources.assume(key, entry));
                }
            }
            Some("Deployment") => {
                if let Some((key, entry)) = read::<Deployment, _>(object, reduce::job_manager) {
                    self.with(|s| s.deployments.assume(key, entry));
                }
            }
            Some("ConfigMap") => {
                if let Some((key, entry)) = read::<HaMap, _>(object, reduce::config_map) {
                    self.with(|s| s.config_maps.assume(key, entry));
                }
            }
            Some("Service") => {
                if let Some((key, entry)) = read(object, reduce::service) {
                    self.with(|s| s.services.assume(key, entry));
                }
            }
            Some(_) | None => {}
        }
    }

    pub(crate) fn bury_resource(&self, key: &Key, uid: &str) {
        self.with(|s| s.resources.bury(key, uid));
    }

    pub(crate) fn bury_deployment(&self, key: &Key, uid: &str) {
        self.with(|s| s.deployments.bury(key, uid));
    }

    /// Takes in a list of all ConfigMaps of a cluster, newer than what the watch has shown. Answers whether it tells
    /// anything that decisions rest on: a map more, a map less, another kind of content.
    pub(crate) fn take_in_config_maps(&self, cluster: &Key, items: Vec<Value>) -> bool {
        let listed: Vec<Reduced<HaConfigMap>> =
            items.iter().filter_map(|item| read(item, reduce::config_map)).collect();
        self.with(|s| {
            let known: Vec<(Key, String)> = s
                .config_maps
                .of_owner(cluster)
                .map(|(name, e)| (Key::new(cluster.namespace.as_str(), name), e.uid.clone()))
                .collect();
            let mut is_news = false;
            for (key, uid) in known.iter().filter(|(key, _)| !listed.iter().any(|(other, _)| other == key)) {
                s.config_maps.bury(key, uid);
                is_news = true;
            }
            for (key, entry) in listed {
                is_news |= s.config_maps.get(&key).is_none_or(|old| reduce::ha_differs(old, &entry));
                s.config_maps.assume(key, entry);
            }
            is_news
        })
    }

    /// A delete of ours found a ConfigMap gone, or took it away.
    pub(crate) fn bury_config_map(&self, key: &Key) {
        self.with(|s| {
            if let Some(uid) = s.config_maps.get(key).map(|e| e.uid.clone()) {
                s.config_maps.bury(key, &uid);
            }
        });
    }
}

fn read<K: DeserializeOwned, T>(object: &Value, reduce: fn(K) -> Option<Reduced<T>>) -> Option<Reduced<T>> {
    K::deserialize(object).ok().and_then(reduce)
}

fn rest_service(key: &Key) -> Key {
    Key::new(key.namespace.as_str(), drey_api::constants::rest_service_name(&key.name))
}

fn flink_config(key: &Key) -> Key {
    Key::new(key.namespace.as_str(), format!("flink-config-{}", key.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(name: &str, version: &str, keys: &[&str]) -> Value {
        let data: serde_json::Map<String, Value> =
            keys.iter().map(|key| ((*key).to_owned(), "x".into())).collect();
        serde_json::json!({
            "metadata": {
                "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": version,
                "labels": {"app": "app", "type": "flink-native-kubernetes"},
            },
            "data": data,
        })
    }

    /// Lists after lists: which of them tell something new.
    fn check(rows: &[(Vec<Value>, bool)]) {
        let (world, key) = (World::default(), Key::new("ns", "app"));
        for (i, (list, is_news)) in rows.iter().enumerate() {
            assert_eq!(world.take_in_config_maps(&key, list.clone()), *is_news, "list {i}");
        }
    }

    #[test]
    fn a_list_of_config_maps_is_news_when_decisions_rest_on_the_difference() {
        let cluster = |version| map("app-cluster-config-map", version, &["jobGraph-1"]);
        check(&[
            (vec![], false),
            (vec![cluster("3")], true),
            (vec![cluster("3")], false),
            (vec![cluster("4")], false),
            (vec![map("app-cluster-config-map", "5", &[])], true),
            (
                vec![
                    map("app-cluster-config-map", "5", &[]),
                    map("app-1-config-map", "6", &["checkpointID-1"]),
                ],
                true,
            ),
            (
                vec![
                    map("app-cluster-config-map", "5", &[]),
                    map("app-1-config-map", "7", &["checkpointID-2"]),
                ],
                false,
            ),
            (vec![], true),
            (vec![], false),
        ]);
    }
}
