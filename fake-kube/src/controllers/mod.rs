//! The workload controllers as pure steps: `sync(view, key, now) -> Step`, one key at a time, level-triggered.
//! Each file is one controller; `wakes` tells which keys a change concerns. Rules from kube-api.md 2.7 and 3,
//! held to the recordings of kube-controller-manager 1.35.3 (cases `workloads`, `gc`).

pub mod api_services;
pub mod budgets;
pub mod claims;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod deployment_status;
pub mod endpoint_slices;
pub mod endpoints;
pub mod garbage;
mod growing;
pub mod job;
mod job_indexes;
mod job_pods;
pub mod job_policies;
mod matching;
pub mod namespace;
pub mod quota;
pub mod replica_set;
mod retention;
pub mod revisions;
pub mod rollout;
pub mod service_account;
pub mod stateful_set;
pub mod volumes;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::view::{Key, View, resource as r};
use crate::write::Step;

/// What happened to one object, as controllers see it.
pub struct Happened<'a> {
    pub key: &'a Key,
    /// The object now, or as it last was when `deleted`.
    pub object: &'a Arc<Value>,
    pub old: Option<&'a Arc<Value>>,
    pub deleted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    Namespace,
    ServiceAccount,
    Quota,
    Claims,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
    Scheduler,
    Kubelet,
    NodeLifecycle,
    Endpoints,
    EndpointSlices,
    Budgets,
    ApiServices,
    Garbage,
}

impl Controller {
    pub const ALL: [Controller; 18] = [
        Controller::Namespace,
        Controller::ServiceAccount,
        Controller::Quota,
        Controller::Claims,
        Controller::Deployment,
        Controller::ReplicaSet,
        Controller::StatefulSet,
        Controller::DaemonSet,
        Controller::Job,
        Controller::CronJob,
        Controller::Scheduler,
        Controller::Kubelet,
        Controller::NodeLifecycle,
        Controller::Endpoints,
        Controller::EndpointSlices,
        Controller::Budgets,
        Controller::ApiServices,
        Controller::Garbage,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Controller::Namespace => "namespace",
            Controller::ServiceAccount => "serviceaccount",
            Controller::Quota => "resourcequota",
            Controller::Claims => "persistentvolume-binder",
            Controller::StatefulSet => "statefulset",
            Controller::DaemonSet => "daemonset",
            Controller::Job => "job",
            Controller::CronJob => "cronjob",
            Controller::Budgets => "disruption",
            Controller::ApiServices => "apiservice",
            Controller::Deployment => "deployment",
            Controller::ReplicaSet => "replicaset",
            Controller::Scheduler => "scheduler",
            Controller::Kubelet => "kubelet",
            Controller::NodeLifecycle => "nodelifecycle",
            Controller::Endpoints => "endpoint",
            Controller::EndpointSlices => "endpointslice",
            Controller::Garbage => "garbagecollector",
        }
    }

    pub fn parse(name: &str) -> Option<Controller> {
        Controller::ALL.into_iter().find(|c| c.name() == name)
    }

    /// The keys this change concerns. Kubelet and scheduler keys are pods, the node lifecycle's are nodes.
    pub fn wakes(self, h: &Happened, view: &View) -> BTreeSet<Key> {
        match self {
            Controller::Namespace => namespace::wakes(h, view),
            Controller::ServiceAccount => service_account::wakes(h),
            Controller::Deployment => deployment::wakes(h, view),
            Controller::ReplicaSet => owner_or_self(h, r::REPLICA_SETS, r::PODS, "ReplicaSet"),
            Controller::Quota => quota::wakes(h, view),
            Controller::Claims => claims::wakes(h, view),
            Controller::StatefulSet => owner_or_self(h, r::STATEFUL_SETS, r::PODS, "StatefulSet"),
            Controller::DaemonSet => daemon_set::wakes(h, view),
            Controller::Job => owner_or_self(h, r::JOBS, r::PODS, "Job"),
            Controller::CronJob => owner_or_self(h, r::CRON_JOBS, r::JOBS, "CronJob"),
            Controller::Budgets => budgets::wakes(h, view),
            Controller::ApiServices => api_services::wakes(h, view),
            Controller::Scheduler => crate::scheduler::wakes(h, view),
            Controller::Kubelet => only(h, r::PODS),
            Controller::NodeLifecycle => only(h, r::NODES),
            Controller::Endpoints | Controller::EndpointSlices => endpoints::wakes(h, view),
            Controller::Garbage => garbage::wakes(h, view),
        }
    }

    /// `None`: the controller keeps state of its own and is run by the cluster (kubelet, scheduler, nodes).
    pub fn sync(self, view: &View, key: &Key, now: Timestamp, settings: &Settings) -> Option<Step> {
        Some(match self {
            Controller::Namespace => namespace::sync(view, key, now),
            Controller::ServiceAccount => service_account::sync(view, key, &settings.root_ca),
            Controller::Deployment => deployment::sync(view, key, now),
            Controller::ReplicaSet => replica_set::sync(view, key, now),
            Controller::Endpoints => endpoints::sync(view, key),
            Controller::EndpointSlices => endpoint_slices::sync(view, key),
            Controller::Quota => quota::sync(view, key, now),
            Controller::Claims => claims::sync(view, key),
            Controller::StatefulSet => stateful_set::sync(view, key, now),
            Controller::DaemonSet => daemon_set::sync(view, key, now),
            Controller::Job => job::sync(view, key, now),
            Controller::CronJob => cron_job::sync(view, key, now),
            Controller::Budgets => budgets::sync(view, key, now),
            Controller::ApiServices => api_services::sync(view, key, now),
            Controller::Garbage => garbage::sync(view, key),
            Controller::Scheduler | Controller::Kubelet | Controller::NodeLifecycle => return None,
        })
    }
}

