//! HA ConfigMaps between the model and the API server.

use std::collections::BTreeMap;
use std::io;

use http::Method;
use serde_json::{Value, json};

use super::api::Api;
use crate::model::ha::{self, ConfigMap, HaState, LEADER_ANNOTATION, Lock};

/// The maps of one cluster as the model knows them and as this process last saw or wrote them.
pub struct Maps {
    pub believed: HaState,
    /// Version and content as the API server has them, as far as seen.
    live: BTreeMap<String, (String, ConfigMap)>,
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
    /// Somebody has deleted it.
    Gone,
    Failed,
}

const TRIES: usize = 3;

impl Maps {
    pub fn read(api: Api, namespace: &str, cluster: &str) -> io::Result<Maps> {
        let mut maps = Maps {
            believed: HaState::default(),
            live: BTreeMap::new(),
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
        let named = items.map(|item| {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            (name.to_owned(), (version(item), ConfigMap::of(item)))
        });
        self.live = named.collect();
        let maps = self.live.iter().map(|(name, (_, map))| (name.clone(), map.clone())).collect();
        let found = HaState { maps };
        let is_news = found != self.believed;
        self.believed = found;
        Ok(is_news)
    }

    /// What this content changes, unless somebody else has written and leads. What others have changed meanwhile stays,
    /// and is news at the next look: Flink reads, changes its own keys and writes on the condition that nobody was faster.
    pub fn write(&mut self, name: &str, wanted: &ConfigMap, is_new: bool) -> Written {
        let before = self.believed.maps.get(name).cloned().unwrap_or_default();
        for _ in 0..TRIES {
            let (map, answer) = match self.live.get(name) {
                Some((version, found)) => {
                    let map = merged(found.clone(), &before, wanted);
                    let object = self.object(name, &map, Some(version));
                    (map, self.api.call(&Method::PUT, &self.path(name), Some(&object)))
                }
                None if is_new => {
                    let object = self.object(name, wanted, None);
                    (wanted.clone(), self.api.call(&Method::POST, &self.path(""), Some(&object)))
                }
                // Seen as deleted before the model heard of it.
                None => return Written::Gone,
            };
            match answer {
                Ok(stored) => {
                    self.live.insert(name.to_owned(), (version(&stored), map));
                    self.believed.maps.insert(name.to_owned(), wanted.clone());
                    return Written::Done;
                }
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                    let Ok(live) = self.api.get(&self.path(name)) else { return Written::Failed };
                    let found = ConfigMap::of(&live);
                    if holder(&found) != holder(wanted) {
                        return Written::Foreign;
                    }
                    self.live.insert(name.to_owned(), (version(&live), found));
                }
                Err(why) if why.kind() == io::ErrorKind::NotFound => return Written::Gone,
                Err(_) => return Written::Failed,
            }
        }
        Written::Failed
    }

    pub fn delete(&mut self, name: &str) -> bool {
        self.live.remove(name);
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

/// What was changed from one content to the other, done to a third.
fn merged(mut found: ConfigMap, before: &ConfigMap, wanted: &ConfigMap) -> ConfigMap {
    let entries = |map: &mut BTreeMap<String, String>, before: &BTreeMap<_, _>, wanted: &BTreeMap<_, _>| {
        map.retain(|key, _| !before.contains_key(key) || wanted.contains_key(key));
        let changed = wanted.iter().filter(|(key, value)| before.get(*key) != Some(*value));
        map.extend(changed.map(|(key, value): (&String, &String)| (key.clone(), value.clone())));
    };
    entries(&mut found.data, &before.data, &wanted.data);
    entries(&mut found.annotations, &before.annotations, &wanted.annotations);
    entries(&mut found.labels, &before.labels, &wanted.labels);
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_changes_its_own_keys_and_leaves_what_others_did() {
        let map = |entries: &[(&str, &str)]| ConfigMap {
            data: entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..ConfigMap::default()
        };
        let check = |found: &[(&str, &str)],
                     before: &[(&str, &str)],
                     wanted: &[(&str, &str)],
                     expected: &[(&str, &str)]| {
            assert_eq!(
                merged(map(found), &map(before), &map(wanted)),
                map(expected),
                "{found:?} {before:?} {wanted:?}"
            );
        };
        let (two, three) = ([("counter", "2"), ("checkpoint", "1")], [("counter", "3"), ("checkpoint", "1")]);
        // The pointer was deleted by somebody: the counter goes on and does not bring it back.
        check(&[("counter", "2")], &two, &three, &[("counter", "3")]);
        check(&two, &two, &three, &three);
        check(
            &[("counter", "2"), ("checkpoint", "1"), ("note", "x")],
            &two,
            &[("counter", "2")],
            &[("counter", "2"), ("note", "x")],
        );
    }
}
