//! Recognising the cluster a pass created before it could say so (reconciler.md 3.3 step 4, T18).
//!
//! Only if the old cluster had been seen gone (stored JobManager status MISSING) and the Deployment is alive and
//! carries the generation recorded for the attempt (B18). Under a rollback the generation says nothing (the failed
//! spec has the same); there MISSING alone tells old from new.

use crate::cluster::{Cluster, cluster};
use crate::pass::Pass;
use drey_api::{FlinkJobState, JobManagerDeploymentStatus, JobState, ReconciliationState};

pub fn adopt(p: &mut Pass) {
    if !is_created(p) {
        return;
    }
    p.note("3.3.4", "the cluster of this attempt exists already: the attempt counts as deployed");
    p.set_jm(JobManagerDeploymentStatus::Deploying);
    p.set_job_state(FlinkJobState::Reconciling);
    match p.recon() {
        ReconciliationState::RollingBack => p.set_recon(ReconciliationState::RolledBack),
        ReconciliationState::Upgrading | ReconciliationState::Deployed | ReconciliationState::RolledBack => {
            p.set_recorded_job_state(JobState::Running);
            p.set_recon(ReconciliationState::Deployed);
        }
    }
}

pub fn is_created(p: &Pass) -> bool {
    let Cluster::Present(facts) = cluster(p.o) else { return false };
    if p.jm() != JobManagerDeploymentStatus::Missing {
        return false;
    }
    match p.recon() {
        ReconciliationState::RollingBack => true,
        ReconciliationState::Upgrading => {
            facts.generation.is_some() && facts.generation == p.status.observed_generation
        }
        ReconciliationState::Deployed | ReconciliationState::RolledBack => false,
    }
}
