//! What the operator tells about itself while it works. The harness listens for invariants and transcripts, the
//! binary for metrics and health. Listeners must be quick: they run between two requests.

use std::time::Duration;

use drey_reconciler::{Decision, Observation};
use jiff::Timestamp;

use crate::act::ActError;
use crate::queue::{Cause, Key};

/// One finished pass over one resource.
#[derive(Debug)]
pub struct Pass<'a> {
    pub key: &'a Key,
    pub cause: &'a Cause,
    /// With every answer that was fetched.
    pub observation: &'a Observation,
    pub decision: &'a Decision,
    pub outcome: &'a Outcome,
    pub counts: Counts,
    pub started: Timestamp,
    pub ended: Timestamp,
}

/// How a pass ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The whole plan was carried out and the status is stored.
    Done,
    /// Action number `at` of the plan (its length: the final status) failed; what follows it was not done.
    Failed { at: usize, error: ActError },
}

/// What a pass cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub api_reads: u32,
    pub api_writes: u32,
    pub flink_requests: u32,
    /// Events of earlier passes among the writes, which the API server had no time for then.
    pub late_events: u32,
    pub rounds: u32,
}

/// Something about the operator as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lifecycle {
    /// Leads (or needs no lease) and begins to watch.
    Started,
    /// One watch was listed completely.
    WatchSynced { kind: &'static str, scope: String },
    /// One watch failed and tries again.
    WatchFailed { kind: &'static str, scope: String, error: String },
    /// A resource is gone for good.
    Forgotten { key: Key },
    /// The lease is somebody else's, or could not be renewed in time; everything was dropped.
    LostLease { why: String },
    /// Asked to stop, and did.
    Stopped,
}

/// A request to the API server other than a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: http::Method,
    /// `None`: no answer.
    pub code: Option<u16>,
    pub took: Duration,
}

/// Listens to the operator.
pub trait PassObserver: Send + Sync + 'static {
    fn pass(&self, pass: &Pass<'_>);

    fn lifecycle(&self, _event: &Lifecycle) {}

    fn request(&self, _request: &Request) {}
}

/// Nobody listens.
impl PassObserver for () {
    fn pass(&self, _pass: &Pass<'_>) {}
}
