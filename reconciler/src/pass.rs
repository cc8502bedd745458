//! The workbench of one pass: the observation, the status as it will be, and what has been decided so far.
//!
//! Stages take `&mut Pass` and return a [`Flow`]: `Ok` goes on to the next stage, `Err(End)` ends the pass. A stage
//! that needs a fact nobody has asked for yet ends the pass with [`End::Ask`]; `needs` collects those.

use crate::ask::Ask;
use crate::blueprint::Configs;
use crate::decision::{Action, Component, Decision, Event, EventKind, Next, Step};
use crate::error::{ErrorDocument, chain_message};
use crate::observation::{Memo, Observation, Seen};
use crate::policy::Policy;
use crate::{lifecycle, pace};
use drey_api::{
    FlinkDeploymentSpec, FlinkDeploymentStatus, FlinkJobState, JobManagerDeploymentStatus, JobSpec, JobState,
    ReconciledSpec, ReconciliationState, UpgradeMode,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Why a pass ends here.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Facts are missing; which, `Pass::asks` says.
    Ask,
    Next(Next),
}

pub type Flow<T = ()> = Result<T, End>;

pub struct Pass<'a> {
    pub o: &'a Observation,
    pub policy: &'a Policy,
    pub now: Timestamp,
    /// The stored status.
    pub before: FlinkDeploymentStatus,
    /// The status as it will be.
    pub status: FlinkDeploymentStatus,
    /// What the user wants; replaced by the recorded spec while theirs is invalid (2.2 step 6).
    pub spec: FlinkDeploymentSpec,
    pub generation: i64,
    /// `lastReconciledSpec`, parsed.
    pub recorded: Option<Arc<ReconciledSpec>>,
    pub configs: Arc<Configs>,
    pub asks: Vec<Ask>,
    pub memo: Memo,
    /// The status is not ours to compute: it is stored as it stands.
    pub verbatim: bool,
    plan: Vec<Action>,
    events: Vec<Event>,
    trace: Vec<Step>,
    /// What the plan has stored so far, if anything.
    persisted: Option<FlinkDeploymentStatus>,
}

impl<'a> Pass<'a> {
    pub fn new(o: &'a Observation, policy: &'a Policy, now: Timestamp) -> Self {
        let before = o.resource.status.clone().unwrap_or_default();
        Pass {
            o,
            policy,
            now,
            persisted: None,
            status: before.clone(),
            before,
            spec: o.resource.spec.clone(),
            generation: o.resource.generation(),
            recorded: None,
            configs: Arc::default(),
            asks: Vec::new(),
            memo: o.memo.clone(),
            verbatim: false,
            plan: Vec::new(),
            events: Vec::new(),
            trace: Vec::new(),
        }
    }

    // Saying what is done and why.

    pub fn note(&mut self, rule: &'static str, text: impl Into<String>) {
        self.trace.push(Step { rule, text: text.into() });
    }

    /// What was learnt and decided so far is stored before anything is done: the plan may stop right there.
    pub fn act(&mut self, action: Action) {
        if !matches!(action, Action::AddFinalizer | Action::RemoveFinalizer) {
            self.persist();
        }
        self.plan.push(action);
    }

    /// Write-ahead: what follows in the plan happens only once this status is stored.
    pub fn persist(&mut self) {
        let finished = self.finished_status();
        if finished != *self.persisted.as_ref().unwrap_or(&self.before) {
            self.plan.push(Action::PersistStatus(Box::new(finished.clone())));
            self.persisted = Some(finished);
        }
    }

    pub fn event(&mut self, kind: EventKind, component: Component, reason: &str, message: impl Into<String>) {
        self.events.push(Event {
            kind,
            reason: reason.into(),
            message: message.into(),
            component,
            key: None,
            once: false,
            annotations: BTreeMap::new(),
        });
    }

    pub fn push_event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// An event about something that lasts: published when it begins, not on every pass.
    pub fn event_once(&mut self, kind: EventKind, component: Component, reason: &str, message: &str) {
        if self.memo.reported.get(reason).map(String::as_str) != Some(message) {
            self.memo.reported.insert(reason.into(), message.into());
            self.event(kind, component, reason, message);
        }
    }

    /// Stores an error; the event is published when the stored error changes.
    pub fn fail(&mut self, error: ErrorDocument, component: Component, reason: &str) {
        self.fail_about(error, component, reason, None);
    }

    /// As `fail`. With a key the event stays one although its text moves on, as the text of a back-off does.
    pub fn fail_about(
        &mut self,
        error: ErrorDocument,
        component: Component,
        reason: &str,
        key: Option<String>,
    ) {
        let text = error.to_text(self.policy.error_limits());
        if self.before.error.as_deref() != Some(text.as_str()) {
            let message = match error.causes.is_empty() {
                true => error.message,
                false => format!(
                    "{} -> {}",
                    error.message,
                    chain_message(&error.causes[..error.causes.len().min(2)])
                ),
            };
            self.event(EventKind::Warning, component, reason, message);
            if let Some(event) = self.events.last_mut() {
                event.key = key;
            }
        }
        self.status.error = Some(text);
    }

    // Asking.

