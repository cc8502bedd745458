//! Container logs for `pods/log` of the API server. Follow is answered with what there is: the API server keeps
//! the connection, not the kubelet.

use std::sync::{Mutex, PoisonError, Weak};

use fake_kube_apiserver::{LogOptions, PodBackend, Status};
use serde_json::Value;

use crate::engine::Engine;
use crate::json::*;
use crate::kubelet::waiting_reason;
use crate::logs::Tail;

pub(crate) struct LogBackend {
    /// The engine holds the server that holds this: a strong handle would keep both for ever.
    pub(crate) engine: Weak<Mutex<Engine>>,
}

impl PodBackend for LogBackend {
    fn log(&self, pod: &Value, options: &LogOptions) -> Result<String, Status> {
        let Some(engine) = self.engine.upgrade() else { return Err(refusal(pod, options)) };
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        let since = options.since_seconds.map(|s| after(engine.now(), jiff::SignedDuration::from_secs(-s)));
        let tail = Tail {
            lines: options.tail_lines,
            bytes: options.limit_bytes,
            since,
            timestamps: options.timestamps,
        };
        match engine.kubelet.logs.read(uid(pod), &options.container, options.previous) {
            Some(ring) => Ok(ring.text(tail)),
            None => Err(refusal(pod, options)),
        }
    }
}

/// The kubelet's texts (kube-api.md 2.11).
fn refusal(pod: &Value, options: &LogOptions) -> Status {
    let (container, pod_name) = (&options.container, name(pod));
    let message = if options.previous {
        format!("previous terminated container \"{container}\" in pod \"{pod_name}\" not found")
    } else {
        let reason = waiting_reason(pod, container).unwrap_or("ContainerCreating");
        format!("container \"{container}\" in pod \"{pod_name}\" is waiting to start: {reason}")
    };
    Status::new(400, "BadRequest", message)
}
