//! One job: its graph with subtasks, its history, its coordinator. Data and small pure questions; transitions are in
//! `lifecycle.rs`.

use super::checkpoints::Coordinator;
use super::flow::Flow;
use super::restart::RestartStrategy;
use super::state::{JobState, TaskState};
use crate::conf::Conf;
use crate::program;
use crate::program::mode::{BatchScheduler, Sizing};
use crate::storage::Snapshot;
use crate::throwable::{Throwable, class};
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub struct Subtask {
    pub state: TaskState,
    pub attempt: u32,
    pub stamps: [i64; 10],
    pub tm: Option<String>,
    pub failure: Option<(Throwable, i64)>,
    /// The state the log has told.
    pub told: TaskState,
    /// Attempts before this one, oldest first; their own lists are empty.
    pub past: VecDeque<Subtask>,
}

impl Subtask {
    pub(crate) fn new(now: i64) -> Subtask {
        let mut stamps = [-1; 10];
        stamps[TaskState::Created.index()] = now;
        Subtask {
            state: TaskState::Created,
            attempt: 0,
            stamps,
            tm: None,
            failure: None,
            told: TaskState::Created,
            past: VecDeque::new(),
        }
    }

    /// This attempt or an earlier one that is still remembered.
    pub fn attempt(&self, number: i64) -> Option<&Subtask> {
        let mut known = self.past.iter().chain([self]);
        known.find(|s| i64::from(s.attempt) == number)
    }

    /// The next attempt; at most `kept` earlier ones are remembered.
    pub fn again(&mut self, kept: usize, now: i64) {
        let mut past = std::mem::take(&mut self.past);
        let attempt = self.attempt + 1;
        past.push_back(std::mem::replace(self, Subtask::new(now)));
        past.drain(..past.len().saturating_sub(kept));
        (self.past, self.attempt) = (past, attempt);
    }

    pub fn go(&mut self, state: TaskState, now: i64) {
        if self.state != state {
            self.state = state;
            self.stamps[state.index()] = now;
        }
    }

    /// The next state on the way to RUNNING, for a task that is at `from`.
    pub fn follow(&mut self, from: TaskState, to: TaskState, now: i64) {
        if self.state == from {
            self.go(to, now);
        }
    }

    /// When it was deployed, or -1.
    pub fn start(&self) -> i64 {
        self.stamps[TaskState::Deploying.index()]
    }

    /// How long state was loaded.
    pub fn initialization_ms(&self) -> i64 {
        let stamp = |state: TaskState| self.stamps[state.index()];
        match (stamp(TaskState::Initializing), stamp(TaskState::Running)) {
            (from, until) if from >= 0 && until >= from => until - from,
            _ => 0,
        }
    }

