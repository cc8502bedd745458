//! The kubelets of all simulated nodes: one worker per pod bound to one of them.
//! Pods bound to nodes nobody simulates are left alone, as they are in a cluster whose kubelet is away.

pub mod backoff;
pub mod commands;
pub mod container;
pub mod environment;
pub mod hooks;
pub mod images;
pub mod probes;
pub mod status;
mod stop;
pub mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use self::commands::{Output, Surroundings};
use self::container::{Container, World};
use self::worker::Worker;
use crate::dial::DialError;
use crate::faults::{Faults, Once};
use crate::json::*;
use crate::knobs::Knobs;
use crate::logs::Logs;
use crate::programs::{Attached, Programs, Reception};
use crate::view::{Key, View};
use crate::write::Step;

/// A connection that was accepted.
pub struct Connected {
    pub ip: String,
    /// By a real socket at that address.
    pub is_socket: bool,
}

pub struct Kubelet {
    knobs: Knobs,
    programs: Arc<dyn Programs>,
    workers: BTreeMap<Key, Worker>,
    images: BTreeSet<(String, String)>,
    /// Addresses in use, so that none is given twice.
    addresses: BTreeSet<String>,
    next_address: u32,
    pub logs: Logs,
    /// Nodes that do not answer: their pods stand still.
    pub lost: BTreeSet<String>,
}

impl Kubelet {
    pub fn new(knobs: Knobs, programs: Arc<dyn Programs>) -> Kubelet {
        Kubelet {
            knobs,
            programs,
            workers: BTreeMap::new(),
            images: BTreeSet::new(),
            addresses: BTreeSet::new(),
            next_address: 2,
            logs: Logs::default(),
            lost: BTreeSet::new(),
        }
    }

    /// Brings one pod up to `now`.
    pub fn sync(&mut self, view: &View, key: &Key, faults: &Faults, now: Timestamp) -> Step {
        self.with_worker(view, key, faults, now, |_, _| {})
    }

    pub fn strike(&mut self, view: &View, key: &Key, faults: &Faults, once: &Once, now: Timestamp) -> Step {
        self.with_worker(view, key, faults, now, |worker, w| worker.strike(w, once))
    }

