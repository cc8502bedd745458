//! Writing down what was or is about to be deployed (reconciler.md 2.7 `record`, 2.10).
//!
//! Where things are kept while something long is under way, within the fields of the wire format, so that Apache's
//! operator could take over at any point and we from it:
//!
//! | what | where |
//! |---|---|
//! | stop-with-savepoint under way | `savepointInfo.triggerId/triggerTimestamp/formatType`, `triggerType` UPGRADE, recon DEPLOYED |
//! | cancellation under way | recon UPGRADING, recorded job running, job CANCELLING, recorded upgradeMode = how to restore |
//! | stopped, or being stopped, and to be restored | recon UPGRADING, recorded job suspended, recorded upgradeMode = how to restore |
//! | stopped cluster seen gone | as above and jobManagerDeploymentStatus MISSING |
//! | new cluster about to be created | as above, jobId new (or kept for last-state), job RECONCILING, observedGeneration = generation annotation |
//! | created | recon DEPLOYED, recorded job running, JobManager DEPLOYING |
//! | rollback | the same steps under ROLLING_BACK; ends in ROLLED_BACK |
//! | manual or periodic savepoint under way | `savepointInfo.trigger*` with triggerType MANUAL or PERIODIC |

use crate::pass::Pass;
use std::borrow::Cow;
use std::sync::Arc;

use drey_api::{
    FlinkDeploymentSpec, JobState, ReconciledSpec, ReconciliationState, ResourceMetadata, TaskManagerInfo,
    UpgradeMode,
};

impl Pass<'_> {
    /// "About to": the job counts as suspended until it has been deployed.
    pub fn record_before_attempt(&mut self) {
        self.record(JobState::Suspended, true);
    }

    pub fn record_deployed(&mut self) {
        self.record(self.desired(), false);
    }

    fn record(&mut self, state_after: JobState, upgrading: bool) {
        self.status.error = None;
        self.status.reconciliation_status.reconciliation_timestamp = self.now_ms();
        let rolling_back = self.recon() == ReconciliationState::RollingBack && self.recorded.is_some();
        let next = match (rolling_back, upgrading) {
            (true, true) => ReconciliationState::RollingBack,
            (true, false) => ReconciliationState::RolledBack,
            (false, true) => ReconciliationState::Upgrading,
            (false, false) => ReconciliationState::Deployed,
        };
        self.set_recon(next);
        if rolling_back {
            // The recorded spec stays the user's: what runs is lastStableSpec (5.6).
            let mode = self.upgrade_mode();
            self.edit_recorded(|spec, _| {
                if let Some(job) = &mut spec.job {
                    job.upgrade_mode = mode
                }
            });
            return;
        }
        // True until the first upgrade attempt: an unfinished first deployment starts over (B14).
        let first =
            self.recorded.as_ref().is_none_or(|recorded| !upgrading && recorded.is_first_deployment());
        let nonces =
            self.recorded_job().map(|job| (job.savepoint_trigger_nonce, job.checkpoint_trigger_nonce));
        let mut spec = self.spec.clone();
        if let Some(job) = &mut spec.job {
            job.state = state_after;
            if let Some((savepoint, checkpoint)) = nonces {
                job.savepoint_trigger_nonce = savepoint;
                job.checkpoint_trigger_nonce = checkpoint;
            }
        }
        self.status.task_manager = Some(self.task_manager_info(&spec));
        self.set_recorded(ReconciledSpec::new(spec, first));
        self.status.observed_generation = Some(self.generation);
        if self.desired() == JobState::Suspended {
            self.mark_stable();
        }
    }

    pub fn set_recorded(&mut self, recorded: ReconciledSpec) {
        self.status.reconciliation_status.last_reconciled_spec = Some(recorded.to_text());
        self.recorded = Some(Arc::new(recorded));
    }

    pub fn clear_recorded(&mut self) {
        self.status.reconciliation_status.last_reconciled_spec = None;
        self.recorded = None;
    }

    /// Changes the recorded spec in place; the text is rewritten only if the value changed, because byte equality
    /// with the stable spec carries meaning.
    pub fn edit_recorded(
        &mut self,
        edit: impl FnOnce(&mut FlinkDeploymentSpec, &mut Option<ResourceMetadata>),
    ) {
        let Some(mut recorded) = self.recorded.as_deref().cloned() else { return };
        edit(&mut recorded.spec, &mut recorded.metadata);
        if self.recorded.as_deref() != Some(&recorded) {
            self.set_recorded(recorded);
        }
    }

    /// As `edit_recorded`, keeping a stable deployment stable. QUIRK: there a recorded trigger nonce made a stable
    /// deployment look DEPLOYED until the next look.
    pub fn edit_recorded_and_stable(&mut self, edit: impl FnOnce(&mut FlinkDeploymentSpec)) {
        let stable = self.status.reconciliation_status.is_stable();
        self.edit_recorded(|spec, _| edit(spec));
        if stable {
            self.mark_stable();
        }
    }

    pub fn set_recorded_job_state(&mut self, state: JobState) {
        self.edit_recorded(|spec, _| {
            if let Some(job) = &mut spec.job {
                job.state = state
            }
        });
    }

    pub fn set_recorded_mode(&mut self, mode: UpgradeMode) {
        self.edit_recorded(|spec, metadata| {
            if let Some(job) = &mut spec.job {
                job.upgrade_mode = mode;
            }
            if let Some(metadata) = metadata {
                metadata.first_deployment = false;
            }
        });
    }

    pub fn set_target_mode(&mut self, mode: UpgradeMode) {
        if let Some(job) = &mut self.spec.job {
            job.upgrade_mode = mode;
        }
    }

    pub fn mark_stable(&mut self) {
        let reconciliation = &mut self.status.reconciliation_status;
        reconciliation.last_stable_spec = reconciliation.last_reconciled_spec.clone();
    }

    /// The spec that runs: the recorded one, or the stable one after a rollback.
    pub fn deployed_spec(&self) -> Option<Cow<'_, FlinkDeploymentSpec>> {
        match self.recon() {
            ReconciliationState::RolledBack => self.stable_spec().map(Cow::Owned),
            ReconciliationState::Deployed
            | ReconciliationState::Upgrading
            | ReconciliationState::RollingBack => {
                self.recorded.as_ref().map(|recorded| Cow::Borrowed(&recorded.spec))
            }
        }
    }

    pub fn stable_spec(&self) -> Option<FlinkDeploymentSpec> {
        let text = self.status.reconciliation_status.last_stable_spec.as_deref()?;
        self.policy.stored_spec(text).ok().map(|stable| stable.spec.clone())
    }

    fn task_manager_info(&self, spec: &FlinkDeploymentSpec) -> TaskManagerInfo {
        match spec.job.as_ref().map(|job| job.state) {
            Some(JobState::Running) => TaskManagerInfo {
                label_selector: format!("component=taskmanager,app={}", self.o.resource.name()),
                replicas: self.configs.deploy.task_managers,
            },
            Some(JobState::Suspended) | None => TaskManagerInfo::default(),
        }
    }
}
