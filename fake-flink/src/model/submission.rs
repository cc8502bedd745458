//! From a program to a job that runs: submission, initialisation of the JobMaster, where its state comes from.

use super::api::JobFact;
use super::checkpoints::{CheckpointConfig, Coordinator, Restored, Retained};
use super::checks;
use super::cluster::{Cluster, JobTimer};
use super::flow::Flow;
use super::job::{ClaimMode, Job, Restore};
use super::restart::RestartStrategy;
use super::state::JobState;
use crate::conf::Conf;
use crate::program;
use crate::program::mode::BatchScheduler;
use crate::storage::{HaFile, Plan, ReadError, Snapshot, normal};
use crate::throwable::{Throwable, class, local_host, unknown_scheme};
use std::collections::VecDeque;

const NOT_STAGED: &str = "At the moment, adaptive batch scheduler requires batch workloads to be executed with types of all edges being BLOCKING or HYBRID_FULL/HYBRID_SELECTIVE. To do that, you need to configure 'execution.batch-shuffle-mode' to 'ALL_EXCHANGES_BLOCKING' or 'ALL_EXCHANGES_HYBRID_FULL/ALL_EXCHANGES_HYBRID_SELECTIVE'.";
const NOT_STAGED_DATA_SET: &str = " Note that for DataSet jobs which do not recognize the aforementioned shuffle mode, the ExecutionMode needs to be BATCH_FORCED to force BLOCKING shuffle";

pub(crate) struct Submission {
    pub id: String,
    pub program: program::Job,
    pub parallelism: u32,
    pub conf: Conf,
    pub restore: Restore,
}

impl Cluster {
    /// The dispatcher takes a job: it exists from here on, INITIALIZING.
    pub(crate) fn accept(&mut self, submission: Submission) {
        let Submission { id, program, parallelism, conf, restore } = submission;
        let plan = Plan { job: id.clone(), program: program.clone(), parallelism, conf: conf.clone() };
        let word = if self.version.is_2() { "job" } else { "JobGraph" };
        self.log("Dispatcher", format!("Received {word} submission '{}' ({id}).", program.name));
        self.log("Dispatcher", format!("Submitting job '{}' ({id}).", program.name));
        let mut config = CheckpointConfig::from_conf(&conf);
        // How many are kept, and shown, is the JobManager's to say, not the job's (recorded; public knowledge of
        // `DefaultExecutionGraphBuilder`).
        config.num_retained = CheckpointConfig::from_conf(&self.conf).num_retained;
        let restart = RestartStrategy::from_conf(&conf, self.version, config.interval.is_some());
        let history_max = self.conf.int("web.checkpoints.history", 10).clamp(1, 1000) as usize;
        let scheduler = program.batch.then(|| BatchScheduler::of(&conf, &self.conf, self.version));
        // The scheduler of batch jobs takes no checkpoints at all.
        let checkpoints = matches!(scheduler, None | Some(BatchScheduler::Default));
        let coordinator = checkpoints.then(|| Coordinator::new(config, history_max));
        let mut stamps = [0; 11];
        stamps[JobState::Initializing.index()] = self.now;
        let job = Job {
            name: program.name.clone(),
            state: JobState::Initializing,
            stamps,
            parallelism,
            is_parallelism_unset: false,
            slot_group: self.ids.hex32(),
            vertices: Vec::new(),
            coordinator,
            scheduler,
            grows: self.version.is_2() && matches!(scheduler, Some(BatchScheduler::Adaptive(_))),
            restart,
            restarts: 0,
            rescales: 0,
            history: VecDeque::new(),
            unarchived: None,
            failure: None,
            generation: 0,
            slots: Vec::new(),
            progress_base: 0,
            usual_opening: 0,
            running_since: None,
            flow: Flow::new(self.started),
            restore,
            adaptive: super::adaptive::is_adaptive(&conf, program.batch),
            fail_every_attempt: None,
            accumulators: 0,
            driver_only: false,
            spent: [0; 11],
            last_change: self.now,
            requirements: Vec::new(),
            declared: Vec::new(),
            resources_stable_at: None,
            is_rescaling: false,
            program,
            conf,
            key: id.as_str().into(),
            id: id.clone(),
        };
        self.jobs.insert(id.clone(), job);
        self.fact(JobFact::State { job: id.clone(), state: JobState::Initializing });
        self.ha_job_submitted(&id, plan);
    }

