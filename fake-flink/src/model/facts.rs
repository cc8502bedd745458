//! Ground truth for judges outside: what is really so, not what REST shows.

use super::cluster::Cluster;
use super::state::JobState;
use std::collections::BTreeMap;

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The REST port is closed.
    Starting,
    /// REST answers 503: no leader yet, or leadership was lost.
    Electing,
    Leading,
    /// The application is over; the process ends soon with this code.
    Ending {
        code: i32,
    },
    Exited {
        code: i32,
    },
}

impl Phase {
    pub fn is_exited(self) -> bool {
        matches!(self, Phase::Exited { .. })
    }

    pub fn listens(self) -> bool {
        !matches!(self, Phase::Starting | Phase::Exited { .. })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub phase: Phase,
    pub jobs: Vec<JobFacts>,
    pub task_managers: BTreeMap<String, u32>,
    /// HA ConfigMaps, as the process believes them to be.
    pub ha_maps: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JobFacts {
    pub id: String,
    pub name: String,
    pub state: JobState,
    /// All tasks run.
    pub processing: bool,
    pub restored_from: Option<SnapshotFact>,
    pub progress: u64,
    pub restarts: u64,
    pub latest_checkpoint: Option<SnapshotFact>,
    pub latest_savepoint: Option<SnapshotFact>,
    pub failure: Option<String>,
    pub slots: usize,
    pub parallelism: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFact {
    pub id: u64,
    pub path: Option<String>,
}

pub(super) fn of(cluster: &Cluster) -> Facts {
    Facts {
        phase: cluster.phase,
        jobs: cluster.jobs.values().map(|job| job_facts(job, cluster.now)).collect(),
        task_managers: cluster.tms.iter().map(|(id, tm)| (id.clone(), tm.slots)).collect(),
        ha_maps: cluster.ha().maps.keys().cloned().collect(),
    }
}

fn job_facts(job: &super::job::Job, now: i64) -> JobFacts {
    use super::checkpoints::{Entry, Outcome};
    let fact = |e: &Entry| match &e.outcome {
        Outcome::Completed { path, .. } => Some(SnapshotFact { id: e.id, path: path.clone() }),
        Outcome::InProgress | Outcome::Failed { .. } => None,
    };
    let coordinator = job.coordinator.as_ref();
    JobFacts {
        id: job.id.clone(),
        name: job.name.clone(),
        state: job.state,
        processing: job.all_running(),
        restored_from: coordinator
            .and_then(|c| c.latest_restored.as_ref())
            .map(|r| SnapshotFact { id: r.id, path: r.path.clone() }),
        progress: job.progress(now),
        restarts: job.restarts,
        latest_checkpoint: coordinator.and_then(|c| c.latest_completed.as_ref()).and_then(fact),
        latest_savepoint: coordinator.and_then(|c| c.latest_savepoint.as_ref()).and_then(fact),
        failure: job.failure.as_ref().map(|f| f.headline()),
        slots: job.slots.len(),
        parallelism: job.vertices.iter().map(|v| v.parallelism).collect(),
    }
}
