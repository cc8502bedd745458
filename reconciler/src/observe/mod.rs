//! Turning raw facts into the next status (reconciler.md 3.3, 3.4).
//!
//! `created` recognises a cluster a crashed pass created, `job_manager` looks at the Deployment and its pods, `job`
//! at the job, `savepoint` at pending savepoints, `exceptions` and `info` at what is good to know.

pub mod created;
mod exceptions;
mod info;
pub mod job;
mod job_manager;
mod savepoint;

use crate::observation::JobFact;
use crate::pass::{Flow, Pass};
use crate::phase::{Phase, phase};

/// What this pass has seen of Flink itself.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// The job as listed by a JobManager that answered in this pass.
    pub job: Option<JobFact>,
}

pub fn observe(p: &mut Pass) -> Flow<Sight> {
    if phase(p) == Phase::Between {
        created::adopt(p);
    }
    match phase(p) {
        Phase::First => Ok(Sight::default()),
        // No observation between the halves: an old cluster says nothing about the new one (B17).
        Phase::Between => Ok(Sight::default()),
        Phase::Suspended => {
            job_manager::observe_suspended(p)?;
            Ok(Sight::default())
        }
        Phase::StoppingWithSavepoint | Phase::Cancelling | Phase::Deployed => {
            let sight = job_manager::observe(p)?;
            // One that does not answer may still know its triggers; one that is down has forgotten them.
            if phase(p) == Phase::Deployed && job_manager::is_down(p) {
                savepoint::abandon(p);
            }
            clear_error(p);
            Ok(sight)
        }
    }
}

/// 3.4: an older error is over once the deployment is stable again (B40).
fn clear_error(p: &mut Pass) {
    use drey_api::{FlinkJobState, JobManagerDeploymentStatus};
    // A stop that failed is tried again: until then its error is what keeps the upgrade from being done.
    if matches!(p.memo.stop_failed, Some((generation, _)) if generation == p.generation) {
        return;
    }
    let healthy = p.jm() == JobManagerDeploymentStatus::Ready && p.job_state() != Some(FlinkJobState::Failed);
    if healthy
        && p.status.reconciliation_status.is_stable()
        && !matches!(p.job_state(), Some(FlinkJobState::Reconciling))
    {
        p.status.error = None;
    }
}
