//! FlinkStateSnapshots.

use drey_api::{
    CheckpointSpec, FlinkStateSnapshot, FlinkStateSnapshotSpec, FlinkStateSnapshotStatus, JobReference,
    JobReferenceKind, SavepointSpec,
};

use crate::{NAMESPACE, uid_of};

/// A FlinkStateSnapshot in the making.
#[derive(Debug, Clone)]
pub struct SnapshotBuilder(FlinkStateSnapshot);

/// A savepoint to be taken of the FlinkDeployment `deployment`.
pub fn savepoint_of(name: &str, deployment: &str) -> SnapshotBuilder {
    let savepoint =
        SavepointSpec { path: Some("file:///flink/savepoints".to_owned()), ..SavepointSpec::default() };
    snapshot(name, deployment, |spec| spec.savepoint = Some(savepoint))
}

/// A checkpoint to be taken of the FlinkDeployment `deployment`.
pub fn checkpoint_of(name: &str, deployment: &str) -> SnapshotBuilder {
    snapshot(name, deployment, |spec| spec.checkpoint = Some(CheckpointSpec {}))
}

fn snapshot(name: &str, deployment: &str, kind: impl FnOnce(&mut FlinkStateSnapshotSpec)) -> SnapshotBuilder {
    let reference =
        JobReference { kind: Some(JobReferenceKind::FlinkDeployment), name: Some(deployment.to_owned()) };
    let mut spec =
        FlinkStateSnapshotSpec { job_reference: Some(reference), ..FlinkStateSnapshotSpec::default() };
    kind(&mut spec);
    let mut cr = FlinkStateSnapshot::new(name, spec);
    cr.metadata.namespace = Some(NAMESPACE.to_owned());
    cr.metadata.uid = Some(uid_of(name));
    cr.metadata.generation = Some(1);
    SnapshotBuilder(cr)
}

impl SnapshotBuilder {
    pub fn build(self) -> FlinkStateSnapshot {
        self.0
    }

    pub fn spec(mut self, change: impl FnOnce(&mut FlinkStateSnapshotSpec)) -> Self {
        change(&mut self.0.spec);
        self
    }

    pub fn status(mut self, change: impl FnOnce(&mut FlinkStateSnapshotStatus)) -> Self {
        change(self.0.status.get_or_insert_default());
        self
    }
}
