//! Checkpoints and savepoints as they happen: triggered, rejected, completed, expired, subsumed, cleaned up.
//!
//! Rules are of reference sections 2, 3 (checkpoints) and 7. As many checkpoints as configured and one savepoint of a
//! job are in progress; what else is asked for waits in line.

use super::api::{JobFact, SavepointFault};
use super::checkpoints::{Entry, Kind, Outcome, Pending, Retained, Waiting};
use super::cluster::{Cluster, JobTimer, SnapshotVerdict};
use super::job::Job;
use super::ops::{OpKey, OpResult};
use super::state::JobState;
use crate::logs::{self, Level, Part};
use crate::storage::{HaFile, Snapshot, WriteError, normal};
use crate::throwable::{Throwable, checkpoint_exception, class, local_host, unknown_scheme};
use std::borrow::Cow;
use std::sync::Arc;

/// `CheckpointRequestDecider.DEFAULT_MAX_QUEUED_REQUESTS`.
const QUEUED_MAX: usize = 1_000;
/// `CheckpointFailureReason` texts.
const EXPIRED: &str = "Checkpoint expired before completing.";
const DECLINED: &str = "Checkpoint was declined.";
const ASYNC_FAILED: &str = "Asynchronous task checkpoint failed.";
const IO_PROBLEM: &str = "An Exception occurred while triggering the checkpoint. IO-problem detected.";
const NOT_EXECUTING: &str = "The Flink job is currently not executing.";
const BLOCKING_OUTPUT: &str = "Blocking output edge exists in running tasks.";
const TRIGGER_FAILED: &str = "Trigger checkpoint failure.";

impl Cluster {
    /// The job runs: the periodic trigger starts after a random part of the interval, as Flink's does.
    pub(super) fn start_checkpointing(&mut self, job: &str) {
        let unit = self.unit();
        let Some(config) = self.jobs.get(job).and_then(|j| j.coordinator.as_ref()).map(|c| c.config.clone())
        else {
            return;
        };
        if let Some(interval) = config.interval {
            let low = config.min_pause.min(interval);
            let first = low + ((interval - low) as f64 * unit) as i64;
            self.job_after(job, first.max(1), JobTimer::CheckpointTick);
        }
    }

    pub(super) fn checkpoint_tick(&mut self, job: &str) {
        let Some(entry) = self.jobs.get(job) else { return };
        let Some(c) = entry.coordinator.as_ref() else { return };
        let Some(interval) = c.config.interval else { return };
        let pause_left = c.last_completed_at.map_or(0, |at| at + c.config.min_pause - self.now);
        if pause_left > 0 {
            return self.job_after(job, pause_left, JobTimer::CheckpointTick);
        }
        if !c.is_stopping() {
            let _rejected = self.checkpoint_or_queue(job, None);
        }
        // Fixed rate; a checkpoint longer than the interval only delays the next one.
        self.job_after(job, interval.max(1), JobTimer::CheckpointTick);
    }

    /// A checkpoint somebody asked for.
    pub(crate) fn manual_checkpoint(&mut self, job: &str, key: OpKey) {
        self.log("JobMaster", format!("Triggering a manual checkpoint for job {job}."));
        if let Err(cause) = self.checkpoint_or_queue(job, Some(key.clone())) {
            self.ops.finish(&key, OpResult::Failure(cause), self.now);
        }
    }

