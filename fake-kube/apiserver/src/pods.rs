//! What only a kubelet can answer: logs, exec. The kubelet plugs in through [`PodBackend`].

use serde_json::Value;

use crate::status::Status;

/// Options of `pods/log`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    pub container: String,
    pub previous: bool,
    pub tail_lines: Option<u64>,
    pub limit_bytes: Option<u64>,
    pub since_seconds: Option<i64>,
    pub timestamps: bool,
    pub follow: bool,
}

/// The kubelet's side of a pod's subresources.
pub trait PodBackend: Send + Sync + 'static {
    /// The log of one container, container name resolved. Called without any lock held.
    fn log(&self, pod: &Value, options: &LogOptions) -> Result<String, Status>;
}
