//! What a pass decided: an ordered plan, the status at its end, events, when to look again, and why.
//!
//! The shell publishes `events` (best effort), runs `plan` in order and stops at the first error, and, when the
//! whole plan succeeded, writes `status` if it differs from what is stored. Every action may be repeated: ids are
//! chosen here and stored before they are used.

use crate::observation::{Memo, Requirements};
use drey_api::{FlinkDeploymentStatus, SavepointFormat};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// The output of one pass.
#[derive(Clone, Debug)]
pub struct Decision {
    pub plan: Vec<Action>,
    /// The status once the plan has succeeded. Equal to the stored one in a converged pass.
    pub status: FlinkDeploymentStatus,
    pub events: Vec<Event>,
    pub next: Next,
    /// The rules that were applied, in order.
    pub trace: Vec<Step>,
    /// Handed back with the next observation by the same process.
    pub memo: Memo,
}

/// One deed. In a plan the order matters: `PersistStatus` stands before the action that needs it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write this status now; the rest of the plan must not run if that fails.
    PersistStatus(Box<FlinkDeploymentStatus>),
    /// Create whatever is missing of this cluster. Existing objects stay as they are.
    CreateCluster(Box<NewCluster>),
    /// Delete the JobManager Deployment with foreground propagation, only if it still has this uid. The HA
    /// ConfigMaps survive; deleting them is `DeleteHa`.
    DeleteCluster {
        uid: String,
    },
    /// Delete these HA ConfigMaps. Only ever planned while no JobManager is left.
    DeleteHa {
        config_maps: Vec<String>,
    },
    /// Remove these data keys (job graphs, execution plans) from HA ConfigMaps, so that a restarted JobManager
    /// takes the new job and not the stored one. By ConfigMap name.
    StripJobGraphs {
        keys: BTreeMap<String, Vec<String>>,
    },
    /// `POST /jobs/:job/stop` with a caller-chosen trigger id: repeating it is harmless.
    StopWithSavepoint {
        job: String,
        trigger: String,
        directory: Option<String>,
        format: SavepointFormat,
        drain: bool,
    },
    /// `POST /jobs/:job/savepoints` with a caller-chosen trigger id.
    TriggerSavepoint {
        job: String,
        trigger: String,
        directory: Option<String>,
        format: SavepointFormat,
    },
    /// `POST /jobs/:job/checkpoints` with a caller-chosen trigger id. `kind`: `CONFIGURED`, `FULL`, `INCREMENTAL`.
    TriggerCheckpoint {
        job: String,
        trigger: String,
        kind: String,
    },
    /// `PATCH /jobs/:job?mode=cancel`. 404 and 409 "already terminal" count as done.
    CancelJob {
        job: String,
    },
    /// `POST /savepoint-disposal`; an accepted request counts as success.
    DisposeSavepoint {
        path: String,
    },
    /// `PUT /jobs/:job/resource-requirements`: other bounds of the parallelism, all vertices of the job.
    Rescale {
        job: String,
        requirements: Requirements,
    },
    AddFinalizer,
    RemoveFinalizer,
}

/// The kind of an action, to name one that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKind {
    PersistStatus,
    CreateCluster,
    DeleteCluster,
    DeleteHa,
    StripJobGraphs,
    StopWithSavepoint,
    TriggerSavepoint,
    TriggerCheckpoint,
    CancelJob,
    DisposeSavepoint,
    Rescale,
    AddFinalizer,
    RemoveFinalizer,
}

impl Action {
    pub fn kind(&self) -> ActionKind {
        match self {
            Action::PersistStatus(_) => ActionKind::PersistStatus,
            Action::CreateCluster(_) => ActionKind::CreateCluster,
            Action::DeleteCluster { .. } => ActionKind::DeleteCluster,
            Action::DeleteHa { .. } => ActionKind::DeleteHa,
            Action::StripJobGraphs { .. } => ActionKind::StripJobGraphs,
            Action::StopWithSavepoint { .. } => ActionKind::StopWithSavepoint,
            Action::TriggerSavepoint { .. } => ActionKind::TriggerSavepoint,
            Action::TriggerCheckpoint { .. } => ActionKind::TriggerCheckpoint,
            Action::CancelJob { .. } => ActionKind::CancelJob,
            Action::DisposeSavepoint { .. } => ActionKind::DisposeSavepoint,
            Action::Rescale { .. } => ActionKind::Rescale,
            Action::AddFinalizer => ActionKind::AddFinalizer,
            Action::RemoveFinalizer => ActionKind::RemoveFinalizer,
        }
    }
}

/// The cluster to create, and where its job takes its state from.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCluster {
    /// Kubernetes objects in creation order, the Deployment first. The others are owned by the Deployment: the
    /// shell puts the uid it got into their owner references.
    pub objects: Vec<Value>,
    pub job_id: String,
    pub restore: Restore,
    /// Value of the generation annotation.
    pub generation: i64,
}

/// Where a job takes its state from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    Empty,
    /// A savepoint or a retained checkpoint.
    From(String),
    /// The HA metadata of the same job id. `guarded`: started with the dummy savepoint path, so that a
    /// JobManager that finds no metadata fails instead of starting empty.
    HaMetadata {
        guarded: bool,
    },
}

/// A core v1 Event to publish (reconciler.md 7.1, 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub reason: String,
    pub message: String,
    pub component: Component,
    /// What the event's name is hashed from besides reason and resource; `None`: the message.
    pub key: Option<String>,
    /// Do not bump an existing event of the same name.
    pub once: bool,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Normal,
    Warning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    Operator,
    JobManagerDeployment,
    Job,
    Snapshot,
}

impl Component {
    /// `source.component` and the first part of the event's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Component::Operator => "Operator",
            Component::JobManagerDeployment => "JobManagerDeployment",
            Component::Job => "Job",
            Component::Snapshot => "Snapshot",
        }
    }
}

/// When to look again. A change of any watched object always starts a pass, whatever is said here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    After(Duration, String),
    /// Nothing to do until something watched changes. The shell still looks again after its resync period.
    OnChange(String),
    /// At once, past every rate limit: the second half of something begun.
    Again(String),
}

/// One applied rule, for `drey explain`, reports and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Section of the behavioural reference, such as `4.4.3`, or a name of our own.
    pub rule: &'static str,
    pub text: String,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.rule, self.text)
    }
}
