//! What the checkpoint coordinator of one job knows: configuration, what is in progress, history, statistics.

use super::job::Vertex;
use crate::conf::Conf;
use crate::storage::Snapshot;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointConfig {
    /// `None`: no periodic checkpoints.
    pub interval: Option<i64>,
    pub at_least_once: bool,
    pub timeout: i64,
    pub min_pause: i64,
    pub max_concurrent: i64,
    pub retain_on_cancel: bool,
    pub retain_on_failure: bool,
    pub tolerable_failures: i64,
    pub dir: Option<String>,
    pub filesystem_storage: bool,
    pub unaligned: bool,
    pub aligned_timeout: i64,
    pub after_tasks_finish: bool,
    pub num_retained: usize,
    /// A backend that can write only what changed, and is told to.
    pub incremental: bool,
    pub backend: &'static str,
    pub changelog: bool,
}

impl CheckpointConfig {
    pub fn from_conf(conf: &Conf) -> CheckpointConfig {
        let interval = conf.millis("execution.checkpointing.interval", 0);
        let retention = conf.get("execution.checkpointing.externalized-checkpoint-retention").unwrap_or("");
        let dir = conf.get("execution.checkpointing.dir").map(str::to_owned);
        let storage = conf.get("execution.checkpointing.storage").unwrap_or("");
        let unaligned = conf.bool("execution.checkpointing.unaligned.enabled", false);
        let backend = conf.get("state.backend.type").unwrap_or("hashmap").to_ascii_lowercase();
        CheckpointConfig {
            interval: (interval > 0).then_some(interval),
            at_least_once: conf
                .get("execution.checkpointing.mode")
                .is_some_and(|m| m.eq_ignore_ascii_case("at_least_once")),
            timeout: conf.millis("execution.checkpointing.timeout", 600_000),
            min_pause: conf.millis("execution.checkpointing.min-pause", 0),
            max_concurrent: conf.int("execution.checkpointing.max-concurrent-checkpoints", 1).max(1),
            retain_on_cancel: retention.eq_ignore_ascii_case("RETAIN_ON_CANCELLATION"),
            retain_on_failure: retention.eq_ignore_ascii_case("RETAIN_ON_CANCELLATION")
                || retention.eq_ignore_ascii_case("DELETE_ON_CANCELLATION"),
            tolerable_failures: conf.int("execution.checkpointing.tolerable-failed-checkpoints", 0),
            filesystem_storage: dir.is_some() && storage != "jobmanager",
            dir,
            unaligned,
            aligned_timeout: conf.millis("execution.checkpointing.aligned-checkpoint-timeout", 0),
            after_tasks_finish: conf
                .bool("execution.checkpointing.checkpoints-after-tasks-finish.enabled", true),
            num_retained: conf.int("execution.checkpointing.num-retained", 1).clamp(1, 10_000) as usize,
            incremental: conf.bool("execution.checkpointing.incremental", false)
                && matches!(backend.as_str(), "rocksdb" | "forst"),
            backend: match backend.as_str() {
                "rocksdb" => "EmbeddedRocksDBStateBackend",
                "forst" => "ForStStateBackend",
                _ => "HashMapStateBackend",
            },
            changelog: conf.bool("state.changelog.enabled", false),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Checkpoint,
    Savepoint,
    /// Stop-with-savepoint; drain ends the sources for good.
    Stop {
        drain: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub id: u64,
    pub kind: Kind,
    /// `CANONICAL` or `NATIVE`, savepoints only.
    pub format: Option<String>,
    pub triggered: i64,
    /// Vertices and how many subtasks each has.
    pub subtasks: Arc<[(String, u32)]>,
    /// Of the whole state.
    pub bytes: u64,
    /// Of it what this snapshot wrote: all, unless it is an incremental checkpoint.
    pub written: u64,
    pub unaligned: bool,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    InProgress,
    Completed { at: i64, path: Option<String>, discarded: bool },
    Failed { at: i64, message: String },
}

impl Entry {
    pub fn is_savepoint(&self) -> bool {
        self.kind != Kind::Checkpoint
    }

    pub fn duration(&self) -> Option<i64> {
        match self.outcome {
            Outcome::InProgress => None,
            Outcome::Completed { at, .. } | Outcome::Failed { at, .. } => Some(at - self.triggered),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    pub id: u64,
    pub at: i64,
    pub is_savepoint: bool,
    pub path: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    pub restored: u64,
    pub total: u64,
    pub completed: u64,
    pub failed: u64,
}

/// A checkpoint the job would restore from.
#[derive(Clone, Debug, PartialEq)]
pub struct Retained {
    pub snapshot: Arc<Snapshot>,
    pub path: Option<String>,
    /// HA file it is pointed to from, if any.
    pub ha_file: Option<String>,
    /// Deleted by this job when subsumed or no longer needed.
    pub owned: bool,
    /// A savepoint restored under CLAIM counts as an ordinary checkpoint from then on.
    pub is_savepoint: bool,
}

/// Asked for and not yet begun: savepoints run one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub kind: Kind,
    pub format: String,
    pub target: String,
    pub op: Option<super::ops::OpKey>,
    pub cancel_job: bool,
}

impl Waiting {
    /// Stop-with-savepoint, or the older cancel-with-savepoint.
    pub fn ends_job(&self) -> bool {
        self.cancel_job || matches!(self.kind, Kind::Stop { .. })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    pub id: u64,
    pub kind: Kind,
    pub path: Option<String>,
    pub format: Option<String>,
    pub op: Option<super::ops::OpKey>,
    pub cancel_job: bool,
    pub progress: u64,
    pub triggered: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Coordinator {
    pub config: CheckpointConfig,
    pub next_id: u64,
    pub pending: Vec<Pending>,
    pub waiting: VecDeque<Waiting>,
    /// Checkpoints that wait for one in progress to end: those somebody asked for, and at most one periodic (`None`).
    pub queued: VecDeque<Option<super::ops::OpKey>>,
    /// Newest last.
    pub retained: VecDeque<Retained>,
    /// Newest first.
    pub history: VecDeque<Entry>,
    pub latest_completed: Option<Entry>,
    pub latest_savepoint: Option<Entry>,
    pub latest_failed: Option<Entry>,
    pub latest_restored: Option<Restored>,
    pub counts: Counts,
    pub durations: Summary,
    pub sizes: Summary,
    pub written: Summary,
    pub consecutive_failures: i64,
    pub last_completed_at: Option<i64>,
    pub history_max: usize,
}

/// Completed durations or sizes; percentiles are over the last 10,000 as in Flink's histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub values: VecDeque<u64>,
    pub count: u64,
    pub sum: u64,
    pub min: u64,
    pub max: u64,
}

impl Summary {
    pub fn add(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        if self.values.len() == 1_000 {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }
}

impl Coordinator {
    /// The savepoint under way ends the job: no checkpoint is triggered until it has failed.
    pub fn is_stopping(&self) -> bool {
        self.pending.iter().any(|p| p.cancel_job || matches!(p.kind, Kind::Stop { .. }))
    }

    /// As many checkpoints are in progress as may be; a minimum pause allows only one.
    pub fn is_busy(&self) -> bool {
        let limit = if self.config.min_pause > 0 { 1 } else { self.config.max_concurrent };
        let open = self.pending.iter().filter(|p| p.kind == Kind::Checkpoint).count();
        open as i64 >= limit
    }

    /// That of a job without checkpoints, for who shows its figures.
    pub fn none() -> Coordinator {
        Coordinator::new(CheckpointConfig::from_conf(&Conf::default()), 0)
    }

    pub fn new(config: CheckpointConfig, history_max: usize) -> Coordinator {
        Coordinator {
            config,
            next_id: 1,
            pending: Vec::new(),
            waiting: VecDeque::new(),
            queued: VecDeque::new(),
            retained: VecDeque::new(),
            history: VecDeque::new(),
            latest_completed: None,
            latest_savepoint: None,
            latest_failed: None,
            latest_restored: None,
            counts: Counts::default(),
            durations: Summary::default(),
            sizes: Summary::default(),
            written: Summary::default(),
            consecutive_failures: 0,
            last_completed_at: None,
            history_max,
        }
    }

    /// Vertices and subtasks as a snapshot of now has them. The vertices of a job stay the same, their number of
    /// subtasks may change.
    pub(super) fn subtasks(&self, vertices: &[Vertex]) -> Arc<[(String, u32)]> {
        let now = || vertices.iter().map(|v| v.parallelism);
        match self.history.front().map(|newest| &newest.subtasks) {
            Some(known) if known.iter().map(|(_, n)| *n).eq(now()) => known.clone(),
            _ => vertices.iter().map(|v| (v.id.clone(), v.parallelism)).collect(),
        }
    }

    pub fn entry(&self, id: u64) -> Option<&Entry> {
        let latest = [&self.latest_completed, &self.latest_savepoint, &self.latest_failed];
        self.history.iter().chain(latest.into_iter().flatten()).find(|e| e.id == id)
    }

    /// The newest snapshot this job would restart from: a checkpoint, or the savepoint it was started from. Savepoints
    /// taken while it runs do not count (since 1.15, FLINK-25191).
    pub fn latest_restorable(&self) -> Option<&Retained> {
        self.retained.back()
    }

    pub(super) fn remember(&mut self, entry: Entry) {
        self.history.push_front(entry);
        // In-progress ones are always listed; of the rest the newest remain.
        while self.history.len() > self.history_max {
            let Some(oldest) = self.history.iter().rposition(|e| e.outcome != Outcome::InProgress) else {
                break;
            };
            self.history.remove(oldest);
        }
    }

    pub(super) fn settle(&mut self, id: u64, outcome: Outcome) {
        let Some(entry) = self.history.iter_mut().find(|e| e.id == id) else { return };
        entry.outcome = outcome;
        let entry = entry.clone();
        match (&entry.outcome, entry.is_savepoint()) {
            (Outcome::Completed { .. }, savepoint) => {
                self.durations.add(entry.duration().unwrap_or(0).max(0) as u64);
                self.sizes.add(entry.bytes);
                self.written.add(entry.written);
                self.counts.completed += 1;
                if savepoint {
                    self.latest_savepoint = Some(entry);
                } else {
                    self.latest_completed = Some(entry);
                }
            }
            (Outcome::Failed { .. }, _) => {
                self.counts.failed += 1;
                self.latest_failed = Some(entry);
            }
            (Outcome::InProgress, _) => {}
        }
    }

    pub(super) fn mark_discarded(&mut self, id: u64) {
        let Coordinator { history, latest_completed, .. } = self;
        for entry in history.iter_mut().chain(latest_completed.as_mut()).filter(|e| e.id == id) {
            if let Outcome::Completed { discarded, .. } = &mut entry.outcome {
                *discarded = true;
            }
        }
    }
}
