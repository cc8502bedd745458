//! What must hold in every run, judged from ground truth: the fakes' own knowledge, not what REST or status say.
//!
//! 1. Never two JobManagers of different Deployments alive for one cluster, never two that lead.
//! 2. Never a start from empty state while state exists, unless the user asked for a stateless one.
//! 3. Never a restore of a state older than the newest one that can still be read.
//! 4. The finalizer leaves only after the cluster is gone.
//! 5. No write in a converged pass, no plan the linter objects to (`passes`).
//!
//! A start is judged when it is the first one of its Deployment: that one the operator decided. A JobManager that
//! restarts inside the same Deployment does what Flink does, which is Flink's affair: state it went back behind (its HA
//! metadata was deleted under it) is given up from then on, and what runs now is what later starts are measured by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fake_flink::{JobFact, Phase, Snapshot};
use fake_kube_apiserver::{Change, ChangeKind, Resource};
use serde_json::Value;

use crate::world::World;
use crate::world::flink::{ClusterKey, FlinkWorld, Started};

/// A judged start of a job.
#[derive(Clone, Debug)]
pub struct Start {
    pub restored_from: Option<String>,
    pub progress: u64,
    /// Path and progress of the newest readable state at that moment.
    pub newest: Option<(String, u64)>,
}

#[derive(Default)]
struct Inner {
    violations: Vec<String>,
    clusters: BTreeMap<ClusterKey, Cluster>,
}

/// What is known of one FlinkDeployment; a new object of the same name starts afresh.
#[derive(Default)]
struct Cluster {
    uid: String,
    spec: Value,
    jobs: BTreeSet<String>,
    /// Deployments whose first start was judged.
    judged: BTreeSet<String>,
    /// Snapshots Flink itself went back behind. A job that counts anew from 1 writes the same paths again, hence progress.
    given_up: BTreeSet<(String, u64)>,
    starts: Vec<Start>,
    redeploy_nonce: Value,
    /// `spec.job.upgradeMode` was stateless at some moment since the last start: the user's word holds for the start
    /// that follows it, even if they changed it back meanwhile.
    was_stateless: bool,
}

/// The judge. Cheap to clone.
#[derive(Clone, Default)]
pub struct Invariants {
    inner: Arc<Mutex<Inner>>,
}

impl Invariants {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens to everything in the world.
    pub fn watch(&self, world: &World) {
        let (judge, flink) = (self.clone(), world.flink.clone());
        world.flink.set_listener(move |started| judge.hear(&flink, started));
        let (judge, api) = (self.clone(), world.api.clone());
        world.watcher.on_change(move |change| judge.see(&api, change));
    }

    /// Takes what was found since the last call.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().violations)
    }

    /// Judged starts of a cluster's job, oldest first.
    pub fn starts(&self, key: &ClusterKey) -> Vec<Start> {
        self.lock().clusters.get(key).map(|cluster| cluster.starts.clone()).unwrap_or_default()
    }

    /// Looks for two JobManagers. Called between events, never from inside a process.
    pub fn inspect(&self, flink: &FlinkWorld) {
        for key in flink.crowded() {
            let facts = flink.facts(&key);
            let alive: Vec<_> = facts.iter().filter(|(_, facts)| !facts.phase.is_exited()).collect();
            let deployments: BTreeSet<String> = flink.deployments(&key).into_iter().collect();
            if deployments.len() > 1 {
                self.report(format!(
                    "{key}: JobManagers of {} Deployments are alive at once",
                    deployments.len()
                ));
            }
            let is_executing = |facts: &fake_flink::Facts| {
                facts.phase == Phase::Leading && facts.jobs.iter().any(|job| job.processing)
            };
            let executing = alive.iter().filter(|(_, facts)| is_executing(facts)).count();
            if executing > 1 {
                self.report(format!("{key}: {executing} JobManagers execute the job at once"));
            }
        }
    }

    fn report(&self, text: String) {
        let mut inner = self.lock();
        if !inner.violations.contains(&text) {
            inner.violations.push(text);
        }
    }

    fn hear(&self, flink: &FlinkWorld, started: &Started) {
        let JobFact::Started { job, restored_from, progress } = &started.fact else { return };
        let mut inner = self.lock();
        let cluster = inner.clusters.entry(started.cluster.clone()).or_default();
        let newest = cluster.newest(flink, restored_from.as_deref());
        cluster.jobs.insert(job.clone());
        if !cluster.judged.insert(started.deployment.clone()) {
            cluster.give_up_beyond(*progress, flink);
            return;
        }
        let start = Start { restored_from: restored_from.clone(), progress: *progress, newest };
        let verdict = cluster.judge(&start);
        cluster.starts.push(start);
        // Also after a start from nothing or from an old savepoint, when the user asked for it.
        cluster.give_up_beyond(*progress, flink);
        cluster.redeploy_nonce = cluster.spec["job"]["savepointRedeployNonce"].clone();
        cluster.was_stateless = cluster.is_stateless();
        let key = &started.cluster;
        inner.violations.extend(verdict.map(|text| format!("{key}: {text}")));
    }

    fn see(&self, api: &fake_kube_apiserver::ApiServer, change: &Change) {
        if change.resource.plural != "flinkdeployments" {
            return;
        }
        let text = |pointer| change.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let key = ClusterKey::new(text("/metadata/namespace"), text("/metadata/name"));
        if lost_its_finalizer(change)
            && let Some(left) = what_is_left(api, &key)
        {
            self.report(format!("{key}: the finalizer left while {left} was still there"));
        }
        let mut inner = self.lock();
        let cluster = inner.clusters.entry(key).or_default();
        if cluster.uid != text("/metadata/uid") {
            *cluster = Cluster { uid: text("/metadata/uid").to_owned(), ..Cluster::default() };
            cluster.redeploy_nonce = change.object["spec"]["job"]["savepointRedeployNonce"].clone();
        }
        if change.kind != ChangeKind::Deleted {
            cluster.spec = change.object["spec"].clone();
            cluster.was_stateless |= cluster.is_stateless();
        }
    }
}