    fn with_worker(
        &mut self,
        view: &View,
        key: &Key,
        faults: &Faults,
        now: Timestamp,
        first: impl FnOnce(&mut Worker, &mut World),
    ) -> Step {
        let mut step = Step::nothing();
        let pod = view.find(key);
        let stale = self.workers.get(key).is_some_and(|w| pod.is_none_or(|p| uid(p) != w.uid));
        if stale {
            self.forget(key);
        }
        let Some(pod) = pod else { return step };
        let node = text(pod, "/spec/nodeName");
        let Some(index) = self.knobs.nodes.iter().position(|n| n.name == node) else { return step };
        if self.lost.contains(node) {
            return step;
        }
        let is_new = !self.workers.contains_key(key);
        if is_new {
            if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") && !is_deleting(pod) {
                return step;
            }
            let address = self.take_address(index);
            self.workers.insert(key.clone(), Worker::new(pod, address, host_ip(index), now));
        }
        let Some(worker) = self.workers.get_mut(key) else { return step };
        let ip = worker.ip.clone();
        let mut world = World {
            view,
            knobs: &self.knobs,
            programs: &*self.programs,
            faults,
            logs: &mut self.logs,
            images: &mut self.images,
            pod,
            ip: &ip,
            now,
            step: &mut step,
        };
        first(worker, &mut world);
        worker.advance(&mut world);
        self.logs.wake();
        step
    }

    fn take_address(&mut self, node: usize) -> String {
        loop {
            let n = self.next_address;
            // 10.244.<node>.2 .. 10.244.<node>.254 and on into the next 256 blocks.
            self.next_address = if n >= 65_000 { 2 } else { n + 1 };
            let (block, host) = (n / 253, n % 253 + 2);
            let address = match self.knobs.pod_loopback {
                Some(network) => format!("127.{network}.{}.{host}", block % 256),
                None => {
                    let (node, block) = (244 + (node / 250).min(10), (node % 250 + block as usize) % 256);
                    format!("10.{node}.{block}.{host}")
                }
            };
            if self.addresses.insert(address.clone()) || self.addresses.len() > 60_000 {
                return address;
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(worker) = self.workers.remove(key) {
            self.addresses.remove(&worker.ip);
            self.logs.forget(&worker.uid);
            self.logs.wake();
        }
    }

    /// Whether that container of that very pod runs.
    pub fn is_running(&self, key: &Key, uid: &str, container: &str) -> bool {
        let worker = self.workers.get(key).filter(|w| w.uid == uid);
        worker.is_some_and(|w| w.containers.iter().any(|c| c.name == container && c.is_running()))
    }

    /// Runs a command in a container. None: there is no such program. No command: only whether one could be run.
    pub fn command(
        &mut self,
        view: &View,
        key: &Key,
        faults: &Faults,
        container: &str,
        argv: &[String],
        now: Timestamp,
    ) -> Result<Option<Output>, String> {
        let missing = || format!("container not found ({container:?})");
        let pod = view.find(key).ok_or_else(missing)?;
        let known = self.workers.contains_key(key);
        let worker = self.reachable(view, key, faults).map_err(|e| match e {
            DialError::Unreachable if known => format!("error dialing backend: {e}"),
            _ => missing(),
        })?;
        let ip = worker.ip.clone();
        let found = worker.containers.iter_mut().find(|c| c.name == container && c.is_running());
        let found = found.ok_or_else(missing)?;
        if argv.is_empty() {
            return Ok(None);
        }
        if let Some((code, stdout)) = found.command(argv, now) {
            return Ok(Some(Output { code, stdout, ..Output::default() }));
        }
        let around = Surroundings::of(view, pod, found.spec(pod), &ip, now);
        Ok(commands::run(argv, &around))
    }

    /// How a command is started in a container that is a process of this machine; None where there is none.
    pub fn beside(
        &mut self,
        view: &View,
        key: &Key,
        faults: &Faults,
        container: &str,
        argv: &[String],
        in_terminal: bool,
    ) -> Option<std::process::Command> {
        self.running(view, key, faults, container)?.beside(argv, in_terminal)
    }

    /// Output and input of a container that is a process of this machine; None where there is none.
    pub fn attach(&mut self, view: &View, key: &Key, faults: &Faults, container: &str) -> Option<Attached> {
        self.running(view, key, faults, container)?.attach()
    }

    fn running(&mut self, view: &View, key: &Key, faults: &Faults, container: &str) -> Option<&Container> {
        let worker = self.reachable(view, key, faults).ok()?;
        worker.containers.iter().find(|c| c.name == container && c.is_running())
    }

    /// What a connection to a pod's port meets; the pod's address when it is accepted.
    pub fn connect(
        &mut self,
        view: &View,
        key: &Key,
        faults: &Faults,
        port: u16,
        now: Timestamp,
    ) -> Result<Connected, DialError> {
        let worker = self.reachable(view, key, faults)?;
        let mut met = Err(DialError::Refused);
        for container in worker.containers.iter_mut().filter(|c| c.is_running()) {
            match container.receive(port, now) {
                Reception::Accepted => return Ok(Connected { ip: worker.ip.clone(), is_socket: false }),
                Reception::Socket => met = Ok(Connected { ip: worker.ip.clone(), is_socket: true }),
                Reception::Silent if met.is_err() => met = Err(DialError::Unreachable),
                Reception::Silent | Reception::Refused => {}
            }
        }
        met
    }

    /// One request to a pod's port.
    pub fn http(
        &mut self,
        view: &View,
        key: &Key,
        faults: &Faults,
        port: u16,
        request: &http::Request<Bytes>,
        now: Timestamp,
    ) -> Result<http::Response<Bytes>, DialError> {
        let worker = self.reachable(view, key, faults)?;
        let mut met = DialError::Refused;
        for container in worker.containers.iter_mut().filter(|c| c.is_running()) {
            match container.receive(port, now) {
                Reception::Accepted => {
                    if let Some(answer) = container.http(port, request, now) {
                        return Ok(answer);
                    }
                }
                Reception::Silent => met = DialError::Unreachable,
                Reception::Refused | Reception::Socket => {}
            }
        }
        Err(met)
    }

    fn reachable(&mut self, view: &View, key: &Key, faults: &Faults) -> Result<&mut Worker, DialError> {
        let pod = view.find(key).ok_or(DialError::Unreachable)?;
        if self.lost.contains(text(pod, "/spec/nodeName")) || faults.hangs(pod) {
            return Err(DialError::Unreachable);
        }
        self.workers.get_mut(key).filter(|w| w.sandbox).ok_or(DialError::Unreachable)
    }
}

pub fn host_ip(node: usize) -> String {
    format!("172.18.{}.{}", node / 250, node % 250 + 2)
}

/// The pod object's own words for a container that has no log yet.
pub fn waiting_reason<'a>(pod: &'a Value, container: &str) -> Option<&'a str> {
    ["/status/containerStatuses", "/status/initContainerStatuses"]
        .iter()
        .flat_map(|list| items(pod, list))
        .find(|c| c["name"] == container)
        .and_then(|c| c["state"]["waiting"]["reason"].as_str())
}
