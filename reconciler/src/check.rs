//! A linter over observations and decisions: what no pass may ever plan, whatever led to it.
//!
//! It repeats none of the reasoning; it knows only what is in an observation and in a plan, so it catches a wrong
//! turn anywhere in the rules.

use crate::cluster::{Cluster, cluster};
use crate::decision::{Action, Decision, NewCluster, Restore};
use crate::ha;
use crate::observation::{Observation, Seen};
use drey_api::constants::LAST_STATE_SAVEPOINT_PATH;
use drey_api::{FlinkDeploymentStatus, JobState, ReconciledSpec, UpgradeMode};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: &'static str,
    pub text: String,
}

fn violation(rule: &'static str, text: impl Into<String>) -> Violation {
    Violation { rule, text: text.into() }
}

/// Facts that contradict each other: the shell mixed up rounds, or a watch lies.
pub fn observation(o: &Observation) -> Vec<Violation> {
    let mut found = Vec::new();
    if o.resource.uid().is_empty() {
        found.push(violation("resource-without-uid", "ids derived from an empty uid collide"));
    }
    let job = o.resource.status.as_ref().map(|status| &status.job_status);
    if job.is_some_and(|job| job.job_id.as_deref() == Some("")) {
        found.push(violation("empty-job-id", "a job id that is set must not be empty"));
    }
    if o.flink.jobs.known().is_some() && !matches!(o.job_manager, Seen::Known(_)) {
        found.push(violation(
            "jobs-without-job-manager",
            "jobs are known of a JobManager whose Deployment is not",
        ));
    }
    found
}

/// Plans that must never be carried out.
pub fn decision(o: &Observation, d: &Decision) -> Vec<Violation> {
    let mut walk = Walk {
        o,
        stored: o.resource.status.clone().unwrap_or_default(),
        ha_deleted: false,
        found: Vec::new(),
    };
    for action in &d.plan {
        walk.step(action);
    }
    walk.ending(d);
    walk.found
}

/// The plan, walked in order, with the status that is stored at each point.
struct Walk<'a> {
    o: &'a Observation,
    stored: FlinkDeploymentStatus,
    ha_deleted: bool,
    found: Vec<Violation>,
}

