//! What only a kubelet can answer: logs, exec. The kubelet plugs in through [`PodBackend`].

use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use serde_json::Value;

use crate::status::Status;

/// A log as it grows.
pub type LogStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// Options of `pods/log`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    pub container: String,
    pub previous: bool,
    pub tail_lines: Option<u64>,
    pub limit_bytes: Option<u64>,
    pub since_seconds: Option<i64>,
    pub since_time: Option<Timestamp>,
    pub timestamps: bool,
    pub follow: bool,
}

/// The kubelet's side of a pod's subresources.
pub trait PodBackend: Send + Sync + 'static {
    /// The log of one container, container name resolved. Called without any lock held.
    fn log(&self, pod: &Value, options: &LogOptions) -> Result<String, Status>;

    /// The same log, and then what is added to it until the container ends.
    fn follow(&self, pod: &Value, options: &LogOptions) -> Result<LogStream, Status> {
        let now = self.log(pod, options)?;
        Ok(Box::pin(futures::stream::iter([Bytes::from(now)])))
    }
}
