//! Which field calls for what: the tables of reconciler.md 1 and 2.8 as code.

use std::collections::{BTreeMap, BTreeSet};

use drey_api::{
    DeploymentMode, FlinkConfiguration, FlinkDeploymentSpec, FlinkSessionJobSpec, JobSpec, PodTemplate,
    TaskManagerSpec,
};
use serde::Serialize;
use serde_json::Value;

use super::flatten::leaves;
use super::{Change, DiffKind};

/// Prefixes of configuration keys, first match wins.
const CONFIGURATION: [(&str, DiffKind, Option<DeploymentMode>); 4] = [
    ("job.autoscaler", DiffKind::Ignore, None),
    ("parallelism.default", DiffKind::Ignore, None),
    ("kubernetes.operator", DiffKind::Ignore, None),
    ("pipeline.jobvertex-parallelism-overrides", DiffKind::Scale, Some(DeploymentMode::Native)),
];

/// What a change of one configuration key calls for.
pub fn configuration_kind(key: &str, mode: DeploymentMode) -> DiffKind {
    let rule = CONFIGURATION
        .iter()
        .find(|(prefix, _, only)| key.starts_with(prefix) && only.is_none_or(|only| only == mode));
    rule.map_or(DiffKind::Upgrade, |(_, kind, _)| *kind)
}

/// Collects differences.
pub struct Changes {
    mode: DeploymentMode,
    found: Vec<Change>,
}

impl Changes {
    pub fn new(mode: DeploymentMode) -> Self {
        Self { mode, found: Vec::new() }
    }

    pub fn into_vec(self) -> Vec<Change> {
        self.found
    }

    pub fn deployment(&mut self, old: &FlinkDeploymentSpec, new: &FlinkDeploymentSpec) {
        self.job(old.job.as_ref(), new.job.as_ref());
        self.unless_cleared("restartNonce", &old.restart_nonce, &new.restart_nonce, DiffKind::Upgrade);
        self.configuration(&old.flink_configuration, &new.flink_configuration);
        self.field("image", &old.image, &new.image, DiffKind::Upgrade);
        self.field("imagePullPolicy", &old.image_pull_policy, &new.image_pull_policy, DiffKind::Upgrade);
        self.field("serviceAccount", &old.service_account, &new.service_account, DiffKind::Upgrade);
        self.field("flinkVersion", &old.flink_version, &new.flink_version, DiffKind::Upgrade);
        self.field("ingress", &old.ingress, &new.ingress, DiffKind::Upgrade);
        self.template("podTemplate", old.pod_template.as_ref(), new.pod_template.as_ref());
        self.job_manager(old, new);
        self.task_manager(old.task_manager.as_ref(), new.task_manager.as_ref());
        self.field("logConfiguration", &old.log_configuration, &new.log_configuration, DiffKind::Upgrade);
        // An absent mode means native, so spelling it out changes nothing.
        self.field("mode", &old.deployment_mode(), &new.deployment_mode(), DiffKind::Upgrade);
    }

    pub fn session_job(&mut self, old: &FlinkSessionJobSpec, new: &FlinkSessionJobSpec) {
        self.job(old.job.as_ref(), new.job.as_ref());
        self.unless_cleared("restartNonce", &old.restart_nonce, &new.restart_nonce, DiffKind::Upgrade);
        self.configuration(&old.flink_configuration, &new.flink_configuration);
        self.field("deploymentName", &old.deployment_name, &new.deployment_name, DiffKind::Upgrade);
    }

    fn job(&mut self, old: Option<&JobSpec>, new: Option<&JobSpec>) {
        let (Some(old), Some(new)) = (old, new) else {
            return self.field("job", &old, &new, DiffKind::Upgrade);
        };
        let scale = match self.mode {
            DeploymentMode::Standalone => DiffKind::Scale,
            DeploymentMode::Native => DiffKind::Upgrade,
        };
        self.field("job.jarURI", &old.jar_uri, &new.jar_uri, DiffKind::Upgrade);
        self.field("job.parallelism", &old.parallelism, &new.parallelism, scale);
        self.field("job.entryClass", &old.entry_class, &new.entry_class, DiffKind::Upgrade);
        self.field("job.args", &old.args, &new.args, DiffKind::Upgrade);
        self.field("job.state", &old.state, &new.state, DiffKind::Upgrade);
        let ignore = DiffKind::Ignore;
        self.field(
            "job.savepointTriggerNonce",
            &old.savepoint_trigger_nonce,
            &new.savepoint_trigger_nonce,
            ignore,
        );
        self.field(
            "job.initialSavepointPath",
            &old.initial_savepoint_path,
            &new.initial_savepoint_path,
            ignore,
        );
        self.field(
            "job.checkpointTriggerNonce",
            &old.checkpoint_trigger_nonce,
            &new.checkpoint_trigger_nonce,
            ignore,
        );
        self.field("job.upgradeMode", &old.upgrade_mode, &new.upgrade_mode, ignore);
        self.field(
            "job.allowNonRestoredState",
            &old.allow_non_restored_state,
            &new.allow_non_restored_state,
            ignore,
        );
        self.field(
            "job.autoscalerResetNonce",
            &old.autoscaler_reset_nonce,
            &new.autoscaler_reset_nonce,
            ignore,
        );
        self.unless_cleared(
            "job.savepointRedeployNonce",
            &old.savepoint_redeploy_nonce,
            &new.savepoint_redeploy_nonce,
            DiffKind::SavepointRedeploy,
        );
    }