impl Walk<'_> {
    fn fail(&mut self, rule: &'static str, text: impl Into<String>) {
        self.found.push(violation(rule, text));
    }

    fn step(&mut self, action: &Action) {
        match action {
            Action::PersistStatus(status) => self.stored = (**status).clone(),
            Action::CreateCluster(cluster) => self.create(cluster),
            Action::DeleteHa { .. } => self.delete_ha(),
            Action::StopWithSavepoint { trigger, .. } | Action::TriggerSavepoint { trigger, .. } => {
                let stored = self.stored.job_status.savepoint_info.trigger_id.clone();
                self.trigger_is_stored(trigger, stored);
            }
            Action::TriggerCheckpoint { trigger, .. } => {
                let stored = self.stored.job_status.checkpoint_info.trigger_id.clone();
                self.trigger_is_stored(trigger, stored);
            }
            Action::RemoveFinalizer => self.remove_finalizer(),
            Action::DeleteCluster { uid } => self.delete_cluster(uid),
            Action::Rescale { job, .. } => {
                if self.stored.job_status.job_id.as_ref() != Some(job) {
                    self.fail("rescales-another-job", format!("{job} is not the job on record"));
                }
            }
            Action::CancelJob { .. }
            | Action::StripJobGraphs { .. }
            | Action::DisposeSavepoint { .. }
            | Action::AddFinalizer => {}
        }
    }

    fn create(&mut self, new: &NewCluster) {
        match cluster(self.o) {
            Cluster::Gone => {}
            // Completing a cluster whose Deployment is there starts nothing.
            Cluster::Present(facts) if facts.generation == Some(new.generation) => return,
            other => {
                self.fail("second-job-manager", format!("a JobManager is created while there is {other:?}"))
            }
        }
        if self.stored.job_status.job_id.as_deref() != Some(new.job_id.as_str()) {
            self.fail("job-id-not-stored", "the job id is not in the stored status when the job is started");
        }
        if self.stored.reconciliation_status.last_reconciled_spec.is_none() {
            self.fail("attempt-not-recorded", "nothing says that a deployment is being attempted");
        }
        if matches!(new.restore, Restore::HaMetadata { .. }) {
            if self.ha_deleted {
                self.fail(
                    "metadata-deleted-before-restore",
                    "the HA metadata goes although the job restores from it",
                );
            }
            if ha::metadata(&self.o.ha) == ha::HaMetadata::Gone
                && self.o.ha != Seen::NotAsked
                && self.kubernetes_ha()
            {
                self.fail(
                    "restore-from-nothing",
                    "the job is to restore from HA metadata that does not exist",
                );
            }
        }
        let mode = self.recorded().map(|recorded| mode_of(&recorded));
        if new.restore == Restore::Empty
            && mode.is_some_and(UpgradeMode::is_stateful)
            && self.known_path().is_some()
        {
            self.fail("state-forgotten", "a stateful job starts empty although a path is on record");
        }
        if matches!(&new.restore, Restore::From(path) if path == LAST_STATE_SAVEPOINT_PATH) {
            self.fail("dummy-restored", "the dummy path stands for HA metadata and is no savepoint");
        }
    }

    fn delete_ha(&mut self) {
        self.ha_deleted = true;
        if !matches!(cluster(self.o), Cluster::Gone) {
            self.fail(
                "metadata-under-job-manager",
                "HA metadata is deleted while a JobManager may still use it",
            );
        }
        let deleting = self.o.resource.metadata.deletion_timestamp.is_some();
        let Some(recorded) = self.recorded() else { return };
        if !deleting && mode_of(&recorded) == UpgradeMode::LastState {
            self.fail(
                "only-state-deleted",
                "the recorded way to restore is the HA metadata, and it is deleted",
            );
        }
    }

    fn delete_cluster(&mut self, uid: &str) {
        match cluster(self.o) {
            Cluster::Present(facts) if facts.uid == uid => {}
            other => self.fail(
                "deletes-unseen",
                format!("deletes a Deployment of uid {uid} while there is {other:?}"),
            ),
        }
    }

    fn remove_finalizer(&mut self) {
        if self.o.resource.metadata.deletion_timestamp.is_none() {
            self.fail(
                "finalizer-of-live-resource",
                "the finalizer goes although nobody deleted the resource",
            );
        }
        if !matches!(cluster(self.o), Cluster::Gone) {
            self.fail("finalizer-before-cluster", "the finalizer goes while the cluster is still there");
        }
    }

    fn trigger_is_stored(&mut self, trigger: &str, stored: Option<String>) {
        if stored.as_deref() != Some(trigger) {
            self.fail("trigger-not-stored", "a trigger id is sent before it is stored");
        }
    }

    /// A job that runs as recorded needs nothing.
    fn ending(&mut self, d: &Decision) {
        let deployed = d.status.reconciliation_status.state;
        let before = self.o.resource.status.as_ref();
        let converged = before.is_some_and(|status| {
            let pending = status.job_status.savepoint_info.is_pending()
                || status.job_status.checkpoint_info.is_pending();
            *status == d.status
                && status.lifecycle_state == Some(drey_api::LifecycleState::Stable)
                && status.job_status.state == Some(drey_api::FlinkJobState::Running)
                && !pending
        });
        let harmless = |action: &Action| {
            matches!(
                action,
                Action::DisposeSavepoint { .. } | Action::AddFinalizer | Action::CreateCluster(_)
            )
        };
        let deleting = self.o.resource.metadata.deletion_timestamp.is_some();
        if converged && !deleting && !d.plan.iter().all(harmless) {
            self.fail("acts-when-converged", format!("nothing changed ({deployed:?}), and yet {:?}", d.plan));
        }
        let stable = d.status.lifecycle_state == Some(drey_api::LifecycleState::Stable);
        if stable && d.plan.is_empty() && before == Some(&d.status) && self.is_suspended() {
            self.fail("stable-while-suspended", "a suspended job is called STABLE");
        }
    }

    /// As recorded. A text without the word is not worth reading.
    fn is_suspended(&self) -> bool {
        let text = self.stored.reconciliation_status.last_reconciled_spec.as_deref();
        text.is_some_and(|text| text.contains("suspended"))
            && self
                .recorded()
                .is_some_and(|r| r.spec.job.as_ref().is_some_and(|job| job.state == JobState::Suspended))
    }

    fn recorded(&self) -> Option<ReconciledSpec> {
        ReconciledSpec::parse(self.stored.reconciliation_status.last_reconciled_spec.as_deref()?).ok()
    }

    fn known_path(&self) -> Option<&String> {
        self.stored.job_status.upgrade_savepoint_path.as_ref()
    }

    fn kubernetes_ha(&self) -> bool {
        let conf = &self.o.resource.spec.flink_configuration;
        ["high-availability.type", "high-availability"]
            .iter()
            .any(|key| conf.get(key).is_some_and(|value| value.eq_ignore_ascii_case("kubernetes")))
    }
}

fn mode_of(recorded: &ReconciledSpec) -> UpgradeMode {
    recorded.spec.job.as_ref().map(|job| job.upgrade_mode).unwrap_or_default()
}
