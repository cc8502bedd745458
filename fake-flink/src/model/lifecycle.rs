//! A job's life once it is created: scheduling, running, failing, restarting, cancelling, ending.

use super::api::JobFact;
use super::cluster::{Cluster, JobTimer};
use super::job::{Failure, Job, Subtask};
use super::regions::is_down;
use super::state::{JobState, TaskState};
use crate::throwable::{Throwable, class};
use std::collections::BTreeSet;

/// `web.exception-history-size`.
const HISTORY: usize = 16;
/// `jobmanager.execution.attempts-history-size`.
const ATTEMPTS: i64 = 16;

impl Cluster {
    pub(super) fn schedule_tasks(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let adaptive = entry.adaptive;
        entry.running_since = None;
        if adaptive {
            self.await_resources(job);
        } else if entry.is_staged() {
            if !self.go(job, JobState::Running) {
                return;
            }
            self.resume_stages(job);
            self.begin_stages(job);
        } else {
            entry.each_subtask(|s| s.follow(TaskState::Created, TaskState::Scheduled, now));
            if !self.go(job, JobState::Running) {
                return;
            }
            self.start_checkpointing(job);
        }
        self.log_tasks(job);
        self.allocate();
        let waits = self.jobs.get(job).is_some_and(|j| j.slots.len() < j.slots_needed());
        if waits && !adaptive {
            let patience = self.slot_patience();
            self.job_after(job, patience, JobTimer::SlotTimeout);
        }
    }

    /// All slots are there: deploy.
    pub(super) fn deploy(&mut self, job: &str) {
        let now = self.now;
        let adaptive = self.jobs.get(job).is_some_and(|j| j.adaptive);
        if adaptive {
            if !self.go(job, JobState::Running) {
                return;
            }
            self.start_checkpointing(job);
        }
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let slots = entry.slots.clone();
        for vertex in &mut entry.vertices {
            for (index, subtask) in vertex.subtasks.iter_mut().enumerate() {
                if matches!(subtask.state, TaskState::Created | TaskState::Scheduled) {
                    subtask.go(TaskState::Deploying, now);
                    subtask.tm = slots.get(index % slots.len().max(1)).cloned();
                }
            }
        }
        self.log_tasks(job);
        let wait = self.draw(self.knobs.deploy);
        self.job_after(job, wait, JobTimer::Deployed);
    }

