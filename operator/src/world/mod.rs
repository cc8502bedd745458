//! What the watches have shown of the Kubernetes side. A converged pass reads everything from here.

mod feed;
mod index;
mod reduce;

use std::sync::Mutex;

use drey_api::FlinkDeployment;
use drey_reconciler::{HaConfigMap, HaFacts, JobManagerFacts, Observation, PodFacts, Seen};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use feed::{WatchNews, watches};
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

    pub(crate) fn resource(&self, key: &Key) -> Option<Entry<FlinkDeployment>> {
        self.with(|s| s.resources.get(key).cloned())
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
                if let Some((key, entry)) = read::<ConfigMap, _>(object, reduce::config_map) {
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
