//! The Kubernetes objects of a Flink cluster: create what is missing, take over what is ours, delete.

use drey_reconciler::NewCluster;
use serde_json::{Value, json};

use super::{ActError, Actor, RACES_MAX};
use crate::api::{ApiError, Place};

impl Actor<'_> {
    /// The Deployment first: it owns the rest, and its name is the lock that keeps a second JobManager away.
    pub(super) async fn create_cluster(&mut self, cluster: &NewCluster) -> Result<(), ActError> {
        let Some((deployment, rest)) = cluster.objects.split_first() else {
            return Err(ActError::Foreign("a cluster without objects cannot be created".to_owned()));
        };
        if !self.had_deployment {
            self.no_pods_left().await?;
            self.metadata_is_as_seen().await?;
        }
        let uid = self.create_deployment(deployment, cluster.generation).await?;
        for object in rest {
            self.create_owned(object, &uid).await?;
        }
        Ok(())
    }

    /// Watches of different kinds lag differently: a Deployment seen gone does not prove its pods gone. Before a
    /// JobManager is started (or the HA metadata dropped), the API server is asked once.
    pub(super) async fn no_pods_left(&mut self) -> Result<(), ActError> {
        if self.saw_no_pods {
            return Ok(());
        }
        let selector = format!(
            "labelSelector=app%3D{}%2Ccomponent%3Djobmanager%2Ctype%3Dflink-native-kubernetes",
            self.key.name
        );
        let pods = self.api.list(&self.place("v1", "pods"), &selector).await?;
        let alive =
            pods.iter().find(|p| !matches!(p["status"]["phase"].as_str(), Some("Succeeded" | "Failed")));
        match alive {
            None => {
                self.saw_no_pods = true;
                Ok(())
            }
            Some(pod) => {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                Err(ActError::Outdated(format!(
                    "JobManager pod {name} still exists, the watch had not shown it"
                )))
            }
        }
    }

    async fn create_deployment(&mut self, object: &Value, generation: i64) -> Result<String, ActError> {
        let place = self.place("apps/v1", "deployments");
        let stored = match self.api.create(&place, object).await {
            Ok(created) => created,
            Err(e) if e.is_already_exists() => {
                let existing = self.api.get(&place, &self.key.name).await?;
                self.world.assume(&existing);
                self.check_ours(&existing, generation)?;
                existing
            }
            Err(e) => return Err(e.into()),
        };
        self.world.assume(&stored);
        self.had_deployment = true;
        stored["metadata"]["uid"].as_str().map(str::to_owned).ok_or_else(|| {
            ApiError::Nonsense { call: "create the Deployment".into(), detail: "no uid in the answer".into() }
                .into()
        })
    }

    /// An existing Deployment is taken over only when this resource made it for this very generation.
    fn check_ours(&self, existing: &Value, generation: i64) -> Result<(), ActError> {
        let meta = &existing["metadata"];
        if !owned_by(existing, self.resource.uid()) {
            return Err(ActError::Foreign(format!(
                "Deployment {} exists and does not belong to this FlinkDeployment: delete or rename one of them",
                self.key
            )));
        }
        if !meta["deletionTimestamp"].is_null() {
            return Err(ActError::Outdated(format!("Deployment {} is still being deleted", self.key)));
        }
        let annotation = meta["annotations"][drey_api::constants::GENERATION_ANNOTATION].as_str();
        if annotation != Some(generation.to_string().as_str()) {
            return Err(ActError::Outdated(format!(
                "Deployment {} exists for generation {}, not {generation}",
                self.key,
                annotation.unwrap_or("unknown"),
            )));
        }
        Ok(())
    }

    /// Services and ConfigMaps. One of an earlier cluster is brought up to date rather than believed: its
    /// content decides which job the JobManager starts.
    async fn create_owned(&self, object: &Value, deployment_uid: &str) -> Result<(), ActError> {
        let mut object = object.clone();
        set_owner_uid(&mut object, deployment_uid);
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let Some(place) = Place::of(&object, &self.key.namespace) else {
            return Err(ActError::Foreign(format!("object `{name}` has no apiVersion and kind")));
        };
        for _ in 0..RACES_MAX {
            let stored = match self.api.create(&place, &object).await {
                Ok(created) => created,
                Err(e) if e.is_already_exists() => match self.api.get(&place, &name).await {
                    Ok(existing) if owned_by(&existing, deployment_uid) => existing,
                    Ok(existing) => {
                        object["metadata"]["resourceVersion"] =
                            existing["metadata"]["resourceVersion"].clone();
                        keep_cluster_ip(&existing, &mut object);
                        let replaced = self.api.replace(&place, &name, &object).await;
                        if let Some(meta) = object["metadata"].as_object_mut() {
                            meta.shift_remove("resourceVersion");
                        }
                        match replaced {
                            Ok(replaced) => replaced,
                            Err(e) if e.is_conflict() || e.is_not_found() => continue,
                            Err(e) => return Err(e.into()),
                        }
                    }
                    Err(e) if e.is_not_found() => continue,
                    Err(e) => return Err(e.into()),
                },
                Err(e) => return Err(e.into()),
            };
            self.world.assume(&stored);
            return Ok(());
        }
        Err(ActError::Outdated(format!("{name} keeps changing")))
    }

    pub(super) async fn delete_cluster(&mut self, uid: &str) -> Result<(), ActError> {
        let place = self.place("apps/v1", "deployments");
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": { "uid": uid },
        });
        match self.api.delete(&place, &self.key.name, &options).await {
            // Foreground: the object stays, marked, until its pods are gone.
            Ok(answer)
                if answer["kind"] == "Deployment" && !answer["metadata"]["deletionTimestamp"].is_null() =>
            {
                self.world.assume(&answer);
                Ok(())
            }
            Ok(_) => {
                self.world.bury_deployment(self.key, uid);
                Ok(())
            }
            Err(e) if e.is_not_found() => {
                self.world.bury_deployment(self.key, uid);
                Ok(())
            }
            Err(e) if e.is_conflict() => {
                self.world.bury_deployment(self.key, uid);
                if let Ok(other) = self.api.get(&place, &self.key.name).await {
                    self.world.assume(&other);
                }
                Err(ActError::Outdated(format!("the Deployment is another one than decided on ({e})")))
            }
            Err(e) => Err(e.into()),
        }
    }
}