    pub(super) fn tasks_deployed(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job).filter(|j| j.state == JobState::Running) else { return };
        entry.each_subtask(|s| s.follow(TaskState::Deploying, TaskState::Initializing, now));
        if let Some(cause) = self.unreadable_state(job) {
            let vertex = self.jobs[job].program.failing_vertex;
            return self.fail(job, cause, Some((vertex, 0)));
        }
        self.log_tasks(job);
        let usual = self.draw(self.knobs.restore_state);
        let Some(entry) = self.jobs.get_mut(job) else { return };
        entry.usual_opening = usual;
        let openings: BTreeSet<i64> = entry.vertices.iter().map(|v| v.opening(usual)).collect();
        for wait in openings {
            self.job_after(job, wait, JobTimer::TasksRunning);
        }
    }

    /// Tasks read the state they restore from; files that went missing fail them here, attempt after attempt.
    fn unreadable_state(&self, job: &str) -> Option<Throwable> {
        let retained = self.jobs.get(job)?.coordinator.as_ref()?.latest_restorable()?;
        let path = retained.path.as_deref()?;
        let why = self.storage.read(path).err()?;
        let cause = super::submission::read_error(path, why);
        Some(
            Throwable::new("java.lang.Exception", "Exception while creating StreamOperatorStateContext.")
                .caused_by(
                Throwable::new(
                    class::FLINK,
                    "Could not restore operator state backend from any of the 1 provided restore options.",
                )
                .caused_by(cause),
            ),
        )
    }

    pub(super) fn tasks_running(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job).filter(|j| j.state == JobState::Running) else { return };
        let usual = entry.usual_opening;
        for vertex in &mut entry.vertices {
            let opening = vertex.opening(usual);
            let is_open = |s: &Subtask| s.stamps[TaskState::Initializing.index()] + opening <= now;
            vertex.subtasks.iter_mut().filter(|s| is_open(s)).for_each(|s| {
                s.follow(TaskState::Initializing, TaskState::Running, now);
            });
        }
        if entry.is_staged() {
            self.log_tasks(job);
            return self.stages_run(job);
        }
        if !entry.all_running() {
            return self.log_tasks(job);
        }
        entry.run(now);
        let (fails, ends) = (fails_after(entry, now), ends_after(entry, now));
        let planned = entry.fail_every_attempt.is_some();
        self.log_tasks(job);
        if planned {
            self.job_after(job, 1, JobTimer::ProgramFails);
        } else if let Some(ms) = fails {
            self.job_after(job, ms.max(1), JobTimer::ProgramFails);
        }
        if let Some(ms) = ends {
            self.job_after(job, ms, JobTimer::ProgramEnds);
        }
    }

    pub(super) fn program_fails(&mut self, job: &str) {
        let Some(entry) = self.jobs.get_mut(job).filter(|j| j.all_running()) else { return };
        let cause = match &mut entry.fail_every_attempt {
            Some(plan) => {
                let cause = plan.cause.clone();
                let over = plan.left.as_mut().is_some_and(|left| {
                    *left = left.saturating_sub(1);
                    *left == 0
                });
                if over {
                    entry.fail_every_attempt = None;
                }
                cause
            }
            None => entry.program.failure.clone(),
        };
        let vertex = entry.failing_vertex();
        self.fail(job, cause, Some((vertex, 0)));
    }

    pub(super) fn program_ends(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job).filter(|j| j.all_running()) else { return };
        let records = entry.program.records.unwrap_or(0);
        if entry.is_staged() {
            // Its sources end; what comes after them still has its turn.
            entry.program.records = Some(0);
            return self.stage_tick(job);
        }
        entry.accumulators = records;
        self.finish_tasks(job, now);
    }

    /// Sources ended: tasks finish, then the job.
    pub(super) fn finish_tasks(&mut self, job: &str, now: i64) {
        let Some(entry) = self.jobs.get_mut(job) else { return };
        entry.halt(now);
        entry.each_subtask(|s| s.go(TaskState::Finished, now));
        self.log_tasks(job);
        let wait = self.draw(self.knobs.finish);
        self.job_after(job, wait, JobTimer::Finished);
    }

    pub(super) fn finished(&mut self, job: &str) {
        self.abort_snapshots(job, "Checkpoint Coordinator is suspending.");
        if self.go(job, JobState::Finished) {
            self.over(job);
        }
    }

    /// Something failed: a task (vertex, subtask) or the job as a whole. The restart strategy decides what follows.
    pub(super) fn fail(&mut self, job: &str, cause: Throwable, task: Option<(usize, usize)>) {
        let (now, unit) = (self.now, self.unit());
        let Some(entry) = self.jobs.get_mut(job) else { return };
        if !matches!(entry.state, JobState::Running | JobState::Created) {
            return;
        }
        let adaptive = entry.adaptive;
        let place = task;
        let affected = entry.affected_by(task);
        let located = task.and_then(|(v, s)| {
            let vertex = entry.vertices.get_mut(v)?;
            let name = vertex.task_name(s);
            let subtask = vertex.subtasks.get_mut(s)?;
            subtask.go(TaskState::Failed, now);
            subtask.failure = (!adaptive).then(|| (cause.clone(), now));
            Some((format!("{name} - execution #{}", subtask.attempt), subtask.tm.clone()))
        });
        entry.each_affected(&affected, |s| {
            if !s.state.is_terminal() {
                s.go(TaskState::Canceled, now);
            }
        });
        entry.halt(now);
        entry.generation += 1;
        let tasks = affected.iter().flatten().filter(|hit| **hit).count();
        // The adaptive scheduler records failures without their task.
        let task = located.filter(|_| !entry.adaptive);
        let failure = Failure { cause: cause.clone(), at: now, task, concurrent: Vec::new() };
        let delay = entry.restart.on_failure(now, unit);
        let strategy = entry.restart.name();
        let failing = failure.task.as_ref().map_or_else(|| job.to_owned(), |t| t.0.clone());
        match delay {
            Some(delay) => {
                if self.version.archives_failures_at_restart() {
                    entry.unarchived = Some(failure);
                } else {
                    remember(entry, failure);
                }
                entry.restarts += 1;
                self.log_tasks(job);
                self.log(
                    "JobMaster",
                    format!("{tasks} tasks will be restarted to recover the failed task {failing}."),
                );
                self.abort_snapshots(job, "Checkpoint Coordinator is suspending.");
                self.go(job, JobState::Restarting);
                self.job_after(job, delay.max(1), JobTimer::Restart);
            }
            None => {
                let text = format!("Recovery is suppressed by {strategy}");
                let suppressed = Throwable::new(class::JOB, text).caused_by(cause.clone());
                let concurrent = if failure.task.is_some() { vec![failure] } else { Vec::new() };
                // The adaptive scheduler remembers the failure itself (seen on 1.20.3 and 2.2.1).
                let shown = if adaptive { cause.clone() } else { suppressed.clone() };
                remember(entry, Failure { cause: shown, at: now, task: None, concurrent });
                // Of its last graph the adaptive scheduler shows who failed.
                let failing = place.and_then(|(v, s)| entry.vertices.get_mut(v)?.subtasks.get_mut(s));
                if let Some(subtask) = failing.filter(|_| adaptive) {
                    subtask.failure = Some((cause.clone(), now));
                }
                entry.each_subtask(|s| {
                    if !s.state.is_terminal() {
                        s.go(TaskState::Canceled, now);
                    }
                });
                entry.failure = Some(suppressed);
                self.log_tasks(job);
                self.abort_snapshots(job, "Checkpoint Coordinator is suspending.");
                self.go(job, JobState::Failing);
                let wait = self.draw(self.knobs.cancel);
                self.job_after(job, wait, JobTimer::Failed);
            }
        }
    }

    pub(super) fn failed(&mut self, job: &str) {
        if self.go(job, JobState::Failed) {
            self.over(job);
        }
    }

    /// The restart delay is over: new attempts, state from the newest snapshot.
    pub(super) fn restart(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job).filter(|j| j.state == JobState::Restarting) else { return };
        if let Some(failure) = entry.unarchived.take() {
            remember(entry, failure);
        }
        let reached = entry.progress_base;
        let is_staged = entry.is_staged();
        let whole = entry.adaptive;
        // The adaptive scheduler makes a new graph each time, which knows nothing of the one before.
        let kept = match whole {
            true => 0,
            false => entry.conf.int("jobmanager.execution.attempts-history-size", ATTEMPTS).clamp(0, 1000),
        };
        entry.each_subtask(|s| {
            if whole || is_down(s.state) {
                s.again(kept as usize, now);
            }
        });
        if is_staged {
            // Stages that are over stay so, and with them what they have read.
            self.forget_lost_results(job, kept as usize);
            self.fact(JobFact::Restored { job: job.to_owned(), from: None, progress: reached, lost: 0 });
            return self.schedule_tasks(job);
        }
        entry.progress_base = 0;
        let retained = entry.coordinator.as_ref().and_then(|c| c.latest_restorable()).cloned();
        if let Some(retained) = &retained {
            self.note_restored(job, retained);
        }
        let from = retained.as_ref().and_then(|r| r.path.clone());
        let progress = retained.map_or(0, |r| r.snapshot.progress);
        self.fact(JobFact::Restored {
            job: job.to_owned(),
            from,
            progress,
            lost: reached.saturating_sub(progress),
        });
        self.schedule_tasks(job);
    }

    /// A cancel request; what it does depends on where the job is. Unknown jobs are the caller's business.
    pub(crate) fn cancel(&mut self, job: &str) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job) else { return };
        if entry.state.is_terminal() || entry.state == JobState::Cancelling {
            return;
        }
        entry.generation += 1;
        entry.halt(now);
        entry.each_subtask(|s| {
            if !s.state.is_terminal() {
                s.go(TaskState::Canceling, now);
            }
        });
        self.abort_snapshots(job, "Checkpoint Coordinator is suspending.");
        self.go(job, JobState::Cancelling);
        self.log_tasks(job);
        let wait = self.draw(self.knobs.cancel);
        self.job_after(job, wait, JobTimer::Canceled);
    }

    pub(super) fn canceled(&mut self, job: &str) {
        let now = self.now;
        if let Some(entry) = self.jobs.get_mut(job) {
            entry.each_subtask(|s| {
                if s.state == TaskState::Canceling {
                    s.go(TaskState::Canceled, now);
                }
            });
        }
        self.log_tasks(job);
        if self.go(job, JobState::Canceled) {
            self.over(job);
        }
    }

    /// After a terminal state: slots, snapshots, HA data, and the application if there is one.
    pub(super) fn over(&mut self, job: &str) {
        let Some(entry) = self.jobs.get_mut(job) else { return };
        entry.generation += 1;
        entry.slots.clear();
        let (state, progress, name) = (entry.state, entry.progress_base, entry.name.clone());
        let trace = entry.failure.as_ref().map(Throwable::trace).filter(|_| state == JobState::Failed);
        self.log(
            "Dispatcher",
            match trace {
                Some(trace) => format!("Job {job} reached terminal state {}.\n{trace}", state.name()),
                None => format!("Job {job} reached terminal state {}.", state.name()),
            },
        );
        self.log("CheckpointCoordinator", format!("Stopping checkpoint coordinator for job {job}."));
        self.log("JobMaster", format!("Stopping the JobMaster for job '{name}' ({job})."));
        self.fact(JobFact::Stopped { job: job.to_owned(), state, progress });
        self.clean_snapshots(job, state);
        self.ha_job_cleaned(job, state);
        self.free_slots_of(job);
        self.application_job_over(job, state);
    }
}

/// Milliseconds until the program fails by itself: at a record of each source subtask, counted per attempt.
fn fails_after(job: &Job, now: i64) -> Option<i64> {
    let each = job.program.fail_at?;
    if job.program.has_workload() {
        return job.reads(each, job.progress_base).map(|at| at - now);
    }
    Some((each.saturating_mul(1000) / job.program.rate.max(1)) as i64)
}

/// Milliseconds until the sources have read all there is; records are counted per source subtask.
fn ends_after(job: &Job, now: i64) -> Option<i64> {
    let each = job.program.records?;
    if job.program.has_workload() {
        return job.reads(each, 0).map(|at| at - now);
    }
    let all = each.saturating_mul(u64::from(job.parallelism.max(1)));
    Some((all.saturating_sub(job.progress_base).saturating_mul(1000) / job.rate_per_second()) as i64)
}

fn remember(job: &mut Job, failure: Failure) {
    job.history.push_front(failure);
    let max = job.conf.int("web.exception-history-size", HISTORY as i64).clamp(1, 1000) as usize;
    job.history.truncate(max);
}
