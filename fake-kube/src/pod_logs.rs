//! Container logs for `pods/log` of the API server, and as they grow.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use fake_kube_apiserver::{LogOptions, LogStream, PodBackend, Status};
use futures_util::Stream;
use serde_json::Value;

use crate::engine::Engine;
use crate::json::*;
use crate::kubelet::waiting_reason;
use crate::logs::{Place, Tail};
use crate::view::{Key, resource as r};

pub(crate) struct LogBackend {
    /// The engine holds the server that holds this: a strong handle would keep both for ever.
    pub(crate) engine: Weak<Mutex<Engine>>,
}

impl PodBackend for LogBackend {
    fn log(&self, pod: &Value, options: &LogOptions) -> Result<String, Status> {
        let Some(engine) = self.engine.upgrade() else { return Err(refusal(pod, options)) };
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        let ago = |s: i64| after(engine.now(), jiff::SignedDuration::from_secs(-s));
        let since = options.since_time.or(options.since_seconds.map(ago));
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

    fn follow(&self, pod: &Value, options: &LogOptions) -> Result<LogStream, Status> {
        let first = self.log(pod, options)?;
        let left = options.limit_bytes.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let mut log = Following::new(self.engine.clone(), pod, &options.container);
        log.timestamps = options.timestamps;
        log.left = left.map(|n| n.saturating_sub(first.len()));
        if options.previous {
            log.place = None;
        }
        log.ready = Some(first);
        Ok(Box::pin(log))
    }
}

/// The log of one run of a container, from its present end until the container ends.
pub(crate) struct Following {
    engine: Weak<Mutex<Engine>>,
    key: Key,
    uid: String,
    container: String,
    place: Option<Place>,
    ready: Option<String>,
    timestamps: bool,
    left: Option<usize>,
}

impl Following {
    pub(crate) fn new(engine: Weak<Mutex<Engine>>, pod: &Value, container: &str) -> Following {
        let place = engine.upgrade().and_then(|e| {
            e.lock().unwrap_or_else(PoisonError::into_inner).kubelet.logs.end(uid(pod), container)
        });
        Following {
            engine,
            key: Key::of(r::PODS, pod),
            uid: uid(pod).to_owned(),
            container: container.to_owned(),
            place,
            ready: None,
            timestamps: false,
            left: None,
        }
    }

    fn read_on(&mut self, cx: &Context<'_>) -> Poll<Option<String>> {
        if let Some(first) = self.ready.take().filter(|t| !t.is_empty()) {
            return Poll::Ready(Some(first));
        }
        let (Some(place), Some(engine)) = (&mut self.place, self.engine.upgrade()) else {
            return Poll::Ready(None);
        };
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        let written = engine.kubelet.logs.since(&self.uid, &self.container, place, self.timestamps);
        let Some(mut text) = written else { return Poll::Ready(None) };
        if text.is_empty() {
            if !engine.kubelet.is_running(&self.key, &self.uid, &self.container) {
                return Poll::Ready(None);
            }
            engine.kubelet.logs.wait(cx.waker());
            return Poll::Pending;
        }
        if let Some(left) = &mut self.left {
            let end = (0..=text.len().min(*left)).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            *left = if end < text.len() { 0 } else { left.saturating_sub(end) };
            text.truncate(end);
        }
        Poll::Ready(Some(text))
    }
}

impl Stream for Following {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.read_on(cx).map(|t| t.map(Bytes::from))
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
