//! What the model wants done in the cluster, done on a thread of its own, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::maps::{Maps, Written};
use crate::image::task_manager_pod::{self, Maker};
use crate::model::api::{Effect, Event};
use crate::model::ha::HaState;
use crate::serve::{Hosted, Outside};

/// Where the cluster lives.
#[derive(Clone, Debug)]
pub struct Place {
    pub namespace: String,
    pub cluster: String,
    pub has_ha: bool,
    /// None: its TaskManagers come by themselves.
    pub native: Option<Native>,
}

/// What TaskManager pods are made from.
#[derive(Clone, Debug)]
pub struct Native {
    pub image: String,
    pub conf: BTreeMap<String, String>,
    pub template: Option<String>,
    pub dynamic: Vec<(String, String)>,
}

/// Takes effects for the thread that carries them out.
pub struct Hands {
    queue: SyncSender<Work>,
    /// Effects on their way: the maps are not looked at meanwhile.
    pending: Arc<AtomicUsize>,
    is_native: bool,
}

enum Work {
    Effect(Effect),
    End,
}

/// The other end, to be started once the cluster runs.
pub struct Worker {
    queue: Receiver<Work>,
    sender: SyncSender<Work>,
    pending: Arc<AtomicUsize>,
    api: Api,
    place: Place,
    maps: Option<Maps>,
    /// Uid of the cluster's Deployment.
    owner: String,
    /// TaskManager pods that were asked for and not missed yet.
    pods: BTreeSet<String>,
}

/// A worker at work.
pub struct Working {
    end: SyncSender<Work>,
    thread: JoinHandle<()>,
}

const QUEUE_MAX: usize = 10_000;
/// In the cluster's time.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// In real time, however fast the cluster's runs.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(100);

impl Hands {
    /// Reads what is there: the HA ConfigMaps, and the highest attempt among TaskManager pods of earlier lives.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub fn new(api: Api, place: Place) -> std::io::Result<(Hands, Worker)> {
        let maps = match place.has_ha {
            true => Some(Maps::read(api.clone(), &place.namespace, &place.cluster)?),
            false => None,
        };
        let owner = match place.native {
            Some(_) => {
                let deployment = api.get(&deployment(&place))?;
                deployment["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
            }
            None => String::new(),
        };
        let (sender, queue) = sync_channel(QUEUE_MAX);
        let pending = Arc::new(AtomicUsize::new(0));
        let hands =
            Hands { queue: sender.clone(), pending: pending.clone(), is_native: place.native.is_some() };
        Ok((hands, Worker { queue, sender, pending, api, place, maps, owner, pods: BTreeSet::new() }))
    }
}

impl Outside for Hands {
    fn take(&self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::NeedTaskManagers(_) | Effect::ReleaseTaskManager { .. } | Effect::DeleteCluster
                if !self.is_native => {}
            Effect::WriteHa { .. }
            | Effect::DeleteHa { .. }
            | Effect::NeedTaskManagers(_)
            | Effect::ReleaseTaskManager { .. }
            | Effect::DeleteCluster => {
                self.pending.fetch_add(1, Ordering::SeqCst);
                if self.queue.try_send(Work::Effect(effect)).is_err() {
                    // An API server that is away for that long: the lock is lost anyhow.
                    self.pending.fetch_sub(1, Ordering::SeqCst);
                }
            }
            other => return Some(other),
        }
        None
    }
}

impl Worker {
    pub fn ha(&self) -> HaState {
        self.maps.as_ref().map(|maps| maps.believed.clone()).unwrap_or_default()
    }

