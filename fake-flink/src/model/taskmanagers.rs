//! TaskManagers and their slots: registration, loss, allocation, requests for more, release of idle ones.

use super::api::{Effect, ResourceManager, TaskManagers};
use super::cluster::{Cluster, Timer};
use super::job::{Job, Vertex};
use super::state::{JobState, TaskState};
use crate::throwable::{Throwable, class};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskManager {
    pub slots: u32,
    pub registered: i64,
    /// Job per allocated slot.
    pub allocated: Vec<String>,
    pub data_port: u16,
    pub rpc_port: u16,
    pub idle_since: i64,
}

impl TaskManager {
    pub fn free(&self) -> usize {
        (self.slots as usize).saturating_sub(self.allocated.len())
    }
}

const NO_RESOURCE: &str = "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException";
/// Until a standalone ResourceManager has looked: `slotmanager.requirement-check.delay`.
const NOTHING_THERE_MS: i64 = 50;
/// A TaskManager with more slots than this is a mistake in the caller's configuration.
const SLOTS_MAX: u32 = 100_000;

impl Cluster {
    fn resource_manager(&self) -> &'static str {
        match self.resources {
            ResourceManager::Native => "ActiveResourceManager",
            ResourceManager::Standalone => "StandaloneResourceManager",
        }
    }

    pub(super) fn task_manager_up(&mut self, id: String, slots: u32) {
        if !self.phase.listens() {
            // It keeps trying to register; the shell announces it again when it wants to.
            return;
        }
        if self.tms.contains_key(&id) {
            return;
        }
        match self.requested_tms.iter().position(|name| *name == id) {
            Some(at) => {
                self.requested_tms.remove(at);
            }
            None => {
                self.requested_tms.pop();
            }
        }
        let now = self.now;
        let data_port = 30_000 + (self.unit() * 20_000.0) as u16;
        let rpc_port = 6122;
        let slots = slots.min(SLOTS_MAX);
        let host = id.split(':').next().unwrap_or(&id).to_owned();
        self.log(
            self.resource_manager(),
            format!(
                "Registering TaskManager with ResourceID {id} (pekko.tcp://flink@{host}:{rpc_port}/user/rpc/taskmanager_0) at ResourceManager"
            ),
        );
        self.tms.insert(
            id,
            TaskManager {
                slots,
                registered: now,
                allocated: Vec::new(),
                data_port,
                rpc_port,
                idle_since: now,
            },
        );
        self.allocate();
        self.watch_idle();
    }

    pub(super) fn task_manager_lost(&mut self, id: &str) {
        if self.tms.shift_remove(id).is_none() {
            self.requested_tms.retain(|name| name != id);
            self.allocate();
            return;
        }
        self.log(
            self.resource_manager(),
            format!("Closing TaskExecutor connection {id} because: Pod terminated."),
        );
        let hit: Vec<String> =
            self.jobs.values().filter(|j| j.slots.iter().any(|s| s == id)).map(|j| j.id.clone()).collect();
        for job in hit {
            let Some(entry) = self.jobs.get_mut(&job) else { continue };
            entry.slots.retain(|s| s != id);
            let mut vertices = entry.vertices.iter();
            let is_hit = |v: &Vertex| v.subtasks.iter().any(|s| s.tm.as_deref() == Some(id));
            // Under the adaptive scheduler the last one is told first (recorded by 1.20.3).
            let vertex = match entry.adaptive {
                true => vertices.rposition(is_hit),
                false => vertices.position(is_hit),
            };
            let subtask = vertex
                .and_then(|v| entry.vertices[v].subtasks.iter().position(|s| s.tm.as_deref() == Some(id)));
            let text = format!("TaskManager with id {id} is no longer reachable.");
            let cause = Throwable::new("org.apache.flink.runtime.jobmaster.JobMasterException", text);
            match entry.state {
                JobState::Running if vertex.is_some() => self.fail(&job, cause, vertex.zip(subtask)),
                _ => {}
            }
        }
        self.allocate();
    }

    /// Gives free slots to jobs that want them, oldest first, and asks for what is missing.
    pub(super) fn allocate(&mut self) {
        let wanting: Vec<String> =
            self.jobs.values().filter(|j| wants_slots(j)).map(|j| j.id.clone()).collect();
        let mut missing = 0;
        for job in wanting {
            // Slots that one job returned may have started another one meanwhile.
            let Some(needed) = self.jobs.get(&job).filter(|j| wants_slots(j)).map(Job::slots_needed) else {
                continue;
            };
            while self.jobs[&job].slots.len() < needed {
                let Some((id, tm)) = self.tms.iter_mut().find(|(_, tm)| tm.free() > 0) else { break };
                tm.allocated.push(job.clone());
                let id = id.clone();
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.slots.push(id);
                }
            }
            let entry = &self.jobs[&job];
            if entry.is_staged() {
                missing += needed.saturating_sub(entry.slots.len());
                self.deploy_stages(&job);
                continue;
            }
            let (has, is_adaptive) = (entry.slots.len(), entry.adaptive);
            missing += needed.saturating_sub(has);
            if is_adaptive {
                self.resources_changed(&job);
            } else if has >= needed && needed > 0 {
                self.deploy(&job);
            }
        }
        if self.resources == ResourceManager::Native {
            self.request_task_managers(missing);
        }
    }

    /// A job gives back the slots it has beyond `keep`.
    pub(super) fn return_slots(&mut self, job: &str, keep: usize) {
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let surplus = entry.slots.split_off(keep.min(entry.slots.len()));
        for id in &surplus {
            let Some(tm) = self.tms.get_mut(id) else { continue };
            if let Some(at) = tm.allocated.iter().position(|owner| owner == job) {
                tm.allocated.remove(at);
            }
            if tm.allocated.is_empty() {
                tm.idle_since = self.now;
            }
        }
        if !surplus.is_empty() {
            self.allocate();
            self.watch_idle();
        }
    }

    fn request_task_managers(&mut self, missing_slots: usize) {
        let each = self.conf.int("taskmanager.numberOfTaskSlots", 1).clamp(1, i64::from(SLOTS_MAX)) as u32;
        let wanted = missing_slots.div_ceil(each as usize);
        let count = wanted.saturating_sub(self.requested_tms.len());
        if count == 0 {
            return;
        }
        let (cluster, attempt) = (self.ha.cluster_id().to_owned(), self.attempt);
        let first = self.tm_index + 1;
        self.tm_index += count as u32;
        let names: Vec<String> =
            (first..=self.tm_index).map(|i| format!("{cluster}-taskmanager-{attempt}-{i}")).collect();
        for name in &names {
            self.log(self.resource_manager(), format!("Requesting new worker with resource spec WorkerResourceSpec {{numSlots={each}}}, current pending count: {}: {name}.", self.requested_tms.len()));
        }
        self.requested_tms.extend(names.iter().cloned());
        self.emit(Effect::NeedTaskManagers(TaskManagers {
            count: count as u32,
            attempt,
            names,
            slots_each: each,
        }));
    }

    /// How long the default scheduler waits for slots from now on. A standalone ResourceManager gives a fresh cluster
    /// that long to get its TaskManagers, and later says at once that there is nothing (seen on 1.20.3 and 2.2.1).
    pub(super) fn slot_patience(&self) -> i64 {
        let timeout = slot_request_timeout(&self.conf);
        if self.resources == ResourceManager::Native {
            return timeout;
        }
        let start_up = self.conf.millis("resourcemanager.standalone.start-up-time", -1);
        let start_up = if start_up < 0 { timeout } else { start_up };
        (self.started + start_up - self.now).clamp(NOTHING_THERE_MS, timeout.max(NOTHING_THERE_MS))
    }

    pub(super) fn slot_timeout(&mut self, job: &str) {
        let Some(entry) = self.jobs.get(job) else { return };
        // A stage goes on in turns with whatever slots there are.
        let goes_on = entry.adaptive || entry.is_staged() && !entry.slots.is_empty();
        if !wants_slots(entry) || goes_on {
            return;
        }
        let none = |text: &str| Throwable::new(NO_RESOURCE, text);
        let cause = if self.resources == ResourceManager::Standalone {
            none("Could not acquire the minimum required resources.")
        } else {
            // Public knowledge of `PhysicalSlotRequestBulkCheckerImpl`; not seen.
            let timeout = slot_request_timeout(&self.conf);
            none("Slot request bulk is not fulfillable! Could not allocate the required slot within slot request timeout").caused_by(
                Throwable::new("java.util.concurrent.TimeoutException", format!("Timeout has occurred: {timeout} ms")),
            )
        };
        let cause = Throwable::wrap(class::COMPLETION, Throwable::wrap(class::COMPLETION, cause));
        self.fail(job, cause, Some((0, 0)));
    }

    pub(super) fn free_slots_of(&mut self, job: &str) {
        let now = self.now;
        for tm in self.tms.values_mut() {
            let before = tm.allocated.len();
            tm.allocated.retain(|owner| owner != job);
            if tm.allocated.is_empty() && before > 0 {
                tm.idle_since = now;
            }
        }
        self.allocate();
        self.watch_idle();
    }

    /// Native clusters give idle TaskManagers back after a while.
    fn watch_idle(&mut self) {
        if self.resources == ResourceManager::Standalone {
            return;
        }
        let timeout = self.conf.millis("resourcemanager.taskmanager-timeout", 30_000);
        let idle: Vec<(String, i64)> = self
            .tms
            .iter()
            .filter(|(_, tm)| tm.allocated.is_empty())
            .map(|(id, tm)| (id.clone(), tm.idle_since))
            .collect();
        for (id, since) in idle {
            self.at(since + timeout, Timer::IdleTaskManager { id, since });
        }
    }

    pub(super) fn release_if_idle(&mut self, id: &str, since: i64) {
        let idle = self.tms.get(id).is_some_and(|tm| tm.allocated.is_empty() && tm.idle_since == since);
        if idle {
            self.tms.shift_remove(id);
            self.log(self.resource_manager(), format!("Stopping worker {id}."));
            self.emit(Effect::ReleaseTaskManager { id: id.to_owned() });
        }
    }

    pub(crate) fn lose_task_managers(&mut self) {
        for id in self.tms.keys().cloned().collect::<Vec<_>>() {
            self.task_manager_lost(&id);
        }
    }
}

/// Scheduled and not all slots there; under the adaptive scheduler also created, or running on fewer than it wants. A
/// job between restarts keeps its slots and asks later.
fn wants_slots(job: &Job) -> bool {
    let any = |state: TaskState| job.vertices.iter().any(|v| v.count(state) > 0);
    match job.state {
        JobState::Running if job.adaptive => job.slots.len() < job.slots_needed(),
        JobState::Running => any(TaskState::Scheduled),
        JobState::Created => job.adaptive && (any(TaskState::Created) || any(TaskState::Scheduled)),
        _ => false,
    }
}

fn slot_request_timeout(conf: &crate::conf::Conf) -> i64 {
    conf.millis("slot.request.timeout", 300_000)
}
