//! Batch jobs: stages that come one after the other.
//!
//! A vertex behind a blocking edge begins when all tasks before it have finished, and only then gets its tasks, as many as
//! the data is worth (`AdaptiveBatchScheduler`). Each task has a slot of its own and waits for one alone, so a job with fewer
//! slots than tasks goes on in turns; slots stay with the job until it is over. A failure takes the tasks with it that are
//! joined by pipelined edges. Recorded on 1.20.3 and 2.2.1; how long a stage behind the sources takes is the model's own.

use super::cluster::{Cluster, JobTimer};
use super::job::{Job, Subtask, Vertex};
use super::state::{JobState, TaskState};
use crate::program::mode::BatchScheduler;

/// `execution.batch.adaptive.auto-parallelism.avg-data-volume-per-task`.
const VOLUME_PER_TASK: u64 = 16 << 20;
/// Bytes of a record in a stage's result; what the recorded jobs write.
const RECORD_BYTES: u64 = 24;
/// What a task behind the sources takes at least.
const TASK_MS: i64 = 20;
/// How far such a task is when it fails.
const TASK_FAILS_MS: i64 = 10;

impl Job {
    /// Its vertices run one after the other.
    pub fn is_staged(&self) -> bool {
        let is_late = |v: &Vertex| !v.is_sized || v.spec.inputs.iter().any(|input| input.is_staged());
        self.scheduler.is_some() && self.vertices.iter().any(is_late)
    }

    /// The vertices that its graph has by now.
    pub fn has_in_graph(&self, vertex: &Vertex) -> bool {
        vertex.is_sized || !self.grows
    }

    /// Operators that its graph does not have yet.
    pub fn pending_operators(&self) -> usize {
        let missing = self.vertices.iter().filter(|v| !self.has_in_graph(v));
        missing.map(|v| v.spec.operators().count()).sum()
    }

    /// A running task whose result somebody reads later.
    pub fn writes_results(&self) -> bool {
        let reads = |at: usize| {
            let mut inputs = self.vertices.iter().flat_map(|v| &v.spec.inputs);
            inputs.any(|input| input.from == at && input.is_staged())
        };
        let mut all = self.vertices.iter().enumerate();
        self.is_staged() && all.any(|(at, v)| reads(at) && v.subtasks.iter().any(|s| occupies(s.state)))
    }

    pub(super) fn slots_of_stages(&self) -> usize {
        let wants = |s: &&Subtask| s.state == TaskState::Scheduled || occupies(s.state);
        self.vertices.iter().flat_map(|v| &v.subtasks).filter(wants).count()
    }

    /// Which vertex fails when nobody says which.
    pub(super) fn failing_vertex(&self) -> usize {
        let running = || self.vertices.iter().position(|v| v.count(TaskState::Running) > 0);
        self.is_staged().then(running).flatten().unwrap_or(self.program.failing_vertex)
    }

    fn is_ready(&self, at: usize) -> bool {
        self.vertices[at].spec.inputs.iter().all(|input| {
            let before = &self.vertices[input.from];
            let begun = |s: &Subtask| s.state != TaskState::Created;
            match input.is_staged() {
                true => before.is_over(),
                false => before.is_sized && before.subtasks.iter().all(begun),
            }
        })
    }

    /// Nothing is left to decide: its tasks are there before their turn, unless the graph grows.
    fn has_its_size(&self, at: usize) -> bool {
        let vertex = &self.vertices[at];
        !self.grows && !vertex.is_open && vertex.spec.inputs.iter().all(|i| self.vertices[i.from].is_sized)
    }

    /// Records that all tasks of a vertex read, if that comes to an end.
    fn read_by(&self, at: usize) -> Option<u64> {
        let vertex = &self.vertices[at];
        if vertex.spec.is_source() {
            return Some(self.program.records?.saturating_mul(u64::from(vertex.parallelism)));
        }
        let written = |from: usize| {
            let selectivity = self.vertices[from].spec.work.selectivity.unwrap_or(1.0);
            Some((self.read_by(from)? as f64 * selectivity) as u64)
        };
        vertex.spec.inputs.iter().map(|input| written(input.from)).sum()
    }

