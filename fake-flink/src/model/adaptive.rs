//! The adaptive scheduler: a job takes the slots there are, and follows when they or its bounds change.
//!
//! Waiting (CREATED, without tasks) it starts at once when every vertex can have its upper bound, after a
//! stabilization timeout when only the lower bounds are met, and fails when nothing sufficient came in time. Executing
//! it rescales in place, at the earliest a cooldown after it began: RESTARTING, CREATED for a moment, RUNNING from the
//! last checkpoint. Bounds that cannot be met leave it running as it is. Seen on 1.20.3 and 2.2.1; the timeouts of
//! 1.18, which knows no cooldown, and of partial resources while executing follow the options' descriptions.

use super::cluster::{Cluster, JobTimer};
use super::job::Job;
use super::state::JobState;
use crate::conf::Conf;
use crate::throwable::Throwable;
use crate::version::Version;

/// How long the scheduler waits for what.
struct Patience {
    /// For sufficient resources; without end in reactive mode.
    resources: Option<i64>,
    /// With sufficient, not desired resources before it starts.
    stabilization: i64,
    /// Between the begin of an execution and its rescale.
    cooldown: i64,
    /// With changed, not desired resources before it rescales.
    executing_stabilization: i64,
    parallelism_increase_min: i64,
}

impl Patience {
    fn of(conf: &Conf, version: Version) -> Patience {
        let reactive = is_reactive(conf);
        let key = |name: &str| format!("jobmanager.adaptive-scheduler.{name}");
        let wait = conf.millis(&key("submission.resource-wait-timeout"), if reactive { -1 } else { 300_000 });
        let settle = if reactive { 0 } else { 10_000 };
        Patience {
            resources: (wait >= 0).then_some(wait),
            stabilization: conf.millis(&key("submission.resource-stabilization-timeout"), settle),
            cooldown: match version.since_1_20() {
                true => conf.millis(&key("executing.cooldown-after-rescaling"), 30_000),
                false => 0,
            },
            executing_stabilization: match version.is_2() {
                true => conf.millis(&key("executing.resource-stabilization-timeout"), 60_000),
                false => 0,
            },
            parallelism_increase_min: conf.int(&key("min-parallelism-increase"), 1),
        }
    }
}

