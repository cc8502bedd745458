//! A toy cluster: a Deployment with its pods, HA metadata, a JobManager with one job, and a store of snapshots.
//!
//! It applies plans literally and keeps its own books: it panics the moment two JobManagers could hold the job, or a
//! job starts from less than the newest durable state without having been asked to. Time is simulated; Flink itself
//! is instant unless a delay is set.

use drey_api::constants::FLINK_DEPLOYMENT_FINALIZER;
use drey_api::{FlinkDeployment, FlinkDeploymentSpec, FlinkJobState, LifecycleState};
use drey_reconciler::*;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct Deployment {
    pub uid: String,
    pub generation: i64,
    pub created: Timestamp,
    pub deleting: bool,
    pub parts: bool,
    pub ever_available: bool,
    pub cluster: NewCluster,
}

impl Deployment {
    fn conditions(&self, available: bool) -> [ConditionFacts; 2] {
        let (since, progress) = match self.ever_available {
            true => (self.created + SignedDuration::from_millis(1), "NewReplicaSetAvailable"),
            false => (self.created, "ReplicaSetUpdated"),
        };
        let condition = |kind: &str, status: bool, reason: Option<&str>, since| ConditionFacts {
            kind: kind.into(),
            status: if status { "True" } else { "False" }.into(),
            reason: reason.map(Into::into),
            message: None,
            last_transition: Some(since),
        };
        [
            condition("Available", available, None, since),
            condition("Progressing", true, Some(progress), self.created),
        ]
    }
}

#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    pub state: FlinkJobState,
    pub progress: i64,
    pub start: i64,
    pub modified: i64,
}

#[derive(Clone, Debug)]
pub struct Trigger {
    pub done_at: Timestamp,
    pub stop: bool,
    pub result: Option<Result<String, String>>,
    /// The savepoint of a stop that failed.
    pub savepoint: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct JobManager {
    pub job: Option<Job>,
    pub triggers: BTreeMap<String, Trigger>,
    pub checkpoints: Vec<CompletedCheckpoint>,
}

/// Delays of the simulated Flink and Kubernetes.
#[derive(Clone, Debug)]
pub struct Delays {
    pub start: SignedDuration,
    pub terminate: SignedDuration,
    pub savepoint: SignedDuration,
    pub cancel: SignedDuration,
}

pub struct World {
    pub resource: FlinkDeployment,
    pub exists: bool,
    pub policy: Policy,
    pub now: Timestamp,
    pub delays: Delays,
    pub deployment: Option<Deployment>,
    pub pods_until: Option<Timestamp>,
    pub jm: Option<JobManager>,
    /// HA metadata: job id, and progress of the newest checkpoint, if any.
    pub ha: Option<(String, Option<i64>)>,
    pub ha_enabled: bool,
    /// HA metadata lies in ZooKeeper: `ha` is there, and nobody sees it.
    pub ha_hidden: bool,
    /// Tasks of a RUNNING job that do not run yet.
    pub tasks_missing: i64,
    /// What the adaptive scheduler holds.
    pub requirements: Requirements,
    /// The JobManager does not take new bounds.
    pub rescale_fails: bool,
    pub rescales: usize,
    /// The pods are those of a JobManager that fails at its start.
    crashed: bool,
    pub snapshots: BTreeMap<String, i64>,
    /// Progress that must not be lost any more.
    pub durable: i64,
    pub stateless_asked: bool,
    pub cancelling_until: Option<Timestamp>,
    pub memo: Memo,
    pub failure: Option<ActionFailure>,
    pub due: Option<Timestamp>,
    pub changed: bool,
    pub unreachable: bool,
    pub next_savepoint_fails: bool,
    /// The next stop completes its savepoint, and the job fails right after it.
    pub next_stop_fails_late: bool,
    /// Every savepoint fails.
    pub savepoints_fail: bool,
    pub disposals_fail: bool,
    /// The JobManager never becomes available; why, these say.
    pub stuck: bool,
    pub pod_facts: Vec<PodFacts>,
    pub conditions: Vec<ConditionFacts>,
    pub mount_failures: BTreeMap<String, String>,
    /// How a JobManager that cannot be reached fails to answer.
    pub why: Why,
    pub metrics: MetricFacts,
    pub exceptions: Vec<ExceptionFact>,
    pub newest: Option<HistoryEntry>,
    /// The next create request takes effect and its answer is lost.
    pub lose_reply: bool,
    /// The next create request creates the Deployment only.
    pub create_half: bool,
    /// Crash before the n-th action of the next passes.
    pub crash_at: Option<usize>,
    pub events: Vec<Event>,
    pub trace: Vec<String>,
    pub passes: usize,
    pub flink_requests: usize,
    pub status_writes: usize,
    pub starts: Vec<(String, Restore)>,
    counter: u64,
}

impl World {
    pub fn new(resource: FlinkDeployment) -> World {
        let ha = resource.spec.flink_configuration.get("high-availability.type");
        let ha_hidden = ha.as_deref() == Some("zookeeper");
        let ha_enabled = ha_hidden || ha.as_deref() == Some("kubernetes");
        World {
            resource,
            exists: true,
            policy: super::fixture::policy(),
            now: super::fixture::start(),
            delays: Delays {
                start: SignedDuration::ZERO,
                terminate: SignedDuration::ZERO,
                savepoint: SignedDuration::ZERO,
                cancel: SignedDuration::ZERO,
            },
            deployment: None,
            pods_until: None,
            jm: None,
            ha: None,
            ha_enabled,
            ha_hidden,
            tasks_missing: 0,
            requirements: Requirements::new(),
            rescale_fails: false,
            rescales: 0,
            crashed: false,
            snapshots: BTreeMap::new(),
            durable: 0,
            stateless_asked: false,
            cancelling_until: None,
            memo: Memo::default(),
            failure: None,
            due: None,
            changed: true,
            unreachable: false,
            next_savepoint_fails: false,
            next_stop_fails_late: false,
            savepoints_fail: false,
            disposals_fail: false,
            stuck: false,
            pod_facts: Vec::new(),
            conditions: Vec::new(),
            mount_failures: BTreeMap::new(),
            why: Why::Timeout,
            metrics: MetricFacts::default(),
            exceptions: Vec::new(),
            newest: None,
            lose_reply: false,
            create_half: false,
            crash_at: None,
            events: Vec::new(),
            trace: Vec::new(),
            passes: 0,
            flink_requests: 0,
            status_writes: 0,
            starts: Vec::new(),
            counter: 0,
        }
    }

