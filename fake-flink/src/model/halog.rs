//! When HA metadata is written: the mirror of this cluster's ConfigMaps and every change Flink makes to them.
//!
//! The table of reference section 8 row by row. The mirror is what this process believes; what others did to the
//! ConfigMaps comes in through `Event::HaChanged`.

use super::api::{Effect, HaLoss};
use super::cluster::{Cluster, Timer};
use super::facts::Phase;
use super::ha::{self, ConfigMap, HaState, Lock};
use super::state::JobState;
use crate::conf::Conf;
use crate::logs::Level;
use crate::storage::{HaFile, Plan, normal};

pub(crate) struct HaLog {
    pub enabled: bool,
    cluster_id: String,
    directory: String,
    /// The job result store's folder unless configured: beside the cluster's own (reference, section 8).
    results: String,
    state: HaState,
    lock: Option<Lock>,
    /// The lock of another as it was when the wait for it began.
    awaited: Option<String>,
    pub session: String,
}

impl HaLog {
    pub fn new(conf: &Conf, state: HaState) -> HaLog {
        let kind = conf.get("high-availability.type").unwrap_or("none").to_ascii_lowercase();
        let enabled = kind == "kubernetes" || kind.ends_with("kuberneteshaservicesfactory");
        let cluster_id = conf.get("kubernetes.cluster-id").unwrap_or("flink").to_owned();
        let storage = normal(conf.get("high-availability.storageDir").unwrap_or("file:///flink/ha"));
        // `/default` unless native Kubernetes set it (reference section 8).
        let sub =
            conf.get("high-availability.cluster-id").unwrap_or("default").trim_start_matches('/').to_owned();
        HaLog {
            enabled,
            cluster_id,
            results: format!("{storage}/job-result-store/{sub}"),
            directory: format!("{storage}/{sub}"),
            state,
            lock: None,
            awaited: None,
            session: String::new(),
        }
    }

    pub fn state(&self) -> &HaState {
        &self.state
    }

    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn cluster_map(&self) -> String {
        ha::cluster_map(&self.cluster_id)
    }

    fn job_map(&self, job: &str) -> String {
        ha::job_map(&self.cluster_id, job)
    }

    fn lock_text(&self) -> Option<&String> {
        self.state.maps.get(&self.cluster_map())?.annotations.get(ha::LEADER_ANNOTATION)
    }

    pub fn await_lock(&mut self) {
        self.awaited = self.lock_text().cloned();
    }

    /// Its holder is alive: it has renewed the lock during the wait.
    pub fn is_renewed_by_another(&self) -> bool {
        self.enabled && self.foreign_lock().is_some() && self.lock_text() != self.awaited.as_ref()
    }

    /// A lock somebody else left: its holder.
    pub fn foreign_lock(&self) -> Option<(String, u64)> {
        let map = self.state.maps.get(&self.cluster_map())?;
        let (holder, transitions) = Lock::read(map.annotations.get(ha::LEADER_ANNOTATION)?)?;
        (!holder.is_empty()).then_some((holder, transitions))
    }
}

impl Cluster {
    pub(crate) fn lease_ms(&self) -> i64 {
        self.conf.millis("high-availability.kubernetes.leader-election.lease-duration", 15_000)
    }

    fn change_map(&mut self, name: String, change: impl FnOnce(&mut ConfigMap)) {
        let labels = ha::labels(&self.ha.cluster_id, self.version);
        let before = self.ha.state.maps.get(&name).cloned();
        let map = self.ha.state.maps.entry(name.clone()).or_default();
        map.labels.extend(labels);
        change(map);
        if before.as_ref() != Some(&*map) {
            let map = map.clone();
            self.emit(Effect::WriteHa { name, map, is_new: before.is_none() });
        }
    }

    fn delete_map(&mut self, name: String) {
        if self.ha.state.maps.remove(&name).is_some() {
            self.emit(Effect::DeleteHa { name });
        }
    }