pub(super) fn is_reactive(conf: &Conf) -> bool {
    conf.get("scheduler-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("reactive"))
}

/// Streaming jobs only: batch jobs have a scheduler of their own.
pub(super) fn is_adaptive(conf: &Conf, batch: bool) -> bool {
    let chosen = conf.get("jobmanager.scheduler").is_some_and(|s| s.eq_ignore_ascii_case("adaptive"));
    (chosen || is_reactive(conf)) && !batch
}

impl Job {
    /// The parallelism each vertex would have with this many slots; `None` when a lower bound is not met.
    fn fitting(&self, slots: usize) -> Option<Vec<u32>> {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        self.requirements
            .iter()
            .map(|(lower, upper)| (*lower <= i64::from(slots)).then_some(slots.min(*upper)))
            .collect()
    }

    fn is_fitted(&self, parallelism: &[u32]) -> bool {
        self.vertices.iter().map(|v| &v.parallelism).eq(parallelism)
    }
}

impl Cluster {
    /// New bounds for the vertices of a job.
    pub(crate) fn require(&mut self, job: &str, bounds: Vec<(i64, u32)>) {
        if let Some(entry) = self.jobs.get_mut(job) {
            entry.requirements = bounds;
        }
        self.allocate();
        self.resources_changed(job);
    }

    /// No tasks: wait for slots, showing the declared parallelism.
    pub(super) fn await_resources(&mut self, job: &str) {
        let now = self.now;
        if self.jobs.get(job).is_some_and(|j| j.state == JobState::Restarting) {
            self.go(job, JobState::Created);
        }
        let Some(entry) = self.jobs.get_mut(job) else { return };
        entry.resources_stable_at = None;
        if std::mem::take(&mut entry.is_rescaling) {
            return self.start_with_what_there_is(job);
        }
        let declared = entry.declared.clone();
        entry.resize(&declared, now);
        if let Some(wait) = Patience::of(&entry.conf, self.version).resources {
            self.job_after(job, wait, JobTimer::ResourceWait);
        }
    }

    /// The job got or lost slots, or its bounds changed.
    pub(super) fn resources_changed(&mut self, job: &str) {
        match self.jobs.get(job).map(|j| j.state) {
            Some(JobState::Created) => self.start_when_sufficient(job),
            Some(JobState::Running) => self.consider_rescale(job),
            _ => {}
        }
    }

    fn start_when_sufficient(&mut self, job: &str) {
        let (now, version) = (self.now, self.version);
        let Some(entry) = self.jobs.get_mut(job) else { return };
        if entry.slots.len() >= entry.slots_needed() {
            return self.start_with_what_there_is(job);
        }
        let is_sufficient = !entry.slots.is_empty() && entry.fitting(entry.slots.len()).is_some();
        if !is_sufficient {
            entry.resources_stable_at = None;
        } else if entry.resources_stable_at.is_none() {
            let wait = Patience::of(&entry.conf, version).stabilization;
            entry.resources_stable_at = Some(now + wait);
            self.job_after(job, wait, JobTimer::ResourcesStable);
        }
    }

    pub(super) fn resources_stable(&mut self, job: &str) {
        let Some(entry) = self.jobs.get(job) else { return };
        let due = entry.resources_stable_at.is_some_and(|at| self.now >= at);
        match entry.state {
            JobState::Created if due => self.start_with_what_there_is(job),
            JobState::Running if due => self.rescale(job),
            _ => {}
        }
    }

    /// The wait is over: start with what is sufficient, or fail. The failure makes no entry in the exception history.
    pub(super) fn resource_wait_over(&mut self, job: &str) {
        let Some(entry) = self.jobs.get(job).filter(|j| j.state == JobState::Created) else { return };
        if !entry.slots.is_empty() && entry.fitting(entry.slots.len()).is_some() {
            return self.start_with_what_there_is(job);
        }
        let cause = Throwable::new(
            "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException",
            "Not enough resources available for scheduling.",
        );
        if let Some(entry) = self.jobs.get_mut(job) {
            entry.failure = Some(cause);
        }
        self.failed(job);
    }

    fn start_with_what_there_is(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let Some(parallelism) = entry.fitting(entry.slots.len()) else { return };
        entry.resize(&parallelism, now);
        let widest = parallelism.into_iter().max().unwrap_or(1);
        entry.parallelism = widest;
        entry.resources_stable_at = None;
        self.return_slots(job, widest as usize);
        self.deploy(job);
    }

    /// Rescales if the slots allow another parallelism, once the cooldown is over.
    pub(super) fn consider_rescale(&mut self, job: &str) {
        let (now, version) = (self.now, self.version);
        let Some(entry) = self.jobs.get_mut(job).filter(|j| j.adaptive && j.state == JobState::Running)
        else {
            return;
        };
        let Some(parallelism) = entry.fitting(entry.slots.len()).filter(|p| !entry.is_fitted(p)) else {
            entry.resources_stable_at = None;
            return;
        };
        let patience = Patience::of(&entry.conf, version);
        let cooled = entry.stamps[JobState::Running.index()] + patience.cooldown;
        if now < cooled {
            return self.job_after(job, cooled - now, JobTimer::ConsiderRescale);
        }
        if entry.slots.len() >= entry.slots_needed() {
            return self.rescale(job);
        }
        let sum = |p: &mut dyn Iterator<Item = u32>| p.map(i64::from).sum::<i64>();
        let gain = sum(&mut parallelism.into_iter()) - sum(&mut entry.vertices.iter().map(|v| v.parallelism));
        if (0..patience.parallelism_increase_min).contains(&gain) {
            return;
        }
        if entry.resources_stable_at.is_none() {
            entry.resources_stable_at = Some(now + patience.executing_stabilization);
            self.job_after(job, patience.executing_stabilization, JobTimer::ResourcesStable);
        }
    }

    /// A new execution with the parallelism that fits. Counts as a restart, leaves no exception.
    fn rescale(&mut self, job: &str) {
        let (now, is_2) = (self.now, self.version.is_2());
        let Some(entry) = self.jobs.get_mut(job).filter(|j| j.state == JobState::Running) else { return };
        entry.generation += 1;
        entry.halt(now);
        entry.rescales += 1;
        entry.resources_stable_at = None;
        // 2.x has settled the parallelism by now, 1.x waits for resources as after a failure.
        entry.is_rescaling = is_2;
        self.abort_snapshots(job, "Checkpoint Coordinator is suspending.");
        self.go(job, JobState::Restarting);
        self.job_after(job, RESCALE_MS, JobTimer::Restart);
    }
}

/// RESTARTING until the next execution, as recorded.
const RESCALE_MS: i64 = 70;
