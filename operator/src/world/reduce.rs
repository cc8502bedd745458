//! Kubernetes objects to the facts decisions need. Everything else of an object is dropped where it arrives,
//! so memory grows with what matters.

use drey_api::FlinkDeployment;
use drey_reconciler::{ConditionFacts, ContainerFacts, HaConfigMap, JobManagerFacts, PodFacts, Waiting};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;

use super::ha_map::HaMap;
use super::index::{Entry, Reduced};
use crate::queue::Key;

/// Native clusters carry it on everything (kubernetes-objects.md 1.1).
const OWNER_LABEL: &str = "app";
const GENERATION_ANNOTATION: &str = drey_api::constants::GENERATION_ANNOTATION;

/// The custom resource itself; without `managedFields`, which nobody reads.
pub(crate) fn resource(mut object: FlinkDeployment) -> Option<Reduced<FlinkDeployment>> {
    object.metadata.managed_fields = None;
    let owner = object.metadata.name.clone()?;
    entry(&object.metadata.clone(), owner, object)
}

/// The JobManager Deployment, and the uid of the FlinkDeployment it says it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobManager {
    pub facts: JobManagerFacts,
    pub resource_uid: Option<String>,
}

pub(crate) fn job_manager(object: Deployment) -> Option<Reduced<JobManager>> {
    let meta = object.meta();
    let owners = meta.owner_references.iter().flatten();
    let resource_uid = owners.filter(|o| o.kind == FlinkDeployment::KIND).map(|o| o.uid.clone()).next();
    let status = object.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let facts = JobManagerFacts {
        uid: meta.uid.clone()?,
        generation: meta.annotations.as_ref().and_then(|a| a.get(GENERATION_ANNOTATION)?.parse().ok()),
        created: time(meta.creation_timestamp.as_ref()).unwrap_or(Timestamp::UNIX_EPOCH),
        own_generation: meta.generation,
        deleting: meta.deletion_timestamp.is_some(),
        wanted_replicas: object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        replicas: status.replicas.unwrap_or(0),
        available_replicas: status.available_replicas.unwrap_or(0),
        conditions: conditions
            .into_iter()
            .map(|c| ConditionFacts {
                kind: c.type_,
                status: c.status,
                reason: c.reason,
                message: c.message,
                last_transition: time(c.last_transition_time.as_ref()),
            })
            .collect(),
        // Filled in when an observation is put together.
        has_rest_service: false,
        has_config_map: false,
    };
    entry(meta, owner_of(meta)?, JobManager { facts, resource_uid })
}

/// Pods that ended are nobody's JobManager any more, but stay in the index: they are objects that exist.
pub(crate) fn pod(object: Pod) -> Option<Reduced<Option<PodFacts>>> {
    let meta = object.meta();
    let status = object.status.clone().unwrap_or_default();
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let containers = status.init_container_statuses.into_iter().flatten();
    let containers = containers.chain(status.container_statuses.into_iter().flatten());
    let facts = PodFacts {
        name: meta.name.clone()?,
        deleting: meta.deletion_timestamp.is_some(),
        conditions: status
            .conditions
            .unwrap_or_default()
            .into_iter()
            .map(|c| ConditionFacts {
                kind: c.type_,
                status: c.status,
                reason: c.reason,
                message: c.message,
                last_transition: time(c.last_transition_time.as_ref()),
            })
            .collect(),
        containers: containers.map(container).collect(),
    };
    entry(meta, owner_of(meta)?, (!ended).then_some(facts))
}

fn container(status: ContainerStatus) -> ContainerFacts {
    let waiting = status.state.and_then(|s| s.waiting).and_then(|w| {
        let message = w.message;
        w.reason.map(|reason| Waiting { reason, message })
    });
    let last_terminated_message = status.last_state.and_then(|s| s.terminated).and_then(|t| t.message);
    ContainerFacts { name: status.name, waiting, last_terminated_message }
}

pub(crate) fn config_map(object: HaMap) -> Option<Reduced<HaConfigMap>> {
    let meta = object.meta();
    let facts = HaConfigMap {
        name: meta.name.clone()?,
        deleting: meta.deletion_timestamp.is_some(),
        keys: object.data.iter().flat_map(|data| &data.0).cloned().collect(),
    };
    entry(meta, owner_of(meta)?, facts)
}

pub(crate) fn service(object: Service) -> Option<Reduced<()>> {
    let meta = object.meta();
    entry(meta, owner_of(meta)?, ())
}

/// A new checkpoint pointer, one more of the same, is no reason to look; the first or a job graph is.
pub(crate) fn ha_differs(old: &Entry<HaConfigMap>, new: &Entry<HaConfigMap>) -> bool {
    let digest = |map: &HaConfigMap| {
        let mut kinds: Vec<String> = map
            .keys
            .iter()
            .map(|k| k.split_once('-').map_or(k.as_str(), |(kind, _)| kind).to_owned())
            .collect();
        kinds.sort();
        kinds.dedup();
        (map.deleting, kinds)
    };
    digest(&old.value) != digest(&new.value)
}

/// Status and metadata of the resource change by our own hand; its generation and deletion do not.
pub(crate) fn resource_differs(old: &Entry<FlinkDeployment>, new: &Entry<FlinkDeployment>) -> bool {
    let digest = |r: &FlinkDeployment| (r.metadata.generation, r.metadata.deletion_timestamp.is_some());
    digest(&old.value) != digest(&new.value)
}

pub(crate) fn value_differs<T: PartialEq>(old: &Entry<T>, new: &Entry<T>) -> bool {
    old.value != new.value
}

fn owner_of(meta: &ObjectMeta) -> Option<String> {
    meta.labels.as_ref()?.get(OWNER_LABEL).cloned()
}

fn entry<T>(meta: &ObjectMeta, owner: String, value: T) -> Option<Reduced<T>> {
    let key = Key::new(meta.namespace.clone()?, meta.name.clone()?);
    let entry = Entry {
        uid: meta.uid.clone()?,
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        owner,
        value,
    };
    Some((key, entry))
}

fn time(t: Option<&Time>) -> Option<Timestamp> {
    t.map(|t| t.0)
}
