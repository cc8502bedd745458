//! One pod on its node: volumes, order of containers, restarts, termination, and the end.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::container::{COMPONENT, Container, Role, Seen, World};
use super::environment::check_volumes;
use super::status;
use crate::faults::Once;
use crate::json::*;
use crate::view::{Key, resource as r};
use crate::write::{EventSpec, Op, Write};

pub struct Worker {
    pub uid: String,
    pub ip: String,
    pub host_ip: String,
    pub start_time: Timestamp,
    /// Volumes are mounted and the network is there.
    pub sandbox: bool,
    /// Init containers first, in order.
    pub containers: Vec<Container>,
    /// Ended by the kubelet itself: reason and message of the pod's status.
    pub failed: Option<(&'static str, String)>,
    mount_retry: Option<(Timestamp, i64)>,
    delete_sent: bool,
    /// The pod and the state of the containers the stored status was last found to tell.
    told: Option<(Arc<Value>, Vec<Seen>)>,
}

impl Worker {
    pub fn new(pod: &Value, ip: String, host_ip: String, now: Timestamp) -> Worker {
        let init = items(pod, "/spec/initContainers").iter().map(|c| {
            let role = if c["restartPolicy"] == "Always" { Role::Sidecar } else { Role::Init };
            Container::new(c["name"].as_str().unwrap_or(""), role)
        });
        let main = items(pod, "/spec/containers")
            .iter()
            .map(|c| Container::new(c["name"].as_str().unwrap_or(""), Role::Main));
        Worker {
            uid: uid(pod).into(),
            ip,
            host_ip,
            start_time: now,
            sandbox: false,
            containers: init.chain(main).collect(),
            failed: None,
            mount_retry: None,
            delete_sent: false,
            told: None,
        }
    }

    pub fn advance(&mut self, w: &mut World) {
        let was_over = self.is_over(w.pod);
        if !was_over && !is_deleting(w.pod) && self.failed.is_none() {
            self.check_deadline(w);
        }
        let going = !is_deleting(w.pod) && self.failed.is_none() && !was_over;
        if going && self.mount(w) {
            self.run_in_order(w);
        }
        for c in &mut self.containers {
            c.advance(w);
        }
        if going && self.sandbox {
            self.restart_ended(w);
            // A finished init container lets the next one begin in the same sync.
            self.run_in_order(w);
        }
        if !going {
            self.stop_all(w);
        } else if self.is_over(w.pod) {
            self.stop_sidecars(w);
        }
        self.report(w);
        if is_deleting(w.pod) && !self.any_running() && !self.delete_sent {
            self.delete_sent = true;
            let key = Key::of(r::PODS, w.pod);
            let op = Op::Delete { policy: None, grace: Some(0), uid: Some(self.uid.clone()) };
            w.step.push(Write::new(COMPONENT, key, op));
        }
        self.plan(w);
    }

    /// Writes the status unless it tells this already. A process that went about its own business changes nothing of it.
    fn report(&mut self, w: &mut World) {
        let seen: Vec<Seen> = self.containers.iter().map(|c| c.seen(w)).collect();
        if let Some((pod, before)) = &self.told
            && Arc::ptr_eq(pod, w.pod)
            && self.failed.is_none()
            && *before == seen
        {
            return;
        }
        let is_told = !status::report(self, w);
        self.told = is_told.then(|| (w.pod.clone(), seen));
    }

    fn any_running(&self) -> bool {
        self.containers.iter().any(Container::is_running)
    }

    /// True once the main containers have ended for good, or an init container has for all.
    pub fn is_over(&self, pod: &Value) -> bool {
        matches!(status::phase(self, pod), "Succeeded" | "Failed")
    }

    fn mount(&mut self, w: &mut World) -> bool {
        if self.sandbox {
            return true;
        }
        if self.mount_retry.is_some_and(|(at, _)| w.now < at) {
            return false;
        }
        match check_volumes(w.view, w.pod) {
            Ok(()) => {
                self.sandbox = true;
                true
            }
            Err(missing) => {
                let volume = missing.volume.unwrap_or_default();
                let message =
                    format!("MountVolume.SetUp failed for volume \"{volume}\" : {}", missing.message);
                self.event(w, "FailedMount", message);
                // 500 ms doubling to 2 min 2 s (volume/util/nestedpendingoperations).
                let wait = self.mount_retry.map_or(500, |(_, ms)| (ms * 2).min(122_000));
                self.mount_retry = Some((after(w.now, SignedDuration::from_millis(wait)), wait));
                false
            }
        }
    }

    fn event(&self, w: &mut World, reason: &'static str, message: String) {
        let host = Some(text(w.pod, "/spec/nodeName").to_owned());
        let event = EventSpec { host, ..EventSpec::warning(w.pod, COMPONENT, reason, message) };
        w.step.push(Write::event(event));
    }

