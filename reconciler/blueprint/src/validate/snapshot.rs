//! FlinkStateSnapshot (reconciler.md 8.3).

use drey_api::{FlinkStateSnapshot, SnapshotState};

use super::{Verdict, require};

/// Checks a FlinkStateSnapshot. `target_exists` says whether the job's resource was found.
pub fn flink_state_snapshot(snapshot: &FlinkStateSnapshot, target_exists: bool) -> Verdict {
    let spec = &snapshot.spec;
    require(spec.savepoint.is_some() != spec.checkpoint.is_some(), "8.3 kind", || {
        "Exactly one of checkpoint or savepoint configurations has to be set.".to_owned()
    })?;
    if spec.savepoint.as_ref().is_some_and(|savepoint| savepoint.already_exists) {
        return Ok(());
    }
    let reference = spec.job_reference.as_ref();
    let target = reference.and_then(|reference| reference.kind.and(reference.name.as_deref()));
    let Some(target) = target else {
        return require(false, "8.3 reference", || {
            "Job reference must be supplied for this snapshot".to_owned()
        });
    };
    let waiting = snapshot.status.as_ref().is_none_or(|status| status.state == SnapshotState::TriggerPending);
    require(target_exists || !waiting, "8.3 target", || {
        format!("Target for snapshot {}/{target} was not found", snapshot.namespace())
    })
}
