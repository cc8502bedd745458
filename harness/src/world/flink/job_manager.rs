//! A JobManager pod's process: the model of `fake_flink`, its effects carried out through the Kubernetes API.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use drey_language::events::{Kind, Lane};
use fake_flink::image::task_manager_pod::{self, Maker};
use fake_flink::{Cluster, Effect, Event, HaState, JobFact, StartOptions};
use fake_kube::{Process, ProcessEvent, ProcessStart, Reception, Signal};
use fake_kube_apiserver::{LocalClient, Resource};
use jiff::Timestamp;
use serde_json::json;

use super::ha;
use super::programs::configuration_of;
use super::registry::{ClusterKey, FlinkWorld, Started};

/// What the process and the outside (faults, TaskManagers) share.
pub struct JobManager {
    pub cluster: Cluster,
    /// Events that wait for the process's next step.
    pub inbox: VecDeque<Event>,
    /// Somebody else wrote the HA ConfigMaps since the last step.
    pub ha_changed: bool,
    pub pod: String,
    /// Uid of the Deployment that owns the pod: who started it, for invariants.
    pub deployment: String,
    outbox: Vec<ProcessEvent>,
    key: ClusterKey,
    has_ha: bool,
    /// The HA state this process believes in: read at start, kept by its own writes.
    ha: HaState,
    api: LocalClient,
    world: FlinkWorld,
    start: ProcessStart,
}

/// The kubelet's end.
pub struct JobManagerProcess {
    shared: Arc<Mutex<JobManager>>,
}

/// How a JobManager is started, besides what the model needs.
pub struct Launch {
    pub key: ClusterKey,
    pub has_ha: bool,
    pub deployment: String,
    pub options: StartOptions,
}

impl JobManagerProcess {
    pub fn start(
        launch: Launch,
        start: &ProcessStart,
        api: LocalClient,
        world: FlinkWorld,
    ) -> JobManagerProcess {
        let ha = launch.options.ha.clone();
        let (cluster, effects) = Cluster::start(launch.options);
        let mut process = JobManager {
            cluster,
            inbox: world.standing(&launch.key).into_iter().map(Event::Command).collect(),
            ha_changed: false,
            pod: start.pod_name.clone(),
            deployment: launch.deployment,
            outbox: Vec::new(),
            key: launch.key.clone(),
            has_ha: launch.has_ha,
            ha,
            api,
            world: world.clone(),
            start: start.clone(),
        };
        process.carry_out(effects);
        let shared = Arc::new(Mutex::new(process));
        world.add(&launch.key, shared.clone());
        JobManagerProcess { shared }
    }

    fn lock(&self) -> MutexGuard<'_, JobManager> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for JobManagerProcess {
    fn drop(&mut self) {
        let (key, world) = {
            let process = self.lock();
            (process.key.clone(), process.world.clone())
        };
        world.remove(&key, &self.shared);
    }
}

impl Process for JobManagerProcess {
    fn step(&mut self, now: Timestamp) -> Vec<ProcessEvent> {
        let mut process = self.lock();
        process.advance(now);
        process.take_outbox()
    }

    fn next_due(&self) -> Option<Timestamp> {
        let process = self.lock();
        if process.ha_changed || !process.inbox.is_empty() {
            return Some(Timestamp::MIN);
        }
        process.cluster.next_due()
    }

    fn receive(&mut self, port: u16, now: Timestamp) -> Reception {
        let mut process = self.lock();
        process.advance(now);
        match (port, process.cluster.listens(), process.cluster.hangs()) {
            (REST_PORT, true, _) => Reception::Accepted,
            (REST_PORT, false, true) => Reception::Silent,
            _ => Reception::Refused,
        }
    }

    fn http(
        &mut self,
        port: u16,
        request: &http::Request<Bytes>,
        now: Timestamp,
    ) -> Option<http::Response<Bytes>> {
        let mut process = self.lock();
        process.advance(now);
        if port != REST_PORT || !process.cluster.listens() {
            return None;
        }
        let (response, effects) = process.cluster.handle(request, now);
        process.carry_out(effects);
        Some(response)
    }

    fn signal(&mut self, signal: Signal, now: Timestamp) -> Vec<ProcessEvent> {
        let mut process = self.lock();
        let signal = match signal {
            Signal::Term => fake_flink::Signal::Term,
            Signal::Kill => fake_flink::Signal::Kill,
        };
        let effects = process.cluster.step(Event::Signal(signal), now);
        process.carry_out(effects);
        process.take_outbox()
    }
}

/// `rest.bind-port`: the operator never sets another.
const REST_PORT: u16 = 8081;