    // What people do.

    pub fn edit(&mut self, edit: impl FnOnce(&mut FlinkDeploymentSpec)) {
        edit(&mut self.resource.spec);
        self.resource.metadata.generation = Some(self.resource.generation() + 1);
        self.changed = true;
    }

    pub fn delete(&mut self) {
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now);
        self.resource.metadata.deletion_timestamp = Some(time);
        self.changed = true;
    }

    pub fn kill_deployment(&mut self) {
        self.deployment = None;
        self.jm = None;
        self.pods_until = None;
        self.changed = true;
        if std::mem::take(&mut self.crashed) {
            self.pod_facts.clear();
        }
    }

    pub fn checkpoint(&mut self) {
        self.counter += 1;
        let (number, now) = (self.counter, self.now.as_millisecond());
        let Some(jm) = &mut self.jm else { return };
        let Some(job) = jm.job.as_mut().filter(|job| job.state == FlinkJobState::Running) else { return };
        job.progress += 1;
        let path = format!("s3://bucket/checkpoints/{}/chk-{number}", job.id);
        self.snapshots.insert(path.clone(), job.progress);
        self.durable = self.durable.max(job.progress);
        jm.checkpoints.push(CompletedCheckpoint { id: number as i64, path: Some(path), timestamp: now });
        if self.ha_enabled {
            self.ha = Some((job.id.clone(), Some(job.progress)));
        }
    }

    pub fn set_job_state(&mut self, state: FlinkJobState) {
        let modified = self.now.as_millisecond();
        if let Some(job) = self.jm.as_mut().and_then(|jm| jm.job.as_mut()) {
            job.state = state;
            job.modified = modified;
        }
        if state.is_terminal() {
            self.ha = None;
        }
        self.due = Some(self.now);
    }

    // Reading.

    pub fn job(&self) -> Option<&Job> {
        self.jm.as_ref().and_then(|jm| jm.job.as_ref())
    }

