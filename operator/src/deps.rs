//! What an operator is made of, handed in by whoever runs it.

use std::sync::Arc;

use drey_blueprint::config::OperatorConfig;

use crate::clock::Clock;
use crate::flink::FlinkTransport;
use crate::lease::LeaseConfig;
use crate::observer::PassObserver;

/// Everything an operator needs from outside.
#[derive(Clone)]
pub struct Deps {
    /// Without retries of its own: a request answered 429 or 503 must come back as that.
    pub client: kube::Client,
    pub flink: Arc<dyn FlinkTransport>,
    pub clock: Arc<dyn Clock>,
    pub config: OperatorConfig,
    /// Holder of the lease; the pod's name.
    pub identity: String,
    pub observer: Arc<dyn PassObserver>,
    /// `None`: works at once and alone.
    pub leader_election: Option<LeaseConfig>,
    /// Resources looked at at the same time; 1 in virtual time.
    pub concurrency: u16,
}
