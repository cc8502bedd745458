//! The test-case catalogue of reconciler.md 10, one test per case, each named by its number.

mod bugs;
mod deletion;
mod notices;
mod observation;
mod quirks;
mod recovery;
mod scaling;
mod snapshots;
mod spec;
mod upgrades;
mod zookeeper;

pub use super::fixture::{app, no_ha, start};
pub use super::stories::{SOON, bump, running, suspend};
pub use super::world::World;
pub use drey_api::{
    FlinkJobState, JobManagerDeploymentStatus as Jm, JobState, LifecycleState, ReconciliationState,
    SnapshotTriggerType, UpgradeMode,
};
pub use drey_reconciler::*;
pub use jiff::SignedDuration;
pub use serde_json::{Value, json};

pub fn stable(spec: Value) -> World {
    let mut world = World::new(app(spec));
    running(&mut world);
    world
}

pub fn secs(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

pub fn error(world: &World) -> String {
    world.status().error.unwrap_or_default()
}

pub fn count(world: &World, reason: &str) -> usize {
    world.reasons().iter().filter(|r| **r == reason).count()
}

pub fn waiting(container: &str, reason: &str, message: Option<&str>, last: Option<&str>) -> PodFacts {
    PodFacts {
        name: "app-0".into(),
        deleting: false,
        conditions: Vec::new(),
        containers: vec![ContainerFacts {
            name: container.into(),
            waiting: Some(Waiting { reason: reason.into(), message: message.map(Into::into) }),
            last_terminated_message: last.map(Into::into),
        }],
    }
}

pub fn condition(kind: &str, status: &str, reason: &str, message: &str) -> ConditionFacts {
    ConditionFacts {
        kind: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_transition: Some(start()),
    }
}

/// A JobManager that cannot start, and the one error and event it leads to.
pub fn check_failure(prepare: impl FnOnce(&mut World), reason: &str, message: &str) {
    let mut world = World::new(app(json!({})));
    world.stuck = true;
    prepare(&mut world);
    world.for_a_while(secs(300));
    let status = world.status();
    assert_eq!(status.job_manager_deployment_status, Jm::Error, "{}", world.trace.join("\n"));
    assert!(error(&world).contains(message), "{}", error(&world));
    assert_eq!(count(&world, reason), 1);
    assert_eq!(status.conditions[0].reason.as_deref(), Some("Reconciling"));
}