    /// Takes the lock and publishes the components.
    pub(crate) fn ha_granted(&mut self) {
        self.ha.session = self.ids.uuid();
        if !self.ha.enabled {
            return;
        }
        let now = self.timestamp();
        let transitions = self.ha.foreign_lock().map_or(0, |(_, n)| n + 1);
        let lock = Lock {
            holder: self.ids.uuid(),
            lease_ms: self.lease_ms(),
            acquired: now,
            renewed: now,
            transitions,
        };
        let (ip, session, version) = (self.pod_ip.clone(), self.ha.session.clone(), self.version);
        let rest = format!("{session},http://{ip}:{}", self.rest_port());
        let rpc = self.rpc_address();
        let name = self.ha.cluster_map();
        self.ha.lock = Some(lock.clone());
        self.change_map(name, |map| {
            map.annotations.insert(ha::LEADER_ANNOTATION.to_owned(), lock.text(version));
            map.data.insert(ha::component_key("restserver"), rest);
            map.data.insert(
                ha::component_key("resourcemanager"),
                format!("{session},{rpc}/user/rpc/resourcemanager_0"),
            );
            map.data
                .insert(ha::component_key("dispatcher"), format!("{session},{rpc}/user/rpc/dispatcher_1"));
        });
        self.schedule_renewal();
    }

    pub(crate) fn rest_port(&self) -> i64 {
        self.conf.int("rest.port", 8081)
    }

    pub(crate) fn rpc_address(&self) -> String {
        let port =
            self.conf.int("high-availability.jobmanager.port", self.conf.int("jobmanager.rpc.port", 6123));
        let scheme =
            if self.version.since_1_20() || self.version == crate::Version::V1_18 { "pekko" } else { "akka" };
        format!("{scheme}.tcp://flink@{}:{port}", self.pod_ip)
    }

    fn schedule_renewal(&mut self) {
        if self.knobs.renew_lease {
            let period =
                self.conf.millis("high-availability.kubernetes.leader-election.retry-period", 5_000).max(100);
            self.after(period, Timer::Renew);
        }
    }

    pub(crate) fn renew_lease(&mut self) {
        let now = self.timestamp();
        let (name, version) = (self.ha.cluster_map(), self.version);
        if self.phase == Phase::Leading
            && let Some(lock) = &mut self.ha.lock
        {
            lock.renewed = now;
            let text = lock.text(version);
            self.change_map(name, |map| {
                map.annotations.insert(ha::LEADER_ANNOTATION.to_owned(), text);
            });
            self.schedule_renewal();
        }
    }

    /// The stored jobs in key order: the key, and the plan unless its file cannot be read.
    pub(crate) fn ha_stored_jobs(&self) -> Vec<(String, Option<Plan>)> {
        let prefix = ha::plan_key(self.version, "");
        let Some(map) = self.ha.state.maps.get(&self.ha.cluster_map()).filter(|_| self.ha.enabled) else {
            return Vec::new();
        };
        let keys = map.data.iter().filter(|(key, _)| key.starts_with(&prefix));
        keys.map(|(key, handle)| {
            let file = ha::decode_handle(handle).and_then(|path| self.storage.file(&path));
            let plan = if let Some(HaFile::Plan(plan)) = file { Some(*plan) } else { None };
            (key.clone(), plan)
        })
        .collect()
    }

    pub(crate) fn ha_job_submitted(&mut self, job: &str, plan: Plan) {
        if !self.ha.enabled {
            return;
        }
        let file = format!("{}/{}{}", self.ha.directory, ha::plan_file(self.version), self.ids.hex(12));
        let key = ha::plan_key(self.version, job);
        let name = self.ha.cluster_map();
        if self.ha.state.maps.get(&name).is_some_and(|m| m.data.contains_key(&key)) {
            return;
        }
        self.storage.put_file(&file, HaFile::Plan(Box::new(plan)));
        self.change_map(name, |map| {
            map.data.insert(key, ha::encode_handle(&file, 22_852));
        });
    }

