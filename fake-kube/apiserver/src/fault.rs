//! The gate every request passes (faults) and the observer that sees what happened.
//!
//! Faults are data: a gate judges the request line, the service carries the verdict out. Every verdict is something a
//! real server or the network before it can show. `LocalClient` does not pass the gate.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::disturb::Disturbance;
use crate::request::RequestInfo;
use crate::resource::Resource;
use crate::status::Status;
use crate::store::ChangeKind;

/// Decides the fate of a request before it starts.
pub trait Gate: Send + Sync + 'static {
    fn judge(&self, request: &RequestInfo) -> Verdict;
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Pass,
    /// Waits, then passes.
    Delay(Duration),
    Fail(Status),
    /// The connection is cut and nothing was done.
    DropBefore,
    /// The request is carried out, the answer lost.
    DropAfterCommit,
    /// Reads (get, list, watch without initial state) show the state as of this revision.
    Stale {
        revision: u64,
    },
    /// A watch starts and its connection is cut before the first event.
    CutWatch,
    /// A watch is told 410 in its stream and ends.
    Expire,
    /// A watch gets its events late, together, twice, or in another order.
    Disturb(Disturbance),
}

/// Sees requests and changes; called without any lock held, in the order of one-threaded execution.
pub trait Observer: Send + Sync + 'static {
    fn on_request(&self, record: &RequestRecord);
    fn on_change(&self, change: &Change);
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    pub info: RequestInfo,
    pub at: Timestamp,
    /// HTTP status; 0 when the connection was cut.
    pub code: u16,
    /// The reason of a failure.
    pub reason: String,
    pub message: String,
    pub dry_run: bool,
    /// Store revision after the request.
    pub revision: u64,
}

/// One committed change.
#[derive(Clone, Debug)]
pub struct Change {
    pub revision: u64,
    pub at: Timestamp,
    pub kind: ChangeKind,
    /// The resource in its storage version.
    pub resource: Resource,
    pub object: Arc<Value>,
    pub old: Option<Arc<Value>>,
    /// User (or local actor) that made it.
    pub actor: Arc<str>,
}
