//! What the operator tells about its passes: counted, linted, journalled, and kept for `drey explain`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drey_api::FlinkDeploymentStatus;
use drey_language::events::{Kind, Lane};
use drey_operator::{Counts, Lifecycle, Outcome, Pass, PassObserver};
use drey_reconciler::{Next, check};
use jiff::Timestamp;
use serde_json::json;

use crate::world::Journal;

/// One pass, condensed to what explains it.
#[derive(Clone, Debug)]
pub struct PassRecord {
    pub number: u64,
    pub object: String,
    pub started: Timestamp,
    pub ended: Timestamp,
    pub trigger: String,
    /// `rule text`, in order.
    pub trace: Vec<String>,
    pub plan: Vec<String>,
    pub next: String,
    pub outcome: String,
    pub counts: Counts,
    /// Nothing was planned and the status stayed as it was.
    pub is_converged: bool,
}

#[derive(Default)]
struct Inner {
    journal: Option<Journal>,
    passes: Vec<PassRecord>,
    violations: Vec<String>,
    count: u64,
}

/// The ear of the harness. Keeps at most [`PASSES_MAX`] passes; counts all.
#[derive(Clone, Default)]
pub struct Passes {
    inner: Arc<Mutex<Inner>>,
}

/// A run with more passes is broken in a way its first part already shows.
const PASSES_MAX: usize = 100_000;

impl Passes {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write_to(&self, journal: Journal) {
        self.lock().journal = Some(journal);
    }

    pub fn count(&self) -> u64 {
        self.lock().count
    }

    pub fn all(&self) -> Vec<PassRecord> {
        self.lock().passes.clone()
    }

    pub fn last(&self) -> Option<PassRecord> {
        self.lock().passes.last().cloned()
    }

    /// Takes what the linter found since the last call.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().violations)
    }
}

impl PassObserver for Passes {
    fn pass(&self, pass: &Pass<'_>) {
        let object = format!("FlinkDeployment/{}", pass.key.name);
        let is_status_kept = match &pass.observation.resource.status {
            Some(stored) => *stored == pass.decision.status,
            None => pass.decision.status == FlinkDeploymentStatus::default(),
        };
        let is_converged = pass.decision.plan.is_empty() && is_status_kept;
        let mut violations: Vec<String> = check::observation(pass.observation)
            .into_iter()
            .chain(check::decision(pass.observation, pass.decision))
            .map(|violation| format!("{object}: {} {}", violation.rule, violation.text))
            .collect();
        let has_events = !pass.decision.events.is_empty();
        if is_converged && !has_events && pass.counts.late_events == 0 && pass.counts.api_writes > 0 {
            violations.push(format!("{object}: a converged pass made {} writes", pass.counts.api_writes));
        }
        let mut inner = self.lock();
        inner.count += 1;
        let record = record(inner.count, object, pass, is_converged);
        if let Some(journal) = inner.journal.clone().filter(|_| !is_converged) {
            let text = format!(
                "pass {}: {}",
                record.number,
                record
                    .trace
                    .iter()
                    .rev()
                    .find(|step| !step.trim().is_empty())
                    .map_or("status is brought up to date", String::as_str)
            );
            let detail = json!({"number": record.number, "trigger": record.trigger, "trace": record.trace,
                "plan": record.plan, "next": record.next, "outcome": record.outcome});
            journal.push(
                journal.event(Lane::Operator, Kind::Reconcile, text).about(&record.object).detail(detail),
            );
        }
        inner.violations.extend(violations);
        if inner.passes.len() < PASSES_MAX {
            inner.passes.push(record);
        }
    }

    fn lifecycle(&self, event: &Lifecycle) {
        let text = match event {
            Lifecycle::Started => "operator leads and watches".to_owned(),
            Lifecycle::WatchSynced { .. } => return,
            Lifecycle::WatchFailed { kind, error, .. } => format!("watch of {kind} failed: {error}"),
            Lifecycle::Forgotten { key } => format!("{}/{} is gone for good", key.namespace, key.name),
            Lifecycle::LostLease { why } => format!("operator lost the lease: {why}"),
            Lifecycle::Stopped => "operator stopped".to_owned(),
        };
        if let Some(journal) = &self.lock().journal {
            journal.push(journal.event(Lane::Operator, Kind::Process, text));
        }
    }
}

fn record(number: u64, object: String, pass: &Pass<'_>, is_converged: bool) -> PassRecord {
    let next = match &pass.decision.next {
        Next::After(after, why) => format!("after {}: {why}", drey_language::duration::format(*after)),
        Next::OnChange(why) => format!("on change: {why}"),
        Next::Again(why) => format!("at once: {why}"),
    };
    let outcome = match pass.outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Failed { at, error } => format!("action {} failed: {error}", at + 1),
    };
    PassRecord {
        number,
        object,
        started: pass.started,
        ended: pass.ended,
        trigger: pass.cause.to_string(),
        trace: pass.decision.trace.iter().map(ToString::to_string).collect(),
        plan: pass.decision.plan.iter().map(|action| format!("{:?}", action.kind())).collect(),
        next,
        outcome,
        counts: pass.counts,
        is_converged,
    }
}
