//! What a cluster is started with, told, and asks for: the values that cross its boundary.

use super::ha::{ConfigMap, HaState};
use super::state::JobState;
use crate::conf::Conf;
use crate::dashboard::Dashboard;
use crate::knobs::ModelKnobs;
use crate::program::ProgramTable;
use crate::storage::SnapshotStore;
use crate::throwable::Throwable;
use crate::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Application { main_class: Option<String>, args: Vec<String>, jar: Option<String> },
    Session,
}

/// Who brings TaskManagers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceManager {
    /// The JobManager asks for pods: [`Effect::NeedTaskManagers`].
    Native,
    /// They register by themselves.
    Standalone,
}

#[derive(Clone, Debug)]
pub struct StartOptions {
    pub version: Version,
    /// Parsed Flink configuration.
    pub config: BTreeMap<String, String>,
    pub mode: Mode,
    pub resources: ResourceManager,
    pub programs: ProgramTable,
    pub model: ModelKnobs,
    pub seed: u64,
    pub now: Timestamp,
    /// HA ConfigMaps found at start.
    pub ha: HaState,
    pub storage: SnapshotStore,
    pub pod_ip: String,
    /// Number of this start for TaskManager pod names; the real one counts up from the pods it recovers.
    pub attempt: u32,
    /// The files of the web dashboard; a page of our own without them.
    pub dashboard: Option<Dashboard>,
}

impl StartOptions {
    pub fn application(version: Version, now: Timestamp) -> StartOptions {
        let mode = Mode::Application { main_class: None, args: Vec::new(), jar: None };
        StartOptions { mode, ..StartOptions::session(version, now) }
    }

    pub fn session(version: Version, now: Timestamp) -> StartOptions {
        StartOptions {
            version,
            config: BTreeMap::new(),
            mode: Mode::Session,
            resources: ResourceManager::Native,
            programs: ProgramTable::default(),
            model: ModelKnobs::default(),
            seed: 0,
            now,
            ha: HaState::default(),
            storage: SnapshotStore::new(),
            pod_ip: "127.0.0.1".to_owned(),
            attempt: 1,
            dashboard: None,
        }
    }

    pub fn instant(mut self) -> StartOptions {
        self.model = ModelKnobs::instant();
        self
    }

    pub fn config(mut self, key: &str, value: &str) -> StartOptions {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn conf(&self) -> Conf {
        Conf::new(self.config.clone()).read_by(self.version)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Time passed.
    Tick,
    TaskManagerUp {
        id: String,
        slots: u32,
    },
    TaskManagerLost {
        id: String,
    },
    /// The HA ConfigMaps as they are now, when somebody else changed them.
    HaChanged(HaState),
    /// A [`Effect::WriteHa`] or [`Effect::DeleteHa`] could not be carried out.
    HaWriteFailed {
        name: String,
    },
    /// The lock was lost or taken over.
    LeadershipLost,
    Command(Command),
    Signal(Signal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Term,
    Kill,
}

/// Faults and wishes of a scenario. `job: None` is the only (or first) job that is not over.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A task fails now; of `times` attempts that fail the same way this is the first (`None`: every one from now on). A
    /// job that is not running yet fails in its next attempts instead.
    FailJob {
        job: Option<String>,
        cause: Throwable,
        times: Option<u32>,
    },
    /// The sources end and the job finishes.
    FinishJob {
        job: Option<String>,
    },
    /// Checkpoints are triggered and never completed, until resumed.
    StallCheckpoints {
        on: bool,
    },
    /// This many of the next checkpoints are declined.
    FailCheckpoints {
        times: u32,
    },
    NextSavepoint(SavepointFault),
    /// The process lives and accepts nothing.
    Hang {
        on: bool,
    },
    /// Calls whose path starts with `path` are slow, answered with a status, or never answered.
    Rest {
        path: String,
        fault: Option<RestFault>,
    },
    LoseTaskManagers,
    LoseSnapshot {
        path: String,
    },
    CorruptSnapshot {
        path: String,
    },
    StorageReachable {
        prefix: String,
        on: bool,
    },
    /// Somebody deletes HA metadata, as an administrator's accident does.
    LoseHa(HaLoss),
}

/// In scenarios, sessions and control calls by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HaLoss {
    All,
    ClusterMap,
    JobMaps,
    /// The pointers to checkpoints inside the jobs' maps.
    Checkpoints,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SavepointFault {
    /// Declined: the poll shows why, the job runs on. A stop fails its task instead, as [`SavepointFault::FailsTask`].
    Fails,
    /// An operator throws in its snapshot: the task fails and the job restarts.
    FailsTask,
    Hangs,
    Slow(Duration),
    /// The trigger is accepted and carried out, its answer never reaches the caller.
    ReplyLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestFault {
    Slow(Duration),
    Status(u16),
    NoAnswer,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Create or replace an HA ConfigMap; the whole content. One that is not new and not there any more has been deleted
    /// by somebody else: Flink fails the write and never makes it anew.
    WriteHa {
        name: String,
        map: ConfigMap,
        is_new: bool,
    },
    DeleteHa {
        name: String,
    },
    NeedTaskManagers(TaskManagers),
    ReleaseTaskManager {
        id: String,
    },
    /// Native mode, end of the application or `DELETE /cluster`: Flink deletes its own Deployment.
    DeleteCluster,
    Log(String),
    Exit {
        code: i32,
    },
    Fact(JobFact),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskManagers {
    pub count: u32,
    pub attempt: u32,
    /// Pod names, `<cluster>-taskmanager-<attempt>-<index>`.
    pub names: Vec<String>,
    pub slots_each: u32,
}

/// Ground truth as it happens, for judges outside.
#[derive(Clone, Debug, PartialEq)]
pub enum JobFact {
    Started { job: String, restored_from: Option<String>, progress: u64 },
    Restored { job: String, from: Option<String>, progress: u64, lost: u64 },
    State { job: String, state: JobState },
    Stopped { job: String, state: JobState, progress: u64 },
    Checkpoint { job: String, id: u64, path: Option<String>, progress: u64 },
    Savepoint { job: String, id: u64, path: String, progress: u64 },
}
