//! HA metadata in ConfigMaps: removed only when no JobManager is left, edited only in the version known.

use serde_json::{Value, json};

use super::{ActError, Actor, RACES_MAX};

impl Actor<'_> {
    pub(super) async fn delete_ha(&mut self, names: &[String]) -> Result<(), ActError> {
        self.no_pods_left().await?;
        let place = self.place("v1", "configmaps");
        for name in names {
            let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions" });
            match self.api.delete(&place, name, &options).await {
                Ok(answer) if !answer["metadata"]["deletionTimestamp"].is_null() => {
                    self.world.assume(&answer)
                }
                Ok(_) => self.world.bury_config_map(&self.sibling(name)),
                Err(e) if e.is_not_found() => self.world.bury_config_map(&self.sibling(name)),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// The watch of ConfigMaps may lag too. A JobManager started beside metadata nobody has seen recovers the old job
    /// from it, and a resource that leaves would leave it behind; so both ask the API server once.
    pub(super) async fn metadata_is_as_seen(&mut self) -> Result<(), ActError> {
        if self.saw_metadata {
            return Ok(());
        }
        let selector = format!(
            "labelSelector=app%3D{}%2Ctype%3Dflink-native-kubernetes%2Ccomponent%21%3Dautoscaler",
            self.key.name
        );
        let maps = self.api.list(&self.place("v1", "configmaps"), &selector).await?;
        if self.world.take_in_config_maps(self.key, maps) {
            return Err(ActError::Outdated("there is HA metadata the watch had not shown".to_owned()));
        }
        self.saw_metadata = true;
        Ok(())
    }

    /// Only the keys named, only in the version known: a JobManager that writes at the same time is noticed.
    pub(super) async fn strip(&self, name: &str, keys: &[String]) -> Result<(), ActError> {
        let place = self.place("v1", "configmaps");
        let mut version = self.world.config_map_version(&self.sibling(name));
        for _ in 0..RACES_MAX {
            let data: serde_json::Map<String, Value> =
                keys.iter().map(|key| (key.clone(), Value::Null)).collect();
            let mut patch = json!({ "data": data });
            if let Some(version) = &version {
                patch["metadata"] = json!({ "resourceVersion": version });
            }
            match self.api.merge(&place, name, &patch).await {
                Ok(written) => {
                    self.world.assume(&written);
                    return Ok(());
                }
                Err(e) if e.is_not_found() => {
                    self.world.bury_config_map(&self.sibling(name));
                    return Ok(());
                }
                Err(e) if e.is_conflict() => match self.api.get(&place, name).await {
                    Ok(live) => {
                        self.world.assume(&live);
                        if keys.iter().all(|key| live["data"].get(key).is_none()) {
                            return Ok(());
                        }
                        version = live["metadata"]["resourceVersion"].as_str().map(str::to_owned);
                    }
                    Err(e) if e.is_not_found() => {
                        self.world.bury_config_map(&self.sibling(name));
                        return Ok(());
                    }
                    Err(e) => return Err(e.into()),
                },
                Err(e) => return Err(e.into()),
            }
        }
        Err(ActError::Outdated(format!("ConfigMap {name} keeps changing: somebody still writes HA metadata")))
    }
}
