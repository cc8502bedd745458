//! Carries out one action of a plan. Every action may be repeated: "already so" is success, and whether it is
//! already so is judged by ownership and uid, not by name alone.

use drey_api::{FlinkDeployment, FlinkDeploymentStatus};
use drey_reconciler::{Action, ActionError, NewCluster};
use serde_json::{Value, json};

use crate::answer::{why_api, why_flink};
use crate::api::{Api, ApiError, Place};
use crate::flink::wire::{CheckpointRequest, SavepointRequest, StopRequest};
use crate::flink::{FlinkClient, FlinkError};
use crate::queue::Key;
use crate::world::World;

/// Attempts at a write that another writer keeps getting in front of.
const RACES_MAX: u8 = 4;

/// Why a plan stopped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ActError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Flink(#[from] FlinkError),
    /// The decision was made on an older picture than the one that is stored: decide again.
    #[error("{0}")]
    Outdated(String),
    /// The object is there but not ours, or cannot be what was planned.
    #[error("{0}")]
    Foreign(String),
}

impl ActError {
    /// What the reconciler is told of it; `None` when there is nothing to tell, only to decide again.
    pub(crate) fn for_decision(&self) -> Option<ActionError> {
        match self {
            ActError::Api(ApiError::Status { code, reason, message, .. }) => {
                Some(ActionError::Kube { code: *code, reason: reason.clone(), message: message.clone() })
            }
            ActError::Api(ApiError::Fenced { .. }) | ActError::Outdated(_) => None,
            ActError::Api(e @ (ApiError::Unanswered { .. } | ApiError::Nonsense { .. })) => {
                Some(ActionError::Unreachable { why: why_api(e) })
            }
            ActError::Flink(FlinkError::Refused { code, .. }) => {
                let ActError::Flink(e) = self else { return None };
                Some(ActionError::Flink { code: *code, message: e.message() })
            }
            ActError::Flink(e) => Some(ActionError::Unreachable { why: why_flink(e) }),
            // Not 409, which says that looking again helps.
            ActError::Foreign(message) => Some(ActionError::Kube {
                code: 422,
                reason: "AlreadyExists".to_owned(),
                message: message.clone(),
            }),
        }
    }
}

/// One resource, while a plan about it is carried out.
pub(crate) struct Actor<'a> {
    pub key: &'a Key,
    pub resource: &'a FlinkDeployment,
    pub api: &'a Api,
    pub flink: &'a FlinkClient,
    /// The same JobManager with the time allowance of a cancel.
    pub flink_cancel: &'a FlinkClient,
    pub world: &'a World,
    /// The version of the resource that decisions rest on; moved only by our own writes, so that anybody
    /// else's write is noticed as a conflict.
    pub version: String,
    /// What the stored status is, to leave out writes that change nothing.
    pub stored: Value,
    /// Whether the Deployment was there when the plan was made.
    pub had_deployment: bool,
    /// A fresh look at the pods was already taken in this plan.
    pub saw_no_pods: bool,
    /// The resource was taken away by this plan; it has no status any more.
    pub is_gone: bool,
}