    pub fn status(&self) -> drey_api::FlinkDeploymentStatus {
        self.resource.status.clone().unwrap_or_default()
    }

    pub fn lifecycle(&self) -> Option<LifecycleState> {
        self.status().lifecycle_state
    }

    pub fn reasons(&self) -> Vec<&str> {
        self.events.iter().map(|event| event.reason.as_str()).collect()
    }

    // Running.

    /// Until the condition holds; panics with the trace when it does not within `limit`.
    pub fn until(&mut self, limit: SignedDuration, what: &str, holds: impl Fn(&World) -> bool) {
        let deadline = self.now + limit;
        let mut spins = 0;
        while !holds(self) {
            spins += 1;
            let stuck = self.now > deadline || spins > 5_000;
            assert!(!stuck, "{what}: not within {limit}\n{}\ntrace\n{}", brief(self), self.trace.join("\n"));
            self.step();
        }
    }

    pub fn until_stable(&mut self, limit: SignedDuration) {
        self.until(limit, "STABLE", |w| w.lifecycle() == Some(LifecycleState::Stable) && w.settled());
    }

    fn settled(&self) -> bool {
        self.status().observed_generation == Some(self.resource.generation()) && !self.changed
    }

    pub fn for_a_while(&mut self, time: SignedDuration) {
        let end = self.now + time;
        let mut spins = 0;
        while self.now < end && self.exists {
            spins += 1;
            let last = || self.trace.iter().rev().take(12).cloned().collect::<Vec<_>>().join("\n");
            assert!(spins < 5_000, "spins without getting anywhere\n{}\n{}", brief(self), last());
            if !self.step_until(end) {
                self.now = end;
            }
        }
    }

    pub fn step(&mut self) {
        let far = self.now + SignedDuration::from_hours(100);
        assert!(self.step_until(far), "nothing is due and nothing changes\n{}", self.trace.join("\n"));
    }

    /// One pass, or time up to the next thing that happens; false when nothing happens before `end`.
    fn step_until(&mut self, end: Timestamp) -> bool {
        self.tick();
        if self.exists && (self.changed || self.due.is_some_and(|due| due <= self.now)) {
            self.pass();
            return true;
        }
        let mut moments: Vec<Timestamp> =
            self.due.into_iter().chain(self.pods_until).chain(self.cancelling_until).collect();
        if let Some(deployment) = &self.deployment {
            moments.push(deployment.created + self.delays.start);
        }
        moments.extend(
            self.jm
                .iter()
                .flat_map(|jm| jm.triggers.values())
                .filter(|t| t.result.is_none())
                .map(|t| t.done_at),
        );
        match moments.into_iter().filter(|at| *at > self.now && *at <= end).min() {
            Some(at) => {
                self.now = at;
                true
            }
            None => false,
        }
    }

