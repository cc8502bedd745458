//! Pure decisions: what a pass needs to know, what it decides and why.

pub mod ask;
pub mod decision;
pub mod observation;

pub use ask::Ask;
pub use decision::{
    Action, ActionKind, Component, Decision, Event, EventKind, NewCluster, Next, Restore, Step,
};
pub use observation::{
    ActionError, ActionFailure, Cause, CheckpointFacts, ClusterFact, CompletedCheckpoint, ConditionFacts,
    ContainerFacts, ExceptionFact, FlinkFacts, HaConfigMap, HaFacts, HistoryEntry, JobFact, JobManagerFacts,
    Memo, MetricFacts, Observation, PodFacts, ResultFact, Seen, TriggerFact, Waiting, Why,
};