    fn tasks_of(&self, at: usize) -> u32 {
        let vertex = &self.vertices[at];
        if !vertex.is_open || vertex.spec.is_source() {
            return vertex.parallelism;
        }
        let volume = self.read_by(at).unwrap_or(0).saturating_mul(RECORD_BYTES);
        let wanted = volume.div_ceil(VOLUME_PER_TASK).min(u64::from(u32::MAX)) as u32;
        wanted.clamp(1, vertex.max_parallelism.max(1))
    }

    /// When a running task will be over, and whether it fails then.
    fn task_over(&self, at: usize, subtask: usize) -> Option<(i64, bool)> {
        let vertex = &self.vertices[at];
        let task = vertex.subtasks.get(subtask).filter(|s| s.state == TaskState::Running)?;
        let since = task.stamps[TaskState::Running.index()];
        let reads = self.read_by(at).map(|all| all / u64::from(vertex.parallelism.max(1)));
        let cost_ms = vertex.spec.work.cost.map_or(0.0, |cost| cost.as_secs_f64() * 1000.0);
        let took = |records: u64| match vertex.spec.is_source() {
            true => (records as f64 * (1000.0 / self.program.rate.max(1) as f64).max(cost_ms)) as i64,
            false => TASK_MS.max((records as f64 * cost_ms) as i64),
        };
        let fails_at = self.program.fail_at.filter(|_| at == self.program.failing_vertex && subtask == 0);
        match fails_at.filter(|n| reads.is_none_or(|all| *n <= all)) {
            Some(n) if vertex.spec.is_source() => Some((since + took(n), true)),
            Some(_) => Some((since + TASK_FAILS_MS, true)),
            None => Some((since.saturating_add(took(reads?)), false)),
        }
    }

    /// Of all running tasks the place of each, when it is over, and whether it fails.
    fn tasks_over(&self) -> Vec<((usize, usize), i64, bool)> {
        let places = self.vertices.iter().enumerate();
        let places = places.flat_map(|(at, v)| (0..v.subtasks.len()).map(move |s| (at, s)));
        places.filter_map(|(at, s)| self.task_over(at, s).map(|(due, fails)| ((at, s), due, fails))).collect()
    }
}

impl Vertex {
    /// All its tasks have finished.
    pub fn is_over(&self) -> bool {
        self.is_sized && self.count(TaskState::Finished) == self.subtasks.len()
    }
}

/// A task in this state holds its slot.
fn occupies(state: TaskState) -> bool {
    use TaskState::*;
    matches!(state, Deploying | Initializing | Running | Canceling)
}

impl Cluster {
    /// Stages share no slots.
    pub(super) fn part_slots(&mut self, job: &str) {
        let Some(count) = self.jobs.get(job).filter(|j| j.is_staged()).map(|j| j.vertices.len()) else {
            return;
        };
        let groups: Vec<String> = (0..count).map(|_| self.ids.hex32()).collect();
        let Some(entry) = self.jobs.get_mut(job) else { return };
        entry.vertices.iter_mut().zip(groups).for_each(|(v, group)| v.slot_group = Some(group));
    }