    /// Kubernetes and Flink move on.
    pub fn tick(&mut self) {
        if self.pods_until.is_some_and(|until| until <= self.now) {
            self.pods_until = None;
            if self.deployment.as_ref().is_some_and(|d| d.deleting) {
                self.deployment = None;
                if std::mem::take(&mut self.crashed) {
                    self.pod_facts.clear();
                }
            }
            self.changed = true;
        }
        let bad = |d: &Deployment| {
            d.cluster.objects[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "bad"
        };
        let up = self.deployment.clone().filter(|d| {
            !d.deleting && d.parts && !self.stuck && !bad(d) && self.now >= d.created + self.delays.start
        });
        if let Some(deployment) = up
            && self.jm.is_none()
        {
            self.start_job_manager(&deployment);
            self.changed |= self.jm.is_some();
        }
        if self.cancelling_until.is_some_and(|until| until <= self.now) {
            self.cancelling_until = None;
            self.set_job_state(FlinkJobState::Canceled);
        }
        self.finish_triggers();
    }

    fn start_job_manager(&mut self, deployment: &Deployment) {
        assert!(self.pods_until.is_none(), "a JobManager starts while another one still runs");
        let cluster = &deployment.cluster;
        let held = self.ha.clone().filter(|(id, _)| self.ha_enabled && *id == cluster.job_id);
        let progress = match (&held, &cluster.restore) {
            (Some((_, Some(progress))), _) => Some(*progress),
            (_, Restore::From(path)) => self.snapshots.get(path).copied(),
            (_, Restore::Empty) | (Some((_, None)), Restore::HaMetadata { .. }) => Some(0),
            // The dummy path cannot be read: the JobManager fails instead of starting empty.
            (None, Restore::HaMetadata { guarded: true }) => None,
            (None, Restore::HaMetadata { guarded: false }) => Some(0),
        };
        let Some(progress) = progress else {
            self.pods_crash();
            return;
        };
        assert!(
            progress >= self.durable || self.stateless_asked,
            "state lost: started from {progress} ({:?}), {} was known\n{}",
            cluster.restore,
            self.durable,
            self.trace.join("\n"),
        );
        if let Some(d) = &mut self.deployment {
            d.ever_available = true;
        }
        self.durable = progress;
        self.stateless_asked = false;
        let from_ha = matches!(held, Some((_, Some(_))));
        let restored = match &cluster.restore {
            Restore::From(path) if !from_ha => Some(path.clone()),
            _ if from_ha => {
                self.snapshots.iter().find(|(_, at)| **at == progress).map(|(path, _)| path.clone())
            }
            _ => None,
        };
        let now = self.now.as_millisecond();
        self.starts.push((cluster.job_id.clone(), cluster.restore.clone()));
        self.jm = Some(JobManager {
            job: Some(Job {
                id: cluster.job_id.clone(),
                state: FlinkJobState::Running,
                progress,
                start: now,
                modified: now,
            }),
            triggers: BTreeMap::new(),
            checkpoints: restored
                .into_iter()
                .map(|path| CompletedCheckpoint { id: 0, path: Some(path), timestamp: now })
                .collect(),
        });
        if self.ha_enabled && held.is_none() {
            let restored = matches!(cluster.restore, Restore::From(_)).then_some(progress);
            self.ha = Some((cluster.job_id.clone(), restored));
        }
    }

    /// What a JobManager that fails at its start looks like from outside.
    fn pods_crash(&mut self) {
        if self.pod_facts.is_empty() {
            self.pod_facts = vec![PodFacts {
                containers: vec![ContainerFacts {
                    name: "main".into(),
                    waiting: Some(Waiting { reason: "CrashLoopBackOff".into(), message: None }),
                    last_terminated_message: Some("no such savepoint".into()),
                }],
                ..pod()
            }];
            self.crashed = true;
            self.changed = true;
        }
    }

    fn finish_triggers(&mut self) {
        let now = self.now;
        let Some(jm) = &mut self.jm else { return };
        let due: Vec<String> = jm
            .triggers
            .iter()
            .filter(|(_, t)| t.result.is_none() && t.done_at <= now)
            .map(|(id, _)| id.clone())
            .collect();
        let tasks_run = self.tasks_missing == 0;
        for id in due {
            let running = |job: &&mut Job| job.state == FlinkJobState::Running && tasks_run;
            let Some(job) = jm.job.as_mut().filter(running) else {
                jm.triggers.get_mut(&id).unwrap().result =
                    Some(Err("Not all required tasks are running".into()));
                continue;
            };
            if std::mem::take(&mut self.next_savepoint_fails) || self.savepoints_fail {
                jm.triggers.get_mut(&id).unwrap().result =
                    Some(Err("Checkpoint expired before completing.".into()));
                continue;
            }
            job.progress += 1;
            let path = format!("s3://bucket/savepoints/savepoint-{}", &id[..6]);
            self.snapshots.insert(path.clone(), job.progress);
            let trigger = jm.triggers.get_mut(&id).unwrap();
            let stop = trigger.stop;
            let late = stop && std::mem::take(&mut self.next_stop_fails_late);
            if late {
                trigger.savepoint = Some(path);
                trigger.result = Some(Err("failed during stopping".into()));
            } else {
                trigger.result = Some(Ok(path));
            }
            if stop {
                self.durable = self.durable.max(job.progress);
                job.state = if late { FlinkJobState::Failed } else { FlinkJobState::Finished };
                job.modified = now.as_millisecond();
                self.ha = None;
            }
        }
    }

    /// One pass: ask until nothing is missing, decide, carry out.
    pub fn pass(&mut self) {
        self.changed = false;
        self.passes += 1;
        let mut o = self.observation();
        for _ in 0..8 {
            let asks = needs(&o, &self.policy, self.now);
            if asks.is_empty() {
                break;
            }
            for ask in asks {
                self.answer(&mut o, &ask);
            }
        }
        let decision = decide(&o, &self.policy, self.now);
        assert!(decision.trace.iter().all(|step| step.rule != "needs"), "{:?}", decision.trace);
        let violations = check::observation(&o).into_iter().chain(check::decision(&o, &decision));
        let violations: Vec<_> = violations.collect();
        assert!(violations.is_empty(), "{violations:#?}\n{:?}\n{}", decision.trace, self.trace.join("\n"));
        let plan: Vec<ActionKind> = decision.plan.iter().map(Action::kind).collect();
        let steps: Vec<String> = decision.trace.iter().map(Step::to_string).collect();
        self.trace.push(format!("{} {plan:?} {:?} | {}", self.now, decision.next, steps.join("; ")));
        // A job recorded as stopped under stateless has given up its state, also if its cluster was gone already.
        let recorded = |status: &drey_api::FlinkDeploymentStatus| {
            status.reconciliation_status.last_reconciled_spec.clone()
        };
        let stateless = self.resource.spec.job.as_ref().is_some_and(|job| !job.upgrade_mode.is_stateful());
        self.stateless_asked |= stateless && recorded(&decision.status) != recorded(&self.status());
        self.failure = None;
        self.memo = decision.memo.clone();
        self.events.extend(decision.events.clone());
        for action in &decision.plan {
            if self.crash_at == Some(0) {
                self.crash_at = None;
                self.memo = Memo::default();
                self.changed = true;
                return;
            }
            self.crash_at = self.crash_at.map(|n| n - 1);
            if let Err(error) = self.apply(action) {
                self.failure = Some(ActionFailure { action: action.kind(), error });
                self.changed = true;
                return;
            }
        }
        if self.exists && self.resource.status.as_ref() != Some(&decision.status) {
            self.status_writes += 1;
            self.resource.status = Some(decision.status.clone());
        }
        self.due = match decision.next {
            Next::After(wait, _) => Some(self.now + SignedDuration::try_from(wait).unwrap()),
            Next::Again(_) => Some(self.now),
            Next::OnChange(_) => None,
        };
    }

    pub fn observation(&self) -> Observation {
        let mut o = Observation::of(self.resource.clone());
        o.failure = self.failure.clone();
        o.memo = self.memo.clone();
        o.job_manager = match &self.deployment {
            None => Seen::Absent,
            Some(d) => {
                let available = self.jm.is_some() && !self.stuck;
                Seen::Known(JobManagerFacts {
                    uid: d.uid.clone(),
                    generation: Some(d.generation),
                    created: d.created,
                    own_generation: Some(1),
                    deleting: d.deleting,
                    wanted_replicas: 1,
                    replicas: 1,
                    available_replicas: i32::from(available),
                    conditions: self.conditions.iter().cloned().chain(d.conditions(available)).collect(),
                    has_rest_service: d.parts,
                    has_config_map: d.parts,
                })
            }
        };
        let pods = self.pods_until.is_some() || self.deployment.is_some();
        o.pods = Seen::Known(match pods {
            true if self.pod_facts.is_empty() => vec![pod()],
            true => self.pod_facts.clone(),
            false => Vec::new(),
        });
        let maps = self.ha.iter().filter(|_| !self.ha_hidden).flat_map(|(id, checkpoint)| {
            let keys = checkpoint.map(|n| format!("checkpointID-{n:019}")).into_iter().collect();
            [
                HaConfigMap {
                    name: "app-cluster-config-map".into(),
                    deleting: false,
                    keys: vec![format!("jobGraph-{id}")],
                },
                HaConfigMap { name: format!("app-{id}-config-map"), deleting: false, keys },
            ]
        });
        o.ha = Seen::Known(HaFacts { config_maps: maps.collect() });
        o
    }

    pub fn answer(&mut self, o: &mut Observation, ask: &Ask) {
        self.flink_requests += usize::from(ask.is_flink());
        let down = self.unreachable || self.jm.is_none();
        macro_rules! or_down {
            ($value:expr) => {
                if down { Seen::unreachable(self.why.clone()) } else { $value }
            };
        }
        let jm = self.jm.clone().unwrap_or_default();
        let savepoint = |id: &String| jm.triggers.get(id).and_then(|t| t.savepoint.clone());
        let trigger = |id: &String| match jm.triggers.get(id).map(|t| t.result.clone()) {
            None => Seen::Absent,
            Some(None) => Seen::Known(TriggerFact::InProgress),
            Some(Some(Ok(location))) => Seen::Known(TriggerFact::Completed { location }),
            Some(Some(Err(message))) => Seen::Known(TriggerFact::Failed {
                causes: vec![Cause {
                    class: "java.util.concurrent.CompletionException".into(),
                    message: Some(message),
                }],
                savepoint_path: savepoint(id),
            }),
        };
        match ask {
            Ask::Jobs => {
                let jobs = jm.job.iter().map(|job| JobFact {
                    id: job.id.clone(),
                    name: "job".into(),
                    state: job.state,
                    start_time: job.start,
                    last_modification: job.modified,
                    tasks: Some(TaskCounts { running: 2 - self.tasks_missing, finished: 0, total: 2 }),
                });
                o.flink.jobs = or_down!(Seen::Known(jobs.collect()));
            }
            Ask::Savepoint { trigger: id, .. } => o.flink.savepoint = or_down!(trigger(id)),
            Ask::Checkpoint { trigger: id, .. } => o.flink.checkpoint = or_down!(trigger(id)),
            Ask::Checkpoints { .. } => {
                let facts = CheckpointFacts { latest: jm.checkpoints.clone(), newest: self.newest.clone() };
                o.flink.checkpoints = or_down!(Seen::Known(facts));
            }
            Ask::ExecutionResult { .. } => {
                let cause = |message: &str| Cause {
                    class: "java.lang.RuntimeException".into(),
                    message: Some(message.into()),
                };
                o.flink.result = or_down!(Seen::Known(ResultFact::Completed {
                    causes: vec![cause("job err"), cause("root")]
                }));
            }
            Ask::Exceptions { .. } => o.flink.exceptions = or_down!(Seen::Known(self.exceptions.clone())),
            Ask::Metrics { .. } => o.flink.metrics = or_down!(Seen::Known(self.metrics.clone())),
            Ask::Cluster => {
                let fact =
                    ClusterFact { flink_version: "1.20.3".into(), flink_revision: "abc @ 2025".into() };
                o.flink.cluster = or_down!(Seen::Known(fact));
            }
            Ask::Requirements { .. } => {
                o.flink.requirements = or_down!(Seen::Known(self.requirements.clone()))
            }
            Ask::PodEvents { .. } => o.mount_failures = Seen::Known(self.mount_failures.clone()),
        }
    }

    fn apply(&mut self, action: &Action) -> Result<(), ActionError> {
        // Whoever lets go of a cluster under stateless has said that its state may go.
        self.stateless_asked |=
            self.resource.spec.job.as_ref().is_some_and(|job| !job.upgrade_mode.is_stateful());
        let timeout = || ActionError::Unreachable { why: Why::Timeout };
        match action {
            Action::PersistStatus(status) => {
                self.status_writes += 1;
                self.resource.status = Some((**status).clone());
            }
            Action::CreateCluster(cluster) => return self.create(cluster),
            Action::DeleteCluster { uid } => {
                if let Some(d) = self.deployment.as_mut().filter(|d| d.uid == *uid) {
                    d.deleting = true;
                    self.pods_until = Some(self.now + self.delays.terminate);
                    self.jm = None;
                    self.cancelling_until = None;
                    self.changed = true;
                }
            }
            Action::DeleteHa { config_maps } => {
                assert!(self.deployment.is_none(), "HA metadata deleted under a JobManager");
                if self
                    .ha
                    .as_ref()
                    .is_some_and(|(id, _)| config_maps.iter().any(|name| name.contains(id.as_str())))
                {
                    self.ha = None;
                }
            }
            Action::StripJobGraphs { .. } => {}
            Action::StopWithSavepoint { trigger, .. } => return self.trigger(trigger, true),
            Action::TriggerSavepoint { trigger, .. } => return self.trigger(trigger, false),
            Action::TriggerCheckpoint { trigger, .. } => return self.trigger(trigger, false),
            Action::CancelJob { .. } => {
                if self.unreachable || self.jm.is_none() {
                    return Err(timeout());
                }
                if self.job().is_some_and(|job| !job.state.is_terminal()) {
                    self.set_job_state(FlinkJobState::Cancelling);
                    self.cancelling_until = Some(self.now + self.delays.cancel);
                }
            }
            Action::DisposeSavepoint { path } => {
                if self.disposals_fail {
                    return Err(ActionError::Flink { code: 500, message: "no such file system".into() });
                }
                self.snapshots.remove(path);
            }
            Action::Rescale { requirements, .. } => {
                if self.unreachable || self.jm.is_none() {
                    return Err(timeout());
                }
                if self.rescale_fails {
                    return Err(ActionError::Flink { code: 500, message: "DefaultScheduler".into() });
                }
                self.rescales += 1;
                self.requirements = requirements.clone();
            }
            Action::AddFinalizer => {
                self.resource.metadata.finalizers = Some(vec![FLINK_DEPLOYMENT_FINALIZER.into()]);
            }
            Action::RemoveFinalizer => {
                self.resource.metadata.finalizers = None;
                self.exists = self.resource.metadata.deletion_timestamp.is_none();
            }
        }
        Ok(())
    }

    fn create(&mut self, cluster: &NewCluster) -> Result<(), ActionError> {
        if let Some(existing) = &mut self.deployment {
            if existing.deleting || existing.generation != cluster.generation {
                return Err(ActionError::Kube {
                    code: 409,
                    reason: "AlreadyExists".into(),
                    message: String::new(),
                });
            }
            existing.parts = true;
            return Ok(());
        }
        assert!(self.pods_until.is_none(), "created while pods of another JobManager run");
        let stored = self.status();
        assert_eq!(stored.job_status.job_id.as_ref(), Some(&cluster.job_id), "the job id is stored first");
        let kinds: Vec<&str> = cluster.objects.iter().filter_map(|o: &Value| o["kind"].as_str()).collect();
        assert_eq!(kinds.first(), Some(&"Deployment"));
        self.counter += 1;
        self.stateless_asked |=
            self.resource.spec.job.as_ref().is_some_and(|job| !job.upgrade_mode.is_stateful());
        self.deployment = Some(Deployment {
            uid: format!("deployment-{}", self.counter),
            generation: cluster.generation,
            created: self.now,
            deleting: false,
            parts: !std::mem::take(&mut self.create_half),
            ever_available: false,
            cluster: cluster.clone(),
        });
        self.changed = true;
        match std::mem::take(&mut self.lose_reply) {
            true => Err(ActionError::Unreachable { why: Why::Timeout }),
            false => Ok(()),
        }
    }

    fn trigger(&mut self, id: &str, stop: bool) -> Result<(), ActionError> {
        let info = self.status().job_status;
        let stored = [&info.savepoint_info.trigger_id, &info.checkpoint_info.trigger_id];
        assert!(stored.iter().any(|s| s.as_deref() == Some(id)), "the trigger id is stored first");
        if self.unreachable {
            return Err(ActionError::Unreachable { why: Why::Timeout });
        }
        let done_at = self.now + self.delays.savepoint;
        let Some(jm) = &mut self.jm else { return Err(ActionError::Unreachable { why: Why::Refused }) };
        jm.triggers.entry(id.to_owned()).or_insert(Trigger { done_at, stop, result: None, savepoint: None });
        Ok(())
    }
}

fn pod() -> PodFacts {
    PodFacts { name: "app-0".into(), deleting: false, conditions: Vec::new(), containers: Vec::new() }
}

/// The parts of a status that fit into a failure message.
pub fn brief(world: &World) -> String {
    let s = world.status();
    let (job, r) = (&s.job_status, &s.reconciliation_status);
    format!(
        "{:?} jm {:?} job {:?} recon {:?} path {:?} error {:?} desired {:?}",
        s.lifecycle_state,
        s.job_manager_deployment_status,
        job.state,
        r.state,
        job.upgrade_savepoint_path,
        s.error,
        world.resource.spec.job.as_ref().map(|job| (job.state, job.upgrade_mode)),
    )
}