    /// Starts the JobMaster: CREATED, or the reason why not.
    pub(crate) fn initialize(&mut self, job: &str) -> Result<(), Throwable> {
        let session = self.ha.session.clone();
        self.log(
            "JobMasterServiceLeadershipRunner",
            format!("JobMasterServiceLeadershipRunner for job {job} was granted leadership with leader id {session}. Creating new JobMasterServiceProcess."),
        );
        self.ha_job_started(job);
        let started = self.start_job_master(job);
        if let Err(cause) = started {
            let cause = Throwable::wrap(class::COMPLETION, cause);
            let cause =
                Throwable::new(class::JOB_INITIALIZATION, "Could not start the JobMaster.").caused_by(cause);
            return Err(cause);
        }
        let (name, strategy) = {
            let job = &self.jobs[job];
            (job.name.clone(), job.restart.name())
        };
        self.log("JobMaster", format!("Using restart back off time strategy {strategy} for {name} ({job})."));
        self.go(job, JobState::Created);
        let wait = self.draw(self.knobs.schedule);
        self.job_after(job, wait, JobTimer::Schedule);
        Ok(())
    }

    fn start_job_master(&mut self, job: &str) -> Result<(), Throwable> {
        let now = self.now;
        let conf = self.jobs[job].conf.clone();
        checks::by_job_master(&conf, self.version)?;
        let entry = self.jobs.get_mut(job).expect("an accepted job is listed");
        let widest = entry
            .program
            .vertices
            .iter()
            .map(|v| v.parallelism.unwrap_or(entry.parallelism))
            .max()
            .unwrap_or(1);
        if widest > 32_768 {
            return Err(Throwable::new(
                class::ILLEGAL_ARGUMENT,
                format!("Operator parallelism not within bounds: {widest}"),
            ));
        }
        let is_adaptive = matches!(entry.scheduler, Some(BatchScheduler::Adaptive(_)));
        let mut inputs = entry.program.vertices.iter().flat_map(|v| &v.inputs);
        if is_adaptive && !self.version.is_2() && inputs.any(|input| !input.is_staged()) {
            let data_sets = if self.version.since_1_20() { NOT_STAGED_DATA_SET } else { "" };
            return Err(Throwable::new(class::ILLEGAL_STATE, format!("{NOT_STAGED}{data_sets}")));
        }
        entry.build_graph(now);
        self.part_slots(job);
        let entry = self.jobs.get_mut(job).expect("an accepted job is listed");
        if let Some(v) = entry.vertices.iter().find(|v| v.parallelism > v.max_parallelism) {
            let (name, given, max) = (&v.spec.name, v.parallelism, v.max_parallelism);
            let text = format!(
                "Vertex {name}'s parallelism ({given}) is higher than the max parallelism ({max}). Please lower the parallelism or increase the max parallelism."
            );
            return Err(Throwable::wrap(class::RUNTIME, Throwable::new(class::JOB, text)));
        }
        let found = self.recover_from_ha(job)?;
        let found = match found {
            Some(retained) => Some(retained),
            None => self.restore_from_path(job)?,
        };
        let (from, progress) = match &found {
            Some(retained) => (retained.path.clone(), retained.snapshot.progress),
            None => {
                self.log("CheckpointCoordinator", "No checkpoint found during restore.");
                (None, 0)
            }
        };
        self.fact(JobFact::Started { job: job.to_owned(), restored_from: from, progress });
        Ok(())
    }