    /// Begins what may begin: init containers one after the other, then all main containers.
    fn run_in_order(&mut self, w: &mut World) {
        for i in 0..self.containers.len() {
            if self.is_held(w) {
                return;
            }
            let c = &mut self.containers[i];
            if c.role == Role::Main {
                break;
            }
            if c.state == super::container::State::Idle {
                c.begin(w);
                c.advance(w);
            }
            let passed = match c.role {
                Role::Sidecar => c.is_running() && c.started,
                _ => c.ended().is_some_and(|e| e.code == 0),
            };
            if !passed {
                return;
            }
        }
        for i in 0..self.containers.len() {
            if self.is_held(w) {
                return;
            }
            let c = &mut self.containers[i];
            if c.role == Role::Main && c.state == super::container::State::Idle {
                c.begin(w);
                c.advance(w);
            }
        }
    }

    /// A container on its way whose `postStart` the kubelet waits for.
    fn is_held(&self, w: &World) -> bool {
        self.containers.iter().any(|c| c.holds_others(w.pod))
    }

    fn restart_ended(&mut self, w: &mut World) {
        for i in 0..self.containers.len() {
            if self.is_held(w) {
                return;
            }
            let c = &mut self.containers[i];
            if may_restart(c, w.pod) {
                c.restart(w);
                c.advance(w);
            }
        }
    }

    fn stop_all(&mut self, w: &mut World) {
        let grace = match &self.failed {
            Some(_) if !is_deleting(w.pod) => int_or(w.pod, "/spec/terminationGracePeriodSeconds", 30),
            _ => int_or(w.pod, "/metadata/deletionGracePeriodSeconds", 30),
        };
        self.stop_where(w, grace, |_| true);
    }

    fn stop_sidecars(&mut self, w: &mut World) {
        let grace = int_or(w.pod, "/spec/terminationGracePeriodSeconds", 30);
        self.stop_where(w, grace, |c| c.role == Role::Sidecar);
    }

    fn stop_where(&mut self, w: &mut World, grace: i64, wanted: impl Fn(&Container) -> bool) {
        let is_sidecar = |i: &usize| self.containers[*i].role == Role::Sidecar;
        let all = 0..self.containers.len();
        let order: Vec<usize> =
            all.clone().filter(|i| !is_sidecar(i)).chain(all.rev().filter(is_sidecar)).collect();
        for i in order {
            let turn = self.has_turn(i);
            let c = &mut self.containers[i];
            if wanted(c) {
                c.stop(w, grace, format!("Stopping container {}", c.name), turn);
            }
        }
    }

    /// Sidecars end after the main containers, the last one first (`terminationOrdering`).
    fn has_turn(&self, i: usize) -> bool {
        let is_ahead = |(j, other): (usize, &Container)| match other.role {
            Role::Main => true,
            Role::Sidecar => j > i,
            Role::Init => false,
        };
        let mut others = self.containers.iter().enumerate();
        self.containers[i].role != Role::Sidecar || !others.any(|(j, o)| o.is_running() && is_ahead((j, o)))
    }

    fn check_deadline(&mut self, w: &mut World) {
        if self.deadline(w.pod).is_some_and(|t| t <= w.now) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.event(w, "DeadlineExceeded", message.clone());
            self.failed = Some(("DeadlineExceeded", message));
        }
    }

    fn deadline(&self, pod: &Value) -> Option<Timestamp> {
        at(pod, "/spec/activeDeadlineSeconds").as_i64().map(|s| after_secs(self.start_time, s))
    }

    /// A fault that happens once. `container` empty: every running one.
    pub fn strike(&mut self, w: &mut World, fault: &Once) {
        match fault {
            Once::Exit { code } => self.each_main(w, |c, w| c.kill_now(w, *code, "", "")),
            Once::Oom => self.each_main(w, |c, w| c.kill_now(w, 137, "OOMKilled", "")),
            Once::Evict { message } => {
                let message = match message.as_str() {
                    "" => "The node was low on resource: memory. ".to_owned(),
                    given => given.to_owned(),
                };
                self.event(w, "Evicted", message.clone());
                self.failed = Some(("Evicted", message));
            }
        }
    }

    fn each_main(&mut self, w: &mut World, mut f: impl FnMut(&mut Container, &mut World)) {
        for c in self.containers.iter_mut().filter(|c| c.is_running() && c.role != Role::Init) {
            f(c, w);
        }
    }

    fn plan(&self, w: &mut World) {
        let going = !is_deleting(w.pod) && self.failed.is_none();
        for c in &self.containers {
            if let Some(due) = c.due(w, going && may_restart(c, w.pod)).filter(|_| going || c.is_running()) {
                w.step.look_again(due);
            }
        }
        if going && !self.is_over(w.pod) {
            if !self.sandbox
                && let Some((retry, _)) = self.mount_retry
            {
                w.step.look_again(retry);
            }
            if let Some(deadline) = self.deadline(w.pod) {
                w.step.look_again(deadline);
            }
        }
    }
}

/// An ended container that the pod's policy starts again.
pub fn may_restart(c: &Container, pod: &Value) -> bool {
    let Some(ended) = c.ended() else { return false };
    let policy = text(pod, "/spec/restartPolicy");
    match (c.role, policy) {
        (Role::Sidecar, _) => true,
        (_, "Never") => false,
        (Role::Init, _) | (Role::Main, "OnFailure") => ended.code != 0,
        (Role::Main, _) => true,
    }
}