impl JobManager {
    /// Hands the model everything that happened since, then the time.
    pub fn advance(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.ha_changed) && self.has_ha {
            self.reread_ha(now);
        }
        while let Some(event) = self.inbox.pop_front() {
            let effects = self.cluster.step(event, now);
            self.carry_out(effects);
        }
        let effects = self.cluster.step(Event::Tick, now);
        self.carry_out(effects);
    }

    /// An event from a TaskManager's process: carried out at once, in that process's step.
    pub fn take(&mut self, event: Event, now: Timestamp) {
        let effects = self.cluster.step(event, now);
        self.carry_out(effects);
    }

    fn take_outbox(&mut self) -> Vec<ProcessEvent> {
        std::mem::take(&mut self.outbox)
    }

    /// Own writes come back as changes too; only a difference to what was written is news.
    fn reread_ha(&mut self, now: Timestamp) {
        let found = ha::read(&self.api, &self.key.namespace, &self.key.name);
        if found != self.ha {
            self.ha = found.clone();
            let effects = self.cluster.step(Event::HaChanged(found), now);
            self.carry_out(effects);
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.carry_out_one(effect);
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        let namespace = self.key.namespace.clone();
        match effect {
            Effect::WriteHa { name, map, .. } => match ha::write(&self.api, &namespace, &name, &map) {
                Ok(()) => drop(self.ha.maps.insert(name, map)),
                Err(_) => self.inbox.push_back(Event::HaWriteFailed { name }),
            },
            Effect::DeleteHa { name } => match ha::delete(&self.api, &namespace, &name) {
                Ok(()) => drop(self.ha.maps.remove(&name)),
                Err(_) => self.inbox.push_back(Event::HaWriteFailed { name }),
            },
            Effect::NeedTaskManagers(wanted) => self.create_task_managers(&wanted.names),
            Effect::ReleaseTaskManager { id } => self.delete(&Resource::core("pods"), &id),
            Effect::DeleteCluster => {
                let deployment = self.key.name.clone();
                self.delete(&deployments(), &deployment);
            }
            Effect::Log(line) => self.outbox.push(ProcessEvent::Log(line)),
            Effect::Exit { code } => {
                self.outbox.push(ProcessEvent::Exit { code, reason: String::new(), message: String::new() });
            }
            Effect::Fact(fact) => self.tell(fact),
        }
    }

    fn create_task_managers(&mut self, names: &[String]) {
        let conf = configuration_of(&self.start).entries;
        let maker = Maker {
            cluster: &self.key.name,
            namespace: &self.key.namespace,
            image: &self.start.image,
            conf: &conf,
            template: self.start.files.get(task_manager_pod::TEMPLATE).map(String::as_str),
            owner: &self.deployment,
            dynamic: &[],
        };
        // A Deployment that is gone already takes these pods with it: the garbage collector sees a dead owner.
        for name in names {
            let pod = task_manager_pod::build(&maker, name);
            if let Err(status) = self.api.create(&Resource::core("pods"), &self.key.namespace, pod) {
                // A refused pod (quota, admission) is what Flink logs and asks for again later.
                self.outbox
                    .push(ProcessEvent::Log(format!("could not create pod {name}: {}", status.message)));
            }
        }
    }

    fn delete(&mut self, resource: &Resource, name: &str) {
        // Not found is what was wanted; any other refusal leaves the object to its owner.
        let _ =
            self.api.delete(resource, &self.key.namespace, name, &json!({"propagationPolicy": "Background"}));
    }

    fn tell(&mut self, fact: JobFact) {
        let object = format!("FlinkDeployment/{}", self.key.name);
        self.world.journal.note(Lane::Flink, Kind::Process, &object, describe(&fact));
        let (cluster, pod) = (self.key.clone(), self.pod.clone());
        self.world.tell(&Started { cluster, pod, deployment: self.deployment.clone(), fact });
    }
}

fn deployments() -> Resource {
    Resource::new("apps", "v1", "deployments")
}

fn describe(fact: &JobFact) -> String {
    match fact {
        JobFact::Started { restored_from: None, .. } => "job starts from empty state".to_owned(),
        JobFact::Started { restored_from: Some(path), progress, .. } => {
            format!("job starts from {path} (progress {progress})")
        }
        JobFact::Restored { from: None, lost, .. } => format!("job restarts from empty state, loses {lost}"),
        JobFact::Restored { from: Some(path), progress, lost, .. } => {
            format!("job restarts from {path} (progress {progress}, repeats {lost})")
        }
        JobFact::State { state, .. } => format!("job is {}", state.name()),
        JobFact::Stopped { state, progress, .. } => {
            format!("job ends {} (progress {progress})", state.name())
        }
        JobFact::Checkpoint { id, progress, .. } => {
            format!("checkpoint {id} completed (progress {progress})")
        }
        JobFact::Savepoint { id, path, progress, .. } => {
            format!("savepoint {id} completed at {path} (progress {progress})")
        }
    }
}
