//! HA ConfigMaps between the model and the API server.

use std::collections::BTreeMap;
use std::io;

use http::Method;
use serde_json::{Value, json};

use super::api::Api;
use crate::model::ha::{self, ConfigMap, HaState, LEADER_ANNOTATION, Lock};

/// The maps of one cluster as this process last saw or wrote them, each with its version.
pub struct Maps {
    pub believed: HaState,
    versions: BTreeMap<String, String>,
    api: Api,
    namespace: String,
    cluster: String,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    Done,
    /// Somebody else holds the lock by now.
    Foreign,
    Failed,
}

const TRIES: usize = 3;

impl Maps {
    pub fn read(api: Api, namespace: &str, cluster: &str) -> io::Result<Maps> {
        let mut maps = Maps {
            believed: HaState::default(),
            versions: BTreeMap::new(),
            api,
            namespace: namespace.to_owned(),
            cluster: cluster.to_owned(),
        };
        maps.refresh()?;
        Ok(maps)
    }

    fn path(&self, name: &str) -> String {
        format!(
            "/api/v1/namespaces/{}/configmaps{}{name}",
            self.namespace,
            if name.is_empty() { "" } else { "/" }
        )
    }

    /// Looks again; true when something is not as believed.
    pub fn refresh(&mut self) -> io::Result<bool> {
        // The labels are the same in every form: a standalone cluster writes them, too (kubernetes-objects.md 1.6).
        let selector = format!("?labelSelector=app%3D{}%2Ctype%3Dflink-native-kubernetes", self.cluster);
        let list = self.api.get(&format!("{}{selector}", self.path("")))?;
        let items = list["items"].as_array().into_iter().flatten().filter(|item| ha::is_ha(item));
        let (mut maps, mut versions) = (BTreeMap::new(), BTreeMap::new());
        for item in items {
            let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            versions.insert(name.clone(), version(item));
            maps.insert(name, ConfigMap::of(item));
        }
        self.versions = versions;
        let found = HaState { maps };
        let is_news = found != self.believed;
        self.believed = found;
        Ok(is_news)
    }

    /// Exactly this content, unless somebody else has written and leads.
    pub fn write(&mut self, name: &str, map: &ConfigMap) -> Written {
        for _ in 0..TRIES {
            let known = self.versions.get(name).cloned();
            let object = self.object(name, map, known.as_deref());
            let answer = match known {
                Some(_) => self.api.call(&Method::PUT, &self.path(name), Some(&object)),
                None => self.api.call(&Method::POST, &self.path(""), Some(&object)),
            };
            match answer {
                Ok(stored) => {
                    self.versions.insert(name.to_owned(), version(&stored));
                    self.believed.maps.insert(name.to_owned(), map.clone());
                    return Written::Done;
                }
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                    let Ok(live) = self.api.get(&self.path(name)) else { return Written::Failed };
                    if holder(&ConfigMap::of(&live)) != holder(map) {
                        return Written::Foreign;
                    }
                    self.versions.insert(name.to_owned(), version(&live));
                }
                // Somebody has deleted it: the model decides whether it is made anew.
                Err(_) => return Written::Failed,
            }
        }
        Written::Failed
    }

    pub fn delete(&mut self, name: &str) -> bool {
        self.versions.remove(name);
        self.believed.maps.remove(name);
        let answer = self.api.call(&Method::DELETE, &self.path(name), None);
        answer.is_ok_and(|_| true)
            || self.api.get(&self.path(name)).is_err_and(|why| why.kind() == io::ErrorKind::NotFound)
    }

    fn object(&self, name: &str, map: &ConfigMap, version: Option<&str>) -> Value {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self.namespace, "labels": map.labels, "annotations": map.annotations},
            "data": map.data});
        if let Some(version) = version {
            object["metadata"]["resourceVersion"] = json!(version);
        }
        object
    }
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

fn holder(map: &ConfigMap) -> Option<String> {
    Some(Lock::read(map.annotations.get(LEADER_ANNOTATION)?)?.0)
}

/// Where the leader's resource manager is, as TaskManagers look it up: host and port.
///
/// # Errors
/// The API server does not answer, or nobody leads.
pub fn leader_address(api: &Api, namespace: &str, cluster: &str) -> io::Result<String> {
    let map = api.get(&format!("/api/v1/namespaces/{namespace}/configmaps/{}", ha::cluster_map(cluster)))?;
    let text = map["data"][ha::component_key("resourcemanager")].as_str().unwrap_or_default();
    // `<session>,pekko.tcp://flink@10.1.2.3:6123/user/rpc/resourcemanager_0`
    let address = text.split_once('@').and_then(|(_, rest)| rest.split('/').next());
    address.map(str::to_owned).ok_or_else(|| io::Error::other("nobody leads"))
}
