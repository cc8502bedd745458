//! `savepointRedeployNonce`: start over from the savepoint the user names, whatever runs now (reconciler.md 4.6).

use super::restore;
use crate::blueprint;
use crate::decision::Action;
use crate::pass::{Flow, Pass};
use drey_api::UpgradeMode;
use drey_blueprint::diff::DiffKind;

/// Also while something else is under way: it is the way out of a stop that hangs, or of a restore that is refused
/// because the state it was to start from is gone.
pub fn is_asked_for(p: &mut Pass) -> bool {
    let Some(recorded) = &p.recorded else { return false };
    let diff = blueprint::diff(&recorded.spec, &p.spec);
    let is_asked_for = diff.kind == DiffKind::SavepointRedeploy;
    if is_asked_for {
        super::spec_changed_event(p, diff);
    }
    is_asked_for
}

pub fn run(p: &mut Pass) -> Flow {
    p.note("4.6", "redeploy from initialSavepointPath");
    let cancellable = p.job_is_cancellable();
    p.status.job_status.upgrade_savepoint_path = p.job().and_then(|job| job.initial_savepoint_path.clone());
    p.set_target_mode(UpgradeMode::Savepoint);
    p.end_job();
    p.status.job_status.savepoint_info.clear_trigger();
    p.record_before_attempt();
    // Counts as stable: it is what the user asked for by name, and is never rolled back.
    p.mark_stable();
    if cancellable {
        p.persist();
        let job = p.job_id();
        p.act(Action::CancelJob { job });
    }
    restore::run(p)
}
