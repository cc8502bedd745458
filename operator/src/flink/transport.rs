//! How a request reaches a JobManager. One trait, so that the same client runs over sockets, over the service
//! proxy of the Kubernetes API, or straight into a simulated process.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

/// The largest answer that is read; `/jobs/overview` of a thousand jobs stays below 1 MiB.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The REST endpoint of one Flink cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub namespace: String,
    /// The service, `<cluster>-rest`.
    pub service: String,
    /// `rest.port`.
    pub port: u16,
}

impl Target {
    /// The REST service of a Flink cluster (kubernetes-objects.md 1.3).
    pub fn rest(namespace: &str, cluster: &str, port: u16) -> Target {
        Target { namespace: namespace.to_owned(), service: format!("{cluster}-rest"), port }
    }

    /// `service.namespace`, the name inside the Kubernetes cluster.
    pub fn host(&self) -> String {
        format!("{}.{}", self.service, self.namespace)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}:{}", self.service, self.namespace, self.port)
    }
}

/// Why no HTTP answer came. All of these mean "could not ask", never "it is absent".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unanswered {
    /// Nothing listens there.
    Refused,
    /// The connection broke before the answer was complete: the request may have taken effect.
    Reset,
    /// The service name is not known (yet).
    Dns,
    /// No complete answer within the time allowed: the request may have taken effect.
    Timeout,
    /// Something answered that does not speak HTTP, or the answer is too large to read.
    Protocol,
}

impl Unanswered {
    /// The request was certainly not carried out.
    pub fn is_without_effect(self) -> bool {
        match self {
            Unanswered::Refused | Unanswered::Dns => true,
            Unanswered::Reset | Unanswered::Timeout | Unanswered::Protocol => false,
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unanswered::Refused => "connection refused",
            Unanswered::Reset => "connection lost",
            Unanswered::Dns => "name not known",
            Unanswered::Timeout => "no answer in time",
            Unanswered::Protocol => "not an HTTP answer",
        })
    }
}

/// A request that got no HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reach Flink at {target}: {why} ({detail})")]
pub struct TransportError {
    pub why: Unanswered,
    pub target: Target,
    /// What the layer below said.
    pub detail: String,
}

impl TransportError {
    pub fn new(why: Unanswered, target: &Target, detail: impl Into<String>) -> TransportError {
        TransportError { why, target: target.clone(), detail: detail.into() }
    }
}

/// Carries one request to a JobManager and brings back whatever HTTP answer it gave, 500 included.
pub trait FlinkTransport: Send + Sync + 'static {
    /// `request` holds path and query only; `timeout` (runtime time) covers connecting, sending and the body.
    fn call(
        &self,
        target: &Target,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<http::Response<Bytes>, TransportError>>;
}