    /// The JobMaster leads: its address, and the job's own map, still empty.
    pub(crate) fn ha_job_started(&mut self, job: &str) {
        if !self.ha.enabled {
            return;
        }
        let key = ha::job_leader_key(self.version, job);
        let number = 2 + self.jobs.get_index_of(job).unwrap_or(0);
        let value = format!("{},{}/user/rpc/jobmanager_{number}", self.ha.session, self.rpc_address());
        let (cluster, own) = (self.ha.cluster_map(), self.ha.job_map(job));
        self.change_map(cluster, |map| {
            map.data.insert(key, value);
        });
        if !self.ha.state.maps.contains_key(&own) {
            self.change_map(own, |_| {});
        }
    }

    /// The retained checkpoint handles of a job, oldest first: id and file.
    pub(crate) fn ha_checkpoints(&self, job: &str) -> Vec<(u64, Option<String>)> {
        if !self.ha.enabled {
            return Vec::new();
        }
        let Some(map) = self.ha.state.maps.get(&self.ha.job_map(job)) else { return Vec::new() };
        let ids = map.data.iter().filter_map(|(key, value)| {
            let id = ha::checkpoint_of(key)?;
            Some((id, ha::decode_handle(value)))
        });
        ids.collect()
    }

    pub(crate) fn ha_counter(&self, job: &str) -> Option<u64> {
        self.ha.state.maps.get(&self.ha.job_map(job))?.data.get("counter")?.parse().ok()
    }

    /// The id counter moves on. False when the map is gone: the counter cannot be written.
    pub(crate) fn ha_count(&mut self, job: &str, next: u64) -> bool {
        if !self.ha.enabled {
            return true;
        }
        let name = self.ha.job_map(job);
        if !self.ha.state.maps.contains_key(&name) {
            return false;
        }
        self.change_map(name, |map| {
            map.data.insert("counter".to_owned(), next.to_string());
        });
        true
    }

    /// Whether a completed checkpoint could be pointed to.
    pub(crate) fn ha_can_point(&self, job: &str) -> bool {
        !self.ha.enabled || self.ha.state.maps.contains_key(&self.ha.job_map(job))
    }

    /// Adds a checkpoint and drops subsumed ones in one write; gives the file name.
    pub(crate) fn ha_checkpoint_added(
        &mut self,
        job: &str,
        id: u64,
        file: impl FnOnce() -> HaFile,
        dropped: &[u64],
    ) -> Option<String> {
        if !self.ha.enabled {
            return None;
        }
        let name = self.ha.job_map(job);
        if !self.ha.state.maps.contains_key(&name) {
            return None;
        }
        let path = format!("{}/completedCheckpoint{}", self.ha.directory, self.ids.hex(12));
        self.storage.put_file(&path, file());
        let handle = ha::encode_handle(&path, 7_182);
        self.change_map(name, |map| {
            for old in dropped {
                map.data.remove(&ha::checkpoint_key(*old));
            }
            map.data.insert(ha::checkpoint_key(id), handle);
        });
        Some(path)
    }

    /// A globally terminal job leaves nothing behind.
    pub(crate) fn ha_job_cleaned(&mut self, job: &str, state: JobState) {
        if !self.ha.enabled {
            return;
        }
        self.log(
            "KubernetesLeaderElectionHaServices",
            format!("Clean up the high availability data for job {job}."),
        );
        self.store_result(job, state);
        for (_, file) in self.ha_checkpoints(job) {
            file.iter().for_each(|f| self.storage.remove_file(f));
        }
        let plan = ha::plan_key(self.version, job);
        let leader = ha::job_leader_key(self.version, job);
        let name = self.ha.cluster_map();
        if let Some(handle) = self.ha.state.maps.get(&name).and_then(|m| m.data.get(&plan))
            && let Some(file) = ha::decode_handle(handle)
        {
            self.storage.remove_file(&file);
        }
        if self.ha.state.maps.contains_key(&name) {
            self.change_map(name, |map| {
                map.data.remove(&plan);
                map.data.remove(&leader);
            });
        }
        self.delete_map(self.ha.job_map(job));
        self.log(
            "KubernetesLeaderElectionHaServices",
            format!("Finished cleaning up the high availability data for job {job}."),
        );
    }

    fn result_path(&self, job: &str) -> String {
        let configured = self.conf.get("job-result-store.storage-path").map(normal);
        let directory = configured.unwrap_or_else(|| self.ha.results.clone());
        format!("{directory}/{job}.json")
    }

