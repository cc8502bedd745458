//! Every Flink process of a world, the storage that outlives them, and the ground truth they report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fake_flink::{Command, JobFact, ModelKnobs, SnapshotStore};

use super::job_manager::JobManager;
use crate::world::journal::Journal;

/// One Flink cluster, as Kubernetes names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterKey {
    pub namespace: String,
    pub name: String,
}

impl ClusterKey {
    pub fn new(namespace: &str, name: &str) -> ClusterKey {
        ClusterKey { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl std::fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A fact about a job of a cluster, as it happened: what invariants judge.
#[derive(Clone, Debug)]
pub struct Started {
    pub cluster: ClusterKey,
    /// The pod the JobManager runs in, and the uid of the Deployment it belongs to.
    pub pod: String,
    pub deployment: String,
    pub fact: JobFact,
}

type Listener = Arc<dyn Fn(&Started) + Send + Sync>;

/// Shared by all Flink processes of one world.
#[derive(Clone)]
pub struct FlinkWorld {
    inner: Arc<Mutex<Inner>>,
    pub storage: SnapshotStore,
    pub journal: Journal,
    pub seed: u64,
}

struct Inner {
    knobs: ModelKnobs,
    /// Live JobManager processes; more than one is possible, and is what an invariant looks for.
    live: BTreeMap<ClusterKey, Vec<Arc<Mutex<JobManager>>>>,
    /// Commands that every JobManager of a cluster is given at its start, for as long as the fault stands.
    standing: BTreeMap<ClusterKey, Vec<Command>>,
    /// How many JobManagers of a cluster were started: seeds their ids and numbers their TaskManager pods.
    starts: BTreeMap<ClusterKey, u32>,
    listener: Option<Listener>,
}

impl FlinkWorld {
    pub fn new(journal: Journal, knobs: ModelKnobs, seed: u64) -> FlinkWorld {
        let inner = Inner {
            knobs,
            live: BTreeMap::new(),
            standing: BTreeMap::new(),
            starts: BTreeMap::new(),
            listener: None,
        };
        FlinkWorld { inner: Arc::new(Mutex::new(inner)), storage: SnapshotStore::new(), journal, seed }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn knobs(&self) -> ModelKnobs {
        self.lock().knobs.clone()
    }

    /// From the next JobManager on.
    pub fn set_knobs(&self, knobs: ModelKnobs) {
        self.lock().knobs = knobs;
    }

    /// Called for every fact, while a process runs: it must not call into processes.
    pub fn set_listener(&self, listener: impl Fn(&Started) + Send + Sync + 'static) {
        self.lock().listener = Some(Arc::new(listener));
    }

    pub(super) fn tell(&self, fact: &Started) {
        let listener = self.lock().listener.clone();
        if let Some(listener) = listener {
            listener(fact);
        }
    }

    /// Counts a start of a JobManager; the first one is 1.
    pub(super) fn count_start(&self, key: &ClusterKey) -> u32 {
        let mut inner = self.lock();
        let starts = inner.starts.entry(key.clone()).or_default();
        *starts += 1;
        *starts
    }

    pub(super) fn add(&self, key: &ClusterKey, process: Arc<Mutex<JobManager>>) {
        self.lock().live.entry(key.clone()).or_default().push(process);
    }

    pub(super) fn remove(&self, key: &ClusterKey, process: &Arc<Mutex<JobManager>>) {
        if let Some(live) = self.lock().live.get_mut(key) {
            live.retain(|other| !Arc::ptr_eq(other, process));
        }
    }

    /// The live JobManager processes of a cluster, oldest first.
    pub(crate) fn live(&self, key: &ClusterKey) -> Vec<Arc<Mutex<JobManager>>> {
        self.lock().live.get(key).cloned().unwrap_or_default()
    }

    /// Pods whose JobManager process is alive.
    pub fn pods(&self, key: &ClusterKey) -> Vec<String> {
        let pod = |process: &Arc<Mutex<JobManager>>| {
            process.lock().unwrap_or_else(PoisonError::into_inner).pod.clone()
        };
        self.live(key).iter().map(pod).collect()
    }

    /// Clusters that had a JobManager at some time.
    pub fn clusters(&self) -> Vec<ClusterKey> {
        self.lock().live.keys().cloned().collect()
    }

    /// Clusters in which several JobManager processes are alive now: the only ones where two can be too many.
    pub fn crowded(&self) -> Vec<ClusterKey> {
        let inner = self.lock();
        let crowded = inner.live.iter().filter(|(_, live)| live.len() > 1);
        crowded.map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn standing(&self, key: &ClusterKey) -> Vec<Command> {
        self.lock().standing.get(key).cloned().unwrap_or_default()
    }

    /// Gives a command to every live JobManager of a cluster; false when there is none.
    pub fn command(&self, key: &ClusterKey, command: &Command) -> bool {
        let live = self.live(key);
        for process in &live {
            let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
            process.inbox.push_back(fake_flink::Event::Command(command.clone()));
        }
        !live.is_empty()
    }

    /// As [`FlinkWorld::command`], and for JobManagers that start later too, until lifted.
    pub fn stand(&self, key: &ClusterKey, command: &Command) {
        self.lock().standing.entry(key.clone()).or_default().push(command.clone());
        self.command(key, command);
    }

    /// Later JobManagers no longer get this command. What undoes it in live ones is a command of its own.
    pub fn lift(&self, key: &ClusterKey, command: &Command) {
        if let Some(standing) = self.lock().standing.get_mut(key) {
            standing.retain(|other| other != command);
        }
    }

    /// Tells the JobManagers of a cluster that somebody changed their HA ConfigMaps.
    pub fn ha_changed(&self, key: &ClusterKey) {
        for process in self.live(key) {
            process.lock().unwrap_or_else(PoisonError::into_inner).ha_changed = true;
        }
    }

    /// Uids of the Deployments that the live JobManagers of a cluster belong to.
    pub fn deployments(&self, key: &ClusterKey) -> Vec<String> {
        let live = self.live(key);
        let of = |process: &Arc<Mutex<JobManager>>| {
            let process = process.lock().unwrap_or_else(PoisonError::into_inner);
            (!process.cluster.facts().phase.is_exited()).then(|| process.deployment.clone())
        };
        live.iter().filter_map(of).collect()
    }

    /// The Flink versions that the live JobManagers of a cluster play.
    pub fn versions(&self, key: &ClusterKey) -> Vec<fake_flink::Version> {
        let version = |process: &Arc<Mutex<JobManager>>| {
            process.lock().unwrap_or_else(PoisonError::into_inner).cluster.version()
        };
        self.live(key).iter().map(version).collect()
    }

    /// Ground truth about a cluster: the facts of each live JobManager with the name of its pod.
    pub fn facts(&self, key: &ClusterKey) -> Vec<(String, fake_flink::Facts)> {
        let live = self.live(key);
        let facts = |process: &Arc<Mutex<JobManager>>| {
            let process = process.lock().unwrap_or_else(PoisonError::into_inner);
            (process.pod.clone(), process.cluster.facts())
        };
        live.iter().map(facts).collect()
    }
}