    /// Checkpoints the job map points to win over every configured path.
    fn recover_from_ha(&mut self, job: &str) -> Result<Option<Retained>, Throwable> {
        if !self.ha.enabled || self.jobs[job].coordinator.is_none() {
            return Ok(None);
        }
        let map = format!(
            "KubernetesStateHandleStore{{configMapName='{}'}}",
            super::ha::job_map(self.ha.cluster_id(), job)
        );
        let handles = self.ha_checkpoints(job);
        let utils = "DefaultCompletedCheckpointStoreUtils";
        self.log(utils, format!("Recovering checkpoints from {map}."));
        self.log(utils, format!("Found {} checkpoints in {map}.", handles.len()));
        let counter = self.ha_counter(job);
        let mut recovered = VecDeque::new();
        for (id, file) in handles {
            let read = file.as_deref().and_then(|f| self.storage.file(f));
            let Some(HaFile::Checkpoint { path, snapshot }) = read else {
                // Public knowledge: a handle that cannot be followed fails the start, nothing is skipped.
                let text = format!(
                    "Could not retrieve checkpoint {id} from state handle under {}. This indicates that the retrieved state handle is broken. Try cleaning the state handle store.",
                    super::ha::checkpoint_key(id)
                );
                return Err(Throwable::new(class::FLINK, text));
            };
            let is_savepoint = snapshot.savepoint;
            let path = (!path.is_empty()).then_some(path);
            recovered.push_back(Retained {
                snapshot: snapshot.into(),
                path,
                ha_file: file,
                owned: !is_savepoint,
                is_savepoint,
            });
        }
        let newest = recovered.back().cloned();
        let coordinator = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()).expect("checked above");
        coordinator.retained = recovered;
        let after = newest.as_ref().map_or(1, |r| r.snapshot.id + 1);
        coordinator.next_id = counter.unwrap_or(after).max(after);
        if let Some(retained) = &newest {
            self.note_restored(job, retained);
        }
        Ok(newest)
    }

    fn restore_from_path(&mut self, job: &str) -> Result<Option<Retained>, Throwable> {
        let restore = self.jobs[job].restore.clone();
        let Some(path) = restore.path.filter(|p| !p.is_empty()) else { return Ok(None) };
        if self.jobs[job].coordinator.is_none() {
            return Ok(None);
        }
        let allowing = if restore.allow_non_restored { "allowing non restored state" } else { "" };
        self.log("CheckpointCoordinator", format!("Starting job {job} from savepoint {path} ({allowing})"));
        let snapshot = self
            .storage
            .read(&path)
            .map_err(|why| Throwable::wrap(class::RUNTIME, read_error(&path, why)))?;
        let operators = self.jobs[job].operators();
        if !restore.allow_non_restored
            && let Some(lost) = snapshot.operators.iter().find(|o| !operators.contains(o))
        {
            let text = format!(
                "Failed to rollback to checkpoint/savepoint {}. Cannot map checkpoint/savepoint state for operator {lost} to the new program, because the operator is not available in the new program. If you want to allow to skip this, you can set the --allowNonRestoredState option on the CLI.",
                normal(&path)
            );
            return Err(Throwable::new(class::ILLEGAL_STATE, text));
        }
        self.jobs.get_mut(job).expect("looked up above").fit_maximum(&snapshot)?;
        let claimed = restore.claim == ClaimMode::Claim;
        let next = snapshot.id + 1;
        let path = normal(&path);
        let file = || HaFile::Checkpoint { path: path.clone(), snapshot: snapshot.clone() };
        // The restored savepoint enters the completed checkpoint store: a failover before the first checkpoint finds it.
        self.ha_count(job, next);
        let ha_file = self.ha_checkpoint_added(job, snapshot.id, file, &[]);
        let (snapshot, path) = (snapshot.into(), Some(path));
        let retained = Retained { snapshot, path, ha_file, owned: claimed, is_savepoint: !claimed };
        let coordinator = self.jobs.get_mut(job).and_then(|j| j.coordinator.as_mut()).expect("checked above");
        coordinator.next_id = next;
        coordinator.retained.push_back(retained.clone());
        self.note_restored(job, &retained);
        Ok(Some(retained))
    }

    /// Progress, statistics and log line of a restore.
    pub(super) fn note_restored(&mut self, job: &str, retained: &Retained) {
        let now = self.now;
        let entry = self.jobs.get_mut(job).expect("the job being restored is listed");
        entry.progress_base = retained.snapshot.progress;
        let id = retained.snapshot.id;
        if let Some(c) = &mut entry.coordinator {
            c.counts.restored += 1;
            c.latest_restored = Some(Restored {
                id,
                at: now,
                is_savepoint: retained.is_savepoint,
                path: retained.path.clone(),
            });
        }
        let kind = if retained.is_savepoint { "Savepoint" } else { "Checkpoint" };
        let at = retained.path.as_deref().unwrap_or("<checkpoint-not-externally-addressable>");
        let of: &Snapshot = &retained.snapshot;
        let line = format!(
            "Restoring job {job} from {kind} {id} @ {} for {} located at {at}.",
            of.triggered_ms, of.job
        );
        self.log("CheckpointCoordinator", line);
    }

    /// A job that could not be initialised: FAILED without a graph, its cause kept.
    pub(crate) fn initialization_failed(&mut self, job: &str, cause: &Throwable) {
        let now = self.now;
        if let Some(entry) = self.jobs.get_mut(job) {
            entry.vertices.clear();
            entry.failure = Some(cause.clone());
            entry.history.push_front(super::job::Failure {
                cause: cause.clone(),
                at: now,
                task: None,
                concurrent: Vec::new(),
            });
        }
        self.go(job, JobState::Failed);
        self.over(job);
    }

    /// The `(application driver)` job that stands for a `main()` that threw.
    pub(super) fn submit_driver_failure(&mut self, id: &str, cause: Throwable) {
        let mut program = program::state_machine();
        program.name = "(application driver)".to_owned();
        let conf = self.conf.clone();
        self.accept(Submission {
            id: id.to_owned(),
            program,
            parallelism: 1,
            conf,
            restore: Restore::default(),
        });
        if let Some(job) = self.jobs.get_mut(id) {
            job.driver_only = true;
            job.coordinator = None;
        }
        self.initialization_failed(id, &cause);
    }
}

