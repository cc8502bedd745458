//! Faults and wishes from outside, carried out or kept for when their moment comes.

use super::api::{Command, RestFault, SavepointFault};
use super::cluster::{Cluster, JobTimer};
use super::job::FailPlan;
use std::collections::VecDeque;

#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub hang: bool,
    pub stall_checkpoints: bool,
    pub fail_checkpoints: u32,
    pub rest: Vec<(String, RestFault)>,
    savepoints: VecDeque<SavepointFault>,
}

const FAULTS_MAX: usize = 1_000;

impl Faults {
    /// The next savepoint's fate. A lost reply is taken by the REST layer, at the trigger.
    pub fn take_savepoint_fault(&mut self) -> Option<SavepointFault> {
        match self.savepoints.front() {
            Some(SavepointFault::ReplyLost) | None => None,
            Some(_) => self.savepoints.pop_front(),
        }
    }

    pub fn take_lost_reply(&mut self) -> bool {
        let lost = self.savepoints.front() == Some(&SavepointFault::ReplyLost);
        if lost {
            self.savepoints.pop_front();
        }
        lost
    }

    pub fn rest_fault(&self, path: &str) -> Option<RestFault> {
        let path = path.strip_prefix("/v1").unwrap_or(path);
        self.rest.iter().find(|(prefix, _)| path.starts_with(prefix.as_str())).map(|(_, fault)| *fault)
    }
}

impl Cluster {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::FailJob { job, cause, times } => {
                let Some(job) = self.pick(job) else { return };
                let running = self.jobs[&job].all_running();
                let left = if running { times.map(|n| n.saturating_sub(1)) } else { times };
                let plan = (left != Some(0)).then(|| FailPlan { cause: cause.clone(), left });
                let vertex = self.jobs[&job].failing_vertex();
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.fail_every_attempt = plan;
                }
                if running {
                    self.fail(&job, cause, Some((vertex, 0)));
                }
            }
            Command::FinishJob { job } => {
                if let Some(job) = self.pick(job) {
                    self.job_after(&job, 0, JobTimer::ProgramEnds);
                }
            }
            Command::StallCheckpoints { on } => self.faults.stall_checkpoints = on,
            Command::FailCheckpoints { times } => self.faults.fail_checkpoints = times,
            Command::NextSavepoint(fault) => {
                if self.faults.savepoints.len() < FAULTS_MAX {
                    self.faults.savepoints.push_back(fault);
                }
            }
            Command::Hang { on } => self.faults.hang = on,
            Command::Rest { path, fault } => {
                self.faults.rest.retain(|(prefix, _)| *prefix != path);
                if let Some(fault) = fault.filter(|_| self.faults.rest.len() < FAULTS_MAX) {
                    self.faults.rest.push((path, fault));
                }
            }
            Command::LoseTaskManagers => self.lose_task_managers(),
            Command::LoseSnapshot { path } => {
                self.storage.lose(&path);
            }
            Command::CorruptSnapshot { path } => {
                self.storage.corrupt(&path);
            }
            Command::StorageReachable { prefix, on } => self.storage.set_reachable(&prefix, on),
            Command::LoseHa(loss) => self.lose_ha(loss),
        }
    }

    /// The named job, or the first that is not over.
    fn pick(&self, job: Option<String>) -> Option<String> {
        match job {
            Some(job) => self.jobs.contains_key(&job).then_some(job),
            None => self.jobs.values().find(|j| !j.state.is_terminal()).map(|j| j.id.clone()),
        }
    }
}
