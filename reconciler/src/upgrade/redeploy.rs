//! `savepointRedeployNonce`: start over from the savepoint the user names, whatever runs now (reconciler.md 4.6).

use super::restore;
use crate::decision::Action;
use crate::pass::{Flow, Pass};
use drey_api::{FlinkJobState, UpgradeMode};

pub fn run(p: &mut Pass) -> Flow {
    p.note("4.6", "redeploy from initialSavepointPath");
    let cancellable = p.job_is_cancellable();
    p.status.job_status.upgrade_savepoint_path = p.job().and_then(|job| job.initial_savepoint_path.clone());
    p.set_target_mode(UpgradeMode::Savepoint);
    if !p.job_is_terminal() {
        p.set_job_state(FlinkJobState::Finished);
    }
    p.status.job_status.savepoint_info.clear_trigger();
    p.record_before_attempt();
    if cancellable {
        p.persist();
        let job = p.job_id();
        p.act(Action::CancelJob { job });
    }
    restore::run(p)
}