    /// With `delete-on-commit` (the default) a result is gone as soon as the job is cleaned up.
    fn store_result(&mut self, job: &str, state: JobState) {
        if !self.conf.bool("job-result-store.delete-on-commit", true) {
            let result = HaFile::Result { job: job.to_owned(), state: state.name().to_owned() };
            self.storage.put_file(&self.result_path(job), result);
        }
    }

    /// The job ended in an earlier life of this cluster and is remembered.
    pub(crate) fn ha_result_of(&self, job: &str) -> Option<String> {
        if !self.ha.enabled {
            return None;
        }
        match self.storage.file(&self.result_path(job)) {
            Some(HaFile::Result { state, .. }) => Some(state),
            _ => None,
        }
    }

    /// The cluster ends for good: its map goes; maps of jobs that did not end stay.
    pub(crate) fn ha_cluster_cleaned(&mut self) {
        if self.ha.enabled {
            let services = "KubernetesLeaderElectionHaServices";
            self.log(services, "Clean up all data for KubernetesLeaderElectionHaServices.");
            self.delete_map(self.ha.cluster_map());
            self.log(services, "Finished cleaning up the high availability data.");
        }
    }

    /// Graceful stop of the process: leader keys go, everything a successor needs stays.
    pub(crate) fn ha_resigned(&mut self) {
        let name = self.ha.cluster_map();
        if self.ha.enabled && self.ha.state.maps.contains_key(&name) {
            self.change_map(name, |map| map.data.retain(|key, _| !ha::is_leader_key(key)));
        }
    }

    /// Somebody else changed the maps. A vanished lock map ends the process, and a lock held by another the
    /// leadership (public knowledge of `KubernetesLeaderElectionDriver`; not measured).
    pub(crate) fn ha_changed(&mut self, state: HaState) {
        let was = std::mem::replace(&mut self.ha.state, state);
        if !self.ha.enabled || self.phase != Phase::Leading {
            return;
        }
        let name = self.ha.cluster_map();
        match self.ha.state.maps.get(&name) {
            None if was.maps.contains_key(&name) => {
                self.fatal(&format!("ConfigMap {name} is deleted externally"));
            }
            Some(_) => {
                let ours = self.ha.lock.as_ref().map(|l| l.holder.clone());
                let holder = self.ha.foreign_lock().map(|(holder, _)| holder);
                if holder.is_some() && holder != ours {
                    self.leadership_lost("the lock is held by another process");
                }
            }
            None => {}
        }
    }

    /// A fault: what is lost is deleted where the maps are, and this process hears of it as of any other's deed.
    pub(super) fn lose_ha(&mut self, loss: HaLoss) {
        let mut left = self.ha.state.clone();
        let cluster_map = self.ha.cluster_map();
        let is_hit = |name: &String| match loss {
            HaLoss::All => true,
            HaLoss::ClusterMap => *name == cluster_map,
            HaLoss::JobMaps | HaLoss::Checkpoints => *name != cluster_map,
        };
        let names: Vec<String> = left.maps.keys().filter(|name| is_hit(name)).cloned().collect();
        for name in names {
            if loss == HaLoss::Checkpoints {
                let Some(map) = left.maps.get_mut(&name) else { continue };
                map.data.retain(|key, _| ha::checkpoint_of(key).is_none());
                let map = map.clone();
                self.emit(Effect::WriteHa { name, map, is_new: false });
            } else {
                left.maps.remove(&name);
                self.emit(Effect::DeleteHa { name });
            }
        }
        self.ha_changed(left);
    }

    /// A write that does not go through is a renewal missed; Flink resigns after the renew deadline. The model takes
    /// the failed write for the passed deadline.
    pub(crate) fn ha_write_failed(&mut self, name: &str) {
        self.log_at(
            Level::Warn,
            "KubernetesLeaderElectionHaServices",
            format!("Could not update ConfigMap {name}."),
        );
        if name == self.ha.cluster_map() {
            self.leadership_lost("the lock could not be renewed");
        }
    }
}