    fn job_manager(&mut self, old: &FlinkDeploymentSpec, new: &FlinkDeploymentSpec) {
        let (Some(old), Some(new)) = (&old.job_manager, &new.job_manager) else {
            return self.field("jobManager", &old.job_manager, &new.job_manager, DiffKind::Upgrade);
        };
        self.field("jobManager.resource", &old.resource, &new.resource, DiffKind::Upgrade);
        self.field("jobManager.resources", &old.resources, &new.resources, DiffKind::Upgrade);
        self.field("jobManager.replicas", &old.replicas, &new.replicas, DiffKind::Upgrade);
        self.template("jobManager.podTemplate", old.pod_template.as_ref(), new.pod_template.as_ref());
    }

    fn task_manager(&mut self, old: Option<&TaskManagerSpec>, new: Option<&TaskManagerSpec>) {
        let (Some(old), Some(new)) = (old, new) else {
            return self.field("taskManager", &old, &new, DiffKind::Upgrade);
        };
        let scale = match self.mode {
            DeploymentMode::Standalone => DiffKind::Scale,
            DeploymentMode::Native => DiffKind::Upgrade,
        };
        self.field("taskManager.resource", &old.resource, &new.resource, DiffKind::Upgrade);
        self.field("taskManager.resources", &old.resources, &new.resources, DiffKind::Upgrade);
        self.field("taskManager.replicas", &old.replicas, &new.replicas, scale);
        self.template("taskManager.podTemplate", old.pod_template.as_ref(), new.pod_template.as_ref());
    }

    fn configuration(&mut self, old: &FlinkConfiguration, new: &FlinkConfiguration) {
        if old == new {
            return;
        }
        let (old, new) = (old.flatten(), new.flatten());
        self.entries("flinkConfiguration", &old, &new, |changes, key| configuration_kind(key, changes.mode));
    }

    /// What the template says of pods; `apiVersion`, `kind` and other remains of older formats do not count.
    fn template(&mut self, path: &str, old: Option<&PodTemplate>, new: Option<&PodTemplate>) {
        if old == new {
            return;
        }
        let tree = |template: Option<&PodTemplate>| template.map_or(Value::Null, PodTemplate::essential);
        self.trees(path, &tree(old), &tree(new), DiffKind::Upgrade);
    }

    /// Most fields are as they were: only those that differ are taken apart.
    fn field<T: Serialize + PartialEq>(&mut self, path: &str, old: &T, new: &T, kind: DiffKind) {
        if old != new {
            self.trees(path, &tree(old), &tree(new), kind);
        }
    }

    /// A nonce taken away asks for nothing.
    fn unless_cleared(&mut self, path: &str, old: &Option<i64>, new: &Option<i64>, kind: DiffKind) {
        if new.is_some() {
            self.field(path, old, new, kind);
        }
    }

    fn trees(&mut self, path: &str, old: &Value, new: &Value, kind: DiffKind) {
        self.entries(path, &leaves(old), &leaves(new), |_, _| kind);
    }

    fn entries(
        &mut self,
        path: &str,
        old: &BTreeMap<String, String>,
        new: &BTreeMap<String, String>,
        kind: impl Fn(&Self, &str) -> DiffKind,
    ) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let (before, after) = (old.get(key), new.get(key));
            if before != after {
                let text = |value: Option<&String>| value.cloned().unwrap_or_else(|| "null".to_owned());
                let change = Change {
                    path: joined(path, key),
                    old: text(before),
                    new: text(after),
                    kind: kind(self, key),
                };
                self.found.push(change);
            }
        }
    }
}

fn tree<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("specs have text keys and finite numbers only")
}

fn joined(path: &str, key: &str) -> String {
    match key {
        "" => path.to_owned(),
        index if index.starts_with('[') => format!("{path}{index}"),
        key => format!("{path}.{key}"),
    }
}