fn owned_by(object: &Value, uid: &str) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
}

fn set_owner_uid(object: &mut Value, uid: &str) {
    if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
        for owner in owners.iter_mut().filter(|o| o["kind"] == "Deployment") {
            owner["uid"] = json!(uid);
        }
    }
}

/// A Service keeps its address; a replace without it is refused.
fn keep_cluster_ip(existing: &Value, object: &mut Value) {
    if existing["kind"] == "Service" {
        for field in ["clusterIP", "clusterIPs"] {
            if !existing["spec"][field].is_null() && object["spec"][field].is_null() {
                object["spec"][field] = existing["spec"][field].clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deployment_owns_what_names_one_as_owner() {
        let mut object = json!({ "metadata": { "ownerReferences": [
            { "kind": "Deployment", "name": "a", "uid": "" }, { "kind": "Other", "uid": "x" },
        ] } });
        set_owner_uid(&mut object, "u-7");
        assert!(owned_by(&object, "u-7") && owned_by(&object, "x") && !owned_by(&object, ""));
    }

    #[test]
    fn a_replaced_service_keeps_its_address() {
        let existing =
            json!({ "kind": "Service", "spec": { "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"] } });
        let mut object = json!({ "kind": "Service", "spec": { "ports": [] } });
        keep_cluster_ip(&existing, &mut object);
        assert_eq!(object["spec"]["clusterIP"], "10.0.0.1");
        let mut headless = json!({ "kind": "Service", "spec": { "clusterIP": "None" } });
        keep_cluster_ip(&existing, &mut headless);
        assert_eq!(headless["spec"]["clusterIP"], "None");
    }
}
