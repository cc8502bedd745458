//! Carries out one action of a plan. Every action may be repeated: "already so" is success, and whether it is
//! already so is judged by ownership and uid, not by name alone.

mod cluster;
mod ha;
mod resource;

use drey_api::{FlinkDeployment, FlinkDeploymentStatus};
use drey_reconciler::{Action, ActionError, Parallelism};
use serde_json::Value;

use crate::answer::{why_api, why_flink};
use crate::api::{Api, ApiError, Place};
use crate::flink::wire::{Bounds, CheckpointRequest, SavepointRequest, StopRequest, VertexRequirements};
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
    /// The plan breaks a rule that no plan may break: a defect of the operator, and nothing was done.
    #[error("refused to carry out a plan: {0}; please report this")]
    Forbidden(String),
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
            ActError::Flink(e) => Some(match e.code() {
                Some(code) if e.is_about_the_request() => ActionError::Flink { code, message: e.message() },
                Some(_) | None => ActionError::Unreachable { why: why_flink(e) },
            }),
            ActError::Forbidden(_) => Some(ActionError::Kube {
                code: 500,
                reason: "PlanRefused".to_owned(),
                message: self.to_string(),
            }),
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
    pub stored: Option<FlinkDeploymentStatus>,
    /// Whether the Deployment was there when the plan was made.
    pub had_deployment: bool,
    /// A fresh look at the pods was already taken in this plan.
    pub saw_no_pods: bool,
    /// And at the HA metadata.
    pub saw_metadata: bool,
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
            Action::Rescale { job, requirements } => {
                let bounds = |(vertex, p): (&String, &Parallelism)| {
                    let parallelism = Bounds { lower_bound: p.lower, upper_bound: p.upper };
                    (vertex.clone(), VertexRequirements { parallelism })
                };
                let bounds = requirements.iter().map(bounds).collect();
                self.fenced(self.flink)?.set_resource_requirements(job, &bounds).await?;
                Ok(())
            }
            Action::AddFinalizer => self.finalizer(true).await,
            Action::RemoveFinalizer => {
                self.metadata_is_as_seen().await?;
                self.finalizer(false).await
            }
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

    fn bury(&mut self) {
        self.world.bury_resource(self.key, self.resource.uid());
        self.is_gone = true;
    }

    fn sibling(&self, name: &str) -> Key {
        Key::new(self.key.namespace.as_str(), name)
    }
}