    /// TaskManager pods are numbered by attempt; the next one is above all that are there.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub fn next_attempt(&self) -> std::io::Result<u32> {
        let of = |name: &str| {
            let (_, numbers) = name.rsplit_once("-taskmanager-")?;
            numbers.split('-').next()?.parse::<u32>().ok()
        };
        let names = self.task_manager_pods()?;
        Ok(names.keys().filter_map(|name| of(name)).max().unwrap_or_default().saturating_add(1))
    }

    pub fn start(self, hosted: Hosted) -> std::io::Result<Working> {
        let end = self.sender.clone();
        let thread = std::thread::Builder::new().name("kubernetes".to_owned());
        Ok(Working { end, thread: thread.spawn(move || self.run(&hosted))? })
    }

    fn run(mut self, hosted: &Hosted) {
        let mut looked = Instant::now();
        let every = hosted.clock().real(LOOK_EVERY).max(LOOK_EVERY_MIN);
        loop {
            match self.queue.recv_timeout(every) {
                Ok(Work::Effect(effect)) => {
                    self.carry_out(effect, hosted);
                    self.pending.fetch_sub(1, Ordering::SeqCst);
                }
                Ok(Work::End) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if looked.elapsed() >= every && self.pending.load(Ordering::SeqCst) == 0 {
                looked = Instant::now();
                self.look(hosted);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect, hosted: &Hosted) {
        match effect {
            Effect::WriteHa { name, map, is_new } => {
                match self.maps.as_mut().map(|maps| maps.write(&name, &map, is_new)) {
                    Some(Written::Failed) => hosted.tell(Event::HaWriteFailed { name }),
                    Some(Written::Foreign | Written::Gone) => self.tell_maps(hosted),
                    Some(Written::Done) | None => {}
                }
            }
            Effect::DeleteHa { name } => {
                if self.maps.as_mut().is_some_and(|maps| !maps.delete(&name)) {
                    hosted.tell(Event::HaWriteFailed { name });
                }
            }
            Effect::NeedTaskManagers(needed) => self.create_pods(&needed.names, hosted),
            Effect::ReleaseTaskManager { id } => {
                self.pods.remove(&id);
                self.delete(&format!("{}/{id}", pods(&self.place)));
            }
            Effect::DeleteCluster => self.delete(&deployment(&self.place)),
            Effect::Log(_) | Effect::Exit { .. } | Effect::Fact(_) => {}
        }
    }

    fn create_pods(&mut self, names: &[String], hosted: &Hosted) {
        let Some(native) = &self.place.native else { return };
        let maker = Maker {
            cluster: &self.place.cluster,
            namespace: &self.place.namespace,
            image: &native.image,
            conf: &native.conf,
            template: native.template.as_deref(),
            owner: &self.owner,
            dynamic: &native.dynamic,
        };
        for name in names {
            let pod = task_manager_pod::build(&maker, name);
            match self.api.call(&Method::POST, &pods(&self.place), Some(&pod)) {
                Ok(_) => drop(self.pods.insert(name.clone())),
                // Refused by a quota, mostly: Flink asks again.
                Err(_) => hosted.tell(Event::TaskManagerLost { id: name.clone() }),
            }
        }
    }

    fn delete(&self, path: &str) {
        // Not found is what was wanted; any other refusal leaves the object to its owner.
        let _ = self.api.call(&Method::DELETE, path, Some(&json!({"propagationPolicy": "Background"})));
    }

    /// What others did.
    fn look(&mut self, hosted: &Hosted) {
        // An API server that does not answer is asked again.
        if let Some(maps) = &mut self.maps
            && maps.refresh().unwrap_or(false)
        {
            hosted.tell(Event::HaChanged(maps.believed.clone()));
        }
        if self.pods.is_empty() {
            return;
        }
        let Ok(found) = self.task_manager_pods() else { return };
        let is_gone = |name: &String| {
            found.get(name).is_none_or(|phase| matches!(phase.as_str(), "Failed" | "Succeeded"))
        };
        for name in self.pods.clone().into_iter().filter(is_gone) {
            self.pods.remove(&name);
            hosted.tell(Event::TaskManagerLost { id: name });
        }
    }

    fn tell_maps(&mut self, hosted: &Hosted) {
        if let Some(maps) = &mut self.maps
            && maps.refresh().is_ok()
        {
            hosted.tell(Event::HaChanged(maps.believed.clone()));
        }
    }

    /// Names and phases.
    fn task_manager_pods(&self) -> std::io::Result<BTreeMap<String, String>> {
        let selector = format!("?labelSelector=app%3D{}%2Ccomponent%3Dtaskmanager", self.place.cluster);
        let list: Value = self.api.get(&format!("{}{selector}", pods(&self.place)))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().into_iter().flatten();
        Ok(items.map(|pod| (text(&pod["metadata"]["name"]), text(&pod["status"]["phase"]))).collect())
    }
}

impl Working {
    /// Carries out what is left, then ends.
    pub fn finish(self) {
        // A full queue is being worked off; the process ends when this returns.
        let _ = self.end.send(Work::End);
        let _ = self.thread.join();
    }
}

fn pods(place: &Place) -> String {
    format!("/api/v1/namespaces/{}/pods", place.namespace)
}

fn deployment(place: &Place) -> String {
    format!("/apis/apps/v1/namespaces/{}/deployments/{}", place.namespace, place.cluster)
}
