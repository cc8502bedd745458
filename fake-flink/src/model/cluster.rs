//! [`Cluster`]: one JobManager process. Holds the state, the timers and the way in: start, step, handle.
//!
//! Time runs in epoch milliseconds inside. Every call first fires the timers that came due, each at its own due time,
//! so a caller that steps seldom sees the same history as one that steps often.

use super::api::{Effect, Event, JobFact, Mode, ResourceManager, Signal, StartOptions};
use super::application::Application;
use super::commands::Faults;
use super::facts::{Facts, Phase};
use super::ha::HaState;
use super::halog::HaLog;
use super::job::Job;
use super::ops::Operations;
use super::state::JobState;
use super::taskmanagers::TaskManager;
use crate::conf::Conf;
use crate::dashboard::Dashboard;
use crate::hash::QuickHash;
use crate::ids::Ids;
use crate::jar::Jar;
use crate::knobs::{Delay, ModelKnobs};
use crate::logs::{self, Level};
use crate::program::ProgramTable;
use crate::rest::cache::Caches;
use crate::storage::SnapshotStore;
use crate::version::Version;
use bytes::Bytes;
use indexmap::IndexMap;
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What is due at some time. Timers of a job carry its generation; those of an earlier attempt are void.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Timer {
    RestUp,
    Leader,
    Main,
    Renew,
    Job { job: Arc<str>, generation: u64, what: JobTimer },
    Disposal { key: super::ops::OpKey, path: String },
    IdleTaskManager { id: String, since: i64 },
    Shutdown,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JobTimer {
    Initialize,
    Schedule,
    Deployed,
    TasksRunning,
    StageTick,
    SlotTimeout,
    CheckpointTick,
    SnapshotDone { id: u64, verdict: SnapshotVerdict },
    SnapshotExpired { id: u64 },
    Restart,
    Canceled,
    Failed,
    Finished,
    ProgramFails,
    ProgramEnds,
    ConsiderRescale,
    ResourceWait,
    ResourcesStable,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SnapshotVerdict {
    Complete,
    Decline,
    FailTask,
}

/// A jar in the upload directory of a session cluster.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub name: String,
    pub at: i64,
    /// `None`: not a readable zip.
    pub jar: Option<Jar>,
}

/// Log lines that `/jobmanager/log` still shows.
const LOGGED_MAX: usize = 500;

pub struct Cluster {
    pub(crate) version: Version,
    pub(crate) conf: Conf,
    pub(crate) mode: Mode,
    pub(crate) resources: ResourceManager,
    pub(crate) programs: ProgramTable,
    pub(crate) knobs: ModelKnobs,
    pub(crate) storage: SnapshotStore,
    pub(crate) pod_ip: String,
    pub(crate) attempt: u32,
    pub(crate) dashboard: Option<Dashboard>,
    pub(crate) now: i64,
    pub(crate) started: i64,
    /// The newest lines of the log.
    pub(crate) logged: VecDeque<String>,
    pub(crate) ids: Ids,
    delays: Ids,
    pub(crate) phase: Phase,
    /// Until when a result nobody fetched holds up the shutdown.
    pub(super) results_until: Option<i64>,
    pub(crate) ha: HaLog,
    pub(crate) jobs: IndexMap<String, Job, QuickHash>,
    pub(super) application: Application,
    pub(crate) tms: IndexMap<String, TaskManager>,
    /// Asked for and not up yet.
    pub(crate) requested_tms: Vec<String>,
    pub(crate) tm_index: u32,
    pub(crate) ops: Operations,
    pub(crate) uploads: IndexMap<String, Upload>,
    pub(crate) faults: Faults,
    pub(crate) caches: Caches,
    /// Grows with everything that may change what REST shows; time alone is no change.
    pub(crate) revision: u64,
    timers: BTreeMap<(i64, u64), Timer>,
    timer_seq: u64,
    out: Vec<Effect>,
}

impl Cluster {
    /// Starts a JobManager process.
    pub fn start(o: StartOptions) -> (Cluster, Vec<Effect>) {
        let conf = o.conf();
        let now = o.now.as_millisecond();
        // Restarts of one pod must not repeat the ids of an earlier life.
        let seed = o.seed ^ (now as u64).rotate_left(17) ^ u64::from(o.attempt).rotate_left(48);
        let store_ms = conf.millis("rest.async.store-duration", 300_000);
        let mut cluster = Cluster {
            version: o.version,
            ha: HaLog::new(&conf, o.ha),
            ops: Operations::new(store_ms),
            caches: Caches::new(&conf),
            conf,
            mode: o.mode,
            resources: o.resources,
            programs: o.programs,
            knobs: o.model,
            storage: o.storage,
            pod_ip: o.pod_ip,
            attempt: o.attempt,
            dashboard: o.dashboard,
            now,
            logged: VecDeque::new(),
            started: now,
            ids: Ids::new(seed, "ids"),
            delays: Ids::new(seed, "delays"),
            phase: Phase::Starting,
            results_until: None,
            jobs: IndexMap::default(),
            application: Application::default(),
            tms: IndexMap::new(),
            requested_tms: Vec::new(),
            tm_index: 0,
            uploads: IndexMap::new(),
            faults: Faults::default(),
            revision: 0,
            timers: BTreeMap::new(),
            timer_seq: 0,
            out: Vec::new(),
        };
        cluster.boot();
        cluster.advance(now);
        let effects = cluster.take();
        (cluster, effects)
    }

    /// Takes one event at `now` and says what follows from it. Nothing happens in an exited process.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let at = now.as_millisecond();
        self.advance(at);
        if self.phase.is_exited() {
            return self.take();
        }
        self.revision += u64::from(event != Event::Tick);
        match event {
            Event::Tick => {}
            Event::TaskManagerUp { id, slots } => self.task_manager_up(id, slots),
            Event::TaskManagerLost { id } => self.task_manager_lost(&id),
            Event::HaChanged(state) => self.ha_changed(state),
            Event::HaWriteFailed { name } => self.ha_write_failed(&name),
            Event::LeadershipLost => self.leadership_lost("lost the lock"),
            Event::Command(command) => self.command(command),
            Event::Signal(Signal::Kill) => self.exit(137),
            Event::Signal(Signal::Term) => self.terminate(),
        }
        self.advance(at);
        self.take()
    }

    /// When something will happen by itself, if nothing happens before.
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.phase.is_exited() {
            return None;
        }
        let ((at, _), _) = self.timers.first_key_value()?;
        Timestamp::from_millisecond(*at).ok()
    }

    /// Answers one REST call. Ask [`Cluster::listens`] first; the response may carry a [`crate::Pace`] extension.
    pub fn handle(
        &mut self,
        req: &http::Request<Bytes>,
        now: Timestamp,
    ) -> (http::Response<Bytes>, Vec<Effect>) {
        let at = now.as_millisecond();
        self.advance(at);
        let response = crate::rest::answer(self, req);
        self.advance(at);
        (response, self.take())
    }

    /// Whether the REST port accepts connections.
    pub fn listens(&self) -> bool {
        self.phase.listens() && !self.faults.hang
    }

    /// Connections are accepted and nobody answers.
    pub fn hangs(&self) -> bool {
        self.phase.listens() && self.faults.hang
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn facts(&self) -> Facts {
        super::facts::of(self)
    }

    /// The HA ConfigMaps as this process believes them to be.
    pub fn ha(&self) -> &HaState {
        self.ha.state()
    }

    fn advance(&mut self, to: i64) {
        while let Some((&(at, seq), _)) = self.timers.first_key_value() {
            if at > to || self.phase.is_exited() {
                break;
            }
            let timer = self.timers.remove(&(at, seq)).expect("the first timer is there");
            self.now = self.now.max(at);
            self.fire(timer);
        }
        self.now = self.now.max(to);
    }

    fn fire(&mut self, timer: Timer) {
        self.revision += 1;
        match timer {
            Timer::RestUp => self.rest_up(),
            Timer::Leader => self.leader(),
            Timer::Main => self.main_method(),
            Timer::Renew => self.renew_lease(),
            Timer::Disposal { key, path } => self.dispose(&key, &path),
            Timer::IdleTaskManager { id, since } => self.release_if_idle(&id, since),
            Timer::Shutdown => self.try_shutdown(),
            Timer::Job { job, generation, what } => {
                let current = self.jobs.get(&*job).is_some_and(|j| j.generation == generation);
                if current {
                    self.job_timer(&job, what);
                }
            }
        }
    }

    fn job_timer(&mut self, job: &str, what: JobTimer) {
        match what {
            JobTimer::Initialize => self.initialize_on_time(job),
            JobTimer::Schedule => self.schedule_tasks(job),
            JobTimer::Deployed => self.tasks_deployed(job),
            JobTimer::TasksRunning => self.tasks_running(job),
            JobTimer::StageTick => self.stage_tick(job),
            JobTimer::SlotTimeout => self.slot_timeout(job),
            JobTimer::CheckpointTick => self.checkpoint_tick(job),
            JobTimer::SnapshotDone { id, verdict } => self.snapshot_done(job, id, verdict),
            JobTimer::SnapshotExpired { id } => self.snapshot_expired(job, id),
            JobTimer::Restart => self.restart(job),
            JobTimer::Canceled => self.canceled(job),
            JobTimer::Failed => self.failed(job),
            JobTimer::Finished => self.finished(job),
            JobTimer::ProgramFails => self.program_fails(job),
            JobTimer::ProgramEnds => self.program_ends(job),
            JobTimer::ConsiderRescale => self.consider_rescale(job),
            JobTimer::ResourceWait => self.resource_wait_over(job),
            JobTimer::ResourcesStable => self.resources_stable(job),
        }
    }

    pub(crate) fn after(&mut self, delay_ms: i64, timer: Timer) {
        self.at(self.now.saturating_add(delay_ms.max(0)), timer);
    }

    pub(crate) fn at(&mut self, due: i64, timer: Timer) {
        self.timer_seq += 1;
        self.timers.insert((due.max(self.now), self.timer_seq), timer);
    }

    pub(crate) fn job_after(&mut self, job: &str, delay_ms: i64, what: JobTimer) {
        let Some(entry) = self.jobs.get(job) else { return };
        let (job, generation) = (entry.key.clone(), entry.generation);
        self.after(delay_ms, Timer::Job { job, generation, what });
    }

    /// A job of the same id may come back under the next leadership; timers of this one must not reach it.
    pub(super) fn drop_job_timers(&mut self) {
        self.timers.retain(|_, timer| !matches!(timer, Timer::Job { .. } | Timer::Main));
    }

    pub(crate) fn draw(&mut self, delay: Delay) -> i64 {
        delay.draw_ms(&mut self.delays)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        self.delays.unit()
    }

    pub(crate) fn emit(&mut self, effect: Effect) {
        self.out.push(effect);
    }

    pub(crate) fn fact(&mut self, fact: JobFact) {
        self.out.push(Effect::Fact(fact));
    }

    pub(crate) fn log(&mut self, logger: &str, message: impl AsRef<str>) {
        self.log_at(Level::Info, logger, message);
    }

    pub(crate) fn log_at(&mut self, level: Level, logger: &str, message: impl AsRef<str>) {
        let line = logs::line(self.timestamp(), level, logger, message.as_ref());
        if self.logged.len() == LOGGED_MAX {
            self.logged.pop_front();
        }
        self.logged.push_back(line.clone());
        self.out.push(Effect::Log(line));
    }

    pub(crate) fn timestamp(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    pub(crate) fn exit(&mut self, code: i32) {
        if !self.phase.is_exited() {
            self.phase = Phase::Exited { code };
            self.timers.clear();
            self.out.push(Effect::Exit { code });
        }
    }

    /// Takes a job to `state` with log line and fact; false when there is no such transition.
    pub(crate) fn go(&mut self, job: &str, state: JobState) -> bool {
        let now = self.now;
        let Some(entry) = self.jobs.get_mut(job) else { return false };
        let from = entry.state;
        if !entry.go(state, now) {
            return false;
        }
        let name = entry.name.clone();
        self.fact(JobFact::State { job: job.to_owned(), state });
        self.log(
            "ExecutionGraph",
            format!("Job {name} ({job}) switched from state {} to {}.", from.name(), state.name()),
        );
        true
    }

    fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.out)
    }
}