    pub fn end(&self) -> i64 {
        if self.state.is_terminal() { self.stamps[self.state.index()] } else { -1 }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Vertex {
    pub id: String,
    pub spec: program::VertexSpec,
    pub parallelism: u32,
    pub max_parallelism: u32,
    pub subtasks: Vec<Subtask>,
    /// Its tasks are known: only a stage of a batch job that has not begun may have none yet.
    pub is_sized: bool,
    /// How many they are is left to the scheduler.
    pub is_open: bool,
    /// Where stages do not share slots.
    pub slot_group: Option<String>,
}

impl Vertex {
    /// -1 while nobody has decided it.
    pub fn parallelism_shown(&self) -> i64 {
        if self.is_open && !self.is_sized { -1 } else { i64::from(self.parallelism) }
    }

    pub fn status(&self) -> TaskState {
        let states: Vec<TaskState> = self.subtasks.iter().map(|s| s.state).collect();
        TaskState::aggregate(&states)
    }

    /// Milliseconds its tasks are INITIALIZING.
    pub fn opening(&self, usual: i64) -> i64 {
        const LONGEST: u128 = 1 << 40;
        self.spec.opening.map_or(usual, |time| time.as_millis().min(LONGEST) as i64)
    }

    pub fn count(&self, state: TaskState) -> usize {
        self.subtasks.iter().filter(|s| s.state == state).count()
    }

    /// `name (1/2)`.
    pub fn task_name(&self, subtask: usize) -> String {
        format!("{} ({}/{})", self.spec.name, subtask + 1, self.parallelism)
    }
}

/// One entry of the exception history.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub cause: Throwable,
    pub at: i64,
    /// Task name with its execution number, and TaskManager; `None` for failures of the job as a whole.
    pub task: Option<(String, Option<String>)>,
    pub concurrent: Vec<Failure>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub id: String,
    /// The id again, for timers to share.
    pub key: Arc<str>,
    pub name: String,
    pub state: JobState,
    /// By state; 0 is never.
    pub stamps: [i64; 11],
    pub program: program::Job,
    pub conf: Conf,
    pub parallelism: u32,
    /// Submitted with -1, the system's default.
    pub is_parallelism_unset: bool,
    pub slot_group: String,
    /// Empty until the scheduler made the graph.
    pub vertices: Vec<Vertex>,
    pub coordinator: Option<Coordinator>,
    /// Of batch jobs.
    pub scheduler: Option<BatchScheduler>,
    /// Its graph grows stage by stage (2.x, under the scheduler of batch jobs).
    pub grows: bool,
    pub restart: RestartStrategy,
    pub restarts: u64,
    pub rescales: u64,
    pub history: VecDeque<Failure>,
    /// The failure it restarts from, where a version adds it to the history only when the delay is over.
    pub unarchived: Option<Failure>,
    /// Why it FAILED.
    pub failure: Option<Throwable>,
    /// Voids timers of earlier attempts.
    pub generation: u64,
    pub slots: Vec<String>,
    pub progress_base: u64,
    /// Milliseconds the vertices of this attempt open that do not say it themselves.
    pub usual_opening: i64,
    /// All tasks run since.
    pub running_since: Option<i64>,
    pub flow: Flow,
    pub restore: Restore,
    pub adaptive: bool,
    pub fail_every_attempt: Option<FailPlan>,
    pub accumulators: u64,
    /// Made by a failing `main()`: there is no graph, and job details are a NullPointerException.
    pub driver_only: bool,
    /// For the uptime metrics: milliseconds spent per state before the current one.
    pub spent: [i64; 11],
    pub last_change: i64,
    /// Lower and upper bound of each vertex, for the adaptive scheduler.
    pub requirements: Vec<(i64, u32)>,
    /// Parallelism of each vertex as submitted.
    pub declared: Vec<u32>,
    /// When the slots there are will have been enough for long enough.
    pub resources_stable_at: Option<i64>,
    /// The next execution starts with the slots the job has.
    pub is_rescaling: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FailPlan {
    pub cause: Throwable,
    pub left: Option<u32>,
}

/// Where a job was told to start from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restore {
    pub path: Option<String>,
    pub allow_non_restored: bool,
    pub claim: ClaimMode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimMode {
    Claim,
    #[default]
    NoClaim,
    Legacy,
}

impl Job {
    /// Moves to `state` if such a transition exists; says whether it did.
    pub fn go(&mut self, state: JobState, now: i64) -> bool {
        if !self.state.allows(state) {
            return false;
        }
        self.spent[self.state.index()] += now - self.last_change;
        self.last_change = now;
        self.state = state;
        self.stamps[state.index()] = now;
        true
    }

    pub fn build_graph(&mut self, now: i64) {
        let max = self.conf.int("pipeline.max-parallelism", -1);
        let overrides = self.conf.map("pipeline.jobvertex-parallelism-overrides");
        let grows = self.grows;
        let sizing = self.scheduler.map_or(Sizing::Nobody, BatchScheduler::sizing);
        let mut sized = Vec::new();
        let vertices = self.program.vertices.iter().map(|spec| {
            let overridden = overrides.get(spec.id()).and_then(|p| p.parse().ok());
            let parallelism = overridden.or(spec.parallelism).unwrap_or(self.parallelism).max(1);
            let own = spec.max_parallelism.or(u32::try_from(max).ok().filter(|m| *m > 0));
            // What the scheduler of batch jobs decides later stays below the parallelism of the job.
            let is_open = overridden.is_none() && sizing.leaves_open(spec);
            let own = own.or(is_open.then_some(parallelism));
            let is_old = is_open && spec.is_source() && sizing == Sizing::UnsetButKeyed;
            let parallelism = if is_old { 1 } else { parallelism };
            let is_sized = spec.is_source()
                || !is_open && !grows && spec.inputs.iter().all(|input| sized.get(input.from) == Some(&true));
            sized.push(is_sized);
            let tasks = if is_sized { parallelism as usize } else { 0 };
            Vertex {
                id: spec.id().to_owned(),
                spec: spec.clone(),
                parallelism,
                max_parallelism: own.unwrap_or_else(|| default_max_parallelism(parallelism)),
                subtasks: vec![Subtask::new(now); tasks],
                is_sized,
                is_open,
                slot_group: None,
            }
        });
        self.vertices = vertices.collect();
        self.declared = self.vertices.iter().map(|v| v.parallelism).collect();
        let reactive = super::adaptive::is_reactive(&self.conf);
        let upper = |v: &Vertex| if reactive { v.max_parallelism } else { v.parallelism };
        self.requirements = self.vertices.iter().map(|v| (1, upper(v))).collect();
    }

    /// State is cut into as many key groups as it was written with: a maximum that nobody set follows the snapshot, one
    /// that somebody set must be the same (`Checkpoints.loadAndValidateCheckpoint`, `StateAssignmentOperation`).
    pub fn fit_maximum(&mut self, snapshot: &Snapshot) -> Result<(), Throwable> {
        let has_own = self.conf.int("pipeline.max-parallelism", -1) > 0;
        for (operator, written) in snapshot.operators.iter().zip(&snapshot.max_parallelism) {
            let Some(vertex) = self.vertices.iter_mut().find(|v| v.id == *operator) else { continue };
            let is_set = has_own || vertex.spec.max_parallelism.is_some();
            let now = vertex.max_parallelism;
            if is_set && now != *written {
                return Err(Throwable::new(
                    class::ILLEGAL_STATE,
                    format!(
                        "Failed to rollback to checkpoint/savepoint Checkpoint Metadata. Max parallelism mismatch between checkpoint/savepoint state and new program. Cannot map operator {operator} with max parallelism {written} to new program with max parallelism {now}. This indicates that the program has been changed in a non-compatible way after the checkpoint/savepoint."
                    ),
                ));
            }
            if vertex.parallelism > *written {
                let (id, given) = (&vertex.id, vertex.parallelism);
                return Err(Throwable::new(
                    class::ILLEGAL_STATE,
                    format!(
                        "The state for task {id} can not be restored. The maximum parallelism ({written}) of the restored state is lower than the configured parallelism ({given}). Please reduce the parallelism of the task to be lower or equal to the maximum parallelism."
                    ),
                ));
            }
            vertex.max_parallelism = *written;
        }
        Ok(())
    }

    pub fn start_time(&self) -> i64 {
        self.stamps[JobState::Initializing.index()]
    }

    pub fn end_time(&self) -> i64 {
        if self.state.is_terminal() { self.stamps[self.state.index()] } else { -1 }
    }

    pub fn duration(&self, now: i64) -> i64 {
        let end = if self.state.is_terminal() { self.end_time() } else { now };
        (end - self.start_time()).max(0)
    }

    pub fn last_modification(&self) -> i64 {
        let tasks = self.vertices.iter().flat_map(|v| &v.subtasks).flat_map(|s| s.stamps);
        tasks.chain(self.stamps).max().unwrap_or(0)
    }

    /// Slots one slot sharing group wants: under the adaptive scheduler fewer may do.
    pub fn slots_needed(&self) -> usize {
        let wanted: Box<dyn Iterator<Item = u32>> = match self.adaptive {
            true => Box::new(self.requirements.iter().map(|(_, upper)| *upper)),
            false => Box::new(self.vertices.iter().map(|v| v.parallelism)),
        };
        if self.is_staged() {
            return self.slots_of_stages();
        }
        wanted.max().unwrap_or(0) as usize
    }

    /// Gives each vertex this parallelism; new subtasks continue the count of attempts.
    pub fn resize(&mut self, parallelism: &[u32], now: i64) {
        for (vertex, p) in self.vertices.iter_mut().zip(parallelism) {
            let attempt = vertex.subtasks.first().map_or(0, |s| s.attempt);
            vertex.parallelism = *p;
            vertex.subtasks.resize_with(*p as usize, || Subtask { attempt, ..Subtask::new(now) });
        }
    }

    pub fn all_running(&self) -> bool {
        if self.is_staged() {
            return self.state == JobState::Running
                && self.vertices.iter().any(|v| v.count(TaskState::Running) > 0);
        }
        self.state == JobState::Running
            && !self.vertices.is_empty()
            && self
                .vertices
                .iter()
                .all(|v| v.count(TaskState::Running) + v.count(TaskState::Finished) == v.subtasks.len())
    }

    /// How far the job is: records its sources read. Without a described workload it grows at the program's rate.
    pub fn progress(&self, now: i64) -> u64 {
        if self.program.has_workload() {
            return if self.running_since.is_some() {
                self.flow_at(now).progress()
            } else {
                self.progress_base
            };
        }
        let ran = self.running_since.map_or(0, |since| (now - since).max(0) as u64);
        self.progress_base.saturating_add(ran.saturating_mul(self.rate_per_second()) / 1000)
    }

    /// What the accumulator of a job that counts records stands at.
    pub fn counted(&self, now: i64) -> u64 {
        match (self.state, self.program.fail_at) {
            (JobState::Finished, _) if self.accumulators > 0 => self.accumulators,
            (JobState::Failed, Some(fail_at)) => fail_at,
            _ => self.progress(now),
        }
    }

    /// As the job's configuration tells it.
    pub fn parallelism_shown(&self) -> i64 {
        if self.is_parallelism_unset {
            return -1;
        }
        // Under the adaptive scheduler what was asked for, whatever it got; without a graph nothing is known (recorded).
        let has_graph = self.state != JobState::Created && self.stamps[JobState::Running.index()] != 0;
        i64::from(match self.adaptive {
            true if !has_graph => 1,
            true => self.declared.iter().copied().max().unwrap_or(self.parallelism),
            false => self.parallelism,
        })
    }

    pub fn rate_per_second(&self) -> u64 {
        self.program.rate.saturating_mul(u64::from(self.parallelism)).max(1)
    }

    /// All tasks run from now on.
    pub fn run(&mut self, now: i64) {
        self.running_since = Some(now);
        self.flow.begin(&self.vertices, self.progress_base, now);
    }

    /// No task runs any more; what was reached stays.
    pub fn halt(&mut self, now: i64) {
        self.settle(now);
        self.progress_base = self.progress(now);
        self.running_since = None;
    }

    /// Brings the flow up to now, so that later looks have a short way.
    pub fn settle(&mut self, now: i64) {
        if self.running_since.is_some() {
            self.flow.advance(&self.vertices, self.program.rate as f64, now);
        }
    }

    /// The flow as it stands now.
    pub fn flow_at(&self, now: i64) -> Flow {
        let mut flow = self.flow.clone();
        if self.running_since.is_some() {
            flow.advance(&self.vertices, self.program.rate as f64, now);
        }
        flow
    }

    /// When the sources will have read this many records each subtask, counted from `from`.
    pub fn reads(&self, each: u64, from: u64) -> Option<i64> {
        let sources = self.vertices.iter().filter(|v| v.spec.is_source());
        let subtasks: u64 = sources.map(|v| u64::from(v.parallelism)).sum();
        let wanted = from.saturating_add(each.saturating_mul(subtasks));
        self.flow.reaches(&self.vertices, self.program.rate as f64, wanted)
    }

    /// Bytes of state after this much progress: as described, else so many per subtask.
    pub fn state_bytes(&self, each: u64, progress: u64) -> u64 {
        let of = |v: &Vertex| match v.spec.work.state {
            Some(state) => state.after(progress),
            None => each * u64::from(v.parallelism),
        };
        self.vertices.iter().map(of).fold(0, u64::saturating_add)
    }

    /// What of it a snapshot writes. An incremental checkpoint leaves out what the one before it holds; state of which
    /// nothing is said changes as a whole.
    pub fn written_bytes(&self, each: u64, progress: u64, kind: super::checkpoints::Kind) -> u64 {
        let all = self.state_bytes(each, progress);
        let Some(c) = self.coordinator.as_ref().filter(|c| c.config.incremental) else { return all };
        let Some(last) = c.retained.back().filter(|last| !last.is_savepoint) else { return all };
        if kind != super::checkpoints::Kind::Checkpoint
            || self.vertices.iter().all(|v| v.spec.work.state.is_none())
        {
            return all;
        }
        let before = last.snapshot.progress.min(progress);
        let changed = |v: &Vertex| match v.spec.work.state {
            Some(state) => state.per_record.saturating_mul(progress - before).min(state.after(progress)),
            None => each * u64::from(v.parallelism),
        };
        self.vertices.iter().map(changed).fold(0, u64::saturating_add)
    }

    pub fn each_subtask(&mut self, mut f: impl FnMut(&mut Subtask)) {
        self.vertices.iter_mut().flat_map(|v| &mut v.subtasks).for_each(&mut f);
    }

    /// Milliseconds spent in `state` so far.
    pub fn time_in(&self, state: JobState, now: i64) -> i64 {
        let current = if self.state == state && !state.is_terminal() { now - self.last_change } else { 0 };
        self.spent[state.index()] + current
    }

    pub fn operators(&self) -> Vec<String> {
        self.vertices.iter().map(|v| v.id.clone()).collect()
    }
}

/// `KeyGroupRangeAssignment.computeDefaultMaxParallelism`.
fn default_max_parallelism(parallelism: u32) -> u32 {
    let wanted = parallelism.saturating_add(parallelism / 2).max(1);
    wanted.checked_next_power_of_two().unwrap_or(32_768).clamp(128, 32_768)
}