    /// The fact, or the end of the pass with the question noted.
    pub fn need<T>(&mut self, fact: &'a Seen<T>, ask: Ask) -> Flow<&'a Seen<T>> {
        match fact {
            Seen::NotAsked => {
                self.asks.push(ask);
                Err(End::Ask)
            }
            Seen::Known(_) | Seen::Absent | Seen::Unreachable { .. } => Ok(fact),
        }
    }

    // Reading the status.

    pub fn job(&self) -> Option<&JobSpec> {
        self.spec.job.as_ref()
    }

    pub fn desired(&self) -> JobState {
        self.job().map(|job| job.state).unwrap_or_default()
    }

    pub fn upgrade_mode(&self) -> UpgradeMode {
        self.job().map(|job| job.upgrade_mode).unwrap_or_default()
    }

    pub fn recorded_job(&self) -> Option<&JobSpec> {
        self.recorded.as_ref().and_then(|recorded| recorded.spec.job.as_ref())
    }

    /// How the recorded job was, or is to be, restored.
    pub fn recorded_mode(&self) -> UpgradeMode {
        self.recorded_job().map(|job| job.upgrade_mode).unwrap_or_default()
    }

    pub fn recorded_state(&self) -> JobState {
        self.recorded_job().map(|job| job.state).unwrap_or_default()
    }

    pub fn recon(&self) -> ReconciliationState {
        self.status.reconciliation_status.state
    }

    pub fn set_recon(&mut self, state: ReconciliationState) {
        self.status.reconciliation_status.state = state;
    }

    pub fn job_state(&self) -> Option<FlinkJobState> {
        self.status.job_status.state
    }

    pub fn job_is_terminal(&self) -> bool {
        self.job_state().is_some_and(FlinkJobState::is_terminal)
    }

    pub fn job_is_running(&self) -> bool {
        self.job_state() == Some(FlinkJobState::Running)
    }

    /// 3.7: a JobManager that answers has a job that can be cancelled (B02).
    pub fn job_is_cancellable(&self) -> bool {
        let live = self.job_state().is_some_and(|s| !s.is_terminal() && s != FlinkJobState::Reconciling);
        live && self.jm_is_ready()
    }

    pub fn jm(&self) -> JobManagerDeploymentStatus {
        self.status.job_manager_deployment_status
    }

    pub fn set_jm(&mut self, status: JobManagerDeploymentStatus) {
        self.status.job_manager_deployment_status = status;
    }

    pub fn jm_is_ready(&self) -> bool {
        self.jm() == JobManagerDeploymentStatus::Ready
    }

    pub fn set_job_state(&mut self, state: FlinkJobState) {
        self.status.job_status.state = Some(state);
    }

    /// Nothing runs for sure, or nobody knows: RECONCILING, unless the job has ended for good.
    pub fn lose_sight_of_job(&mut self) {
        if !self.job_is_terminal() {
            self.set_job_state(FlinkJobState::Reconciling);
        }
    }

    /// The job is ended by us: FINISHED, as Apache's operator says it (4.1).
    pub fn end_job(&mut self) {
        if !self.job_is_terminal() {
            self.set_job_state(FlinkJobState::Finished);
            self.status.job_status.update_time = Some(self.now_ms().to_string());
        }
    }

    pub fn job_id(&self) -> String {
        self.status.job_status.job_id.clone().unwrap_or_default()
    }

    pub fn now_ms(&self) -> i64 {
        self.now.as_millisecond()
    }

    // Ending.

    pub fn after<T>(&self, wait: Duration, reason: impl Into<String>) -> Flow<T> {
        Err(End::Next(Next::After(wait, reason.into())))
    }

    pub fn on_change<T>(&self, reason: impl Into<String>) -> Flow<T> {
        Err(End::Next(Next::OnChange(reason.into())))
    }

    pub fn again<T>(&self, reason: impl Into<String>) -> Flow<T> {
        Err(End::Next(Next::Again(reason.into())))
    }

    /// Look again soon, then at growing intervals, for something that began at `since` (epoch ms).
    pub fn poll<T>(&self, since: i64, ceiling: Duration, reason: impl Into<String>) -> Flow<T> {
        self.after(pace::growing(pace::from_millis(since), self.now, ceiling), reason)
    }

    fn finished_status(&self) -> FlinkDeploymentStatus {
        let mut status = self.status.clone();
        if self.verbatim {
            return status;
        }
        lifecycle::finish(&mut status, self.recorded.as_deref(), self.now);
        status
    }

    pub fn into_decision(mut self, end: End) -> Decision {
        let status = self.finished_status();
        // A pass that has something to store proves nothing: storing it may be what fails.
        if self.plan.is_empty() && self.o.failure.is_none() && status == self.before {
            self.memo.failures = 0;
        }
        match end {
            // The shell was told what to ask and did not: nothing may be concluded, nothing is touched.
            End::Ask => Decision {
                next: Next::After(Duration::from_secs(1), format!("facts are missing: {:?}", self.asks)),
                trace: vec![Step { rule: "needs", text: format!("not asked: {:?}", self.asks) }],
                plan: Vec::new(),
                status: self.before,
                events: Vec::new(),
                memo: self.o.memo.clone(),
            },
            End::Next(next) => Decision {
                status,
                plan: self.plan,
                events: self.events,
                next,
                trace: self.trace,
                memo: self.memo,
            },
        }
    }
}
