//! What a user should hear of although nothing has failed yet: parts of the spec without effect, HA metadata that went
//! from under a running job, an upgrade or a rollback that waits. Each is said when it begins, not in every pass.

use crate::decision::{Component, Event, EventKind};
use crate::error::{ErrorDocument, ErrorType};
use crate::ha::{self, HaMetadata};
use crate::pass::Pass;
use crate::phase::{Phase, phase};
use crate::settings::Ha;
use crate::upgrade::wait::Wait;
use drey_api::{FlinkJobState, JobManagerDeploymentStatus};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    Upgrade,
    Rollback,
}

impl Pending {
    /// How every text about it begins; by it the stored error is recognised as ours.
    fn begins(self) -> &'static str {
        match self {
            Pending::Upgrade => "The upgrade waits: ",
            Pending::Rollback => "The rollback waits: ",
        }
    }

    /// Of its events.
    fn reason(self) -> &'static str {
        match self {
            Pending::Upgrade => "UpgradePending",
            Pending::Rollback => "RollbackPending",
        }
    }
}

/// Longer than a ConfigMap's way through a watch, after the job it belongs to was seen running.
const METADATA_LAG: Duration = Duration::from_secs(60);

/// A JobManager may take this long to start before an upgrade that waits for it is worth a word.
const START_GRACE: Duration = Duration::from_secs(60);

/// What is accepted and probably not meant, once per generation.
pub fn of_valid_spec(p: &mut Pass) {
    let generation = p.o.resource.generation();
    if p.memo.warned == Some(generation) {
        return;
    }
    p.memo.warned = Some(generation);
    for message in drey_blueprint::validate::warnings(&p.o.resource, &p.policy.config) {
        p.push_event(Event {
            kind: EventKind::Warning,
            reason: "ValidationWarning".into(),
            component: Component::Operator,
            key: Some(format!("{generation}: {message}")),
            message,
            once: true,
            annotations: BTreeMap::new(),
        });
    }
}

/// Parts of a valid spec that this version does not act on. The job is none the worse for them.
pub fn of_ignored_parts(p: &mut Pass) {
    let ignored = [
        (
            p.spec.ingress.is_some(),
            "spec.ingress: create the Ingress yourself, the job is deployed without it",
        ),
        (p.configs.deploy.autoscaler, "job.autoscaler.enabled: the job keeps the parallelism of its spec"),
        (
            p.configs.deploy.ha == Ha::Other,
            "high-availability.type other than kubernetes: its metadata is neither looked at nor removed; a running job \
             is upgraded by cancelling it and going on from its last checkpoint",
        ),
    ];
    let texts: Vec<&str> = ignored.into_iter().filter(|(given, _)| *given).map(|(_, text)| text).collect();
    if !texts.is_empty() {
        let text = format!("not managed by this version of the operator: {}", texts.join("; "));
        p.event_once(EventKind::Warning, Component::Operator, "NotManaged", &text);
    }
}

/// Somebody deleted the HA ConfigMaps of a job that runs. QUIRK left behind: there nobody hears of it before the
/// JobManager is lost, when it is too late.
pub fn of_lost_metadata(p: &mut Pass) {
    const REASON: &str = "HaMetadataLost";
    if p.configs.observe.ha != Ha::Kubernetes || phase(p) != Phase::Deployed {
        return;
    }
    match ha::metadata(&p.o.ha) {
        HaMetadata::Gone if is_missed(p) => {}
        HaMetadata::Gone | HaMetadata::Unknown => return,
        HaMetadata::WithoutCheckpoint | HaMetadata::WithCheckpoint | HaMetadata::Elsewhere => {
            p.memo.reported.remove(REASON);
            p.memo.saw_metadata = true;
            return;
        }
    }
    let text = "The HA metadata (ConfigMaps) of the running job is gone: a JobManager that restarts now begins from \
                nothing, and the operator cannot recover the job. Take a savepoint while the job runs, or restart it \
                with its state by a new spec.restartNonce.";
    p.note("5.1", "the HA metadata of a running job is gone");
    p.event_once(EventKind::Warning, Component::JobManagerDeployment, REASON, text);
}

/// A job that has been running for a while has metadata, until it ends: then Flink itself removes it.
fn is_missed(p: &Pass) -> bool {
    let stored = &p.before;
    let changed: i64 =
        stored.job_status.update_time.as_deref().and_then(|ms| ms.parse().ok()).unwrap_or_default();
    let lag = i64::try_from(METADATA_LAG.as_millis()).unwrap_or(i64::MAX);
    let ending = matches!(p.job_state(), Some(FlinkJobState::Cancelling | FlinkJobState::Failing));
    stored.job_manager_deployment_status == JobManagerDeploymentStatus::Ready
        && stored.job_status.state == Some(FlinkJobState::Running)
        && (p.memo.saw_metadata || changed.saturating_add(lag) <= p.now_ms())
        && !p.job_is_terminal()
        && !ending
}

/// The spec has changed, or what runs is to be taken back, and nothing is done about it yet. QUIRK left behind: there the
/// wait shows nowhere.
///
/// What will surely be over in a moment is only an event; the rest is kept as `status.error` too, unless something worse
/// stands there.
pub fn of_waiting(p: &mut Pass, what: Pending, wait: &Wait) {
    let since = match p.memo.waiting {
        Some((generation, since)) if generation == p.generation => since,
        Some(_) | None => p.now,
    };
    p.memo.waiting = Some((p.generation, since));
    let starting = matches!(
        p.jm(),
        JobManagerDeploymentStatus::Deploying | JobManagerDeploymentStatus::DeployedNotReady
    );
    let grace = if starting { START_GRACE } else { p.policy.progress_interval() };
    if p.now.duration_since(since) < SignedDuration::try_from(grace).unwrap_or_default() {
        return;
    }
    let text = format!("{}{}", what.begins(), wait.text(p));
    if !wait.is_brief() && p.status.error.as_ref().is_none_or(|error| tells_of_a_wait(error)) {
        let error = ErrorDocument::new(ErrorType::UpgradeFailure, text.clone());
        p.status.error = Some(error.to_text(p.policy.error_limits()));
    }
    let (topic, generation) = (format!("{} {}", what.reason(), wait.topic()), p.generation.to_string());
    if p.memo.reported.get(&topic) == Some(&generation) {
        return;
    }
    p.memo.reported.insert(topic, generation.clone());
    p.push_event(Event {
        kind: if wait.is_brief() { EventKind::Normal } else { EventKind::Warning },
        reason: what.reason().into(),
        message: text,
        component: Component::JobManagerDeployment,
        key: Some(format!("{generation} {}", wait.topic())),
        once: true,
        annotations: BTreeMap::new(),
    });
}

/// Nothing is waited for any more.
pub fn forget_waiting(p: &mut Pass) {
    if p.status.error.as_ref().is_some_and(|error| tells_of_a_wait(error)) {
        p.status.error = None;
    }
}

fn tells_of_a_wait(error: &str) -> bool {
    [Pending::Upgrade, Pending::Rollback].iter().any(|what| error.contains(what.begins()))
}
