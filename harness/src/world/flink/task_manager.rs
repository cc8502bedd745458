//! A TaskManager pod's process: registers with the JobManager of its cluster, and is missed by it when it dies.

use std::sync::PoisonError;

use bytes::Bytes;
use fake_flink::Event;
use fake_kube::{Process, ProcessEvent, ProcessStart, Signal};
use jiff::{SignedDuration, Timestamp};

use super::registry::{ClusterKey, FlinkWorld};

/// How often an unregistered TaskManager looks for its JobManager.
const RETRY: SignedDuration = SignedDuration::from_millis(500);

pub struct TaskManagerProcess {
    world: FlinkWorld,
    key: ClusterKey,
    id: String,
    slots: u32,
    /// When it tries to register; `None` once it has.
    registers: Option<Timestamp>,
    is_over: bool,
}

impl TaskManagerProcess {
    pub fn start(
        world: FlinkWorld,
        key: ClusterKey,
        slots: u32,
        startup: SignedDuration,
        start: &ProcessStart,
    ) -> Self {
        let id = start.pod_name.clone();
        let registers = Some(start.now + startup);
        TaskManagerProcess { world, key, id, slots, registers, is_over: false }
    }

    /// To the newest JobManager: the one that holds, or will hold, the leadership.
    fn tell(&self, event: Event, now: Timestamp) -> bool {
        let Some(process) = self.world.live(&self.key).pop() else { return false };
        let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
        if !process.cluster.listens() {
            return false;
        }
        process.take(event, now);
        true
    }

    fn end(&mut self, now: Timestamp) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.tell(Event::TaskManagerLost { id: self.id.clone() }, now);
        }
    }
}

impl Process for TaskManagerProcess {
    fn step(&mut self, now: Timestamp) -> Vec<ProcessEvent> {
        if !self.is_over && self.registers.is_some_and(|at| at <= now) {
            let up = Event::TaskManagerUp { id: self.id.clone(), slots: self.slots };
            self.registers = if self.tell(up, now) { None } else { Some(now + RETRY) };
        }
        Vec::new()
    }

    fn next_due(&self) -> Option<Timestamp> {
        if self.is_over { None } else { self.registers }
    }

    fn http(
        &mut self,
        _port: u16,
        _request: &http::Request<Bytes>,
        _now: Timestamp,
    ) -> Option<http::Response<Bytes>> {
        None
    }

    fn signal(&mut self, _signal: Signal, now: Timestamp) -> Vec<ProcessEvent> {
        self.end(now);
        vec![ProcessEvent::exit(143)]
    }
}