    /// `CheckpointRequestDecider`: what comes while others are in progress waits for them; of the periodic ones one.
    fn checkpoint_or_queue(&mut self, job: &str, op: Option<OpKey>) -> Result<(), Throwable> {
        if let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()).filter(|c| c.is_busy()) {
            if (op.is_some() || !c.queued.contains(&None)) && c.queued.len() < QUEUED_MAX {
                c.queued.push_back(op);
            }
            return Ok(());
        }
        self.trigger(job, Kind::Checkpoint, None, None, op, false)
    }

    /// Something in progress ended: whoever waited for it begins.
    fn next_queued(&mut self, job: &str) {
        let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()) else { return };
        let paused = c.last_completed_at.is_some_and(|at| self.now < at + c.config.min_pause);
        if c.is_busy() || c.is_stopping() || paused {
            return;
        }
        let Some(op) = c.queued.pop_front() else { return };
        if let Err(cause) = self.trigger(job, Kind::Checkpoint, None, None, op.clone(), false)
            && let Some(key) = op
        {
            self.ops.finish(&key, OpResult::Failure(cause), self.now);
        }
    }

    /// A savepoint or stop-with-savepoint somebody asked for: begins now or waits in line.
    pub(crate) fn ask_savepoint(&mut self, job: &str, waiting: Waiting) {
        let what = if waiting.kind == Kind::Savepoint { "savepoint" } else { "stop-with-savepoint" };
        self.log("JobMaster", format!("Triggering {what} for job {job}."));
        if waiting.ends_job() {
            // `stopCheckpointScheduler`: nothing but the final savepoint may be committed any more.
            self.abort_snapshots(job, "Checkpoint Coordinator is suspending.");
        }
        if let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()) {
            c.waiting.push_back(waiting);
            self.next_savepoint(job);
        } else if let Some(key) = &waiting.op {
            let is_told = self.version.since_1_20();
            let cause = match is_told && self.jobs.get(job).is_some_and(Job::writes_results) {
                true => Throwable::new(class::CHECKPOINT, BLOCKING_OUTPUT),
                false => not_streaming(job),
            };
            self.ops.finish(key, OpResult::Failure(Throwable::wrap(class::COMPLETION, cause)), self.now);
        }
    }

    fn next_savepoint(&mut self, job: &str) {
        loop {
            let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()) else { return };
            if c.pending.iter().any(|p| p.kind != Kind::Checkpoint) {
                return;
            }
            let Some(next) = c.waiting.pop_front() else { return };
            let Waiting { kind, format, target, op, cancel_job } = next;
            let begun = self.trigger(job, kind, Some(format), Some(target), op.clone(), cancel_job);
            match (begun, op) {
                (Err(cause), Some(key)) => self.ops.finish(&key, OpResult::Failure(cause), self.now),
                (Err(_), None) => {}
                (Ok(()), _) => return,
            }
        }
    }

    fn trigger(
        &mut self,
        job: &str,
        kind: Kind,
        format: Option<String>,
        target: Option<String>,
        op: Option<OpKey>,
        cancel_job: bool,
    ) -> Result<(), Throwable> {
        let now = self.now;
        let entry = self.jobs.get(job).ok_or_else(|| crate::throwable::job_not_found(job))?;
        if entry.adaptive && entry.state != JobState::Running {
            // Only the state that executes has somebody to ask (recorded).
            return Err(checkpoint_exception(format!("{NOT_EXECUTING} Failure reason: {TRIGGER_FAILED}")));
        }
        if entry.coordinator.is_none() {
            return Err(Throwable::wrap(class::COMPLETION, not_streaming(job)));
        }
        if !entry.all_running() {
            let task = entry.vertices.first().map_or_else(String::new, |v| v.task_name(0));
            let text = format!(
                "Checkpoint triggering task {task} of job {job} is not being executed at the moment. Aborting checkpoint. Failure reason: Not all required tasks are currently running."
            );
            self.log(
                "CheckpointFailureManager",
                format!("Failed to trigger checkpoint for job {job} since {text}."),
            );
            self.count_rejected(job);
            return Err(checkpoint_exception(text));
        }
        let (id, path) = match self.locate(job, target) {
            Ok(located) => located,
            Err(cause) => {
                self.begun_in_vain(job, kind, format, &cause);
                return Err(cause);
            }
        };
        if !self.ha_count(job, id + 1) {
            // The id counter lives in the job's ConfigMap; without the map no checkpoint can be numbered.
            self.count_rejected(job);
            self.log_at(
                Level::Warn,
                "CheckpointFailureManager",
                format!("Failed to trigger checkpoint for job {job} since {TRIGGER_FAILED}."),
            );
            self.checkpoint_failure(job, TRIGGER_FAILED);
            return Err(checkpoint_exception(TRIGGER_FAILED));
        }
        let bytes_each = self.knobs.state_bytes_per_subtask;
        let entry = self.jobs.get_mut(job).expect("looked up above");
        let progress = entry.progress(now);
        let bytes = entry.state_bytes(bytes_each, progress);
        let written = entry.written_bytes(bytes_each, progress, kind);
        let c = entry
            .coordinator
            .as_mut()
            .ok_or_else(|| checkpoint_exception("Checkpoint Coordinator is not available."))?;
        let subtasks = c.subtasks(&entry.vertices);
        c.next_id = id + 1;
        c.counts.total += 1;
        let unaligned = c.config.unaligned && kind == Kind::Checkpoint;
        c.remember(Entry {
            id,
            kind,
            format: format.clone(),
            triggered: now,
            subtasks,
            bytes,
            written,
            unaligned,
            outcome: Outcome::InProgress,
        });
        let timeout = c.config.timeout;
        c.pending.push(Pending {
            id,
            kind,
            path,
            format: format.clone(),
            op,
            cancel_job,
            progress,
            triggered: now,
        });
        let kind_text = type_text(kind, format.as_deref());
        let parts = [
            Part::Text("Triggering checkpoint "),
            Part::Number(id as i64),
            Part::Text(" (type="),
            Part::Text(&kind_text),
            Part::Text(") @ "),
            Part::Number(now),
            Part::Text(" for job "),
            Part::Text(job),
            Part::Text("."),
        ];
        self.log("CheckpointCoordinator", logs::message(&parts));
        let ends = self.schedule_outcome(job, id, kind);
        // What surely ends in time needs nobody to look whether it does.
        if ends.is_none_or(|wait| wait >= timeout) {
            self.job_after(job, timeout.max(1), JobTimer::SnapshotExpired { id });
        }
        Ok(())
    }

    /// The id and place of the next snapshot; a place that cannot be made rejects it before it has begun.
    fn locate(&mut self, job: &str, target: Option<String>) -> Result<(u64, Option<String>), Throwable> {
        let suffix = self.ids.hex(12);
        let entry = &self.jobs[job];
        let c = entry
            .coordinator
            .as_ref()
            .ok_or_else(|| checkpoint_exception("Checkpoint Coordinator is not available."))?;
        let id = c.next_id;
        let Some(target) = target else {
            let path = c.config.dir.as_ref().filter(|_| c.config.filesystem_storage);
            let below = |dir: &String| {
                let number = Part::Number(id as i64);
                logs::message(&[
                    Part::Text(&normal(dir)),
                    Part::Text("/"),
                    Part::Text(job),
                    Part::Text("/chk-"),
                    number,
                ])
            };
            return Ok((id, path.map(below)));
        };
        let directory = normal(&target);
        let failed = |text: &str, cause: Throwable| {
            let inner = Throwable::new(class::CHECKPOINT, text).caused_by(cause);
            Err(Throwable::wrap(class::COMPLETION, inner))
        };
        if target.is_empty() {
            let cause = Throwable::new(class::ILLEGAL_ARGUMENT, "Can not create a Path from an empty string");
            return failed(TRIGGER_FAILED, cause);
        }
        match self.storage.check_target(&target) {
            Ok(()) => Ok((id, Some(format!("{directory}/savepoint-{}-{suffix}", &job[..6.min(job.len())])))),
            Err(WriteError::UnknownScheme(scheme)) => failed(IO_PROBLEM, unknown_scheme(&scheme)),
            Err(WriteError::LocalHost { host, path }) => failed(IO_PROBLEM, local_host(&host, &path)),
            Err(WriteError::ReadOnly | WriteError::Unreachable) => {
                let text = format!("Failed to create savepoint directory at {directory}");
                failed(IO_PROBLEM, Throwable::new(class::IO, text))
            }
        }
    }

    /// A snapshot whose place cannot be made has its number and its entry in the statistics all the same (recorded).
    fn begun_in_vain(&mut self, job: &str, kind: Kind, format: Option<String>, cause: &Throwable) {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let Some(c) = &mut entry.coordinator else { return };
        let subtasks = c.subtasks(&entry.vertices);
        let id = c.next_id;
        c.next_id += 1;
        c.counts.total += 1;
        let outcome = Outcome::InProgress;
        c.remember(Entry {
            id,
            kind,
            format,
            triggered: now,
            subtasks,
            bytes: 0,
            written: 0,
            unaligned: false,
            outcome,
        });
        let message = cause.cause.as_ref().and_then(|inner| inner.message.clone()).unwrap_or_default();
        c.settle(id, Outcome::Failed { at: now, message });
        self.ha_count(job, id + 1);
    }

    /// Attempts rejected before they start count as failed and leave no history (recorded).
    fn count_rejected(&mut self, job: &str) {
        if let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()) {
            c.counts.total += 1;
            c.counts.failed += 1;
        }
    }

    /// Gives the milliseconds until it ends, if it does by itself.
    fn schedule_outcome(&mut self, job: &str, id: u64, kind: Kind) -> Option<i64> {
        let (mut wait, mut verdict) = match kind {
            Kind::Checkpoint => (self.draw(self.knobs.checkpoint), SnapshotVerdict::Complete),
            Kind::Savepoint => (self.draw(self.knobs.savepoint), SnapshotVerdict::Complete),
            Kind::Stop { .. } => (self.draw(self.knobs.stop), SnapshotVerdict::Complete),
        };
        if kind == Kind::Checkpoint {
            if self.faults.stall_checkpoints {
                return None;
            }
            if self.faults.fail_checkpoints > 0 {
                self.faults.fail_checkpoints -= 1;
                verdict = SnapshotVerdict::Decline;
            }
        } else {
            match self.faults.take_savepoint_fault() {
                // The final savepoint of a stop is synchronous: what fails in it fails the task.
                Some(SavepointFault::Fails) if matches!(kind, Kind::Stop { .. }) => {
                    verdict = SnapshotVerdict::FailTask
                }
                Some(SavepointFault::Fails) => verdict = SnapshotVerdict::Decline,
                Some(SavepointFault::FailsTask) => verdict = SnapshotVerdict::FailTask,
                Some(SavepointFault::Hangs) => return None,
                Some(SavepointFault::Slow(by)) => wait = by.as_millis().min(i64::MAX as u128) as i64,
                Some(SavepointFault::ReplyLost) | None => {}
            }
        }
        self.job_after(job, wait, JobTimer::SnapshotDone { id, verdict });
        Some(wait)
    }

    pub(super) fn snapshot_done(&mut self, job: &str, id: u64, verdict: SnapshotVerdict) {
        let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()) else { return };
        let Some(at) = c.pending.iter().position(|p| p.id == id) else { return };
        if verdict == SnapshotVerdict::FailTask {
            return self.snapshot_fails_task(job, id);
        }
        let pending = c.pending.remove(at);
        match verdict {
            SnapshotVerdict::FailTask => {}
            SnapshotVerdict::Complete => self.complete(job, pending),
            SnapshotVerdict::Decline => {
                let reason = if pending.kind == Kind::Checkpoint { DECLINED } else { ASYNC_FAILED };
                self.snapshot_failed(job, pending, reason);
            }
        }
        self.next_savepoint(job);
        self.next_queued(job);
    }

    pub(super) fn snapshot_expired(&mut self, job: &str, id: u64) {
        let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()) else { return };
        let Some(at) = c.pending.iter().position(|p| p.id == id) else { return };
        let pending = c.pending.remove(at);
        self.log("CheckpointCoordinator", format!("Checkpoint {id} of job {job} expired before completing."));
        self.snapshot_failed(job, pending, EXPIRED);
        self.next_savepoint(job);
        self.next_queued(job);
    }

    fn complete(&mut self, job: &str, pending: Pending) {
        let now = self.now;
        let entry = self.jobs.get(job).expect("a pending snapshot belongs to a listed job");
        let bytes = entry.coordinator.as_ref().and_then(|c| c.entry(pending.id)).map_or(0, |e| e.bytes);
        let snapshot = Arc::new(Snapshot {
            job: job.to_owned(),
            id: pending.id,
            savepoint: pending.kind != Kind::Checkpoint,
            format: pending.format.clone(),
            progress: pending.progress,
            operators: entry.operators(),
            max_parallelism: entry.vertices.iter().map(|v| v.max_parallelism).collect(),
            bytes,
            triggered_ms: pending.triggered,
        });
        // A checkpoint that cannot be pointed to has failed, and its files go; savepoints are not pointed to (public
        // knowledge of `CheckpointCoordinator.addCompletedCheckpointToStoreAndSubsumeOldest`).
        let is_lost = pending.kind == Kind::Checkpoint && !self.ha_can_point(job);
        if is_lost
            || pending.path.as_ref().is_some_and(|path| self.storage.write(path, snapshot.clone()).is_err())
        {
            return self.snapshot_failed(job, pending, "Failure to finalize checkpoint.");
        }
        let (id, path) = (pending.id, pending.path.clone());
        let c = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()).expect("looked up above");
        c.settle(id, Outcome::Completed { at: now, path: path.clone(), discarded: false });
        c.consecutive_failures = 0;
        c.last_completed_at = Some(now);
        let took = now - pending.triggered;
        let parts = [
            Part::Text("Completed checkpoint "),
            Part::Number(id as i64),
            Part::Text(" for job "),
            Part::Text(job),
            Part::Text(" ("),
            Part::Number(bytes as i64),
            Part::Text(" bytes, checkpointDuration="),
            Part::Number(took),
            Part::Text(" ms, finalizationTime=1 ms)."),
        ];
        self.log("CheckpointCoordinator", logs::message(&parts));
        let (job_id, progress) = (job.to_owned(), pending.progress);
        match (pending.kind, path) {
            (Kind::Checkpoint, path) => {
                self.fact(JobFact::Checkpoint { job: job_id, id, path: path.clone(), progress });
                self.retain(job, snapshot, path);
                if let Some(key) = &pending.op {
                    self.ops.finish(key, OpResult::CheckpointId(id), now);
                }
            }
            (kind, Some(path)) => {
                self.fact(JobFact::Savepoint { job: job_id, id, path: path.clone(), progress });
                if let Some(key) = &pending.op {
                    self.ops.finish(key, OpResult::Location(path), now);
                }
                if matches!(kind, Kind::Stop { .. }) {
                    self.finish_tasks(job, now);
                } else if pending.cancel_job {
                    self.cancel(job);
                }
            }
            (_, None) => unreachable!("savepoints are located before they begin"),
        }
    }

    /// The new checkpoint joins the retained ones, the oldest beyond the limit are subsumed.
    fn retain(&mut self, job: &str, snapshot: Arc<Snapshot>, path: Option<String>) {
        let id = snapshot.id;
        let c = self
            .jobs
            .get_mut(job)
            .and_then(|j| j.coordinator.as_mut())
            .expect("the caller holds a pending one");
        let keep = c.config.num_retained;
        c.retained.push_back(Retained {
            snapshot: snapshot.clone(),
            path: path.clone(),
            ha_file: None,
            owned: true,
            is_savepoint: false,
        });
        let mut dropped = Vec::new();
        while c.retained.len() > keep {
            dropped.extend(c.retained.pop_front());
        }
        dropped.iter().filter(|d| d.owned).for_each(|d| c.mark_discarded(d.snapshot.id));
        let gone: Vec<u64> = dropped.iter().map(|d| d.snapshot.id).filter(|old| *old != id).collect();
        let file = || {
            let snapshot = Arc::unwrap_or_clone(snapshot);
            HaFile::Checkpoint { path: path.unwrap_or_default(), snapshot }
        };
        let ha_file = self.ha_checkpoint_added(job, id, file, &gone);
        if let Some(last) =
            self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()).and_then(|c| c.retained.back_mut())
        {
            last.ha_file = ha_file;
        }
        dropped.iter().for_each(|d| self.discard(d));
    }

    fn discard(&self, retained: &Retained) {
        retained.ha_file.iter().for_each(|f| self.storage.remove_file(f));
        if retained.owned {
            retained.path.iter().for_each(|p| {
                self.storage.delete(p);
            });
        }
    }

    fn snapshot_failed(&mut self, job: &str, pending: Pending, reason: &str) {
        let now = self.now;
        let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()) else { return };
        c.settle(pending.id, Outcome::Failed { at: now, message: reason.to_owned() });
        let before = c.consecutive_failures;
        self.log_at(
            Level::Warn,
            "CheckpointFailureManager",
            format!("Failed to trigger or complete checkpoint {} for job {job}. ({before} consecutive failed attempts so far)", pending.id),
        );
        if let Some(key) = &pending.op {
            self.ops.finish(key, OpResult::Failure(checkpoint_exception(reason)), now);
        }
        match pending.kind {
            Kind::Checkpoint => self.checkpoint_failure(job, reason),
            // A savepoint that fails or expires leaves the job running.
            Kind::Stop { .. } | Kind::Savepoint => {}
        }
    }

    /// An operator throws while it takes its snapshot: the task fails, the job with it, and whoever polls sees the
    /// coordinator suspend (recorded for savepoint and stop).
    fn snapshot_fails_task(&mut self, job: &str, id: u64) {
        let Some(entry) = self.jobs.get(job) else { return };
        let at = entry.program.failing_vertex;
        let Some(vertex) = entry.vertices.get(at) else { return };
        let attempt = vertex.subtasks.first().map_or(0, |s| s.attempt);
        let operator = format!("{}#{attempt}", vertex.task_name(0));
        let text =
            format!("Could not complete snapshot {id} for operator {operator}. Failure reason: {DECLINED}");
        let inner = Throwable::new(class::CHECKPOINT, text)
            .caused_by(Throwable::new(class::RUNTIME, "injected snapshot failure"));
        let text = format!("Could not perform checkpoint {id} for operator {operator}.");
        self.fail(job, Throwable::new(class::IO, text).caused_by(inner), Some((at, 0)));
    }

    /// Periodic checkpoints that fail in a row beyond the tolerable number fail the job.
    fn checkpoint_failure(&mut self, job: &str, reason: &str) {
        let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()) else { return };
        c.consecutive_failures += 1;
        if c.consecutive_failures > c.config.tolerable_failures {
            c.consecutive_failures = 0;
            let text = format!(
                "Exceeded checkpoint tolerable failure threshold. The latest checkpoint failed due to {reason}, view the Checkpoint History tab or the Job Manager log to find out why continuous checkpoints failed."
            );
            self.fail(job, Throwable::new(class::FLINK_RUNTIME, text), None);
        }
    }

    /// Everything in progress or waiting ends with `reason`; the coordinator stops.
    pub(super) fn abort_snapshots(&mut self, job: &str, reason: &str) {
        let now = self.now;
        let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()) else { return };
        let pending = std::mem::take(&mut c.pending);
        let waiting = std::mem::take(&mut c.waiting);
        let queued = std::mem::take(&mut c.queued);
        for p in &pending {
            c.settle(p.id, Outcome::Failed { at: now, message: reason.to_owned() });
        }
        let ops = pending.into_iter().map(|p| p.op).chain(waiting.into_iter().map(|w| w.op));
        let ops = ops.chain(queued).flatten();
        for key in ops.collect::<Vec<_>>() {
            self.ops.finish(&key, OpResult::Failure(checkpoint_exception(reason)), now);
        }
    }

    /// What a terminal state does to the retained checkpoints (reference section 7).
    pub(super) fn clean_snapshots(&mut self, job: &str, state: JobState) {
        let Some(c) = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()) else { return };
        let keep = match state {
            JobState::Canceled => c.config.retain_on_cancel,
            JobState::Failed => c.config.retain_on_failure,
            JobState::Finished => false,
            _ => true,
        };
        let retained = std::mem::take(&mut c.retained);
        if !keep {
            retained.iter().filter(|r| r.owned).for_each(|r| c.mark_discarded(r.snapshot.id));
            retained.iter().for_each(|r| self.discard(r));
        }
    }

    pub(super) fn dispose(&mut self, key: &OpKey, path: &str) {
        if path.is_empty() {
            let cause = Throwable::new(class::ILLEGAL_ARGUMENT, "empty checkpoint pointer");
            self.ops.finish(key, OpResult::Failure(cause), self.now);
            return;
        }
        let result = match self.storage.read(path) {
            Ok(_) => {
                self.storage.delete(path);
                OpResult::Empty
            }
            Err(why) => {
                let cause = super::submission::read_error(path, why);
                OpResult::Failure(
                    Throwable::new(class::FLINK, format!("Could not dispose savepoint {path}."))
                        .caused_by(cause),
                )
            }
        };
        self.ops.finish(key, result, self.now);
    }
}

fn type_text(kind: Kind, format: Option<&str>) -> Cow<'static, str> {
    let (name, action) = match kind {
        Kind::Checkpoint => {
            return "CheckpointType{name='Checkpoint', sharingFilesStrategy=FORWARD_BACKWARD}".into();
        }
        Kind::Savepoint => ("Savepoint", "NONE"),
        Kind::Stop { drain: false } => ("Suspend Savepoint", "SUSPEND"),
        Kind::Stop { drain: true } => ("Terminate Savepoint", "TERMINATE"),
    };
    let format = format.unwrap_or("CANONICAL");
    format!("SavepointType{{name='{name}', postCheckpointAction={action}, formatType={format}}}").into()
}

fn not_streaming(job: &str) -> Throwable {
    Throwable::new(class::ILLEGAL_STATE, format!("Job {job} is not a streaming job."))
}
