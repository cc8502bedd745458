//! What the JobManager's log says of tasks: every switch of a state, in the words of `ExecutionGraph`.
//!
//! Lines and order as in the logs of 1.20.3 and 2.2.1. Between two looks a task may have passed CANCELING unseen: it
//! is told, too.

use super::cluster::Cluster;
use super::job::{Job, Subtask, Vertex};
use super::state::TaskState;

impl Job {
    /// `<graph>_<vertex>_<subtask>_<attempt>`.
    pub(crate) fn attempt_id(&self, vertex: &Vertex, index: usize, subtask: &Subtask) -> String {
        format!("{}_{}_{index}_{}", self.slot_group, vertex.id, subtask.attempt)
    }
}

impl Cluster {
    /// Tells the switches since it was last asked.
    pub(super) fn log_tasks(&mut self, job: &str) {
        for line in self.task_lines(job) {
            self.log("ExecutionGraph", line);
        }
    }

    fn task_lines(&mut self, job: &str) -> Vec<String> {
        let Some(entry) = self.jobs.get(job) else { return Vec::new() };
        let mut lines = Vec::new();
        for vertex in &entry.vertices {
            for (s, subtask) in vertex.subtasks.iter().enumerate().filter(|(_, s)| s.told != s.state) {
                let task = format!("{} ({})", vertex.task_name(s), entry.attempt_id(vertex, s, subtask));
                let place = subtask.tm.as_deref().map_or_else(String::new, |tm| self.place_of(tm));
                let mut from = subtask.told;
                if subtask.state == TaskState::Canceled && from != TaskState::Canceling {
                    lines.push(format!("{task} switched from {} to CANCELING.", from.name()));
                    from = TaskState::Canceling;
                }
                let mut line = format!("{task} switched from {} to {}.", from.name(), subtask.state.name());
                if subtask.state == TaskState::Failed && !place.is_empty() {
                    line = format!("{task} switched from {} to FAILED on {place}.", from.name());
                }
                if let Some((cause, _)) =
                    subtask.failure.as_ref().filter(|_| subtask.state == TaskState::Failed)
                {
                    line.push('\n');
                    line.push_str(cause.trace().trim_end());
                }
                lines.push(line);
                if subtask.state == TaskState::Deploying {
                    lines.push(format!(
                        "Deploying {} (attempt #{}) with attempt id {} and vertex id {}_{s} to {place}",
                        vertex.task_name(s),
                        subtask.attempt,
                        entry.attempt_id(vertex, s, subtask),
                        vertex.id
                    ));
                }
            }
        }
        if let Some(entry) = self.jobs.get_mut(job) {
            entry.each_subtask(|s| s.told = s.state);
        }
        lines
    }

    fn place_of(&self, tm: &str) -> String {
        let host = tm.split(':').next().unwrap_or(tm);
        let port = self.tms.get(tm).map_or(0, |tm| tm.data_port);
        format!("{tm} @ {host} (dataPort={port})")
    }
}
