//! A handle to a simulated Flink cluster: ground truth, which the operator cannot see, and faults.

use std::time::Duration;

use fake_flink::model::api::SavepointFault;
use fake_flink::{Command, Throwable};

use super::live::{HookError, HookResult};
use crate::run::{Context, settle};
use crate::world::flink::ClusterKey;

/// The Flink cluster of one FlinkDeployment.
pub struct Flink<'w> {
    context: &'w Context,
    key: ClusterKey,
}

/// A job as the live JobManager knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Job {
    pub id: String,
    pub name: String,
    /// As Flink's REST API spells it: `RUNNING`.
    pub state: String,
    /// The snapshot this JobManager started it from.
    pub restored_from: Option<String>,
    /// Records its state has seen: what is lost when a job starts from too old a snapshot.
    pub progress: u64,
    pub restarts: u64,
}

/// A start of the job by a new JobManager.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Start {
    /// `None`: from empty state.
    pub restored_from: Option<String>,
    pub progress: u64,
    /// The newest snapshot that could have been read then.
    pub newest: Option<String>,
}

/// What becomes of the next savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Savepoint {
    Fails,
    Hangs,
    /// It takes this long.
    Slow(Duration),
    /// It is taken, and nobody learns of it.
    ReplyLost,
}

impl<'w> Flink<'w> {
    pub(super) fn new(context: &'w Context, key: ClusterKey) -> Flink<'w> {
        Flink { context, key }
    }

    /// Jobs of the live JobManagers; none while there is no JobManager.
    pub fn jobs(&self) -> Vec<Job> {
        let facts = self.context.world.flink.facts(&self.key);
        let jobs = facts.into_iter().flat_map(|(_, facts)| facts.jobs);
        let job = |job: fake_flink::JobFacts| Job {
            state: job.state.name().to_owned(),
            restored_from: job.restored_from.and_then(|snapshot| snapshot.path),
            id: job.id,
            name: job.name,
            progress: job.progress,
            restarts: job.restarts,
        };
        jobs.map(job).collect()
    }

    /// Waits until some job fits, and answers it.
    pub async fn eventually(&self, within: Duration, fits: impl Fn(&Job) -> bool) -> HookResult<Job> {
        let deadline = self.context.deadline(within);
        loop {
            let jobs = self.jobs();
            if let Some(job) = jobs.iter().find(|job| fits(job)) {
                return Ok(job.clone());
            }
            let left = deadline.saturating_sub(self.context.world.clock.elapsed());
            if left.is_zero() {
                let text =
                    format!("no job of {} fits what the closure asks for; there are {jobs:?}", self.key);
                return Err(HookError::new(text));
            }
            self.context.wait_for_change(left).await;
            settle(self.context).await.map_err(HookError::of)?;
        }
    }

    /// Every start of the job so far, oldest first.
    pub fn starts(&self) -> Vec<Start> {
        let starts = self.context.invariants.starts(&self.key).into_iter();
        let start = |start: crate::run::invariants::Start| Start {
            restored_from: start.restored_from,
            progress: start.progress,
            newest: start.newest.map(|(path, _)| path),
        };
        starts.map(start).collect()
    }

    /// Paths of all snapshots in the storage that can be read, of every job.
    pub fn snapshots(&self) -> Vec<String> {
        self.context.world.flink.storage.snapshots().into_keys().collect()
    }

    /// The job fails for good: every attempt, whatever the restart strategy.
    pub fn fail_job(&self, cause: &str) -> HookResult {
        self.command(Command::FailJob { job: None, cause: Throwable::new(EXCEPTION, cause), times: None })
    }

    /// This many attempts fail, the running one included; Flink restarts the job.
    pub fn restart_job(&self, cause: &str, times: u32) -> HookResult {
        let cause = Throwable::new(EXCEPTION, cause);
        self.command(Command::FailJob { job: None, cause, times: Some(times) })
    }

    /// The sources end.
    pub fn finish_job(&self) -> HookResult {
        self.command(Command::FinishJob { job: None })
    }

    pub fn next_savepoint(&self, becomes: Savepoint) -> HookResult {
        self.command(Command::NextSavepoint(match becomes {
            Savepoint::Fails => SavepointFault::Fails,
            Savepoint::Hangs => SavepointFault::Hangs,
            Savepoint::Slow(span) => SavepointFault::Slow(span),
            Savepoint::ReplyLost => SavepointFault::ReplyLost,
        }))
    }

    /// Checkpoints are triggered and never completed, until this is called with `false`.
    pub fn stall_checkpoints(&self, on: bool) -> HookResult {
        self.command(Command::StallCheckpoints { on })
    }

    /// The JobManager lives and answers nothing, until this is called with `false`.
    pub fn hang(&self, on: bool) -> HookResult {
        self.command(Command::Hang { on })
    }

    pub fn lose_task_managers(&self) -> HookResult {
        self.command(Command::LoseTaskManagers)
    }

    fn command(&self, command: Command) -> HookResult {
        match self.context.world.command(&self.key, &command) {
            true => Ok(()),
            false => Err(HookError::new(format!("no JobManager of {} is alive to take this", self.key))),
        }
    }
}

const EXCEPTION: &str = "java.lang.RuntimeException";
