//! Pure decisions: what a pass needs to know, what it decides and why.
//!
//! [`decide`] reads an [`Observation`] and returns a [`Decision`]; [`needs`] says which facts are still missing. Both
//! are total: whatever is observed, there is a decision, and the worst one is to touch nothing. No I/O, no clock, no
//! randomness: the same observation gives the same decision.
//!
//! ```
//! use drey_reconciler::{Ask, Observation, Policy, Seen, decide, needs};
//! let resource = serde_json::from_value(serde_json::json!({
//!     "metadata": {"name": "wordcount", "namespace": "jobs", "uid": "1", "generation": 1},
//!     "spec": {
//!         "flinkVersion": "v1_20", "serviceAccount": "flink", "image": "flink:1.20",
//!         "jobManager": {"resource": {"memory": "1g"}}, "taskManager": {"resource": {"memory": "1g"}},
//!         "job": {"jarURI": "local:///job.jar", "parallelism": 1},
//!     },
//! }))?;
//! let mut observation = Observation::of(resource);
//! (observation.job_manager, observation.pods, observation.ha) = (Seen::Absent, Seen::Absent, Seen::Absent);
//! let (policy, now) = (Policy::default(), jiff::Timestamp::UNIX_EPOCH);
//! assert_eq!(needs(&observation, &policy, now), Vec::<Ask>::new());
//! let decision = decide(&observation, &policy, now);
//! let plan: Vec<_> = decision.plan.iter().map(|action| format!("{:?}", action.kind())).collect();
//! assert_eq!(plan, ["AddFinalizer", "PersistStatus", "CreateCluster"]);
//! assert_eq!(decision.trace[0].to_string(), "2.7 first deployment");
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! Managed here: application-mode FlinkDeployments in native mode. Not here yet: session clusters and their jobs,
//! FlinkStateSnapshot, standalone mode, ingress; `gate` says so to whoever asks for them.

mod ask;
mod blueprint;
pub mod check;
mod cluster;
mod decision;
mod deletion;
mod error;
mod gate;
mod ha;
mod health;
mod ids;
mod known;
mod lifecycle;
mod notices;
mod observation;
mod observe;
mod pace;
mod pass;
mod phase;
mod policy;
mod record;
mod recovery;
mod rollback;
mod savepoints;
mod settings;
mod upgrade;
mod validation;

pub use ask::Ask;
pub use decision::{
    Action, ActionKind, Component, Decision, Event, EventKind, NewCluster, Next, Restore, Step,
};
pub use health::{HealthRecord, HealthResult};
pub use observation::{
    ActionError, ActionFailure, Cause, CheckpointFacts, ClusterFact, CompletedCheckpoint, ConditionFacts,
    ContainerFacts, ExceptionFact, FlinkFacts, HaConfigMap, HaFacts, HistoryEntry, JobFact, JobManagerFacts,
    Memo, MetricFacts, Observation, Parallelism, PodFacts, Requirements, ResultFact, Seen, TaskCounts,
    TriggerFact, Waiting, Why,
};
pub use policy::Policy;

use jiff::Timestamp;
use pass::{End, Flow, Pass};

/// What [`attempt`] came to.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, taken apart at once: a box would only be an allocation"
)]
#[derive(Clone, Debug)]
pub enum Attempt {
    /// Facts are missing: ask for these and try again.
    Ask(Vec<Ask>),
    Decided(Decision),
}

/// Decides, or says what must be asked first. The decision itself is run until it meets a missing fact, so the two
/// cannot drift apart.
pub fn attempt(o: &Observation, policy: &Policy, now: Timestamp) -> Attempt {
    let (pass, end) = played(o, policy, now);
    match end {
        End::Ask if !pass.asks.is_empty() => Attempt::Ask(pass.asks),
        end => Attempt::Decided(pass.into_decision(end)),
    }
}

/// What must be asked before [`decide`] can decide; empty when nothing is missing.
pub fn needs(o: &Observation, policy: &Policy, now: Timestamp) -> Vec<Ask> {
    match attempt(o, policy, now) {
        Attempt::Ask(asks) => asks,
        Attempt::Decided(_) => Vec::new(),
    }
}

/// What to do now, and why. With facts still missing nothing is touched.
pub fn decide(o: &Observation, policy: &Policy, now: Timestamp) -> Decision {
    let (pass, end) = played(o, policy, now);
    pass.into_decision(end)
}

/// A pass as far as it comes with these facts, and how it ends.
fn played<'a>(o: &'a Observation, policy: &'a Policy, now: Timestamp) -> (Pass<'a>, End) {
    let mut pass = Pass::new(o, policy, now);
    let end = match run(&mut pass) {
        Err(end) => end,
        Ok(()) => End::Next(Next::OnChange("nothing to do".into())),
    };
    (pass, end)
}

fn run(p: &mut Pass) -> Flow {
    gate::load(p)?;
    gate::managed(p)?;
    p.load_configs();
    gate::failed_plan(p)?;
    if p.o.resource.metadata.deletion_timestamp.is_some() {
        return deletion::run(p);
    }
    if !deletion::has_finalizer(p) {
        p.act(Action::AddFinalizer);
    }
    let sight = observe::observe(p)?;
    notices::of_lost_metadata(p);
    validation::validate(p)?;
    notices::of_ignored_parts(p);
    upgrade::reconcile(p, &sight)
}