impl Actor<'_> {
    pub(crate) async fn act(&mut self, action: &Action) -> Result<(), ActError> {
        match action {
            Action::PersistStatus(status) => self.persist(status).await,
            Action::CreateCluster(cluster) => self.create_cluster(cluster).await,
            Action::DeleteCluster { uid } => self.delete_cluster(uid).await,
            Action::DeleteHa { config_maps } => self.delete_ha(config_maps).await,
            Action::StripJobGraphs { keys } => {
                for (name, keys) in keys {
                    self.strip(name, keys).await?;
                }
                Ok(())
            }
            Action::StopWithSavepoint { job, trigger, directory, format, drain } => {
                let request = StopRequest {
                    target_directory: directory.clone(),
                    drain: *drain,
                    format_type: Some(format.as_str().to_owned()),
                    trigger_id: Some(trigger.clone()),
                };
                self.fenced(self.flink)?.stop_with_savepoint(job, &request).await?;
                Ok(())
            }
            Action::TriggerSavepoint { job, trigger, directory, format } => {
                let request = SavepointRequest {
                    target_directory: directory.clone(),
                    cancel_job: false,
                    format_type: Some(format.as_str().to_owned()),
                    trigger_id: Some(trigger.clone()),
                };
                self.fenced(self.flink)?.trigger_savepoint(job, &request).await?;
                Ok(())
            }
            Action::TriggerCheckpoint { job, trigger, kind } => {
                let request = CheckpointRequest {
                    checkpoint_type: Some(kind.clone()),
                    trigger_id: Some(trigger.clone()),
                };
                self.fenced(self.flink)?.trigger_checkpoint(job, &request).await?;
                Ok(())
            }
            Action::CancelJob { job } => match self.fenced(self.flink_cancel)?.cancel(job).await {
                Ok(()) => Ok(()),
                Err(e) if e.is_already_terminal() || e.is_job_missing() => Ok(()),
                Err(e) => Err(e.into()),
            },
            Action::DisposeSavepoint { path } => {
                self.fenced(self.flink)?.dispose_savepoint(path).await?;
                Ok(())
            }
            Action::AddFinalizer => self.finalizer(true).await,
            Action::RemoveFinalizer => self.finalizer(false).await,
        }
    }

    /// One PUT with the version decided on. A conflict means somebody else wrote: the answer is a new decision,
    /// never a second PUT over it.
    pub(crate) async fn persist(&mut self, status: &FlinkDeploymentStatus) -> Result<(), ActError> {
        let wanted = serde_json::to_value(status)
            .map_err(|e| ApiError::Nonsense { call: "write the status".to_owned(), detail: e.to_string() })?;
        if wanted == self.stored {
            return Ok(());
        }
        let body = json!({
            "apiVersion": self.resource.api_version,
            "kind": FlinkDeployment::KIND,
            "metadata": {
                "name": self.key.name,
                "namespace": self.key.namespace,
                "uid": self.resource.uid(),
                "resourceVersion": self.version,
            },
            "status": wanted,
        });
        match self.api.replace_status(&self.resources(), &self.key.name, &body).await {
            Ok(written) => {
                self.adopt(&written);
                self.stored = wanted;
                Ok(())
            }
            Err(e) if e.is_conflict() || e.is_not_found() => {
                self.look_again().await?;
                Err(ActError::Outdated(format!("the resource changed meanwhile ({e})")))
            }
            // The reply was lost, the write perhaps not: the server knows.
            Err(e @ ApiError::Unanswered { .. }) => {
                let live = self.look_again().await?;
                let is_ours = live.as_ref().is_some_and(|l| same_status(&l["status"], &wanted));
                match live {
                    Some(live) if is_ours => {
                        self.adopt(&live);
                        self.stored = wanted;
                        Ok(())
                    }
                    Some(_) | None => Err(e.into()),
                }
            }
            Err(e) => Err(e.into()),
        }
    }

    fn resources(&self) -> Place {
        self.place(drey_api::constants::API_VERSION, FlinkDeployment::PLURAL)
    }

    fn place(&self, api_version: &str, plural: &str) -> Place {
        Place::new(api_version, plural, &self.key.namespace)
    }

    /// The JobManager, for a call that changes something and must be over before the lease may be another's.
    fn fenced(&self, flink: &FlinkClient) -> Result<FlinkClient, ActError> {
        let call = || format!("call of Flink at {}", flink.target());
        let allowance = self.api.write_allowance(flink.timeout());
        Ok(flink.with_timeout(allowance.ok_or_else(|| ApiError::Fenced { call: call() })?))
    }

    fn adopt(&mut self, written: &Value) {
        self.world.assume(written);
        if let Some(version) = written["metadata"]["resourceVersion"].as_str() {
            version.clone_into(&mut self.version);
        }
    }

    /// Reads the resource past the watch, so that the next pass has the newest picture.
    async fn look_again(&self) -> Result<Option<Value>, ApiError> {
        match self.api.get(&self.resources(), &self.key.name).await {
            Ok(live) if live["metadata"]["uid"] == self.resource.uid() => {
                self.world.assume(&live);
                Ok(Some(live))
            }
            Ok(live) => {
                self.world.bury_resource(self.key, self.resource.uid());
                self.world.assume(&live);
                Ok(None)
            }
            Err(e) if e.is_not_found() => {
                self.world.bury_resource(self.key, self.resource.uid());
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    async fn finalizer(&mut self, wanted: bool) -> Result<(), ActError> {
        let ours = drey_api::constants::FLINK_DEPLOYMENT_FINALIZER;
        let mut finalizers = self.resource.metadata.finalizers.clone().unwrap_or_default();
        for _ in 0..RACES_MAX {
            if finalizers.iter().any(|f| f == ours) == wanted {
                return Ok(());
            }
            finalizers.retain(|f| f != ours);
            if wanted {
                finalizers.push(ours.to_owned());
            }
            let patch = json!({ "metadata": {
                "uid": self.resource.uid(),
                "resourceVersion": self.version,
                "finalizers": finalizers,
            } });
            match self.api.merge(&self.resources(), &self.key.name, &patch).await {
                Ok(written) => {
                    self.adopt(&written);
                    if !wanted && finalizers.is_empty() {
                        self.bury();
                    }
                    return Ok(());
                }
                Err(e) if e.is_not_found() && !wanted => {
                    self.bury();
                    return Ok(());
                }
                // Adding must precede everything else and rests on what was decided; removing is the end of it.
                Err(e) if e.is_conflict() && !wanted => {
                    let Some(live) = self.look_again().await? else {
                        self.is_gone = true;
                        return Ok(());
                    };
                    self.adopt(&live);
                    finalizers = strings(&live["metadata"]["finalizers"]);
                }
                Err(e) if e.is_conflict() => {
                    self.look_again().await?;
                    return Err(ActError::Outdated(format!("the resource changed meanwhile ({e})")));
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(ActError::Outdated("the resource keeps changing".to_owned()))
    }

    fn bury(&mut self) {
        self.world.bury_resource(self.key, self.resource.uid());
        self.is_gone = true;
    }

    /// The Deployment first: it owns the rest, and its name is the lock that keeps a second JobManager away.
    async fn create_cluster(&mut self, cluster: &NewCluster) -> Result<(), ActError> {
        let Some((deployment, rest)) = cluster.objects.split_first() else {
            return Err(ActError::Foreign("a cluster without objects cannot be created".to_owned()));
        };
        if !self.had_deployment {
            self.no_pods_left().await?;
        }
        let uid = self.create_deployment(deployment, cluster.generation).await?;
        for object in rest {
            self.create_owned(object, &uid).await?;
        }
        Ok(())
    }

    /// Watches of different kinds lag differently: a Deployment seen gone does not prove its pods gone. Before a
    /// JobManager is started (or the HA metadata dropped), the API server is asked once.
    async fn no_pods_left(&mut self) -> Result<(), ActError> {
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

    async fn delete_cluster(&mut self, uid: &str) -> Result<(), ActError> {
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

    async fn delete_ha(&mut self, names: &[String]) -> Result<(), ActError> {
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
    async fn strip(&self, name: &str, keys: &[String]) -> Result<(), ActError> {
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

    fn sibling(&self, name: &str) -> Key {
        Key::new(self.key.namespace.as_str(), name)
    }
}

/// Stored and wanted status are the same once both went through our types.
fn same_status(stored: &Value, wanted: &Value) -> bool {
    if stored == wanted {
        return true;
    }
    let read: Option<FlinkDeploymentStatus> = serde::Deserialize::deserialize(stored).ok();
    read.and_then(|s| serde_json::to_value(s).ok()).is_some_and(|s| s == *wanted)
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

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
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