pub(crate) fn read_error(path: &str, why: ReadError) -> Throwable {
    match why {
        ReadError::Missing => {
            let scheme = path.split_once(":/").map_or("file", |(scheme, _)| scheme);
            let text = format!(
                "Cannot find checkpoint or savepoint file/directory '{path}' on file system '{scheme}'."
            );
            Throwable::new(class::FILE_NOT_FOUND, text)
        }
        ReadError::NoMetadata => {
            let text = format!(
                "Cannot find meta data file '_metadata' in directory '{}'. Please try to load the checkpoint/savepoint directly from the metadata file instead of the directory.",
                normal(path)
            );
            Throwable::new(class::FILE_NOT_FOUND, text)
        }
        ReadError::Corrupt => {
            // Seen on 1.20.3 and 2.2.1.
            let text = "Unexpected magic number. This can have multiple reasons: (1) You are trying to load a Flink 1.0 savepoint, which is not supported by this version of Flink. (2) The file you were pointing to is not a savepoint at all. (3) The savepoint file has been corrupted.";
            Throwable::new(class::IO, text)
        }
        ReadError::Truncated => Throwable::bare("java.io.EOFException"),
        ReadError::Unreachable => {
            no_file_system(path, Throwable::new("java.net.ConnectException", "Connection refused"))
        }
        ReadError::UnknownScheme(scheme) => no_file_system(path, unknown_scheme(&scheme)),
        ReadError::LocalHost { host, path } => no_file_system(&path, local_host(&host, &path)),
    }
}

fn no_file_system(path: &str, cause: Throwable) -> Throwable {
    let text = format!("Cannot access file system for checkpoint/savepoint path '{path}'.");
    Throwable::new(class::IO, text).caused_by(cause)
}
