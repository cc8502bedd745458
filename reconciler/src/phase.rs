//! Where in its life the deployment is, read from the stored status alone (see the table in `record.rs`).

use crate::pass::Pass;
use drey_api::{JobState, ReconciliationState, SnapshotTriggerType};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing recorded: nothing was ever deployed.
    First,
    /// A stop-with-savepoint has been (or is about to be) asked for.
    StoppingWithSavepoint,
    /// A cancellation has been (or is about to be) asked for.
    Cancelling,
    /// Between the halves: whatever is left of the old cluster must go, then the job is restored.
    Between,
    /// Stopped on the user's wish.
    Suspended,
    Deployed,
}

pub fn phase(p: &Pass) -> Phase {
    if p.recorded.is_none() {
        return Phase::First;
    }
    let suspended = p.recorded_state() == JobState::Suspended;
    match p.recon() {
        ReconciliationState::RollingBack => Phase::Between,
        ReconciliationState::Upgrading if suspended => Phase::Between,
        _ if is_stopping(p) => Phase::StoppingWithSavepoint,
        ReconciliationState::Upgrading => Phase::Cancelling,
        ReconciliationState::Deployed | ReconciliationState::RolledBack if suspended => Phase::Suspended,
        ReconciliationState::Deployed | ReconciliationState::RolledBack => Phase::Deployed,
    }
}

fn is_stopping(p: &Pass) -> bool {
    let info = &p.status.job_status.savepoint_info;
    info.is_pending() && info.trigger_type == Some(SnapshotTriggerType::Upgrade)
}