impl Cluster {
    fn is_stateless(&self) -> bool {
        matches!(self.spec["job"]["upgradeMode"].as_str(), None | Some("stateless"))
    }

    /// The newest state of this resource's jobs that can still be read. A savepoint taken while the job went on is no
    /// part of recovery: whoever goes on from the job's own checkpoints may pass it over (FLIP-203). The savepoint of a
    /// stop cannot be passed over that way, since Flink discards the checkpoints of a job that has finished.
    fn newest(&self, flink: &FlinkWorld, from: Option<&str>) -> Option<(String, u64)> {
        let source = from.and_then(|path| flink.storage.readable(path));
        let source = source.filter(|snapshot| !snapshot.savepoint);
        let is_passed_over = |snapshot: &Snapshot| {
            snapshot.savepoint && source.as_ref().is_some_and(|source| source.job == snapshot.job)
        };
        let own = flink.storage.snapshots_of(&self.jobs).into_iter();
        own.filter(|(_, snapshot)| !is_passed_over(snapshot))
            .map(|(path, snapshot)| (path, snapshot.progress))
            .filter(|found| !self.given_up.contains(found))
            .max_by_key(|(_, progress)| *progress)
    }

    /// The job goes on from here, by the user's choice or Flink's own doing.
    fn give_up_beyond(&mut self, progress: u64, flink: &FlinkWorld) {
        let own = flink.storage.snapshots_of(&self.jobs).into_iter();
        let beyond = own.filter(|(_, snapshot)| snapshot.progress > progress);
        self.given_up.extend(beyond.map(|(path, snapshot)| (path, snapshot.progress)));
    }

    fn judge(&self, start: &Start) -> Option<String> {
        let nonce = &self.spec["job"]["savepointRedeployNonce"];
        let is_users_choice = self.was_stateless
            || self.starts.is_empty()
            || (!nonce.is_null() && *nonce != self.redeploy_nonce);
        if is_users_choice {
            return None;
        }
        match (&start.restored_from, &start.newest) {
            (None, Some((path, progress))) => {
                Some(format!("the job started from empty state although {path} (progress {progress}) exists"))
            }
            (None, None) if self.starts.len() > 1 || self.has_run() => None,
            (Some(from), Some((path, progress))) if start.progress < *progress => Some(format!(
                "the job was restored from {from} (progress {}), older than {path} (progress {progress})",
                start.progress
            )),
            _ => None,
        }
    }

    fn has_run(&self) -> bool {
        !self.jobs.is_empty()
    }
}

fn lost_its_finalizer(change: &Change) -> bool {
    let has =
        |object: &Value| object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    let had = change.old.as_deref().is_some_and(has);
    had && (change.kind == ChangeKind::Deleted || !has(&change.object))
}

/// The Deployment or a JobManager pod that still runs.
fn what_is_left(api: &fake_kube_apiserver::ApiServer, key: &ClusterKey) -> Option<String> {
    let client = api.client("invariants");
    if client.get(&Resource::new("apps", "v1", "deployments"), &key.namespace, &key.name).is_ok() {
        return Some(format!("Deployment {}", key.name));
    }
    let selector = format!("app={},component=jobmanager", key.name);
    let pods = client.list(&Resource::core("pods"), &key.namespace, &selector).unwrap_or_default();
    let is_alive =
        |pod: &&Arc<Value>| !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    pods.iter()
        .find(is_alive)
        .map(|pod| format!("pod {}", pod["metadata"]["name"].as_str().unwrap_or_default()))
}