    /// Whoever may begin now waits for slots.
    pub(super) fn begin_stages(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job) else { return };
        for at in 0..entry.vertices.len() {
            let is_ready = entry.is_ready(at);
            if !entry.vertices[at].is_sized && (is_ready || entry.has_its_size(at)) {
                let tasks = entry.tasks_of(at);
                let vertex = &mut entry.vertices[at];
                (vertex.is_sized, vertex.parallelism) = (true, tasks);
                vertex.subtasks = vec![Subtask::new(now); tasks as usize];
            }
            if !is_ready {
                continue;
            }
            let tasks = entry.vertices[at].subtasks.iter_mut();
            tasks.for_each(|s| s.follow(TaskState::Created, TaskState::Scheduled, now));
        }
    }

    /// Tasks that wait are deployed into the slots of the job that no task holds.
    pub(super) fn deploy_stages(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let mut idle = entry.slots.clone();
        for task in entry.vertices.iter().flat_map(|v| &v.subtasks).filter(|s| occupies(s.state)) {
            if let Some(at) = idle.iter().position(|tm| Some(tm) == task.tm.as_ref()) {
                idle.remove(at);
            }
        }
        let mut idle = idle.into_iter();
        let mut any = false;
        let tasks = entry.vertices.iter_mut().flat_map(|v| &mut v.subtasks);
        for task in tasks.filter(|s| s.state == TaskState::Scheduled) {
            let Some(tm) = idle.next() else { break };
            task.go(TaskState::Deploying, now);
            task.tm = Some(tm);
            any = true;
        }
        if any {
            self.log_tasks(job);
            let wait = self.draw(self.knobs.deploy);
            self.job_after(job, wait, JobTimer::Deployed);
        }
    }

    /// Tasks run: when is the next of them over?
    pub(super) fn stages_run(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let reads = |v: &Vertex| v.spec.is_source() && v.count(TaskState::Running) > 0;
        if entry.running_since.is_none() && entry.vertices.iter().any(reads) {
            entry.run(now);
        }
        let is_running = entry.vertices.iter().any(|v| v.count(TaskState::Running) > 0);
        let due = match entry.fail_every_attempt.is_some() && is_running {
            true => Some(now + 1),
            false => entry.tasks_over().into_iter().map(|(_, due, _)| due).min(),
        };
        if let Some(due) = due {
            self.job_after(job, (due - now).max(1), JobTimer::StageTick);
        }
    }

    pub(super) fn stage_tick(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job).filter(|j| j.state == JobState::Running) else { return };
        if entry.fail_every_attempt.is_some() {
            return self.program_fails(job);
        }
        let mut failing = None;
        for ((at, s), due, fails) in entry.tasks_over() {
            match (due <= now, fails) {
                (true, true) => failing = failing.or(Some((at, s))),
                (true, false) => entry.vertices[at].subtasks[s].go(TaskState::Finished, now),
                (false, _) => {}
            }
        }
        let reads = |v: &Vertex| v.spec.is_source() && !v.is_over();
        if entry.running_since.is_some() && !entry.vertices.iter().any(reads) {
            entry.halt(now);
        }
        if let Some(place) = failing {
            let cause = entry.program.failure.clone();
            return self.fail(job, cause, Some(place));
        }
        if entry.vertices.iter().all(Vertex::is_over) {
            entry.accumulators = entry.program.records.unwrap_or(0);
            self.log_tasks(job);
            let wait = self.draw(self.knobs.finish);
            return self.job_after(job, wait, JobTimer::Finished);
        }
        self.begin_stages(job);
        self.log_tasks(job);
        self.allocate();
        self.stages_run(job);
    }

    /// After a failure elsewhere: the clocks of tasks that went on are wound again.
    pub(super) fn resume_stages(&mut self, job: &str) {
        let any = |state: TaskState| {
            self.jobs.get(job).is_some_and(|j| j.vertices.iter().any(|v| v.count(state) > 0))
        };
        let (deploying, opening) = (any(TaskState::Deploying), any(TaskState::Initializing));
        for what in [(deploying, JobTimer::Deployed), (opening, JobTimer::TasksRunning)] {
            if what.0 {
                let wait = self.draw(self.knobs.restore_state);
                self.job_after(job, wait, what.1);
            }
        }
        self.stages_run(job);
    }

    /// Results went with their TaskManagers: who wrote them starts again, where somebody is still to read them.
    pub(super) fn forget_lost_results(&mut self, job: &str, attempts_kept: usize) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let unread = |at: usize| {
            entry.vertices.iter().any(|v| !v.is_over() && v.spec.inputs.iter().any(|input| input.from == at))
        };
        let unread: Vec<bool> = (0..entry.vertices.len()).map(unread).collect();
        for (vertex, _) in entry.vertices.iter_mut().zip(unread).filter(|(_, unread)| *unread) {
            for task in vertex.subtasks.iter_mut().filter(|s| s.state == TaskState::Finished) {
                if task.tm.as_ref().is_some_and(|tm| !self.tms.contains_key(tm)) {
                    task.again(attempts_kept, now);
                }
            }
        }
    }
}

/// What the scheduler of a job is called.
pub(crate) fn scheduler_name(job: &Job) -> &'static str {
    match job.scheduler {
        Some(BatchScheduler::Adaptive(_)) => "AdaptiveBatchScheduler",
        Some(BatchScheduler::Default) | None => "DefaultScheduler",
    }
}