/// What controllers are told besides the objects.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// PEM text for the `kube-root-ca.crt` ConfigMaps.
    pub root_ca: String,
}

pub(crate) fn only(h: &Happened, resource: &str) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    if &*h.key.resource == resource {
        keys.insert(h.key.clone());
    }
    keys
}

/// Changes of the objects themselves and of what they control.
pub(crate) fn owner_or_self(h: &Happened, own: &str, child: &str, kind: &str) -> BTreeSet<Key> {
    let mut keys = only(h, own);
    if &*h.key.resource == child {
        let states = [Some(h.object), h.old];
        for reference in states.into_iter().flatten().filter_map(|o| crate::json::controller_of(o)) {
            if reference["kind"] == kind {
                keys.insert(Key::new(own, &h.key.namespace, reference["name"].as_str().unwrap_or("")));
            }
        }
    }
    keys
}

#[cfg(test)]
pub(crate) mod testing {
    //! Builders for the rows of controller tests.
    use super::*;
    use serde_json::json;

    pub fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("a literal time")
    }

    pub fn view(objects: Vec<(&str, Value)>) -> View {
        let mut view = View::default();
        for (resource, object) in objects {
            view.put(Key::of(resource, &object), Arc::new(object));
        }
        view
    }

    pub fn deployment(replicas: i64) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "n", "uid": "u-d", "generation": 1, "resourceVersion": "1",
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "d"}},
                "template": {"metadata": {"labels": {"app": "d"}},
                             "spec": {"containers": [{"name": "c", "image": "busybox:1"}]}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
                "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}})
    }

    pub fn pod(name: &str, owner: (&str, &str, &str), ready: bool) -> Value {
        let status = if ready { "True" } else { "False" };
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "n", "uid": format!("u-{name}"), "labels": {"app": "d"},
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": owner.0, "name": owner.1, "uid": owner.2, "controller": true}]},
            "spec": {"nodeName": "node", "containers": [{"name": "c", "image": "busybox:1"}]},
            "status": {"phase": "Running", "podIP": "10.1.2.3", "podIPs": [{"ip": "10.1.2.3"}],
                "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
    }
}
