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
